package transponder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"transponder/internal/limits"
	"transponder/internal/media"
	"transponder/internal/stream"
)

// BufferConfig configures the outgoing buffer, which holds frames back so that frames that come in bursts are sent evenly.
type BufferConfig struct {
	Enabled bool

	StartSize   time.Duration // sending starts when so much is buffered, at first and after the buffer ran empty
	MaxSize     time.Duration // the most that is held: beyond it the oldest frames are sent at once
	PollingTime time.Duration // how often the buffer looks for frames that are due, and so the most that a frame is late

	// MaxBufferings is how often sending may pause to refill the buffer after it ran empty; -1: any number. After that the push
	// goes on without a buffer: a picture that is not smooth is better than none.
	MaxBufferings int
}

// The ranges of a BufferConfig's values. A buffer that is enabled needs more than 0.
var (
	BufferTimeRange    = limits.Of(0, 24*time.Hour)
	MaxBufferingsRange = limits.Of(-1, 1_000_000) // -1: any number
)

// DefaultBufferConfig returns the defaults of the contract.
func DefaultBufferConfig() BufferConfig {
	return BufferConfig{
		StartSize:     300 * time.Millisecond,
		MaxSize:       2 * time.Second,
		PollingTime:   50 * time.Millisecond,
		MaxBufferings: -1,
	}
}

// Validate reports every value that cannot work.
func (c BufferConfig) Validate() error {
	errs := []error{
		BufferTimeRange.Check("buffer start size", c.StartSize),
		BufferTimeRange.Check("buffer size", c.MaxSize),
		BufferTimeRange.Check("buffer polling time", c.PollingTime),
		MaxBufferingsRange.Check("number of bufferings", c.MaxBufferings),
	}
	if !c.Enabled {
		return errors.Join(errs...)
	}
	if c.StartSize <= 0 {
		errs = append(errs, fmt.Errorf("buffer start size %v is not positive", c.StartSize))
	}
	if c.MaxSize < c.StartSize {
		errs = append(errs, fmt.Errorf("buffer size %v is less than the start size %v", c.MaxSize, c.StartSize))
	}
	if c.PollingTime <= 0 {
		errs = append(errs, fmt.Errorf("buffer polling time %v is not positive", c.PollingTime))
	}
	return errors.Join(errs...)
}

// pacer holds frames back and returns each when its time has come. It has no clock: the present time is an argument. A pacer belongs to
// one goroutine.
type pacer struct {
	cfg BufferConfig

	queue  []media.Frame
	bytes  int
	newest media.Timestamp // the latest time of a frame in queue

	phase      pacerPhase
	origin     time.Time // while flowing: a frame of time t is due at origin + t
	bufferings int       // times that the queue ran empty
}

type pacerPhase uint8

const (
	filling pacerPhase = iota // holds all frames, until there are enough
	flowing                   // returns frames when they are due
	through                   // returns frames as they come
)

// push adds frames. waited is true if the reader had no frames for a while: then a first frame that is overdue means that the buffer ran
// empty. It does not mean that if frames are late because sending took long.
func (p *pacer) push(frames []media.Frame, waited bool, now time.Time) {
	if len(frames) == 0 {
		return
	}
	late := p.phase == flowing && now.Sub(p.due(frames[0])) > p.cfg.PollingTime
	if late && waited && len(p.queue) == 0 {
		p.bufferings++
		p.phase = filling
		if p.cfg.MaxBufferings >= 0 && p.bufferings > p.cfg.MaxBufferings {
			p.phase = through
		}
	}
	for _, f := range frames {
		if len(p.queue) == 0 || f.Time > p.newest {
			p.newest = f.Time
		}
		p.queue = append(p.queue, f)
		p.bytes += len(f.Data)
	}
	if p.phase == filling && (p.delay() >= p.cfg.StartSize || p.over(len(p.queue))) {
		p.flow(now)
	}
}

// drain makes the pacer return what is left although it may be less than the start size: no more frames will come.
func (p *pacer) drain(now time.Time) {
	if p.phase == filling && len(p.queue) > 0 {
		p.flow(now)
	}
}

// restart throws away all frames and fills the queue again.
func (p *pacer) restart() {
	p.queue, p.bytes = nil, 0
	if p.phase == flowing {
		p.phase = filling
	}
}

// flow starts to return frames; the first one is due now.
func (p *pacer) flow(now time.Time) {
	p.phase = flowing
	p.origin = now.Add(-time.Duration(p.queue[0].Time))
}

// take moves frames that are due to dst. If there are none, wait is the time until one may be due; 0: not before more is pushed.
func (p *pacer) take(dst []media.Frame, now time.Time) (n int, wait time.Duration) {
	if p.phase == filling || len(p.queue) == 0 {
		return 0, 0
	}
	for n < len(p.queue) && n < len(dst) {
		f := p.queue[n]
		if early := p.due(f).Sub(now); p.phase == flowing && early > 0 {
			if !p.excess(f, len(p.queue)-n, early) {
				wait = max(early, p.cfg.PollingTime)
				break
			}
			p.origin = p.origin.Add(-early)
		}
		dst[n] = f
		p.bytes -= len(f.Data)
		n++
	}
	left := copy(p.queue, p.queue[n:])
	clear(p.queue[left:]) // so that the data can be collected
	p.queue = p.queue[:left]
	return n, wait
}

