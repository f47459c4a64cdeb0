//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// sparePush is what these tests read of a push with backup streams.
type sparePush struct {
	push
	Active   string `json:"activeStreamName"`
	Switches int    `json:"sourceSwitches"`
}

// waitActive waits until the push sends a stream.
func (s *server) waitActive(id, stream string) sparePush {
	s.t.Helper()
	var found []sparePush
	testkit.Eventually(s.t, 30*time.Second, func() string {
		if code := s.post("/push/find", map[string]string{"mediaSessionId": id}, &found); code != http.StatusOK {
			return fmt.Sprintf("find answers %d", code)
		}
		if found[0].Active != stream || found[0].Status != "PUBLISHING" {
			return fmt.Sprintf("the push is %+v", found[0])
		}
		return ""
	})
	return found[0]
}

// waitStreams waits until streams have sent media for a moment.
func (s *server) waitStreams(names ...string) {
	s.t.Helper()
	for _, name := range names {
		testkit.Eventually(s.t, 30*time.Second, func() string {
			if code := s.post("/stream/find", map[string]any{"name": name, "status": "PUBLISHING"}, nil); code != http.StatusOK {
				return fmt.Sprintf("%s is not published: %d", name, code)
			}
			return ""
		})
	}
}

// startMarks publishes a flash and a tick each second, over RTMP, with a key frame every two seconds that nobody can ask for.
func startMarks(t *testing.T, address string, width, height, level int) (cmd *exec.Cmd, leave func()) {
	t.Helper()
	cmd = exec.Command("ffmpeg", "-hide_banner", "-v", "warning", "-re",
		"-f", "lavfi", "-i", fmt.Sprintf("color=c=0x%02x%02x%02x:size=%dx%d:rate=30,drawbox=color=white:t=fill:enable='lt(mod(t\\,1)\\,0.1)'",
			level, level, level, width, height),
		"-f", "lavfi", "-i", "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t\\,1)\\,0.05)':s=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "60", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2",
		"-f", "flv", address)
	var log safeBuffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		cmd.Wait()
	}()
	leave = sync.OnceFunc(func() {
		cmd.Process.Kill()
		<-exited
	})
	t.Cleanup(leave)
	return cmd, leave
}

// judgeSpliced checks that a recording decodes, that it has one clock, that neither kind pauses longer than most seconds, and that lips are in
// step: each flash that is whole has its tick within 40 ms and a picture. A flash may be cut where the source changes, but no two in a row.
func judgeSpliced(t *testing.T, file string, most float64, changes int) {
	t.Helper()
	judgeOneClock(t, file, most)
	times, luma := brightness(t, file)
	pcm, start := soundByTime(t, file), 0.0
	var ticks []float64
	for i := 0; i < len(pcm); i++ {
		if math.Abs(float64(pcm[i])) > 0.1 {
			ticks = append(ticks, start+float64(i)/soundRate)
			i += soundRate / 4
		}
	}
	flashes, bad, row := 0, 0, 0
	var found []string
	for i := 1; i < len(times); i++ {
		if luma[i] < 160 || luma[i-1] >= 160 {
			continue
		}
		end := i
		for end < len(times) && luma[end] >= 160 {
			end++
		}
		if end == len(times) || times[end]-times[i] < 0.08 { // it is cut, or was hurried
			continue
		}
		nearest := math.Inf(1)
		for _, tick := range ticks {
			if d := tick - times[i]; math.Abs(d) < math.Abs(nearest) {
				nearest = d
			}
		}
		flashes++
		found = append(found, fmt.Sprintf("%.0f", nearest*1000))
		if math.Abs(nearest) <= 0.04+1.0/30 {
			row = 0
			continue
		}
		bad++
		if row++; row > 1 {
			t.Errorf("at %.3f the lips are out of step by %.0f ms", times[i], nearest*1000)
		}
	}
	t.Logf("%d changes; sound after pictures at each flash, in ms: %s", changes, strings.Join(found, " "))
	if length := times[len(times)-1] - times[0]; flashes < int(length/2) || bad > changes {
		t.Errorf("%d flashes in %.0f s, %d of them without their tick, with %d changes", flashes, length, bad, changes)
	}
}

