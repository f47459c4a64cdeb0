package transponder

import (
	"cmp"
	"slices"
	"time"
)

const (
	// historySize is how many pushes that are over are kept, in some twenty megabytes: those of a week of shows.
	historySize = 10_000

	// A push that ends as mostAlike of its kind have within alikeFor is a repeat: something starts it again and again. Only repeatsSize of these are
	// kept, so that they push nothing else out.
	mostAlike   = 100
	alikeFor    = 24 * time.Hour
	repeatsSize = 1000
)

// Place is where a push that is over stands in a history: by its end, and by its id among those that ended in the same millisecond. All servers have
// the same order.
type Place struct {
	Ended int64 // ms since 1970
	ID    string
}

// Compare returns -1 if the push of p is older than that of other, 1 if it is newer.
func (p Place) Compare(other Place) int {
	return cmp.Or(cmp.Compare(p.Ended, other.Ended), cmp.Compare(p.ID, other.ID))
}

// Place returns where a push that is over stands.
func (i *Info) Place() Place { return Place{max(i.Ended.UnixMilli(), 0), i.ID} }

// Past are pushes that are over, oldest first. Nobody changes them.
type Past []*Info

// Add puts a push into its place, in place of one that has the same. If there are more than keep now, the oldest is forgotten, and returned.
func (p *Past) Add(i *Info, keep int) (forgotten *Info) {
	at, there := p.find(i.Place())
	if there {
		(*p)[at] = i
		return nil
	}
	*p = slices.Insert(*p, at, i)
	if len(*p) > keep {
		forgotten = (*p)[0]
		*p = slices.Delete(*p, 0, 1)
	}
	return forgotten
}

// Remove takes out the push in a place.
func (p *Past) Remove(place Place) {
	if at, there := p.find(place); there {
		*p = slices.Delete(*p, at, at+1)
	}
}

func (p *Past) find(place Place) (at int, there bool) {
	return slices.BinarySearchFunc(*p, place, func(x *Info, place Place) int { return x.Place().Compare(place) })
}

// Newest returns the newest n, newest first.
func (p Past) Newest(n int) []*Info {
	last := slices.Clone(p[max(len(p)-max(n, 0), 0):])
	slices.Reverse(last)
	return last
}

// history has the pushes of a server that are over. The zero value is ready. Whoever uses it holds a lock.
type history struct {
	past    Past
	repeats Past
}

// add keeps a push.
func (h *history) add(i *Info, repeat bool) {
	if repeat {
		h.repeats.Add(i, repeatsSize)
		return
	}
	h.past.Add(i, historySize)
}

// isRepeat reports whether so many pushes have just ended like this one that it is one more of many.
func (h *history) isRepeat(i *Info) bool {
	alike, since := 0, i.Ended.Add(-alikeFor)
	for n := len(h.past) - 1; n >= 0 && alike < mostAlike; n-- {
		x := h.past[n]
		if x.Ended.Before(since) {
			break
		}
		if x.State == i.State && x.SourceName == i.SourceName && x.Target == i.Target {
			alike++
		}
	}
	return alike >= mostAlike
}

// newest returns the newest n, newest first.
func (h *history) newest(n int) []*Info {
	all := append(h.past.Newest(n), h.repeats.Newest(n)...)
	if len(h.repeats) > 0 {
		slices.SortFunc(all, func(a, b *Info) int { return b.Place().Compare(a.Place()) })
	}
	return all[:min(max(n, 0), len(all))]
}
