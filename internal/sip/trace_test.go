package sip

import (
	"testing"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
	"transponder/internal/testkit/tracekit"
)

// A call has a trace from its beginning to its first key frame, or to what went wrong.
func TestTraceOfCall(t *testing.T) {
	collector, tracer := tracekit.Start(t)
	s := newServer(t, nil)
	s.parts.Tracer = tracer
	call := func(stream string) testkit.TraceSpan {
		t.Helper()
		return collector.Await(t, "call", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.stream"] == stream })
	}

	p := s.phone()
	s.start(Request{CallID: "call-1", Callee: p.URI("bob"), Video: true, ToStream: "cam"})
	c := p.Answer(phone.Plan{Video: phone.NewStream(t)})
	picture := &phone.Picture{Type: c.VideoType, SSRC: 8, FPS: 25, Units: testkit.SyntheticUnits(10, 3000)}
	defer c.Video.Play(picture, phone.Reports{})()
	whole := call("cam")
	if whole.Failed || whole.Attributes["transponder.door"] != "sip" || whole.Attributes["transponder.session"] != "call-1" {
		t.Errorf("a call: %+v", whole)
	}
	// The first packet is a whole key frame. The step is there all the same.
	for _, name := range []string{"answer", "first key frame"} {
		step := collector.Await(t, name, func(s testkit.TraceSpan) bool { return s.Within(whole) })
		if step.Failed || step.Begin < whole.Begin || step.End > whole.End {
			t.Errorf("%s: %+v, want it within %+v", name, step, whole)
		}
	}
	if err := s.Terminate("call-1"); err != nil {
		t.Fatal(err)
	}

	other := s.phone()
	s.start(Request{CallID: "call-2", Callee: other.URI("eve"), Video: true, ToStream: "busy"})
	other.Reply(other.Await("INVITE"), phone.Reply{Code: 486})
	if refused := call("busy"); !refused.Failed || refused.Words == "" {
		t.Errorf("a call that is refused: %+v", refused)
	}
}
