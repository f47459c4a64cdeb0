package transponder

import (
	"context"
	"encoding/json"
	"fmt"
)

// writeBatch is how many events are written at once.
const writeBatch = 256

// keptEvent is the form in which an event is kept. Its times and names are those of Event.
type keptEvent struct {
	Version int `json:"v"`
	plainEvent
}

// plainEvent is an Event that is written with all its members.
type plainEvent Event

// Kept reports whether the events outlive the process.
func (j *Journal) Kept() bool { return j.log != nil }

// write writes the events to the log as they come, and then shows them, so that a number that somebody has seen is never given again. It returns
// when ctx has ended and all events are shown. A log that takes nothing holds nothing up for longer than logTimeout.
func (j *Journal) write(ctx context.Context) {
	if j.log == nil {
		return
	}
	for {
		for j.writeSome(ctx) {
		}
		select {
		case <-j.work:
		case <-ctx.Done():
			for j.writeSome(context.WithoutCancel(ctx)) {
			}
			return
		}
	}
}

// writeSome writes and shows the next events. It returns false if there are none.
func (j *Journal) writeSome(ctx context.Context) bool {
	events := j.unshown()
	if len(events) == 0 {
		return false
	}
	var lines [][]byte
	for _, e := range events {
		if line, err := json.Marshal(keptEvent{1, plainEvent(e)}); err == nil { // it has no member that JSON cannot have
			lines = append(lines, line)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logTimeout)
	defer cancel()
	_ = j.log.Append(ctx, eventsLog, j.size, lines...) // the store says when it takes nothing
	j.mu.Lock()
	defer j.mu.Unlock()
	j.show(events[len(events)-1].Number)
	return true
}

// unshown returns the oldest events that nobody has seen.
func (j *Journal) unshown() []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	var events []Event
	for next := max(j.shown+1, j.oldest()); next <= j.last && len(events) < writeBatch; next++ { // the ring may have lost some
		events = append(events, *j.slot(next))
	}
	return events
}

// load reads the events of the processes before. Nothing was added yet.
func (j *Journal) load(ctx context.Context) error {
	lines, err := j.log.Lines(ctx, eventsLog, 0, j.size)
	if err != nil {
		return fmt.Errorf("read the events of pushes: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for n := len(lines) - 1; n >= 0; n-- { // they come newest first
		var kept keptEvent
		if json.Unmarshal(lines[n].Value, &kept) != nil || kept.Number <= j.last {
			continue
		}
		if kept.Number != j.last+1 { // what is missing was never written: readers learn that they have missed it
			j.first = 0
		}
		j.put(Event(kept.plainEvent))
	}
	j.shown, j.loaded = j.last, j.last
	return nil
}
