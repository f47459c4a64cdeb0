//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// backend is a running browser/backend.mjs: the backend of an application, as the samples of the vendor are.
type backend struct {
	t     *testing.T
	url   string
	stdin io.Writer

	mu         sync.Mutex
	hooks      []hookGot
	understood int
}

// hookGot is a hook that the backend has answered.
type hookGot struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    map[string]any    `json:"body"`
	Text    string            `json:"text"`
	Status  int               `json:"status"`
}

func startBackend(t *testing.T, args ...string) *backend {
	t.Helper()
	b := &backend{t: t}
	cmd := exec.Command("node", append([]string{"backend.mjs"}, args...)...)
	cmd.Dir = "browser"
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if b.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e struct {
				Event     string            `json:"event"`
				Displayed map[string]string `json:"displayed"`
				Hook      hookGot           `json:"hook"`
			}
			if json.Unmarshal(lines.Bytes(), &e) != nil {
				continue
			}
			switch e.Event {
			case "listening":
				listening <- e.Displayed["url"]
			case "hook":
				b.mu.Lock()
				b.hooks = append(b.hooks, e.Hook)
				b.mu.Unlock()
			case "understood":
				b.mu.Lock()
				b.understood++
				b.mu.Unlock()
			}
		}
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("the backend got %v", b.summary())
		}
	})
	select {
	case b.url = <-listening:
	case <-time.After(20 * time.Second):
		t.Fatal("the backend does not listen")
	}
	return b
}

// do changes what the backend does.
func (b *backend) do(command string) {
	b.t.Helper()
	b.mu.Lock()
	want := b.understood + 1
	b.mu.Unlock()
	if _, err := io.WriteString(b.stdin, command+"\n"); err != nil {
		b.t.Fatal(err)
	}
	testkit.Eventually(b.t, 10*time.Second, func() string {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.understood < want {
			return "the backend did not understand " + command
		}
		return ""
	})
}

// got returns the hooks of a method so far, all with "".
func (b *backend) got(method string) []hookGot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.hooks), func(h hookGot) bool { return method != "" && h.Method != method })
}

// summary names the hooks so far, with their statuses.
func (b *backend) summary() []string {
	var names []string
	for _, h := range b.got("") {
		name := h.Method
		if status, _ := h.Body["status"].(string); status != "" {
			name += " " + status
		}
		names = append(names, name)
	}
	return names
}

// wait waits for the nth hook of a method.
func (b *backend) wait(method string, n int) hookGot {
	b.t.Helper()
	testkit.Eventually(b.t, 20*time.Second, func() string {
		if got := len(b.got(method)); got < n {
			return fmt.Sprintf("%d of %d %s; there are %v", got, n, method, b.summary())
		}
		return ""
	})
	return b.got(method)[n-1]
}

// startHooked starts a server whose defaultApp has the backend.
func startHooked(t *testing.T, b *backend, app map[string]any, settings ...string) *server {
	t.Helper()
	s := startServer(t, settings...)
	body := map[string]any{"name": "defaultApp", "url": b.url}
	for name, value := range app {
		body[name] = value
	}
	if code := s.post("/app/update", body, nil); code != http.StatusOK {
		t.Fatalf("app/update answers %d", code)
	}
	return s
}

// vendorPage is a page of the vendor's SDK that does what it is told.
type vendorPage struct{ *browser }

func openVendorPage(t *testing.T, s *server) vendorPage {
	t.Helper()
	p := vendorPage{startBrowser(t, "hooks.mjs", s.socket)}
	p.await("ready")
	return p
}

// hears waits until the SDK tells a status of a session or of a stream, and returns the info.
func (p vendorPage) hears(event, id string, statuses ...string) browserEvent {
	p.t.Helper()
	for {
		e := p.await(event)
		if e.Displayed["id"] == id && slices.Contains(statuses, e.Displayed["status"]) {
			return e
		}
		if e.Displayed["id"] == id && slices.Contains([]string{"FAILED", "DISCONNECTED"}, e.Displayed["status"]) {
			p.t.Fatalf("the page hears %v, want one of %v", e.Displayed, statuses)
		}
	}
}

