package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

const (
	// queueSize is how many messages are read ahead. Beyond that the pipe fills, and the parent drops by its own rules.
	queueSize = 64
	// maxBehind is how far decoding may be behind what was read before pictures are left out, until it is back within caughtUp.
	// One in maxSkipped is shown however late it is.
	maxBehind  = 500 * time.Millisecond
	caughtUp   = 50 * time.Millisecond
	maxSkipped = 500 * time.Millisecond
	// statsEvery is how often figures are told while pictures come.
	statsEvery = 300 * time.Millisecond
	// memoryLimit is what the child's own heap is to stay under; what the codecs take is bounded by the sandbox.
	memoryLimit = 256 << 20
)

// engine transcodes; libav.Video is one.
type engine interface {
	Decode(media.Frame) error
	Pending() int
	Skip()
	Encode(key bool, each func(media.Frame) error) error
	Snapshot() (*image.NRGBA, error)
	Stats() libav.VideoStats
	Close()
}

// Main is the child process, from its standard input and output to its exit code.
func Main(in io.Reader, out io.Writer) int {
	// Reading and transcoding alternate, and the codecs are outside of Go: a second processor would wait for work, at 2 % of the cost.
	runtime.GOMAXPROCS(1)
	debug.SetMemoryLimit(memoryLimit)
	c := &child{
		in: newReader(in), out: newWriter(out), queue: make(chan item, queueSize), enter: enterSandbox,
		open: func(cfg libav.VideoConfig) (engine, error) { return libav.NewVideo(cfg) },
	}
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is the state of the child process.
type child struct {
	in    *reader
	out   *writer
	open  func(libav.VideoConfig) (engine, error)
	enter func() (warning string, err error) // the sandbox

	queue   chan item
	latest  atomic.Int64 // media.Timestamp of the last frame that was read
	wantKey atomic.Bool
	shoot   atomic.Bool

	engine  engine
	shown   media.Timestamp // of the access unit of the last picture that was not left out
	behind  bool
	skipped int64
	needKey bool
	sent    int // access units
	told    time.Time
}

// item is what was read: a frame, or why nothing more comes.
type item struct {
	frame media.Frame
	err   error
}

// config reads the first message.
func (c *child) config() (cfg libav.VideoConfig, err error) {
	kind, body, err := c.in.next()
	if err != nil {
		return cfg, err
	}
	if kind != typeConfig {
		return cfg, fmt.Errorf("the first message is of type %q", kind)
	}
	return cfg, json.Unmarshal(body, &cfg)
}

// run ends with the input.
func (c *child) run() error {
	cfg, err := c.config()
	if err != nil {
		return fmt.Errorf("%w: no configuration: %w", ErrProtocol, err)
	}
	if c.engine, err = c.open(cfg); err != nil {
		return err
	}
	defer c.engine.Close()
	warning, err := c.enter()
	if err != nil {
		return fmt.Errorf("enter the sandbox: %w", err)
	}
	if err := c.out.message(typeReady, []byte(warning)); err != nil {
		return err
	}
	if err := c.out.w.Flush(); err != nil {
		return err
	}
	go c.read() // ends with the input, as the process does
	for i := range c.queue {
		if errors.Is(i.err, io.EOF) {
			return nil
		}
		if i.err != nil {
			return i.err
		}
		if err := c.picture(i.frame); err != nil {
			return err
		}
	}
	return nil
}

// read fills the queue.
func (c *child) read() {
	defer close(c.queue)
	for {
		kind, body, err := c.in.next()
		var f media.Frame
		if err == nil {
			switch kind {
			case typeKey:
				c.wantKey.Store(true)
				continue
			case typeShoot:
				c.shoot.Store(true)
				continue
			case typeTrack:
				if err = c.in.setTrack(body); err == nil {
					continue
				}
			case typeFrame:
				f, err = c.in.frame(body)
			default:
				err = fmt.Errorf("%w of type %q", ErrProtocol, kind)
			}
		}
		if err == nil {
			c.latest.Store(int64(f.Time))
		}
		c.queue <- item{f, err}
		if err != nil {
			return
		}
	}
}

// picture transcodes one access unit. Pictures that come too late are decoded, as others refer to them, and left out.
func (c *child) picture(f media.Frame) error {
	sent := c.sent
	err := c.engine.Decode(f)
	if errors.Is(err, libav.ErrUnsupported) || errors.Is(err, libav.ErrClosed) {
		return err
	}
	c.needKey = c.needKey || err != nil
	for c.engine.Pending() > 0 {
		if c.shoot.Swap(false) {
			if err := c.snapshot(); err != nil {
				return err
			}
			continue
		}
		if c.late(f.Time) {
			c.skipped++
			c.engine.Skip()
			continue
		}
		c.shown = f.Time
		if err := c.engine.Encode(c.wantKey.Swap(false), c.send); err != nil {
			return err
		}
	}
	if c.sent > sent && !c.needKey && time.Since(c.told) < statsEvery {
		return nil
	}
	return c.tell()
}

// snapshot sends a picture as PNG.
func (c *child) snapshot() error {
	shot, err := c.engine.Snapshot()
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&file, shot); err != nil {
		return err
	}
	if err := c.out.message(typeShoot, file.Bytes()); err != nil {
		return err
	}
	return c.out.w.Flush()
}

// late says whether a picture is to be left out.
func (c *child) late(at media.Timestamp) bool {
	switch late := media.Timestamp(c.latest.Load()).Sub(at); {
	case late > maxBehind:
		c.behind = true
	case late <= caughtUp:
		c.behind = false
	}
	return c.behind && c.sent > 0 && at.Sub(c.shown) < maxSkipped
}

func (c *child) send(f media.Frame) error {
	c.sent++
	return c.out.frame(f)
}

// tell sends figures: now and then, and for each access unit that nothing came of. So whoever waits for an answer gets one.
func (c *child) tell() error {
	c.told = time.Now()
	st := Stats{Skipped: c.skipped, Damaged: int64(c.engine.Stats().Damaged), NeedKey: c.needKey}
	c.needKey = false
	return c.out.object(typeStats, st)
}
