package transponder

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// lateSilence gives a stream without sound silence, somewhat more than a second after somebody wants its sound.
type lateSilence struct{ sameAudio }

func (lateSilence) Feed(s *stream.Source, _ media.AudioFormat) (*stream.Feed, func(), error) {
	return s.Rendition("silence", nil, func(ctx context.Context, out *stream.Feed) error {
		begun := s.Now()
		time.Sleep(lateAfter + 50*time.Millisecond)
		for at := begun; ctx.Err() == nil; at = at.Add(20 * time.Millisecond) {
			if wait := at.Sub(s.Now()); wait > 0 {
				time.Sleep(wait)
			}
			out.Write(media.Frame{Track: realAudio, Time: at, Key: true, Data: []byte{1}})
		}
		return context.Cause(ctx)
	})
}

func (lateSilence) Expect(*stream.Source, media.AudioFormat) *media.Track { return realAudio }

// keptRegistry is a process whose pushes outlive it, for tests in a bubble.
func keptRegistry(t *testing.T, hub *stream.Hub, keeper *fakeKeeper, dial func(context.Context, netip.AddrPort) (net.Conn, error)) (r *Registry, stop func()) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.dialTCP = dial
	parts := testParts(hub)
	parts.Audio, parts.Keeper = lateSilence{}, keeper
	r = NewRegistry(cfg, parts, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		r.Run(ctx)
	}()
	return r, func() {
		cancel()
		<-ran
	}
}

// A push of a stream without sound that waits for its turn after a restart connects once, and what it sends first is no older than a group of
// pictures.
func TestTurnWithoutSound(t *testing.T) {
	const group = 2 * time.Second
	for _, wait := range []time.Duration{0, 500 * time.Millisecond, 1100 * time.Millisecond, 3 * time.Second, 9 * time.Second} {
		t.Run(wait.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keeper := newFakeKeeper()
				var dials atomic.Int32
				var pictures, sounds []rtmp.Message
				var first time.Time // when the first picture came
				far := &farEnd{takes: func(at time.Time, m rtmp.Message) {
					switch {
					case m.Type == flv.TypeAudio:
						sounds = append(sounds, m)
					case m.Type == flv.TypeVideo && m.Payload[1] == 1:
						if len(pictures) == 0 {
							first = at
						}
						pictures = append(pictures, m)
					}
				}}
				dial := func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
					dials.Add(1)
					return far.dial(ctx, to)
				}
				publish := func(hub *stream.Hub) *source {
					src, err := hub.Publish(stream.Info{Name: "s", ID: "s", HasVideo: true, HasAudio: true})
					if err != nil {
						t.Fatal(err)
					}
					src.SetLive()
					return &source{Source: src, video: realVideo(t), audio: realAudio}
				}
				play := func(s *source, d time.Duration) { // pictures only, in groups of two seconds
					const step = 100 * time.Millisecond
					for at := time.Duration(0); at < d; at += step {
						data := []byte{0, 0, 0, 4, 0x65, 1, 2, 3}
						s.Video.Write(media.Frame{Track: s.video, Time: s.Now(), Key: at%group == 0, Data: data})
						time.Sleep(step)
					}
				}

				hub := stream.NewHub(stream.DefaultConfig(), nil)
				r, stop := keptRegistry(t, hub, keeper, dial)
				s := publish(hub)
				info, err := r.Start(t.Context(), Request{StreamName: "s", URL: "rtmp://192.0.2.1/live"})
				if err != nil {
					t.Fatal(err)
				}
				play(s, 5*time.Second)
				keeper.crash()
				stop()
				s.Close(nil)

				hub = stream.NewHub(stream.DefaultConfig(), nil)
				far.wg.Wait()
				dials.Store(0)
				r, stop = keptRegistry(t, hub, keeper, dial)
				if err := r.Restore(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				r.resumes.limiter.next = time.Now().Add(wait)
				pictures, sounds = nil, nil
				s = publish(hub)
				play(s, wait+5*time.Second)
				back := r.Find(Filter{ID: info.ID})
				if n := dials.Load(); n != 1 || len(back) != 1 || back[0].State != Live {
					t.Errorf("connected %d times, want once; the push is %+v", n, back)
				}
				synctest.Wait()
				if len(sounds) < 100 || len(pictures) == 0 {
					t.Fatalf("the server got %d pictures and %d frames of silence", len(pictures), len(sounds))
				}
				sent := time.Duration(pictures[len(pictures)-1].Time-pictures[0].Time) * time.Millisecond
				if old := sent - time.Since(first); old > group {
					t.Errorf("the first picture was %v old", old)
				}
				if apart := int64(sounds[0].Time) - int64(pictures[0].Time); apart > 1000 {
					t.Errorf("sound begins %d ms after the pictures", apart)
				}
				stop()
				far.wg.Wait()
				s.Close(nil)
			})
		})
	}
}
