package stream

import (
	"context"
	"fmt"
	"time"
)

// Names knows which process of several has which stream. The methods may be called from any goroutine.
type Names interface {
	// Take takes a name for a source that is about to be published here. It fails with ErrNameInUse if another process keeps the name. If
	// nobody can tell, it succeeds, and Names ends the source later if need be. Take has a deadline of its own, too.
	Take(ctx context.Context, info Info) error
	// Keep notes that another source of this process has a name now, or one that was not asked for. It does not block.
	Keep(info Info)
	// Free notes that a source has ended. It does not block.
	Free(info Info)
}

// SetNames lets the hub share its names with other processes. Call it before the first publisher comes.
func (h *Hub) SetNames(n Names) { h.names = n }

// silentFor is how long a publisher must have sent nothing until another process may have his name whoever publishes there.
const silentFor = 2 * time.Second

// Yield ends the stream of a name because its publisher has come to another process, if Config.Takeover would let that publisher take over
// here. info tells of the newcomer. Yield may wait as Claim does. It fails with ErrNameInUse if the stream goes on.
func (h *Hub) Yield(ctx context.Context, info Info) error {
	return insist(ctx, func() (*Source, error) {
		old, ok := h.Source(info.Name)
		if !ok {
			return nil, nil
		}
		switch c := h.cfg.Takeover.over(old.info, info); {
		case c == refused:
			return nil, ErrNameInUse
		case c == whenDead && !old.dead(time.Now()):
			return old, ErrNameInUse
		}
		h.takeovers.Add(1)
		old.Close(ErrReplaced)
		return nil, nil
	})
}

// YieldDead ends the stream of a name if its publisher sends nothing, because another process has a publisher of that name who does. It fails
// with ErrNameInUse if the stream goes on.
func (h *Hub) YieldDead(name string) error {
	old, ok := h.Source(name)
	if !ok {
		return nil
	}
	if now := time.Now(); old.IsLive() && now.Sub(old.LastMedia()) < silentFor || !old.IsLive() && now.Sub(old.created) < connectsWithin {
		return ErrNameInUse
	}
	h.takeovers.Add(1)
	old.Close(fmt.Errorf("%w at another node", ErrReplaced))
	return nil
}
