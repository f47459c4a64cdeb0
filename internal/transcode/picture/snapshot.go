package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // thumbnails are JPEG files
	_ "image/png"  // snapshots are PNG files
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
	return v.snapshot(ctx, s, worker.PNG, libav.VideoConfig{})
}

// snapshot returns the next key frame of a source as a file, in the size of the configuration.
func (v *Transcoder) snapshot(ctx context.Context, s *stream.Source, format worker.Format, size libav.VideoConfig) ([]byte, error) {
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
	p, err := worker.Start(v.cfg.Command, size, v.log)
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
		shots <- v.receiveShot(p, format)
	}()
	err = shoot(reading, s, p, format)
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
func shoot(ctx context.Context, s *stream.Source, p *worker.Process, format worker.Format) error {
	reader := s.NewReader(stream.ReaderConfig{Video: s.Video})
	defer reader.Close()
	if err := p.Shoot(format); err != nil {
		return err
	}
	frames := make([]media.Frame, 1)
	for {
		if _, err := reader.Read(ctx, frames); err != nil {
			p.Kill()
			return err
		}
		if err := p.WriteFrame(frames[0]); err != nil { // receiveShot has killed the child: there is a snapshot, or there will be none
			return err
		}
	}
}

// receiveShot waits for the snapshot of a child and kills the child. It returns nil if the child sends none, or something else.
func (v *Transcoder) receiveShot(p *worker.Process, format worker.Format) (shot []byte) {
	defer p.Kill()
	_ = v.panics.Run(v.log, "snapshot panicked", func() (err error) { // there is no snapshot then
		shot, err = readShot(p, format)
		return err
	})
	return shot
}

func readShot(p *worker.Process, format worker.Format) ([]byte, error) {
	for {
		o, err := p.Read()
		if err != nil {
			return nil, err
		}
		if o.Shot == nil {
			continue
		}
		_, kind, err := image.DecodeConfig(bytes.NewReader(o.Shot))
		if err == nil && kind != string(format) {
			err = fmt.Errorf("a snapshot of the format %q, want %q", kind, format)
		}
		if err != nil {
			return nil, err
		}
		return o.Shot, nil
	}
}
