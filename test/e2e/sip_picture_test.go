//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// Phones without H.264 reach nginx, too: VP8 is transcoded, and a phone without pictures gets a card.
func TestPicturesOfCalls(t *testing.T) {
	t.Parallel()
	s := startServer(t, "sip_vp8=true", "sip_port="+strconv.Itoa(testkit.FreePorts(t, 2)))
	target, records := startNginx(t)
	call := func(t *testing.T, id, callee, video string, more map[string]string) (file string) {
		t.Helper()
		s := s.in(t)
		body := map[string]string{
			"callId": id, "callee": callee, "toStream": id, "rtmpUrl": target, "hasAudio": "true", "hasVideo": video,
			"sipLogin": "alice", "sipDomain": "example.test",
		}
		for key, value := range more {
			body[key] = value
		}
		if code := s.post("/call/startup", body, nil); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
		t.Cleanup(func() { s.post("/call/terminate", map[string]string{"callId": id}, nil) })
		return filepath.Join(records, "rtmp_"+id+".flv")
	}
	end := func(t *testing.T, id string) {
		t.Helper()
		s := s.in(t)
		if code := s.post("/call/terminate", map[string]string{"callId": id}, nil); code != http.StatusOK {
			t.Errorf("terminate answers %d", code)
		}
		testkit.Eventually(t, 10*time.Second, func() string { // the push ends with the call, after it has sent the rest
			if code := s.post("/push/find", map[string]string{"streamName": id}, nil); code != http.StatusNotFound {
				return fmt.Sprintf("find answers %d", code)
			}
			return ""
		})
	}
	t.Run("VP8", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		file := call(t, "vp8", startLinphone(t), "true", nil)
		s.waitFrames("vp8", 6) // one picture a second
		end(t, "vp8")
		m := probe(t, file)
		for _, stream := range m.Streams {
			if stream.Kind == "video" && (stream.Codec != "h264" || stream.Width == 0) {
				t.Errorf("pictures are %s of %dx%d", stream.Codec, stream.Width, stream.Height)
			}
		}
		judgeDecoding(t, file)
		if len(m.Streams) != 2 {
			t.Errorf("%d tracks, want pictures and sound", len(m.Streams))
		}
	})
	t.Run("a card", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		file := call(t, "card", startBaresip(t, baresipConfig{}).uri(), "false", map[string]string{"picture": "card"})
		s.waitFrames("card", 60)
		end(t, "card")
		judge(t, file, expectation{seconds: 5, tone: true})
		judgeStill(t, file)
	})
}
