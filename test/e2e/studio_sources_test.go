//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/transcode/sound/soundtest"
)

// Files as sources of the studio, with every control of them, as viewers see them.
func TestLongStudioFilePage(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", "studio-file.long.mjs")
	cmd.Dir = "browser"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// sourceShow is a show from the studio whose sources change, and the recording of it by a real nginx.
type sourceShow struct {
	t     *testing.T
	s     *server
	n     *nginx
	b     *browser
	begun push
	parts []showPart
}

// showPart is a part of a recording with the same sources, in seconds.
type showPart struct {
	name     string
	from, to float64
}

// partMargin is what is left out at both ends of a part of a recording: a change takes a while to reach it.
const partMargin = 1.5

func newSourceShow(t *testing.T, args ...string) *sourceShow {
	t.Helper()
	n := newNginx(t, "record_append on;")
	s := startServer(t)
	b := startBrowser(t, "studio-sources.mjs", append(args, s.page, "--name", "show", "--rtmp", n.url(), "--seconds", "400")...)
	b.await("live")
	return &sourceShow{t: t, s: s, n: n, b: b, begun: s.waitPush("show", "PUBLISHING")}
}

// do makes the page do something, and checks that nothing is wrong with it and that it has made one connection.
func (h *sourceShow) do(line string) map[string]string {
	h.t.Helper()
	h.b.say(line)
	saw := h.b.await("done").Displayed
	if saw["connections"] != "1" || saw["failure"] != "" || saw["problem"] != "" {
		h.t.Errorf("after %q the page shows %v", line, saw)
	}
	return saw
}

// sent is how many seconds of sound nginx was sent: the clock of the recording.
func (h *sourceShow) sent() float64 {
	return float64(h.s.waitPush("show", "PUBLISHING").AudioFramesSent) * 1024 / 48000
}

// last waits until nginx was sent so many more seconds, and notes this part of the recording, if it has a name.
func (h *sourceShow) last(seconds float64, name string) {
	h.t.Helper()
	from := h.sent()
	testkit.Eventually(h.t, 3*time.Minute, func() string {
		if now := h.sent(); now < from+seconds {
			time.Sleep(100 * time.Millisecond) // each question is a line of the server's log
			return fmt.Sprintf("%.1f of %.1f s were sent", now-from, seconds)
		}
		return ""
	})
	if name != "" {
		h.parts = append(h.parts, showPart{name, from, h.sent()})
	}
}

// stop ends the show. It returns the recording, which decodes and whose times only grow.
func (h *sourceShow) stop() string {
	h.t.Helper()
	if last := h.s.waitPush("show", "PUBLISHING"); last.MediaSessionID != h.begun.MediaSessionID || last.Attempts != 1 {
		h.t.Errorf("the push was %+v and is %+v", h.begun, last)
	}
	h.b.stop()
	testkit.Eventually(h.t, 10*time.Second, func() string {
		if code := h.s.post("/push/find", struct{}{}, nil); code != http.StatusNotFound {
			return "the push is still there"
		}
		return ""
	})
	file := h.n.recording(h.t)
	judgeDecoding(h.t, file)
	judgeJoints(h.t, file, 0)
	return file
}

// While somebody is live from the studio, a screen comes and goes, the quality changes, another camera is picked, and a file is played to its end. The
// show keeps its connection, and a real nginx has one recording, whose sound and pictures stay together in each part.
func TestLongStudioSources(t *testing.T) {
	film := filepath.Join(t.TempDir(), "film.mp4")
	flash, beep := "color=black:size=640x360:rate=30:duration=15,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.1)'", "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':s=48000:d=15"
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", film)

	h := newSourceShow(t, "--flash")
	h.last(12, "the camera")
	h.do("screen on")
	h.last(3, "")
	h.do("arrange camera")
	h.last(12, "the camera, mixed")
	for _, quality := range []string{"360p", "720p"} {
		h.do("quality " + quality)
		h.last(4, "")
	}
	h.do("camera 2")
	h.last(12, "another camera, at 720p")
	h.do("screen off")
	h.do("arrange screen")
	h.do("film " + film)
	h.last(11, "the file")
	if saw := h.do("ended"); !strings.Contains(saw["note"], "Viewers see the camera again") {
		t.Errorf("after the file the page says %q", saw["note"])
	}
	h.last(12, "the camera again")
	h.judgeParts(h.stop())
}

// judgeParts compares flashes and beeps in each part of a recording. The median of their distances counts: it is that of the show, while a single
// picture may be late because the machine was busy. What is near a change is left out.
func (h *sourceShow) judgeParts(file string) {
	h.t.Helper()
	flashes, beeps := flashTimes(h.t, file), beepTimes(h.t, file)
	const most = 0.040
	for _, part := range h.parts {
		var offsets []float64
		for _, f := range flashes {
			for _, b := range beeps {
				if f > part.from+partMargin && f < part.to-partMargin && math.Abs(b-f) < 0.4 {
					offsets = append(offsets, b-f)
				}
			}
		}
		if len(offsets) < 6 {
			h.t.Errorf("%s, from %.1f to %.1f s: %d flashes with their beeps; flashes %.2f, beeps %.2f", part.name, part.from, part.to, len(offsets), flashes, beeps)
			continue
		}
		off := median(offsets)
		h.t.Logf("%s: the sound is %.0f ms after the picture, the median of %.3f", part.name, 1000*off, offsets)
		if math.Abs(off) > most {
			h.t.Errorf("%s: the sound is %.0f ms after the picture, want at most %.0f either way", part.name, 1000*off, 1000*most)
		}
	}
}

// Camera and screen are mixed at 720p, and a file is played, while another page of the browser hides the studio. Browsers slow down pages that nobody
// sees; the pictures of the show go on, and each is another one.
func TestLongStudioHidden(t *testing.T) {
	film := filepath.Join(t.TempDir(), "film.webm")
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=10", "-f", "lavfi", "-i", "sine=duration=10",
		"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus", film)
	h := newSourceShow(t)
	h.do("screen on")
	h.last(5, "")
	h.last(30, "mixed, seen")
	if saw := h.do("hide"); saw["visibility"] != "hidden" {
		t.Fatalf("the page is %s", saw["visibility"])
	}
	h.last(30, "mixed, hidden")
	h.do("front")
	h.do("screen off")
	h.do("arrange screen") // the file without the camera
	h.do("film " + film)
	h.do("loop")
	h.last(3, "")
	h.last(20, "a file, seen")
	h.do("hide")
	h.last(20, "a file, hidden") // Chromium stops the picture of a hidden video after 10 s
	file := h.stop()

	areas := map[string]string{"the camera in the corner": "290:160:955:530", "the screen": "600:700:0:0", "the file": "1280:720:0:0"}
	for i, of := range [][]string{{"the camera in the corner", "the screen"}, {"the file"}} {
		seen, hidden := h.parts[2*i], h.parts[2*i+1]
		before, after := h.rate(file, seen), h.rate(file, hidden)
		t.Logf("%s: %.1f pictures a second; %s: %.1f", seen.name, before, hidden.name, after)
		if after < 0.8*before { // a machine that is busy has fewer of both
			t.Errorf("a page sends %.1f pictures a second, and while it is hidden %.1f", before, after)
		}
		for _, area := range of {
			before, after := newPictures(t, file, seen, areas[area]), newPictures(t, file, hidden, areas[area])
			t.Logf("%s: %.1f new pictures a second; while the page is hidden: %.1f", area, before, after)
			if before < 5 || after < 0.8*before {
				t.Errorf("%s shows %.1f new pictures a second, and while the page is hidden %.1f", area, before, after)
			}
		}
	}
}

