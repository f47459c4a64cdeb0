//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// TestLongKillRecordings kills the server under a show that real nginx servers record. The recordings decode without a complaint, and their times
// only grow. The push is live again soon after the first key frame of the publisher who has come back.
func TestLongKillRecordings(t *testing.T) {
	appending, anew := newNginx(t, "record_append on;"), newNginx(t, "record_unique on;")
	dir := t.TempDir()
	s := startServerAt(t, dir, nil)
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units = pictures(t, 320, 180, 30)
	_, leave := publish(t, s, "show", cfg)
	ids := []string{}
	for _, n := range []*nginx{appending, anew} {
		var p push
		if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": n.url()}, &p); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
		ids = append(ids, p.MediaSessionID)
	}
	const kills = 2
	for n := range kills {
		s.waitEach(ids, "PUBLISHING", (n+1)*90)
		killed := time.Now()
		s.kill()
		leave()
		s = startServerAt(t, dir, nil)
		s.waitEach(ids, "AWAITING", 0)
		ready := time.Now()
		told := s.follow()
		var p *testkit.Publisher
		p, leave = publish(t, s, "show", cfg)
		connected := time.Now() // the key frame follows at once
		s.waitEach(ids, "PUBLISHING", (n+1)*90)
		for _, id := range ids {
			live, order := time.Time{}, []string{}
			testkit.Eventually(t, 10*time.Second, func() string {
				order = nil
				for _, e := range told.all() {
					if at, err := time.Parse(time.RFC3339, e.At); e.ID == id && err == nil && at.After(ready.Add(-time.Second)) {
						order = append(order, e.To)
						if e.To == "PUBLISHING" {
							live = at
						}
					}
				}
				if live.IsZero() {
					return "there is no event PUBLISHING"
				}
				return ""
			})
			if i := slices.Index(order, "STARTING"); i < 0 || !slices.Equal(order[i:min(len(order), i+3)], []string{"STARTING", "CONNECTING", "PUBLISHING"}) {
				t.Errorf("after the kill the push went %q", order)
			}
			t.Logf("kill %d: ready after %v, live %v after the publisher was connected (DTLS took %v), gap %v", n, ready.Sub(killed).Round(time.Millisecond),
				live.Sub(connected).Round(time.Millisecond), p.ConnectTime().Round(time.Millisecond), live.Sub(killed).Round(time.Millisecond))
		}
	}
	s.waitEach(ids, "PUBLISHING", (kills+1)*90)
	for _, id := range ids {
		if code := s.post("/push/terminate", map[string]any{"mediaSessionId": id}, nil); code != http.StatusOK {
			t.Errorf("terminate answers %d", code)
		}
	}
	leave()
	for n, want := range map[*nginx]int{appending: 1, anew: kills + 1} {
		files, err := filepath.Glob(filepath.Join(n.dir, "rtmp_show*.flv"))
		if err != nil || len(files) != want {
			t.Fatalf("recordings %v (%v), want %d", files, err, want)
		}
		for _, file := range files {
			if n == appending {
				judgeAppended(t, file)
			} else {
				judgeDecoding(t, file)
			}
			t.Logf("%s lasts %.1f s", filepath.Base(file), duration(t, file))
			judgeGrowing(t, file)
		}
	}
}

// all returns the events that have come so far.
func (s *story) all() []storyEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// judgeGrowing checks that the times of a recording only grow, but for the joints that nginx makes when it appends.
func judgeGrowing(t *testing.T, file string) {
	t.Helper()
	before := map[string]float64{}
	for _, p := range probe(t, file).Packets {
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			t.Fatalf("packet without a time: %+v", p)
		}
		if last, seen := before[p.Kind]; seen && at <= last-nginxJoint {
			t.Errorf("%s: %s goes from %.3f back to %.3f", file, p.Kind, last, at)
		}
		before[p.Kind] = at
	}
	if before["video"] == 0 || before["audio"] == 0 {
		t.Errorf("%s has no pictures or no sound: %v", file, before)
	}
}

