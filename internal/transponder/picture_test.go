package transponder

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transcode/picture"
)

// The rules of the published contract, row by row.
func TestProfile(t *testing.T) {
	tests := []struct {
		name   string
		req    Request
		free   bool // the shape of the picture need not be kept
		none   bool // nothing is transcoded
		want   picture.Profile
		in     [2]int
		expect [2]int
	}{
		{name: "nothing", none: true},
		{name: "width alone", req: Request{Width: 640}, none: true},
		{name: "width alone, shape free", req: Request{Width: 640}, free: true, none: true},
		{name: "height", req: Request{Height: 480}, want: picture.Profile{Height: 480}, in: [2]int{1280, 720}, expect: [2]int{852, 480}},
		{name: "portrait", req: Request{Height: 360}, want: picture.Profile{Height: 360}, in: [2]int{1080, 1920}, expect: [2]int{360, 640}},
		{name: "width does not count", req: Request{Width: 100, Height: 480}, want: picture.Profile{Height: 480}, in: [2]int{1280, 720}, expect: [2]int{852, 480}},
		{name: "width counts", req: Request{Width: 101, Height: 481}, free: true, want: picture.Profile{Width: 100, Height: 480}, in: [2]int{1280, 720}, expect: [2]int{100, 480}},
		{name: "shape free without width", req: Request{Height: 480}, free: true, want: picture.Profile{Height: 480}, in: [2]int{640, 480}, expect: [2]int{640, 480}},
		{name: "key frames", req: Request{KeyFrameInterval: 60}, want: picture.Profile{KeyFrameInterval: 60}, in: [2]int{641, 361}, expect: [2]int{640, 360}},
		{name: "rate", req: Request{FPS: 12.5, Width: 9}, want: picture.Profile{FPS: 12.5}, in: [2]int{640, 360}, expect: [2]int{640, 360}},
		{name: "bit rate", req: Request{Options: Options{RateBPS: 500_000}}, want: picture.Profile{RateBPS: 500_000}, in: [2]int{640, 360}, expect: [2]int{640, 360}},
		{name: "canvas", req: Request{Width: 300, Height: 300, Options: Options{Fit: "letterbox"}}, want: picture.Profile{Width: 300, Height: 300, Letterbox: true}, in: [2]int{640, 360}, expect: [2]int{300, 300}},
		{name: "canvas of 16:9", req: Request{Height: 720, Options: Options{Fit: "letterbox"}}, want: picture.Profile{Width: 1280, Height: 720, Letterbox: true}, in: [2]int{360, 640}, expect: [2]int{1280, 720}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.req.transcodes() == tt.none {
				t.Fatalf("transcodes = %t", !tt.none)
			}
			if tt.none {
				return
			}
			got := tt.req.profile(!tt.free)
			if got != tt.want {
				t.Errorf("profile %+v, want %+v", got, tt.want)
			}
			if err := got.Validate(); err != nil {
				t.Error(err)
			}
			if w, h := got.Size(tt.in[0], tt.in[1]); w != tt.expect[0] || h != tt.expect[1] {
				t.Errorf("%v becomes %dx%d, want %v", tt.in, w, h, tt.expect)
			}
		})
	}
}

