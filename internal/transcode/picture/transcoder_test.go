//go:build cgo && linux

package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"image/png"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture/picturetest"
	"transponder/internal/transcode/picture/worker"
)

// built is the program and its folder, which TestMain removes. It is linked once for all tests: that takes seconds.
var built struct {
	once   sync.Once
	folder string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(built.folder)
	os.Exit(code)
}

// program builds the program, without the race detector, whose memory no sandbox has room for.
func program(t testing.TB) []string {
	t.Helper()
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "picture-test"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", built.folder, "transponder/cmd/transponder").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return []string{filepath.Join(built.folder, "transponder"), worker.Argument}
}

func newVideo(t testing.TB, command ...string) *Transcoder {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Command = command
	v, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newSource(t testing.TB) *stream.Source {
	t.Helper()
	s, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a", HasVideo: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(nil) })
	return s
}

// camera publishes a clip again and again, each picture when the last has come out of the rendition.
type camera struct {
	t      testing.TB
	source *stream.Source
	reader *stream.Reader
	clip   []media.Frame
	next   int
}

func newCamera(t testing.TB, v *Transcoder, s *stream.Source, p Profile) (c *camera, release func()) {
	t.Helper()
	feed, release, err := v.Feed(s, p)
	if err != nil {
		t.Fatal(err)
	}
	reader := s.NewReader(stream.ReaderConfig{Video: feed})
	t.Cleanup(reader.Close)
	clip := picturetest.Clip(t, media.VP8, picturetest.Source(320, 180, 10, time.Second))
	return &camera{t: t, source: s, reader: reader, clip: clip}, release
}

// shoot publishes the next picture.
func (c *camera) shoot() {
	f := c.clip[c.next%len(c.clip)]
	f.Time = media.Timestamp(c.next) * media.Timestamp(100*time.Millisecond)
	c.next++
	c.source.Video.Write(f)
}

// receive waits for what comes next.
func (c *camera) receive() media.Frame {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	var f [1]media.Frame
	if _, err := c.reader.Read(ctx, f[:]); err != nil {
		c.t.Fatal(err)
	}
	return f[0]
}

// until publishes pictures until one comes out, as after a loss.
func (c *camera) until(limit time.Duration) media.Frame {
	c.t.Helper()
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) {
		c.shoot()
		ctx, cancel := context.WithTimeout(c.t.Context(), 100*time.Millisecond)
		var f [1]media.Frame
		n, err := c.reader.Read(ctx, f[:])
		cancel()
		if n > 0 {
			return f[0]
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			c.t.Fatal(err)
		}
	}
	c.t.Fatalf("no picture in %v", limit)
	return media.Frame{}
}

// pid is that of the child of the only rendition.
func pid(t testing.TB, v *Transcoder) int {
	t.Helper()
	for _, r := range v.rendering() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.process != nil {
			return r.process.PID()
		}
	}
	t.Fatal("nothing runs")
	return 0
}

func TestVideo(t *testing.T) {
	t.Parallel()
	v := newVideo(t, program(t)...)
	s := newSource(t)
	profile := Profile{Height: 90, KeyFrameInterval: 1000}
	c, release := newCamera(t, v, s, profile)
	c.shoot()
	first := c.receive()
	if !first.Key || first.Track.Codec != media.H264 || first.Track.Width != 160 || first.Track.Height != 90 {
		t.Errorf("begins with %+v of %+v", first.Key, first.Track)
	}

	// A second user of the same profile shares the rendition.
	_, releaseOther, err := v.Feed(s, profile)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := v.Totals(); n != 1 {
		t.Errorf("%d renditions of one profile", n)
	}

	// A key frame comes when one is asked for, and not else.
	for i := range 6 {
		if i == 3 {
			v.rendering()[0].ask()
		}
		c.shoot()
		if f := c.receive(); f.Key != (i == 3) || f.Track != first.Track || f.Time != media.Timestamp(i+1)*1e8 {
			t.Errorf("picture %d: %v at %v", i, f.Key, f.Time)
		}
	}

	// A child that dies is replaced by another, whose first picture is a key frame that looks the same from outside.
	last := media.Timestamp(6 * 1e8)
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGSTOP} {
		before := pid(t, v)
		if err := syscall.Kill(before, how); err != nil {
			t.Fatal(err)
		}
		f := c.until(time.Minute)
		for f.Time <= last+5e8 && !f.Key { // what was still on its way
			f = c.until(time.Minute)
		}
		if !f.Key || f.Track != first.Track || f.Time <= last {
			t.Errorf("after %v: key %v, same track %v, at %v after %v", how, f.Key, f.Track == first.Track, f.Time, last)
		}
		last = f.Time
		if now := pid(t, v); now == before {
			t.Errorf("after %v: the same process", how)
		}
		if err := syscall.Kill(before, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("after %v: the process is still there: %v", how, err)
		}
	}
	if st, ok := v.Stats(s, profile); !ok || st.Restarts != 3 || st.Frames < 10 {
		t.Errorf("figures %+v, %v", st, ok)
	}

	// The last one out ends it.
	child := pid(t, v)
	release()
	if n, _ := v.Totals(); n != 1 {
		t.Errorf("%d renditions while one is in use", n)
	}
	releaseOther()
	if err := syscall.Kill(child, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there after the last release: %v", err)
	}
	if n, sum := v.Totals(); n != 0 || sum.Restarts != 3 {
		t.Errorf("%d renditions at the end, sums %+v", n, sum)
	}
	if _, ok := v.Stats(s, profile); ok {
		t.Error("figures of a rendition that is over")
	}
}