// soundByTime decodes a file's sound to mono samples, each at its time: the times of the packets count, and not their number. At each change of
// source, and when the server follows the clock of an encoder that was stopped, the two differ by some milliseconds, which players make up for.
func soundByTime(t *testing.T, file string) []float32 {
	t.Helper()
	raw := tool(t, "ffmpeg", "-v", "error", "-i", file, "-map", "0:a", "-af", "aresample=async=1:min_hard_comp=0.005:first_pts=0",
		"-ac", "1", "-ar", strconv.Itoa(soundRate), "-f", "f32le", "-")
	samples := make([]float32, len(raw)/4)
	for i := range samples {
		samples[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return samples
}

// A browser's stream is pushed. It ends, and a stream of an encoder goes on over the same connection, in the same recording, until the browser is
// back. The two have other sizes and codecs of sound.
func TestSpareSource(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	url, records := startNginx(t)
	leave := publishUntil(t, s, "main", 320, 180)
	publishRTMP(t, s, "spare", 640, 360)
	s.waitStreams("main", "spare")
	story := s.follow()
	var begun sparePush
	body := map[string]any{"streamName": "main", "rtmpUrl": url, "options": map[string]any{"backupStreams": []string{"spare"}}}
	if code := s.post("/push/startup", body, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitFrames("main", 90)
	leave()
	on := s.waitActive(begun.MediaSessionID, "spare")
	s.waitFrames("main", on.VideoFramesSent+90)
	if m := s.metrics(); !strings.Contains(m, `transponder_push_source_switches_total{cause="lost"} 1`) || !strings.Contains(m, "transponder_pushes_on_backup 1") {
		t.Error("the metrics do not tell that the backup is sent")
	}
	publishPictures(t, s, "main", 320, 180, 30)
	on = s.waitActive(begun.MediaSessionID, "main")
	s.waitFrames("main", on.VideoFramesSent+60)
	for name, want := range map[string]int{"spare": http.StatusOK, "other": http.StatusBadRequest} {
		if code := s.post("/push/source", map[string]any{"mediaSessionId": begun.MediaSessionID, "streamName": name}, nil); code != want {
			t.Errorf("/push/source to %q answers %d, want %d", name, code, want)
		}
	}
	on = s.waitActive(begun.MediaSessionID, "spare")
	s.waitFrames("main", on.VideoFramesSent+60)
	if on.Attempts != 1 || on.Switches != 3 {
		t.Errorf("%d connections and %d changes, want 1 and 3", on.Attempts, on.Switches)
	}
	if !strings.Contains(story.raw.String(), `"activeStreamName":"spare"`) {
		t.Error("no event tells of the spare")
	}
	s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
	judgeOneClock(t, filepath.Join(records, "rtmp_main.flv"), 0.5)
}

// Two encoders publish one name. The first one is killed, then stopped while it is the spare, and the recording has no gap.
func TestStandbyEncoder(t *testing.T) {
	t.Parallel()
	s := startServer(t, "publish_standby=true")
	url, records := startNginx(t)
	address := s.rtmp + "/show?key=a-common-secret"
	_, leave := startMarks(t, address, 320, 180, 16)
	s.waitStreams("show")
	startMarks(t, address, 320, 180, 64)
	waitMetric := func(want string) {
		t.Helper()
		testkit.Eventually(t, 30*time.Second, func() string {
			if !strings.Contains(s.metrics(), want+"\n") {
				return "no " + want
			}
			return ""
		})
	}
	waitMetric("transponder_standby_publishers 1")
	var begun push
	if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": url}, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitFrames("show", 120)
	leave()
	waitMetric("transponder_standby_promotions_total 1")
	again, _ := startMarks(t, address, 320, 180, 16)
	waitMetric("transponder_standby_publishers 1")
	sent := s.waitPush("show", "PUBLISHING")
	s.waitFrames("show", sent.VideoFramesSent+60)
	if err := again.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	sent = s.waitPush("show", "PUBLISHING")
	s.waitFrames("show", sent.VideoFramesSent+60)
	s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
	if sent.Attempts != 1 {
		t.Errorf("%d connections, want 1", sent.Attempts)
	}
	judgeSpliced(t, filepath.Join(records, "rtmp_show.flv"), 0.5, 1)
}

// Twenty changes in a row: the main encoder is stopped and goes on, is killed and comes back, and the source is chosen by hand. The recording
// decodes, has one clock, no gap over 0.3 s, and lips in step.
func TestLongSpareSource(t *testing.T) {
	s := startServer(t)
	url, records := startNginx(t)
	main, leave := startMarks(t, s.rtmp+"/main", 320, 180, 16)
	startMarks(t, s.rtmp+"/spare", 320, 180, 64)
	s.waitStreams("main", "spare")
	var begun sparePush
	body := map[string]any{"streamName": "main", "rtmpUrl": url, "options": map[string]any{"backupStreams": []string{"spare"}, "backupAfterMs": 500}}
	if code := s.post("/push/startup", body, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitFrames("main", 120)
	on := func(stream string) {
		t.Helper()
		p := s.waitActive(begun.MediaSessionID, stream)
		s.waitFrames("main", p.VideoFramesSent+60)
	}
	signal := func(what syscall.Signal) {
		t.Helper()
		if err := main.Process.Signal(what); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		signal(syscall.SIGSTOP)
		on("spare")
		signal(syscall.SIGCONT)
		on("main")
	}
	for range 2 {
		leave()
		on("spare")
		main, leave = startMarks(t, s.rtmp+"/main", 320, 180, 16)
		on("main")
	}
	for range 5 {
		for _, name := range []string{"spare", "main"} {
			if code := s.post("/push/source", map[string]any{"mediaSessionId": begun.MediaSessionID, "streamName": name}, nil); code != http.StatusOK {
				t.Fatalf("/push/source answers %d", code)
			}
			on(name)
		}
	}
	end := s.waitActive(begun.MediaSessionID, "main")
	if end.Switches < 20 || end.Attempts != 1 {
		t.Errorf("%d changes over %d connections, want 20 over 1", end.Switches, end.Attempts)
	}
	s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
	judgeSpliced(t, filepath.Join(records, "rtmp_main.flv"), 0.3, end.Switches)
}
