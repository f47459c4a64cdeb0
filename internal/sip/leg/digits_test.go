package leg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// event makes a payload as RFC 4733, 2.3 has it.
func event(code byte, end bool, duration uint16) []byte {
	b := []byte{code, 10, byte(duration >> 8), byte(duration)}
	if end {
		b[1] |= 0x80
	}
	return b
}

// TestDigitReader: each key comes once, with its duration, whatever gets lost.
func TestDigitReader(t *testing.T) {
	type packet struct {
		at      int // in ms
		payload []byte
		time    uint32
	}
	long := func() (list []packet) { // 10 s of the key 5 at 8000 Hz: two segments (RFC 4733, 2.5.1.3)
		for i := 1; i <= 409; i++ {
			list = append(list, packet{20 * i, event(5, false, uint16(160*i)), 1000})
		}
		return append(list, packet{8190, event(5, false, 0xffff), 1000}, packet{8210, event(5, false, 160), 1000 + 0xffff},
			packet{10000, event(5, true, 14465), 1000 + 0xffff})
	}
	for _, tt := range []struct {
		name    string
		clock   int
		packets []packet
		want    string
	}{
		{"three ends", 8000, []packet{
			{0, event(1, false, 160), 1000}, {20, event(1, false, 320), 1000},
			{40, event(1, true, 800), 1000}, {60, event(1, true, 800), 1000}, {80, event(1, true, 800), 1000},
		}, "1:100ms"},
		{"the clock of Opus", 48000, []packet{{0, event(11, true, 4800), 7}}, "#:100ms"},
		{"all letters", 8000, []packet{
			{0, event(12, true, 800), 1}, {200, event(13, true, 800), 2000}, {400, event(14, true, 800), 4000}, {600, event(15, true, 800), 6000},
		}, "A:100ms B:100ms C:100ms D:100ms"},
		{"only one end arrives", 8000, []packet{{0, event(0, true, 400), 1}}, "0:50ms"},
		{"no end arrives", 8000, []packet{{0, event(7, false, 160), 1}, {20, event(7, false, 320), 1}, {500, nil, 0}}, "7:40ms"},
		{"no end arrives, but the next key", 8000, []packet{
			{0, event(7, false, 160), 1}, {20, event(7, false, 320), 1}, {200, event(8, false, 160), 1600}, {300, event(8, true, 800), 1600},
		}, "7:40ms 8:100ms"},
		{"the same key twice", 8000, []packet{
			{0, event(4, true, 800), 1}, {20, event(4, true, 800), 1}, {200, event(4, false, 160), 1601}, {240, event(4, true, 800), 1601},
		}, "4:100ms 4:100ms"},
		{"a late packet of the key before", 8000, []packet{
			{0, event(4, true, 800), 1000}, {100, event(5, false, 160), 1800}, {110, event(4, false, 640), 1000}, {120, event(5, true, 800), 1800},
		}, "4:100ms 5:100ms"},
		{"times that wrap", 8000, []packet{
			{0, event(4, true, 800), 0xffffff00}, {200, event(5, true, 800), 0x200},
		}, "4:100ms 5:100ms"},
		{"times that begin anew", 8000, []packet{
			{0, event(4, true, 800), 0x7000}, {2000, event(5, true, 800), 0x20},
		}, "4:100ms 5:100ms"},
		{"a long one", 8000, long(), "5:10s"},
		{"no digits", 8000, []packet{{0, event(16, true, 800), 1}, {10, event(255, true, 1), 2}, {20, []byte{1, 0x80, 1}, 3}}, ""},
		{"no clock", 0, []packet{{0, event(1, true, 800), 1}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d digitReader
			var got []string
			for _, p := range tt.packets {
				now := time.Duration(p.at) * time.Millisecond
				if p.payload == nil {
					if x, ok := d.overdue(now); ok {
						got = append(got, fmt.Sprintf("%c:%v", x.key, x.duration))
					}
					continue
				}
				done, n := d.packet(p.payload, p.time, tt.clock, now)
				for _, x := range done[:n] {
					got = append(got, fmt.Sprintf("%c:%v", x.key, x.duration.Round(time.Millisecond)))
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

// FuzzDigitReader: after anything, a key is still told once, and each packet ends two keys at most.
func FuzzDigitReader(f *testing.F) {
	f.Add([]byte{1, 0x8a, 0, 160, 0, 0, 0, 1}, uint16(20))
	f.Add([]byte{5, 0x0a, 0xff, 0xff, 0, 0, 0, 1, 5, 0x0a, 0, 160, 0, 1, 0, 0}, uint16(20))
	f.Fuzz(func(t *testing.T, b []byte, gap uint16) {
		var d digitReader
		now := time.Duration(0)
		for ; len(b) >= 8; b = b[8:] {
			now += time.Duration(gap) * time.Millisecond
			done, n := d.packet(b[:4], binary.BigEndian.Uint32(b[4:]), 8000, now)
			for _, x := range done[:n] {
				if !strings.ContainsRune(keys, rune(x.key)) || x.duration < 0 {
					t.Fatalf("key %q for %v", x.key, x.duration)
				}
			}
		}
		d.packet(b, 1, 8000, now) // too short
		now += time.Minute
		d.overdue(now)
		told, at := 0, d.time+100000
		for range 3 {
			_, n := d.packet(event(9, true, 800), at, 8000, now)
			told += n
		}
		if told != 1 {
			t.Errorf("a key was told %d times", told)
		}
	})
}

// TestDigitWriter: the packets of two digits and a pause, 20 ms apart.
func TestDigitWriter(t *testing.T) {
	d := digitWriter{tone: 100 * time.Millisecond}
	digits, err := parseDigits("1,d", func(int) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if err := d.push(digits); err != nil {
		t.Fatal(err)
	}
	tone := func(code byte, unit uint16) []string {
		var list []string
		for i := range uint16(7) {
			end := i >= 4
			list = append(list, fmt.Sprint(event(code, end, min(unit*(i+1), 5*unit)), i == 0))
		}
		return list
	}
	pause := func(n int) []string { return slices.Repeat([]string{fmt.Sprint([]byte(nil), false)}, n) }
	want := slices.Concat(tone(1, 160), pause(3), pause(50), tone(15, 160), pause(3))
	var got []string
	for d.busy() && len(got) < 1000 {
		payload, start := d.next(8000)
		got = append(got, fmt.Sprint(payload, start))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d steps\n%v\nwant %d\n%v", len(got), got, len(want), want)
	}
}

// TestParseDigits: what can be sent, and how much.
func TestParseDigits(t *testing.T) {
	few := func(e int) bool { return e <= 11 }
	for _, tt := range []struct {
		text, want string
		has        func(int) bool
	}{
		{"0123456789*#abcdABCD,", "0123456789*#ABCDABCD,", func(int) bool { return true }},
		{"", "", few},
		{"A", "", few},
		{"1x", "", few},
		{"1 2", "", few},
		{"1\r\n", "", few},
		{"é", "", few},
	} {
		got, err := parseDigits(tt.text, tt.has)
		if string(got) != tt.want || (err != nil) != (tt.want == "" && tt.text != "") || err != nil && !errors.Is(err, errDigits) {
			t.Errorf("%q: %q, %v", tt.text, got, err)
		}
	}
	var d digitWriter
	if err := d.push(make([]byte, 64)); err != nil {
		t.Error(err)
	}
	if err := d.push([]byte("1")); !errors.Is(err, errQueue) {
		t.Errorf("the 65th digit: %v", err)
	}
}