// Values that no encoder supports are errors of the caller, and the error names the member of the request.
func TestBadPictures(t *testing.T) {
	b := newBench(t, nil)
	b.parts.Video = &fakeVideo{}
	b.source("s")
	tests := []struct {
		name string
		req  Request
		want string // in the reason
	}{
		{"negative width", Request{Width: -1}, "negative"},
		{"negative height", Request{Height: -2}, "negative"},
		{"negative key frames", Request{KeyFrameInterval: -1}, "negative"},
		{"negative rate", Request{FPS: -1}, "negative"},
		{"negative bit rate", Request{Options: Options{RateBPS: -1}}, "negative"},
		{"too low", Request{Height: 14}, "height 14"},
		{"one line", Request{Height: 1}, "height 2"},
		{"canvas of one column", Request{Width: 1, Height: 480, Options: Options{Fit: "letterbox"}}, "width 2"},
		{"too high", Request{Height: 10000}, "height 10000"},
		{"too large", Request{Width: 8000, Height: 8000, Options: Options{Fit: "letterbox"}}, "pixels"},
		{"too few pictures", Request{FPS: 0.5}, "0.5 pictures"},
		{"too many pictures", Request{FPS: 1000}, "1000 pictures"},
		{"too many bits", Request{Options: Options{RateBPS: 2e9}}, "bit rate"},
		{"unknown fit", Request{Height: 480, Options: Options{Fit: "crop"}}, "letterbox"},
		{"canvas without a size", Request{Options: Options{Fit: "letterbox"}}, "height"},
		{"canvas too narrow", Request{Width: 2, Height: 480, Options: Options{Fit: "letterbox"}}, "width"},
	}
	for _, tt := range tests {
		tt.req.StreamName, tt.req.URL = "s", "rtmp://127.0.0.1:1/live"
		_, err := b.Start(t.Context(), tt.req)
		var bad *RequestError
		if !errors.As(err, &bad) || !strings.Contains(bad.Error(), tt.want) {
			t.Errorf("%s: %v, want a RequestError about %q", tt.name, err, tt.want)
		}
	}
	if left := b.Find(Filter{}); len(left) != 0 {
		t.Errorf("%d pushes were made", len(left))
	}
}

// fakeVideo makes an H.264 picture with another track of each picture of a source.
type fakeVideo struct {
	track *media.Track
	busy  bool
	fail  error

	disabled bool // the settings forbid transcoding

	behind bool // leaves out a picture whenever it is asked how it goes

	users, asked atomic.Int32
	dropped      atomic.Int64
}

func (v *fakeVideo) Check() error {
	if v.disabled {
		return picture.ErrDisabled
	}
	return nil
}

func (v *fakeVideo) Admit(*stream.Source, picture.Profile) error {
	if v.disabled {
		return picture.ErrDisabled
	}
	if v.busy {
		return &picture.BusyError{Reason: "All of it is busy."}
	}
	return nil
}

