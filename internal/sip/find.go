package sip

import (
	"slices"
	"time"

	"transponder/internal/sip/dialog"
)

// Find returns the calls that match: first the calls that go on, then those that have ended, each oldest first. A call that has ended is found for
// 10 s more. A client that uses an id again, and reads the first entry only, so sees the new call.
func (c *Calls) Find(f Filter) []Info {
	now := time.Now()
	c.mu.Lock()
	c.sweep(now)
	calls := slices.Clone(c.ended)
	for _, k := range c.live {
		if k.entered {
			calls = append(calls, k)
		}
	}
	c.mu.Unlock()
	var found []Info
	for _, k := range calls {
		if f.matches(k.record.snapshot()) {
			found = append(found, c.info(k))
		}
	}
	slices.SortStableFunc(found, func(a, b Info) int {
		if over := a.Status.Final(); over != b.Status.Final() {
			if over {
				return 1
			}
			return -1
		}
		return a.Started.Compare(b.Started)
	})
	return found
}

func (f Filter) matches(i Info) bool {
	same := func(want, got string) bool { return want == "" || want == got }
	return same(f.CallID, i.CallID) && same(f.Callee, i.Callee) && same(f.Caller, i.Caller) && same(f.RTMPURL, i.RTMPURL) &&
		same(f.ToStream, i.StreamName) && same(string(f.Status), string(i.Status))
}

// info returns the Info of a call with the figures of the moment.
func (c *Calls) info(k *call) Info {
	i := k.record.snapshot()
	s := k.record.figures()
	i.PacketsReceived = s.Audio.Packets + s.Video.Packets
	i.PacketsLost = s.Audio.Lost + s.Video.Lost
	i.PacketsRefused = s.Audio.Refused.Total() + s.Video.Refused.Total()
	i.KeyFrameRequests = s.KeyRequests.PLI + s.KeyRequests.FIR + k.record.informed()
	if k.push != "" {
		i.PushStatus = c.pushStatus(k.push)
	}
	return i
}

// Terminate hangs up a call, or cancels or refuses it. It returns when the status is final, or fails with ErrNoCall.
func (c *Calls) Terminate(id string) error {
	k, err := c.find(id)
	if err != nil {
		return err
	}
	k.leave("terminated by request")
	<-k.done
	return nil
}

// leave hangs up, with the reason that fits the state of the call.
func (k *call) leave(info string) {
	reason := dialog.ReasonCancelled
	if !k.record.snapshot().Answered.IsZero() {
		reason = dialog.ReasonHungUp
	}
	k.hangUp(reason, info)
}

// byID returns the live call of an id, also one that has not begun; nil if there is none. The caller holds mu.
func (c *Calls) byID(id string) *call {
	i := slices.IndexFunc(c.live, func(k *call) bool { return k.id == id })
	if i < 0 {
		return nil
	}
	return c.live[i]
}

// find returns the call of that id that has begun and has not ended, or ErrNoCall.
func (c *Calls) find(id string) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.byID(id); k != nil && k.entered {
		return k, nil
	}
	return nil, ErrNoCall
}

// remove takes a call out of the live ones; its id and its address are free again. The caller holds mu.
func (c *Calls) remove(k *call) {
	c.live = slices.DeleteFunc(c.live, func(x *call) bool { return x == k })
	if c.pushed[k.pair] == k {
		delete(c.pushed, k.pair)
	}
}

// sweep forgets the calls that ended some time ago. The caller holds mu.
func (c *Calls) sweep(now time.Time) {
	c.ended = slices.DeleteFunc(c.ended, func(k *call) bool { return now.Sub(k.record.snapshot().Ended) >= foundFor })
}

// conclude moves a call from the live ones to the ended ones, and gives its registration back. The signalling may go on.
func (c *Calls) conclude(k *call, now time.Time, s dialog.StatusChanged) {
	k.record.change(func(i *Info) {
		i.Status, i.Reason, i.Detail, i.Ended = s.Status, s.Reason, s.Info, now
		i.Injected = ""
	})
	c.totals.end(s.Reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(k)
	c.sweep(now)
	c.ended = append(c.ended, k)
	if k.joined {
		c.part(k.registration)
	}
}

// forget drops a call that needs no more messages: from now on its peer is a stranger.
func (c *Calls) forget(k *call) {
	k.ways.leave()
	k.kill(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, other := range c.byKey {
		if other == k {
			delete(c.byKey, key)
		}
	}
}
