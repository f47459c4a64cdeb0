package transponder

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/load"
	"transponder/internal/stream"
)

// fakePushes starts nothing. Where loop is set, what is pushed comes back as a stream, as from our own RTMP server.
type fakePushes struct {
	hub  *stream.Hub
	loop bool

	mu      sync.Mutex
	err     error // of each start
	started []string
	pushes  []Info
	back    []*stream.Source
}

func (f *fakePushes) Start(_ context.Context, req Request) (Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started = append(f.started, req.StreamName)
	if f.err != nil {
		return Info{}, f.err
	}
	info := Info{SourceName: req.StreamName, StreamName: "rtmp_" + req.StreamName + "?key=x", URL: req.URL}
	f.pushes = append(f.pushes, info)
	if f.loop {
		s, err := f.hub.Publish(stream.Info{Name: "rtmp_" + req.StreamName, ID: req.StreamName + "2", Provider: "RTMP"})
		if err != nil {
			return Info{}, err
		}
		f.back = append(f.back, s)
	}
	return info, nil
}

func (f *fakePushes) published() (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pushes {
		names = append(names, p.StreamName)
	}
	return names
}

func (f *fakePushes) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// names returns what was started since the last call.
func (f *fakePushes) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := f.started
	f.started = nil
	return names
}

// follow runs an AutoStart over fake pushes for the length of a test, and returns what it logs.
func follow(t *testing.T, f *fakePushes) *lockedBuffer {
	t.Helper()
	f.hub = stream.NewHub(stream.DefaultConfig(), nil)
	log := &lockedBuffer{}
	a := NewAutoStart("rtmp://localhost/live", f.hub, nil, slog.New(slog.NewTextHandler(log, nil)))
	a.pushes = f
	ctx, cancel := context.WithCancelCause(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel(ErrStopping)
		if err := <-ran; !errors.Is(err, ErrStopping) {
			t.Errorf("Run = %v, want the cause of its end", err)
		}
		for _, s := range f.hub.Sources() {
			s.Close(nil)
		}
	})
	return log
}

func publishTo(t *testing.T, h *stream.Hub, name, provider string) *stream.Source {
	t.Helper()
	s, err := h.Publish(stream.Info{Name: name, ID: name, Provider: provider})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAutoStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakePushes{}
		follow(t, f)
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := f.names(); !slices.Equal(got, want) {
				t.Errorf("%s: started %v, want %v", what, got, want)
			}
		}
		expect("no streams")
		a := publishTo(t, f.hub, "a", "WebRTC")
		expect("a stream", "a")
		publishTo(t, f.hub, "b", "WHIP")
		publishTo(t, f.hub, "c", "RTMP")
		expect("two more", "b", "c")
		a.Close(nil)
		publishTo(t, f.hub, "a", "WebRTC")
		expect("one that came back", "a")

		f.fail(load.ErrFull)
		publishTo(t, f.hub, "d", "WebRTC")
		expect("no room", "d")
		<-time.After(autoPause + time.Second)
		expect("still none", "d")
		publishTo(t, f.hub, "e", "WebRTC")
		expect("the next has to wait as well", "d")
		f.fail(nil)
		<-time.After(autoPause)
		expect("room", "d", "e")

		f.fail(errElsewhere)
		g := publishTo(t, f.hub, "g", "WebRTC")
		h := publishTo(t, f.hub, "h", "WebRTC")
		synctest.Wait()
		if got := f.names(); !slices.Contains(got, "g") || !slices.Contains(got, "h") {
			t.Errorf("another server has one push: started %v, want both", got)
		}
		f.fail(nil)
		<-time.After(autoElsewhere)
		expect("the other server has ended it", "g", "h")
		g.Close(nil)
		h.Close(nil)

		for _, err := range []error{ErrDuplicate, ErrStreamNotFound} {
			f.fail(err)
			s := publishTo(t, f.hub, "f", "WebRTC")
			expect("settled", "f")
			<-time.After(2 * autoPause)
			expect("no second attempt")
			s.Close(nil)
		}
	})
}

// The address is our own: each stream comes back once, and not again.
func TestAutoStartDoesNotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakePushes{loop: true}
		log := follow(t, f)
		publishTo(t, f.hub, "a", "WebRTC")
		publishTo(t, f.hub, "b", "RTMP") // a publisher's own
		publishTo(t, f.hub, "c", "WebRTC")
		publishTo(t, f.hub, "rtmp_rtmp_a", "RTMP")
		synctest.Wait()
		got := f.names()
		slices.Sort(got)
		if want := []string{"a", "b", "c", "rtmp_rtmp_a"}; !slices.Equal(got, want) {
			t.Errorf("started %v, want %v", got, want)
		}
		if n := strings.Count(log.String(), "not pushed again"); n != 4 {
			t.Errorf("%d streams were left alone, want the 4 that came back:\n%s", n, log)
		}
	})
}

func TestAutoStartSaysOnceWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakePushes{err: &RequestError{"rtmpUrl", "the name cannot be resolved"}}
		log := follow(t, f)
		publishTo(t, f.hub, "a", "WebRTC")
		<-time.After(time.Hour)
		if n := strings.Count(log.String(), "cannot be resolved"); n != 1 || len(f.names()) < 100 {
			t.Errorf("logged %d times, want once, and many attempts:\n%s", n, log)
		}
		f.fail(nil)
		<-time.After(autoPause + time.Second)
		if got := f.published(); len(got) != 1 {
			t.Errorf("%d pushes in the end, want 1", len(got))
		}
	})
}

func TestValidateAutoStart(t *testing.T) {
	for url, ok := range map[string]bool{
		"rtmp://rtmp.server.com:1935/": true, // as the contract has it
		"rtmps://a.example/live":       true,
		"http://a.example/live":        false,
		"":                             false,
	} {
		if err := ValidateAutoStart(url); (err == nil) != ok {
			t.Errorf("ValidateAutoStart(%q) = %v", url, err)
		}
	}
}