func (v *fakeVideo) Feed(s *stream.Source, _ picture.Profile) (*stream.Feed, func(), error) {
	feed, release, err := s.Rendition("fake", func() { v.asked.Add(1) }, func(ctx context.Context, out *stream.Feed) error {
		in := s.NewReader(stream.ReaderConfig{Video: s.Video})
		defer in.Close()
		frames := make([]media.Frame, 16)
		for {
			n, err := in.Read(ctx, frames)
			if err != nil {
				return err
			}
			if v.fail != nil {
				return v.fail
			}
			for _, f := range frames[:n] {
				f.Track = v.track
				out.Write(f)
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	v.users.Add(1)
	return feed, func() { v.users.Add(-1); release() }, nil
}

func (v *fakeVideo) Stats(*stream.Source, picture.Profile) (picture.Stats, bool) {
	if v.behind {
		v.dropped.Add(1)
	}
	return picture.Stats{Dropped: v.dropped.Load()}, v.users.Load() > 0
}

func TestTranscodedPush(t *testing.T) {
	for _, tt := range []struct {
		name string
		req  Request
		in   *media.Track // nil: H.264
	}{
		{"asked for", Request{Height: 480}, nil},
		{"VP8", Request{}, &media.Track{Codec: media.VP8, Width: 640, Height: 360}},
		{"HEVC that the server does not take", Request{Options: Options{Codecs: []string{"hevc"}}}, &media.Track{Codec: media.H265, Config: []byte{1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil)
			small := *realVideo(t)
			small.Width, small.Height = 320, 180
			video := &fakeVideo{track: &small}
			b.parts.Video = video
			server := testkit.NewRTMPServer(t, testkit.Script{})
			s := b.source("s")
			if tt.in != nil {
				s.video = tt.in
			}
			tt.req.StreamName, tt.req.URL = "s", server.URL("live")
			info := b.start(tt.req)
			b.wait("pictures", func() bool {
				s.write(10, 20)
				return b.Find(Filter{ID: info.ID})[0].VideoFrames > 20
			})
			now := b.Find(Filter{ID: info.ID})[0]
			if now.Width != 320 || now.Height != 180 {
				t.Errorf("find says %dx%d, want the size of what is sent", now.Width, now.Height)
			}
			if video.users.Load() != 1 || video.asked.Load() == 0 {
				t.Errorf("%d users, %d requests for a key frame", video.users.Load(), video.asked.Load())
			}
			s.Close(nil)
			b.end()
			b.stop()
			if video.users.Load() != 0 {
				t.Error("the rendition is not given back")
			}
		})
	}
}

func TestTranscodingThatCannotBe(t *testing.T) {
	vp8 := &media.Track{Codec: media.VP8}
	tests := []struct {
		name   string
		video  *fakeVideo
		want   Reason
		detail string
	}{
		{"disabled", &fakeVideo{disabled: true}, ReasonCodec, "Transcoding required, but disabled."},
		{"not there", nil, ReasonCodec, "The stream's codec cannot be sent over RTMP."},
		{"no room", &fakeVideo{busy: true}, ReasonNoCapacity, "All of it is busy."},
		{"fails", &fakeVideo{fail: picture.ErrTranscoder}, ReasonTranscoder, "The pictures could not be transcoded; the server's log says more."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil)
			if tt.video != nil {
				b.parts.Video = tt.video
			}
			server := testkit.NewRTMPServer(t, testkit.Script{})
			s := b.source("s")
			s.video = vp8
			info := b.start(Request{StreamName: "s", URL: server.URL("live")})
			b.wait("end", func() bool {
				s.write(10, 20)
				return b.Find(Filter{ID: info.ID})[0].State.final()
			})
			if end := b.end(); end.State != Failed || end.Reason != tt.want || end.Detail != tt.detail {
				t.Errorf("ended as %s, %s (%s), want %s (%s)", end.State, end.Reason, end.Detail, tt.want, tt.detail)
			}
		})
	}

	b := newBench(t, nil)
	b.parts.Video = &fakeVideo{disabled: true}
	b.source("s")
	if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: "rtmp://127.0.0.1:1/live", Height: 480}); !errors.Is(err, picture.ErrDisabled) {
		t.Errorf("a start with a height = %v, want ErrDisabled", err)
	}
	b = newBench(t, nil)
	b.parts.Video = &fakeVideo{busy: true}
	b.source("s")
	var busy *picture.BusyError
	if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: "rtmp://127.0.0.1:1/live", FPS: 30}); !errors.As(err, &busy) {
		t.Errorf("a start without room = %v, want a BusyError", err)
	}

	// If the stream shows already what it needs, the answer says so.
	for _, tt := range []struct {
		name    string
		video   *fakeVideo
		codecs  []string
		refused func(error) bool
	}{
		{"disabled", &fakeVideo{disabled: true}, nil, func(err error) bool { return errors.Is(err, picture.ErrDisabled) }},
		{"not there", nil, nil, func(err error) bool { return errors.Is(err, ErrUnsupported) }},
		{"no room", &fakeVideo{busy: true}, nil, func(err error) bool { return errors.As(err, &busy) }},
		{"room", &fakeVideo{track: realVideo(t)}, nil, func(err error) bool { return err == nil }},
		{"perhaps untouched", &fakeVideo{busy: true}, []string{"vp9"}, func(err error) bool { return err == nil }},
	} {
		t.Run("live, "+tt.name, func(t *testing.T) {
			b := newBench(t, nil)
			if tt.video != nil {
				b.parts.Video = tt.video
			}
			s := b.source("s")
			s.video = &media.Track{Codec: media.VP9}
			s.write(1, 20)
			req := Request{StreamName: "s", URL: "rtmp://127.0.0.1:1/live", Options: Options{Codecs: tt.codecs}}
			if _, err := b.Start(t.Context(), req); !tt.refused(err) {
				t.Errorf("a start = %v", err)
			}
		})
	}
}

// An encoder that leaves out pictures degrades the push for a while.
func TestHealthOfSlowTranscoder(t *testing.T) {
	var h health
	begin := time.Now()
	skipped := int64(0)
	for second := range 30 {
		if second == 5 || second == 6 {
			skipped += 3
		}
		s := sample{at: begin.Add(time.Duration(second) * time.Second), frames: int64(second), pictures: int64(second), keys: int64(second), skipped: skipped}
		want := ReasonNone
		if second >= 5 && second < 16 {
			want = ReasonTooSlow
		}
		if _, got := h.judge(s); got != want {
			t.Errorf("after %d s %q, want %q", second, got, want)
		}
	}
}
