package cluster

import (
	"context"
	"encoding/json"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

const (
	markKey = "alive"
	// markEvery is how often it is noted that the server runs.
	markEvery = time.Minute
)

// Mark is the note that the server of a state folder runs. It tells the next process how long the server was gone.
type Mark struct {
	keeper state.Keeper
	clock  *transponder.Clock
	before time.Time
}

type markRecord struct {
	Version int   `json:"v"`
	At      int64 `json:"at"` // milliseconds since 1970, by the clock of far-end times
}

// NewMark reads the note of the process before. A note that cannot be read is none.
func NewMark(ctx context.Context, keeper state.Keeper) *Mark {
	m := &Mark{keeper: keeper}
	var latest time.Time
	var r markRecord
	if stored, err := keeper.Get(ctx, metaBucket, markKey); err == nil && json.Unmarshal(stored.Value, &r) == nil && r.At > 0 {
		m.before = time.UnixMilli(r.At)
		if time.Now().Before(m.before) { // the machine's clock was set back
			latest = m.before.Add(markEvery + time.Second)
		}
	}
	m.clock = transponder.NewClock(latest)
	return m
}

// Clock returns the clock of far-end times: it goes on after that of the process before.
func (m *Mark) Clock() *transponder.Clock { return m.clock }

// Outage returns how long the server was gone, up to now; 0 if that is not known.
func (m *Mark) Outage() time.Duration {
	if m.before.IsZero() {
		return 0
	}
	return max(0, m.clock.Now().Sub(m.before))
}

// Run writes the note once a minute, and a last time when ctx ends. A note that cannot be written is written later: the keeper logs that.
func (m *Mark) Run(ctx context.Context) error {
	t := time.NewTicker(markEvery)
	defer t.Stop()
	for {
		m.write(context.WithoutCancel(ctx))
		select {
		case <-t.C:
		case <-ctx.Done():
			m.write(context.WithoutCancel(ctx))
			return context.Cause(ctx)
		}
	}
}

func (m *Mark) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	value, err := json.Marshal(markRecord{1, m.clock.Now().UnixMilli()})
	if err == nil {
		_, _ = m.keeper.Put(ctx, metaBucket, markKey, value, state.Any)
	}
}
