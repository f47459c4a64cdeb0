package rtc

import (
	"context"
	"fmt"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// lifetime decides how long a session that receives lives.
type lifetime struct {
	cfg       Config
	source    *stream.Source
	frames    *Frames
	connected <-chan struct{}
	closed    <-chan error // gets a value: why the session ended
	hasICE    func() bool  // ICE is connected
}

// wait waits for the end of the session and returns the cause. It is called when both sides have each other's SDP.
func (l lifetime) wait(ctx context.Context) error {
	connect := time.NewTimer(l.cfg.ConnectTimeout)
	defer connect.Stop()
	connected := l.connected
	var activity <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.source.Done():
			return l.source.Err()
		case err := <-l.closed:
			return err
		case <-connect.C:
			if l.hasICE() {
				return fmt.Errorf("%w: not done in time", ErrDTLS)
			}
			return ErrICETimeout
		case <-connected:
			connected = nil
			connect.Stop()
			if l.cfg.ActivityTimeout > 0 {
				t := time.NewTicker(activityTick(l.cfg.ActivityTimeout))
				defer t.Stop()
				activity = t.C
				l.frames.touch()
			}
		case <-activity:
			if l.idle() {
				return ErrActivity
			}
		}
	}
}

// activityTick returns how often to look for media: the timeout is exact to a tenth.
func activityTick(timeout time.Duration) time.Duration {
	return max(timeout/10, time.Millisecond)
}

// idle says whether a watched track that the client said it would send has been silent for too long.
func (l lifetime) idle() bool {
	idle := func(k media.Kind) bool { return l.source.Now().Sub(l.frames.heard(k)) > l.cfg.ActivityTimeout }
	return l.cfg.ActivityAudio && l.source.HasAudio() && idle(media.Audio) ||
		l.cfg.ActivityVideo && l.source.HasVideo() && idle(media.Video)
}
