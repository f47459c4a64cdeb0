//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"transponder/internal/media"
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
	played := filepath.Join(t.TempDir(), "played.flv")
	player := exec.Command("ffmpeg", "-hide_banner", "-v", "warning", "-i", s.rtmp+"/show", "-c", "copy", played)
	var said safeBuffer
	player.Stderr = &said
	if err := player.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { player.Process.Kill() })
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

	// The player has gone on over its connection, with the next key frame, which comes within two seconds.
	if n := s.metric(t, "transponder_rtmp_players", ""); n != 1 {
		t.Errorf("%v RTMP players, want 1; FFmpeg says %s", n, said.String())
	}
	player.Process.Signal(syscall.SIGINT)
	player.Wait()
	judgeOneClock(t, played, 2.5)
	_, luma := brightness(t, played)
	luma = slices.DeleteFunc(luma, func(one float64) bool { return one > 160 }) // flashes
	if luma[0] > 40 || luma[len(luma)-1] < 50 {
		t.Errorf("the player saw pictures from brightness %.0f to %.0f", luma[0], luma[len(luma)-1])
	}
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
	told := s.follow()
	watcher := testkit.NewRTMPServer(t, testkit.Script{})
	var watched sparePush
	if code := s.post("/push/startup", map[string]any{"streamName": "main", "rtmpUrl": watcher.URL("live"), "options": body["options"]}, &watched); code != http.StatusOK {
		t.Fatalf("startup of the other answers %d", code)
	}
	s.waitActive(watched.MediaSessionID, "main")
	frames := func(n int) {
		t.Helper()
		testkit.Eventually(t, 30*time.Second, func() string {
			var found []sparePush
			s.post("/push/find", map[string]string{"mediaSessionId": begun.MediaSessionID}, &found)
			if len(found) != 1 || found[0].VideoFramesSent < n {
				return fmt.Sprintf("the push is %+v, want %d pictures", found, n)
			}
			return ""
		})
	}
	frames(120)
	on := func(stream string) {
		t.Helper()
		p := s.waitActive(begun.MediaSessionID, stream)
		frames(p.VideoFramesSent + 60)
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
			for _, p := range []sparePush{begun, watched} {
				if code := s.post("/push/source", map[string]any{"mediaSessionId": p.MediaSessionID, "streamName": name}, nil); code != http.StatusOK {
					t.Fatalf("/push/source answers %d", code)
				}
			}
			on(name)
		}
	}
	end := s.waitActive(begun.MediaSessionID, "main")
	judgePrompt(t, watcher, told, watched.MediaSessionID)
	if end.Switches < 20 || end.Attempts != 1 {
		t.Errorf("%d changes over %d connections, want 20 over 1", end.Switches, end.Attempts)
	}
	s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
	file := filepath.Join(records, "rtmp_main.flv")
	judgeSpliced(t, file, 0.3, end.Switches)
	judgeEachChange(t, file, end.Switches)
}

// judgeEachChange checks that lips are in step after each change from the dark to the light encoder of startMarks and back: of the flashes that are
// not at a change, each has its tick within 40 ms, and there is one between any two changes.
func judgeEachChange(t *testing.T, file string, want int) {
	t.Helper()
	const flash, light, edge = 160, 50, 0.15 // a flash lasts 0.1 s, and hides from which encoder it is
	times, luma := brightness(t, file)
	var changes []float64
	was := true // the recording begins with the dark encoder, maybe in a flash
	for i, y := range luma {
		if y < flash && y > light != was {
			changes, was = append(changes, times[i]), !was
		}
	}
	changes = changes[1:]
	if len(changes) != want {
		t.Errorf("the recording has %d changes, want %d", len(changes), want)
	}
	pcm := soundByTime(t, file)
	var ticks []float64
	for i := 0; i < len(pcm); i++ {
		if math.Abs(float64(pcm[i])) > 0.1 {
			ticks = append(ticks, float64(i)/soundRate)
			i += soundRate / 4
		}
	}
	changes = append(changes, times[len(times)-1])
	var found []string
	for n, from := range changes[:len(changes)-1] {
		flashes := 0
		for i := 1; i < len(times); i++ {
			if luma[i] < flash || luma[i-1] >= flash || times[i] < from+edge || times[i] > changes[n+1]-edge-0.1 {
				continue
			}
			flashes++
			nearest := math.Inf(1)
			for _, tick := range ticks {
				if d := tick - times[i]; math.Abs(d) < math.Abs(nearest) {
					nearest = d
				}
			}
			found = append(found, fmt.Sprintf("%d:%.0f", n+1, nearest*1000))
			if math.Abs(nearest) > 0.04 {
				t.Errorf("at %.3f, after change %d, the lips are out of step by %.0f ms", times[i], n+1, nearest*1000)
			}
		}
		if flashes == 0 {
			t.Errorf("no flash after change %d, from %.3f to %.3f", n+1, from, changes[n+1])
		}
	}
	t.Logf("sound after pictures, in ms, after each change: %s", strings.Join(found, " "))
}

