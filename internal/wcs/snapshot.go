package wcs

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"

	"transponder/internal/access"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// maxSnapshots is how many snapshots are made for one session at a time.
const maxSnapshots = 4

const tooManySnapshots = "Too many snapshots at a time"

// snapshot is the payload of snapshotCompleted.
type snapshot struct {
	PNG string `json:"snapshot"` // base64
}

// handleSnapshot makes a picture of a stream. The stream is found by its name, since the id may be one that only the page knows. The
// answer goes to the id.
func (s *session) handleSnapshot(ctx context.Context, ref streamRef) {
	id := string(ref.MediaSessionID)
	if len(id) > maxID {
		s.ignore("too big", "message", "snapshot")
		return
	}
	src, found := s.srv.parts.Streams.Source(string(ref.Name))
	own := s.streams.publisher(id)
	switch {
	case own != nil && string(own.req.Name) == string(ref.Name): // it may have another name than the page knows
		src, found = own.media.Source(), true
	case s.may(s.caller(), access.Play, access.Object{Stream: string(ref.Name)}) != nil:
		found = false
	}
	switch {
	case !found:
		s.snapshotFailed(id, "Stream not found")
	case !src.IsLive():
		s.snapshotFailed(id, "Publish stream is not ready")
	case s.srv.parts.Snapshot == nil:
		s.snapshotFailed(id, "Snapshots are not available on this server")
	case !s.startSnapshot(ctx, id, src):
		s.snapshotFailed(id, tooManySnapshots)
	}
}

func (s *session) snapshotFailed(id, info string) {
	s.send("notifyStreamEvent", streamEvent{id, "snapshotFailed", reason{info}})
}

// startSnapshot makes the picture in a goroutine. It returns false if too many pictures are being made, or if the browser has not
// taken the last ones yet.
func (s *session) startSnapshot(ctx context.Context, id string, src *stream.Source) bool {
	if k := s.socket(); k == nil || !k.out.takesPictures() {
		return false
	}
	return s.streams.startSnapshot(func() {
		s.safely(func() { s.snapshot(context.WithoutCancel(ctx), id, src) })
	})
}

func (s *session) snapshot(ctx context.Context, id string, src *stream.Source) {
	ctx, cancel := context.WithTimeout(ctx, s.srv.cfg.SnapshotTimeout)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	})
	png, err := s.srv.parts.Snapshot(ctx, src)
	var busy *picture.BusyError
	switch {
	case err == nil:
		s.sendSnapshot(id, png)
	case errors.As(err, &busy):
		s.snapshotFailed(id, "No available transcoders")
	default:
		s.log.Warn("snapshot failed", "stream", src.Info().Name, "err", err)
		s.snapshotFailed(id, "Stream failed")
	}
}

func (s *session) sendSnapshot(id string, png []byte) {
	event := streamEvent{id, "snapshotCompleted", snapshot{base64.StdEncoding.EncodeToString(png)}}
	frame, ok := s.srv.encode("notifyStreamEvent", event)
	if k := s.socket(); ok && k != nil && !k.out.putPicture(frame) {
		s.snapshotFailed(id, tooManySnapshots)
	}
}
