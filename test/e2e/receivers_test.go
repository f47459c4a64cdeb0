//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/rtmp"
	"transponder/internal/testkit"
)

// restoring are the options of a push that comes back by itself, and soon.
var restoring = map[string]any{"restore": map[string]any{"attempts": 100, "firstPauseMs": 100}}

// A receiver that is killed, as by a power cut, and started again gets the show back: the same push reconnects, and what is
// recorded decodes from its first picture on, with no step back in time.
func TestReceiverKilled(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		recording []string
		files     int
	}{
		{"recording anew", []string{"record_unique on;"}, 2},
		{"appending to the recording", []string{"record_append on;"}, 1},
	}
	s := startServer(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			n := newNginx(t, tt.recording...)
			name := "killed" + strconv.Itoa(i)
			publishPictures(t, s, name, 320, 180, 30)
			var begun push
			if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": n.url(), "options": restoring}, &begun); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			s.waitFrames(name, 90)
			n.kill()
			s.waitPush(name, "RECONNECTING")
			n.start()
			again := s.waitPush(name, "PUBLISHING")
			if again.MediaSessionID != begun.MediaSessionID {
				t.Errorf("the push is %s after it was %s", again.MediaSessionID, begun.MediaSessionID)
			}
			s.waitFrames(name, again.VideoFramesSent+90)
			if code := s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil); code != http.StatusOK {
				t.Errorf("terminate answers %d", code)
			}
			files, err := filepath.Glob(filepath.Join(n.dir, "rtmp_"+name+"*.flv"))
			if err != nil || len(files) != tt.files {
				t.Fatalf("recordings %v (%v), want %d", files, err, tt.files)
			}
			for _, file := range files {
				judgeRecording(t, file, tt.files == 1)
				if seconds := duration(t, file); seconds < 2.5*float64(3-tt.files) {
					t.Errorf("%s lasts %.1f s", file, seconds)
				}
			}
		})
	}
}

