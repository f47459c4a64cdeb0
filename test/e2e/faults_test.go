//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"transponder/internal/testkit"
)

// line is a way to an RTMP server on which things go wrong.
type line struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newLine leads to an rtmp:// address.
func newLine(t *testing.T, to string) *line {
	t.Helper()
	upstream, _, _ := strings.Cut(strings.TrimPrefix(to, "rtmp://"), "/")
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return &line{t: t, proxy: proxy}
}

func (l *line) url() string { return "rtmp://" + l.proxy.Listen + "/live" }

// spoil makes something go wrong, as toxiproxy calls it.
func (l *line) spoil(toxic, stream, attributes string) {
	l.t.Helper()
	body := fmt.Sprintf(`{"name": "fault", "type": %q, "stream": %q, "attributes": {%s}}`, toxic, stream, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(body)); err != nil {
		l.t.Fatal(err)
	}
}

// mend ends it.
func (l *line) mend() {
	l.t.Helper()
	if err := l.proxy.Toxics.RemoveToxic(l.t.Context(), "fault"); err != nil {
		l.t.Fatal(err)
	}
}

// blackout is a line that carries nothing for a while and loses nothing: what is sent waits, as it does in the kernel whose packets
// get no answer. toxiproxy has only faults that throw away.
type blackout struct{}

// Pipe takes nothing until the fault is mended.
func (*blackout) Pipe(stub *toxics.ToxicStub) { <-stub.Interrupt }

func init() { toxics.Register("blackout", new(blackout)) }

// story follows the events of all pushes of a server.
type story struct {
	mu     sync.Mutex
	events []storyEvent // guarded by mu

	raw safeBuffer // all that came
}

type storyEvent struct {
	ID       string `json:"id"`
	Sequence int    `json:"sequence"`
	From     string `json:"from"`
	To       string `json:"to"`
	Reason   string `json:"reason"`
	Attempt  int    `json:"attempt"`
	Active   string `json:"activeStreamName"`
	At       string `json:"at"`

	at time.Time // when it came
}

// follow reads the server's events until the test ends.
func (s *server) follow() *story {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.rest+"/push/events?after=0", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	told := &story{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			told.raw.Write(lines.Bytes())
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			var e storyEvent
			if !ok || json.Unmarshal([]byte(data), &e) != nil {
				continue
			}
			e.at = time.Now()
			told.mu.Lock()
			told.events = append(told.events, e)
			told.mu.Unlock()
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
	})
	return told
}

// changes returns when the source of a push changed.
func (s *story) changes(id string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []time.Time
	active := "" // the backup stream that is sent; "": the main one
	for _, e := range s.events {
		if e.ID == id && e.Active != active {
			all, active = append(all, e.at), e.Active
		}
	}
	return all
}

// of returns what became of one push, each step as STATE or STATE/reason.
func (s *story) of(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var steps []string
	for _, e := range s.events {
		switch {
		case e.ID != id:
		case e.Reason != "":
			steps = append(steps, e.To+"/"+e.Reason)
		default:
			steps = append(steps, e.To)
		}
	}
	return steps
}

// await waits for a step of a push that comes after so many others.
func (s *story) await(t *testing.T, id string, after int, limit time.Duration, step string) (index int) {
	t.Helper()
	testkit.Eventually(t, limit, func() string {
		steps := s.of(id)
		if len(steps) > after {
			if i := slices.Index(steps[after:], step); i >= 0 {
				index = after + i
				return ""
			}
		}
		return fmt.Sprintf("no %s after step %d of %v", step, after, steps)
	})
	return index
}

