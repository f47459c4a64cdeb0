package stream

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"transponder/internal/load"
	"transponder/internal/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	videoTrack = &media.Track{Codec: media.H264}
	audioTrack = &media.Track{Codec: media.AAC}
)

// video and audio make frames of size bytes at a number of milliseconds.
func video(ms int, key bool, size int) media.Frame {
	return media.Frame{Track: videoTrack, Time: media.Timestamp(time.Duration(ms) * time.Millisecond), Key: key, Data: make([]byte, size)}
}

func audio(ms, size int) media.Frame {
	return media.Frame{Track: audioTrack, Time: media.Timestamp(time.Duration(ms) * time.Millisecond), Key: true, Data: make([]byte, size)}
}

func publish(t *testing.T, h *Hub, info Info) *Source {
	t.Helper()
	s, err := h.Publish(info)
	if err != nil {
		t.Fatalf("Publish(%+v) = %v", info, err)
	}
	return s
}

// read takes what is queued and returns the frames' times in milliseconds.
func read(t *testing.T, r *Reader) []int64 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // Read returns what there is without waiting
	var times []int64
	frames := make([]media.Frame, 3) // small, so that several calls are needed
	for {
		n, err := r.Read(ctx, frames)
		if err != nil {
			return times
		}
		for _, f := range frames[:n] {
			times = append(times, f.Time.Milliseconds())
		}
	}
}

func TestPublishNames(t *testing.T) {
	h := NewHub(DefaultConfig(), nil)
	first := publish(t, h, Info{Name: "a", ID: "1"})
	tests := []struct {
		name string
		info Info
		want error
	}{
		{"taken name", Info{Name: "a", ID: "2"}, ErrNameInUse},
		{"taken id", Info{Name: "b", ID: "1"}, ErrIDInUse},
		{"empty", Info{Name: "", ID: "3"}, ErrName},
		{"too long", Info{Name: strings.Repeat("x", 256), ID: "3"}, ErrName},
		{"not UTF-8", Info{Name: "a\xff", ID: "3"}, ErrName},
		{"control character", Info{Name: "a\nb", ID: "3"}, ErrName},
		{"an address", Info{Name: "rtsp://x", ID: "3"}, ErrName},
		{"other case", Info{Name: "A", ID: "3"}, nil},
		{"room and path", Info{Name: "user#room/ä", ID: "4"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := h.Publish(tt.info)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Publish = %v, want %v", err, tt.want)
			}
			if s != nil {
				s.Close(nil)
			}
		})
	}
	first.Close(nil)
	publish(t, h, Info{Name: "a", ID: "1"}).Close(nil) // free again at once
	if left := h.Sources(); len(left) != 0 {
		t.Errorf("%d sources left", len(left))
	}
}

func TestFull(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxStreams = 2
	h := NewHub(cfg, nil)
	first, second := publish(t, h, Info{Name: "a", ID: "1"}), publish(t, h, Info{Name: "b", ID: "2"})
	if _, err := h.Publish(Info{Name: "c", ID: "3"}); !errors.Is(err, load.ErrFull) {
		t.Errorf("a stream too many: %v, want load.ErrFull", err)
	}
	first.Close(nil)
	publish(t, h, Info{Name: "c", ID: "3"}).Close(nil) // there is room again
	second.Close(nil)
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(DefaultConfig(), nil)
		found := make(chan *Source, 1)
		go func() {
			s, _ := h.Await(t.Context(), "a")
			found <- s
		}()
		synctest.Wait()
		publish(t, h, Info{Name: "b", ID: "b"})
		s := publish(t, h, Info{Name: "a", ID: "a"})
		if got := <-found; got != s {
			t.Errorf("Await = %v, want the stream of that name", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, bad := range []string{"", "rtmp://x/y", "a\nb"} {
			if _, err := h.Await(ctx, bad); !errors.Is(err, ErrName) {
				t.Errorf("Await of %q = %v, want ErrName", bad, err)
			}
		}
		if _, err := h.Await(ctx, "c"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Await = %v, want the deadline", err)
		}
	})
}