// A receiver that refuses for a while what it took before, since the service that it asks for leave is down, gets the show back.
func TestReceiverRefusesForAWhile(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	leave := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(leave.Close)
	s := startServer(t)
	n := newNginx(t, "on_publish "+leave.URL+"/;")
	publishPictures(t, s, "asked", 320, 180, 30)
	options := map[string]any{"restore": map[string]any{"attempts": "unlimited", "firstPauseMs": 100}}
	var begun push
	if code := s.post("/push/startup", map[string]any{"streamName": "asked", "rtmpUrl": n.url(), "options": options}, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitFrames("asked", 30)
	down.Store(true)
	n.kill()
	n.start()
	testkit.Eventually(t, 15*time.Second, func() string {
		var found []push
		s.post("/push/find", map[string]string{"streamName": "asked"}, &found)
		if len(found) == 0 || found[0].Reason != "peer_closed" && !strings.HasPrefix(found[0].Reason, "key_") || found[0].Attempts < 3 {
			return fmt.Sprintf("not refused yet: %+v", found)
		}
		return ""
	})
	down.Store(false)
	if again := s.waitPush("asked", "PUBLISHING"); again.MediaSessionID != begun.MediaSessionID {
		t.Errorf("the push is %s after it was %s", again.MediaSessionID, begun.MediaSessionID)
	}
}

// A push to a server of our own that is full waits for room, and says so.
func TestReceiverIsFull(t *testing.T) {
	t.Parallel()
	s, far := startServer(t), startServer(t, "max_publishers=1")
	leave := publishRTMP(t, far, "first", 320, 180)
	testkit.Eventually(t, 15*time.Second, func() string {
		if far.post("/stream/find", map[string]any{"name": "first"}, nil) != http.StatusOK {
			return "the first stream is not there"
		}
		return ""
	})
	publishPictures(t, s, "second", 320, 180, 30)
	if code := s.post("/push/startup", map[string]any{"streamName": "second", "rtmpUrl": far.rtmp, "options": restoring}, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	if p := s.waitPush("second", "RECONNECTING"); p.Reason != "peer_closed" || !strings.Contains(p.Info, "no connections now") {
		t.Errorf("while there is no room: %s, %s", p.Reason, p.Info)
	}
	leave()
	s.waitPush("second", "PUBLISHING")
}

// Of a name's two addresses the one where no RTMP is spoken is passed over.
func TestReceiverAtSecondAddress(t *testing.T) {
	t.Parallel()
	if addrs, err := net.LookupHost("localhost"); err != nil || len(addrs) < 2 {
		t.Skipf("localhost has no two addresses here: %v, %v", addrs, err)
	}
	n := newNginx(t)
	l, err := net.Listen("tcp6", "[::1]:"+n.port)
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	web := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.NotFoundHandler()}}
	web.Start()
	t.Cleanup(web.Close)
	s := startServer(t)
	publishPictures(t, s, "two", 320, 180, 30)
	body := map[string]any{"streamName": "two", "rtmpUrl": "rtmp://localhost:" + n.port + "/live"}
	if code := s.post("/push/startup", body, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	if p := s.waitPush("two", "PUBLISHING"); p.Attempts != 1 {
		t.Errorf("it took %d attempts", p.Attempts)
	}
}

// nginxJoint is how far nginx lets what it appends to a recording overlap what is there: it gives the first picture the time of
// the last tag, which may be of sound that is older than the last picture.
const nginxJoint = 0.1

// judgeRecording checks that a file begins with a key frame, decodes, and has no gap and times that only grow, but for the joint
// of one that was appended to.
func judgeRecording(t *testing.T, file string, appended bool) {
	t.Helper()
	last, previous := map[string]float64{}, map[string]float64{}
	joints := map[string]int{}
	for _, p := range probe(t, file).Packets {
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			t.Fatalf("packet without a time: %+v", p)
		}
		before, seen := last[p.Kind]
		switch {
		case !seen && p.Kind == "video" && !strings.HasPrefix(p.Flags, "K"):
			t.Errorf("%s does not begin with a key frame", file)
		case seen && at <= before && at > before-nginxJoint && appended && (joints[p.Kind] == 0 || joints[p.Kind] == 1 && at > previous[p.Kind]):
			if at <= previous[p.Kind] { // else it is of the same overlap
				joints[p.Kind]++
			}
		case seen && at <= before, seen && p.Kind == "video" && at > before+0.5:
			t.Errorf("%s: %s goes from %.3f to %.3f", file, p.Kind, before, at)
		}
		last[p.Kind], previous[p.Kind] = max(before, at), at
	}
	if last["video"] == 0 || last["audio"] == 0 {
		t.Errorf("%s has no pictures or no sound: %v", file, last)
	}
	if appended {
		judgeAppended(t, file)
	} else {
		judgeDecoding(t, file)
	}
}

// judgeDecoding checks that a file decodes without a complaint.
func judgeDecoding(t *testing.T, file string) {
	t.Helper()
	if complaints := decode(t, file); len(complaints) > 0 {
		t.Errorf("decoding: %s", strings.Join(complaints, "\n"))
	}
}

// judgeAppended is judgeDecoding for a file to which nginx may have appended: where it lets frames overlap, FFmpeg complains about their times.
// These are judged by the file's packets.
func judgeAppended(t *testing.T, file string) {
	t.Helper()
	complaints := slices.DeleteFunc(decode(t, file), func(line string) bool { return strings.Contains(line, "non monotonically increasing dts") })
	if len(complaints) > 0 {
		t.Errorf("decoding: %s", strings.Join(complaints, "\n"))
	}
}

// decode returns what FFmpeg says about a file, line by line.
func decode(t *testing.T, file string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error", "-i", file, "-fps_mode", "vfr", "-f", "null", "-")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("decoding %s: %v", file, err)
	}
	return slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool { return line == "" })
}

// duration is the time from a file's first picture to its last, in seconds.
func duration(t *testing.T, file string) float64 {
	t.Helper()
	var first, last float64
	for i, p := range probe(t, file).Packets {
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			t.Fatalf("packet without a time: %+v", p)
		}
		if i == 0 {
			first = at
		}
		last = at
	}
	return last - first
}

