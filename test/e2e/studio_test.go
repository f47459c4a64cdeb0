//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
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

// While somebody is live from the studio, the server is killed and started again. The page says so, keeps the camera and comes back, and a real
// nginx has one recording of the show. So it is when the page is reloaded.
func TestStudioComesBack(t *testing.T) { studioComesBack(t, 1) }

// TestLongStudioComesBack kills the server ten times, and leaves it away for a moment, or for longer than the browser's connection lives.
func TestLongStudioComesBack(t *testing.T) { studioComesBack(t, 10) }

func studioComesBack(t *testing.T, kills int) {
	n := newNginx(t, "record_append on;")
	dir, port := t.TempDir(), "http.port="+testkit.FreePort(t)
	s := startServerAt(t, dir, nil, port)
	b := startBrowser(t, "studio-returns.mjs", s.page, "--name", "show", "--rtmp", n.url(), "--seconds", "300")
	b.await("live")
	started := s.waitPush("show", "PUBLISHING")
	ids := []string{started.MediaSessionID}
	for kill := range kills {
		s.waitEach(ids, "PUBLISHING", s.waitPush("show", "PUBLISHING").VideoFramesSent+30)
		b.tell("away")
		killed := time.Now()
		s.kill()
		b.await("away")
		said := time.Since(killed)
		if said > 3*time.Second {
			t.Errorf("kill %d: the page said so after %v", kill, said)
		}
		if kill%3 == 1 { // until the browser's connection has failed, too
			time.Sleep(8 * time.Second)
		}
		s = startServerAt(t, dir, nil, port)
		ready := time.Now()
		s.waitEach(ids, "PUBLISHING", 0)
		live := time.Since(ready)
		b.tell("back")
		b.await("back")
		if live > 3*time.Second {
			t.Errorf("kill %d: the show went on %v after the server was back", kill, live)
		}
		t.Logf("kill %d: the page said so after %v; live %v after the server was back", kill, said.Round(time.Millisecond), live.Round(time.Millisecond))
	}
	s.waitEach(ids, "PUBLISHING", s.waitPush("show", "PUBLISHING").VideoFramesSent+30)
	b.tell("reload")
	b.await("back")
	if after := s.waitPush("show", "PUBLISHING"); after.MediaSessionID != started.MediaSessionID {
		t.Errorf("after the reload there is the push %s, want %s", after.MediaSessionID, started.MediaSessionID)
	}
	s.waitEach(ids, "PUBLISHING", s.waitPush("show", "PUBLISHING").VideoFramesSent+30)
	b.stop()
	s.waitNoPush()
	file := n.recording(t)
	judgeDecoding(t, file)
	judgeJoints(t, file, kills)
	if lasts := duration(t, file); lasts < float64(kills+2) {
		t.Errorf("the recording lasts %.1f s", lasts)
	}
}

