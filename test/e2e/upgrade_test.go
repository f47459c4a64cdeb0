//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// knocking are clients that connect to the ports of a server again and again.
type knocking struct {
	stop func()

	mu       sync.Mutex
	answered int     // guarded by mu; requests to the HTTP port
	faults   []error // guarded by mu
}

// knock has clients connect to all TCP ports of a server, several at a time.
func knock(t *testing.T, s *server) *knocking {
	k := &knocking{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	again := func(do func() error) {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := do(); err != nil {
					k.mu.Lock()
					k.faults = append(k.faults, err)
					k.mu.Unlock()
				}
				select { // a client a few milliseconds after the other
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	for range 2 {
		again(func() error {
			resp, err := client.Get(s.page + "health/live")
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err == nil && resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
			k.mu.Lock()
			k.answered++
			k.mu.Unlock()
			return err
		})
	}
	for _, address := range []string{s.socket, s.rtmp} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		again(func() error {
			conn, err := net.DialTimeout("tcp", u.Host, 20*time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
	k.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(k.stop)
	return k
}

// count returns how many requests were answered.
func (k *knocking) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.answered
}

// wantMore waits until further requests were answered.
func (k *knocking) wantMore(t *testing.T) {
	t.Helper()
	before := k.count()
	testkit.Eventually(t, 30*time.Second, func() string {
		if n := k.count() - before; n < 20 {
			return fmt.Sprintf("%d further requests were answered", n)
		}
		return ""
	})
}

// wantLog waits until the log of a server has some words.
func (s *server) wantLog(words string) {
	s.t.Helper()
	testkit.Eventually(s.t, 30*time.Second, func() string {
		if !strings.Contains(s.log.String(), words) {
			return fmt.Sprintf("the log does not say %q", words)
		}
		return ""
	})
}

// wantExit waits until a server ends, by itself or killed.
func (s *server) wantExit(wanted string) {
	s.t.Helper()
	select {
	case err := <-s.exited:
		s.stopOnce.Do(func() {})
		got := "ok"
		if err != nil {
			got = err.Error()
		}
		if got != wanted {
			s.t.Errorf("the server ended with %s, want %s\n%s", got, wanted, s.log.String())
		}
	case <-time.After(30 * time.Second):
		s.t.Fatalf("the server does not end\n%s", s.log.String())
	}
}

// whoServes returns the process that answers at the HTTP port of s, by the name that it gives itself.
func whoServes(t *testing.T, s *server) string {
	t.Helper()
	var state struct{ NodeID string }
	if code := s.post("/node/resume", struct{}{}, &state); code != http.StatusOK || state.NodeID == "" {
		t.Fatalf("/node/resume answers %d, %+v", code, state)
	}
	return state.NodeID
}

// TestUpgrade: a second server with the same settings takes over from the first. No connect is refused, no request fails, the publisher is
// told, and the first ends well. Then the second starts a third itself.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	old := startServer(t)
	clients := knock(t, old)
	clients.wantMore(t)
	first := whoServes(t, old)

	p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	left := make(chan error, 1)
	go func() { left <- p.Run(t.Context(), old.exchange("told")) }()
	select {
	case <-p.Connected():
	case err := <-left:
		t.Fatal("publish:", err)
	}

	next := startServerAt(t, old.dir, nil)
	old.wantExit("ok")
	if next.page != old.page || next.socket != old.socket || next.rtmp != old.rtmp {
		t.Errorf("the second serves %s %s %s, the first served %s %s %s", next.page, next.socket, next.rtmp, old.page, old.socket, old.rtmp)
	}
	second := whoServes(t, next)
	if second == first {
		t.Error("the first still serves")
	}
	clients.wantMore(t)
	select {
	case err := <-left:
		if !errors.Is(err, testkit.ErrConnection) {
			t.Errorf("the publisher ends with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the publisher was not told")
	}
	again, leave := publish(t, next, "told", testkit.DefaultPublisherConfig()) // over the same media port
	if again.Sent() < 0 {
		t.Error("nothing was sent")
	}
	leave()

	if err := next.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	next.wantLog(`msg="handed over"`)
	_, text, _ := strings.Cut(next.log.String(), `msg="process started that takes over"`)
	_, text, _ = strings.Cut(text, "pid=")
	text, _, _ = strings.Cut(text, "\n")
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if whoServes(t, next) == second {
		t.Error("the second still serves")
	}
	clients.wantMore(t)
	clients.stop()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error("end the third:", err)
	}
	next.wantExit("ok") // its output ends with the third's
	for _, err := range clients.faults {
		t.Error("while processes took over:", err)
	}
}

// TestUpgradeFails: whatever happens to one of the two processes, the other one serves on the same ports.
func TestUpgradeFails(t *testing.T) {
	t.Parallel()
	old := startServer(t, "drain_ms=600000")
	clients := knock(t, old)
	clients.wantMore(t)
	first := whoServes(t, old)

	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := newServerAt(t, old.dir, nil, "https.port="+strconv.Itoa(taken.Addr().(*net.TCPAddr).Port))
	bad.wantExit("exit status 1")
	if !strings.Contains(bad.log.String(), "is in use") {
		t.Errorf("it does not say why:\n%s", bad.log.String())
	}
	old.wantLog("this one goes on")

	// The new one is killed while it waits for the streams of the old one.
	_, leave := publish(t, old, "long", testkit.DefaultPublisherConfig())
	waits := newServerAt(t, old.dir, nil)
	waits.wantLog("waits for its streams to end")
	publishWHIP(t, old, "meanwhile") // is let in
	kill(t, waits)
	old.wantLog("draining was taken back")
	if got := whoServes(t, old); got != first {
		t.Errorf("%s serves, want %s", got, first)
	}
	resp, err := http.Get(old.page + "health/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the old one is not ready: %s", resp.Status)
	}

	// The new one hangs when the old one has ended its work, and is killed: the old one executes itself again.
	hangs := newServerAt(t, old.dir, nil)
	hangs.wantLog("waits for its streams to end")
	signal(t, hangs, syscall.SIGSTOP)
	signal(t, old, syscall.SIGTERM) // who does not want to wait
	old.wantLog("msg=stopping")
	kill(t, hangs)
	old.wantLog("this version starts again")
	var second string
	testkit.Eventually(t, 30*time.Second, func() string {
		if second = whoServes(t, old); second == first {
			return "the first image still serves"
		}
		return ""
	})
	leave()

	// The old one is killed while the new one waits.
	publishWHIP(t, old, "long")
	last := newServerAt(t, old.dir, nil)
	last.wantLog("waits for its streams to end")
	kill(t, old)
	last.awaitReady()
	if got := whoServes(t, last); got == second || last.page != old.page {
		t.Errorf("%s serves at %s, after %s at %s", got, last.page, second, old.page)
	}
	clients.wantMore(t)
}

func signal(t *testing.T, s *server, what os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(what); err != nil {
		t.Fatal(err)
	}
}

// kill ends a server at once.
func kill(t *testing.T, s *server) {
	t.Helper()
	signal(t, s, syscall.SIGKILL)
	s.wantExit("signal: killed")
}

// TestDrainTime: with drain_ms the server goes on until its last stream ends, and refuses new ones; a second signal ends it at once.
func TestDrainTime(t *testing.T) {
	t.Parallel()
	s := startServer(t, "drain_ms=600000")
	publishWHIP(t, s, "long")
	signal(t, s, syscall.SIGTERM)
	s.wantLog("msg=draining")
	resp, err := http.Get(s.page + "health/ready")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.HasPrefix(string(body), "draining for 10m0s at most") {
		t.Errorf("/health/ready answers %s %s", resp.Status, body)
	}
	if n := s.metric(t, "transponder_cluster_drain_remaining_seconds", ""); n < 1 || n > 600 {
		t.Errorf("%v seconds remain, want up to 600", n)
	}
	p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	if err := p.Run(t.Context(), s.exchange("late")); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a late publisher: %v, want 503", err)
	}
	if code := s.post("/node/resume", struct{}{}, nil); code != http.StatusConflict {
		t.Errorf("a signal was taken back: %d", code)
	}
	begun := time.Now()
	signal(t, s, syscall.SIGTERM)
	s.wantExit("ok")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the second signal ended the server after %v", took)
	}

	s = startServer(t)
	_, leave := publish(t, s, "short", testkit.DefaultPublisherConfig())
	var state struct {
		State    string
		FinishMs int64
		Streams  int
	}
	if code := s.post("/node/drain", map[string]int{"finishMs": 60000}, &state); code != http.StatusOK || state.State != "DRAINING" || state.Streams != 1 || state.FinishMs > 60000 {
		t.Errorf("drain answers %d, %+v", code, state)
	}
	leave()
	s.wantExit("ok")
}
