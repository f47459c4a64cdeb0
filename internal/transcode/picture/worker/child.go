package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
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
	// queueSize is how many messages the child reads ahead. After that the pipe fills up, and the parent drops frames.
	queueSize = 64
	// If decoding is more than maxBehind behind reading, pictures are dropped until it is less than caughtUp behind. But one
	// picture is encoded every maxDropping.
	maxBehind   = 500 * time.Millisecond
	caughtUp    = 50 * time.Millisecond
	maxDropping = 500 * time.Millisecond
	// statsEvery is how often the child sends its figures while pictures come.
	statsEvery = 300 * time.Millisecond
	// memoryLimit is for Go's heap in the child. The sandbox bounds the memory of the codecs.
	memoryLimit = 256 << 20
)

// engine decodes and encodes; *libav.Video does.
type engine interface {
	Decode(media.Frame) error
	Pending() int
	Drop()
	Encode(key bool, each func(media.Frame) error) error
	Snapshot() (*image.NRGBA, error)
	Stats() libav.VideoStats
	Close()
}

// Main is the child process. It returns the exit code.
func Main(in io.Reader, out io.Writer) int {
	// Go code reads and hands on, while the codecs run in C. A second processor for Go would mostly look for work; that costs 2 %.
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
	enter func() (warning string, err error) // enters the sandbox

	queue   chan item
	latest  atomic.Int64 // media.Timestamp of the last frame that was read
	wantKey atomic.Bool
	shoot   atomic.Pointer[Format] // nil: no picture is wanted as a file

	engine  engine
	shown   media.Timestamp // time of the last access unit whose picture was encoded
	behind  bool
	dropped int64
	needKey bool
	sent    int // access units sent
	told    time.Time
}

// item is a frame that was read, or the reason why reading ended.
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

// run ends with its input.
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
	go c.read() // ends with the input; then the process ends, too
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
				format := Format(body)
				c.shoot.Store(&format)
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

// picture transcodes one access unit. A picture that comes too late is decoded, because others refer to it, but not encoded.
func (c *child) picture(f media.Frame) error {
	sent := c.sent
	err := c.engine.Decode(f)
	if errors.Is(err, libav.ErrUnsupported) || errors.Is(err, libav.ErrClosed) {
		return err
	}
	c.needKey = c.needKey || err != nil
	for c.engine.Pending() > 0 {
		if format := c.shoot.Swap(nil); format != nil {
			if err := c.snapshot(*format); err != nil {
				return err
			}
			continue
		}
		if c.late(f.Time) {
			c.dropped++
			c.engine.Drop()
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

// Format is the format of a picture that is sent as a file.
type Format string

// The formats of snapshots.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
)

// jpegQuality is for small pictures that are looked at once.
const jpegQuality = 80

// snapshot sends a picture as a file.
func (c *child) snapshot(format Format) error {
	shot, err := c.engine.Snapshot()
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if format == JPEG {
		err = jpeg.Encode(&file, (*image.RGBA)(shot), &jpeg.Options{Quality: jpegQuality}) // no pixel is transparent, so both forms are the same
	} else {
		err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&file, shot)
	}
	if err != nil {
		return err
	}
	if err := c.out.message(typeShoot, file.Bytes()); err != nil {
		return err
	}
	return c.out.w.Flush()
}

// late reports whether a picture comes too late to be encoded.
func (c *child) late(at media.Timestamp) bool {
	switch late := media.Timestamp(c.latest.Load()).Sub(at); {
	case late > maxBehind:
		c.behind = true
	case late <= caughtUp:
		c.behind = false
	}
	return c.behind && c.sent > 0 && at.Sub(c.shown) < maxDropping
}

func (c *child) send(f media.Frame) error {
	c.sent++
	return c.out.frame(f)
}

// tell sends figures: every statsEvery, and for each access unit that gave no frame. So each access unit gets an answer.
func (c *child) tell() error {
	c.told = time.Now()
	st := Stats{Dropped: c.dropped, Damaged: int64(c.engine.Stats().Damaged), NeedKey: c.needKey}
	c.needKey = false
	return c.out.object(typeStats, st)
}