// waitEach waits until each push has a status and has sent so many pictures.
func (s *server) waitEach(ids []string, status string, frames int) {
	s.t.Helper()
	testkit.Eventually(s.t, 30*time.Second, func() string {
		for _, id := range ids {
			var found []push
			s.post("/push/find", map[string]string{"mediaSessionId": id}, &found)
			if len(found) != 1 || found[0].Status != status || found[0].VideoFramesSent < frames {
				return "not all pushes are " + status + " yet"
			}
		}
		return ""
	})
}

// TestLongKillSecrets kills the server in the middle of shows whose addresses hold a secret in each place. Neither the state folder nor the log has it
// in clear, and no file of a core. After a change of the key that seals, the pushes go on, and what is written is sealed with the new key.
func TestLongKillSecrets(t *testing.T) {
	dir := t.TempDir()
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	s := startServerAt(t, dir, nil)
	secret := strings.TrimPrefix(receiver.URL(""), "rtmp://")
	if code := s.post("/destination/create", map[string]any{"name": "far", "rtmpUrl": receiver.URL("live/" + canary + "-far"), "streams": []string{"*"}}, nil); code != http.StatusOK {
		t.Fatalf("destination/create answers %d", code)
	}
	_, leave := publish(t, s, "show", testkit.DefaultPublisherConfig())
	ids := []string{}
	for _, body := range []map[string]any{
		{"rtmpUrl": receiver.URL("live/" + canary + "?token=" + canary), "rtmpTransponderFullUrl": true},
		{"rtmpUrl": "rtmp://u:" + canary + "@" + secret + "app/?user=u&pass=" + canary},
		{"rtmpUrl": "destination://far"},
		{"rtmpUrl": receiver.URL("one/" + canary), "options": map[string]any{"backupUrls": []string{receiver.URL("two/" + canary)}, "simultaneous": true}},
	} {
		body["streamName"] = "show"
		var p push
		if code := s.post("/push/startup", body, &p); code != http.StatusOK {
			t.Fatalf("startup of %v answers %d", body, code)
		}
		ids = append(ids, p.MediaSessionID)
	}
	s.waitEach(ids, "PUBLISHING", 30)
	s.kill()
	leave()
	search := func() {
		t.Helper()
		if strings.Contains(s.log.String(), canary) {
			t.Error("the log holds the secret")
		}
		files := 0
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			files++
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if strings.HasPrefix(d.Name(), "core") {
				t.Errorf("there is a core file %s", path)
			}
			if bytes.Contains(b, []byte(canary)) {
				t.Errorf("%s holds the secret", path)
			}
			return nil
		})
		if err != nil || files < 3 {
			t.Errorf("%d files were searched, %v", files, err)
		}
	}
	search()

	file := filepath.Join(dir, "state", "key")
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fresh := make([]byte, 32)
	rand.Read(fresh)
	if err := os.WriteFile(file, append([]byte(base64.StdEncoding.EncodeToString(fresh)+"\n"), old...), 0o600); err != nil {
		t.Fatal(err)
	}
	s = startServerAt(t, dir, nil)
	s.waitEach(ids, "AWAITING", 0)
	_, leave = publish(t, s, "show", testkit.DefaultPublisherConfig())
	s.waitEach(ids, "PUBLISHING", 60)
	s.kill()
	leave()
	search()
	sealers := map[string]int{}
	editRecords(t, dir, func(r map[string]any) {
		sealed, _ := r["secret"].(string)
		id, _, _ := strings.Cut(sealed, ".")
		sealers[id]++
	})
	if len(sealers) != 1 {
		t.Errorf("the records of pushes are sealed with %v", sealers)
	}
	// Without the old key the pushes still go on.
	if err := os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(fresh)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = startServerAt(t, dir, nil)
	_, leave = publish(t, s, "show", testkit.DefaultPublisherConfig())
	s.waitEach(ids, "PUBLISHING", 60)
	leave()
}

