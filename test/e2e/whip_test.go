//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// whipURL is where a stream is published by WHIP.
func (s *server) whipURL(name string) string {
	return strings.TrimSuffix(s.page, "/") + "/whip/" + name
}

// exchange posts an offer for a stream by WHIP.
func (s *server) exchange(name string) testkit.Exchange {
	return func(ctx context.Context, offer string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.whipURL(name), strings.NewReader(offer))
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "application/sdp")
		if s.whipToken != "" {
			req.Header.Set("Authorization", "Bearer "+s.whipToken)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			return "", err
		}
		if resp.StatusCode != http.StatusCreated {
			return "", fmt.Errorf("WHIP answers %s: %s", resp.Status, answer)
		}
		return string(answer), nil
	}
}

// publishWHIP publishes a stream until the test ends, and returns when it is live.
func publishWHIP(t *testing.T, s *server, name string) *testkit.Publisher {
	t.Helper()
	p, _ := publish(t, s, name, testkit.DefaultPublisherConfig())
	return p
}

// publish is publishWHIP of what cfg says, until leave is called.
func publish(t *testing.T, s *server, name string, cfg testkit.PublisherConfig) (p *testkit.Publisher, leave func()) {
	t.Helper()
	p = testkit.NewPublisher(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, s.exchange(name)) }()
	leave = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(leave)
	select {
	case <-p.Connected():
	case err := <-ended:
		ended <- err
		t.Fatalf("publish %s: %v", name, err)
	case <-time.After(15 * time.Second):
		t.Fatalf("%s is not connected after 15 s", name)
	}
	return p, leave
}

// metrics returns what the server gives out as metrics.
func (s *server) metrics() string {
	s.t.Helper()
	resp, err := http.Get(strings.TrimSuffix(s.page, "/") + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// pictures makes real H.264 of a test picture: a GOP of two seconds, one slice a picture.
func pictures(t *testing.T, width, height, fps int) []testkit.Unit {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pictures.264")
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%dx%d:rate=%d:duration=2", width, height, fps),
		"-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-b:v", "600k", "-threads", "1", "-g", strconv.Itoa(2*fps),
		"-bsf:v", "filter_units=remove_types=6", "-f", "h264", file)
	units, err := testkit.LoadUnits(file)
	if err != nil {
		t.Fatal(err)
	}
	return units
}

// publishPictures publishes such pictures, with silence, until the test ends.
func publishPictures(t *testing.T, s *server, name string, width, height, fps int) {
	t.Helper()
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units, cfg.FPS = pictures(t, width, height, fps), fps
	publish(t, s, name, cfg)
}

// Every frame that a WHIP publisher sends arrives at the RTMP server, in order, once; also when packets are lost on the way
// and sent again.
func TestEveryFrameArrives(t *testing.T) {
	s := startServer(t)
	for _, tt := range []struct {
		name string
		drop float64
		swap float64
		rtx  bool
	}{
		{"clean", 0, 0, true},
		{"5% lost", 0.05, 0, true},
		{"5% lost without RTX", 0.05, 0, false},
		{"disorder and loss", 0.02, 0.05, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			const frames = 300
			receiver := testkit.NewRTMPServer(t, testkit.Script{})
			cfg := testkit.DefaultPublisherConfig()
			cfg.Frames, cfg.Drop, cfg.Swap, cfg.RTX, cfg.Seed = frames, tt.drop, tt.swap, tt.rtx, 1
			name := strings.NewReplacer(" ", "-", "%", "").Replace(tt.name)
			p := testkit.NewPublisher(cfg)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			// The push is asked for between the answer and the first packet, so that it sees the stream whole.
			go func() {
				ended <- p.Run(ctx, func(ctx context.Context, offer string) (string, error) {
					answer, err := s.exchange(name)(ctx, offer)
					if err == nil {
						if code := s.post("/push/startup", map[string]string{"streamName": name, "rtmpUrl": receiver.URL("live")}, nil); code != http.StatusOK {
							err = fmt.Errorf("push/startup answers %d", code)
						}
					}
					return answer, err
				})
			}()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			receiver.Wait(t, "media", func() bool { return len(receiver.Tags()) > 0 })
			testkit.Eventually(t, 30*time.Second, func() string {
				numbers := frameNumbers(receiver.Tags())
				if len(numbers) == 0 || numbers[len(numbers)-1] < frames-1 {
					return fmt.Sprintf("%d frames arrived, %d were sent", len(numbers), p.Sent())
				}
				return ""
			})
			numbers := frameNumbers(receiver.Tags())
			for i, n := range numbers {
				if n != int64(i) {
					t.Fatalf("frame %d arrives where %d is due", n, i)
				}
			}
			t.Logf("%d frames, %d packets asked for again", len(numbers), p.NACKed())
			if tt.drop > 0 && p.NACKed() == 0 {
				t.Error("nothing was asked for again: no loss took place")
			}
		})
	}
}

