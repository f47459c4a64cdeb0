//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"

	"transponder/internal/testkit"
)

// A server that is killed knows its push again: the same id, muted as before. The push goes on when its publisher is back, and the far end's time
// only grows.
func TestKill(t *testing.T) { killTimes(t, 1) }

// TestLongKill kills the server again and again, in several states of the push.
func TestLongKill(t *testing.T) { killTimes(t, 100) }

func killTimes(t *testing.T, times int) {
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	dir := t.TempDir()
	s := startServerAt(t, dir, nil)
	_, stop := publish(t, s, "show", testkit.DefaultPublisherConfig())
	var started push
	code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": receiver.URL("live/CANARY"),
		"options": map[string]any{"action": "mute", "restore": map[string]any{"attempts": -1, "firstPauseMs": 500}}}, &started)
	if code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitPush("show", "PUBLISHING")
	attempts := 1
	for n := range times {
		before := len(receiver.Tags()) + 40 // about a second, after which the record is written
		receiver.Wait(t, "media before the kill", func() bool { return len(receiver.Tags()) > before })
		if n%4 == 1 { // while the push is connecting again, or waits for that
			receiver.Kick()
		}
		s.kill()
		stop()
		s = startServerAt(t, dir, nil)
		if n%4 == 2 { // while it waits for its publisher
			s.kill()
			s = startServerAt(t, dir, nil)
		}
		back := s.waitPush("show", "AWAITING")
		if back.MediaSessionID != started.MediaSessionID || back.Reason != "restarted" || !back.Muted || back.Attempts < attempts {
			t.Fatalf("kill %d: after the restart there is %+v, want %s muted with %d attempts", n, back, started.MediaSessionID, attempts)
		}
		attempts = back.Attempts
		tags := receiver.Tags()
		far := tags[len(tags)-1].Time
		_, stop = publish(t, s, "show", testkit.DefaultPublisherConfig())
		s.waitPush("show", "PUBLISHING")
		receiver.Wait(t, "media after the kill", func() bool { return len(receiver.Tags()) > len(tags) })
		for _, tag := range receiver.Tags()[len(tags):] {
			if tag.Time <= far {
				t.Fatalf("kill %d: after %v the far end gets the time %v", n, far, tag.Time)
			}
		}
	}
	if code := s.post("/push/terminate", map[string]string{"mediaSessionId": started.MediaSessionID}, nil); code != http.StatusOK {
		t.Errorf("terminate answers %d", code)
	}
	stop()
	s.kill()
	s = startServerAt(t, dir, nil)
	if code := s.post("/push/find_all", nil, nil); code != http.StatusNotFound {
		t.Errorf("a push that was terminated is back: find_all answers %d", code)
	}
	if strings.Contains(s.log.String(), "CANARY") {
		t.Error("the log holds the key of the destination")
	}
}

// kill ends the server as a fault of the machine would.
func (s *server) kill() {
	s.stopOnce.Do(func() {
		s.cmd.Process.Kill()
		<-s.exited
	})
}
