package metrics

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/sound"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
)

// scrape returns the answer's body.
func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape = %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// ours returns the lines of our own figures.
func ours(text string) []string {
	lines := strings.Split(text, "\n")
	return slices.DeleteFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "transponder_") })
}

func TestMetrics(t *testing.T) {
	hub := stream.NewHub(stream.DefaultConfig())
	cam, err := hub.Publish(stream.Info{Name: "cam", ID: "1", AskKeyFrame: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	defer cam.Close(nil)
	cam.SetLive()
	track := &media.Track{Codec: media.H264}
	cam.Video.Fault(stream.FaultForm)
	cam.Video.Fault(stream.FaultForm)
	cam.Audio.Fault(stream.FaultConfig)
	cam.Video.Write(media.Frame{Track: track, Key: true, Data: make([]byte, 100)})
	cam.Video.Write(media.Frame{Track: track, Key: true, Data: make([]byte, 50), Time: media.Timestamp(1500 * time.Millisecond)})
	cam.Audio.Write(media.Frame{Track: &media.Track{Codec: media.Opus}, Data: make([]byte, 7)})
	cam.RequestKeyFrame()

	h, err := New(Parts{
		Streams: hub.Sources,
		Pushes: func() []transponder.Info {
			return []transponder.Info{{
				ID: "p1", SourceName: "cam", StreamName: "hunter2", URL: "rtmp://u:hunter2@h/app/hunter2",
				State: transponder.Live, Attempts: 3, BytesSent: 1000, BytesAcked: 900, VideoFrames: 30, AudioFrames: 47,
				DroppedFrames: 2, QueuedTime: 40 * time.Millisecond,
			}, {
				ID: "p2", SourceName: "cam", State: transponder.Starting,
			}}
		},
		Publishers:      func() map[string]int { return map[string]int{"lean": 8, "peer": 2} },
		Datagrams:       func() map[string]int64 { return map[string]int64{"refused": 11} },
		Panics:          func() map[string]int64 { return map[string]int64{"push": 12} },
		Players:         func() int { return 7 },
		WebSockets:      func() int { return 5 },
		RTMPConnections: func() int { return 6 },
		Hooks:           func() transponder.HookStats { return transponder.HookStats{Delivered: 9, Retried: 4, Dead: 1} },
		Sound: func() sound.Stats {
			return sound.Stats{
				Renditions: 2, FramesOut: 110, FramesMade: 100, FramesMono: 50, FramesReused: 20, Changes: 8, DecodeErrors: 3, Silence: 24000,
			}
		},
		SoundFiles: func() soundfile.Stats {
			return soundfile.Stats{Players: 1, Bytes: 500, Errors: 2, Starved: 7}
		},
		Pictures: func() (int, picture.Stats) {
			return 1, picture.Stats{Frames: 50, Dropped: 4, Damaged: 3, Restarts: 2, CPU: 0.25}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := scrape(t, h)
	want := []string{
		`transponder_media_datagrams_lost_total{reason="refused"} 11`,
		`transponder_pictures_damaged_total 3`,
		`transponder_pictures_dropped_total 4`,
		`transponder_pictures_transcoded_total 50`,
		`transponder_players 7`,
		`transponder_publishers{receiver="lean"} 8`,
		`transponder_publishers{receiver="peer"} 2`,
		`transponder_push_acked_bytes_total{push="p1",stream="cam"} 900`,
		`transponder_push_acked_bytes_total{push="p2",stream="cam"} 0`,
		`transponder_push_dropped_frames_total{push="p1",stream="cam"} 2`,
		`transponder_push_dropped_frames_total{push="p2",stream="cam"} 0`,
		`transponder_push_frames_total{kind="audio",push="p1",stream="cam"} 47`,
		`transponder_push_frames_total{kind="audio",push="p2",stream="cam"} 0`,
		`transponder_push_frames_total{kind="video",push="p1",stream="cam"} 30`,
		`transponder_push_frames_total{kind="video",push="p2",stream="cam"} 0`,
		`transponder_push_hook_events_total{outcome="dead"} 1`,
		`transponder_push_hook_events_total{outcome="delivered"} 9`,
		`transponder_push_hook_retries_total 4`,
		`transponder_push_queue_seconds{push="p1",stream="cam"} 0.04`,
		`transponder_push_queue_seconds{push="p2",stream="cam"} 0`,
		`transponder_push_reconnects_total{push="p1",stream="cam"} 2`,
		`transponder_push_reconnects_total{push="p2",stream="cam"} 0`,
		`transponder_push_sent_bytes_total{push="p1",stream="cam"} 1000`,
		`transponder_push_sent_bytes_total{push="p2",stream="cam"} 0`,
		`transponder_pushes{state="connecting"} 0`,
		`transponder_pushes{state="degraded"} 0`,
		`transponder_pushes{state="draining"} 0`,
		`transponder_pushes{state="ended"} 0`,
		`transponder_pushes{state="failed"} 0`,
		`transponder_pushes{state="holding"} 0`,
		`transponder_pushes{state="publishing"} 1`,
		`transponder_pushes{state="reconnecting"} 0`,
		`transponder_pushes{state="starting"} 1`,
		`transponder_renditions{kind="audio"} 2`,
		`transponder_renditions{kind="video"} 1`,
		`transponder_rtmp_connections 6`,
		`transponder_session_panics_total{part="push"} 12`,
		`transponder_sound_encoder_changes_total 8`,
		`transponder_sound_errors_total 3`,
		`transponder_sound_file_bytes 500`,
		`transponder_sound_file_errors_total 2`,
		`transponder_sound_file_starved_packets_total 7`,
		`transponder_sound_files_playing 1`,
		`transponder_sound_frames_total{coded="full"} 30`,
		`transponder_sound_frames_total{coded="mono"} 50`,
		`transponder_sound_frames_total{coded="silent"} 20`,
		`transponder_sound_silence_seconds_total 0.5`,
		`transponder_stream_bytes_total{kind="audio",stream="cam"} 7`,
		`transponder_stream_bytes_total{kind="video",stream="cam"} 150`,
		`transponder_stream_faults_total{fault="malformed",kind="video",stream="cam"} 2`,
		`transponder_stream_faults_total{fault="no_config",kind="audio",stream="cam"} 1`,
		`transponder_stream_frames_total{kind="audio",stream="cam"} 1`,
		`transponder_stream_frames_total{kind="video",stream="cam"} 2`,
		`transponder_stream_key_frame_interval_seconds{stream="cam"} 1.5`,
		`transponder_stream_key_frame_requests_total{stream="cam"} 1`,
		`transponder_stream_key_frames_total{stream="cam"} 2`,
		`transponder_stream_readers{kind="audio",stream="cam"} 0`,
		`transponder_stream_readers{kind="video",stream="cam"} 0`,
		`transponder_streams{state="live"} 1`,
		`transponder_streams{state="pending"} 0`,
		`transponder_transcoder_cores 0.25`,
		`transponder_transcoder_restarts_total 2`,
		`transponder_websockets 5`,
	}
	if got := ours(text); !slices.Equal(got, want) {
		t.Errorf("figures =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(text, "hunter2") {
		t.Error("the figures hold a secret")
	}
	for _, others := range []string{"\ngo_goroutines ", "\nprocess_cpu_seconds_total "} {
		if !strings.Contains(text, others) {
			t.Errorf("%q is missing", strings.TrimSpace(others))
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "transponder_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestNothingToShow holds that parts which are not there are left out.
func TestNothingToShow(t *testing.T) {
	h, err := New(Parts{})
	if err != nil {
		t.Fatal(err)
	}
	if got := ours(scrape(t, h)); len(got) > 0 {
		t.Errorf("figures = %q, want none", got)
	}
}

func TestHealth(t *testing.T) {
	tests := []struct {
		name    string
		handler http.Handler
		status  int
		body    string
	}{
		{"live", Live(), 200, "live\n"},
		{"ready", Ready(func() error { return nil }), 200, "ready\n"},
		{"not ready", Ready(func() error { return errors.New("the server is stopping") }), 503, "the server is stopping\n"},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		tt.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health/x", nil))
		if w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s = %d %q, want %d %q", tt.name, w.Code, w.Body, tt.status, tt.body)
		}
	}
}
