package rtc

import "transponder/internal/media"

// duplexEvents takes the events of a duplex's session.
type duplexEvents struct {
	*Frames
	d *Duplex
}

var _ CallEvents = duplexEvents{}

// Connected implements Sink.
func (e duplexEvents) Connected() {
	e.d.source.SetLive()
	close(e.d.connected)
}

// Closed implements Sink.
func (e duplexEvents) Closed(cause error) { e.d.end(ended(cause)) }

// WantsKeyFrame implements CallEvents.
func (e duplexEvents) WantsKeyFrame() { e.d.out.wantKeyFrame() }

// duplexPlayout takes the events of a duplex's playout.
type duplexPlayout struct{ d *Duplex }

// begun implements playoutEvents.
func (duplexPlayout) begun() {}

// unplayable implements playoutEvents: the call goes on without this kind of media.
func (e duplexPlayout) unplayable(kind media.Kind, cause error) error {
	if e.d.out.source.Err() == nil {
		e.d.log.Warn("a call goes on without media that the client cannot play", "media", kind, "err", cause)
	}
	return nil
}