// A show that is live goes on from a phone, which has read the code of the first page, and comes back: at a server that asks nobody here, and between
// two people of whom the second may control the stream. The push is one, a real nginx has one recording, and neither page fights for the name.
func TestLongStudioHandsOver(t *testing.T) {
	handOver := func(t *testing.T, s *server, n *nginx, options ...string) {
		b := startBrowser(t, "studio-hands-over.mjs", append([]string{s.page, "--name", "show", "--seconds", "200"}, options...)...)
		b.await("live")
		begun := s.waitPush("show", "PUBLISHING")
		goesOn := func(pictures int) {
			t.Helper()
			s.waitEach([]string{begun.MediaSessionID}, "PUBLISHING", s.waitPush("show", "PUBLISHING").VideoFramesSent+pictures)
		}
		shows := func(e browserEvent, wanted map[string]string) {
			t.Helper()
			for id, want := range wanted {
				if e.Displayed[id] != want {
					t.Errorf("%s shows %q, want %q", id, e.Displayed[id], want)
				}
			}
		}
		const elsewhere = "Another device or window sends this show"
		b.tell("scan")
		shows(b.await("offered"), map[string]string{"phone state": elsewhere, "phone go": "Take over", "phone failure": "", "first failure": ""})
		goesOn(60)
		for _, who := range []string{"phone", "first", "phone"} {
			other := map[string]string{"phone": "first", "first": "phone"}[who]
			b.tell(who)
			shows(b.await("taken"), map[string]string{who + " go": "Stop", who + " failure": "", other + " state": elsewhere, other + " go": "Take over", other + " failure": ""})
			goesOn(150) // for longer than the pauses of a page that would bring its stream back
		}
		b.tell("leave")
		b.await("left")
		goesOn(60)
		if after := s.waitPush("show", "PUBLISHING"); after.MediaSessionID != begun.MediaSessionID || after.Attempts != 1 {
			t.Errorf("the push is %+v, it was %+v", after, begun)
		}
		b.stop()
		s.waitNoPush()
		file := filepath.Join(n.dir, "rtmp_show.flv")
		judgeDecoding(t, file)
		judgeJoints(t, file, 0)
		still := 0.0
		for _, one := range stills(t, file) {
			still = max(still, one)
		}
		t.Logf("the picture stood still for %.0f ms at most", still*1000)
		if n := s.metric(t, "transponder_takeovers_total", ""); n != 3 {
			t.Errorf("the name changed hands %v times, want 3", n)
		}
	}
	t.Run("on this machine", func(t *testing.T) {
		n := newNginx(t)
		handOver(t, startServer(t), n, "--rtmp", n.url())
	})
	t.Run("the other one adds a destination", func(t *testing.T) {
		n, second, s := newNginx(t), testkit.NewRTMPServer(t, testkit.Script{}), startServer(t)
		b := startBrowser(t, "studio-hands-over.mjs", s.page, "--name", "show", "--seconds", "200", "--rtmp", n.url(), "--second", second.URL("live/second"))
		b.await("live")
		for _, task := range []struct{ tell, await string }{{"scan", "offered"}, {"phone", "taken"}, {"add", "added"}, {"first", "taken"}} {
			b.tell(task.tell)
			if now := b.await(task.await); task.tell == "first" && now.Displayed["first state"] != "Live on all 2 destinations" {
				t.Errorf("the first page says %q", now.Displayed["first state"])
			}
		}
		b.stop()
		s.waitNoPush() // of the second one, which the first page has not started, too
	})
	t.Run("two people", func(t *testing.T) {
		const password = "tahini-and-sesame-17"
		n := newNginx(t)
		s := startServer(t, "access=closed", "admin_password="+password, "metrics_allow=127.0.0.0/8,::1")
		s.rest = strings.Replace(s.rest, "://", "://admin:"+password+"@", 1)
		for _, request := range []struct {
			method string
			body   map[string]any
		}{
			{"/user/create", map[string]any{"name": "anna", "role": "operator", "password": password}},
			{"/user/create", map[string]any{"name": "bob", "role": "operator", "password": password}},
			{"/destination/create", map[string]any{"name": "main", "streams": []string{"*"}, "rtmpUrl": n.url()}},
		} {
			if code := s.post(request.method, request.body, nil); code != http.StatusOK {
				t.Fatalf("%s answers %d", request.method, code)
			}
		}
		handOver(t, s, n, "--people", "anna:"+password+",bob:"+password)
	})
}

// stills returns for how long the picture of a recording stands still, each time that it does, in seconds.
func stills(t *testing.T, file string) (all []float64) {
	t.Helper()
	since, last := 0.0, 0.0
	for _, p := range probe(t, file).Packets {
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil || p.Kind != "video" {
			continue
		}
		if at-last < 0.09 { // a picture that stands still is sent ten times a second
			if last > since {
				all = append(all, last-since)
			}
			since = at
		}
		last = at
	}
	return all
}

// waitNoPush waits until the last push has ended.
func (s *server) waitNoPush() {
	s.t.Helper()
	testkit.Eventually(s.t, 10*time.Second, func() string {
		if code := s.post("/push/find", struct{}{}, nil); code != http.StatusNotFound {
			return "a push is still there"
		}
		return ""
	})
}

// A streamer chooses a picture of the server for the time when the stream is away, and goes live. Then the process of the page ends. A real nginx
// gets the picture, until the page is back and the streamer goes on. There is one recording, whose times only grow.
func TestLongStudioSlate(t *testing.T) {
	n := newNginx(t)
	pictures := t.TempDir()
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=0xc02080:size=640x360", "-frames:v", "1", filepath.Join(pictures, "away.png"))
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=0x2080c0:size=640x360", "-frames:v", "1", filepath.Join(pictures, "other.png"))
	s := startServer(t, "media_dir="+pictures)
	b := startBrowser(t, "studio-returns.mjs", s.page, "--name", "show", "--rtmp", n.url(), "--slate", "away.png")
	b.await("live")
	ids := []string{s.waitPush("show", "PUBLISHING").MediaSessionID}
	s.waitEach(ids, "PUBLISHING", s.findPush("show").VideoFramesSent+60)
	b.tell("crash")
	b.await("gone")
	s.waitEach(ids, "HOLDING", s.waitPush("show", "HOLDING").VideoFramesSent+40)
	b.tell("restore")
	b.await("back")
	s.waitEach(ids, "PUBLISHING", s.findPush("show").VideoFramesSent+60)
	b.stop()
	s.waitNoPush()
	file := n.recording(t)
	judgeOneClock(t, file, 4) // the server waits for two seconds before it shows the picture
	first, last, shown, all := -1, -1, 0, meanColours(t, file)
	for i, c := range all {
		if c.near(0xc0, 0x20, 0x80) {
			if shown++; first < 0 {
				first = i
			}
			last = i
		}
	}
	t.Logf("%d of %d pictures, from %d to %d, are the one that was chosen", shown, len(all), first, last)
	if shown < 30 || last-first+1 != shown {
		t.Errorf("%d pictures, from %d to %d, are the one that was chosen; want at least 30 in a row", shown, first, last)
	}
	if first < 30 || len(all)-last < 30 {
		t.Errorf("of %d pictures, those from %d to %d are the one that was chosen; want at least 30 of the camera before and after", len(all), first, last)
	}
}

