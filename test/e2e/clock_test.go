//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// GStreamer 1.22 begins with what it has recorded while it connected, all at once, and its sender reports are of no use: their RTP
// time runs at twice the speed. Its sound and its pictures stay together all the same, from the first second on.
func TestGStreamerLipSync(t *testing.T) {
	t.Parallel()
	for _, late := range []string{"0", "1.2"} {
		t.Run(late, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			startGStreamer(t, "publish", s.whipURL("marks"), "--marks", "--late", late)
			judgeMarks(t, capture(t, s.rtmp+"/marks"))
		})
	}
}

// judgeMarks checks that each flash of a recording has its tick, always at the same distance from it. How large that distance is depends on
// GStreamer, too: its two encoders take different times, more so on a busy machine, and without usable reports no receiver can tell
// that from the link. An error of the server was 200 ms and more.
func judgeMarks(t *testing.T, file string) {
	t.Helper()
	times, luma := brightness(t, file)
	pcm, start := sound(t, file)
	var ticks []float64
	for i := 0; i < len(pcm); i++ {
		if math.Abs(float64(pcm[i])) > 0.1 {
			ticks = append(ticks, start+float64(i)/soundRate)
			i += soundRate / 2
		}
	}
	const frame = 1.0 / 30 // the flash shows with the first picture after it, so much later at most
	const apart = 0.08
	flashes := 0
	var found []string
	least, most := math.Inf(1), math.Inf(-1)
	for i := range times {
		if i == 0 || luma[i] < 120 || luma[i-1] >= 120 || times[i] < 0.5 || times[i] > times[len(times)-1]-0.5 {
			continue
		}
		flashes++
		nearest := math.Inf(1)
		for _, tick := range ticks {
			if d := tick - times[i]; math.Abs(d) < math.Abs(nearest) {
				nearest = d
			}
		}
		least, most = min(least, nearest), max(most, nearest)
		found = append(found, fmt.Sprintf("%.0f", nearest*1000))
	}
	t.Logf("sound after pictures, in ms: %s", strings.Join(found, " "))
	if flashes < 9 || most-least > frame+0.02 || most > apart || least < -frame-apart {
		t.Errorf("%d flashes, sound %.0f to %.0f ms after the pictures", flashes, least*1000, most*1000)
	}
}

// A publisher's link stands still for eight seconds. Once it goes on, what was recorded meanwhile arrives soon and whole, and the stream is
// no later than before.
func TestStalledPublisher(t *testing.T) {
	t.Parallel()
	const stall = 8 * time.Second
	s := startServer(t)
	way := newLine(t, s.rtmp)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	cmd := exec.Command("ffmpeg", "-hide_banner", "-v", "warning", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
		"-g", "30", "-c:a", "aac", "-f", "flv", way.url()+"/stalled")
	var log safeBuffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("ffmpeg: %s", log.String())
		}
	}()
	testkit.Eventually(t, 20*time.Second, func() string {
		if code := s.post("/push/startup", map[string]string{"streamName": "stalled", "rtmpUrl": receiver.URL("live")}, nil); code != http.StatusOK {
			return fmt.Sprintf("startup answers %d", code)
		}
		return ""
	})
	begun := time.Now()
	// delay is how late the last picture is, beside a constant. The least of two seconds counts.
	delay := func() time.Duration {
		least := time.Hour
		for until := time.Now().Add(2 * time.Second); time.Now().Before(until); {
			was := lastPicture(receiver)
			receiver.Wait(t, "a picture", func() bool { return lastPicture(receiver) > was })
			least = min(least, time.Since(begun)-lastPicture(receiver))
		}
		return least
	}
	receiver.Wait(t, "two seconds", func() bool { return lastPicture(receiver) > 2*time.Second })
	before := delay()
	way.spoil("blackout", "upstream", "")
	halted := time.Now()
	testkit.Eventually(t, 2*stall, func() string { // nothing but time mends a link
		if d := time.Since(halted); d < stall {
			return fmt.Sprintf("the link has stood still for %v", d)
		}
		return ""
	})
	if d := time.Since(begun) - lastPicture(receiver) - before; d < stall-time.Second {
		t.Errorf("the stream is %v late after %v: nothing stood still", d, stall)
	}
	way.mend()
	mended := time.Now()
	testkit.Eventually(t, 20*time.Second, func() string {
		if d := time.Since(begun) - lastPicture(receiver) - before; d > 200*time.Millisecond {
			return fmt.Sprintf("the stream is %v late", d)
		}
		return ""
	})
	t.Logf("no later than before %v after the link went on", time.Since(mended))
	if d := time.Since(mended); d > 5*time.Second {
		t.Errorf("the stream took %v to catch up", d)
	}
	if d := delay() - before; d > 200*time.Millisecond {
		t.Errorf("the stream is later than before by %v", d)
	}
	last := map[bool]time.Duration{}
	for _, tag := range receiver.Tags() {
		gap := tag.Time - last[tag.Video]
		if seen := last[tag.Video] != 0; !tag.Header && seen && (gap < 10*time.Millisecond || gap > 60*time.Millisecond) {
			t.Errorf("%s comes %v after the one before", tag, gap)
		}
		if !tag.Header {
			last[tag.Video] = tag.Time
		}
	}
}
