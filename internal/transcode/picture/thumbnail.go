package picture

import (
	"context"
	"errors"
	"sync"
	"time"

	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture/worker"
)

const (
	// ThumbnailAge is how old a thumbnail may be. A stream is decoded for thumbnails so often at most.
	ThumbnailAge = time.Second
	// thumbnailSide is the longest shorter side of a thumbnail, in pixels.
	thumbnailSide = 360
	// maxThumbnails is how many streams may wait for their thumbnails at a time.
	maxThumbnails = 32
)

// ErrThumbnails means that too many streams wait for their thumbnails.
var ErrThumbnails = errors.New("too many pictures are being made: try again in a moment")

// ThumbnailStats count the answers to those who asked for thumbnails, since the start.
type ThumbnailStats struct {
	Made    int64
	Shared  int64 // somebody else had asked within ThumbnailAge
	Failed  int64
	Refused int64 // ErrThumbnails
}

// thumbnails are the thumbnails that were made a moment ago, or are being made.
type thumbnails struct {
	mu     sync.Mutex
	stats  ThumbnailStats                // guarded by mu
	latest map[*stream.Source]*thumbnail // guarded by mu
}

// thumbnail is made by the first who asks for it.
type thumbnail struct {
	done chan struct{} // closed when the other members are set

	file []byte
	err  error
	at   time.Time
}

// Thumbnail returns a small JPEG of a source as it looks now, not older than ThumbnailAge. All who ask at the same time share one. It fails with
// ErrNoPicture, ErrThumbnails and libav.ErrDisabled.
func (v *Transcoder) Thumbnail(ctx context.Context, s *stream.Source) (file []byte, at time.Time, err error) {
	for {
		t, mine, err := v.thumbnails.get(s)
		switch {
		case err != nil:
			return nil, time.Time{}, err
		case mine:
			v.makeThumbnail(ctx, s, t)
			return t.file, t.at, t.err
		}
		select {
		case <-t.done:
		case <-ctx.Done():
			return nil, time.Time{}, context.Cause(ctx)
		}
		if !errors.Is(t.err, context.Canceled) { // if whoever made it has left, somebody else makes one
			return t.file, t.at, t.err
		}
	}
}

func (v *Transcoder) makeThumbnail(ctx context.Context, s *stream.Source, t *thumbnail) {
	defer close(t.done)
	t.file, t.err = v.snapshot(ctx, s, worker.JPEG, thumbnailSize(s))
	t.at = time.Now()
	v.thumbnails.count(t.err)
}

// get returns the present thumbnail of a source. mine: there is none, and the caller makes it.
func (a *thumbnails) get(s *stream.Source) (t *thumbnail, mine bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for other, t := range a.latest {
		select {
		case <-t.done:
			if time.Since(t.at) >= ThumbnailAge || errors.Is(t.err, context.Canceled) {
				delete(a.latest, other)
			}
		default:
		}
	}
	if t := a.latest[s]; t != nil {
		a.stats.Shared++
		return t, false, nil
	}
	if len(a.latest) >= maxThumbnails {
		a.stats.Refused++
		return nil, false, ErrThumbnails
	}
	t = &thumbnail{done: make(chan struct{})}
	a.latest[s] = t
	return t, true, nil
}

func (a *thumbnails) count(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.stats.Failed++
		return
	}
	a.stats.Made++
}

// Thumbnails returns how those were answered who asked for thumbnails.
func (v *Transcoder) Thumbnails() ThumbnailStats {
	v.thumbnails.mu.Lock()
	defer v.thumbnails.mu.Unlock()
	return v.thumbnails.stats
}

// thumbnailSize is that of the pictures of a source, if they are not larger than a thumbnail.
func thumbnailSize(s *stream.Source) libav.VideoConfig {
	side := thumbnailSide
	if t := s.Video.Track(); t != nil && t.Width > 0 && t.Height > 0 {
		side = max(min(side, t.Width&^1, t.Height&^1), libav.MinSide)
	}
	return libav.VideoConfig{Height: side}
}
