//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// spare is what find tells of a push with several addresses.
type spare struct {
	push

	Addresses []struct {
		Target, Status, Reason string
		Attempts               int
		BytesSent              int64
	}
}

// waitAddresses waits until the addresses of a stream's push have these statuses.
func (s *server) waitAddresses(stream string, want ...string) spare {
	s.t.Helper()
	var found spare
	testkit.Eventually(s.t, 60*time.Second, func() string {
		var all []spare
		if code := s.post("/push/find", map[string]string{"streamName": stream}, &all); code != http.StatusOK {
			return fmt.Sprintf("find answers %d", code)
		}
		found = all[0]
		var got []string
		for _, a := range found.Addresses {
			got = append(got, a.Status)
		}
		if !slices.Equal(got, want) {
			return fmt.Sprintf("the addresses are %q, want %q: %+v", got, want, found)
		}
		return ""
	})
	return found
}

// picturesAt returns the pictures that servers got, in the order in which they came.
func picturesAt(servers ...*testkit.RTMPServer) []testkit.Tag {
	var all []testkit.Tag
	for _, s := range servers {
		for _, tag := range s.Tags() {
			if _, numbered := testkit.FrameNumber(tag.Data); tag.Video && !tag.Header && numbered {
				all = append(all, tag)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b testkit.Tag) int { return a.At.Compare(b.At) })
	return all
}

// The line to the first address breaks ten times, in turn with the line to the second one. Each time the stream goes on at the other
// address within a second, and it returns to the first one without a missing picture. The time at the far ends is one.
func TestLongFailover(t *testing.T) {
	first, second := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	one, two := newLine(t, first.URL("live")), newLine(t, second.URL("live"))
	s := startServer(t, "rtmp_push_fail_back_ms=1000")
	publishPictures(t, s, "show", 320, 180, 30)
	options := map[string]any{"backupUrls": []string{two.url()}, "restore": map[string]any{"attempts": "unlimited", "firstPauseMs": 100}}
	var begun push
	if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": one.url(), "options": options}, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	const rounds = 10
	for range rounds {
		s.waitAddresses("show", "PUBLISHING", "STANDBY")
		s.waitFrames("show", s.waitPush("show", "PUBLISHING").VideoFramesSent+75) // so long that the next return comes soon, too
		one.proxy.Stop()
		s.waitAddresses("show", "STANDBY", "PUBLISHING")
		s.waitFrames("show", s.waitPush("show", "PUBLISHING").VideoFramesSent+30)
		if err := one.proxy.Start(); err != nil {
			t.Fatal(err)
		}
	}
	back := s.waitAddresses("show", "PUBLISHING", "STANDBY")
	s.waitFrames("show", back.VideoFramesSent+30)
	if back.MediaSessionID != begun.MediaSessionID {
		t.Errorf("the push is %s after it was %s", back.MediaSessionID, begun.MediaSessionID)
	}
	// The two switches of each round, of which one loses what was on the way.
	var last, lastAt int64 = -1, 0
	lost, worst := 0, time.Duration(0)
	for _, p := range picturesAt(first, second) {
		n, _ := testkit.FrameNumber(p.Data)
		at := p.Time.Milliseconds()
		if last >= 0 {
			if n <= last || at <= lastAt {
				t.Fatalf("picture %d at %d ms comes after %d at %d ms", n, at, last, lastAt)
			}
			if n > last+1 {
				lost++
				if !p.Key {
					t.Errorf("picture %d comes after %d and is no key frame", n, last)
				}
			}
			worst = max(worst, time.Duration(at-lastAt)*time.Millisecond)
		}
		last, lastAt = n, at
	}
	t.Logf("%d switches: %d with pictures lost, the longest gap is %v", 2*rounds, lost, worst)
	if lost > rounds {
		t.Errorf("%d gaps in %d rounds: the way back loses pictures", lost, rounds)
	}
	if worst > 3*time.Second { // the publisher sends a key frame when it is asked, at most once a second
		t.Errorf("the longest gap is %v", worst)
	}
}

// Two real servers record a stream that goes to both at the same time. One of them is killed and started again: the recording of the other
// has no gap. All recordings decode.
func TestLongSimultaneous(t *testing.T) {
	first, second := newNginx(t), newNginx(t, "record_unique on;")
	s := startServer(t, "rtmp_push_fail_back_ms=1000")
	publishPictures(t, s, "both", 320, 180, 30)
	var begun push
	body := map[string]any{"streamName": "both", "rtmpUrl": first.url(), "options": map[string]any{
		"backupUrls": []string{second.url()}, "simultaneous": true,
	}}
	if code := s.post("/push/startup", body, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitAddresses("both", "PUBLISHING", "PUBLISHING")
	s.waitFrames("both", 90)
	second.kill()
	if p := s.waitPush("both", "DEGRADED"); p.Reason != "address_down" || !strings.Contains(p.Info, second.port) {
		t.Errorf("with one killed: %s, %s", p.Reason, p.Info)
	}
	s.waitFrames("both", 180)
	second.start()
	again := s.waitAddresses("both", "PUBLISHING", "PUBLISHING")
	if again.Status != "PUBLISHING" || again.MediaSessionID != begun.MediaSessionID || again.Addresses[0].Attempts != 1 {
		t.Errorf("at the end %+v", again)
	}
	s.waitFrames("both", again.VideoFramesSent+90)
	if code := s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil); code != http.StatusOK {
		t.Errorf("terminate answers %d", code)
	}
	own, err := filepath.Glob(filepath.Join(first.dir, "rtmp_both*.flv"))
	if err != nil || len(own) != 1 {
		t.Fatalf("recordings of the first %v (%v)", own, err)
	}
	others, err := filepath.Glob(filepath.Join(second.dir, "rtmp_both*.flv"))
	if err != nil || len(others) != 2 {
		t.Fatalf("recordings of the second %v (%v)", others, err)
	}
	for _, file := range append(own, others...) {
		judgeRecording(t, file, false)
	}
	if whole := duration(t, own[0]); whole < float64(again.VideoFramesSent)/30 {
		t.Errorf("the recording of the first lasts %.1f s for %d pictures", whole, again.VideoFramesSent)
	}
}

// A stream that goes to two addresses at the same time has equal timestamps at both, while one of them loses its line again and again and the
// other one is slow for a while.
func TestLongEqualTimes(t *testing.T) {
	first, second := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	line := newLine(t, second.URL("live"))
	s := startServer(t, "rtmp_push_fail_back_ms=1000")
	publishPictures(t, s, "both", 320, 180, 30)
	body := map[string]any{"streamName": "both", "rtmpUrl": first.URL("live"), "options": map[string]any{
		"backupUrls": []string{line.url()}, "simultaneous": true,
	}}
	if code := s.post("/push/startup", body, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	for range 10 {
		s.waitAddresses("both", "PUBLISHING", "PUBLISHING")
		s.waitFrames("both", s.waitPush("both", "PUBLISHING").VideoFramesSent+75) // so long that the next return comes soon, too
		line.proxy.Stop()
		s.waitPush("both", "DEGRADED")
		if err := line.proxy.Start(); err != nil {
			t.Fatal(err)
		}
	}
	s.waitAddresses("both", "PUBLISHING", "PUBLISHING")
	numbers, times := frameNumbers(first.Tags()), map[int64]time.Duration{}
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			t.Fatalf("the first address gets picture %d after %d", n, numbers[i-1])
		}
	}
	for _, p := range picturesAt(first) {
		n, _ := testkit.FrameNumber(p.Data)
		times[n] = p.Time
	}
	equal, connections := 0, 0
	for _, p := range picturesAt(second) {
		n, _ := testkit.FrameNumber(p.Data)
		connections = max(connections, p.Connection)
		if at, ok := times[n]; ok && at != p.Time {
			t.Fatalf("picture %d is at %v at the first address and at %v at the second", n, at, p.Time)
		} else if ok {
			equal++
		}
	}
	t.Logf("%d pictures at both, over %d connections to the second", equal, connections)
	if equal < 100 || connections < 11 {
		t.Errorf("%d pictures over %d connections: not enough to judge by", equal, connections)
	}
}

