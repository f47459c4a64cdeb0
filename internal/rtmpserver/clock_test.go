package rtmpserver

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
)

// TestClock feeds the clock with the milliseconds of a publisher and their times of arrival.
func TestClock(t *testing.T) {
	type message struct {
		kind    media.Kind
		ms      uint32
		arrival time.Duration
		want    time.Duration
	}
	const s, ms = time.Second, time.Millisecond
	const a, v = media.Audio, media.Video
	for _, c := range []struct {
		name     string
		messages []message
		jumps    int64
	}{
		{"begins at its arrival, keeps its own pace", []message{
			{v, 5000, 3 * s, 3 * s}, {v, 5040, 3*s + 90*ms, 3*s + 40*ms}, {v, 5080, 3*s + 91*ms, 3*s + 80*ms},
		}, 0},
		{"sound before pictures", []message{{a, 100, 0, 0}, {v, 60, 1 * ms, -40 * ms}, {a, 140, 2 * ms, 40 * ms}}, 0},
		{"pictures from before zero", []message{{a, 0, s, s}, {v, 0xfffffff0, s, s - 16*ms}, {v, 17, s, s + 17*ms}}, 0},
		{"over 2^32", []message{{v, 0xfffffff0, s, s}, {v, 0x10, s, s + 32*ms}}, 0},
		{"over 2^31", []message{{v, 0x7ffffff0, s, s}, {v, 0x80000010, s, s + 32*ms}}, 0},
		{"milliseconds since 1970", []message{{a, 0xb2d05e00, s, s}, {v, 0xb2d05e0a, s, s + 10*ms}, {a, 0xb2d05e15, s, s + 21*ms}}, 0},
		{"jumps ahead", []message{{v, 0, s, s}, {v, 100_000, s + 40*ms, s + 40*ms}, {v, 100_040, s + 80*ms, s + 80*ms}}, 1},
		{"jumps back", []message{{v, 100_000, s, s}, {v, 0, s + 40*ms, s + 40*ms}, {v, 40, s + 80*ms, s + 80*ms}}, 1},
		{"jumps back by half a second", []message{{v, 1000, s, s}, {v, 540, s + 40*ms, s + 40*ms}, {v, 580, s + 80*ms, s + 80*ms}}, 1},
		{"a new beginning is behind the end", []message{{v, 1000, s, s}, {v, 1040, s, s + 40*ms}, {v, 0, s, s + 80*ms}, {v, 40, s, s + 120*ms}}, 1},
		{"the other track follows a jump", []message{
			{a, 0, s, s}, {v, 0, s, s}, {a, 60_000, s + 20*ms, s + 20*ms}, {v, 60_010, s + 30*ms, s + 30*ms}, {a, 60_021, s + 41*ms, s + 41*ms},
		}, 2},
		{"tracks of two clocks", []message{
			{a, 0, s, s}, {v, 100_000, s, s}, {a, 21, s + 21*ms, s + 21*ms}, {v, 100_033, s + 33*ms, s + 33*ms}, {a, 43, s + 43*ms, s + 43*ms},
		}, 0},
		{"gap in which time passed", []message{{v, 0, s, s}, {v, 2000, 3 * s, 3 * s}}, 0},
		{"a link that stood still", []message{{v, 0, s, s}, {v, 1000, 28 * s, 2 * s}, {v, 27_000, 28 * s, 28 * s}}, 0},
		{"later than any link", []message{{v, 0, s, s}, {v, 1000, 80 * s, 80 * s}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k clock
			for i, m := range c.messages {
				if got := k.timestamp(m.kind, m.ms, media.Timestamp(m.arrival)); got != media.Timestamp(m.want) {
					t.Errorf("message %d at %v, want %v", i, time.Duration(got), m.want)
				}
			}
			if k.jumps != c.jumps {
				t.Errorf("%d jumps, want %d", k.jumps, c.jumps)
			}
		})
	}
}

// feed is a publisher for a minute. Media that is recorded at t seconds arrives at sent(t), and has the time said(t).
type feed struct {
	name string
	sent func(t float64) float64
	said func(k media.Kind, t float64) float64

	from  float64 // from when on all must be well, and how it must be from then on:
	delay float64 // from recording to reading
	gap   float64 // between two frames, in the place of their own distance, at most
	apart float64 // between sound and pictures, at most
	jumps int64   // of the clock, at most
}