// At a ceiling whoever comes is told so, over every door, and those who are on do not notice.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	s := startServer(t, "max_publishers=2", "max_players=1", "rtmp_push_max=1")
	publishWHIP(t, s, "one")
	publishWHIP(t, s, "two")
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	begin := func(name string) int {
		return s.post("/push/startup", map[string]string{"streamName": name, "rtmpUrl": receiver.URL("live")}, nil)
	}
	if code := begin("one"); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	receiver.Wait(t, "pictures", func() bool { return len(videoTimes(receiver)) > 10 })
	if code := begin("two"); code != http.StatusServiceUnavailable {
		t.Errorf("a push too many answers %d, want 503", code)
	}
	tell := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	if err := tell.Run(t.Context(), s.exchange("three")); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "it takes 2 streams") {
		t.Errorf("a WHIP publisher too many: %v, want 503 with the reason", err)
	}
	out, err := exec.Command("ffmpeg", "-hide_banner", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=1",
		"-c:v", "libx264", "-f", "flv", s.rtmp+"/four").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "it takes 2 streams") {
		t.Errorf("ffmpeg as a publisher too many: %v, %s", err, out)
	}
	at := lastPicture(receiver)
	receiver.Wait(t, "pictures on", func() bool { return lastPicture(receiver) > at+time.Second })
	judgeNumbers(t, receiver.Tags(), 0)
}

// A machine that is used as far as it may be takes nobody more, and says so.
func TestNoProcessorsLeft(t *testing.T) {
	s := startServer(t, "max_load_percent=1")
	var refused error
	for i := range 64 { // a core or two take one or two streams with a hundredth of themselves, and large machines a few more
		p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx, s.exchange("s"+strconv.Itoa(i))) }()
		defer func() {
			cancel()
			<-ended
		}()
		select {
		case <-p.Connected():
			continue
		case refused = <-ended:
			ended <- refused
		case <-time.After(15 * time.Second):
			t.Fatal("a publisher is neither connected nor refused after 15 s")
		}
		break
	}
	if refused == nil || !strings.Contains(refused.Error(), "503") || !strings.Contains(refused.Error(), "cores") {
		t.Errorf("the last publisher: %v, want 503 with the reason", refused)
	}
	if m := s.metrics(); !strings.Contains(m, "\ntransponder_load_refused_total 1\n") {
		t.Errorf("the metrics do not count one as refused")
	}
}

// frameNumbers returns the numbers that the publisher gave the frames, as they came.
func frameNumbers(tags []testkit.Tag) []int64 {
	var numbers []int64
	for _, tag := range tags {
		if n, ok := testkit.FrameNumber(tag.Data); tag.Video && ok {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// RTP's clocks and packet numbers come to their ends and begin anew, in the middle of a show: nothing is missing, and on the RTMP
// side time goes on as before.
func TestRTPWraps(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	cfg := testkit.DefaultPublisherConfig()
	cfg.WrapAfter = 5 * time.Second
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	publish(t, s, "wraps", cfg)
	if code := s.post("/push/startup", map[string]string{"streamName": "wraps", "rtmpUrl": receiver.URL("live")}, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	receiver.Wait(t, "eight seconds", func() bool { return lastPicture(receiver) > 8*time.Second && lastSound(receiver) > 8*time.Second })
	judgeNumbers(t, receiver.Tags(), 0)
	last, first := map[bool]time.Duration{}, int64(0)
	for _, tag := range receiver.Tags() {
		if tag.Header {
			continue
		}
		before, seen := last[tag.Video]
		last[tag.Video] = tag.Time
		if seen && (tag.Time <= before || tag.Time > before+200*time.Millisecond) {
			t.Errorf("%s comes after %v", tag, before)
		}
		n, ok := testkit.FrameNumber(tag.Data)
		if !tag.Video || !ok {
			continue
		}
		if !seen {
			first = n
		}
		// A picture's time is its number's, but for what the sender's reports correct.
		if due := time.Duration(n-first) * time.Second / time.Duration(cfg.FPS); (tag.Time - due).Abs() > 200*time.Millisecond {
			t.Fatalf("picture %d is at %v, want about %v", n, tag.Time, due)
		}
	}
}

// Browsers whose bundle policy is max-bundle publish by WHIP and play by WHEP, with their candidates in the offer or sent later, as
// MediaMTX's pages send them; a stream without sound is played, though the section for sound comes first; and a player goes on in its
// session when the publisher returns soon, learns that the stream is gone when it does not, and gets the picture when it returns late.
func TestWHIPInBrowsers(t *testing.T) {
	t.Parallel() // it waits for half a minute
	s := startServer(t, "whep_hold_ms=5000")
	b := startBrowser(t, "whip.mjs", s.page)
	do := func(command string) map[string]string {
		t.Helper()
		b.tell(command)
		return b.await("done").Displayed
	}
	b.await("live")
	s.receivedBy("lean") // Chromium's H.264
	s.receivedBy("peer") // Firefox's VP8

	cfg := testkit.DefaultPublisherConfig()
	cfg.Units, cfg.Audio = pictures(t, 320, 180, 30), false
	_, leave := publish(t, s, "silent", cfg)
	do("play silent")
	leave()

	leave = publishUntil(t, s, "show", 320, 180)
	do("watch show")
	do("goes on")
	leave()
	leave = publishUntil(t, s, "show", 320, 180)
	if now := do("goes on"); now["begun"] != "1" || now["heard"] != "active,inactive,active" {
		t.Errorf("the publisher was away for a moment, and the player has begun %s times (%s) and heard %s", now["begun"], now["losses"], now["heard"])
	}
	leave()
	if now := do("lost"); now["begun"] != "1" {
		t.Errorf("the player has begun %s times before its session ended: %s", now["begun"], now["losses"])
	}
	publishUntil(t, s, "show", 320, 180)
	if now := do("goes on"); now["begun"] == "1" || now["losses"] == "" {
		t.Errorf("the player shows pictures without a new session: %v", now)
	}
	b.stop()
}
