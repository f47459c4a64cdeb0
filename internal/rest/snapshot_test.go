package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"transponder/internal/access/auth"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture"
)

// fakeThumbnail answers with the name of the stream, or fails.
func fakeThumbnail(err error) Thumbnail {
	return func(_ context.Context, s *stream.Source) ([]byte, time.Time, error) {
		return []byte("\xff\xd8 " + s.Info().Name), pushTime, err
	}
}

func TestSnapshot(t *testing.T) {
	srv := serve(t, DefaultConfig(), Parts{Pushes: &fakePushes{}, Streams: newHub(t), Thumbnail: fakeThumbnail(nil)})
	got := get(t, srv, "/rest-api/stream/snapshot?name=cam")
	got.wantStatus(t, http.StatusOK)
	if string(got.body) != "\xff\xd8 cam" || got.Header.Get("Content-Type") != "image/jpeg" || got.Header.Get("Cache-Control") != "no-store" ||
		got.Header.Get("Last-Modified") != pushTime.UTC().Format(http.TimeFormat) || got.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("%q with %v", got.body, got.Header)
	}
	get(t, srv, "/rest-api/stream/snapshot?name=nobody").wantStatus(t, http.StatusNotFound)
	get(t, srv, "/rest-api/stream/snapshot").wantStatus(t, http.StatusBadRequest)
	for err, want := range map[error]int{
		fmt.Errorf("%w that comes in time", picture.ErrNoPicture): 404,
		picture.ErrThumbnails:        503,
		libav.ErrDisabled:            501,
		errors.New("something else"): 500,
	} {
		srv := serve(t, DefaultConfig(), Parts{Pushes: &fakePushes{}, Streams: newHub(t), Thumbnail: fakeThumbnail(err)})
		get(t, srv, "/rest-api/stream/snapshot?name=cam").wantStatus(t, want)
	}
}

// Whoever may play a stream may see it. Others learn nothing, not even whether there is such a stream.
func TestSnapshotRights(t *testing.T) {
	pushes, sessions, hub, events := tenants(t)
	lines := &auditLines{}
	who := auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: holders(), Recorder: lines}, slog.New(slog.DiscardHandler))
	srv := serve(t, DefaultConfig(), Parts{Pushes: pushes, Streams: hub, Events: events, Players: sessions, Connections: sessions, Access: who, Thumbnail: fakeThumbnail(nil)})
	for _, tt := range []struct {
		token, stream string
		want          int
	}{
		{"player", "acme/a", 200}, {"player", "beta/b", 200}, {"player", "none", 404}, {"admin", "beta/b", 200}, {"acme", "acme/a", 200},
		{"acme", "beta/b", 403}, {"acme", "none", 403}, {"viewer", "acme/a", 403}, {"viewer", "none", 403}, {"pusher", "acme/a", 403}, {"nothing", "acme/a", 403}, {"", "acme/a", 401},
	} {
		ask(t, srv, tt.token, "/rest-api/stream/snapshot?name="+tt.stream, "").wantStatus(t, tt.want)
	}
}

// The server that has a stream makes the picture of it.
func TestNodesSnapshot(t *testing.T) {
	_, nodes := newNodes(t, "a", "b")
	for name, want := range map[string]string{"cam-a": "\xff\xd8 cam-a", "cam-b": "\xff\xd8 cam-b"} {
		got := get(t, nodes["b"].Server, "/rest-api/stream/snapshot?name="+name)
		got.wantStatus(t, http.StatusOK)
		if string(got.body) != want || got.Header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("%s: %q as %s", name, got.body, got.Header.Get("Content-Type"))
		}
	}
	get(t, nodes["b"].Server, "/rest-api/stream/snapshot?name=none").wantStatus(t, http.StatusNotFound)
}

// How the media arrive is told about streams that a request names, and about publishers only.
func TestReception(t *testing.T) {
	srv := serve(t, DefaultConfig(), Parts{
		Pushes: &fakePushes{}, Streams: newHub(t), Players: &fakeSessions{},
		Receptions: func() map[string]rtc.SessionStats {
			return map[string]rtc.SessionStats{"cam": {
				JitterBufferStats: rtc.JitterBufferStats{Packets: 1000, Lost: 3, Late: 2, NACKs: 9, BrokenUnits: 1},
				Jitter:            4250 * time.Microsecond, RoundTrip: 31 * time.Millisecond,
			}}
		},
	})
	named := decoded[[]streamBody](t, post(t, srv, "/rest-api/stream/find", `{"name":"cam"}`))
	if want := (receptionBody{1000, 3, 2, 9, 1, 4.3, 31}); len(named) != 1 || named[0].Reception == nil || *named[0].Reception != want {
		t.Errorf("reception %+v, want %+v", named, want)
	}
	for _, r := range []reply{get(t, srv, "/rest-api/stream/find_all"), post(t, srv, "/rest-api/stream/find", `{"published":true}`), post(t, srv, "/rest-api/stream/find", `{"name":"door"}`)} {
		for _, s := range decoded[[]streamBody](t, r) {
			if s.Reception != nil {
				t.Errorf("%s has a reception", s.Name)
			}
		}
	}
}