func TestReaderBeginsAtKeyFrame(t *testing.T) {
	asked := 0
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a", AskKeyFrame: func() { asked++ }})
	defer s.Close(nil)
	s.Video.Write(video(0, true, 1))
	r := s.NewReader(ReaderConfig{Video: s.Video, Audio: s.Audio})
	defer r.Close()
	if asked != 1 {
		t.Errorf("%d key frames asked for, want 1 at once", asked)
	}
	s.Video.Write(video(33, false, 1))
	s.Audio.Write(audio(40, 1))
	s.Video.Write(video(66, true, 1))
	s.Video.Write(video(100, false, 1))
	if got, want := read(t, r), []int64{40, 66, 100}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if d := r.Stats().DroppedFrames; d != 0 {
		t.Errorf("%d frames counted as dropped; waiting for a key frame is no loss", d)
	}
}

func TestReaderDropsToKeyFrame(t *testing.T) {
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
	defer s.Close(nil)
	slow := s.NewReader(ReaderConfig{Video: s.Video, Audio: s.Audio, MaxBytes: 250})
	defer slow.Close()
	quick := s.NewReader(ReaderConfig{Video: s.Video, Audio: s.Audio})
	defer quick.Close()

	s.Video.Write(video(0, true, 100))
	s.Video.Write(video(33, false, 100))
	s.Video.Write(video(66, false, 100)) // does not fit
	s.Audio.Write(audio(70, 10))         // sound still does
	s.Video.Write(video(100, false, 1))  // would fit, but what it refers to is gone
	s.Video.Write(video(133, true, 100)) // still no room
	if got, want := read(t, slow), []int64{0, 33, 70}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	s.Video.Write(video(166, false, 1)) // room, but no key frame yet
	s.Video.Write(video(200, true, 100))
	s.Video.Write(video(233, false, 1))
	if got, want := read(t, slow), []int64{200, 233}; !slices.Equal(got, want) {
		t.Errorf("read %v after the key frame, want %v", got, want)
	}
	st := slow.Stats()
	if st.DroppedFrames != 4 || st.DroppedBytes != 202 || st.Drops != 1 {
		t.Errorf("dropped %d frames, %d bytes, %d times; want 4, 202, 1", st.DroppedFrames, st.DroppedBytes, st.Drops)
	}
	if got := read(t, quick); len(got) != 9 {
		t.Errorf("the quick reader got %v, want all 9 frames", got)
	}
}

func TestReaderBoundsTime(t *testing.T) {
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
	defer s.Close(nil)
	r := s.NewReader(ReaderConfig{Video: s.Video, Audio: s.Audio, MaxDuration: time.Second})
	defer r.Close()
	for ms := 0; ms <= 4000; ms += 100 {
		s.Video.Write(video(ms, ms%500 == 0, 1))
		s.Audio.Write(audio(ms, 1))
	}
	st := r.Stats()
	if st.QueuedTime > 2*time.Second {
		t.Errorf("%v are queued, want at most 2 s of sound", st.QueuedTime)
	}
	if want := int64(31 + 20); st.DroppedFrames != want { // video from its key frame at 1 s, audio after 2 s
		t.Errorf("dropped %d frames, want %d", st.DroppedFrames, want)
	}
	if st.DroppedTime != 3*time.Second || st.DroppedSound != 1900*time.Millisecond || st.Drops != 2 {
		t.Errorf("dropped %v of video, %v of sound, %d times; want 3s, 1.9s, 2", st.DroppedTime, st.DroppedSound, st.Drops)
	}
}

func TestCloseDrainsReaders(t *testing.T) {
	cause := errors.New("the publisher left")
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
	r := s.NewReader(ReaderConfig{Video: s.Video})
	defer r.Close()
	s.Video.Write(video(0, true, 1))
	s.Close(cause)
	s.Close(errors.New("too late to be the cause"))
	s.Video.Write(video(33, false, 1)) // harmless
	frames := make([]media.Frame, 8)
	if n, err := r.Read(t.Context(), frames); n != 1 || err != nil {
		t.Errorf("Read = %d, %v, want the queued frame", n, err)
	}
	if _, err := r.Read(t.Context(), frames); !errors.Is(err, cause) {
		t.Errorf("Read = %v, want %v", err, cause)
	}
	if !errors.Is(s.Err(), cause) {
		t.Errorf("Err = %v, want the first cause", s.Err())
	}
	late := s.NewReader(ReaderConfig{Video: s.Video})
	defer late.Close()
	if _, err := late.Read(t.Context(), frames); !errors.Is(err, cause) {
		t.Errorf("Read of a late reader = %v, want %v", err, cause)
	}
}

func TestReaderCloseWakesRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
		defer s.Close(nil)
		r := s.NewReader(ReaderConfig{Video: s.Video})
		ended := make(chan error, 1)
		go func() {
			_, err := r.Read(t.Context(), make([]media.Frame, 1))
			ended <- err
		}()
		synctest.Wait()
		r.Close()
		r.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Read = %v, want ErrClosed", err)
		}
	})
}

func TestRestartForgetsQueue(t *testing.T) {
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
	defer s.Close(nil)
	r := s.NewReader(ReaderConfig{Video: s.Video})
	defer r.Close()
	s.Video.Write(video(0, true, 1))
	r.Restart()
	s.Video.Write(video(33, false, 1))
	s.Video.Write(video(66, true, 1))
	if got, want := read(t, r), []int64{66}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if d := r.Stats().DroppedFrames; d != 0 {
		t.Errorf("%d frames counted as dropped", d)
	}
}

// One hour of a stream whose publisher sends a key frame only when asked, 50 ms later, except where the test says otherwise.
func TestKeyFrameRequests(t *testing.T) {
	tests := []struct {
		name    string
		own     time.Duration // the publisher's own interval, 0: none
		deaf    bool          // it does not answer
		readers int           // that want key frames
		seconds int
		least   int64
		most    int64
	}{
		{"every 2 s, one request for all readers", 0, false, 10, 60, 28, 31},
		{"a publisher that does it by itself is left alone as soon as that is known", 2 * time.Second, false, 1, 60, 1, 3},
		{"nobody wants them", 0, false, 0, 60, 0, 0},
		{"a deaf publisher is asked once a second", 0, true, 1, 60, 55, 61},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub(DefaultConfig(), nil)
				ctx, cancel := context.WithCancel(t.Context())
				ran := make(chan error)
				go func() { ran <- h.Run(ctx) }()

				var s *Source
				key := func() { s.Video.Write(video(int(time.Since(s.Created()).Milliseconds()), true, 1)) }
				s = publish(t, h, Info{Name: "a", AskKeyFrame: func() {
					if !tt.deaf {
						time.AfterFunc(50*time.Millisecond, key)
					}
				}})
				key()
				for range tt.readers {
					defer s.NewReader(ReaderConfig{Video: s.Video, KeyFrames: true}).Close()
				}
				if tt.own > 0 {
					own := time.NewTicker(tt.own)
					defer own.Stop()
					go func() {
						for {
							select {
							case <-own.C:
								key()
							case <-ctx.Done():
								return
							}
						}
					}()
				}
				<-time.After(time.Duration(tt.seconds) * time.Second)
				if gap := s.Stats().Video.KeyInterval; tt.least > 1 && !tt.deaf && (gap < 1850*time.Millisecond || gap > 2100*time.Millisecond) {
					t.Errorf("%v between key frames, want 2 s", gap)
				}
				if n := s.Stats().KeyRequests; n < tt.least || n > tt.most {
					t.Errorf("%d requests in %d s, want %d to %d", n, tt.seconds, tt.least, tt.most)
				}
				cancel()
				<-ran
				s.Close(nil)
			})
		})
	}
}

// The first key frame comes without a request, and a second one at once because the receiver lost a packet. If the publisher then waits for
// requests, the next one is not late.
func TestEarlyKeyFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(DefaultConfig(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- h.Run(ctx) }()
		var s *Source
		key := func() { s.Video.Write(video(int(time.Since(s.Created()).Milliseconds()), true, 1)) }
		var begun atomic.Bool
		s = publish(t, h, Info{Name: "a", AskKeyFrame: func() {
			if begun.Load() {
				time.AfterFunc(50*time.Millisecond, key)
			}
		}})
		defer s.NewReader(ReaderConfig{Video: s.Video, KeyFrames: true}).Close()
		<-time.After(2700 * time.Millisecond) // the last request is more than half a second old
		key()
		<-time.After(40 * time.Millisecond)
		key()
		begun.Store(true)
		<-time.After(2100 * time.Millisecond)
		if gap := s.Stats().Video.KeyInterval; gap < 1800*time.Millisecond || gap > 2*time.Second {
			t.Errorf("the next key frame came after %v, want 2 s at most", gap)
		}
		cancel()
		<-ran
		s.Close(nil)
	})
}

func TestKeyFrameGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(DefaultConfig(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- h.Run(ctx) }()
		var at []time.Duration
		start := time.Now()
		s := publish(t, h, Info{Name: "a", AskKeyFrame: func() { at = append(at, time.Since(start)) }})
		s.RequestKeyFrame()
		s.RequestKeyFrame()
		<-time.After(300 * time.Millisecond)
		s.RequestKeyFrame()
		<-time.After(900 * time.Millisecond)
		s.Video.Write(video(0, true, 1))
		<-time.After(5 * time.Second)
		cancel()
		<-ran
		s.Close(nil)
		if want := []time.Duration{0, time.Second}; !slices.Equal(at, want) {
			t.Errorf("asked at %v, want %v", at, want)
		}
	})
}

func TestRenditionIsShared(t *testing.T) {
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
	started, stopped := make(chan struct{}, 2), make(chan struct{}, 2)
	run := func(ctx context.Context, out *Feed) error {
		in := s.NewReader(ReaderConfig{Audio: s.Audio})
		defer in.Close()
		started <- struct{}{}
		frames := make([]media.Frame, 8)
		for {
			n, err := in.Read(ctx, frames)
			if err != nil {
				stopped <- struct{}{}
				return err
			}
			for _, f := range frames[:n] {
				out.Write(f)
			}
		}
	}
	a, releaseA, err := s.Rendition("aac", nil, run)
	if err != nil {
		t.Fatal(err)
	}
	b, releaseB, err := s.Rendition("aac", nil, run)
	if err != nil || a != b {
		t.Fatalf("second user got another feed (%v)", err)
	}
	<-started
	r := s.NewReader(ReaderConfig{Audio: a})
	defer r.Close()
	s.Audio.Write(audio(7, 1))
	frames := make([]media.Frame, 1)
	if n, err := r.Read(t.Context(), frames); n != 1 || frames[0].Time.Milliseconds() != 7 {
		t.Errorf("Read = %d, %v, %v", n, frames[0].Time, err)
	}
	releaseA()
	select {
	case <-stopped:
		t.Fatal("stopped while somebody still uses it")
	default:
	}
	releaseB()
	<-stopped // joined, so this cannot wait
	if _, err := r.Read(t.Context(), frames); err == nil {
		t.Error("the reader of an ended rendition reads on")
	}

	if _, _, err := s.Rendition("aac", nil, run); err != nil {
		t.Fatal(err)
	}
	<-started
	s.Close(nil)
	<-stopped
	if _, _, err := s.Rendition("aac", nil, run); !errors.Is(err, ErrClosed) {
		t.Errorf("Rendition of a closed source = %v, want ErrClosed", err)
	}
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
		defer s.Close(nil)
		for i := range 61 {
			s.Video.Write(video(i*50, i%40 == 0, 1000))
			<-time.After(50 * time.Millisecond)
		}
		st := s.Stats().Video
		if st.Frames != 61 || st.KeyFrames != 2 || st.KeyInterval != 2*time.Second || st.Bytes != 61000 || st.Track != videoTrack {
			t.Errorf("stats %+v", st)
		}
		if st.RateBPS < 155_000 || st.RateBPS > 165_000 || st.FPS < 19 || st.FPS > 21 {
			t.Errorf("rate %d bit/s, %.1f fps, want 160000 and 20", st.RateBPS, st.FPS)
		}
		<-time.After(2 * time.Second)
		s.Stats() // closes the window that saw the last frames
		<-time.After(2 * time.Second)
		if st := s.Stats().Video; st.RateBPS != 0 {
			t.Errorf("rate %d bit/s of a silent feed, want 0", st.RateBPS)
		}
	})
}

// The way of a frame from publisher to reader allocates nothing once the queue has grown.
func BenchmarkFeed(b *testing.B) {
	s, err := NewHub(DefaultConfig(), nil).Publish(Info{Name: "a"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(nil)
	r := s.NewReader(ReaderConfig{Video: s.Video})
	defer r.Close()
	f := video(0, true, 10_000)
	frames := make([]media.Frame, 1)
	b.ReportAllocs()
	for b.Loop() {
		s.Video.Write(f)
		if _, err := r.Read(context.Background(), frames); err != nil {
			b.Fatal(err)
		}
	}
}