// waitFrames waits until a push has sent so many pictures in all.
func (s *server) waitFrames(stream string, frames int) {
	s.t.Helper()
	testkit.Eventually(s.t, 30*time.Second, func() string {
		var found []push
		s.post("/push/find", map[string]string{"streamName": stream}, &found)
		if len(found) == 0 || found[0].VideoFramesSent < frames {
			return fmt.Sprintf("not %d pictures yet: %+v", frames, found)
		}
		return ""
	})
}

// A publisher who leaves and comes back, with another picture size, leaves no mark in a recording but the picture that stands
// still meanwhile.
func TestPublisherReturns(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	url, records := startNginx(t)
	leave := publishUntil(t, s, "hold", 320, 180)
	options := map[string]any{"onSourceLoss": "hold", "holdMs": 60000}
	var begun push
	if code := s.post("/push/startup", map[string]any{"streamName": "hold", "rtmpUrl": url, "options": options}, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitFrames("hold", 60)
	leave()
	held := s.waitPush("hold", "HOLDING")
	s.waitFrames("hold", held.VideoFramesSent+20) // two seconds of the last picture
	publishPictures(t, s, "hold", 640, 360, 30)
	back := s.waitPush("hold", "PUBLISHING")
	if back.MediaSessionID != begun.MediaSessionID {
		t.Errorf("the push is %s after it was %s", back.MediaSessionID, begun.MediaSessionID)
	}
	s.waitFrames("hold", back.VideoFramesSent+60)
	s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
	file := filepath.Join(records, "rtmp_hold.flv")
	judgeRecording(t, file, false)
	sizes := tool(t, "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "frame=width", "-of", "csv=p=0", file)
	if !strings.Contains(string(sizes), "320") || !strings.Contains(string(sizes), "640") {
		t.Error("the recording does not have pictures of both publishers")
	}
}

// A push goes on, in one RTMP session, with whoever publishes under its stream's name: a page, an encoder over RTMP, a page again;
// and while there is nobody, with a slate of the same size, which find and the metadata know of.
func TestPublisherReturnsOverAnotherDoor(t *testing.T) {
	t.Parallel()
	for _, picture := range []string{"slate.png", "slate.jpg"} {
		t.Run(picture, func(t *testing.T) {
			t.Parallel()
			media := t.TempDir()
			tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:size=200x200", "-frames:v", "1", filepath.Join(media, picture))
			s := startServer(t, "media_dir="+media)
			receiver := testkit.NewRTMPServer(t, testkit.Script{})
			leave := publishUntil(t, s, "show", 320, 180)
			body := map[string]any{"streamName": "show", "rtmpUrl": receiver.URL("live"), "options": map[string]any{
				"onSourceLoss": "hold", "holdMs": 60000, "slate": picture,
			}}
			var begun push
			if code := s.post("/push/startup", body, &begun); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			s.waitFrames("show", 60)
			hold := func(leave func()) {
				t.Helper()
				headers := len(pictureHeaders(receiver.Tags()))
				leave()
				held := s.waitPush("show", "HOLDING")
				s.waitFrames("show", held.VideoFramesSent+10)
				var found []struct{ Width, Height int }
				s.post("/push/find", map[string]string{"streamName": "show"}, &found)
				if len(found) != 1 || found[0].Width != 320 || found[0].Height != 180 {
					t.Errorf("while a slate shows, find tells of %+v", found)
				}
				if now := len(pictureHeaders(receiver.Tags())); now != headers+1 {
					t.Errorf("%d sequence headers for a slate, want 1", now-headers)
				}
			}
			goOn := func() {
				t.Helper()
				s.waitFrames("show", s.waitPush("show", "PUBLISHING").VideoFramesSent+60)
			}

			hold(leave)
			leave = publishRTMP(t, s, "show", 320, 180)
			goOn()
			hold(leave)
			publishPictures(t, s, "show", 320, 180, 30)
			goOn()

			n := 0
			for _, call := range receiver.Calls() {
				if strings.HasPrefix(call, "publish(") {
					n++
				}
			}
			if n != 1 {
				t.Errorf("published %d times: %q", n, receiver.Calls())
			}
			for _, m := range receiver.Metadata() {
				if m["width"] != 320.0 || m["height"] != 180.0 {
					t.Errorf("metadata tells of %vx%v", m["width"], m["height"])
				}
			}
			judgeTimes(t, receiver)
		})
	}
}

// judgeTimes checks that time only grows, and that neither pictures nor sound pause for long.
func judgeTimes(t *testing.T, receiver *testkit.RTMPServer) {
	t.Helper()
	last := map[bool]time.Duration{}
	for _, tag := range receiver.Tags() {
		before, seen := last[tag.Video]
		switch {
		case tag.Header:
			continue
		case seen && tag.Time <= before, seen && tag.Time > before+time.Second:
			t.Errorf("%s comes after %v", tag, before)
		}
		last[tag.Video] = tag.Time
	}
}

// publishRTMP publishes a test picture and a tone with FFmpeg, over RTMP, until leave is called.
func publishRTMP(t *testing.T, s *server, name string, width, height int) (leave func()) {
	t.Helper()
	_, leave = startFFmpeg(t, s, name, width, height)
	return leave
}

// startFFmpeg is publishRTMP that returns the process too.
func startFFmpeg(t *testing.T, s *server, name string, width, height int) (cmd *exec.Cmd, leave func()) {
	t.Helper()
	cmd = exec.Command("ffmpeg", "-hide_banner", "-v", "warning", "-re",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%dx%d:rate=30", width, height), "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "60", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2",
		"-f", "flv", s.rtmp+"/"+name)
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

// publishUntil publishes pictures until leave is called.
func publishUntil(t *testing.T, s *server, name string, width, height int) (leave func()) {
	t.Helper()
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units = pictures(t, width, height, 30)
	_, leave = publish(t, s, name, cfg)
	return leave
}

// The ffmpeg command, waiting for a publisher, takes a push.
func TestFFmpegListens(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	publishPictures(t, s, "listen", 320, 180, 30)
	file := filepath.Join(t.TempDir(), "received.flv")
	address := "rtmp://127.0.0.1:" + testkit.FreePort(t) + "/live"
	var log safeBuffer
	cmd := exec.Command("ffmpeg", "-hide_banner", "-v", "warning", "-listen", "1", "-i", address+"/rtmp_listen", "-c", "copy", "-y", file)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	if code := s.post("/push/startup", map[string]any{"streamName": "listen", "rtmpUrl": address, "options": restoring}, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitFrames("listen", 90)
	p := s.waitPush("listen", "PUBLISHING")
	s.post("/push/terminate", map[string]any{"mediaSessionId": p.MediaSessionID}, nil)
	select {
	case <-exited: // ffmpeg takes the goodbye for an error of input; what it wrote is judged
	case <-time.After(15 * time.Second):
		cmd.Process.Signal(syscall.SIGINT)
		if err := <-exited; err != nil {
			t.Logf("ffmpeg: %v\n%s", err, log.String())
		}
	}
	judgeRecording(t, file, false)
}

// RTMPS: a server whose certificate an authority of ours has signed gets the stream; to who does not know the authority, it is
// a reason of its own.
func TestRTMPS(t *testing.T) {
	t.Parallel()
	signed := httptest.NewTLSServer(nil) // for its certificate: example.com, 127.0.0.1
	signed.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed.Certificate().Raw})
	if err := os.WriteFile(roots, block, 0o600); err != nil {
		t.Fatal(err)
	}
	inner, records := startNginx(t)
	front := startTLSFront(t, signed.TLS.Certificates[0], strings.TrimSuffix(strings.TrimPrefix(inner, "rtmp://"), "/live"))

	trusting := startServer(t, "rtmps_ca_file="+roots)
	publishPictures(t, trusting, "secure", 320, 180, 30)
	if code := trusting.post("/push/startup", map[string]any{"streamName": "secure", "rtmpUrl": "rtmps://" + front + "/live"}, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	trusting.waitFrames("secure", 60)
	p := trusting.waitPush("secure", "PUBLISHING")
	trusting.post("/push/terminate", map[string]any{"mediaSessionId": p.MediaSessionID}, nil)
	judgeRecording(t, filepath.Join(records, "rtmp_secure.flv"), false)

	careful := startServer(t)
	publishPictures(t, careful, "secure", 320, 180, 30)
	if code := careful.post("/push/startup", map[string]any{"streamName": "secure", "rtmpUrl": "rtmps://" + front + "/live"}, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	if failed := careful.waitPush("secure", "FAILED"); failed.Reason != "tls_verify" {
		t.Errorf("without the authority the reason is %s, want tls_verify", failed.Reason)
	}
}

// startTLSFront takes TLS connections and passes what they say on to another address, until the test ends.
func startTLSFront(t *testing.T, certificate tls.Certificate, to string) (address string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { relay(conn, to) })
		}
	})
	return l.Addr().String()
}

