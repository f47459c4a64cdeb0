//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// Each row is a request for a picture, and the picture that the receiver gets, as ffprobe measures it.
func TestPictureRules(t *testing.T) {
	url, records := startNginx(t)
	keeping := startServer(t)
	free := startServer(t, "video_transcoder_preserve_aspect_ratio=false")
	for _, s := range []*server{keeping, free} {
		publishPictures(t, s, "wide", 640, 360, 30)
	}
	publishPictures(t, keeping, "tall", 360, 640, 30)

	tests := []struct {
		name          string
		server        *server
		stream        string
		request       map[string]any
		width, height int
		fps           float64
		keys          int // frames between key frames; 0: two seconds; -1: as the publisher sends them
		kbps          int // 0: nothing is said of it
	}{
		{"untouched", keeping, "wide", nil, 640, 360, 30, -1, 0},
		{"zeros", keeping, "wide", map[string]any{"width": 0, "height": 0}, 640, 360, 30, -1, 0},
		{"width-alone", keeping, "wide", map[string]any{"width": 320}, 640, 360, 30, -1, 0},
		{"width-alone-free", free, "wide", map[string]any{"width": 320}, 640, 360, 30, -1, 0},
		{"height", keeping, "wide", map[string]any{"height": 240}, 426, 240, 30, 0, 0},
		{"width-is-not-counted", keeping, "wide", map[string]any{"width": 100, "height": 240}, 426, 240, 30, 0, 0},
		{"width-counts", free, "wide", map[string]any{"width": 100, "height": 240}, 100, 240, 30, 0, 0},
		{"odd-size", keeping, "wide", map[string]any{"height": 201}, 354, 200, 30, 0, 0},
		{"portrait", keeping, "tall", map[string]any{"height": 240}, 240, 426, 30, 0, 0},
		{"key-frames", keeping, "wide", map[string]any{"keyFrameInterval": 20}, 640, 360, 30, 20, 0},
		{"rate", keeping, "wide", map[string]any{"fps": 10}, 640, 360, 10, 0, 0},
		{"all", free, "wide", map[string]any{"width": 160, "height": 120, "fps": 15, "keyFrameInterval": 15}, 160, 120, 15, 15, 0},
		{"bit-rate", keeping, "wide", map[string]any{"options": map[string]any{"bitrate": 200}}, 640, 360, 30, 0, 200},
		{"letterbox", keeping, "wide", map[string]any{"width": 200, "height": 200, "options": map[string]any{"fit": "letterbox"}}, 200, 200, 30, 0, 0},
	}
	for _, tt := range tests {
		body := map[string]any{"streamName": tt.stream, "rtmpUrl": url + "/" + tt.name, "rtmpTransponderFullUrl": true}
		maps.Copy(body, tt.request)
		if code := tt.server.post("/push/startup", body, nil); code != http.StatusOK {
			t.Fatalf("%s: startup answers %d", tt.name, code)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var found []struct {
				ID            string `json:"mediaSessionId"`
				Width, Height int
				Sent          int `json:"videoFramesSent"`
				Status        string
			}
			testkit.Eventually(t, 60*time.Second, func() string {
				tt.server.post("/push/find", map[string]any{"rtmpUrl": url + "/" + tt.name}, &found)
				if len(found) != 1 || float64(found[0].Sent) < 5*tt.fps {
					return fmt.Sprintf("not five seconds of pictures yet: %+v", found)
				}
				return ""
			})
			if found[0].Width != tt.width || found[0].Height != tt.height {
				t.Errorf("find says %dx%d, want %dx%d", found[0].Width, found[0].Height, tt.width, tt.height)
			}
			if code := tt.server.post("/push/terminate", map[string]any{"mediaSessionId": found[0].ID}, nil); code != http.StatusOK {
				t.Errorf("terminate answers %d", code)
			}
			file := filepath.Join(records, tt.name+".flv")
			m := probe(t, file)
			for _, stream := range m.Streams {
				if stream.Kind == "video" && (stream.Codec != "h264" || stream.Width != tt.width || stream.Height != tt.height) {
					t.Errorf("received %s of %dx%d, want h264 of %dx%d", stream.Codec, stream.Width, stream.Height, tt.width, tt.height)
				}
			}
			judgePictures(t, m, tt.fps, tt.keys, tt.request["fps"] != nil)
			if got := m.kbps(t); tt.kbps > 0 && math.Abs(got/float64(tt.kbps)-1) > 0.25 {
				t.Errorf("%.0f kbit/s of pictures, want %d", got, tt.kbps)
			}
			decodes(t, file)
		})
	}
}