// TestLongKillAddresses kills the server under a push to two addresses at the same time, and one with a spare stream. Options, addresses and the
// stream that is sent come back, and the time goes on at each far end.
func TestLongKillAddresses(t *testing.T) {
	dir := t.TempDir()
	both := []*testkit.RTMPServer{testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})}
	third := testkit.NewRTMPServer(t, testkit.Script{})
	s := startServerAt(t, dir, nil)
	_, leaveMain := publish(t, s, "main", testkit.DefaultPublisherConfig())
	_, leaveSpare := publish(t, s, "spare", testkit.DefaultPublisherConfig())
	ids := []string{}
	for _, body := range []map[string]any{
		{"streamName": "spare", "rtmpUrl": both[0].URL("live/a"), "options": map[string]any{"backupUrls": []string{both[1].URL("live/b")}, "simultaneous": true}},
		{"streamName": "main", "rtmpUrl": third.URL("live/c"), "options": map[string]any{"backupStreams": []string{"spare"}}},
	} {
		var p push
		if code := s.post("/push/startup", body, &p); code != http.StatusOK {
			t.Fatalf("startup of %v answers %d", body, code)
		}
		ids = append(ids, p.MediaSessionID)
	}
	s.waitEach(ids, "PUBLISHING", 30)
	type whole struct {
		push
		Active    string         `json:"activeStreamName"`
		Options   map[string]any `json:"options"`
		Addresses []struct {
			Status string `json:"status"`
		} `json:"addresses"`
	}
	find := func(id string) whole {
		t.Helper()
		var found []whole
		if code := s.post("/push/find", map[string]string{"mediaSessionId": id}, &found); code != http.StatusOK || len(found) != 1 {
			t.Fatalf("find answers %d", code)
		}
		return found[0]
	}
	leaveMain()
	testkit.Eventually(t, 15*time.Second, func() string {
		if p := find(ids[1]); p.Active != "spare" || p.Status != "PUBLISHING" {
			return "the push is " + p.Status + " and sends " + p.Active
		}
		return ""
	})
	servers := append(slices.Clone(both), third)
	far := make([]time.Duration, len(servers))
	conns := make([]int, len(servers))
	frames := find(ids[0]).VideoFramesSent
	s.waitEach(ids[:1], "PUBLISHING", frames+40)
	s.kill()
	leaveSpare()
	for i, r := range servers {
		tags := r.Tags()
		far[i], conns[i] = tags[len(tags)-1].Time, tags[len(tags)-1].Connection
	}
	s = startServerAt(t, dir, nil)
	s.waitEach(ids, "AWAITING", 0)
	_, leaveSpare = publish(t, s, "spare", testkit.DefaultPublisherConfig()) // the main one stays away
	defer leaveSpare()
	s.waitEach(ids, "PUBLISHING", 30)
	testkit.Eventually(t, 15*time.Second, func() string {
		p := find(ids[0])
		if p.Options["simultaneous"] != true || len(p.Addresses) != 2 {
			t.Fatalf("after the kill the push has the options %v and %d addresses", p.Options, len(p.Addresses))
		}
		for _, a := range p.Addresses {
			if a.Status != "PUBLISHING" {
				return "an address is " + a.Status
			}
		}
		if p := find(ids[1]); p.Active != "spare" {
			return "the push sends " + p.Active
		}
		return ""
	})
	for i, r := range servers {
		r.Wait(t, "media after the kill", func() bool {
			tags := r.Tags()
			return tags[len(tags)-1].Connection > conns[i] && !tags[len(tags)-1].Header
		})
		first := true
		for _, tag := range r.Tags() {
			if tag.Connection <= conns[i] || tag.Header {
				continue
			}
			if tag.Time <= far[i] {
				t.Errorf("server %d: after %v came %v", i, far[i], tag)
			}
			if first {
				t.Logf("server %d: its time went from %v to %v", i, far[i], tag.Time)
			}
			first = false
		}
	}
}
