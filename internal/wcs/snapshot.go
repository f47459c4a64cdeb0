package wcs

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"

	"transponder/internal/access"
	"transponder/internal/hook"
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
	src, err := s.toPicture(ref)
	switch {
	case err != nil:
		s.snapshotFailed(id, pictureProblem(err))
	case !src.IsLive():
		s.snapshotFailed(id, pictureProblem(errNotReady))
	case s.srv.parts.Snapshot == nil:
		s.snapshotFailed(id, "Snapshots are not available on this server")
	case !s.startSnapshot(ctx, ref, src):
		s.snapshotFailed(id, tooManySnapshots)
	}
}

// toPicture returns the stream of which a page wants a picture.
func (s *session) toPicture(ref streamRef) (*stream.Source, error) {
	p := s.streams.publisher(string(ref.MediaSessionID))
	if p != nil && p.req.Name == ref.Name { // the stream may have another name than the page knows
		return p.media.Source(), nil
	}
	if err := s.may(s.caller(), access.Play, access.Object{Stream: string(ref.Name)}); err != nil {
		return nil, errNoStream // as for a stream that does not exist
	}
	src, found := s.srv.parts.Streams.Source(string(ref.Name))
	if !found {
		return nil, errNoStream
	}
	return src, nil
}

// pictureProblem returns why there is no picture, in words for the page.
func pictureProblem(err error) string {
	var busy *picture.BusyError
	switch {
	case errors.Is(err, errNoStream):
		return "Stream not found"
	case errors.Is(err, errNotReady):
		return "Publish stream is not ready"
	case errors.As(err, &busy):
		return "No available transcoders"
	case isRefusal(err):
		return restricted
	}
	return "Stream failed"
}

func (s *session) snapshotFailed(id, info string) {
	s.send("notifyStreamEvent", streamEvent{id, "snapshotFailed", reason{info}})
}

// startSnapshot makes the picture in a goroutine. It returns false if too many pictures are being made, or if the browser has not
// taken the last ones yet.
func (s *session) startSnapshot(ctx context.Context, ref streamRef, src *stream.Source) bool {
	if k := s.socket(); k == nil || !k.out.takesPictures() {
		return false
	}
	return s.streams.startSnapshot(func() {
		s.safely(func() { s.snapshot(context.WithoutCancel(ctx), ref, src) })
	})
}

func (s *session) snapshot(ctx context.Context, ref streamRef, src *stream.Source) {
	id := string(ref.MediaSessionID)
	ctx, cancel := context.WithCancel(ctx)
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
	png, err := s.takePicture(ctx, ref, src)
	if err == nil {
		s.sendSnapshot(id, png)
		return
	}
	s.log.Warn("snapshot failed", "stream", src.Info().Name, "err", err)
	s.snapshotFailed(id, pictureProblem(err))
}

// takePicture asks the backend of the app, and makes the picture.
func (s *session) takePicture(ctx context.Context, ref streamRef, src *stream.Source) (png []byte, err error) {
	if s.hook.HasBackend() {
		info := src.Info()
		st := hook.Stream{MediaSessionID: string(ref.MediaSessionID), Name: info.Name, HasVideo: info.HasVideo, HasAudio: info.HasAudio, MediaProvider: webRTC}
		if _, err := s.hook.Ask(ctx, hook.Snapshot, st); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.srv.cfg.SnapshotTimeout)
	defer cancel()
	return s.srv.parts.Snapshot(ctx, src)
}

func (s *session) sendSnapshot(id string, png []byte) {
	event := streamEvent{id, "snapshotCompleted", snapshot{base64.StdEncoding.EncodeToString(png)}}
	frame, ok := s.srv.encode("notifyStreamEvent", event)
	if k := s.socket(); ok && k != nil && !k.out.putPicture(frame) {
		s.snapshotFailed(id, tooManySnapshots)
	}
}