// A fault on the way to the receiver shows in the state of the push, with its reason. When the line works again, the push goes on by
// itself.
func TestFaultyLine(t *testing.T) {
	s := startServer(t)
	told := s.follow()
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units = testkit.SyntheticUnits(30, 20_000) // 5 Mbit/s
	publish(t, s, "show", cfg)

	begin := func(t *testing.T, l *line) string {
		t.Helper()
		var p push
		body := map[string]any{"streamName": "show", "rtmpUrl": l.url(), "options": restoring}
		if code := s.in(t).post("/push/startup", body, &p); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
		return p.MediaSessionID
	}
	t.Run("late", func(t *testing.T) {
		t.Parallel()
		receiver := testkit.NewRTMPServer(t, testkit.Script{})
		l := newLine(t, receiver.URL("live"))
		l.spoil("latency", "downstream", `"latency": 200, "jitter": 100`)
		begun := time.Now()
		id := begin(t, l)
		told.await(t, id, 0, 30*time.Second, "PUBLISHING")
		if took := time.Since(begun); took < 400*time.Millisecond {
			t.Errorf("live after %v: nothing was late", took)
		}
		receiver.Wait(t, "three seconds", func() bool { return lastPicture(receiver) > 3*time.Second })
		judgeNumbers(t, receiver.Tags(), 0)
		if steps := told.of(id); steps[len(steps)-1] != "PUBLISHING" {
			t.Errorf("the push went %v, want it to stay", steps)
		}
	})
	for _, tt := range []struct {
		name, toxic, stream, attributes string
		lose                            func(*testkit.RTMPServer) // makes the fault show
		step                            string
	}{
		{"reset", "reset_peer", "upstream", `"timeout": 0`, nil, "RECONNECTING/peer_closed"},
		{"closed slowly", "slow_close", "downstream", `"delay": 1500`, (*testkit.RTMPServer).Kick, "RECONNECTING/peer_closed"},
		// The proxy goes on taking bytes, so that only the server's acknowledgements tell.
		{"silent", "timeout", "upstream", `"timeout": 0`, nil, "RECONNECTING/peer_stalled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			receiver := testkit.NewRTMPServer(t, testkit.Script{})
			l := newLine(t, receiver.URL("live"))
			id := begin(t, l)
			receiver.Wait(t, "four seconds, and so several acknowledgements", func() bool { return lastPicture(receiver) > 4*time.Second })
			live := told.await(t, id, 0, 10*time.Second, "PUBLISHING")
			l.spoil(tt.toxic, tt.stream, tt.attributes)
			began := time.Now()
			if tt.lose != nil {
				tt.lose(receiver)
			}
			lost := told.await(t, id, live, 30*time.Second, tt.step)
			took := time.Since(began)
			t.Logf("%s after %v", tt.step, took.Round(100*time.Millisecond))
			if tt.toxic == "slow_close" && took < time.Second {
				t.Errorf("the end was noticed after %v: the close was not slow", took)
			}
			if steps := told.of(id); tt.toxic == "timeout" && steps[live+1] != "DEGRADED/peer_stalled" {
				t.Errorf("the push went %v, want it degraded first", steps)
			}
			before := lastPicture(receiver)
			l.mend()
			told.await(t, id, lost, 30*time.Second, "PUBLISHING")
			receiver.Wait(t, "a second more", func() bool { return lastPicture(receiver) > before+time.Second })
			judgeNumbers(t, receiver.Tags(), 1)
			for i := 1; i < len(videoTimes(receiver)); i++ {
				if times := videoTimes(receiver); times[i] <= times[i-1] {
					t.Fatalf("pictures go from %v to %v", times[i-1], times[i])
				}
			}
		})
	}
}

// A line that is gone for ten seconds is noticed within them, told as the peer's fault and not the stream's, and the show goes on
// after it from a key frame, in the same push.
func TestBlackout(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	told := s.follow()
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units = testkit.SyntheticUnits(30, 20_000) // 5 Mbit/s
	publish(t, s, "show", cfg)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	l := newLine(t, receiver.URL("live"))
	var p push
	if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": l.url(), "options": restoring}, &p); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	receiver.Wait(t, "three seconds", func() bool { return lastPicture(receiver) > 3*time.Second })
	live := told.await(t, p.MediaSessionID, 0, 10*time.Second, "PUBLISHING")
	before := lastPicture(receiver)
	l.spoil("blackout", "upstream", "")
	over := time.After(10 * time.Second) // is the fault
	degraded := told.await(t, p.MediaSessionID, live, 10*time.Second, "DEGRADED/peer_stalled")
	<-over
	if during := lastPicture(receiver) - before; during > time.Second {
		t.Errorf("%v of pictures came through: the line was not dark", during)
	}
	l.mend()
	told.await(t, p.MediaSessionID, degraded, 60*time.Second, "PUBLISHING")
	receiver.Wait(t, "pictures from after it", func() bool { return lastPicture(receiver) > before+12*time.Second })
	judgeNumbers(t, receiver.Tags(), 2)
	for i, times := 1, videoTimes(receiver); i < len(times); i++ {
		if times[i] <= times[i-1] {
			t.Fatalf("pictures go from %v to %v", times[i-1], times[i])
		}
	}
	for _, step := range told.of(p.MediaSessionID) {
		if strings.Contains(step, "source_") {
			t.Errorf("the stream is blamed: %v", told.of(p.MediaSessionID))
		}
	}
}