// The life of a session with the vendor's SDK: what the backend gets, in which order, and that no hook holds what it must not.
func TestHooksOfSession(t *testing.T) {
	t.Parallel()
	const secret = "a long random text"
	b := startBackend(t, "--secret", secret)
	b.do(`{"tokens":["good"]}`)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	s := startHooked(t, b, nil, "rest_hook_send_hash=true", "rest_hook_secret_key="+secret)
	p := openVendorPage(t, s)

	p.say(`{"do":"connect","session":"bad","options":{"custom":{"token":"wrong"}}}`)
	p.hears("session", "bad", "DISCONNECTED", "FAILED")
	if h := b.wait("connect", 1); h.Status != 403 {
		t.Fatalf("connect with a bad token was answered %d", h.Status)
	}

	p.say(`{"do":"connect","session":"a","options":{"custom":{"token":"good"}}}`)
	p.hears("session", "a", "ESTABLISHED")
	p.say(fmt.Sprintf(`{"do":"publish","session":"a","stream":"p","options":{"name":"cam","rtmpUrl":%q}}`, receiver.URL("live")+"/SECRETKEY"))
	p.hears("stream", "p", "PUBLISHING")
	p.say(`{"do":"play","session":"a","stream":"v","options":{"name":"cam"}}`)
	p.hears("stream", "v", "PLAYING")
	p.say(`{"do":"data","session":"a","payload":{"count":23}}`)
	if e := p.await("data"); e.Displayed["status"] != "ACCEPTED" {
		t.Errorf("sendData: %v", e.Displayed)
	}
	b.wait("PushStatusEvent", 2)
	p.say(`{"do":"stop","stream":"v"}`)
	p.hears("stream", "v", "STOPPED")
	p.say(`{"do":"stop","stream":"p"}`)
	p.hears("stream", "p", "UNPUBLISHED")
	p.say(`{"do":"disconnect","session":"a"}`)
	b.wait("ConnectionStatusEvent", 2)

	order := slices.DeleteFunc(b.summary(), func(name string) bool { return strings.HasPrefix(name, "PushStatusEvent") })
	want := []string{
		"connect", "connect", "ConnectionStatusEvent ESTABLISHED", "publishStream PENDING", "StreamStatusEvent PUBLISHING",
		"playStream PENDING", "StreamStatusEvent PLAYING", "OnDataEvent", "DataStatusEvent ACCEPTED",
		"stopStream PLAYING", "StreamStatusEvent STOPPED", "unPublishStream PUBLISHING", "StreamStatusEvent UNPUBLISHED",
		"ConnectionStatusEvent DISCONNECTED",
	}
	if !slices.Equal(order, want) {
		t.Errorf("the backend got\n%q, want\n%q", order, want)
	}
	checkMembers(t, b.got("connect")[1], []string{
		"nodeId", "appKey", "sessionId", "useWsTunnel", "useWsTunnelPacketization2", "useBase64BinaryEncoding", "mediaProviders", "clientVersion",
		"clientOSVersion", "clientBrowserVersion", "keepAlive", "origin", "custom",
	})
	checkMembers(t, b.got("publishStream")[0], []string{
		"nodeId", "appKey", "sessionId", "mediaSessionId", "name", "published", "hasVideo", "hasAudio", "status", "sdp", "record", "width", "height",
		"bitrate", "minBitrate", "maxBitrate", "quality", "mediaProvider",
	})
	publish, play := b.got("publishStream")[0].Body, b.got("playStream")[0].Body
	if publish["published"] != true || play["published"] != false || publish["mediaProvider"] != "WebRTC" || publish["name"] != "cam" {
		t.Errorf("publishStream %v\nplayStream %v", publish, play)
	}
	for _, h := range b.got("") {
		for _, bad := range []string{"SECRETKEY", "authToken"} {
			if strings.Contains(h.Text, bad) {
				t.Errorf("%s holds %s: %s", h.Method, bad, h.Text)
			}
		}
		if h.Status == 403 && h.Method != "connect" {
			t.Errorf("%s: the hash is wrong", h.Method)
		}
		if h.Headers["user-agent"] != "Transponder" || h.Headers["content-type"] != "application/json;charset=UTF-8" {
			t.Errorf("%s has the headers %v", h.Method, h.Headers)
		}
		if h.Method != "PushStatusEvent" && h.Body["sessionId"] != b.got("")[1].Body["sessionId"] && h.Body["custom"] == nil && h.Body["name"] == nil {
			t.Errorf("%s is of the session %v", h.Method, h.Body["sessionId"])
		}
	}
}