// rgb is the mean colour of a picture.
type rgb [3]byte

// near allows for what two conversions of the colours lose.
func (c rgb) near(r, g, b byte) bool {
	for i, want := range [3]byte{r, g, b} {
		if d := int(c[i]) - int(want); d < -24 || d > 24 {
			return false
		}
	}
	return true
}

// meanColours returns the mean colour of each picture of a file, whose colours are those of BT.709, as of the pictures that the server makes.
func meanColours(t *testing.T, file string) []rgb {
	t.Helper()
	out := tool(t, "ffmpeg", "-v", "error", "-i", file, "-fps_mode", "passthrough", "-vf", "scale=1:1:flags=area,format=yuv444p,scale=in_color_matrix=bt709,format=rgb24", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
	all := make([]rgb, 0, len(out)/3)
	for c := range slices.Chunk(out, 3) {
		all = append(all, rgb(c))
	}
	return all
}

// A streamer sends music: a real Chromium captures one tone on the left and another on the right, and sends stereo Opus. A real nginx gets stereo AAC
// with the right tone on each side, and nothing of it on the other.
func TestLongStudioStereo(t *testing.T) {
	const left, right = 440, 1500 // Hz
	file := filepath.Join(t.TempDir(), "stereo.wav")
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("aevalsrc=0.4*sin(2*PI*%d*t)|0.4*sin(2*PI*%d*t):s=48000:d=20", left, right), file)
	n := newNginx(t)
	s := startServer(t)
	b := startBrowser(t, "studio.mjs", s.page, "--name", "music", "--rtmp", n.url(), "--music", file)
	b.await("live")
	now := s.findPush("music")
	s.waitEach([]string{now.MediaSessionID}, "PUBLISHING", now.VideoFramesSent+150)
	b.stop()
	recorded := filepath.Join(n.dir, "rtmp_music.flv")
	judgeDecoding(t, recorded)
	for _, stream := range probe(t, recorded).Streams {
		if stream.Kind == "audio" && (stream.Codec != "aac" || stream.Channels != 2) {
			t.Errorf("the sound is %s with %d channels, want aac with 2", stream.Codec, stream.Channels)
		}
	}
	raw := tool(t, "ffmpeg", "-v", "error", "-i", recorded, "-map", "0:a", "-f", "f32le", "-")
	pcm := make([]float32, len(raw)/4)
	for i := range pcm {
		pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	const second = 2 * soundRate // of both channels
	if len(pcm) < 4*second {
		t.Fatalf("%.1f s of sound", float64(len(pcm))/second)
	}
	clean := 0 // in the first seconds, and while the machine is busy, the tones are weaker, but on their sides
	for at := second; at+second/2 <= len(pcm)-second; at += second / 2 {
		part := pcm[at : at+second/2]
		level := func(channel int, hz float64) float64 { return soundtest.Level(part, channel, hz) }
		ll, lr, rl, rr := level(0, left), level(0, right), level(1, left), level(1, right)
		t.Logf("at %.1f s: left %.3f and %.3f, right %.3f and %.3f", float64(at)/second, ll, lr, rl, rr)
		if ll < 0.005 || rr < 0.005 {
			continue
		}
		if lr < ll/10 && rl < rr/10 {
			clean++
		} else {
			t.Errorf("at %.1f s the sides are mixed: left %.3f of its tone and %.3f of the other, right %.3f and %.3f", float64(at)/second, ll, lr, rr, rl)
		}
	}
	if clean < 3 {
		t.Errorf("%d half seconds have one tone on each side, want at least 3", clean)
	}
}

// A streamer names his stream in letters of his own language. The name is the same everywhere: in REST, at a real nginx, and for who plays from our
// own RTMP port.
func TestLongStudioNamesInAllLetters(t *testing.T) {
	n := newNginx(t)
	s := startServer(t)
	for _, name := range []string{"утро", "直播", "मेला-früh.1"} {
		b := startBrowser(t, "studio.mjs", s.page, "--name", name, "--rtmp", n.url())
		b.await("live")
		push := s.waitPush(name, "PUBLISHING")
		s.waitEach([]string{push.MediaSessionID}, "PUBLISHING", push.VideoFramesSent+30)
		played := filepath.Join(t.TempDir(), "played.flv")
		out, err := exec.Command("ffmpeg", "-v", "error", "-rw_timeout", "10000000", "-i", s.rtmp+"/"+name, "-t", "2", "-c", "copy", played).CombinedOutput()
		if err != nil {
			t.Errorf("%s: playing from our own port: %v: %s", name, err, out)
		} else {
			judgeDecoding(t, played)
		}
		b.stop()
		judgeDecoding(t, filepath.Join(n.dir, url.PathEscape("rtmp_"+name)+".flv")) // as nginx names its files
	}
}

// judgeJoints checks that the times of a recording only grow. Where nginx has appended, which may be so often, it gives the first tag the time of
// the last tag. That may be of sound that is older than the last picture.
func judgeJoints(t *testing.T, file string, most int) {
	t.Helper()
	before := map[string]float64{} // of each kind
	last, joints := 0.0, 0
	for _, p := range probe(t, file).Packets {
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			t.Fatalf("packet without a time: %+v", p)
		}
		if at < before[p.Kind] {
			if joints++; joints > most || at < last {
				t.Errorf("%s goes from %.3f back to %.3f, after a tag of %.3f", p.Kind, before[p.Kind], at, last)
			}
		}
		before[p.Kind], last = at, at
	}
	if before["video"] == 0 || before["audio"] == 0 {
		t.Errorf("there are no pictures or no sound: %v", before)
	}
}

