package whip

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/lean"
	"transponder/internal/rtc/pion"
	"transponder/internal/rtc/udp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type door struct {
	*Server
	ingest *rtc.Ingest
	hub    *stream.Hub
	url    string
}

// everybody lets everybody do everything.
func everybody() Access {
	return auth.New(auth.Config{Mode: auth.Open}, auth.Parts{}, slog.New(slog.DiscardHandler))
}

func open(t *testing.T, cfg Config, in rtc.Config, change ...func(*stream.Config)) *door {
	t.Helper()
	return openFor(t, cfg, in, everybody(), change...)
}

// openFor is open with given rules of access.
func openFor(t *testing.T, cfg Config, in rtc.Config, by Access, change ...func(*stream.Config)) *door {
	t.Helper()
	return openWith(t, cfg, in, Parts{Access: by}, change...)
}

// openWith is open with some of the parts given.
func openWith(t *testing.T, cfg Config, in rtc.Config, parts Parts, change ...func(*stream.Config)) *door {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	port, err := udp.Open(t.Context(), udp.Config{Sockets: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := pion.New(t.Context(), pion.DefaultConfig(), port, log)
	if err != nil {
		t.Fatal(err)
	}
	hc := stream.DefaultConfig()
	for _, f := range change {
		f(&hc)
	}
	hub := stream.NewHub(hc, nil)
	none := func(*stream.Source, media.Codec) (*stream.Feed, func(), error) {
		return nil, nil, errors.New("no transcoder here")
	}
	first, err := lean.New(lean.DefaultConfig(), port, log)
	if err != nil {
		t.Fatal(err)
	}
	ingest := rtc.NewIngest(in, hub, log, first, r)
	egress := rtc.NewEgress(rtc.DefaultEgressConfig(), rtc.EgressParts{Sender: r, Transcode: none}, log)
	parts.Publish = func(ctx context.Context, offer rtc.Offer, info stream.Info) (Publication, error) {
		p, err := ingest.Publish(ctx, offer, info)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	parts.Play = func(ctx context.Context, offer rtc.Offer, src *stream.Source) (Playback, error) {
		p, err := egress.Play(ctx, offer, src)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	parts.Streams = hub
	s := New(cfg, parts, log)
	ts := httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		ts.Close()
		first.Close()
		r.Close()
		port.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return &door{s, ingest, hub, ts.URL}
}

// do sends a request; headers are "Key: value".
func (d *door) do(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	url := path
	if !strings.HasPrefix(path, "http") {
		url = d.url + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// send is do for a request that may fail. It drops the body of the answer.
func (d *door) send(ctx context.Context, method, path, body string, header string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	name, value, _ := strings.Cut(header, ": ")
	req.Header.Set(name, value)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	return res, res.Body.Close()
}

const sdpType = "Content-Type: application/sdp"

// offer is a small offer for a connection that is never made.
func offer(codec string) string {
	return strings.ReplaceAll(`v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
`, "\n", "\r\n") + section(codec)
}

// section is the only media section of offer.
func section(codec string) string {
	return strings.ReplaceAll(`m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=rtcp-mux
a=setup:actpass
a=rtpmap:96 `+codec+`/90000
`, "\n", "\r\n")
}

func TestRefusals(t *testing.T) {
	d := open(t, DefaultConfig(), rtc.DefaultConfig(), func(c *stream.Config) { c.Takeover = stream.TakeoverNever })
	res, _ := d.do(t, "POST", "/whip/taken", offer("H264"), sdpType)
	if res.StatusCode != 201 {
		t.Fatalf("first publication: %s", res.Status)
	}
	if n := d.ingest.Publishers()["lean"]; n != 1 {
		t.Fatalf("%d publishers with the lean receiver, want 1", n)
	}
	session := res.Header.Get("Location")
	etag := "If-Match: " + res.Header.Get("ETag")
	const fragment = "Content-Type: application/trickle-ice-sdpfrag"
	const candidate = "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n"
	const again = "a=ice-ufrag:news\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
	tests := []struct {
		name, method, path, body string
		headers                  []string
		want                     int
		says                     string
	}{
		{"no content type", "POST", "/whip/a", offer("H264"), nil, 415, "application/sdp"},
		{"wrong content type", "POST", "/whip/a", offer("H264"), []string{"Content-Type: text/plain"}, 415, "application/sdp"},
		{"compressed", "POST", "/whip/a", offer("H264"), []string{sdpType, "Content-Encoding: gzip"}, 415, "compressed"},
		{"type with parameter", "POST", "/whip/taken", offer("H264"), []string{sdpType + "; charset=utf-8"}, 409, "in use"},
		{"empty", "POST", "/whip/a", " \n", []string{sdpType}, 400, "empty"},
		{"not SDP", "POST", "/whip/a", "hello", []string{sdpType}, 400, "m-line"},
		{"too long", "POST", "/whip/a", strings.Repeat("a=x\n", 80<<10), []string{sdpType}, 413, "too long"},
		{"no common codecs", "POST", "/whip/a", offer("H263"), []string{sdpType}, 406, "H264"},
		{"taken", "POST", "/whip/taken", offer("H264"), []string{sdpType}, 409, "in use"},
		{"bad name", "POST", "/whip/a%0Ab", offer("H264"), []string{sdpType}, 400, "control character"},
		{"two sections of video", "POST", "/whip/a", offer("H264") + strings.Replace(section("H264"), "a=mid:0", "a=mid:1", 1), []string{sdpType}, 406, "two sections of video"},
		{"read the endpoint", "GET", "/whip/a", "", nil, 204, ""},
		{"ask what the endpoint is", "HEAD", "/whep/a", "", nil, 200, ""},
		{"put the endpoint", "PUT", "/whip/a", "", nil, 405, "POST"},
		{"read the session", "GET", session, "", nil, 204, ""},
		{"read no session", "GET", "/whip/taken/nothing", "", nil, 404, "no such session"},
		{"put the session", "PUT", session, "", nil, 405, "DELETE"},
		{"delete nothing", "DELETE", "/whip/taken/nothing", "", nil, 404, "no such session"},
		{"delete under another name", "DELETE", strings.Replace(session, "taken", "other", 1), "", nil, 404, "no such session"},
		{"patch nothing", "PATCH", "/whip/taken/nothing", "", nil, 404, "no such session"},
		{"patch of another type", "PATCH", session, "x", []string{sdpType, etag}, 415, "sdpfrag"},
		{"patch with what is no fragment", "PATCH", session, "hello", []string{fragment, etag}, 400, "fragment"},
		{"patch without ETag", "PATCH", session, "a=ice-ufrag:abcd\r\n" + candidate, []string{fragment}, 204, ""},
		{"patch with another ETag", "PATCH", session, candidate, []string{fragment, `If-Match: "x"`}, 412, "If-Match"},
		{"patch with other ETags", "PATCH", session, candidate, []string{fragment, `If-Match: "x", W/"y"`}, 412, "If-Match"},
		{"restart with a short password", "PATCH", session, "a=ice-ufrag:news\r\na=ice-pwd:new\r\n", []string{fragment, "If-Match: *"}, 400, "ICE user name"},
		{"restart without ETag", "PATCH", session, again, []string{fragment}, 428, "If-Match"},
		{"trickle to any", "PATCH", session, "a=ice-ufrag:abcd\r\n" + candidate, []string{fragment, "If-Match: *"}, 204, ""},
		{"trickle to any, without user name", "PATCH", session, candidate, []string{fragment, "If-Match: *"}, 204, ""},
		{"trickle to a list", "PATCH", session, candidate, []string{fragment, `If-Match: "x", ` + res.Header.Get("ETag")}, 204, ""},
		{"trickle to a weak ETag", "PATCH", session, candidate, []string{fragment, "If-Match: W/" + res.Header.Get("ETag")}, 204, ""},
		{"trickle to an ETag without quotes", "PATCH", session, candidate, []string{fragment, "If-Match: " + strings.Trim(res.Header.Get("ETag"), `"`)}, 204, ""},
		{"restart with another ETag", "PATCH", session, again, []string{fragment, `If-Match: "x"`}, 412, "If-Match"},
		{"restart without password", "PATCH", session, "a=ice-ufrag:news\r\n", []string{fragment, etag}, 400, "ICE user name"},
		{"bad candidate", "PATCH", session, "a=candidate:1 1 udp x 192.0.2.1 5 typ host\r\n", []string{fragment, etag}, 400, ""},
		{"all candidates are read, also after a bad one", "PATCH", session, "a=candidate:1 1 udp x 192.0.2.1 5 typ host\r\n" + candidate +
			"a=candidate:1 1 udp 1 192.0.2.1 port typ host\r\n", []string{fragment, etag}, 400, `port \"port\"`},
		{"trickle", "PATCH", session, "a=ice-ufrag:abcd\r\n" + candidate, []string{fragment, etag}, 204, ""},
		{"the last of them", "PATCH", session, "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" +
			candidate + "a=end-of-candidates\r\n", []string{fragment, etag}, 204, ""},
		{"mDNS trickle", "PATCH", session, "a=candidate:1 1 udp 1 x.local 5 typ host\r\n", []string{fragment, etag}, 204, ""},
		{"restart", "PATCH", session, again, []string{fragment, "If-Match: *"}, 200, "a=ice-pwd:"},
		{"trickle to the ICE session before", "PATCH", session, candidate, []string{fragment, etag}, 412, "If-Match"},
		{"late trickle of the ICE session before", "PATCH", session, "a=ice-ufrag:abcd\r\n" + candidate, []string{fragment, "If-Match: *"}, 412, "restart"},
		{"trickle after the restart", "PATCH", session, "a=ice-ufrag:news\r\n" + candidate, []string{fragment, "If-Match: *"}, 204, ""},
		{"options", "OPTIONS", "/whip/a", "", nil, 204, ""},
		{"options of the session", "OPTIONS", session, "", nil, 204, ""},
		{"delete", "DELETE", session, "", nil, 200, ""},
		{"name is free again", "POST", "/whip/taken", offer("H264"), []string{sdpType}, 201, "a=recvonly"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := d.do(t, tt.method, tt.path, tt.body, tt.headers...)
			if res.StatusCode != tt.want || !strings.Contains(body, tt.says) {
				t.Fatalf("got %d %s, want %d with %q", res.StatusCode, body, tt.want, tt.says)
			}
			if tt.want >= 400 {
				var p struct {
					Status int
					Detail string
				}
				if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != tt.want || p.Detail == "" {
					t.Errorf("problem %q: %v", body, err)
				}
			}
			if res.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Error("no CORS header")
			}
			if tt.method == "OPTIONS" && res.Header.Get("Accept-Post") != "application/sdp" {
				t.Error("no Accept-Post")
			}
		})
	}
}

// FuzzFragment checks that everything that is read from a fragment is in it, and that the amount is bounded.
func FuzzFragment(f *testing.F) {
	f.Add("a=ice-ufrag:abcd\r\na=ice-pwd:x\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\na=end-of-candidates\r\n")
	f.Add("a=ice-ufrag:a\na=ice-ufrag:b\n a=candidate: \r\r\n")
	f.Add(strings.Repeat("a=candidate:1 1 udp 1 x.local 5 typ host\n", 100))
	f.Fuzz(func(t *testing.T, text string) {
		got := parseFragment(text)
		if len(got.ufrags) > maxUfrags || len(got.candidates) > maxCandidates {
			t.Errorf("%d user names and %d candidates", len(got.ufrags), len(got.candidates))
		}
		for _, u := range got.ufrags {
			if strings.Contains(u, "\n") || !strings.Contains(text, "a=ice-ufrag:"+u) {
				t.Errorf("user name %q", u)
			}
		}
		for _, c := range got.candidates {
			if strings.Contains(c, "\n") || !strings.Contains(text, "a=candidate:"+c) {
				t.Errorf("candidate %q", c)
			}
		}
	})
}

func TestBusy(t *testing.T) {
	d := open(t, DefaultConfig(), rtc.DefaultConfig(), func(c *stream.Config) { c.MaxStreams = 1 })
	for i, want := range []int{201, 503} {
		res, body := d.do(t, "POST", fmt.Sprintf("/whip/s%d", i), offer("H264"), sdpType)
		if res.StatusCode != want {
			t.Fatalf("publication %d: %s %s", i, res.Status, body)
		}
		if want == 503 && res.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
}

func TestPublish(t *testing.T) {
	d := open(t, DefaultConfig(), rtc.DefaultConfig())
	var location string
	var reader *stream.Reader
	ready := make(chan struct{})
	exchange := func(_ context.Context, sdp string) (string, error) {
		res, body := d.do(t, "POST", "/whip/live%20show", sdp, sdpType)
		if res.StatusCode != 201 || res.Header.Get("Content-Type") != "application/sdp" || res.Header.Get("ETag") == "" {
			return "", fmt.Errorf("%s %v %s", res.Status, res.Header, body)
		}
		location = res.Header.Get("Location")
		src, ok := d.hub.Source("live show")
		if !ok {
			return "", fmt.Errorf("no stream for %s", location)
		}
		reader = src.NewReader(stream.ReaderConfig{Video: src.Video})
		close(ready)
		return body, nil
	}
	cfg := testkit.DefaultPublisherConfig()
	cfg.FPS = 100
	p := testkit.NewPublisher(cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	gone := make(chan error, 1)
	go func() { gone <- p.Run(ctx, exchange) }()
	select {
	case <-ready:
	case err := <-gone:
		t.Fatal(err)
	}
	frames := make([]media.Frame, 8)
	for next := int64(0); next < 50; {
		n, err := reader.Read(ctx, frames)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames[:n] {
			if number, _ := testkit.FrameNumber(f.Data); number != next {
				t.Fatalf("frame %d, want %d", number, next)
			}
			next++
		}
	}
	if res, _ := d.do(t, "DELETE", location, ""); res.StatusCode != 200 {
		t.Fatalf("delete: %s", res.Status)
	}
	if _, ok := d.hub.Source("live show"); ok {
		t.Error("the stream outlives its session")
	}
	if err := <-gone; err != testkit.ErrConnection {
		t.Errorf("publisher ended with %v", err)
	}
}

// A player plays from the offer to DELETE. It gets the numbered pictures of the publisher, beginning with a key frame.
func TestPlay(t *testing.T) {
	d := openFor(t, DefaultConfig(), rtc.DefaultConfig(), newDesk(t, map[string]*access.Principal{
		"watch": {Kind: access.Setting, Grants: may("*", access.Play)}, "send": {Kind: access.Setting, Grants: may("*", access.Publish)},
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	post := func(path string, headers ...string) testkit.Exchange {
		return func(_ context.Context, offer string) (string, error) {
			res, body := d.do(t, "POST", path, offer, append(headers, sdpType)...)
			if res.StatusCode != 201 {
				return "", fmt.Errorf("%s: %s %s", path, res.Status, body)
			}
			return body, nil
		}
	}
	publisher := testkit.DefaultPublisherConfig()
	publisher.FPS = 100
	wg.Go(func() { _ = testkit.NewPublisher(publisher).Run(ctx, post("/whip/show", "Authorization: Bearer send")) })

	// Nobody plays without the token, or plays a stream that does not exist.
	if res, _ := d.do(t, "POST", "/whep/show", offer("H264"), sdpType); res.StatusCode != 401 {
		t.Errorf("without a token: %s, want 401", res.Status)
	}
	const token = "Authorization: Bearer watch"
	if res, body := d.do(t, "POST", "/whep/nothing", offer("H264"), sdpType, token); res.StatusCode != 404 || !strings.Contains(body, "nobody publishes") {
		t.Errorf("a stream that is not there: %s %s, want 404", res.Status, body)
	}

	var location string
	player := testkit.NewPlayer(testkit.PlayerConfig{Video: true, Audio: true})
	ended := make(chan error, 1)
	wg.Go(func() {
		ended <- player.Run(ctx, func(_ context.Context, offer string) (string, error) {
			for {
				res, body := d.do(t, "POST", "/whep/show", offer, sdpType, token)
				if res.StatusCode == 404 && ctx.Err() == nil { // not published yet
					time.Sleep(5 * time.Millisecond)
					continue
				}
				if res.StatusCode != 201 || res.Header.Get("ETag") == "" {
					return "", fmt.Errorf("%s %s", res.Status, body)
				}
				location = res.Header.Get("Location")
				return body, nil
			}
		})
	})
	player.Wait(t, "pictures and sound", func() bool {
		return len(player.Frames("video")) > 50 && len(player.Frames("audio")) > 10
	})
	last := int64(-1)
	for _, f := range player.Frames("video") {
		number := int64(-1)
		for nal := range bytes.SplitSeq(f.Data, []byte{0, 0, 0, 1}) {
			if n, ok := testkit.FrameNumber(append(binary.BigEndian.AppendUint32(nil, uint32(len(nal))), nal...)); ok {
				number = n
			}
		}
		if last >= 0 && number != last+1 {
			t.Fatalf("picture %d after %d", number, last)
		}
		last = number
	}
	if res, _ := d.do(t, "DELETE", strings.Replace(location, "whep", "whip", 1), "", token); res.StatusCode != 404 {
		t.Errorf("a player's session among the publishers': %s, want 404", res.Status)
	}
	if res, _ := d.do(t, "DELETE", location, "", token); res.StatusCode != 200 {
		t.Errorf("delete: %s", res.Status)
	}
	if err := <-ended; err != testkit.ErrConnection {
		t.Errorf("the player ended with %v", err)
	}
	if _, ok := d.hub.Source("show"); !ok {
		t.Error("the stream ended with its player")
	}
}

// A player is told by server-sent events that its publisher is there, has left, and is back. The event stream ends with the session.
func TestEvents(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Hold = time.Second
	d := open(t, cfg, rtc.DefaultConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	publish := func() (leave func()) {
		t.Helper()
		p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
		own, stop := context.WithCancel(ctx)
		gone := make(chan struct{})
		wg.Go(func() {
			defer close(gone)
			_ = p.Run(own, func(_ context.Context, offer string) (string, error) {
				res, body := d.do(t, "POST", "/whip/show", offer, sdpType)
				if res.StatusCode != 201 {
					return "", fmt.Errorf("%s %s", res.Status, body)
				}
				return body, nil
			})
		})
		select {
		case <-p.Connected():
		case <-ctx.Done():
			t.Fatal("no connection")
		}
		return func() {
			stop()
			<-gone
		}
	}
	leave := publish()
	player := testkit.NewPlayer(testkit.PlayerConfig{Video: true, Audio: true})
	answered := make(chan *http.Response, 1)
	wg.Go(func() {
		_ = player.Run(ctx, func(_ context.Context, offer string) (string, error) {
			res, body := d.do(t, "POST", "/whep/show", offer, sdpType)
			answered <- res
			return body, nil
		})
	})
	res := <-answered
	session := res.Header.Get("Location")
	address, rest, _ := strings.Cut(strings.TrimPrefix(res.Header.Get("Link"), "<"), ">")
	if address != session+"/events" || !strings.Contains(rest, `rel="urn:ietf:params:whep:ext:core:server-sent-events"`) ||
		!strings.Contains(rest, `events="active,inactive"`) {
		t.Fatalf("Link is %q", res.Header.Get("Link"))
	}
	for body, want := range map[string]int{`["viewercount"]`: 400, `{}`: 400, `["inactive"]`: 201} {
		if res, _ := d.do(t, "POST", address, body, "Content-Type: application/json"); res.StatusCode != want {
			t.Errorf("subscribe to %s: %s, want %d", body, res.Status, want)
		}
	}
	res, _ = d.do(t, "POST", address, "")
	stream := res.Header.Get("Location")
	if res.StatusCode != 201 || !strings.HasPrefix(stream, address+"/") {
		t.Fatalf("subscribe: %s, at %q", res.Status, stream)
	}
	req, err := http.NewRequestWithContext(ctx, "GET", d.url+stream, nil)
	if err != nil {
		t.Fatal(err)
	}
	events, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	if got := events.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("events are %s", got)
	}
	lines := bufio.NewScanner(events.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				if name != want {
					t.Fatalf("event %q, want %q", name, want)
				}
				return
			}
		}
		t.Fatalf("the events end before %q: %v", want, lines.Err())
	}
	next("active")
	leave()
	next("inactive")
	leave = publish()
	next("active")
	leave()
	next("inactive")
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "event") {
			t.Errorf("%q after the end", lines.Text())
		}
	}
	for _, path := range []string{session, stream} {
		if res, _ := d.do(t, "GET", path, ""); res.StatusCode != 404 {
			t.Errorf("%s after the end: %s, want 404", path, res.Status)
		}
	}
}

// A session may have only a few event streams, and each of them may be deleted.
func TestEventStreams(t *testing.T) {
	d := open(t, DefaultConfig(), rtc.DefaultConfig())
	if res, body := d.do(t, "POST", "/whip/show", offer("H264"), sdpType); res.StatusCode != 201 {
		t.Fatalf("publish: %s %s", res.Status, body)
	}
	res, body := d.do(t, "POST", "/whep/show", strings.Replace(offer("H264"), "sendonly", "recvonly", 1), sdpType)
	if res.StatusCode != 201 {
		t.Fatalf("play: %s %s", res.Status, body)
	}
	events := res.Header.Get("Location") + "/events"
	for i := range maxEventStreams + 1 {
		want := map[bool]int{true: 201, false: 429}[i < maxEventStreams]
		if res, _ = d.do(t, "POST", events, ""); res.StatusCode != want {
			t.Errorf("stream %d: %s, want %d", i, res.Status, want)
		}
		if want == 201 {
			defer func(stream string) {
				for _, want := range []int{200, 404} {
					if res, _ := d.do(t, "DELETE", stream, ""); res.StatusCode != want {
						t.Errorf("delete: %s, want %d", res.Status, want)
					}
				}
			}(res.Header.Get("Location"))
		}
	}
	for method, want := range map[string]int{"OPTIONS": 204, "GET": 405} {
		if res, _ := d.do(t, method, events, ""); res.StatusCode != want || !strings.Contains(res.Header.Get("Allow"), "POST") {
			t.Errorf("%s: %s, allowed are %s", method, res.Status, res.Header.Get("Allow"))
		}
	}
}

// The id that REST shows does not end a session: only the client that published knows the id that does.
func TestSessionIsSecret(t *testing.T) {
	d := open(t, DefaultConfig(), rtc.DefaultConfig())
	res, _ := d.do(t, "POST", "/whip/mine", offer("H264"), sdpType)
	src, ok := d.hub.Source("mine")
	if res.StatusCode != 201 || !ok {
		t.Fatalf("publish: %s", res.Status)
	}
	info := src.Info()
	for _, id := range []string{info.ID, info.SessionID} {
		if id == "" || strings.Contains(res.Header.Get("Location"), id) {
			t.Errorf("id %q is told to everybody, and is in the address %s", id, res.Header.Get("Location"))
		}
		if res, _ := d.do(t, "DELETE", "/whip/mine/"+id, ""); res.StatusCode != 404 {
			t.Errorf("a stranger's DELETE with it is answered %s", res.Status)
		}
	}
	if res, _ := d.do(t, "DELETE", res.Header.Get("Location"), ""); res.StatusCode != 200 {
		t.Errorf("the client's own DELETE is answered %s", res.Status)
	}
}
