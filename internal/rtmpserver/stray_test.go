package rtmpserver

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// A publisher that breaks the protocol, here by too many chunk streams, is told why its stream ends.
func TestProtocolBroken(t *testing.T) {
	t.Parallel()
	s, hub := runServer(t, nil)
	_, nc, err := publisher(t, s, "n")
	if err != nil {
		t.Fatal(err)
	}
	src, _ := hub.Source("n")
	go func() {
		for i := range 200 { // each with an empty message
			if _, err := nc.Write([]byte{0, byte(i), 0, 0, 0, 0, 0, 0, 22, 1, 0, 0, 0}); err != nil {
				return
			}
		}
	}()
	b, err := io.ReadAll(nc)
	if err != nil || !strings.Contains(string(b), "NetStream.Publish.Rejected") || !strings.Contains(string(b), "chunk streams") {
		t.Errorf("the publisher reads %q, %v", b, err)
	}
	select {
	case <-src.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the stream goes on")
	}
	if !errors.Is(src.Err(), rtmp.ErrProtocol) {
		t.Errorf("the stream ended with %v", src.Err())
	}
}

// Media of other streams on a connection is counted and ignored.
func TestPass(t *testing.T) {
	f := newFeeder(t)
	for _, kind := range []uint8{flv.TypeVideo, flv.TypeAudio, flv.TypeAudio, flv.TypeData} {
		f.in.pass(rtmp.Message{Type: kind})
	}
	st := f.in.src.Stats()
	got := fmt.Sprint(st.Video.Faults[stream.FaultTrack], st.Audio.Faults[stream.FaultTrack], st.Video.Frames)
	if got != "1 2 0" || st.Video.Faults.Unusable() > 0 {
		t.Errorf("counted %s, want 1 2 0", got)
	}
}
