package wcs

import (
	"testing"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/testkit"
	"transponder/internal/testkit/tracekit"
)

// A page's publisher has a trace that ends with the first key frame, or says why the page may not publish.
func TestTraceOfPublisher(t *testing.T) {
	collector, tracer := tracekit.Start(t)
	w := newWorld(t, testConfig())
	w.srv.parts.Tracer = tracer
	b := dialIn(t, w.serve(t))
	publisher := func(streamName string) testkit.TraceSpan {
		t.Helper()
		return collector.Await(t, "publish", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.stream"] == streamName })
	}

	b.publishLive(w, "id1", "one")
	src := w.ingest.publication("id1").src
	track, err := media.NewH264Track([]byte{0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc8, 0xf1, 0x83, 0x24, 0x80}, []byte{0x68, 0xcb, 0x83, 0xcb, 0x20})
	if err != nil {
		t.Fatal(err)
	}
	src.Video.Write(media.Frame{Track: track, Key: true, Data: []byte{0, 0, 0, 2, 0x65, 1}})
	publish := publisher("one")
	if publish.Failed || publish.Attributes["transponder.door"] != "websocket" || publish.Attributes["transponder.session"] != w.srv.Connections()[0].SessionID {
		t.Errorf("a publisher: %+v", publish)
	}
	collector.Await(t, "answer", func(s testkit.TraceSpan) bool { return s.Within(publish) })

	w.ingest.fail(rtc.ErrBadOffer)
	b.publish("id2", "two")
	b.wantStatus("id2", "FAILED", "Failed by error")
	if refused := publisher("two"); !refused.Failed || refused.Words == "" {
		t.Errorf("a refused publisher: %+v", refused)
	}
}
