package peer

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a hub with an ingest over a receiver of this package.
type server struct {
	hub      *stream.Hub
	receiver *Receiver
	ingest   *rtc.Ingest
}

// openPort opens a media port for the time of a test.
func openPort(t *testing.T) *udp.Port {
	t.Helper()
	cfg := udp.DefaultConfig()
	cfg.Port = 0
	port, err := udp.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { port.Close() })
	return port
}

func newServer(t *testing.T, cfg Config, in rtc.Config) *server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r, err := New(t.Context(), cfg, openPort(t), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	hub := stream.NewHub(stream.DefaultConfig())
	return &server{hub, r, rtc.NewIngest(in, hub, log, r)}
}

// published is a running publication with a reader of its frames.
type published struct {
	*rtc.Publication
	reader *stream.Reader
	ended  chan error
}

// publish starts a publisher and the publication that it makes. Both end with the test.
func (s *server) publish(t *testing.T, offer rtc.Offer, p *testkit.Publisher) *published {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan *published, 1)
	gone := make(chan error, 1)
	go func() {
		gone <- p.Run(ctx, func(ctx context.Context, sdp string) (string, error) {
			offer.SDP = sdp
			pub, err := s.ingest.Publish(ctx, offer, stream.Info{Name: t.Name(), ID: t.Name()})
			if err != nil {
				return "", err
			}
			src := pub.Source()
			reader := src.NewReader(stream.ReaderConfig{Video: src.Video, Audio: src.Audio})
			got <- &published{pub, reader, make(chan error, 1)}
			return pub.Answer(), nil
		})
	}()
	var pub *published
	select {
	case pub = <-got:
	case err := <-gone:
		t.Fatalf("publisher: %v", err)
	}
	serverCtx, stop := context.WithCancel(context.Background())
	go func() { pub.ended <- pub.Run(serverCtx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-gone; err != nil && !errors.Is(err, testkit.ErrConnection) {
			t.Errorf("publisher: %v", err)
		}
		stop()
		<-pub.ended
	})
	return pub
}

// frames reads until so many video frames came, and returns their numbers and how many packets of audio came between.
func (p *published) frames(t *testing.T, n int) (numbers []int64, audio int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	buf := make([]media.Frame, 64)
	last := map[media.Kind]media.Timestamp{}
	for len(numbers) < n {
		k, err := p.reader.Read(ctx, buf)
		if err != nil {
			t.Fatalf("after %d of %d frames: %v; %+v", len(numbers), n, err, p.Stats())
		}
		for _, f := range buf[:k] {
			if before, ok := last[f.Kind()]; ok && f.Time <= before {
				t.Errorf("%s goes from %v to %v", f.Kind(), before, f.Time)
			}
			last[f.Kind()] = f.Time
			if f.Kind() == media.Audio {
				audio++
				continue
			}
			number, ok := testkit.FrameNumber(f.Data)
			if !ok {
				t.Fatalf("frame %d has no number", len(numbers))
			}
			numbers = append(numbers, number)
		}
	}
	return numbers, audio
}

// TestTCP: what package rtc's tests hold all receivers to, over TCP.
func TestTCP(t *testing.T) {
	cfg := testkit.DefaultPublisherConfig()
	cfg.FPS, cfg.Frames = 120, 150
	own := DefaultConfig()
	own.TCP = true
	pub := newServer(t, own, rtc.DefaultConfig()).publish(t, rtc.Offer{TCP: true}, testkit.NewPublisher(cfg))
	numbers, audio := pub.frames(t, cfg.Frames)
	for i, n := range numbers {
		if n != int64(i) {
			t.Fatalf("frame %d follows %d frames; %+v", n, i, pub.Stats())
		}
	}
	if audio < 50 {
		t.Errorf("%d packets of audio in 1.25 s", audio)
	}
}
