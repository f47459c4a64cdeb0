//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

const silentSockets = 10_000

// Ten thousand sockets say nothing, half of them after they have become WebSockets, as far as there is room. The server ends them,
// and a browser that publishes over the same port loses no frame and is answered all the time.
func TestSilentSockets(t *testing.T) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if files.Cur < silentSockets+1000 {
		t.Skipf("a process may have %d files open here, too few for %d sockets", files.Cur, silentSockets)
	}
	s := startServer(t, "log_level=info", "ws_max_sessions=3000")
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	page := connect(t, s)
	publishSDK(t, page, "steady", receiver.URL("live"))
	receiver.Wait(t, "media", func() bool { return len(frameNumbers(receiver.Tags())) > 0 })

	begun := time.Now()
	var crowd sync.WaitGroup
	var refused, ended atomic.Int64
	dialing := make(chan struct{}, 64)
	for i := range silentSockets {
		crowd.Go(func() {
			dialing <- struct{}{}
			conn, taken, err := silent(s, i%2 == 0)
			<-dialing
			if err != nil {
				t.Errorf("socket %d: %v", i, err)
				return
			}
			defer conn.Close()
			if !taken {
				refused.Add(1)
				return
			}
			// Whoever says nothing is sent away; what the server says before that does not matter.
			conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("socket %d is still open", i)
				return
			}
			ended.Add(1)
		})
	}
	gone := make(chan struct{})
	go func() {
		crowd.Wait()
		close(gone)
	}()
	var slowest time.Duration
	for over := false; !over; {
		asked := time.Now()
		page.send("availableStream", map[string]string{"mediaSessionId": "x", "name": "steady"})
		page.await("availableStream")
		slowest = max(slowest, time.Since(asked))
		select {
		case <-gone:
			over = true
		case <-time.After(200 * time.Millisecond):
		}
	}
	t.Logf("%d sockets ended and %d refused after %v; the slowest answer to the page took %v",
		ended.Load(), refused.Load(), time.Since(begun).Round(time.Millisecond), slowest.Round(time.Millisecond))
	if refused.Load() == 0 || ended.Load() < silentSockets/2 {
		t.Errorf("%d sockets were refused and %d ended, want some and at least half of %d", refused.Load(), ended.Load(), silentSockets)
	}

	numbers := frameNumbers(receiver.Tags())
	for i, n := range numbers {
		if n != numbers[0]+int64(i) {
			t.Fatalf("frame %d arrives where %d is due", n, numbers[0]+int64(i))
		}
	}
	receiver.Wait(t, "frames after it all", func() bool { return len(frameNumbers(receiver.Tags())) > len(numbers)+30 })
	connect(t, s) // there is room again
}

// silent opens a socket that says nothing, or asks for a WebSocket first and says nothing then. One that was refused is closed.
func silent(s *server, upgrade bool) (conn net.Conn, taken bool, err error) {
	u, err := url.Parse(s.socket)
	if err != nil {
		return nil, false, err
	}
	dialer := net.Dialer{Timeout: 30 * time.Second}
	if conn, err = dialer.Dial("tcp", net.JoinHostPort("127.0.0.1", u.Port())); err != nil || !upgrade {
		return conn, true, err
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", u.Host)
	if err != nil {
		return conn, false, err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil {
		return conn, false, err
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusSwitchingProtocols:
		return conn, true, nil
	case http.StatusServiceUnavailable:
		return conn, false, nil
	default:
		return conn, false, errors.New(resp.Status)
	}
}

// publishSDK publishes known frames by the SDK's signalling, and has them pushed, until the test ends. It returns when the stream is live.
func publishSDK(t *testing.T, page *sdk, name, rtmpURL string) {
	t.Helper()
	p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	answered := make(chan string, 1)
	offered := make(chan string, 1)
	go func() {
		ended <- p.Run(ctx, func(ctx context.Context, offer string) (string, error) {
			offered <- offer
			select {
			case answer := <-answered:
				return answer, nil
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	page.publish("id-"+name, name, <-offered, rtmpURL)
	var answer string
	if err := json.Unmarshal(page.await("setRemoteSDP")[1], &answer); err != nil {
		t.Fatal(err)
	}
	answered <- answer
	if st := page.status(); st.Status != "PUBLISHING" {
		t.Fatalf("the stream is %+v", st)
	}
}
