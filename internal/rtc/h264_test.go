package rtc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"transponder/internal/media"
)

// units collects the units of an assembler, as "time key: type type".
type units struct {
	list   []string
	broken int
}

func (u *units) depacketiser() *assembler {
	return &assembler{
		parts:   &h264Parts{},
		needKey: true,
		unit: func(unit []byte, rtpTime uint32, key bool) {
			var types []string
			for nal := range media.EachNAL(unit) {
				types = append(types, fmt.Sprintf("%d/%d", nal[0]&nalTypeMask, len(nal)))
			}
			u.list = append(u.list, fmt.Sprintf("%d %t: %s", rtpTime, key, strings.Join(types, " ")))
		},
		broken: func() { u.broken++ },
	}
}

// nal makes a NAL unit of a type and size.
func nal(kind byte, size int) []byte {
	b := bytes.Repeat([]byte{0xaa}, size)
	b[0] = 0x60 | kind
	return b
}

func stapA(nals ...[]byte) []byte {
	b := []byte{0x60 | nalSTAPA}
	for _, n := range nals {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(n))), n...)
	}
	return b
}

// fuA cuts a NAL unit into n fragments.
func fuA(unit []byte, n int) [][]byte {
	var out [][]byte
	body := unit[1:]
	for i := range n {
		h := unit[0] & nalTypeMask
		if i == 0 {
			h |= 0x80
		}
		if i == n-1 {
			h |= 0x40
		}
		out = append(out, append([]byte{0x60 | nalFUA, h}, body[i*len(body)/n:(i+1)*len(body)/n]...))
	}
	return out
}

// gapMark marks a gap in a list of packets.
var gapMark = Packet{PayloadType: 255}

func TestH264Units(t *testing.T) {
	p := func(time uint32, marker bool, payload []byte) Packet {
		return Packet{Time: time, Marker: marker, Payload: payload}
	}
	fus := func(time uint32, unit []byte, n int) (list []Packet) {
		for i, b := range fuA(unit, n) {
			list = append(list, p(time, i == n-1, b))
		}
		return list
	}
	head := stapA(nal(nalSPS, 20), nal(nalPPS, 4))
	key := []Packet{p(1, false, head), p(1, true, nal(nalIDR, 50))}
	tests := []struct {
		name    string
		packets []Packet
		want    []string
		broken  int
	}{
		{"single NAL units", append(slices.Clone(key), p(2, true, nal(1, 9))), []string{"1 true: 7/20 8/4 5/50", "2 false: 1/9"}, 0},
		{"fragments", append([]Packet{p(1, false, head)}, fus(1, nal(nalIDR, 5000), 5)...), []string{"1 true: 7/20 8/4 5/5000"}, 0},
		{"several slices", []Packet{p(1, false, nal(nalIDR, 7)), p(1, false, nal(nalIDR, 8)), p(1, true, nal(nalIDR, 9))},
			[]string{"1 true: 5/7 5/8 5/9"}, 0},
		{"marker missing", []Packet{p(1, false, nal(nalIDR, 7)), p(2, false, nal(1, 8)), p(3, true, nal(1, 9))},
			[]string{"1 true: 5/7", "2 false: 1/8", "3 false: 1/9"}, 0},
		{"parameter sets with a time of their own", []Packet{p(1, true, nal(nalSPS, 20)), p(1, true, nal(nalPPS, 4)), p(2, true, nal(nalIDR, 9))},
			[]string{"1 false: 7/20", "1 false: 8/4", "2 true: 5/9"}, 0},
		{"nothing before a key frame", []Packet{p(1, true, nal(1, 9)), p(2, true, nal(nalIDR, 9))}, []string{"2 true: 5/9"}, 0},
		{"lost in the middle", slices.Concat(key, fus(2, nal(1, 3000), 3)[:1], []Packet{gapMark}, fus(2, nal(1, 3000), 3)[2:],
			[]Packet{p(3, true, nal(1, 9)), p(4, false, head), p(4, true, nal(nalIDR, 9)), p(5, true, nal(1, 9))}),
			[]string{"1 true: 7/20 8/4 5/50", "4 true: 7/20 8/4 5/9", "5 false: 1/9"}, 1},
		{"lost between units", slices.Concat(key, []Packet{gapMark, p(3, true, nal(1, 9)), p(4, true, nal(1, 9)), p(5, true, nal(nalIDR, 9))}),
			[]string{"1 true: 7/20 8/4 5/50", "5 true: 5/9"}, 1},
		{"lost before a key frame", slices.Concat(key, []Packet{gapMark, p(3, false, head), p(3, true, nal(nalIDR, 9))}),
			[]string{"1 true: 7/20 8/4 5/50", "3 true: 7/20 8/4 5/9"}, 0},
		{"fragment without start", slices.Concat(key, fus(2, nal(1, 3000), 3)[1:]), []string{"1 true: 7/20 8/4 5/50"}, 1},
		{"fragment without end", slices.Concat(key, fus(2, nal(1, 3000), 3)[:2], []Packet{p(3, true, nal(1, 9))}),
			[]string{"1 true: 7/20 8/4 5/50"}, 1},
		{"fragments of a STAP-A", []Packet{p(1, true, []byte{0x7c, 0xc0 | nalSTAPA, 1, 2})}, nil, 1},
		{"STAP-A cut short", []Packet{p(1, true, stapA(nal(nalIDR, 9))[:8])}, nil, 1},
		{"STAP-A with an empty unit", []Packet{p(1, true, []byte{0x78, 0, 0})}, nil, 1},
		{"unknown packet type", []Packet{p(1, true, []byte{0x7d, 1, 2, 3})}, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got units
			d := got.depacketiser()
			for _, p := range tt.packets {
				if p.PayloadType == gapMark.PayloadType {
					d.gap()
					continue
				}
				d.push(p)
			}
			if !slices.Equal(got.list, tt.want) || got.broken != tt.broken {
				t.Errorf("got %q, %d broken; want %q, %d broken", got.list, got.broken, tt.want, tt.broken)
			}
		})
	}
}