func checkMembers(t *testing.T, h hookGot, names []string) {
	t.Helper()
	for _, name := range names {
		if _, ok := h.Body[name]; !ok {
			t.Errorf("%s has no %s: %s", h.Method, name, h.Text)
		}
	}
}

// What a refusal does, as the vendor's table has it: publishStream is refused only if the backend has asked for that, connect always.
func TestHooksRefuse(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	s := startHooked(t, b, nil)
	p := openVendorPage(t, s)
	b.do(`{"method":"publishStream","status":403}`)

	p.say(`{"do":"connect","session":"log","options":{}}`)
	p.hears("session", "log", "ESTABLISHED")
	p.say(`{"do":"publish","session":"log","stream":"let-in","options":{"name":"let-in"}}`)
	p.hears("stream", "let-in", "PUBLISHING")
	if !strings.Contains(s.metrics(), `transponder_hook_refusals_ignored_total{app="defaultApp"} 1`) {
		t.Error("the refusal that was ignored is not counted")
	}

	b.do(`{"config":{"publishStream":{"restOnError":"FAIL"},"playStream":{"restOnError":"FAIL"},"StreamStatusEvent":{"restOnError":"FAIL"}}}`)
	p.say(`{"do":"connect","session":"fail","options":{}}`)
	p.hears("session", "fail", "ESTABLISHED")
	p.say(`{"do":"publish","session":"fail","stream":"refused","options":{"name":"refused"}}`)
	if e := p.hears("stream", "refused", "FAILED"); e.Displayed["info"] != "Restricted access" {
		t.Errorf("the page hears %v", e.Displayed)
	}
	b.do(`{"method":"playStream","status":403}`)
	p.say(`{"do":"play","session":"fail","stream":"v","options":{"name":"let-in"}}`)
	p.hears("stream", "v", "FAILED")
	b.do(`{"method":"playStream","status":200}`)
	b.do(`{"method":"publishStream","status":200}`)
	b.do(`{"method":"StreamStatusEvent","status":403}`)
	p.say(`{"do":"publish","session":"fail","stream":"ended","options":{"name":"ended"}}`)
	p.hears("stream", "ended", "FAILED")

	b.do(`{"method":"connect","status":403}`)
	p.say(`{"do":"connect","session":"refused","options":{}}`)
	p.hears("session", "refused", "DISCONNECTED", "FAILED")
	p.say(`{"do":"disconnect","session":"log"}`)
	p.say(`{"do":"disconnect","session":"fail"}`)
	b.wait("ConnectionStatusEvent", 4)
}