// rate is how many pictures a second a part of a recording has.
func (h *sourceShow) rate(file string, part showPart) float64 {
	n := 0
	for _, p := range probe(h.t, file).Packets {
		if at, err := strconv.ParseFloat(p.DTS, 64); err == nil && p.Kind == "video" && at >= part.from && at < part.to {
			n++
		}
	}
	return float64(n) / (part.to - part.from)
}

// newPictures is how many pictures a second of a part of a recording differ from the one before, in an area of the picture.
func newPictures(t *testing.T, file string, part showPart, area string) float64 {
	t.Helper()
	filters := fmt.Sprintf("movie=%s,trim=%f:%f,crop=%s,mpdecimate=max=0:hi=200:lo=100:frac=0.0001", file, part.from, part.to, area)
	out := tool(t, "ffprobe", "-v", "error", "-f", "lavfi", "-i", filters, "-show_entries", "frame=pts_time", "-of", "csv=p=0")
	return float64(strings.Count(string(out), "\n")) / (part.to - part.from)
}

// A streamer shares a tab of the browser that has a colour and plays a tone: before the show, and again while it runs. The browser's own getDisplayMedia gives both. A real
// nginx gets the colour and the tone with the microphone, also while that tab is in front of the studio. When the tab is closed, and when the sharing is
// stopped, it gets the camera and the microphone alone.
func TestLongStudioRealScreen(t *testing.T) {
	const voice, first, second = 440, 700, 1100 // Hz
	dir := t.TempDir()
	camera, microphone := filepath.Join(dir, "green.y4m"), filepath.Join(dir, "voice.wav")
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=0x00ff00:size=1280x720:rate=30", "-frames:v", "10", "-pix_fmt", "yuv420p", camera)
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("aevalsrc='0.3*sin(2*PI*%d*t)':s=48000:d=20", voice), microphone)

	h := newSourceShow(t, "--camera", camera, "--microphone", microphone, "--tab", fmt.Sprint("#ff0000 ", first))
	h.last(3, "")
	h.last(8, "a tab, since before the show")
	if saw := h.do("tab close"); !strings.Contains(saw["note"], "not shared any more") {
		t.Errorf("after the tab was closed the page says %q", saw["note"])
	}
	h.last(8, "the camera, after the tab was closed")
	h.do(fmt.Sprint("tab #0000ff ", second))
	if saw := h.do("screen on"); !strings.Contains(saw["note"], "with its sound") {
		t.Errorf("while a tab is shared the page says %q", saw["note"])
	}
	h.last(8, "another tab")
	if saw := h.do("tab front"); saw["visibility"] != "hidden" {
		t.Errorf("the page is %s", saw["visibility"])
	}
	h.last(8, "that tab, in front of the studio")
	h.do("front")
	h.do("screen off")
	h.last(8, "the camera, after the sharing was stopped")
	file := h.stop()

	middle, corner := "400:300:300:200", "200:100:1000:560"
	for i, want := range []struct {
		middle int // the colour that is strong there: red, green or blue
		tone   float64
	}{{0, first}, {1, 0}, {2, second}, {2, second}, {1, 0}} {
		part := h.parts[i]
		if c := partColour(t, file, part, middle); !c.only(want.middle) {
			t.Errorf("%s: the middle of the picture is %v", part.name, c)
		}
		if c := partColour(t, file, part, corner); !c.only(1) {
			t.Errorf("%s: the corner of the picture is %v, not that of the camera", part.name, c)
		}
		for _, hz := range []float64{voice, first, second} {
			heard := hz == voice || hz == want.tone
			level := partLevel(t, file, part, hz)
			t.Logf("%s: %.0f Hz at %.3f", part.name, hz, level)
			if (heard && level < 0.1) || (!heard && level > 0.03) {
				t.Errorf("%s: the tone of %.0f Hz has %.3f of full scale; it should be heard: %t", part.name, hz, level, heard)
			}
		}
	}
}

