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
	waitFor(t, 30*time.Second, func() string {
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

	tags := receiver.Tags()
	for _, i := range pictureHeaders(tags) {
		next := slices.IndexFunc(tags[i+1:], func(tag testkit.Tag) bool { return tag.Video })
		if next >= 0 && (!tags[i+1+next].Key || tags[i+1+next].Time != tags[i].Time) {
			t.Errorf("the header at %v comes before a picture at %v (key frame: %t), want its own key frame",
				tags[i].Time, tags[i+1+next].Time, tags[i+1+next].Key)
		}
	}
	// Who wants a fixed canvas sees nothing of it, but in the picture.
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

	var widths []float64
	for _, m := range receiver.Metadata() {
		if w, ok := m["width"].(float64); ok {
			widths = append(widths, w)
		}
	}
	if !slices.Contains(widths, 320) || !slices.Contains(widths, 1280) {
		t.Errorf("metadata tells of widths %v, want both", widths)
	}

	file := filepath.Join(records, "rtmp_adapt.flv")
	s.post("/stream/terminate", map[string]any{"name": "adapt"}, nil)
	waitFor(t, 10*time.Second, func() string {
		if s.post("/push/find_all", struct{}{}, nil) != http.StatusNotFound {
			return "the pushes are still there"
		}
		return ""
	})
	judgeRecording(t, file, false)
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
