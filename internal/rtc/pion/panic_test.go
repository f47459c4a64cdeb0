package pion

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/testkit"
)

// faulty is a sink that panics at one of its calls.
type faulty struct {
	deaf
	at     string
	ended  chan error
	failed *atomic.Bool
}

func (f faulty) fail(at string) {
	if f.at == at && f.failed.CompareAndSwap(false, true) { // once: reports of both tracks come at the same time
		panic("a fault")
	}
}

func (f faulty) Connected()                              { f.fail("connected") }
func (f faulty) Video(media.Codec, []byte, uint32, bool) { f.fail("video") }
func (f faulty) Clock(media.Kind, uint64, uint32)        { f.fail("report") }
func (f faulty) WantsKeyFrame()                          { f.fail("key frame") }
func (f faulty) Closed(cause error)                      { f.ended <- cause }

// TestPanicEndsOneSession: a panic in what pion's goroutines call ends the session, and is counted.
func TestPanicEndsOneSession(t *testing.T) {
	for _, at := range []string{"connected", "video", "report"} {
		t.Run(at, func(t *testing.T) {
			e := newEndpoint(t)
			sink := faulty{at: at, failed: new(atomic.Bool), ended: make(chan error, 2)}
			left := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				left <- testkit.NewPublisher(testkit.DefaultPublisherConfig()).Run(ctx, func(ctx context.Context, sdp string) (string, error) {
					offer, err := rtc.ParseOffer(sdp)
					if err != nil {
						return "", err
					}
					_, answer, err := e.Answer(ctx, offer, sink)
					return answer, err
				})
			}()
			checkEnd(t, e, sink.ended)
			cancel()
			<-left
		})
	}
}

func checkEnd(t *testing.T, e *Endpoint, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, panics.Err) || e.Panics() != 1 {
			t.Errorf("ended with %v, %d panics", err, e.Panics())
		}
	case <-time.After(15 * time.Second):
		t.Error("the session does not end")
	}
}

// A panic at the feedback of a player ends its session.
func TestPanicEndsOnePlayer(t *testing.T) {
	e := newEndpoint(t)
	events := faulty{at: "key frame", failed: new(atomic.Bool), ended: make(chan error, 2)}
	player := testkit.NewPlayer(testkit.PlayerConfig{Video: true})
	left := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		left <- player.Run(ctx, func(ctx context.Context, sdp string) (string, error) {
			offer, err := rtc.ParsePlay(sdp, h264Track)
			if err != nil {
				return "", err
			}
			outlet, answer, err := e.Send(ctx, offer, "s", events)
			if err == nil {
				go playUntil(ctx, outlet)
			}
			return answer, err
		})
	}()
	player.Wait(t, "a frame", func() bool { return len(player.Frames("video")) > 0 })
	if err := player.RequestKeyFrame(); err != nil {
		t.Error(err)
	}
	checkEnd(t, e, events.ended)
	cancel()
	<-left
}

// playUntil sends a packet each 10 ms until ctx ends.
func playUntil(ctx context.Context, outlet rtc.Outlet) {
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for n := uint32(0); ctx.Err() == nil; n += 900 {
		_ = outlet.Write(media.Video, [][]byte{{0x65, 1, 2, 3}}, n, true) // fails once the session has ended
		<-every.C
	}
}
