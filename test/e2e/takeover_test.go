//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// An encoder whose network fails comes back while its dead connection still hangs. It is let in within moments, and the recording at
// the far end is one: one connection, times that only grow.
func TestEncoderReturnsOverItsDeadConnection(t *testing.T) {
	t.Parallel()
	whip := func(t *testing.T, s *server) (hang func()) {
		relay, err := testkit.NewRelay()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(relay.Close)
		cfg := testkit.DefaultPublisherConfig()
		cfg.Units = pictures(t, 320, 180, 30)
		p := testkit.NewPublisher(cfg)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			ended <- p.Run(ctx, func(ctx context.Context, offer string) (string, error) {
				answer, err := s.exchange("show")(ctx, offer)
				if err != nil {
					return "", err
				}
				return relay.Answer(answer)
			})
		}()
		t.Cleanup(func() {
			cancel()
			<-ended
		})
		return relay.Cut
	}
	rtmp := func(t *testing.T, s *server) (hang func()) {
		cmd, leave := startFFmpeg(t, s, "show", 320, 180)
		t.Cleanup(leave)
		return func() {
			if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		first func(*testing.T, *server) (hang func())
		again func(*testing.T, *server)
	}{
		{"WHIP", whip, func(t *testing.T, s *server) { publishPictures(t, s, "show", 320, 180, 30) }},
		{"RTMP", rtmp, func(t *testing.T, s *server) { publishRTMP(t, s, "show", 320, 180) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			url, records := startNginx(t)
			hang := c.first(t, s)
			var begun push
			testkit.Eventually(t, 15*time.Second, func() string {
				if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": url}, &begun); code != http.StatusOK {
					return fmt.Sprintf("startup answers %d", code)
				}
				return ""
			})
			s.waitFrames("show", 60)
			hang()
			c.again(t, s)
			testkit.Eventually(t, 15*time.Second, func() string {
				if !strings.Contains(s.metrics(), "transponder_takeovers_total 1\n") {
					return "no takeover is counted"
				}
				return ""
			})
			back := s.waitPush("show", "PUBLISHING")
			s.waitFrames("show", back.VideoFramesSent+60)
			if back.MediaSessionID != begun.MediaSessionID {
				t.Errorf("the push was %+v and is %+v", begun, back)
			}
			s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
			judgeOneClock(t, filepath.Join(records, "rtmp_show.flv"), 5)
		})
	}
}

// While a publisher sends, a second one of the same name and address is refused, and the show of the first goes on.
func TestNameInUseWhilePublisherSends(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	publishPictures(t, s, "busy", 320, 180, 30)
	err := testkit.NewPublisher(testkit.DefaultPublisherConfig()).Run(t.Context(), s.exchange("busy"))
	if err == nil || !strings.Contains(err.Error(), "409") {
		t.Errorf("the second publisher: %v, want 409", err)
	}
	if !strings.Contains(s.metrics(), "transponder_takeovers_total 0\n") {
		t.Error("the metrics count a takeover")
	}
}

// judgeOneClock checks that a recording decodes, that the times of each kind only grow, and by no more than so many seconds at once.
func judgeOneClock(t *testing.T, file string, most float64) {
	t.Helper()
	last := map[string]float64{}
	for _, p := range probe(t, file).Packets {
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			t.Fatalf("packet without a time: %+v", p)
		}
		if before, seen := last[p.Kind]; seen && (at <= before || at > before+most) {
			t.Errorf("%s: %s goes from %.3f to %.3f", file, p.Kind, before, at)
		}
		last[p.Kind] = at
	}
	if apart := last["video"] - last["audio"]; apart > 1 || apart < -1 {
		t.Errorf("%s ends with pictures at %.3f and sound at %.3f", file, last["video"], last["audio"])
	}
	judgeDecoding(t, file)
}