// TestClockCourses runs publishers in virtual time, reading at the pace of the clock. Media that was recorded together gets the same time,
// late media is read soon, and frames keep their distance.
func TestClockCourses(t *testing.T) {
	truly := func(_ media.Kind, t float64) float64 { return t }
	live := func(t float64) float64 { return t }
	stall := func(from, to float64) func(float64) float64 {
		return func(t float64) float64 {
			if t >= from && t < to {
				return to
			}
			return t
		}
	}
	after := func(from, shift float64) func(media.Kind, float64) float64 {
		return func(_ media.Kind, t float64) float64 {
			if t >= from {
				t += shift
			}
			return t
		}
	}
	for _, f := range []feed{
		{name: "live", sent: live, said: truly, delay: 0.01, gap: 0.01, apart: 0.002},
		{name: "begins at a high time", sent: live, said: after(0, 3e6), delay: 0.01, gap: 0.01, apart: 0.002},
		{name: "stands still for 8 s", sent: stall(20, 28), said: truly, from: 31, delay: 0.2, gap: 0.05, apart: 0.012},
		{name: "stands still for 30 s", sent: stall(20, 50), said: truly, from: 55, delay: 0.2, gap: 0.05, apart: 0.012},
		{name: "stands still at once for 8 s", sent: stall(0, 8), said: truly, from: 13, delay: 0.2, gap: 0.05, apart: 0.012},
		{name: "stands still at once for 30 s", sent: stall(0, 30), said: truly, from: 35, delay: 0.2, gap: 0.05, apart: 0.012},
		{name: "stands still twice", sent: func(t float64) float64 { return max(stall(10, 18)(t), stall(19, 30)(t)) }, said: truly, from: 35, delay: 0.2, gap: 0.05, apart: 0.012},
		{name: "catches up at twice the speed", sent: func(t float64) float64 {
			if t >= 20 && t < 36 {
				return 28 + (t-20)/2
			}
			return t
		}, said: truly, from: 36, delay: 0.2, gap: 0.05, apart: 0.012},
		{name: "a burst of 1.9 s first", sent: stall(0, 1.9), said: truly, from: 2, delay: 0.2, gap: 0.05, apart: 0.012},
		{name: "pauses for 10 s and goes on with the old time", sent: func(t float64) float64 {
			if t >= 20 {
				t += 10
			}
			return t
		}, said: truly, from: 40, delay: 10.2, gap: 0.05, apart: 0.002, jumps: 1},
		{name: "goes back by 0.3 s", sent: live, said: after(20, -0.3), delay: 0.01, gap: 0.05, apart: 0.04, jumps: 2},
		{name: "goes back by 1 s", sent: live, said: after(20, -1), delay: 0.01, gap: 0.05, apart: 0.04, jumps: 2},
		{name: "goes back by 2.9 s", sent: live, said: after(20, -2.9), delay: 0.01, gap: 0.05, apart: 0.04, jumps: 2},
		{name: "goes back by 10 s", sent: live, said: after(20, -10), delay: 0.01, gap: 0.05, apart: 0.04, jumps: 2},
		{name: "goes ahead by 2.5 s", sent: live, said: after(20, 2.5), delay: 0.01, gap: 2.6, apart: 0.04},
		{name: "goes ahead by ten minutes", sent: live, said: after(20, 600), delay: 0.01, gap: 0.05, apart: 0.04, jumps: 2},
		{name: "wraps", sent: live, said: after(0, 4294967.296-20), delay: 0.01, gap: 0.01, apart: 0.002},
		{name: "tracks of two clocks", sent: live, said: func(k media.Kind, t float64) float64 { return t + 100*float64(k) }, delay: 0.01, gap: 0.01, apart: 0.04},
		{name: "no times at all", sent: live, said: func(media.Kind, float64) float64 { return 0 }, from: 1, delay: 0.01, gap: 0.1, apart: 0.15},
		{name: "no times of sound", sent: live, said: func(k media.Kind, t float64) float64 {
			if k == media.Audio {
				return 0
			}
			return t
		}, from: 1, delay: 0.01, gap: 0.1, apart: 0.15},
		{name: "no times, in bunches of 0.2 s", sent: func(t float64) float64 { return math.Floor(t*5+1) / 5 }, said: func(media.Kind, float64) float64 { return 0 }, from: 2, delay: 0.25, gap: 0.1, apart: 0.25},
		{name: "sound four frames at a time", sent: live, said: func(k media.Kind, t float64) float64 {
			if k == media.Audio {
				return math.Floor(t/(4*1024.0/48000)+0.001) * 4 * 1024 / 48000
			}
			return t
		}, delay: 0.01, gap: 0.05, apart: 0.06},
	} {
		t.Run(f.name, func(t *testing.T) { runFeed(t, f) })
	}
}