// One of two destinations that get a stream at the same time is away for longer than any buffer lasts. The stream goes on at the other one without a
// missing picture. When the first is back, it gets the stream again, with equal timestamps. Both addresses are named by
// destinations, one of which says that the other one is its backup, and nobody is shown their keys.
func TestLongAddressAway(t *testing.T) {
	first, second := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	line := newLine(t, second.URL("live"))
	s := startServer(t, "rtmp_push_fail_back_ms=1000")
	publishPictures(t, s, "both", 320, 180, 30)
	for _, d := range []map[string]any{
		{"name": "spare", "rtmpUrl": line.url() + "/" + canary, "rtmpTransponderFullUrl": true},
		{"name": "main", "rtmpUrl": first.URL("live/" + canary), "rtmpTransponderFullUrl": true, "options": map[string]any{
			"backupUrls": []string{"destination://spare"}, "simultaneous": true, "restore": map[string]any{"attempts": "unlimited", "firstPauseMs": 100, "maxPauseMs": 1000},
		}},
	} {
		if code := s.post("/destination/create", d, nil); code != http.StatusOK {
			t.Fatalf("create %v answers %d", d["name"], code)
		}
	}
	if code := s.post("/push/startup", map[string]any{"streamName": "both", "rtmpUrl": "destination://main"}, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitAddresses("both", "PUBLISHING", "PUBLISHING")
	s.waitFrames("both", 90)
	line.proxy.Stop()
	away := s.waitPush("both", "DEGRADED")
	s.waitAddresses("both", "PUBLISHING", "RECONNECTING")
	for seconds := 20; seconds <= 80; seconds += 20 { // waitFrames waits for half a minute at most
		s.waitFrames("both", away.VideoFramesSent+30*seconds)
	}
	if p := s.waitPush("both", "DEGRADED"); p.Reason != "address_down" {
		t.Errorf("with one address away the push is %+v", p)
	}
	if err := line.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	s.waitAddresses("both", "PUBLISHING", "PUBLISHING")
	back := s.waitPush("both", "PUBLISHING")
	s.waitFrames("both", back.VideoFramesSent+90)
	numbers, times := frameNumbers(first.Tags()), map[int64]time.Duration{}
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			t.Fatalf("the address that was there gets picture %d after %d", n, numbers[i-1])
		}
	}
	for _, p := range picturesAt(first) {
		n, _ := testkit.FrameNumber(p.Data)
		times[n] = p.Time
	}
	equal := map[int]int{} // pictures by connection
	for _, p := range picturesAt(second) {
		n, _ := testkit.FrameNumber(p.Data)
		if at, ok := times[n]; ok && at != p.Time {
			t.Fatalf("picture %d is at %v at the first address and at %v at the second", n, at, p.Time)
		} else if ok {
			equal[p.Connection]++
		}
	}
	t.Logf("pictures at both, by connection to the second: %v", equal)
	if len(equal) != 2 || slices.Min(slices.Collect(maps.Values(equal))) < 60 {
		t.Error("not enough pictures to judge by, or another number of connections than two")
	}
	for _, method := range []string{"push/find_all", "push/history", "destination/find_all", "stream/find_all"} {
		var text json.RawMessage
		s.post("/"+method, struct{}{}, &text)
		if strings.Contains(string(text), canary) {
			t.Errorf("%s shows a key: %s", method, text)
		}
	}
}
