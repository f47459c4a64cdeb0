//go:build e2e

package e2e

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// evil is an RTMP server that greets as usual, and then sends the same bytes again and again, and reads or does not read.
type evil struct {
	name   string
	says   []byte
	often  bool // for ever; otherwise once
	reads  bool
	greets bool // makes the handshake
}

// chunks returns one chunk for each of some chunk streams. Each begins a message of a kind and a length that its chunk does not fill.
func chunks(kind byte, length, streams int) []byte {
	var b bytes.Buffer
	b.Write([]byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff}) // the largest size of chunks
	for i := range streams {
		b.Write([]byte{0, byte(i), 0, 0, 0, byte(length >> 16), byte(length >> 8), byte(length), kind, 1, 0, 0, 0})
		b.Write(make([]byte, min(length-1, 1000)))
	}
	return b.Bytes()
}

// serve serves connections until the test ends.
func (e evil) serve(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				if e.greets {
					hello := make([]byte, 1537)
					if _, err := io.ReadFull(c, hello); err != nil {
						return
					}
					if _, err := c.Write(append(append([]byte{3}, make([]byte, 1536)...), hello[1:]...)); err != nil {
						return
					}
				}
				if e.reads {
					wg.Go(func() { _, _ = io.Copy(io.Discard, c) })
				}
				for {
					if _, err := c.Write(e.says); err != nil {
						return
					}
					if !e.often {
						_, _ = io.Copy(io.Discard, c) // until the other side has had enough
						return
					}
				}
			})
		}
	})
	return "rtmp://" + l.Addr().String() + "/live/key"
}

// TestAttacksOfDestinations: whatever a destination sends, it fails its own push and no other one. The server needs little memory for it, no
// word of it comes into a line of its own of the log, and no push is sent on to where it may not go.
func TestAttacksOfDestinations(t *testing.T) {
	t.Parallel()
	s := startServer(t, "rtmp_push_failed_keep_ms=60000", "push_deny=10.0.0.0/8")
	publishWHIP(t, s, "show")
	friendly := testkit.NewRTMPServer(t, testkit.Script{})
	start := func(address string) {
		t.Helper()
		if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": address, "rtmpTransponderFullUrl": true}, nil); code != http.StatusOK {
			t.Fatalf("%s: %d", address, code)
		}
	}
	start(friendly.URL("live/show"))
	friendly.Wait(t, "media", func() bool { return len(friendly.Tags()) > 30 })
	before := memoryOf(t, s)

	const script = "<script>alert(1)</script>\ntime=2026-01-01T00:00:00Z level=ERROR msg=FORGED \u202e"
	var all []string
	for _, e := range []evil{
		{"something else", []byte("HTTP/1.1 200 OK\r\n\r\n" + script), true, true, false},
		{"nonsense", bytes.Repeat([]byte{0xff, 0x00, 0x83}, 1000), true, true, true},
		{"many messages that never end", chunks(20, 200_000, 120), true, true, true},
		{"messages of 16 MB", chunks(9, 0xffffff, 60), true, true, true},
		{"a chunk size of 0", []byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0}, true, true, true},
		{"nested objects", append([]byte{3, 0, 0, 0, 0, 0x0f, 0xff, 20, 0, 0, 0, 0}, bytes.Repeat([]byte{3, 0, 1, 'a'}, 4000)...), true, true, true},
		{"pings for ever, and reads nothing", []byte{2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1}, true, false, true},
		{"greets and is silent", nil, false, true, true},
	} {
		address := e.serve(t)
		all = append(all, address)
		start(address)
	}
	for _, misdeed := range []testkit.Script{
		{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.Rejected", Description: strings.Repeat(script, 50)},
		{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied" + script, Description: script},
		{At: "connect", Do: testkit.SendElsewhere, Code: "NetConnection.Connect.Rejected", NewURL: "rtmp://169.254.169.254/" + url.PathEscape(script)},
		{At: "publish", Do: testkit.SendElsewhere, Code: "NetConnection.Connect.Rejected", NewURL: "rtmp://10.0.0.1/live"},
		{At: "connect", Do: testkit.SendElsewhere, Code: "NetConnection.Connect.Rejected", NewURL: "rtmp://10.0.0.1/" + strings.Repeat("long", 3000)},
		{At: "media", Do: testkit.AskReconnect, NewURL: "rtmp://10.0.0.1/live"},
		{At: "media", Do: testkit.StopReading},
	} {
		address := testkit.NewRTMPServer(t, misdeed).URL("live/key")
		all = append(all, address)
		start(address)
	}

	from := len(friendly.Tags())
	testkit.Eventually(t, 40*time.Second, func() string {
		var found []push
		s.post("/push/find_all", map[string]any{"empty": true}, &found)
		failed := 0
		for _, p := range found {
			if len(p.Info) > 300 || strings.ContainsAny(p.Info, "<\n\u202e") {
				t.Fatalf("the push says %q", p.Info)
			}
			if p.Status == "FAILED" {
				failed++
			}
		}
		// The two of media go on as long as their server lets them; whoever is only silent has its time.
		if want := len(all) - 3; failed < want {
			return "not all of the bad ones have failed"
		}
		return ""
	})
	friendly.Wait(t, "further media", func() bool { return len(friendly.Tags()) > from+60 })
	if p := s.waitPush("show", "PUBLISHING"); p.Attempts > 1 {
		t.Errorf("the push to the good server was interrupted: %+v", p)
	}
	if grown := memoryOf(t, s) - before; grown > 64<<20 {
		t.Errorf("the bad servers cost %d MB", grown>>20)
	} else {
		t.Logf("%d bad servers cost %d kB", len(all), grown>>10)
	}
	for line := range strings.Lines(s.log.String()) {
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, "\u202e") || strings.HasPrefix(line, "time=2026-01-01T00:00:00Z") {
			t.Errorf("a line of the log: %q", line)
		}
	}
	resp, err := http.Get(s.rest + "/push/history")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || bytes.Contains(text, []byte("<script")) {
		t.Errorf("the history repeats what a server said: %v %s", err, text)
	}
}
