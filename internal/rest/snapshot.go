package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"transponder/internal/access"
	"transponder/internal/cluster"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture"
)

// Thumbnail returns a small JPEG of a source as it looks now. picture.Transcoder has it.
type Thumbnail func(ctx context.Context, s *stream.Source) (file []byte, at time.Time, err error)

func (s *Server) snapshotRoutes() {
	if s.parts.Thumbnail != nil {
		s.read("/stream/snapshot", someone, s.snapshot)
	}
}

// snapshot answers with a picture of a stream, for those who may play it. Others do not learn whether there is one.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) error {
	ctx, name := r.Context(), r.URL.Query().Get("name")
	if name == "" {
		return refusal{http.StatusBadRequest, "name: it is missing"}
	}
	if err := s.authorize(ctx, access.Play, access.Object{Stream: name}); err != nil {
		return err
	}
	sources := s.parts.Streams.Sources()
	i := slices.IndexFunc(sources, func(src *stream.Source) bool { return src.Info().Name == name && !src.Info().IsRelay() })
	if i < 0 {
		return s.snapshotElsewhere(w, r, name)
	}
	file, at, err := s.parts.Thumbnail(ctx, sources[i])
	if err != nil {
		return snapshotError(err)
	}
	h := w.Header()
	h.Set("Content-Type", "image/jpeg")
	h.Set("Content-Length", strconv.Itoa(len(file)))
	h.Set("Last-Modified", at.UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(file)
	return nil
}

// snapshotElsewhere has the server answer that has the stream.
func (s *Server) snapshotElsewhere(w http.ResponseWriter, r *http.Request, name string) error {
	if !s.isClustered(r.Context()) {
		return errNoStream
	}
	at, found, _ := s.parts.Nodes.Locate(r.Context(), cluster.KindStream, name)
	if !found {
		return errNoStream
	}
	reply, err := s.parts.Nodes.Ask(r.Context(), at, s.newCall(r, nil))
	if err != nil {
		return notHeard(err)
	}
	reply.Write(w)
	return nil
}

func snapshotError(err error) error {
	switch {
	case errors.Is(err, picture.ErrNoPicture):
		return refusal{http.StatusNotFound, err.Error()}
	case errors.Is(err, picture.ErrThumbnails):
		return refusal{http.StatusServiceUnavailable, err.Error()}
	case errors.Is(err, libav.ErrDisabled):
		return refusal{http.StatusNotImplemented, err.Error()}
	}
	return fmt.Errorf("snapshot: %w", err)
}

// receptionBody tells how the media of a publisher over WebRTC arrive, in answers about one stream.
type receptionBody struct {
	Packets   int64   `json:"packets"`
	Lost      int64   `json:"lost"`
	Late      int64   `json:"late"`
	NACKs     int64   `json:"nacks"`
	Broken    int64   `json:"brokenFrames"`
	JitterMs  float64 `json:"jitterMs,omitempty"`
	RoundTrip float64 `json:"roundTripMs,omitempty"`
}

// addReception adds how the media arrive to the publishers that a request names.
func (s *Server) addReception(list []streamBody) {
	if s.parts.Receptions == nil {
		return
	}
	all := s.parts.Receptions()
	for i := range list {
		if st, ok := all[list[i].Name]; ok && list[i].Published && !list[i].Standby {
			list[i].Reception = &receptionBody{
				Packets: st.Packets, Lost: st.Lost, Late: st.Late, NACKs: st.NACKs, Broken: st.BrokenUnits,
				JitterMs: inMilliseconds(st.Jitter), RoundTrip: inMilliseconds(st.RoundTrip),
			}
		}
	}
}

// inMilliseconds has one decimal place.
func inMilliseconds(d time.Duration) float64 { return float64(d.Round(100*time.Microsecond)) / 1e6 }

// Receptions returns how the media of all publishers over WebRTC arrive, by the names of their streams.
type Receptions func() map[string]rtc.SessionStats
