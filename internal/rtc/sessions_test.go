package rtc_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/testkit"
)

// watch is a sink that reports single events over channels.
type watch struct {
	once      [4]sync.Once
	connected chan struct{}
	video     chan struct{} // the first unit
	clock     chan struct{} // reports of both kinds came
	closed    chan error

	mu      sync.Mutex
	reports map[media.Kind]bool // guarded by mu
}

func newWatch() *watch {
	return &watch{
		connected: make(chan struct{}), video: make(chan struct{}), clock: make(chan struct{}), closed: make(chan error, 2),
		reports: map[media.Kind]bool{},
	}
}

func (w *watch) Connected() { close(w.connected) }
func (w *watch) Video(media.Codec, []byte, uint32, bool) {
	w.once[0].Do(func() { close(w.video) })
}
func (w *watch) Audio(media.Codec, []byte, uint32) {}
func (w *watch) Clock(kind media.Kind, _ uint64, _ uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports[kind] = true
	if len(w.reports) == 2 {
		w.once[1].Do(func() { close(w.clock) })
	}
}
func (*watch) Rotated(int) {}

func (w *watch) Lost(media.Kind)    {}
func (w *watch) Closed(cause error) { w.closed <- cause }

// connect starts a publisher that is connected to a receiver, and returns the session. edit changes the offer on the way.
func connect(t *testing.T, r rtc.Receiver, w *watch, p *testkit.Publisher, edit func(string) string) (rtc.Session, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	sessions := make(chan rtc.Session, 1)
	gone := make(chan struct{})
	var failed error
	go func() {
		defer close(gone)
		failed = p.Run(ctx, func(ctx context.Context, sdp string) (string, error) {
			offer, err := rtc.ParseOffer(edit(sdp))
			if err != nil {
				return "", err
			}
			s, answer, err := r.Answer(ctx, offer, w)
			if err == nil {
				sessions <- s
			}
			return answer, err
		})
	}()
	select {
	case s := <-sessions:
		return s, func() {
			cancel()
			select {
			case <-gone:
			case <-time.After(30 * time.Second):
				t.Error("the publisher does not end")
			}
		}
	case <-gone:
		cancel()
		t.Fatal(failed)
		return nil, nil
	}
}

func same(s string) string { return s }

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(15 * time.Second):
		t.Fatalf("no %s in 15 s", what)
		panic("unreachable")
	}
}

func TestSessionEnds(t *testing.T) {
	otherCertificate := func(sdp string) string {
		first := regexp.MustCompile(`(?i)(fingerprint:sha-256 )([0-9a-f]{2}):`)
		byteOf := first.FindStringSubmatch(sdp)[2]
		other := "00"
		if byteOf == other {
			other = "01"
		}
		return first.ReplaceAllString(sdp, "${1}"+other+":")
	}
	tests := []struct {
		name string
		edit func(string) string
		do   func(r rtc.Receiver, s rtc.Session, leave func(), w *watch, t *testing.T)
		want error
	}{
		{"the peer leaves", same, func(_ rtc.Receiver, _ rtc.Session, leave func(), w *watch, t *testing.T) {
			await(t, w.video, "video")
			leave()
		}, rtc.ErrClientClosed},
		{"we close", same, func(_ rtc.Receiver, s rtc.Session, _ func(), w *watch, t *testing.T) {
			await(t, w.video, "video")
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}, context.Canceled},
		{"we close before it connects", same, func(_ rtc.Receiver, s rtc.Session, _ func(), _ *watch, _ *testing.T) { s.Close() }, context.Canceled},
		{"the receiver closes", same, func(r rtc.Receiver, _ rtc.Session, _ func(), w *watch, t *testing.T) {
			await(t, w.video, "video")
			r.Close()
		}, context.Canceled},
		{"another certificate", otherCertificate, func(rtc.Receiver, rtc.Session, func(), *watch, *testing.T) {}, rtc.ErrDTLSFingerprint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, r rtc.Receiver) {
				w := newWatch()
				s, leave := connect(t, r, w, testkit.NewPublisher(testkit.DefaultPublisherConfig()), tt.edit)
				tt.do(r, s, leave, w, t)
				if got := await(t, w.closed, "end"); !errors.Is(got, tt.want) {
					t.Errorf("ended with %v, want %v", got, tt.want)
				}
				s.Close()
				leave()
				if len(w.closed) > 0 {
					t.Errorf("closed again with %v", <-w.closed)
				}
			})
		})
	}
}

// TestOddOffers publishes with offers that clients have damaged.
func TestOddOffers(t *testing.T) {
	drop := func(pattern string) func(string) string {
		return func(sdp string) string { return regexp.MustCompile(`(?m)^`+pattern+`\r\n`).ReplaceAllString(sdp, "") }
	}
	tests := []struct {
		name string
		edit func(string) string
	}{
		{"no candidates", drop(`a=(candidate:|end-of-candidates).*`)},
		{"no feedback", drop(`a=rtcp-fb:.*`)},
		{"no SSRCs", drop(`a=(ssrc|ssrc-group|msid):.*`)},
		{"orphaned rtx", func(s string) string { return strings.ReplaceAll(s, "apt=106", "apt=99") }},
		{"no header extensions", drop(`a=extmap:.*`)},
		{"no rtcp-mux line", drop(`a=rtcp-mux`)},
		{"max-bundle", func(s string) string {
			first, rest, _ := strings.Cut(s, "m=audio 9")
			bare := regexp.MustCompile(`(?m)^a=(ice-ufrag|ice-pwd|fingerprint|setup|candidate|end-of-candidates).*\r\n`)
			return first + "m=audio 0" + bare.ReplaceAllString(rest, "") + "a=bundle-only\r\n"
		}},
		{"passive", func(s string) string { return strings.ReplaceAll(s, "setup:actpass", "setup:active") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, r rtc.Receiver) {
				w := newWatch()
				cfg := testkit.DefaultPublisherConfig()
				cfg.Drop = 0.02
				s, leave := connect(t, r, w, testkit.NewPublisher(cfg), tt.edit)
				await(t, w.video, "video")
				leave()
				s.Close()
			})
		})
	}
}

func TestReportsReachTheSink(t *testing.T) {
	both(t, func(t *testing.T, r rtc.Receiver) {
		w := newWatch()
		s, leave := connect(t, r, w, testkit.NewPublisher(testkit.DefaultPublisherConfig()), same)
		await(t, w.clock, "sender reports")
		if st := s.Stats(); st.Packets == 0 || st.RoundTrip == 0 || !st.ICEConnected {
			t.Errorf("stats %+v", st)
		}
		leave()
		s.Close()
	})
}