// The backend gives streams other names and targets: the page never learns the name, all others see it.
func TestHooksRename(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	b.do(`{"config":{"publishStream":{"restPolicy":"OVERWRITE","restOverwrite":"name,rtmpUrl"},"playStream":{"restPolicy":"OVERWRITE","restOverwrite":"name"}}}`)
	b.do(fmt.Sprintf(`{"method":"publishStream","set":{"name":"real","rtmpUrl":%q,"mediaSessionId":"forged"}}`, receiver.URL("live")))
	b.do(`{"method":"playStream","set":{"name":"real"}}`)
	s := startHooked(t, b, nil)
	p := openVendorPage(t, s)
	p.say(`{"do":"connect","session":"a","options":{}}`)
	p.hears("session", "a", "ESTABLISHED")
	p.say(`{"do":"publish","session":"a","stream":"p","options":{"name":"shown"}}`)
	if e := p.hears("stream", "p", "PUBLISHING"); e.Displayed["name"] != "shown" {
		t.Errorf("the page knows the stream as %q", e.Displayed["name"])
	}
	var streams []struct {
		Name string `json:"name"`
	}
	if s.post("/stream/find_all", struct{}{}, &streams); len(streams) != 1 || streams[0].Name != "real" {
		t.Errorf("the streams are %v", streams)
	}
	s.waitPush("real", "PUBLISHING")
	p.say(`{"do":"play","session":"a","stream":"v","options":{"name":"shown"}}`)
	p.hears("stream", "v", "PLAYING")
	if h := b.wait("StreamStatusEvent", 1); h.Body["name"] != "real" {
		t.Errorf("the backend hears of %v", h.Body["name"])
	}
	p.say(`{"do":"disconnect","session":"a"}`)
	b.wait("ConnectionStatusEvent", 2)
}

// A backend that takes its time, and one that dies.
func TestHooksSlowAndDead(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	b.do(`{"config":{"publishStream":{"restOnError":"FAIL"}}}`)
	s := startHooked(t, b, nil, "rest_request_timeout=15")
	p := openVendorPage(t, s)
	p.say(`{"do":"connect","session":"a","options":{}}`)
	p.hears("session", "a", "ESTABLISHED")
	p.say(`{"do":"publish","session":"a","stream":"live","options":{"name":"live"}}`)
	p.hears("stream", "live", "PUBLISHING")

	// While the backend thinks about one stream, others of the session go on.
	b.do(`{"method":"publishStream","delay":15000}`)
	p.say(`{"do":"publish","session":"a","stream":"slow","options":{"name":"slow"}}`)
	p.say(`{"do":"play","session":"a","stream":"v","options":{"name":"live"}}`)
	p.hears("stream", "v", "PLAYING")

	b.do(`{"method":"connect","status":0}`)
	b.do(`{"method":"StreamStatusEvent","status":0}`)
	p.say(`{"do":"connect","session":"late","options":{}}`)
	p.hears("session", "late", "DISCONNECTED", "FAILED")
	var streams []struct{ Name, Status string }
	s.post("/stream/find_all", struct{}{}, &streams)
	if !slices.ContainsFunc(streams, func(st struct{ Name, Status string }) bool { return st.Name == "live" && st.Status == "PUBLISHING" }) {
		t.Errorf("the streams are %v: what was live does not go on", streams)
	}
}

// The end of each session is told when the server stops.
func TestHooksGoodbye(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	s := startHooked(t, b, nil)
	p := openVendorPage(t, s)
	for _, id := range []string{"a", "b", "c"} {
		p.say(fmt.Sprintf(`{"do":"connect","session":%q,"options":{}}`, id))
		p.hears("session", id, "ESTABLISHED")
	}
	p.say(`{"do":"publish","session":"a","stream":"p","options":{"name":"cam"}}`)
	p.hears("stream", "p", "PUBLISHING")
	s.stop()
	ended := map[any]bool{}
	for _, h := range b.got("ConnectionStatusEvent") {
		if h.Body["status"] == "DISCONNECTED" {
			ended[h.Body["sessionId"]] = true
		}
	}
	if len(ended) != 3 {
		t.Errorf("%d of 3 ends were told: %v", len(ended), b.summary())
	}
	if !slices.Contains(b.summary(), "StreamStatusEvent FAILED") {
		t.Errorf("the end of the stream was not told: %v", b.summary())
	}
}

