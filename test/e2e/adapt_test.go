//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// A browser that finds more room sends larger pictures from a key frame on. The receiver is told, by metadata and a sequence
// header, with that very key frame, and what it records decodes at both sizes.
func TestSizeChanges(t *testing.T) {
	s := startServer(t)
	url, records := startNginx(t)
	small, large := pictures(t, 320, 180, 30), pictures(t, 1280, 720, 30)
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units = slices.Concat(small, large)
	cfg.PLIGap = time.Hour // a key frame on request would begin the units anew
	publish(t, s, "adapt", cfg)

	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	for _, to := range []string{receiver.URL("live"), url} {
		if code := s.post("/push/startup", map[string]any{"streamName": "adapt", "rtmpUrl": to}, nil); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
	}
	boxed := testkit.NewRTMPServer(t, testkit.Script{})
	box := map[string]any{"streamName": "adapt", "rtmpUrl": boxed.URL("live"), "width": 480, "height": 360, "options": map[string]string{"fit": "letterbox"}}
	if code := s.post("/push/startup", box, nil); code != http.StatusOK {
		t.Fatalf("startup of a letterbox answers %d", code)
	}
	sizes := map[string]bool{}
	testkit.Eventually(t, 30*time.Second, func() string {
		var found []struct{ Width, Height int }
		s.post("/push/find", map[string]string{"streamName": "adapt"}, &found)
		for _, p := range found {
			if p.Height == 360 { // the canvas
				continue
			}
			sizes[fmt.Sprintf("%dx%d", p.Width, p.Height)] = true
		}
		if !sizes["320x180"] || !sizes["1280x720"] {
			return fmt.Sprintf("find has shown %v", sizes)
		}
		return ""
	})
	// Either push has then seen both, whichever it began with.
	receiver.Wait(t, "both sizes, whole", func() bool { return len(pictureHeaders(receiver.Tags())) >= 4 })

	judgeSizes(t, receiver)
	// A push with a fixed canvas keeps the size of its pictures; only what the pictures show changes.
	at := len(videoTimes(boxed))
	boxed.Wait(t, "pictures on", func() bool { return len(videoTimes(boxed)) > at+40 })
	if headers := pictureHeaders(boxed.Tags()); len(headers) != 1 {
		t.Errorf("%d sequence headers on a fixed canvas, want 1", len(headers))
	}
	for _, m := range boxed.Metadata() {
		if m["width"] != 480.0 || m["height"] != 360.0 {
			t.Errorf("metadata of a fixed canvas of 480x360 tells of %vx%v", m["width"], m["height"])
		}
	}

	s.endStream("adapt")
	file := filepath.Join(records, "rtmp_adapt.flv")
	judgeRecording(t, file, false)
	judgeBothSizes(t, file)
}

// A real browser whose pictures grow from 320x180 to 1280x720 while they are pushed.
func TestBrowserAdapts(t *testing.T) {
	s := startServer(t)
	url, records := startNginx(t)
	b := startBrowser(t, "adapt.mjs", s.page, "--name", "grows")
	b.await("live")
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	for _, to := range []string{receiver.URL("live"), url} {
		if code := s.post("/push/startup", map[string]any{"streamName": "grows", "rtmpUrl": to}, nil); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
	}
	shows := func(width, frames int) {
		t.Helper()
		testkit.Eventually(t, 60*time.Second, func() string {
			var found []struct {
				Width  int `json:"width"`
				Frames int `json:"videoFramesSent"`
			}
			s.post("/push/find", map[string]string{"streamName": "grows"}, &found)
			if len(found) != 2 || found[0].Width != width || found[1].Width != width || found[0].Frames < frames || found[1].Frames < frames {
				return fmt.Sprintf("the pushes are %+v, want %d pictures, now of width %d", found, frames, width)
			}
			return ""
		})
	}
	shows(320, 90)
	small := len(videoTimes(receiver))
	b.say("grow")
	b.await("grown")
	shows(1280, small+120)
	judgeSizes(t, receiver)
	s.endStream("grows")
	judgeBothSizes(t, filepath.Join(records, "rtmp_grows.flv"))
}

// endStream ends a stream and waits for the end of its pushes.
func (s *server) endStream(name string) {
	s.t.Helper()
	s.post("/stream/terminate", map[string]any{"name": name}, nil)
	testkit.Eventually(s.t, 10*time.Second, func() string {
		if s.post("/push/find_all", struct{}{}, nil) != http.StatusNotFound {
			return "the pushes are still there"
		}
		return ""
	})
}

// judgeSizes checks that each sequence header comes with its own key frame, and that metadata has told of both sizes.
func judgeSizes(t *testing.T, receiver *testkit.RTMPServer) {
	t.Helper()
	tags := receiver.Tags()
	for _, i := range pictureHeaders(tags) {
		next := slices.IndexFunc(tags[i+1:], func(tag testkit.Tag) bool { return tag.Video })
		if next >= 0 && (!tags[i+1+next].Key || tags[i+1+next].Time != tags[i].Time) {
			t.Errorf("the header at %v comes before a picture at %v (key frame: %t), want its own key frame",
				tags[i].Time, tags[i+1+next].Time, tags[i+1+next].Key)
		}
	}
	sizes := map[string]bool{}
	for _, m := range receiver.Metadata() {
		sizes[fmt.Sprintf("%vx%v", m["width"], m["height"])] = true
	}
	if !sizes["320x180"] || !sizes["1280x720"] {
		t.Errorf("metadata tells of %v, want both sizes", sizes)
	}
}

// judgeBothSizes checks that a recording decodes, at least a second of either size. How evenly a browser sends is the machine's
// business.
func judgeBothSizes(t *testing.T, file string) {
	t.Helper()
	judgeDecoding(t, file)
	decoded := string(tool(t, "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "frame=width", "-of", "csv=p=0", file))
	for _, width := range []string{"320", "1280"} {
		if n := strings.Count(decoded, width); n < 30 {
			t.Errorf("%d pictures of width %s decode, want a second of them", n, width)
		}
	}
}

// pictureHeaders returns where the sequence headers of video are.
func pictureHeaders(tags []testkit.Tag) []int {
	var at []int
	for i, tag := range tags {
		if tag.Video && tag.Header {
			at = append(at, i)
		}
	}
	return at
}