func runFeed(t *testing.T, f feed) {
	type message struct {
		kind    media.Kind
		t, sent float64
	}
	var all []message
	for i := range 60 * 1000 {
		for k, every := range map[media.Kind]float64{media.Audio: 1024.0 / 48000, media.Video: 1.0 / 30} {
			if at := float64(i) * every; at < 60 {
				all = append(all, message{k, at, f.sent(at)})
			}
		}
	}
	slices.SortFunc(all, func(a, b message) int {
		return cmp.Or(cmp.Compare(a.sent, b.sent), cmp.Compare(a.t, b.t), cmp.Compare(a.kind, b.kind))
	})
	var k clock
	var last, content, shift [3]float64
	free := 0.0 // the reader may read again
	for _, m := range all {
		now := max(m.sent+0.001, free)
		got := float64(k.timestamp(m.kind, uint32(int64(math.Round(f.said(m.kind, m.t)*1000))), media.Timestamp(now*1e9))) / 1e9
		if k.mayRead > leastWait {
			free = now + k.mayRead.Seconds()
		}
		step, made := got-last[m.kind], m.t-content[m.kind]
		late := now - m.t
		last[m.kind], content[m.kind], shift[m.kind] = got, m.t, got-m.t
		if m.t < max(f.from, 1) {
			continue
		}
		if late > f.delay {
			t.Fatalf("%s of %.2f s is read %.2f s late", m.kind, m.t, late)
		}
		if step < made-0.02 || step <= 0 {
			t.Fatalf("%s of %.3f s: %.1f ms of media are stamped as %.1f ms", m.kind, m.t, made*1000, step*1000)
		}
		if step > made+f.gap {
			t.Fatalf("%s of %.3f s: %.1f ms of media are stamped as %.1f ms", m.kind, m.t, made*1000, step*1000)
		}
		if d := math.Abs(shift[media.Audio] - shift[media.Video]); d > f.apart && f.jumps == 0 && f.gap < 2 || d > f.apart && (m.t < 19 || m.t > 25) {
			t.Fatalf("sound and pictures of %.3f s are %.1f ms apart", m.t, d*1000)
		}
	}
	if k.jumps > f.jumps {
		t.Errorf("%d jumps, want at most %d", k.jumps, f.jumps)
	}
}

// TestClockLateSound has sound that comes after the pictures: because it began later, with a clock of its own or that of the pictures, or
// because it is sent late.
func TestClockLateSound(t *testing.T) {
	block := func(length float64) func(float64) float64 { // sent when the last of the block is there
		return func(t float64) float64 { return (math.Floor(t/length) + 1) * length }
	}
	live := func(t float64) float64 { return t }
	for _, tt := range []struct {
		name  string
		from  float64                 // when the sound begins
		said  float64                 // its time then
		sent  func(t float64) float64 // when the sound of t arrives
		stall [2]float64              // when the link stands still
		jumps int64
	}{
		{"a zero of its own after 1.1 s", 1.1, 0, live, [2]float64{}, 1},
		{"a zero of its own after 2 s", 2, 0, live, [2]float64{}, 1},
		{"a zero of its own after 2.9 s", 2.9, 0, live, [2]float64{}, 1},
		{"a zero of its own after 5 s", 5, 0, live, [2]float64{}, 0},
		{"a zero of its own, and the link stands still then", 2, 0, live, [2]float64{2.5, 6}, 1},
		{"the clock of the pictures", 2, 2, live, [2]float64{}, 0},
		{"the clock of the pictures, and the link stands still then", 2, 2, live, [2]float64{2.5, 6}, 0},
		{"in blocks of 1 s", 0, 0, block(1), [2]float64{}, 0},
		{"in blocks of 2 s", 0, 0, block(2), [2]float64{}, 0},
		{"half a second late", 0, 0, func(t float64) float64 { return t + 0.5 }, [2]float64{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			type message struct {
				kind          media.Kind
				at, said, now float64
			}
			var all []message
			add := func(k media.Kind, at, said, now float64) {
				if now >= tt.stall[0] && now < tt.stall[1] {
					now = tt.stall[1]
				}
				all = append(all, message{k, at, said, now})
			}
			for i := range 30 * 30 {
				at := float64(i) / 30
				add(media.Video, at, at, at)
			}
			for i := range 30 * 50 {
				at := tt.from + float64(i)/50
				add(media.Audio, at, tt.said+float64(i)/50, tt.sent(at))
			}
			slices.SortStableFunc(all, func(a, b message) int { return cmp.Compare(a.now, b.now) })
			var k clock
			for _, m := range all {
				got := float64(k.timestamp(m.kind, uint32(math.Round(m.said*1000)), media.Timestamp(m.now*1e9))) / 1e9
				if apart := math.Abs(got - m.at); apart > 0.05 && m.at > tt.from+2 && m.at > tt.stall[1] {
					t.Fatalf("%s of %.2f s has the time %.2f", m.kind, m.at, got)
				}
			}
			if k.jumps != tt.jumps {
				t.Errorf("%d jumps, want %d", k.jumps, tt.jumps)
			}
		})
	}
}