// A server that was killed tells the backend after its restart that the session and the streams of before are over.
func TestHooksAfterKill(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	dir := t.TempDir()
	s := startServerAt(t, dir, nil)
	if code := s.post("/app/update", map[string]any{"name": "defaultApp", "url": b.url}, nil); code != http.StatusOK {
		t.Fatalf("app/update answers %d", code)
	}
	p := openVendorPage(t, s)
	p.say(`{"do":"connect","session":"a","options":{}}`)
	p.hears("session", "a", "ESTABLISHED")
	p.say(`{"do":"publish","session":"a","stream":"p","options":{"name":"cam"}}`)
	p.hears("stream", "p", "PUBLISHING")
	p.say(`{"do":"play","session":"a","stream":"v","options":{"name":"cam"}}`)
	p.hears("stream", "v", "PLAYING")
	b.wait("StreamStatusEvent", 2)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	begin := func(app string) (id string) {
		t.Helper()
		var begun push
		body := map[string]any{"streamName": "cam", "rtmpUrl": receiver.URL(app), "options": map[string]any{"resumeMs": 1000}}
		if code := s.post("/push/startup", body, &begun); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
		return begun.MediaSessionID
	}
	pushed := func(id, status string) {
		t.Helper()
		testkit.Eventually(t, 30*time.Second, func() string {
			for _, h := range b.got("PushStatusEvent") {
				if h.Body["mediaSessionId"] == id && h.Body["status"] == status {
					return ""
				}
			}
			return fmt.Sprintf("the backend does not hear that push %s is %s", id, status)
		})
	}
	lasting, ended := begin("one"), begin("two")
	pushed(lasting, "PUBLISHING")
	pushed(ended, "PUBLISHING")
	story := s.follow()
	b.do(`{"method":"PushStatusEvent","delay":600000}`) // the end of the other push is on its way when the server dies
	if code := s.post("/push/terminate", map[string]string{"mediaSessionId": ended}, nil); code != http.StatusOK {
		t.Fatalf("terminate answers %d", code)
	}
	testkit.Eventually(t, 30*time.Second, func() string {
		story.mu.Lock()
		defer story.mu.Unlock()
		if !slices.ContainsFunc(story.events, func(e storyEvent) bool { return e.ID == ended && e.To == "ENDED" }) {
			return "the end of the push is no event yet"
		}
		return ""
	})
	s.kill()
	b.do(`{"method":"PushStatusEvent","delay":0}`)
	startServerAt(t, dir, nil)
	b.wait("StreamStatusEvent", 4)
	pushed(ended, "ENDED")
	pushed(lasting, "AWAITING")
	pushed(lasting, "ENDED")
	last := b.wait("ConnectionStatusEvent", 2)
	if last.Body["status"] != "DISCONNECTED" || last.Body["sessionId"] != b.got("connect")[0].Body["sessionId"] {
		t.Errorf("the end of the session is %v", last.Body)
	}
	streams := b.got("StreamStatusEvent")
	for _, begun := range streams[:2] {
		if !slices.ContainsFunc(streams[2:], func(h hookGot) bool {
			return h.Body["status"] == "FAILED" && h.Body["mediaSessionId"] == begun.Body["mediaSessionId"] && h.Body["name"] == "cam" && h.Body["published"] == begun.Body["published"]
		}) {
			t.Errorf("the backend was not told the end of %v", begun.Body)
		}
	}
}

