//go:build e2e

package e2e

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/pion"
	"transponder/internal/rtc/udp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// bridge is a small server that connects two pages: the first offers, and the second answers our offer. It prefers what the settings of the
// test say for the first, and the codecs of the first for the second. It cannot transcode.
type bridge struct {
	t        *testing.T
	ctx      context.Context
	duplexes *rtc.Duplexes
	prefer   []media.Codec
	running  sync.WaitGroup

	mu    sync.Mutex
	sides []*rtc.Duplex // guarded by mu
	ends  []error       // guarded by mu
}

// startBridge starts a bridge and returns its address.
func startBridge(t *testing.T, prefer ...media.Codec) (*bridge, string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	cfg := udp.DefaultConfig()
	cfg.Port = 0
	port, err := udp.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { port.Close() })
	endpoint, err := pion.New(t.Context(), pion.DefaultConfig(), port, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endpoint.Close() })
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	ctx, cancel := context.WithCancel(context.Background())
	b := &bridge{t: t, ctx: ctx, prefer: prefer}
	b.duplexes = rtc.NewDuplexes(rtc.DefaultConfig(), rtc.DuplexParts{
		Connector: endpoint, Streams: hub,
		Transcode: func(*stream.Source, media.Codec) (*stream.Feed, func(), error) {
			return nil, nil, errors.New("nothing is transcoded here")
		},
	}, log)
	var asking sync.WaitGroup
	asking.Go(func() { hub.Run(ctx) })
	server := httptest.NewServer(b)
	t.Cleanup(func() {
		server.Close()
		cancel()
		b.running.Wait()
		asking.Wait()
	})
	return b, strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// ServeHTTP gives out an empty page, and takes the offer and the answer of the pages.
func (b *bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><title>bridge</title><body></body>")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = b.exchange(w, r, string(body))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (b *bridge) exchange(w io.Writer, r *http.Request, sdp string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch r.URL.Path {
	case "/call":
		d, err := b.duplexes.Answer(r.Context(), rtc.Offer{SDP: sdp}, rtc.Terms{Prefer: b.prefer}, stream.Info{ID: "first"})
		if err != nil {
			return err
		}
		b.run(d)
		_, err = io.WriteString(w, d.SDP())
		return err
	case "/ring":
		first := b.sides[0]
		terms := rtc.Terms{Prefer: []media.Codec{first.Codec(media.Audio), first.Codec(media.Video)}}
		d, err := b.duplexes.Offer(r.Context(), terms, stream.Info{ID: "second"})
		if err != nil {
			return err
		}
		b.run(d)
		if err := errors.Join(first.Play(d.Source()), d.Play(first.Source())); err != nil {
			return err
		}
		_, err = io.WriteString(w, d.SDP())
		return err
	default:
		return b.sides[1].Accept(sdp)
	}
}

// run runs a side. The caller holds mu.
func (b *bridge) run(d *rtc.Duplex) {
	b.sides = append(b.sides, d)
	b.running.Go(func() {
		err := d.Run(b.ctx)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ends = append(b.ends, err)
	})
}

// Two pages see and hear each other over two duplexes: one offers, and one answers. They speak the codecs that the other side of a call
// prefers, and nothing is transcoded. Debian's Firefox has no H.264.
func TestBridgedPages(t *testing.T) {
	for _, tt := range []struct {
		name, first, second string
		prefer              []media.Codec
		want                string
	}{
		{"Chromium calls Chromium", "chromium", "chromium", []media.Codec{media.PCMU, media.PCMA, media.H264}, "audio/PCMU video/H264"},
		{"Chromium calls Firefox", "chromium", "firefox", []media.Codec{media.VP8}, "audio/opus video/VP8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, address := startBridge(t, tt.prefer...)
			pages := startBrowser(t, "bridge.mjs", address, "--first", tt.first, "--second", tt.second)
			live := pages.await("live")
			for i, codecs := range live.Codecs {
				if got := strings.Join(codecs, " "); got != tt.want {
					t.Errorf("page %d gets %q, want %q", i+1, got, tt.want)
				}
				st := b.sides[i].Source().Stats()
				if st.Video.KeyFrames == 0 || st.Audio.Frames < 50 || !st.Live {
					t.Errorf("page %d sends %+v", i+1, st)
				}
				if d := b.sides[i].Stats(); d.Sent.Dropped != 0 {
					t.Errorf("%d frames could not be sent to page %d", d.Sent.Dropped, i+1)
				}
			}
			pages.stop()
			testkit.Eventually(t, 10*time.Second, func() string {
				b.mu.Lock()
				defer b.mu.Unlock()
				if len(b.ends) < 2 {
					return "the sides have not ended"
				}
				return ""
			})
			if slices.ContainsFunc(b.ends, func(err error) bool { return !errors.Is(err, rtc.ErrClientClosed) }) {
				t.Errorf("the sides ended with %v, want ErrClientClosed", b.ends)
			}
		})
	}
}
