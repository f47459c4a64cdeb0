package transponder

import (
	"context"

	"transponder/internal/media"
	"transponder/internal/stream"

	"time"
)

// queue is what a holder reads of one source. The frames have times on the clock of the push. It belongs to one goroutine.
type queue struct {
	reader *stream.Reader
	shift  time.Duration   // from the clock of the source to that of the push
	early  []media.Frame   // come before those of the reader
	sound  media.Timestamp // sound of the reader that is earlier is left out: other sound was sent for that time
}

// TryRead copies frames to dst without waiting, as stream.Reader.TryRead does.
func (q *queue) TryRead(dst []media.Frame) (int, error) {
	if n := copy(dst, q.early); n > 0 {
		clear(q.early[:n])
		if q.early = q.early[n:]; len(q.early) == 0 {
			q.early = nil
		}
		return n, nil
	}
	for {
		n, err := q.reader.TryRead(dst)
		if n == 0 {
			return 0, err
		}
		kept := 0
		for _, f := range dst[:n] {
			f.Time = f.Time.Add(q.shift)
			if f.Kind() == media.Audio && f.Time < q.sound {
				continue
			}
			dst[kept] = f
			kept++
		}
		clear(dst[kept:n])
		if kept > 0 {
			return kept, nil
		}
	}
}

// Read waits for at least one frame, as stream.Reader.Read does.
func (q *queue) Read(ctx context.Context, dst []media.Frame) (int, error) {
	for {
		if n, err := q.TryRead(dst); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-q.reader.Arrived():
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// Arrived returns a channel that gets a value when TryRead may have more frames than the last time.
func (q *queue) Arrived() <-chan struct{} { return q.reader.Arrived() }

// discard throws away the frames that come before those of the reader.
func (q *queue) discard() { q.early = nil }