// TestClockLate has publishers whose media becomes later and later: the network recovers after more than a minute, or the publisher is slower
// than its times.
func TestClockLate(t *testing.T) {
	for _, f := range []struct {
		name   string
		sent   func(t float64) float64
		behind float64 // that a time may be behind its arrival
		delay  float64 // of reading, at the end
	}{
		{"a full link for 70 s", func(t float64) float64 {
			switch {
			case t < 10:
				return t
			case t < 20:
				return 10 + (t-10)*2
			case t < 90:
				return t + 10
			}
			return max(t, 100+(t-90)/10)
		}, 2, 0.2},
		{"a publisher at 80 %", func(t float64) float64 { return t / 0.8 }, 1, math.Inf(1)},
		{"a publisher at half its speed", func(t float64) float64 { return t * 2 }, 2, math.Inf(1)},
	} {
		t.Run(f.name, func(t *testing.T) {
			var k clock
			free, read := 0.0, 0.0
			for i := range 150 * 30 {
				at := float64(i) / 30
				now := max(f.sent(at), free)
				got := float64(k.timestamp(media.Video, uint32(math.Round(at*1000)), media.Timestamp(now*1e9))) / 1e9
				free, read = now, now-at
				if k.mayRead > leastWait {
					free += k.mayRead.Seconds()
				}
				if now-got > f.behind {
					t.Fatalf("the picture of %.2f s has a time %.2f s before its arrival", at, now-got)
				}
			}
			if read > f.delay || k.jumps > 0 {
				t.Errorf("at the end pictures are read %.2f s late; %d jumps", read, k.jumps)
			}
		})
	}
}

// TestClockFile sends a file without pacing. It is read two seconds ahead of its time, and played to its end.
func TestClockFile(t *testing.T) {
	var k clock
	now := 0.5 * float64(time.Second)
	for i := range 60 * 30 {
		at := k.timestamp(media.Video, uint32(i*1000/30), media.Timestamp(now))
		now += float64(100*time.Microsecond + k.mayRead)
		if lead := at.Sub(media.Timestamp(now)); lead > maxLead+time.Second {
			t.Fatalf("picture %d is read %v ahead", i, lead)
		}
	}
	if played := now / float64(time.Second); played < 57 || played > 60 {
		t.Errorf("a minute was read in %.1f s", played)
	}
	if rest := k.rest(media.Timestamp(now)); rest < time.Second || rest > maxLead+time.Second {
		t.Errorf("%v to wait at the end, want about %v", rest, maxLead)
	}
}

// TestClockDrift runs a publisher with a wrong clock for ten hours, with a jitter of up to 200 ms.
func TestClockDrift(t *testing.T) {
	for _, ppm := range []int64{-200, 200} {
		var k clock
		var now time.Duration
		for i := range int64(10 * 3600 * 10) { // ten messages a second
			sent := time.Duration(i) * 100 * time.Millisecond
			now = sent + time.Duration(i*i%200)*time.Millisecond
			ms := sent.Milliseconds() * (1_000_000 + ppm) / 1_000_000
			lag := now - time.Duration(k.timestamp(media.Video, uint32(ms), media.Timestamp(now)))
			if lag < -50*time.Millisecond || lag > 250*time.Millisecond {
				t.Fatalf("%d ppm: after %v it is %v behind", ppm, now, lag)
			}
		}
		if k.jumps != 0 {
			t.Errorf("%d ppm: %d jumps", ppm, k.jumps)
		}
	}
}
