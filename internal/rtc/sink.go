package rtc

// sink takes the media of a publication's session.
type sink struct {
	*Frames
	p *Publication
}

var (
	_ Sink        = (*sink)(nil)
	_ ICEObserver = (*sink)(nil)
)

func newSink(p *Publication) *sink { return &sink{Frames: NewFrames(p.source, p.in.log), p: p} }

// ICEConnected implements ICEObserver.
func (s *sink) ICEConnected() {
	s.p.source.Info().Steps.NextAfter("ICE", "DTLS")
}

// Connected implements Sink.
func (s *sink) Connected() {
	s.p.source.SetLive()
	close(s.p.connected)
}

// Closed implements Sink.
func (s *sink) Closed(cause error) { s.p.closed <- ended(cause) }