// killing counts what is said of children that are killed for what they take.
type killing struct {
	slog.Handler
	said atomic.Int32
}

func (k *killing) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "takes too much") {
		k.said.Add(1)
	}
	return nil
}

func (k *killing) Enabled(context.Context, slog.Level) bool { return true }
func (k *killing) WithAttrs([]slog.Attr) slog.Handler       { return k }

// A child that takes more than it needs is replaced.
func TestVideoBound(t *testing.T) {
	t.Parallel()
	v := newVideo(t, "/bin/sh", "-c", "while :; do :; done")
	killed := &killing{Handler: slog.DiscardHandler}
	v.log = slog.New(killed)
	_, release, err := v.Feed(newSource(t), Profile{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	r := v.rendering()[0]
	if r.maxCores != 2 {
		t.Errorf("a child of one thread may take %v cores, want 2", r.maxCores)
	}
	r.maxCores = 0.001
	testkit.Eventually(t, time.Minute, func() string {
		if killed.said.Load() > 0 && r.figures().Restarts > 0 {
			return ""
		}
		v.budget.sample(time.Now(), v.rendering())
		return "it is still there"
	})
}

// The rendition ends with its source, for the same cause.
func TestVideoEnd(t *testing.T) {
	t.Parallel()
	v := newVideo(t, program(t)...)
	s := newSource(t)
	c, release := newCamera(t, v, s, Profile{})
	defer release()
	c.shoot()
	c.receive()
	child := pid(t, v)
	cause := errors.New("it is over")
	s.Close(cause)
	if err := syscall.Kill(child, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
	if _, err := c.reader.Read(t.Context(), make([]media.Frame, 1)); !errors.Is(err, cause) {
		t.Errorf("ends with %v, want %v", err, cause)
	}
}

// A rendition that cannot work is given up soon.
func TestVideoHopeless(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"/nonexistent", "/bin/false", "/bin/echo garbage"} {
		t.Run(command, func(t *testing.T) {
			v := newVideo(t, strings.Fields(command)...)
			c, release := newCamera(t, v, newSource(t), Profile{})
			defer release()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c.shoot()
			if _, err := c.reader.Read(ctx, make([]media.Frame, 1)); !errors.Is(err, ErrTranscoder) {
				t.Errorf("got %v, want ErrTranscoder", err)
			}
		})
	}
}

func TestDisabled(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Disabled = true
	v, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := newSource(t)
	_, _, feedErr := v.Feed(s, Profile{})
	for name, err := range map[string]error{"Check": v.Check(), "Admit": v.Admit(s, Profile{}), "Feed": feedErr} {
		if !errors.Is(err, ErrDisabled) {
			t.Errorf("%s: %v, want ErrDisabled", name, err)
		}
	}
}

func TestVideoConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		set  func(*Config)
		ok   bool
	}{
		{"default", func(*Config) {}, true},
		{"no bound", func(c *Config) { c.MaxLoad = 0 }, true},
		{"preset", func(c *Config) { c.Preset = "best" }, false},
		{"threads", func(c *Config) { c.Threads = -1 }, false},
		{"key frames", func(c *Config) { c.KeyFrameTime = -1 }, false},
		{"load", func(c *Config) { c.MaxLoad = 101 }, false},
		{"a quality", func(c *Config) { c.Quality, c.RateBPS, c.Buffer = 23, 3_000_000, 2*time.Second }, true},
		{"quality", func(c *Config) { c.Quality = 52 }, false},
		{"bit rate", func(c *Config) { c.RateBPS = -1 }, false},
		{"buffer", func(c *Config) { c.Buffer = time.Millisecond }, false},
	}
	for _, tt := range tests {
		c := DefaultConfig()
		tt.set(&c)
		if err := c.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// The bit rate of a request overrides that of the settings. Everything else comes from the settings.
func TestVideoSettings(t *testing.T) {
	t.Parallel()
	c := Config{Preset: "fast", Threads: 3, KeyFrameTime: time.Second, RateBPS: 1000, Quality: 20, Buffer: 2 * time.Second}
	want := libav.VideoConfig{Height: 90, Preset: "fast", Threads: 3, KeyFrameTime: time.Second, RateBPS: 1000, Quality: 20, Buffer: 2 * time.Second}
	if got := c.engine(Profile{Height: 90}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want.RateBPS = 2000; c.engine(Profile{Height: 90, RateBPS: 2000}) != want {
		t.Errorf("a rate that was asked for: %+v, want %+v", c.engine(Profile{Height: 90, RateBPS: 2000}), want)
	}
}

// checkThumbnails asks for thumbnails of a red source of 320x180 that sends pictures: those who ask at the same time share one.
func checkThumbnails(t *testing.T, v *Transcoder, s *stream.Source) {
	t.Helper()
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, _, err := v.Thumbnail(left, s); !errors.Is(err, context.Canceled) {
		t.Errorf("somebody who has left gets %v", err)
	}
	var files [5][]byte
	var all sync.WaitGroup
	for i := range files {
		all.Go(func() {
			var err error
			var at time.Time
			if files[i], at, err = v.Thumbnail(t.Context(), s); err != nil || time.Since(at) > time.Minute {
				t.Errorf("thumbnail of %v: %v", at, err)
			}
		})
	}
	all.Wait()
	shot, err := jpeg.Decode(bytes.NewReader(files[0]))
	if err != nil {
		t.Fatal(err)
	}
	r, g, b, _ := shot.At(160, 90).RGBA()
	if size := shot.Bounds().Size(); size.X != 320 || size.Y != 180 || r>>8 < 240 || g>>8 > 12 || b>>8 > 12 {
		t.Errorf("%v of colour %d %d %d, want 320x180 of red", size, r>>8, g>>8, b>>8)
	}
	st := v.Thumbnails()
	if st.Made+st.Shared != 5 || st.Made > 2 || st.Failed != 1 {
		t.Errorf("%+v, want five answers of one thumbnail, and one failure", st)
	}
}

func TestThumbnailBounds(t *testing.T) {
	t.Parallel()
	v := newVideo(t, "none")
	for range maxThumbnails {
		if _, mine, err := v.thumbnails.get(newSource(t)); !mine || err != nil {
			t.Fatal(mine, err)
		}
	}
	if _, _, err := v.Thumbnail(t.Context(), newSource(t)); !errors.Is(err, ErrThumbnails) || v.Thumbnails().Refused != 1 {
		t.Errorf("one more: %v, %+v", err, v.Thumbnails())
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	v := newVideo(t, program(t)...)
	s := newSource(t)
	red := picturetest.Clip(t, media.H264, "color=c=red:size=320x180:rate=10:duration=1")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			f := red[0]
			f.Time = media.Timestamp(n) * 1e8
			s.Video.Write(f)
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	file, err := v.Snapshot(t.Context(), s)
	checkThumbnails(t, v, s)
	close(stop)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	shot, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	r, g, b, _ := shot.At(160, 90).RGBA()
	if size := shot.Bounds().Size(); size.X != 320 || size.Y != 180 || r>>8 < 245 || g>>8 > 10 || b>>8 > 10 {
		t.Errorf("%v of colour %d %d %d, want 320x180 of red", size, r>>8, g>>8, b>>8)
	}

	// Of what shows nothing there is none.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := v.Snapshot(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("of a stream that stands still: %v", err)
	}
	radio, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "radio", HasAudio: true})
	if err != nil {
		t.Fatal(err)
	}
	defer radio.Close(nil)
	if _, err := v.Snapshot(t.Context(), radio); !errors.Is(err, ErrNoPicture) {
		t.Errorf("of a stream without pictures: %v", err)
	}
}
