package stream

import "time"

// Fault is what is wrong with something that a publisher sent.
type Fault uint8

// The faults. Pictures with FaultOrder are used all the same; everything else is thrown away.
const (
	FaultForm     Fault = iota // it does not follow its format
	FaultConfig                // the configuration of its decoder is missing
	FaultCodec                 // its codec is not supported
	FaultTrack                 // it belongs to another track than the first of its kind, or to another stream
	FaultKeyFrame              // it came before a key frame
	FaultLate                  // it came after silence had taken its place
	FaultOrder                 // pictures are not sent in the order of their presentation, and nothing tells when to present them

	numFaults = iota
)

var faultNames = [numFaults]string{
	FaultForm: "malformed", FaultConfig: "no_config", FaultCodec: "codec", FaultTrack: "other_track", FaultKeyFrame: "no_key_frame",
	FaultLate: "late", FaultOrder: "b_frames",
}

// String returns the name of the fault in metrics and logs.
func (f Fault) String() string { return faultNames[f] }

// Faults counts faults by their kind.
type Faults [numFaults]int64

// Unusable returns how many frames and configurations could not be used.
func (f Faults) Unusable() int64 { return f[FaultForm] + f[FaultConfig] + f[FaultCodec] }

const (
	// missingAfter is the time without a frame after which a kind of media counts as missing. A check once a second notices that within
	// 5 s.
	missingAfter = 4 * time.Second
	// patience replaces missingAfter for a kind that has not sent longPace frames yet: it may be a slide show.
	patience = 15 * time.Second
	longPace = 10
	// A kind is slow by nature if it has paused for longer than longGap len(pace.long) times within gapMemory. An example is a screen
	// that is sent when it changes. Such a kind counts as missing after twice its longest pause, or after maxPatience.
	longGap     = missingAfter / 2
	gapMemory   = 5 * time.Minute
	maxPatience = time.Minute
)

// pace tells whether a kind of media has stopped or is slow by nature.
type pace struct {
	count int64     // of frames
	at    time.Time // of the last frame
	long  [3]pause  // the latest pauses longer than longGap
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

// stopped reports whether frames came and do not come any more.
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
