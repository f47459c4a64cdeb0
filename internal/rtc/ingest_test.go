package rtc

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"transponder/internal/media"
	"transponder/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeReceiver makes sessions that a test controls.
type fakeReceiver struct {
	sink      Sink
	refuse    error // of Accepts
	fail      error // of Answer
	iceUp     atomic.Bool
	mu        sync.Mutex
	closed    int
	keyFrames int
}

func (r *fakeReceiver) Name() string               { return "fake" }
func (r *fakeReceiver) Accepts(*ParsedOffer) error { return r.refuse }
func (r *fakeReceiver) Answer(_ context.Context, _ *ParsedOffer, sink Sink) (Session, string, error) {
	r.sink = sink
	return r, "the answer", r.fail
}
func (r *fakeReceiver) RequestKeyFrame() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keyFrames++
}
func (r *fakeReceiver) Stats() SessionStats { return SessionStats{ICEConnected: r.iceUp.Load()} }
func (r *fakeReceiver) Close() error {
	r.closed++
	return nil
}

func newTestIngest(cfg Config, receivers ...Receiver) (*Ingest, *stream.Hub) {
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	return NewIngest(cfg, hub, slog.New(slog.DiscardHandler), receivers...), hub
}

func TestPublishErrors(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name      string
		offer     string
		info      stream.Info
		receivers []Receiver
		want      error
	}{
		{"bad offer", "x", stream.Info{Name: "a", ID: "1"}, []Receiver{&fakeReceiver{}}, ErrBadOffer},
		{"name taken", "", stream.Info{Name: "taken", ID: "1"}, []Receiver{&fakeReceiver{}}, stream.ErrNameInUse},
		{"id taken", "", stream.Info{Name: "a", ID: "taken"}, []Receiver{&fakeReceiver{}}, stream.ErrIDInUse},
		{"bad name", "", stream.Info{ID: "1"}, []Receiver{&fakeReceiver{}}, stream.ErrName},
		{"nobody accepts", "", stream.Info{Name: "a", ID: "1"}, []Receiver{&fakeReceiver{refuse: boom}, &fakeReceiver{refuse: ErrNoCommonCodecs}}, ErrNoCommonCodecs},
		{"no answer", "", stream.Info{Name: "a", ID: "1"}, []Receiver{&fakeReceiver{fail: boom}}, boom},
		{"the second accepts", "", stream.Info{Name: "a", ID: "1"}, []Receiver{&fakeReceiver{refuse: boom}, &fakeReceiver{}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, hub := newTestIngest(DefaultConfig(), tt.receivers...)
			if _, err := hub.Publish(stream.Info{Name: "taken", ID: "taken"}); err != nil {
				t.Fatal(err)
			}
			if tt.offer == "" {
				tt.offer = chromium(t)
			}
			_, err := in.Publish(t.Context(), Offer{SDP: tt.offer}, tt.info)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if _, reserved := hub.Source(tt.info.Name); reserved != (err == nil || tt.info.Name == "taken") {
				t.Errorf("name reserved is %t after %v", reserved, err)
			}
		})
	}
}