// A picture that no encoder can make is refused with the reason, and no push begins.
func TestBadPictures(t *testing.T) {
	s := startServer(t)
	publishPictures(t, s, "a", 320, 180, 30)
	for _, request := range []map[string]any{
		{"height": -1}, {"height": "tall"}, {"height": 1}, {"height": 9000}, {"height": 240.5}, {"width": -2}, {"width": "wide"},
		{"fps": 0.5}, {"fps": 1000}, {"fps": "many"}, {"fps": -1}, {"keyFrameInterval": -1}, {"keyFrameInterval": 1.5},
		{"options": map[string]any{"bitrate": -1}}, {"options": map[string]any{"bitrate": "much"}},
		{"height": 240, "options": map[string]any{"fit": "crop"}}, {"options": map[string]any{"fit": "letterbox"}},
	} {
		body := map[string]any{"streamName": "a", "rtmpUrl": "rtmp://127.0.0.1:1/live"}
		maps.Copy(body, request)
		var answer struct{ Message string }
		if code := s.post("/push/startup", body, &answer); code != http.StatusBadRequest || answer.Message == "" {
			t.Errorf("%v is answered %d %q, want 400 and a reason", request, code, answer.Message)
		}
	}
	if code := s.post("/push/find_all", struct{}{}, nil); code != http.StatusNotFound {
		t.Errorf("find_all answers %d after all were refused, want 404", code)
	}
}

// kbps is the bit rate of the pictures from the first to the last.
func (m recording) kbps(t *testing.T) float64 {
	t.Helper()
	var bits, first, last float64
	for i, p := range m.Packets {
		if p.Kind != "video" {
			continue
		}
		at, err1 := strconv.ParseFloat(p.DTS, 64)
		size, err2 := strconv.ParseFloat(p.Size, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("packet %d: %+v", i, p)
		}
		if bits == 0 {
			first = at
		}
		bits, last = bits+8*size, at
	}
	return bits / 1000 / (last - first)
}

// judgePictures checks the rate of pictures and the number of pictures from each key frame to the next. Where no interval was
// asked for it is 2 s; below 0 it is the publisher's, who answers whoever asks for a key frame. A rate that was not asked for is the
// source's, less what a busy machine leaves out.
func judgePictures(t *testing.T, m recording, fps float64, keys int, exact bool) {
	t.Helper()
	var times []float64
	var key float64
	sinceKey := -1
	for _, p := range m.Packets {
		if p.Kind != "video" {
			continue
		}
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			t.Fatalf("packet without a time: %+v", p)
		}
		times = append(times, at)
		if !strings.HasPrefix(p.Flags, "K") {
			sinceKey++
			continue
		}
		switch {
		case sinceKey < 0:
		case keys > 0 && sinceKey != keys:
			t.Errorf("%d pictures from a key frame to the next, want %d", sinceKey, keys)
		case keys == 0 && math.Abs(at-key-2) > 0.15:
			t.Errorf("%.3f s from a key frame to the next, want 2", at-key)
		}
		sinceKey, key = 1, at
	}
	if len(times) < 2 {
		t.Fatalf("%d pictures", len(times))
	}
	got := float64(len(times)-1) / (times[len(times)-1] - times[0])
	if least := map[bool]float64{true: 0.98, false: 0.8}[exact]; got < least*fps || got > 1.02*fps {
		t.Errorf("%.2f pictures a second, want %v", got, fps)
	}
}

// decodes checks that a file decodes without an error.
func decodes(t *testing.T, file string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error", "-i", file,
		"-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("decoding: %v\n%s", err, out)
	}
}

