package transponder

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// gateClaim is a claim whose gate a test moves.
type gateClaim struct {
	looseClaim
	lost chan struct{}

	mu      sync.Mutex
	shut    bool          // guarded by mu
	alone   bool          // guarded by mu
	changed chan struct{} // guarded by mu
}

func newGateClaim() *gateClaim {
	return &gateClaim{lost: make(chan struct{}), changed: make(chan struct{})}
}

func (c *gateClaim) set(shut, alone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut, c.alone = shut, alone
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *gateClaim) Open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.shut
}

func (c *gateClaim) Alone() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Time{}, c.alone
}

func (c *gateClaim) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *gateClaim) Lost() <-chan struct{} { return c.lost }

// TestFence cuts a server off from the others: a push goes on as long as its publisher sends, and no longer than 2 s after that.
func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "cam", ID: "1", HasVideo: true})
		if err != nil {
			t.Fatal(err)
		}
		claim := newGateClaim()
		e := &entry{push: &push{claim: claim, in: &holder{src: src}}}
		over := make(chan struct{})
		ended := make(chan error, 1)
		go func() { ended <- e.fence(over) }()
		feed := func(d time.Duration) {
			for range d / (100 * time.Millisecond) {
				src.Video.Write(media.Frame{Track: &media.Track{Codec: media.H264}, Key: true, Time: src.Now()})
				time.Sleep(100 * time.Millisecond)
			}
		}
		running := func(what string) {
			t.Helper()
			synctest.Wait()
			select {
			case err := <-ended:
				t.Fatalf("%s: the push ended: %v", what, err)
			default:
			}
		}
		time.Sleep(10 * time.Second)
		running("no media, with the others")
		claim.set(false, true)
		feed(10 * time.Second)
		running("cut off, with media")
		claim.set(false, false)
		time.Sleep(10 * time.Second)
		running("no media, back with the others")
		claim.set(false, true)
		feed(time.Second)
		silent := time.Now()
		if err := <-ended; !errors.Is(err, ErrMoved) || !parked(err) {
			t.Errorf("cut off without media: %v", err)
		}
		if d := time.Since(silent); d < 1500*time.Millisecond || d > 2200*time.Millisecond {
			t.Errorf("the push ended %v after the last media, want 2 s", d)
		}

		go func() { ended <- e.fence(over) }()
		claim.set(false, false)
		close(claim.lost)
		if err := <-ended; !errors.Is(err, ErrMoved) {
			t.Errorf("another server has the push: %v", err)
		}
		claim.lost = make(chan struct{})
		go func() { ended <- e.fence(over) }()
		close(over)
		if err := <-ended; err != nil {
			t.Errorf("the push is over: %v", err)
		}
		src.Close(nil)
	})
}

// TestUntilTogether connects only while the server is with the others and sure of its lease.
func TestUntilTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claim := newGateClaim()
		p := &push{claim: claim}
		done := make(chan error, 1)
		claim.set(false, true)
		go func() { done <- p.untilTogether(t.Context()) }()
		for _, step := range []struct{ shut, alone bool }{{false, true}, {true, false}, {true, true}} {
			claim.set(step.shut, step.alone)
			synctest.Wait()
			select {
			case <-done:
				t.Fatalf("the push connects with %+v", step)
			default:
			}
		}
		claim.set(false, false)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