func relay(conn net.Conn, to string) {
	defer conn.Close()
	inner, err := net.DialTimeout("tcp", to, 5*time.Second)
	if err != nil {
		return
	}
	defer inner.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(inner, conn)
		inner.Close()
	})
	io.Copy(conn, inner)
	conn.Close()
	wg.Wait()
}

// The outgoing buffer holds back as much as the settings say: find shows it, and the receiver gets everything that much later,
// evenly.
func TestOutBuffer(t *testing.T) {
	s := startServer(t, "rtmp_out_buffer_enabled=true", "rtmp_out_buffer_start_size=1000")
	publishPictures(t, s, "even", 320, 180, 30)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	if code := s.post("/push/startup", map[string]any{"streamName": "even", "rtmpUrl": receiver.URL("live")}, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	receiver.Wait(t, "two seconds", func() bool { return lastPicture(receiver) > 2*time.Second })
	var found []struct {
		Delay      int `json:"bufferDelayMs"`
		Bufferings int `json:"bufferings"`
	}
	s.post("/push/find", map[string]string{"streamName": "even"}, &found)
	if len(found) != 1 || found[0].Delay < 700 || found[0].Delay > 1500 || found[0].Bufferings != 0 {
		t.Errorf("find shows %+v, want a delay of about 1000 ms and no new buffering", found)
	}
}

// nginx begins to count anew at 0xF0000000 bytes. What is told of its acknowledgements then is never more than was sent, nor much less.
func TestNginxBeyondItsCounter(t *testing.T) {
	t.Parallel()
	n := newNginx(t, "record off;")
	conn, err := net.Dial("tcp", "127.0.0.1:"+n.port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	client := rtmp.NewClient(conn, rtmp.ClientConfig{App: "live", TCURL: n.url(), StreamName: "long"})
	for _, step := range []func() error{client.Handshake, client.Connect, client.Publish} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { client.Serve() })
	defer wg.Wait()
	defer conn.Close()
	frame := make([]byte, 1<<20-100)
	copy(frame, "\x27\x01\x00\x00\x00")
	tags := []flv.Tag{{Type: flv.TypeVideo, Payload: frame}}
	begun := time.Now()
	for client.BytesSent() < 0xf0000000+20<<20 {
		tags[0].Time++
		if err := client.WriteTags(tags); err != nil {
			t.Fatal(err)
		}
		acked := client.BytesAcked()
		if sent := client.BytesSent(); acked > sent {
			t.Fatalf("%d bytes acknowledged of %d sent", acked, sent)
		}
	}
	sent := client.BytesSent()
	t.Logf("%d bytes in %v", sent, time.Since(begun).Round(time.Millisecond))
	testkit.Eventually(t, 10*time.Second, func() string {
		if acked := client.BytesAcked(); acked < 0xf0000000+10<<20 {
			return fmt.Sprintf("%d bytes acknowledged of %d sent", acked, sent)
		}
		return ""
	})
}