// Pushes that want the same picture share one encoder, and all of them outlive it.
func TestEncoderKilled(t *testing.T) {
	s := startServer(t)
	publishPictures(t, s, "a", 640, 360, 30)
	receivers := make([]*testkit.RTMPServer, 5)
	for i := range receivers {
		receivers[i] = testkit.NewRTMPServer(t, testkit.Script{})
		if code := s.post("/push/startup", map[string]any{"streamName": "a", "rtmpUrl": receivers[i].URL("live"), "height": 180}, nil); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
	}
	for _, r := range receivers {
		r.Wait(t, "pictures", func() bool { return len(videoTimes(r)) > 30 })
	}
	encoders := children(t, s.cmd.Process.Pid)
	if len(encoders) != 1 {
		t.Fatalf("%d child processes for one profile, want 1", len(encoders))
	}
	judgeConfinement(t, s, encoders[0])
	before := lastPicture(receivers[0])
	if err := syscall.Kill(encoders[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, r := range receivers {
		r.Wait(t, "pictures after it", func() bool { return lastPicture(r) > before+3*time.Second })
	}
	var longest time.Duration
	for i, r := range receivers {
		times := videoTimes(r)
		for k := 1; k < len(times); k++ {
			gap := times[k] - times[k-1]
			if gap <= 0 || gap > time.Second {
				t.Errorf("push %d: pictures go from %v to %v, want at most a second", i, times[k-1], times[k])
			}
			longest = max(longest, gap)
		}
	}
	t.Logf("the longest gap is %v", longest)
	if again := children(t, s.cmd.Process.Pid); len(again) != 1 || again[0] == encoders[0] {
		t.Errorf("child processes %v after %v, want another one", again, encoders)
	}
	var found []push
	s.post("/push/find", map[string]string{"streamName": "a"}, &found)
	for _, p := range found {
		if p.Status != "PUBLISHING" {
			t.Errorf("a push is %s (%s) after its encoder was killed, want PUBLISHING", p.Status, p.Reason)
		}
	}
}

// An encoder that falls behind leaves out pictures: the push stays connected, counts them, and says that it is degraded, until it is
// over.
func TestEncoderBehind(t *testing.T) {
	s := startServer(t)
	publishPictures(t, s, "a", 640, 360, 30)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	if code := s.post("/push/startup", map[string]any{"streamName": "a", "rtmpUrl": receiver.URL("live"), "height": 180}, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	receiver.Wait(t, "pictures", func() bool { return len(videoTimes(receiver)) > 30 })
	encoders := children(t, s.cmd.Process.Pid)
	if len(encoders) != 1 {
		t.Fatalf("%d child processes, want 1", len(encoders))
	}
	if err := syscall.Kill(encoders[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	at := lastSound(receiver)
	receiver.Wait(t, "sound without pictures", func() bool { return lastSound(receiver) > at+1500*time.Millisecond })
	if err := syscall.Kill(encoders[0], syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var found []struct {
		Status, Reason string
		Dropped        int `json:"transcoderDropped"`
	}
	state := func(want string) {
		t.Helper()
		testkit.Eventually(t, 60*time.Second, func() string {
			s.post("/push/find", map[string]any{"streamName": "a"}, &found)
			if len(found) != 1 || found[0].Status != want {
				return fmt.Sprintf("the push is %+v, want %s", found, want)
			}
			return ""
		})
	}
	state("DEGRADED")
	if found[0].Reason != "transcoder_slow" || found[0].Dropped == 0 {
		t.Errorf("degraded is shown as %+v", found[0])
	}
	state("PUBLISHING")
	before := lastPicture(receiver)
	receiver.Wait(t, "pictures after it", func() bool { return lastPicture(receiver) > before+time.Second })
	if n := strings.Count(strings.Join(receiver.Calls(), " "), "publish("); n != 1 {
		t.Errorf("the far end was published to %d times: %v", n, receiver.Calls())
	}
	if now := children(t, s.cmd.Process.Pid); len(now) != 1 || now[0] != encoders[0] {
		t.Errorf("child processes %v after %v: it was not given the time", now, encoders)
	}
}

// Pictures that no encoder makes cost the transcoded push less than a second each, and the others nothing.
func TestCraftedPictures(t *testing.T) {
	s := startServer(t)
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units = pictures(t, 640, 360, 30)
	for i, unit := range cfg.Units {
		if i%20 == 10 { // a slice of another kind, of another stream, with parameters that lead nowhere
			nal := append([]byte{0x41, 0x9a}, bytes.Repeat([]byte{byte(i), 0xff, 0x13, 0xe4}, 200)...)
			cfg.Units[i].NALs = [][]byte{nal, append([]byte{0x65, 0xb8}, nal...), unit.NALs[0]}
			cfg.Units[i].Key = false
		}
	}
	publish(t, s, "a", cfg)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	url, records := startNginx(t)
	for _, to := range []string{receiver.URL("live"), url} {
		if code := s.post("/push/startup", map[string]any{"streamName": "a", "rtmpUrl": to, "height": 180}, nil); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
	}
	receiver.Wait(t, "six seconds of pictures", func() bool { return lastPicture(receiver) > 6*time.Second })
	var found []push
	s.post("/push/find", map[string]any{"streamName": "a"}, &found)
	for _, p := range found {
		if p.Status != "PUBLISHING" {
			t.Errorf("a push is %s: %s (%s)", p.Status, p.Reason, p.Info)
		}
	}
	times := videoTimes(receiver)
	for i := 1; i < len(times); i++ {
		if gap := times[i] - times[i-1]; gap <= 0 || gap > time.Second {
			t.Errorf("pictures go from %v to %v, want at most a second", times[i-1], times[i])
		}
	}
	resp, err := http.Get(s.page + "metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if m, err := io.ReadAll(resp.Body); err != nil || !regexp.MustCompile(`(?m)^transponder_pictures_damaged_total [1-9]`).Match(m) {
		t.Errorf("no picture was damaged (%v):\n%s", err, m)
	}
	if n := strings.Count(strings.Join(receiver.Calls(), " "), "publish("); n != 1 {
		t.Errorf("the far end was published to %d times", n)
	}
	s.post("/stream/terminate", map[string]any{"name": "a"}, nil)
	testkit.Eventually(t, 10*time.Second, func() string {
		if s.post("/push/find_all", struct{}{}, nil) != http.StatusNotFound {
			return "the pushes are still there"
		}
		return ""
	})
	decodes(t, filepath.Join(records, "rtmp_a.flv"))
}

// judgeConfinement checks what a process that decodes what strangers send may do: little.
func judgeConfinement(t *testing.T, s *server, pid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the status of the process that transcodes lacks %q", want)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`(?m)^Max data size +2147483648 `); !want.Match(limits) {
		t.Errorf("the process that transcodes has no bound on memory:\n%s", limits)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, f.Name()))
		if err == nil && (strings.HasPrefix(name, "socket:") || strings.HasPrefix(name, s.dir)) {
			t.Errorf("the process that transcodes has %s open", name)
		}
	}
}

// A transcoding for which the machine has no room is refused. Pushes that need none go on.
func TestPictureAdmission(t *testing.T) {
	s := startServer(t, "video_transcoder_max_load_percent=1")
	publishPictures(t, s, "a", 1280, 720, 30)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	body := map[string]any{"streamName": "a", "rtmpUrl": receiver.URL("live"), "height": 480}
	var answer struct{ Message string }
	if code := s.post("/push/startup", body, &answer); code != http.StatusServiceUnavailable {
		t.Fatalf("startup answers %d %+v, want 503", code, answer)
	}
	if !strings.Contains(answer.Message, "cores") {
		t.Errorf("the refusal says %q, and not how much is missing", answer.Message)
	}
	if left := children(t, s.cmd.Process.Pid); len(left) != 0 {
		t.Errorf("%d child processes for nobody", len(left))
	}
	delete(body, "height")
	if code := s.post("/push/startup", body, nil); code != http.StatusOK {
		t.Fatalf("a push that needs no transcoding: startup answers %d", code)
	}
	receiver.Wait(t, "pictures", func() bool { return len(videoTimes(receiver)) > 10 })
}