// only says whether a colour is a strong red (0), green (1) or blue (2).
func (c rgb) only(which int) bool {
	for i, x := range c {
		if (i == which && x < 180) || (i != which && x > 80) {
			return false
		}
	}
	return true
}

// partColour is the median colour of an area of the pictures of a part of a recording.
func partColour(t *testing.T, file string, part showPart, area string) (c rgb) {
	t.Helper()
	filters := fmt.Sprintf("trim=%f:%f,crop=%s,scale=1:1:flags=area,format=rgb24", part.from+partMargin, part.to-partMargin, area)
	out := tool(t, "ffmpeg", "-v", "error", "-i", file, "-fps_mode", "passthrough", "-vf", filters, "-f", "rawvideo", "-")
	if len(out) < 3*30 {
		t.Fatalf("%s has %d pictures", part.name, len(out)/3)
	}
	for i := range c {
		var all []byte
		for at := i; at < len(out); at += 3 {
			all = append(all, out[at])
		}
		slices.Sort(all)
		c[i] = all[len(all)/2]
	}
	return c
}

// partLevel is how loud a tone is in a part of a recording, from 0 to 1: the median of pieces of 50 ms, as a busy machine leaves gaps. After a change of
// the sources, the server plays the sound up to 0.5 % faster or slower for some seconds. In longer pieces, the tone would be another one.
func partLevel(t *testing.T, file string, part showPart, hz float64) float64 {
	t.Helper()
	filters := fmt.Sprintf("atrim=%f:%f", part.from+partMargin, part.to-partMargin)
	raw := tool(t, "ffmpeg", "-v", "error", "-i", file, "-map", "0:a", "-af", filters, "-ac", "2", "-ar", strconv.Itoa(soundRate), "-f", "f32le", "-")
	pcm := make([]float32, len(raw)/4)
	for i := range pcm {
		pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	var levels []float64
	for piece := range slices.Chunk(pcm, 2*soundRate/20) { // of both channels
		levels = append(levels, soundtest.Level(piece, 0, hz))
	}
	if len(levels) < 60 {
		t.Fatalf("%s has %d pieces of sound", part.name, len(levels))
	}
	return median(levels)
}