func TestSprop(t *testing.T) {
	var got units
	d := got.depacketiser()
	d.primer = h264Primer("Z0LAH9kA,aMuDyyA=,!,")
	d.push(Packet{Time: 1, Marker: true, Payload: nal(nalIDR, 9)})
	want := []string{"1 false: 7/6 8/5", "1 true: 5/9"}
	if !slices.Equal(got.list, want) {
		t.Errorf("got %q, want %q", got.list, want)
	}
}

// FuzzH264Units: whatever comes in, units are well-formed and bounded, and the first picture is a key frame.
// The input is a list of packets: control byte, length byte, payload.
func FuzzH264Units(f *testing.F) {
	seed := func(parts ...[]byte) {
		var b []byte
		for i, p := range parts {
			control := byte(i)
			if i == len(parts)-1 {
				control |= 0x80
			}
			b = append(append(b, control, byte(len(p))), p...)
		}
		f.Add(b)
	}
	seed(nal(nalSPS, 20), nal(nalPPS, 4), nal(nalIDR, 50), nal(1, 20))
	seed(stapA(nal(nalSPS, 20), nal(nalPPS, 4), nal(nalIDR, 30)))
	seed(fuA(nal(nalIDR, 200), 3)...)
	f.Fuzz(func(t *testing.T, in []byte) {
		pictures := 0
		reader := &h264Parts{}
		d := &assembler{parts: reader, needKey: true, broken: func() {}}
		d.unit = func(unit []byte, _ uint32, key bool) {
			size, idr := 0, false
			for nal := range media.EachNAL(unit) {
				size += 4 + len(nal)
				idr = idr || nal[0]&nalTypeMask == nalIDR
			}
			if size != len(unit) || size == 0 {
				t.Fatalf("unit of %d bytes holds NAL units of %d", len(unit), size)
			}
			if idr != key {
				t.Fatalf("key is %t, the unit says %t", key, idr)
			}
			if reader.refers(unit) {
				if pictures++; pictures == 1 && !key {
					t.Fatal("the first picture is no key frame")
				}
			}
		}
		for len(in) >= 2 {
			control, n := in[0], min(int(in[1]), len(in)-2)
			payload := in[2 : 2+n]
			in = in[2+n:]
			if control&0x40 != 0 {
				d.gap()
			}
			if n > 0 {
				d.push(Packet{Time: uint32(control & 0x0f), Marker: control&0x80 != 0, Payload: payload})
			}
			if cap(d.au) > 2*maxUnit {
				t.Fatalf("%d bytes are held", cap(d.au))
			}
		}
	})
}