// A browser records the show until the disk is full. The page says so, the show goes on, and what was recorded can be downloaded and decodes. When there
// is room again, it can be deleted, and there is a recording again. (If something else takes the last byte at once, Chromium itself may end.)
func TestLongStudioFullDisk(t *testing.T) {
	profile := t.TempDir()
	disk := filepath.Join(profile, "Default", "File System") // what pages store; without room for its own files, Chromium itself may end
	if err := os.MkdirAll(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	mountDisk(t, disk, "20m")
	stored, room := filepath.Join(disk, "Origins"), filepath.Join(disk, "room")
	n := newNginx(t)
	s := startServer(t)
	b := startBrowser(t, "studio-disk.mjs", s.page, "--name", "show", "--rtmp", n.url(), "--profile", profile, "--downloads", t.TempDir(), "--seconds", "300")
	b.await("live")
	begun := s.waitPush("show", "PUBLISHING")
	if err := os.WriteFile(room, make([]byte, 1_500_000), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := fill(t, stored)
	if err := os.Remove(room); err != nil {
		t.Fatal(err)
	}
	b.tell("full")
	saw := b.await("full").Displayed
	t.Logf("the page says %q, and offers %q", saw["record-problem"], saw["recordings"])
	if !strings.HasPrefix(saw["record-problem"], "The recording here has stopped: ") || !strings.Contains(saw["record-problem"], "disk") {
		t.Errorf("the page says %q", saw["record-problem"])
	}
	if strings.Contains(saw["record-note"], "There is room for") {
		t.Errorf("on a full disk the page says %q", saw["record-note"])
	}
	b.tell("keep")
	file := b.await("kept").Displayed["file"]
	if said := cutDecoding(t, file); said != "" {
		t.Errorf("what is kept: %s", said)
	}
	lasts := duration(t, file)
	t.Logf("what is kept lasts %.1f s", lasts)
	if lasts <= 0 {
		t.Error("nothing is kept")
	}
	s.waitEach([]string{begun.MediaSessionID}, "PUBLISHING", s.waitPush("show", "PUBLISHING").VideoFramesSent+60)

	empty()
	b.tell("delete")
	b.await("deleted")
	b.tell("record")
	b.await("recording")
	if last := s.waitPush("show", "PUBLISHING"); last.MediaSessionID != begun.MediaSessionID || last.Attempts != 1 {
		t.Errorf("the push was %+v and is %+v", begun, last)
	}
	b.stop()
	s.waitNoPush()
	judgeOneClock(t, filepath.Join(n.dir, "rtmp_show.flv"), 5)
}