// Encoders that know nothing of applications: FFmpeg over RTMP, in the application flashStreamingApp, and WHIP in defaultApp.
func TestHooksOfEncoders(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	b.do(`{"tokens":["good"]}`)
	b.do(`{"config":{"publishStream":{"restOnError":"FAIL","restPolicy":"OVERWRITE","restOverwrite":"name"}}}`)
	b.do(`{"method":"publishStream","set":{"name":"real"}}`)
	s := startHooked(t, b, nil)
	if code := s.post("/app/update", map[string]string{"name": "flashStreamingApp", "url": b.url}, nil); code != http.StatusOK {
		t.Fatalf("app/update answers %d", code)
	}
	encode := func(address string) (*exec.Cmd, <-chan error) {
		encoder := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30",
			"-f", "lavfi", "-i", "sine", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-c:a", "aac", "-f", "flv", address)
		if err := encoder.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- encoder.Wait() }()
		t.Cleanup(func() { encoder.Process.Kill() })
		return encoder, ended
	}
	app := strings.TrimSuffix(s.rtmp, "/")
	_, ended := encode(app + "?token=bad/cam")
	select {
	case err := <-ended:
		if err == nil {
			t.Error("FFmpeg is content with a refusal")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("FFmpeg was refused and goes on")
	}
	encoder, ended := encode(app + "?token=good/cam?camera=3")
	if h := b.wait("StreamStatusEvent", 1); h.Body["status"] != "PUBLISHING" || h.Body["name"] != "real" {
		t.Errorf("the backend hears %v", h.Body)
	}
	publish := b.got("publishStream")[0].Body
	if custom, _ := publish["custom"].(map[string]any); custom["camera"] != "3" || publish["mediaProvider"] != "Flash" || publish["status"] != "NEW" ||
		publish["appKey"] != "flashStreamingApp" {
		t.Errorf("publishStream is %v", publish)
	}
	encoder.Process.Signal(syscall.SIGTERM)
	<-ended
	b.wait("ConnectionStatusEvent", 2)
	order := b.summary()
	want := []string{
		"connect", "connect", "ConnectionStatusEvent ESTABLISHED", "publishStream NEW", "StreamStatusEvent PUBLISHING",
		"unPublishStream UNPUBLISHED", "StreamStatusEvent UNPUBLISHED", "ConnectionStatusEvent DISCONNECTED",
	}
	if !slices.Equal(slices.DeleteFunc(slices.Clone(order), func(h string) bool { return strings.HasPrefix(h, "unPublish") }),
		slices.DeleteFunc(want, func(h string) bool { return strings.HasPrefix(h, "unPublish") })) {
		t.Errorf("the backend got\n%q, want\n%q", order, want)
	}

	s.whipToken = "bad"
	if _, err := s.exchange("cam")(t.Context(), "v=0\r\n"); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("WHIP with a bad token: %v", err)
	}
	s.whipToken = "good"
	before := len(b.got("ConnectionStatusEvent"))
	publishWHIP(t, s, "cam")
	b.wait("StreamStatusEvent", 3)
	var streams []struct{ Name, Status string }
	if s.post("/stream/find_all", struct{}{}, &streams); len(streams) != 1 || streams[0].Name != "real" {
		t.Errorf("the streams are %v", streams)
	}
	s.stop()
	if got := b.got("ConnectionStatusEvent")[before:]; len(got) != 2 || got[1].Body["status"] != "DISCONNECTED" {
		t.Errorf("the session of WHIP: %v", got)
	}
	for _, h := range b.got("") {
		if strings.Contains(h.Text, "authToken") {
			t.Errorf("%s holds an authToken", h.Method)
		}
	}
}

// The official example pages and the official suite, with a backend that mirrors.
func TestHooksOfficialPages(t *testing.T) {
	t.Parallel()
	b := startBackend(t, "--seconds", "300")
	s := startHooked(t, b, nil, "rest_request_timeout=5")
	startBrowser(t, "official.mjs", s.socket, "--rest", s.rest).await("done")
	counts := map[string]int{}
	for _, name := range b.summary() {
		counts[name]++
	}
	if counts["connect"] == 0 || counts["ConnectionStatusEvent ESTABLISHED"] != counts["connect"] {
		t.Errorf("the backend got %v", counts)
	}
}

// The official SDK's own tests, many of which give the server two seconds, with a backend that mirrors.
func TestHooksOfficialSuite(t *testing.T) {
	if !soak() {
		t.Skip("make suites runs it")
	}
	b := startBackend(t, "--seconds", "600")
	s := startHooked(t, b, nil, "enable_local_videochat=true", "sip_answer_timeout_ms=5000")
	runSuiteOn(t, s, hopeless, 37, 26, "--calls")
	if got := len(b.got("connect")); got < 10 {
		t.Errorf("the backend was asked for %d sessions", got)
	}
}

