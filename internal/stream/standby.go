package stream

import "time"

// mayStandBy reports whether a newcomer becomes the spare of the publisher that has the name. It does if it might take over the name, and if the
// publisher seems to live. The caller holds mu.
func (h *Hub) mayStandBy(old *Source, newcomer Info) bool {
	if !h.cfg.Standby || old.info.IsRelay() || newcomer.IsRelay() {
		return false
	}
	rule := h.cfg.Takeover
	if rule == TakeoverNever { // that is about publishers that are replaced
		rule = TakeoverSame
	}
	return rule.over(old.info, newcomer) != refused && !old.dead(time.Now())
}

// standBy makes s the spare of the name. A spare that seems to be gone is replaced, and returned as old. If the name has another spare,
// standBy returns it with ErrNameInUse. The caller holds mu.
func (h *Hub) standBy(s *Source) (old *Source, err error) {
	old = h.spares[s.info.Name]
	if old != nil && !old.dead(time.Now()) {
		return old, ErrNameInUse
	}
	if other := h.byID[s.info.ID]; other != nil && other != old {
		return nil, ErrIDInUse
	}
	if old == nil {
		if err := h.admit(); err != nil {
			return nil, err
		}
	} else {
		delete(h.byID, old.info.ID)
	}
	s.spare = true
	h.spares[s.info.Name], h.byID[s.info.ID] = s, s
	return old, nil
}

// WasSpare reports whether s began as the spare of another source.
func (s *Source) WasSpare() bool { return s.spare }

// promote gives a spare its name. The caller holds mu.
func (h *Hub) promote(spare *Source) {
	delete(h.spares, spare.info.Name)
	h.byName[spare.info.Name] = spare
	h.promotions.Add(1)
	close(h.added)
	h.added = make(chan struct{})
}

// stalled returns the sources that send nothing while their spares do.
func (h *Hub) stalled(now time.Time) []*Source {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*Source
	for name, spare := range h.spares {
		s := h.byName[name]
		limit := h.cfg.StandbyAfter
		if s.frames() == 0 {
			limit = max(limit, connectsWithin)
		}
		if s.Quiet(now) >= limit && spare.frames() > 0 && spare.Quiet(now) < h.cfg.StandbyAfter {
			all = append(all, s)
		}
	}
	return all
}

// Spares returns the sources that wait for the name of another.
func (h *Hub) Spares() []*Source {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Source, 0, len(h.spares))
	for _, s := range h.spares {
		all = append(all, s)
	}
	return all
}

// StandsBy reports whether names may have a spare.
func (h *Hub) StandsBy() bool { return h.cfg.Standby }

// Promotions returns how many spares have got the name of the publisher before.
func (h *Hub) Promotions() int64 { return h.promotions.Load() }
