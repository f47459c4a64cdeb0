package transponder

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"transponder/internal/limits"
	"transponder/internal/media"
	"transponder/internal/stream"
)

// BufferConfig says how frames are held back before they are sent, so that what comes in bursts goes out evenly.
type BufferConfig struct {
	Enabled bool

	StartSize   time.Duration // sending begins, and begins anew, when so much is buffered
	MaxSize     time.Duration // more is not held: the oldest frames go at once
	PollingTime time.Duration // how often it is looked what is due; frames are sent so much later at most

	// MaxBufferings is how often sending may pause to fill the buffer anew after it ran empty; below 0: any number. Once they
	// are used up, the push goes on without a buffer: a picture that is not smooth is better than none.
	MaxBufferings int
}

// The ranges of a BufferConfig's values. A buffer that is enabled needs more than 0.
var (
	BufferTimeRange    = limits.Of(0, 24*time.Hour)
	MaxBufferingsRange = limits.Of(-1, 1_000_000) // -1: any number
)

// DefaultBufferConfig has the contract's defaults.
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

// pacer holds frames back and gives them out at the pace of their times. It knows no clock: times are passed in. It belongs
// to one goroutine.
type pacer struct {
	cfg BufferConfig

	queue  []media.Frame
	bytes  int
	newest media.Timestamp // of all frames in queue

	phase      pacerPhase
	origin     time.Time // a frame of time t is due at origin + t; while flowing
	bufferings int       // times that it ran empty
}

type pacerPhase uint8

const (
	filling pacerPhase = iota // until there is enough
	flowing                   // giving out frames when they are due
	through                   // giving out frames as they come
)

// push takes frames. waited says that there were none to be had for a while: then a first frame whose time is over means
// that the buffer ran empty. Frames that come late because sending them took long mean no such thing.
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

// drain gives out what is left at its pace, although it may be less than the start size: no more will come.
func (p *pacer) drain(now time.Time) {
	if p.phase == filling && len(p.queue) > 0 {
		p.flow(now)
	}
}

// restart throws away what is held and fills anew.
func (p *pacer) restart() {
	p.queue, p.bytes = nil, 0
	if p.phase == flowing {
		p.phase = filling
	}
}

// flow begins to give out frames, the first of them now.
func (p *pacer) flow(now time.Time) {
	p.phase = flowing
	p.origin = now.Add(-time.Duration(p.queue[0].Time))
}

// take moves to dst what is to be sent now. Where that is nothing, wait says when to look again, 0: when more was pushed.
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
	clear(p.queue[left:]) // let go of the data
	p.queue = p.queue[:left]
	return n, wait
}

// excess says whether f, the oldest of so many frames, goes before it is due: more is held than may be, or its time jumped so
// far ahead that nothing would be sent for longer than the buffer lasts.
func (p *pacer) excess(f media.Frame, held int, early time.Duration) bool {
	return p.newest.Sub(f.Time) > p.cfg.MaxSize || early > p.cfg.MaxSize || p.over(held)
}

// over says whether so many frames are more than memory is spent on, whatever their times.
func (p *pacer) over(held int) bool {
	return p.bytes > stream.DefaultMaxBytes || held > stream.MaxFrames
}

// full says whether more is held than may be.
func (p *pacer) full() bool { return p.delay() > p.cfg.MaxSize || p.over(len(p.queue)) }

func (p *pacer) due(f media.Frame) time.Time { return p.origin.Add(time.Duration(f.Time)) }

// delay is how much is held, and so how much later a frame is sent than without a buffer.
func (p *pacer) delay() time.Duration {
	if len(p.queue) == 0 {
		return 0
	}
	return max(0, p.newest.Sub(p.queue[0].Time))
}

// frameQueue is where a buffer's frames come from: a stream.Reader.
type frameQueue interface {
	TryRead(dst []media.Frame) (int, error)
	Arrived() <-chan struct{}
}

// Buffer reads frames from a queue and gives them out evenly. Read and Restart are for one goroutine, Stats for any.
type Buffer struct {
	reader frameQueue
	pacer  pacer
	waited bool // for frames of the reader, not for those that are held to be due
	batch  [64]media.Frame

	delay      atomic.Int64
	bufferings atomic.Int64
	bypassed   atomic.Bool
}

// BufferStats are a buffer's figures at one moment.
type BufferStats struct {
	Delay      time.Duration // held back, and so added to the latency
	Bufferings int           // times that it ran empty
	Bypassed   bool          // it ran empty too often: frames are sent as they come
}

// NewBuffer makes a buffer that reads from reader, which remains the caller's to restart and to close.
func NewBuffer(cfg BufferConfig, reader frameQueue) *Buffer {
	return &Buffer{reader: reader, pacer: pacer{cfg: cfg}}
}

// Stats returns the buffer's figures.
func (b *Buffer) Stats() BufferStats {
	return BufferStats{
		Delay: time.Duration(b.delay.Load()), Bufferings: int(b.bufferings.Load()), Bypassed: b.bypassed.Load(),
	}
}

// Restart throws away what is held, for a reader that was restarted.
func (b *Buffer) Restart() {
	b.pacer.restart()
	b.waited = false
	b.publish()
}

// Hurry has all frames go at once from now on.
func (b *Buffer) Hurry() { b.pacer.phase = through }

// Read waits for at least one frame that is due and copies as many as there are and fit to dst. After the source's end it
// gives out what it holds, at its pace, and then why the source ended. If ctx ends, what is held stays for the next Read.
func (b *Buffer) Read(ctx context.Context, dst []media.Frame) (int, error) {
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

// fill takes what the reader has, and returns why there will be no more. While more is held than may be it takes nothing, so
// that a peer that takes nothing fills the reader's queue, which knows what to drop.
func (b *Buffer) fill(now time.Time) error {
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

// wait waits for so long or, if that is 0, until frames come.
func (b *Buffer) wait(ctx context.Context, d time.Duration) error {
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

// publish lets Stats see the pacer's figures.
func (b *Buffer) publish() {
	b.delay.Store(int64(min(b.pacer.delay(), b.pacer.cfg.MaxSize))) // more than that leaves with the next reads
	b.bufferings.Store(int64(b.pacer.bufferings))
	b.bypassed.Store(b.pacer.phase == through)
}