// Somebody from elsewhere, without a credential of this server: the backend lets him in, and he may do what the application grants. Without a
// backend he may do nothing.
func TestHooksOfStrangers(t *testing.T) {
	t.Parallel()
	elsewhere := ownAddress(t)
	b := startBackend(t)
	b.do(`{"tokens":["good"]}`)
	s := startHooked(t, b, map[string]any{
		"grants": []map[string]any{{"actions": []string{"publish", "play"}, "streams": []string{"guest*"}}},
		"limits": map[string]int{"publishers": 1},
	})
	if code := s.post("/app/create", map[string]string{"name": "other"}, nil); code != http.StatusOK {
		t.Fatalf("app/create answers %d", code)
	}
	far := func(address string) string { return strings.Replace(address, "localhost", elsewhere, 1) }
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	for _, tt := range []struct {
		name, token string
		want        int
	}{
		{"guest1?appKey=other", "good", http.StatusUnauthorized},
		{"guest1", "bad", http.StatusForbidden},
		{"staff", "good", http.StatusForbidden},
		{"guest1", "good", http.StatusCreated},
		{"guest2", "good", http.StatusTooManyRequests}, // the limit of the application
	} {
		answered := make(chan int, 1)
		p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
		running.Go(func() {
			_ = p.Run(ctx, func(_ context.Context, offer string) (string, error) {
				status, _, answer := bearer(t, http.MethodPost, far(s.whipURL(tt.name)), tt.token, "application/sdp", offer)
				answered <- status
				if status != http.StatusCreated {
					return "", fmt.Errorf("%d %s", status, answer)
				}
				return answer, nil
			})
		})
		if got := <-answered; got != tt.want {
			t.Errorf("publishing %s with the token %s: %d, want %d", tt.name, tt.token, got, tt.want)
		}
		if tt.want == http.StatusCreated {
			b.wait("StreamStatusEvent", 1)
		}
	}
	if status, _, _ := bearer(t, http.MethodPost, far(s.rest)+"/app/find_all", "good", "application/json", "{}"); status != http.StatusUnauthorized {
		t.Errorf("app/find_all from elsewhere: %d", status)
	}
	b.wait("connect", 4)
	if got := len(b.got("connect")); got != 4 { // the app "other" has no backend
		t.Errorf("the backend was asked %d times to connect", got)
	}
}

// A backend ends streams by answering 403 to their keep-alive events: published and played ones, in the words of the SDK.
func TestHooksKeepAlive(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	s := startHooked(t, b, nil, "keep_alive_streaming_sessions_enabled=true", "streaming_sessions_keep_alive_interval=1000")
	var methods struct{ Methods []string }
	if code := s.post("/app/methods", struct{}{}, &methods); code != http.StatusOK {
		t.Fatalf("app/methods answers %d", code)
	}
	if code := s.post("/app/update", map[string]any{"name": "defaultApp", "methods": methods.Methods}, nil); code != http.StatusOK {
		t.Fatalf("app/update answers %d", code)
	}
	p := openVendorPage(t, s)
	p.say(`{"do":"connect","session":"a","options":{}}`)
	p.hears("session", "a", "ESTABLISHED")
	p.say(`{"do":"publish","session":"a","stream":"p","options":{"name":"cam"}}`)
	p.hears("stream", "p", "PUBLISHING")
	b.wait("StreamKeepAliveEvent", 2)
	if h := b.got("StreamKeepAliveEvent")[0]; h.Body["status"] != "PUBLISHING" || h.Body["published"] != true || h.Body["name"] != "cam" {
		t.Errorf("the event is %v", h.Body)
	}
	b.do(`{"method":"StreamKeepAliveEvent","status":403}`)
	if e := p.hears("stream", "p", "FAILED"); e.Displayed["info"] != "Terminated by keep-alive" {
		t.Errorf("the page hears %v", e.Displayed)
	}
}