func TestPublicationEnds(t *testing.T) {
	boom := errors.New("boom")
	connect := func(r *fakeReceiver) { r.sink.Connected() }
	tests := []struct {
		name  string
		do    func(r *fakeReceiver, p *Publication, cancel context.CancelCauseFunc)
		want  error
		after time.Duration
	}{
		{"never connects", func(*fakeReceiver, *Publication, context.CancelCauseFunc) {}, ErrICETimeout, 12 * time.Second},
		{"no handshake", func(r *fakeReceiver, _ *Publication, _ context.CancelCauseFunc) { r.iceUp.Store(true) }, ErrDTLS, 12 * time.Second},
		{"sends nothing", func(r *fakeReceiver, _ *Publication, _ context.CancelCauseFunc) { connect(r) }, ErrActivity, 66 * time.Second},
		{"one track goes silent", func(r *fakeReceiver, _ *Publication, _ context.CancelCauseFunc) {
			connect(r)
			for range 20 {
				time.Sleep(10 * time.Second) // of the bubble's time
				r.sink.Audio(media.Opus, []byte{1}, 0)
			}
		}, ErrActivity, 66 * time.Second},
		{"the peer closes", func(r *fakeReceiver, _ *Publication, _ context.CancelCauseFunc) { r.sink.Closed(ErrClientClosed) }, ErrClientClosed, 0},
		{"ICE fails", func(r *fakeReceiver, _ *Publication, _ context.CancelCauseFunc) {
			connect(r)
			r.sink.Closed(ErrICEKeepAlive)
		}, ErrICEKeepAlive, 0},
		{"the source is closed", func(_ *fakeReceiver, p *Publication, _ context.CancelCauseFunc) { p.Source().Close(boom) }, boom, 0},
		{"cancelled", func(_ *fakeReceiver, _ *Publication, cancel context.CancelCauseFunc) { cancel(boom) }, boom, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &fakeReceiver{}
				in, hub := newTestIngest(DefaultConfig(), r)
				p, err := in.Publish(t.Context(), Offer{SDP: chromium(t)}, stream.Info{Name: "a", ID: "1"})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				start := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() { tt.do(r, p, cancel) })
				got := p.Run(ctx)
				if took := time.Since(start); took != tt.after {
					t.Errorf("ended after %v, want %v", took, tt.after)
				}
				wg.Wait()
				cancel(nil)
				if !errors.Is(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				if !errors.Is(p.Source().Err(), tt.want) || r.closed != 1 {
					t.Errorf("source ended with %v, session closed %d times", p.Source().Err(), r.closed)
				}
				if _, ok := hub.Source("a"); ok {
					t.Error("the name is still taken")
				}
			})
		})
	}
}

// avcc joins NAL units to an access unit.
func avcc(nals ...[]byte) []byte {
	var b []byte
	for _, n := range nals {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(n))), n...)
	}
	return b
}

// Parameter sets of 640x360 and 1280x720, by x264.
var (
	spsSmall = []byte{0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x61, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48}
	spsLarge = []byte{0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x19, 0x20}
	pps0     = []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
	pps1     = []byte{0x68, 0x5b, 0x83, 0xcb, 0x20} // id 1
)

// A publisher may still be closing when another one has replaced it. Still a name appears in the figures only once.
func TestStatsAfterTakeover(t *testing.T) {
	cfg := stream.DefaultConfig()
	cfg.Takeover = stream.TakeoverAlways
	in := NewIngest(DefaultConfig(), stream.NewHub(cfg, nil), slog.New(slog.DiscardHandler), &fakeReceiver{})
	var ends []func()
	for _, id := range []string{"1", "2"} {
		p, err := in.Publish(t.Context(), Offer{SDP: chromium(t)}, stream.Info{Name: "a", ID: id})
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, func() {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = p.Run(ctx)
		})
	}
	if n, st := in.Publishers()["fake"], in.Stats(); n != 2 || len(st) != 1 || st[0].Stream != "a" {
		t.Errorf("%d publishers, figures %+v; want 2, and the figures of one", n, st)
	}
	for _, end := range ends {
		end()
	}
	if n, st := in.Publishers()["fake"], in.Stats(); n != 0 || len(st) != 0 {
		t.Errorf("%d publishers, figures %+v; want none", n, st)
	}
}

