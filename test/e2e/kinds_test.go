//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// An encoder whose sound or pictures stop, or are none that can be read: the push says so within 5 s of it, and what can go on does.
func TestOneKindStops(t *testing.T) {
	const (
		pictures = "-f lavfi %s -i testsrc2=size=320x180:rate=25 "
		tone     = "-f lavfi %s -i sine=frequency=440:sample_rate=48000 "
		h264     = "-map 0:v -map 1:a -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -pix_fmt yuv420p "
		aac      = "-c:a aac -ac 2 "
	)
	for _, c := range []struct {
		name, args, reason string
		silence            bool // in the place of the sound
	}{
		{"sound stops", fmt.Sprintf(pictures, "") + fmt.Sprintf(tone, "-t 4") + h264 + aac, "source_no_audio", true},
		{"pictures stop", fmt.Sprintf(pictures, "-t 4") + fmt.Sprintf(tone, "") + h264 + aac, "source_no_video", false},
		{"sound in a format of old", fmt.Sprintf(pictures, "") + fmt.Sprintf(tone, "") + h264 + "-c:a nellymoser -ac 1 -ar 22050 ", "source_unusable", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			told := s.follow()
			receiver := testkit.NewRTMPServer(t, testkit.Script{})
			var log safeBuffer
			encoder := exec.CommandContext(t.Context(), "ffmpeg", strings.Fields("-v warning -re "+c.args+"-max_interleave_delta 1 -f flv "+s.rtmp+"/cam")...)
			encoder.Stderr = &log
			if err := encoder.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				encoder.Process.Kill()
				encoder.Wait()
				if t.Failed() {
					t.Logf("ffmpeg: %s", log.String())
				}
			})
			var begun push
			waitFor(t, 15*time.Second, func() string {
				if code := s.post("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": receiver.URL("live")}, &begun); code != http.StatusOK {
					return fmt.Sprintf("startup answers %d", code)
				}
				return ""
			})
			at := told.await(t, begun.MediaSessionID, 0, 15*time.Second, "PUBLISHING")
			told.await(t, begun.MediaSessionID, at, 15*time.Second, "DEGRADED/"+c.reason)
			if c.silence {
				waitFor(t, 10*time.Second, func() string {
					if picture, sound := lastPicture(receiver), lastSound(receiver); picture < 6*time.Second || sound < picture-time.Second {
						return fmt.Sprintf("the receiver has pictures up to %v, sound up to %v", picture, sound)
					}
					return ""
				})
			}
			if c.reason == "source_unusable" && !strings.Contains(s.metrics(), `transponder_stream_faults_total{fault="codec",kind="audio",stream="cam"}`) {
				t.Error("no metric tells what is thrown away")
			}
			if steps := told.of(begun.MediaSessionID); len(steps) > at+3 {
				t.Errorf("the push has no rest: %v", steps)
			}
		})
	}
}
