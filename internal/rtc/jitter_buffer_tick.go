package rtc

import (
	"time"

	"transponder/internal/media"
)

// Waits says whether Tick has something to do, now or later.
func (b *JitterBuffer) Waits() bool { return b.wantPLI || b.needsKey() || b.behind() }

// Due returns when to call Tick after a Push, if Waits is true.
func (b *JitterBuffer) Due(now time.Duration) time.Duration {
	switch {
	case b.wantPLI || b.needsKey():
		return max(now, b.pliAt)
	case b.cfg.NACK:
		return now + b.cfg.FirstNACK
	default:
		return now + b.cfg.ShortWait
	}
}

// Tick gives up packets that have been missing for too long. It returns what to ask the sender for: packets, whose numbers
// it appends to nacks, and a key frame. It is to be called again at the time that it returns, if Waits is true.
func (b *JitterBuffer) Tick(now time.Duration, nacks []uint16) (_ []uint16, pli bool, again time.Duration) {
	again = now + time.Second
	wait := b.cfg.ShortWait
	if b.cfg.NACK {
		wait = b.cfg.Wait
	}
	for b.behind() {
		s := b.slot(b.next)
		if s.state == slotMissing && now-s.since < wait {
			again = min(again, s.since+wait)
			break
		}
		b.skip()
		b.drain()
	}
	if b.cfg.NACK && b.behind() {
		for seq := b.next; seq != b.highest; seq++ {
			s := b.slot(seq)
			if s.state != slotMissing {
				continue
			}
			if s.askAt <= now {
				nacks = append(nacks, seq)
				b.stats.NACKs++
				s.askAt = now + b.cfg.NACKPause
				if s.asked {
					s.askAt += b.cfg.NACKPause
				}
				s.asked = true
			}
			again = min(again, s.askAt)
		}
	}
	if b.wantPLI || b.needsKey() {
		if now >= b.pliAt {
			b.wantPLI, b.pliAt, pli = false, now+b.cfg.PLIGap, true
			b.stats.PLIs++
		}
		again = min(again, b.pliAt)
	}
	return nacks, pli, again
}

// needsKey says that decoding cannot go on without a key frame. The request or the key frame may get lost, so requests are
// repeated until a key frame comes.
func (b *JitterBuffer) needsKey() bool { return b.kind == media.Video && b.begun && b.au.needKey }
