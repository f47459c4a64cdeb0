package rtc

// sink takes the media of a publication's session.
type sink struct {
	*Frames
	p *Publication
}

var _ Sink = (*sink)(nil)

func newSink(p *Publication) *sink { return &sink{Frames: NewFrames(p.source, p.in.log), p: p} }

// Connected implements Sink.
func (s *sink) Connected() {
	s.p.source.SetLive()
	close(s.p.connected)
}

// Closed implements Sink.
func (s *sink) Closed(cause error) { s.p.closed <- ended(cause) }
