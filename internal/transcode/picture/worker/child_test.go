package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

// fakeEngine takes frames whose data say what becomes of them, and encodes their time.
type fakeEngine struct {
	pending []media.Frame
	made    *media.Track
	dropped int
	damaged int
	closed  bool
}

func (e *fakeEngine) Decode(f media.Frame) error {
	switch string(f.Data) {
	case "damaged":
		e.damaged++
		return fmt.Errorf("test: %w", libav.ErrKeyFrame)
	case "unsupported":
		return libav.ErrUnsupported
	case "nothing":
		return nil
	}
	e.pending = append(e.pending, f)
	return nil
}

func (e *fakeEngine) Pending() int { return len(e.pending) }

func (e *fakeEngine) Drop() {
	e.dropped++
	e.pending = e.pending[1:]
}

func (e *fakeEngine) Encode(key bool, each func(media.Frame) error) error {
	f := e.pending[0]
	e.pending = e.pending[1:]
	f.Track, f.Key = e.made, key
	return each(f)
}

func (e *fakeEngine) Snapshot() (*image.NRGBA, error) {
	e.pending = e.pending[1:]
	return image.NewNRGBA(image.Rect(0, 0, 4, 2)), nil
}

func (e *fakeEngine) Stats() libav.VideoStats { return libav.VideoStats{Damaged: e.damaged} }
func (e *fakeEngine) Close()                  { e.closed = true }

// newChild returns a child that has a fake engine, and what it writes.
func newChild(in io.Reader) (*child, *fakeEngine, *bytes.Buffer) {
	e := &fakeEngine{made: &media.Track{Codec: media.H264, Width: 16, Height: 16}}
	var out bytes.Buffer
	return &child{
		in: newReader(in), out: newWriter(&out), queue: make(chan item, queueSize), engine: e, told: time.Now(),
		open:  func(libav.VideoConfig) (engine, error) { return e, nil },
		enter: func() (string, error) { return "a warning", nil },
	}, e, &out
}

var source = &media.Track{Codec: media.VP8}

func frameAt(at time.Duration, data string) media.Frame {
	return media.Frame{Track: source, Time: media.Timestamp(at), Data: []byte(data)}
}

// outputs reads what a child has written.
func outputs(t *testing.T, b *bytes.Buffer) (frames []media.Frame, stats []Stats) {
	t.Helper()
	p := &Process{out: newReader(b)}
	for {
		o, err := p.Read()
		switch {
		case errors.Is(err, io.EOF):
			return frames, stats
		case err != nil:
			t.Fatal(err)
		case o.Stats != nil:
			stats = append(stats, *o.Stats)
		default:
			frames = append(frames, o.Frame)
		}
	}
}

// A child from its first message to the end of its input.
func TestChild(t *testing.T) {
	var in bytes.Buffer
	w := newWriter(&in)
	for _, err := range []error{
		w.object(typeConfig, libav.VideoConfig{Height: 360}),
		w.frame(frameAt(0, "a")),
		w.message(typeKey),
		w.frame(frameAt(40*time.Millisecond, "b")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c, e, out := newChild(&in)
	var asked libav.VideoConfig
	open := c.open
	c.open = func(cfg libav.VideoConfig) (engine, error) { asked = cfg; return open(cfg) }
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	if asked.Height != 360 || !e.closed {
		t.Errorf("engine of %+v, closed: %v", asked, e.closed)
	}
	kind, body, err := newReader(bytes.NewReader(out.Bytes())).next()
	if err != nil || kind != typeReady || string(body) != "a warning" {
		t.Errorf("begins with %q %q, %v", kind, body, err)
	}
	out.Next(headerSize + len(body))
	frames, _ := outputs(t, out)
	if len(frames) != 2 || !frames[0].Key && !frames[1].Key {
		t.Errorf("got %+v, want two frames, one of them a key frame as asked", frames)
	}
}

func TestChildInputs(t *testing.T) {
	config, err := json.Marshal(libav.VideoConfig{})
	if err != nil {
		t.Fatal(err)
	}
	begin := message(typeConfig, config...)
	track := message(typeTrack, append([]byte{byte(media.VP8)}, make([]byte, trackHead-1)...)...)
	tests := []struct{ name, input, want string }{
		{"nothing", "", "no configuration: EOF"},
		{"no configuration", message(typeKey), "no configuration: the first message is of type 'K'"},
		{"bad configuration", message(typeConfig, '['), "no configuration"},
		{"unknown", begin + message('x'), "of type 'x'"},
		{"frame without a track", begin + message(typeFrame, make([]byte, frameHead)...), "without a track"},
		{"cut", begin + "F\x00\x00\x00\x09abc", "ends early"},
		{"unsupported", begin + track + message(typeFrame, append(make([]byte, frameHead), "unsupported"...)...), libav.ErrUnsupported.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _, _ := newChild(strings.NewReader(tt.input))
			if err := c.run(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A snapshot is sent in a picture's place.
func TestChildSnapshot(t *testing.T) {
	c, _, out := newChild(nil)
	format := PNG
	c.shoot.Store(&format)
	if err := c.picture(frameAt(0, "a")); err != nil {
		t.Fatal(err)
	}
	o, err := (&Process{out: newReader(out)}).Read()
	if err != nil {
		t.Fatal(err)
	}
	if cfg, err := png.DecodeConfig(bytes.NewReader(o.Shot)); err != nil || cfg.Width != 4 || cfg.Height != 2 {
		t.Errorf("a snapshot of %dx%d, %v, want 4x2", cfg.Width, cfg.Height, err)
	}
}

// The child answers each access unit, also if it makes no picture of it.
func TestChildAnswers(t *testing.T) {
	tests := []struct {
		data   string
		frames int
		want   []Stats
	}{
		{"a", 1, nil},
		{"nothing", 0, []Stats{{}}},
		{"damaged", 0, []Stats{{Damaged: 1, NeedKey: true}}},
	}
	for _, tt := range tests {
		c, _, out := newChild(nil)
		if err := c.picture(frameAt(0, tt.data)); err != nil {
			t.Fatal(err)
		}
		frames, stats := outputs(t, out)
		if len(frames) != tt.frames || len(stats) != len(tt.want) || len(stats) > 0 && stats[0] != tt.want[0] {
			t.Errorf("%s: %d frames and %+v, want %d and %+v", tt.data, len(frames), stats, tt.frames, tt.want)
		}
	}
}

// Pictures are left out from half a second behind until it has caught up, but for two a second.
func TestChildLate(t *testing.T) {
	c, e, out := newChild(nil)
	const step = 100 * time.Millisecond
	give := func(n int, behind time.Duration) {
		t.Helper()
		c.latest.Store(int64(time.Duration(n)*step + behind))
		if err := c.picture(frameAt(time.Duration(n)*step, "a")); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5 {
		give(n, 400*time.Millisecond) // not late enough
	}
	for n := 5; n < 15; n++ {
		give(n, 600*time.Millisecond)
	}
	give(15, 100*time.Millisecond) // not yet caught up
	give(16, 0)
	frames, stats := outputs(t, out)
	var got []int
	for _, f := range frames {
		got = append(got, int(time.Duration(f.Time)/step))
	}
	if want := []int{0, 1, 2, 3, 4, 9, 14, 16}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("shown are %v, want %v", got, want)
	}
	if last := stats[len(stats)-1]; e.dropped != 9 || last.Dropped != 9 {
		t.Errorf("%d left out and %d told, want 9", e.dropped, last.Dropped)
	}
}
