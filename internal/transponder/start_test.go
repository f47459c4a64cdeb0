package transponder

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"transponder/internal/load"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transcode/picture"
)

// slowVideo takes its time to say whether there is room for a rendition.
type slowVideo struct {
	noVideo
	asked   chan struct{} // gets a value for each Admit
	answers chan error    // what Admit returns
}

func newSlowVideo() *slowVideo {
	return &slowVideo{asked: make(chan struct{}, 100), answers: make(chan error)}
}

func (v *slowVideo) Check() error { return nil }

func (v *slowVideo) Admit(*stream.Source, picture.Profile) error {
	v.asked <- struct{}{}
	return <-v.answers
}

// Starts at the same time take neither one address twice nor more places than there are, and nobody else waits for them.
func TestManyStartsAtOnce(t *testing.T) {
	const places, addresses, each = 4, 5, 8
	b := newBench(t, func(c *Config) { c.MaxPushes = places })
	video := newSlowVideo()
	b.parts.Video = video
	b.source("s")
	server := testkit.NewRTMPServer(t, testkit.Script{At: "accept", Do: testkit.StaySilent})
	running := b.start(Request{StreamName: "s", URL: server.URL("running")}).ID

	type result struct {
		url string
		err error
	}
	results := make(chan result, addresses*each)
	for n := range addresses * each {
		url := server.URL(fmt.Sprintf("app%d", n%addresses))
		go func() {
			_, err := b.Start(context.Background(), Request{StreamName: "s", URL: url, Height: 360})
			results <- result{url, err}
		}()
	}
	get := func() result {
		select {
		case r := <-results:
			return r
		case <-time.After(15 * time.Second):
			t.Fatal("a start does not return")
			return result{}
		}
	}
	for range addresses*each - (places - 1) { // those for which no room has to be asked for
		if r := get(); !errors.Is(r.err, ErrDuplicate) && !errors.Is(r.err, load.ErrFull) {
			t.Errorf("a start beside the others = %v, want ErrDuplicate or ErrFull", r.err)
		}
	}
	if n := len(video.asked); n != places-1 {
		t.Errorf("room was asked for %d times, want %d", n, places-1)
	}

	// The starts for which room was asked still wait, and other requests are answered.
	if all := b.Find(Filter{}); len(all) != 1 || all[0].ID != running {
		t.Errorf("find gives %+v, want the push that runs", all)
	}
	if err := b.Mute(running, true); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := b.Terminate(ctx, running); err != nil {
		t.Errorf("terminate = %v", err)
	}
	b.end()

	// One gets no room. Its address and its place are free again.
	video.answers <- &picture.BusyError{Reason: "All of it is busy."}
	refused := get()
	var busy *picture.BusyError
	if !errors.As(refused.err, &busy) {
		t.Errorf("a start without room = %v, want a BusyError", refused.err)
	}
	for range places - 2 {
		video.answers <- nil
		if r := get(); r.err != nil {
			t.Errorf("a start with room = %v", r.err)
		}
	}
	if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: refused.url}); err != nil {
		t.Errorf("a start to the address that had no room = %v", err)
	}
	targets := map[string]bool{}
	for _, i := range b.Find(Filter{}) {
		targets[i.Target] = true
	}
	if len(targets) != places-1 {
		t.Errorf("pushes to %v, want %d", targets, places-1)
	}
}

// A start that is still asking for room when the server stops makes no push.
func TestStartWhileStopping(t *testing.T) {
	b := newBench(t, nil)
	video := newSlowVideo()
	b.parts.Video = video
	b.source("s")
	started := make(chan error, 1)
	go func() {
		_, err := b.Start(context.Background(), Request{StreamName: "s", URL: "rtmp://127.0.0.1:1/live", Height: 360})
		started <- err
	}()
	<-video.asked
	b.stop()
	video.answers <- nil
	if err := <-started; !errors.Is(err, ErrStopping) {
		t.Errorf("Start = %v, want ErrStopping", err)
	}
	if all := b.Find(Filter{}); len(all) != 0 {
		t.Errorf("there is %+v", all)
	}
}