// excess reports whether f, the oldest of held frames, is returned before it is due. That is so if more is held than allowed, or if its
// time jumped so far ahead that nothing would be sent for longer than the buffer lasts.
func (p *pacer) excess(f media.Frame, held int, early time.Duration) bool {
	return p.newest.Sub(f.Time) > p.cfg.MaxSize || early > p.cfg.MaxSize || p.over(held)
}

// over reports whether so many frames exceed the bounds on memory, whatever their times are.
func (p *pacer) over(held int) bool {
	return p.bytes > stream.DefaultMaxBytes || held > stream.MaxFrames
}

// full reports whether more is held than allowed.
func (p *pacer) full() bool { return p.delay() > p.cfg.MaxSize || p.over(len(p.queue)) }

func (p *pacer) due(f media.Frame) time.Time { return p.origin.Add(time.Duration(f.Time)) }

// delay returns the duration of the frames that are held: so much later is a frame sent than without a buffer.
func (p *pacer) delay() time.Duration {
	if len(p.queue) == 0 {
		return 0
	}
	return max(0, p.newest.Sub(p.queue[0].Time))
}

// frameQueue is the source of a buffer's frames: a stream.Reader.
type frameQueue interface {
	TryRead(dst []media.Frame) (int, error)
	Arrived() <-chan struct{}
}

// frameBuffer is the outgoing buffer: it reads frames from a queue and returns them evenly. Any goroutine may call Stats; all other methods
// belong to one.
type frameBuffer struct {
	reader frameQueue
	pacer  pacer
	waited bool // the latest Read had to wait for the reader, not for a frame to be due
	batch  [64]media.Frame

	delay      atomic.Int64
	bufferings atomic.Int64
	bypassed   atomic.Bool
}

// bufferStats are a buffer's figures at one moment.
type bufferStats struct {
	Delay      time.Duration // that the buffer adds
	Bufferings int           // times that the buffer ran empty
	Bypassed   bool          // the buffer ran empty too often, and frames are sent as they come
}

// newFrameBuffer makes a buffer that reads from reader. The caller restarts and closes the reader.
func newFrameBuffer(cfg BufferConfig, reader frameQueue) *frameBuffer {
	return &frameBuffer{reader: reader, pacer: pacer{cfg: cfg}}
}

// Stats returns the buffer's figures.
func (b *frameBuffer) Stats() bufferStats {
	return bufferStats{
		Delay: time.Duration(b.delay.Load()), Bufferings: int(b.bufferings.Load()), Bypassed: b.bypassed.Load(),
	}
}

// Restart throws away the frames that are held, after the reader was restarted.
func (b *frameBuffer) Restart() {
	b.pacer.restart()
	b.waited = false
	b.publish()
}

// held returns the frames that are held, oldest first. They stay.
func (b *frameBuffer) held() []media.Frame {
	if b == nil {
		return nil
	}
	return slices.Clone(b.pacer.queue)
}

// Hurry makes Read return all frames at once from now on.
func (b *frameBuffer) Hurry() { b.pacer.phase = through }

// Read waits for at least one frame that is due, then copies all due frames that fit into dst. After the end of the source it still returns
// the frames that are held when they are due, and then the cause of the end. If ctx ends, the frames stay for the next Read.
func (b *frameBuffer) Read(ctx context.Context, dst []media.Frame) (int, error) {
	for {
		now := time.Now()
		ended := b.fill(now)
		n, wait := b.pacer.take(dst, now)
		b.publish()
		b.waited = n == 0 && wait == 0
		switch {
		case n > 0:
			return n, nil
		case b.waited && ended != nil:
			return 0, ended
		}
		if err := b.wait(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// fill takes the frames that the reader has, and returns the cause if there will be no more. When the pacer is full it takes none: if the
// destination accepts nothing, the queue of the reader fills up, and the reader knows which frames to drop.
func (b *frameBuffer) fill(now time.Time) error {
	for {
		n, err := b.reader.TryRead(b.batch[:])
		if err != nil {
			b.pacer.drain(now)
			return err
		}
		b.pacer.push(b.batch[:n], b.waited, now)
		clear(b.batch[:n])
		if n < len(b.batch) || b.pacer.full() {
			return nil
		}
	}
}

// wait waits for d, or if d is 0 until frames arrive.
func (b *frameBuffer) wait(ctx context.Context, d time.Duration) error {
	var arrived <-chan struct{}
	var due <-chan time.Time
	if d == 0 {
		arrived = b.reader.Arrived()
	} else {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-arrived:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// publish copies the figures of the pacer for Stats.
func (b *frameBuffer) publish() {
	b.delay.Store(int64(min(b.pacer.delay(), b.pacer.cfg.MaxSize))) // the next reads return what is beyond
	b.bufferings.Store(int64(b.pacer.bufferings))
	b.bypassed.Store(b.pacer.phase == through)
}