// A line that carries less than the stream has the push drop groups of pictures, say so, and keep the sound.
func TestNarrowLine(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	told := s.follow()
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units = testkit.SyntheticUnits(30, 20_000) // 5 Mbit/s
	publish(t, s, "show", cfg)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	l := newLine(t, receiver.URL("live"))
	l.spoil("bandwidth", "upstream", `"rate": 100`) // kB/s
	var p push
	if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": l.url(), "options": restoring}, &p); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	degraded := told.await(t, p.MediaSessionID, 0, 60*time.Second, "DEGRADED/peer_slow")
	var found []struct {
		Dropped int `json:"droppedFrames"`
	}
	s.post("/push/find", map[string]string{"mediaSessionId": p.MediaSessionID}, &found)
	if len(found) != 1 || found[0].Dropped == 0 {
		t.Errorf("degraded with %+v dropped", found)
	}
	l.mend()
	told.await(t, p.MediaSessionID, degraded, 60*time.Second, "PUBLISHING")
	receiver.Wait(t, "pictures of now", func() bool { return lastPicture(receiver) > lastSound(receiver)-200*time.Millisecond })
	if gaps := judgeNumbers(t, receiver.Tags(), 100); gaps == 0 {
		t.Error("the receiver got every picture: nothing was dropped")
	}
	headers := 0
	for _, tag := range receiver.Tags() {
		if !tag.Video && tag.Header {
			headers++
		}
	}
	if headers != 1 {
		t.Errorf("%d sequence headers of sound, want 1", headers)
	}
}

// judgeNumbers checks that pictures arrive in the order in which they were sent, and that after each of at most so many gaps
// they go on with a key frame. It returns the gaps.
func judgeNumbers(t *testing.T, tags []testkit.Tag, most int) (gaps int) {
	t.Helper()
	last := int64(-1)
	for _, tag := range tags {
		n, ok := testkit.FrameNumber(tag.Data)
		if !tag.Video || !ok {
			continue
		}
		switch {
		case last < 0 && !tag.Key:
			t.Errorf("picture %d comes first and is no key frame", n)
		case last >= 0 && n <= last:
			t.Errorf("picture %d comes after %d", n, last)
		case last >= 0 && n > last+1:
			if gaps++; !tag.Key {
				t.Errorf("picture %d comes after %d and is no key frame", n, last)
			}
		}
		last = n
	}
	if last < 0 {
		t.Error("no pictures arrived")
	}
	if gaps > most {
		t.Errorf("%d gaps in what arrived, want at most %d", gaps, most)
	}
	return gaps
}

func videoTimes(s *testkit.RTMPServer) []time.Duration {
	var times []time.Duration
	for _, tag := range s.Tags() {
		if tag.Video && !tag.Header {
			times = append(times, tag.Time)
		}
	}
	return times
}

func lastPicture(s *testkit.RTMPServer) time.Duration {
	times := videoTimes(s)
	if len(times) == 0 {
		return 0
	}
	return times[len(times)-1]
}

// soundGap returns the longest time from one sound to the next.
func soundGap(s *testkit.RTMPServer) (gap time.Duration) {
	last := time.Duration(-1)
	for _, tag := range s.Tags() {
		if tag.Video || tag.Header {
			continue
		}
		if last >= 0 {
			gap = max(gap, tag.Time-last)
		}
		last = tag.Time
	}
	return gap
}

func lastSound(s *testkit.RTMPServer) time.Duration {
	tags := s.Tags()
	for i := len(tags) - 1; i >= 0; i-- {
		if !tags[i].Video && !tags[i].Header {
			return tags[i].Time
		}
	}
	return 0
}