// judgePrompt checks that a receiver gets pictures within 0.3 s of each change of source.
func judgePrompt(t *testing.T, r *testkit.RTMPServer, told *story, id string) {
	t.Helper()
	var all []time.Duration
	tags := r.Tags()
	for _, e := range told.changes(id) {
		next := slices.IndexFunc(tags, func(tag testkit.Tag) bool {
			return tag.Video && !tag.Header && tag.At.After(e.Add(-50*time.Millisecond))
		})
		if next < 0 {
			t.Errorf("no picture after the change at %v", e)
			continue
		}
		all = append(all, tags[next].At.Sub(e).Round(time.Millisecond))
		if late := tags[next].At.Sub(e); late > 300*time.Millisecond {
			t.Errorf("the first picture after a change is %v late", late)
		}
	}
	t.Logf("the first picture after each change: %v", all)
	if len(all) < 20 {
		t.Errorf("%d changes were told, want 20", len(all))
	}
}

// Several faults in one push: the main encoder is lost, then the spare one, then both come back, the spare first, and the main one stalls. There is one
// connection and one clock; while nobody sends, the destination gets a picture that was set, and silence.
func TestLongSpareFaults(t *testing.T) {
	pictures := t.TempDir()
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=gray:size=320x180", "-frames:v", "1", filepath.Join(pictures, "slate.png"))
	s := startServer(t, "media_dir="+pictures)
	url, records := startNginx(t)
	main, leaveMain := startMarks(t, s.rtmp+"/main", 320, 180, 16)
	_, leaveSpare := startMarks(t, s.rtmp+"/spare", 320, 180, 64)
	s.waitStreams("main", "spare")
	var begun sparePush
	body := map[string]any{"streamName": "main", "rtmpUrl": url, "options": map[string]any{
		"backupStreams": []string{"spare"}, "backupAfterMs": 500, "onSourceLoss": "hold", "slate": "slate.png",
	}}
	if code := s.post("/push/startup", body, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitFrames("main", 90)
	on := func(stream string) {
		t.Helper()
		p := s.waitActive(begun.MediaSessionID, stream)
		s.waitFrames("main", p.VideoFramesSent+60)
	}
	for range 2 {
		leaveMain()
		on("spare")
		leaveSpare()
		held := s.waitPush("main", "HOLDING")
		s.waitFrames("main", held.VideoFramesSent+20)
		_, leaveSpare = startMarks(t, s.rtmp+"/spare", 320, 180, 64)
		on("spare")
		main, leaveMain = startMarks(t, s.rtmp+"/main", 320, 180, 16)
		on("main")
	}
	leaveSpare()
	if err := main.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	held := s.waitPush("main", "HOLDING")
	s.waitFrames("main", held.VideoFramesSent+20)
	if err := main.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	on("main")
	end := s.findPush("main")
	if end.Attempts != 1 || end.MediaSessionID != begun.MediaSessionID {
		t.Errorf("at the end %+v", end)
	}
	s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
	file := filepath.Join(records, "rtmp_main.flv")
	judgeOneClock(t, file, 1)
	_, luma := brightness(t, file)
	slates := 0
	for i := 1; i < len(luma); i++ {
		if y := luma[i]; y > 100 && y < 150 && (luma[i-1] < 100 || luma[i-1] > 150) { // gray, between the encoders and their flashes
			slates++
		}
	}
	if slates < 3 {
		t.Errorf("the slate is seen %d times, want 3", slates)
	}
}

// The main source is H.264 with sound, the spare one VP8 of another size without sound. With a size and fit the destination gets one size all the
// time; without them the picture changes its size. In both cases there is one connection, one clock, and sound without a gap.
func TestLongSpareOfAnotherKind(t *testing.T) {
	s := startServer(t)
	_, leave := startMarks(t, s.rtmp+"/main", 320, 180, 16)
	s.waitStreams("main")
	publishCodec(t, s, "spare", media.VP8, 320, 240, 0)
	files := map[string]string{}
	start := func(name string, more map[string]any) (p sparePush) {
		t.Helper()
		url, records := startNginx(t)
		files[name] = filepath.Join(records, "rtmp_main.flv")
		body := map[string]any{"streamName": "main", "rtmpUrl": url}
		maps.Copy(body, more)
		if code := s.post("/push/startup", body, &p); code != http.StatusOK {
			t.Fatalf("startup of %s answers %d", name, code)
		}
		return p
	}
	plain := start("plain", map[string]any{"options": map[string]any{"backupStreams": []string{"spare"}}})
	fitted := start("fitted", map[string]any{"width": 480, "height": 270, "options": map[string]any{"backupStreams": []string{"spare"}, "fit": "letterbox"}})
	both := func(stream string) {
		t.Helper()
		for _, id := range []string{plain.MediaSessionID, fitted.MediaSessionID} {
			at := s.waitActive(id, stream)
			testkit.Eventually(t, 30*time.Second, func() string {
				if p := s.waitActive(id, stream); p.VideoFramesSent < at.VideoFramesSent+60 {
					return fmt.Sprintf("%d pictures were sent, want %d", p.VideoFramesSent, at.VideoFramesSent+60)
				}
				return ""
			})
		}
	}
	both("main")
	for range 2 {
		leave()
		both("spare")
		_, leave = startMarks(t, s.rtmp+"/main", 320, 180, 16)
		both("main")
	}
	for name, p := range map[string]sparePush{"plain": plain, "fitted": fitted} {
		if end := s.waitActive(p.MediaSessionID, "main"); end.Attempts != 1 || end.Switches != 4 {
			t.Errorf("%s: %d connections and %d changes, want 1 and 4", name, end.Attempts, end.Switches)
		}
		s.post("/push/terminate", map[string]any{"mediaSessionId": p.MediaSessionID}, nil)
		file := files[name]
		judgeOneClock(t, file, 0.5)
		want := map[string][]string{"plain": {"320,180", "320,240"}, "fitted": {"480,270"}}[name]
		if got := sizes(t, file); !slices.Equal(got, want) {
			t.Errorf("%s has the sizes %q, want %q", name, got, want)
		}
	}
}

// sizes returns the sizes of a recording's pictures, each once.
func sizes(t *testing.T, file string) []string {
	t.Helper()
	out := tool(t, "ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "frame=width,height", "-of", "csv=p=0", file)
	all := strings.Fields(strings.ReplaceAll(string(out), ",\n", "\n"))
	slices.Sort(all)
	return slices.Compact(all)
}

// A person watches the stream of two encoders in a browser, by our SDK and by WHEP. The first encoder is killed, and then the second one stalls. Each time
// the pictures go on over the same connection, and the page is told nothing.
func TestLongStandbyViewer(t *testing.T) {
	for _, mode := range []string{"sdk-play", "whep"} {
		t.Run(mode, func(t *testing.T) {
			s := startServer(t, "publish_standby=true", "whep_hold_ms=0")
			address := s.rtmp + "/show?key=a-common-secret"
			_, leave := startMarks(t, address, 320, 180, 16)
			s.waitStreams("show")
			spares := func(want float64) {
				t.Helper()
				testkit.Eventually(t, 30*time.Second, func() string {
					if n := s.metric(t, "transponder_standby_publishers", ""); n != want {
						return fmt.Sprintf("%v spares, want %v", n, want)
					}
					return ""
				})
			}
			second, _ := startMarks(t, address, 320, 180, 64)
			spares(1)
			b := startBrowser(t, "networks.mjs", s.page, "--name", "show", "--mode", mode)
			b.await("live")
			pictures := func() {
				t.Helper()
				b.say("pictures")
				b.await("pictures")
			}
			pictures()
			leave()
			left := time.Now()
			spares(0)
			pictures()
			t.Logf("ten pictures %v after the first encoder was killed", time.Since(left).Round(100*time.Millisecond))
			startMarks(t, address, 320, 180, 16)
			spares(1)
			if err := second.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			stalled := time.Now()
			spares(0)
			pictures()
			t.Logf("ten pictures %v after the second encoder has stalled", time.Since(stalled).Round(100*time.Millisecond))
			saw := b.stop().Displayed
			t.Logf("the page saw %v", saw)
			if saw["peers"] != "1" || strings.Count(saw["told"], "PLAYING") > 1 || strings.Contains(saw["told"], "FAILED") || strings.Contains(saw["told"], "STOPPED") {
				t.Error("the page did not go on with what it had")
			}
			if n := s.metric(t, "transponder_standby_promotions_total", ""); n != 2 {
				t.Errorf("%v promotions, want 2", n)
			}
		})
	}
}
