package stream

import "time"

// Fault is what is wrong with something that a publisher sent.
type Fault uint8

// The faults. FaultOrder is of pictures that are used all the same; everything else is thrown away.
const (
	FaultForm     Fault = iota // it is not what its format wants
	FaultConfig                // its decoder's configuration is missing
	FaultCodec                 // its codec is not taken
	FaultTrack                 // it belongs to another track than the first of its kind, or to another stream
	FaultKeyFrame              // it came before a key frame
	FaultLate                  // silence was put in its place before it came
	FaultOrder                 // pictures come in another order than they are shown in, and nothing says when that is

	numFaults = iota
)

var faultNames = [numFaults]string{
	FaultForm: "malformed", FaultConfig: "no_config", FaultCodec: "codec", FaultTrack: "other_track", FaultKeyFrame: "no_key_frame",
	FaultLate: "late", FaultOrder: "b_frames",
}

// String returns the name that metrics and logs have for the fault.
func (f Fault) String() string { return faultNames[f] }

// Faults counts faults by what they are.
type Faults [numFaults]int64

// Unusable counts what came and could not be read.
func (f Faults) Unusable() int64 { return f[FaultForm] + f[FaultConfig] + f[FaultCodec] }

const (
	// missingAfter is after how long without a frame a kind of media counts as missing. Who looks once a second knows within 5 s.
	missingAfter = 4 * time.Second
	// patience is missingAfter for a kind that has not sent longPace frames yet: it may be a slide show.
	patience = 15 * time.Second
	longPace = 10
	// A kind that pauses for longer than longGap, as often as there is room in pace.long within gapMemory, does so by nature, like a
	// screen that is sent when it changes. It counts as missing after twice its longest pause, or after maxPatience.
	longGap     = missingAfter / 2
	gapMemory   = 5 * time.Minute
	maxPatience = time.Minute
)

// pace tells a kind of media that has stopped from one that is slow by nature.
type pace struct {
	count int64     // of frames
	at    time.Time // of the last one
	long  [3]pause  // the latest that were longer than longGap
	next  int       // index of the oldest of them
}

type pause struct {
	end    time.Time
	length time.Duration
}

// came notes a frame.
func (p *pace) came(now time.Time) {
	if gap := now.Sub(p.at); p.count > 0 && gap > longGap {
		p.long[p.next] = pause{now, gap}
		p.next = (p.next + 1) % len(p.long)
	}
	p.count++
	p.at = now
}

// stopped says whether frames came and do not come any more.
func (p *pace) stopped(now time.Time) bool { return p.count > 0 && now.Sub(p.at) >= p.limit(now) }

func (p *pace) limit(now time.Time) time.Duration {
	least := missingAfter
	if p.count < longPace {
		least = patience
	}
	longest := time.Duration(0)
	for _, g := range p.long {
		if g.length == 0 || now.Sub(g.end) > gapMemory {
			return least
		}
		longest = max(longest, g.length)
	}
	return min(max(2*longest, least), maxPatience)
}
