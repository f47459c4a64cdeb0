package lean

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// told reads feedback in the way of a sender. It returns when packets came, by number; -1 for packets that did not come.
func told(t *testing.T, b []byte) map[uint16]time.Duration {
	t.Helper()
	var p rtcp.TransportLayerCC
	if err := p.Unmarshal(b); err != nil {
		t.Fatalf("feedback %x: %v", b, err)
	}
	if len(b)%4 != 0 || len(b) > maxFeedback || p.SenderSSRC != localSSRC {
		t.Errorf("feedback of %d bytes from %d", len(b), p.SenderSSRC)
	}
	var symbols []uint16
	for _, c := range p.PacketChunks {
		switch c := c.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				symbols = append(symbols, c.PacketStatusSymbol)
			}
		case *rtcp.StatusVectorChunk:
			symbols = append(symbols, c.SymbolList...)
		}
	}
	if len(symbols) < int(p.PacketStatusCount) {
		t.Fatalf("%d symbols for %d packets", len(symbols), p.PacketStatusCount)
	}
	came := map[uint16]time.Duration{}
	at := time.Duration(p.ReferenceTime) * 64 * time.Millisecond
	deltas := p.RecvDeltas
	for i := range p.PacketStatusCount {
		number := p.BaseSequenceNumber + i
		if symbols[i] == rtcp.TypeTCCPacketNotReceived {
			came[number] = -1
			continue
		}
		at += time.Duration(deltas[0].Delta) * time.Microsecond
		deltas = deltas[1:]
		came[number] = at
	}
	if len(deltas) > 0 {
		t.Errorf("%d deltas of no packet", len(deltas))
	}
	return came
}

// tell returns all feedback that is due, and how many packets it took.
func tell(t *testing.T, a *arrivals) (all map[uint16]time.Duration, packets int) {
	t.Helper()
	all = map[uint16]time.Duration{}
	for ; a.due(); packets++ {
		maps.Copy(all, told(t, a.appendFeedback(nil)))
	}
	return all, packets
}

func TestArrivals(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	type packet struct {
		number uint16
		at     time.Duration
	}
	tests := []struct {
		name    string
		before  []packet // reported already
		packets []packet
		want    map[uint16]time.Duration
		parts   int
	}{
		{"nothing", nil, nil, map[uint16]time.Duration{}, 0},
		{"in order", nil, []packet{{7, s}, {8, s + 2*ms}}, map[uint16]time.Duration{7: s, 8: s + 2*ms}, 1},
		{"missing", nil, []packet{{7, s}, {9, s}}, map[uint16]time.Duration{7: s, 8: -1, 9: s}, 1},
		{"over the wrap", nil, []packet{{65535, s}, {1, s}}, map[uint16]time.Duration{65535: s, 0: -1, 1: s}, 1},
		{"in another order", nil, []packet{{9, s}, {8, s + ms}}, map[uint16]time.Duration{8: s + ms, 9: s}, 1},
		{"twice", nil, []packet{{9, s}, {9, 2 * s}}, map[uint16]time.Duration{9: s}, 1},
		{"slowly", nil, []packet{{7, s}, {8, 3 * s}}, map[uint16]time.Duration{7: s, 8: 3 * s}, 1},
		{"after a pause that no delta holds", nil, []packet{{7, s}, {9, 20 * s}}, map[uint16]time.Duration{7: s, 8: -1, 9: 20 * s}, 2},
		{"what is missing at first is told with the next", []packet{{7, s}}, []packet{{9, s}}, map[uint16]time.Duration{8: -1, 9: s}, 1},
		{"what was told to be missing comes", []packet{{7, s}, {9, s}}, []packet{{8, 2 * s}}, map[uint16]time.Duration{8: 2 * s, 9: s}, 1},
		{"what was told comes twice", []packet{{7, s}, {8, s}}, []packet{{7, 2 * s}}, map[uint16]time.Duration{}, 0},
		{"far too late", []packet{{7, s}, {8 + keptArrivals, s}}, []packet{{7, s}}, map[uint16]time.Duration{}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var a arrivals
			for _, p := range tt.before {
				a.add(1, p.number, p.at)
			}
			tell(t, &a)
			for _, p := range tt.packets {
				a.add(1, p.number, p.at)
			}
			if got, parts := tell(t, &a); !maps.Equal(got, tt.want) || parts != tt.parts {
				t.Errorf("told %v in %d packets, want %v in %d", got, parts, tt.want, tt.parts)
			}
		})
	}
}

// TestArrivalsGap: after a gap of any length the feedback reports all packets that came, and is not too long.
func TestArrivalsGap(t *testing.T) {
	for _, gap := range []uint16{1, 6, 7, 13, 14, 15, keptArrivals - 1, keptArrivals, keptArrivals + 1, maxMissing, maxMissing + 1, 30000} {
		var a arrivals
		a.add(1, 100, time.Second)
		a.add(1, 101, time.Second)
		tell(t, &a)
		for i := range uint16(3) {
			a.add(1, 102+gap+2*i, 2*time.Second)
		}
		got, _ := tell(t, &a)
		missing := 0
		for _, at := range got {
			if at < 0 {
				missing++
			}
		}
		if want := min(int(gap), maxMissing-4) + 2; len(got) != missing+3 || missing != want {
			t.Errorf("gap of %d: %d told, %d of them missing, want %d and %d", gap, len(got), missing, want+3, want)
		}
	}
}

// TestArrivalsAtRandom: whatever is lost, late or duplicated, the feedback tells when each packet came, to a quarter of a
// millisecond.
func TestArrivalsAtRandom(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var a arrivals
		number, at := uint16(r.Uint32()), time.Duration(r.IntN(1e9))
		came, heard := map[uint16]time.Duration{}, map[uint16]time.Duration{}
		loss, pause := r.Float64()/2, 1+r.IntN(2e7)
		for i := range 2000 {
			at += time.Duration(r.IntN(pause))
			n := number
			switch x := r.Float64(); {
			case x < loss:
				number++
				continue
			case x < loss+0.1:
				n -= uint16(r.IntN(20)) // late, or twice
			default:
				number++
			}
			if came[n] == 0 {
				came[n] = at
			}
			a.add(1, n, at)
			if r.IntN(100) == 0 || i%500 == 0 { // within what is kept
				all, _ := tell(t, &a)
				maps.Copy(heard, all)
			}
		}
		all, _ := tell(t, &a)
		maps.Copy(heard, all)
		for n, at := range came {
			if late := at - heard[n]; late < 0 || late >= arrivalTick {
				t.Fatalf("seed %d: packet %d came at %v, the sender was told %v", seed, n, at, heard[n])
			}
		}
		for n, at := range heard {
			if at >= 0 && came[n] == 0 {
				t.Fatalf("seed %d: the sender was told of packet %d, which did not come", seed, n)
			}
		}
	}
}