func TestFrames(t *testing.T) {
	idr, slice, sei := nal(nalIDR, 9), nal(nalSlice, 7), nal(6, 5)
	type in struct {
		unit []byte
		key  bool
	}
	type out struct {
		size  int // of Data, 0 if there is no frame
		pps   int // in its track
		width int
	}
	tests := []struct {
		name  string
		units []in
		want  []out
	}{
		{"in band", []in{{avcc(nal(nalAUD, 2), spsLarge, pps0, sei, idr), true}, {avcc(slice), false}}, []out{{22, 1, 1280}, {11, 1, 1280}}},
		{"parameter sets before", []in{{avcc(spsLarge), false}, {avcc(pps0), false}, {avcc(idr), true}}, []out{{}, {}, {13, 1, 1280}}},
		{"no parameter sets", []in{{avcc(idr), true}, {avcc(slice), false}}, []out{{}, {}}},
		{"two picture parameter sets", []in{{avcc(spsLarge, pps0, pps1, idr), true}}, []out{{13, 2, 1280}}},
		{"the same ones again", []in{{avcc(spsLarge, pps0, idr), true}, {avcc(spsLarge, pps0, idr), true}}, []out{{13, 1, 1280}, {13, 1, 1280}}},
		{"a new size", []in{{avcc(spsLarge, pps0, idr), true}, {avcc(spsSmall, pps0, idr), true}}, []out{{13, 1, 1280}, {13, 1, 640}}},
		{"a new size without key frame", []in{{avcc(spsLarge, pps0, idr), true}, {avcc(spsSmall, pps0, slice), false}, {avcc(idr), true}},
			[]out{{13, 1, 1280}, {}, {13, 1, 640}}},
		{"unreadable parameter set", []in{{avcc([]byte{0x67, 1}, pps0, idr), true}}, []out{{}}},
		{"filler only", []in{{avcc(nal(nalFiller, 50)), false}}, []out{{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f h264Frames
			var before *media.Track
			for i, u := range tt.units {
				frame, ok, _ := f.frame(u.unit, u.key)
				var got out
				if ok {
					_, pps, err := media.H264ParameterSets(frame.Track.Config)
					if err != nil {
						t.Fatal(err)
					}
					got = out{len(frame.Data), len(pps), frame.Track.Width}
					if before != nil && (before == frame.Track) != (before.Width == frame.Track.Width) {
						t.Error("a track is new if and only if it changed")
					}
					before = frame.Track
				}
				if got != tt.want[i] {
					t.Errorf("unit %d: got %+v, want %+v", i, got, tt.want[i])
				}
			}
		})
	}
}

// B-frames are detected by the RTP times of pictures that come in order, and nothing else is taken for B-frames.
func TestOrder(t *testing.T) {
	const frame = 90000 / 25
	tests := []struct {
		name  string
		times func(n int) uint32 // in frames
		wrong bool
	}{
		{"in order", func(n int) uint32 { return uint32(n) * frame }, false},
		{"two B-frames", func(n int) uint32 { return uint32(n+[3]int{2, -1, -1}[n%3]) * frame }, true},
		{"a clock that is set back, and wraps", func(n int) uint32 { return uint32(n-n/50*60-20) * frame }, false},
		{"a clock that is set anew", func(n int) uint32 { return uint32(n)*frame + uint32(n/10)*0x9000_0000 }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d bFrameDetector
			wrong := 0
			for n := range 300 {
				if d.outOfOrder(tt.times(n)) {
					wrong++
				}
			}
			if (wrong > 50) != tt.wrong || !tt.wrong && wrong > 0 {
				t.Errorf("%d pictures of 300 are out of order", wrong)
			}
		})
	}
}

// Faults of a publisher are counted: pictures before a key frame, and B-frames.
func TestFaults(t *testing.T) {
	r := &fakeReceiver{}
	in, _ := newTestIngest(DefaultConfig(), r)
	p, err := in.Publish(t.Context(), Offer{SDP: chromium(t)}, stream.Info{Name: "a", ID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Source().Close(nil)
	const frame = 90000 / 25
	r.sink.Video(media.H264, avcc(nal(nalSlice, 7)), 0, false)
	r.sink.Video(media.H264, avcc(spsLarge, pps0, nal(nalIDR, 9)), frame, true)
	for n := range 30 {
		r.sink.Video(media.H264, avcc(nal(nalSlice, 7)), uint32(n+2+[3]int{2, -1, -1}[n%3])*frame, false)
	}
	got := p.Source().Stats().Video
	if got.Faults[stream.FaultKeyFrame] != 1 || got.Faults[stream.FaultOrder] != 7 || got.Frames != 31 || got.Faults.Unusable() != 0 {
		t.Errorf("%d frames, faults %v", got.Frames, got.Faults)
	}
}
