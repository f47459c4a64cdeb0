package rtc

import (
	"time"

	"transponder/internal/media"
)

// leastDelay keeps the least delay of the last delayWindow: one value for each second.
type leastDelay struct {
	buckets [delayWindow / time.Second]delayBucket
	overall delayBucket // the least of all buckets, as of its second
}

type delayBucket struct {
	second int64 // counted from 1; 0: the bucket is empty
	least  time.Duration
}

// note takes a delay in a second.
func (b *delayBucket) note(second int64, delay time.Duration) {
	if b.second != second {
		*b = delayBucket{second: second, least: delay}
		return
	}
	b.least = min(b.least, delay)
}

func secondOf(now media.Timestamp) int64 { return int64(now)/int64(time.Second) + 1 }

func (d *leastDelay) add(now media.Timestamp, delay time.Duration) {
	second := secondOf(now)
	if d.overall.second == second {
		d.overall.note(second, delay)
	}
	d.buckets[second%int64(len(d.buckets))].note(second, delay)
}

// stalled says whether all packets of the last stallSeconds were later than the least delay before, by more than stalledBy.
// If so, it forgets the delays before.
func (d *leastDelay) stalled(now media.Timestamp) bool {
	before, ok := d.least(now)
	if !ok {
		return false
	}
	second := secondOf(now)
	if second <= stallSeconds {
		return false
	}
	recent := leastDelay{}
	for back := range int64(stallSeconds + 1) {
		b := d.buckets[(second-back)%int64(len(d.buckets))]
		if b.second != second-back {
			return false // nothing came in that second, so nothing is known
		}
		recent.buckets[b.second%int64(len(d.buckets))] = b
	}
	least, _ := recent.least(now)
	if least-before <= stalledBy {
		return false
	}
	*d = recent
	return true
}

// least returns the least delay of the last delayWindow; not ok if nothing came.
func (d *leastDelay) least(now media.Timestamp) (least time.Duration, ok bool) {
	second := secondOf(now)
	if d.overall.second == second {
		return d.overall.least, true
	}
	for _, b := range d.buckets {
		if b.second != 0 && second-b.second < int64(len(d.buckets)) && (!ok || b.least < least) {
			least, ok = b.least, true
		}
	}
	if ok {
		d.overall = delayBucket{second: second, least: least}
	}
	return least, ok
}
