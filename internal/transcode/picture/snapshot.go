package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture/worker"
)

const (
	// maxSnapshots is how many snapshots are made at a time.
	maxSnapshots = 2
	// snapshotLimit bounds the time of one snapshot, including the wait for the next key frame.
	snapshotLimit = 10 * time.Second
)

// ErrNoPicture means that a source has no picture.
var ErrNoPicture = errors.New("the stream has no picture")

// Snapshot returns the next key frame of a source as PNG. It asks the source for a key frame at once, and decodes it in a
// child process.
func (v *Transcoder) Snapshot(ctx context.Context, s *stream.Source) ([]byte, error) {
	if !libav.Enabled {
		return nil, libav.ErrDisabled
	}
	if !s.HasVideo() && s.Video.Track() == nil {
		return nil, ErrNoPicture
	}
	ctx, cancel := context.WithTimeoutCause(ctx, snapshotLimit, fmt.Errorf("%w that comes in time", ErrNoPicture))
	defer cancel()
	select {
	case v.shooting <- struct{}{}:
		defer func() { <-v.shooting }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p, err := worker.Start(v.cfg.Command, libav.VideoConfig{}, v.log)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	reading, enough := context.WithCancel(ctx)
	shots := make(chan []byte, 1)
	go func() { // ends when the child does
		defer enough()
		shots <- v.receivePNG(p)
	}()
	err = shoot(reading, s, p)
	shot := <-shots
	switch {
	case shot != nil:
		return shot, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, fmt.Errorf("%w that can be decoded: %w", ErrNoPicture, err)
	}
}

// shoot gives a child the pictures of the source until the child has sent the snapshot.
func shoot(ctx context.Context, s *stream.Source, p *worker.Process) error {
	reader := s.NewReader(stream.ReaderConfig{Video: s.Video})
	defer reader.Close()
	if err := p.Shoot(); err != nil {
		return err
	}
	frames := make([]media.Frame, 1)
	for {
		if _, err := reader.Read(ctx, frames); err != nil {
			p.Kill()
			return err
		}
		if err := p.WriteFrame(frames[0]); err != nil { // receivePNG has killed the child: there is a snapshot, or there will be none
			return err
		}
	}
}

// receivePNG waits for the PNG of a child and kills the child. It returns nil if the child sends none, or something else.
func (v *Transcoder) receivePNG(p *worker.Process) (shot []byte) {
	defer p.Kill()
	_ = v.panics.Run(v.log, "snapshot panicked", func() (err error) { // there is no snapshot then
		shot, err = readPNG(p)
		return err
	})
	return shot
}

func readPNG(p *worker.Process) ([]byte, error) {
	for {
		o, err := p.Read()
		if err != nil {
			return nil, err
		}
		if o.PNG == nil {
			continue
		}
		if _, err := png.DecodeConfig(bytes.NewReader(o.PNG)); err != nil {
			return nil, err
		}
		return o.PNG, nil
	}
}
