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
	"os/exec"
	"path/filepath"
	"slices"
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
	hosts := []string{}
	if s.sipPort != "" {
		hosts = append(hosts, "127.0.0.1:"+s.sipPort)
	}
	for _, address := range []string{s.socket, s.rtmp} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, u.Host)
	}
	for _, host := range hosts {
		again(func() error {
			conn, err := net.DialTimeout("tcp", host, 20*time.Second)
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
	sip := []string{"sip_port=" + strconv.Itoa(testkit.FreePorts(t, 2)), "sip_incoming_allow=127.0.0.1"}
	old := startServer(t, sip...)
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

	next := startServerAt(t, old.dir, nil, sip...)
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
	askSIP(t, "127.0.0.1:"+next.sipPort)
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

// askSIP sends OPTIONS in a datagram, and waits for the answer.
func askSIP(t *testing.T, address string) {
	t.Helper()
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	own := c.LocalAddr().String()
	request := strings.Join([]string{
		"OPTIONS sip:" + address + " SIP/2.0", "Via: SIP/2.0/UDP " + own + ";branch=z9hG4bK-asked;rport", "Max-Forwards: 70",
		"From: <sip:test@" + own + ">;tag=1", "To: <sip:" + address + ">", "Call-ID: asked@" + own, "CSeq: 1 OPTIONS", "Content-Length: 0", "", "",
	}, "\r\n")
	testkit.Eventually(t, 10*time.Second, func() string {
		if _, err := io.WriteString(c, request); err != nil {
			return err.Error()
		}
		answer := make([]byte, 2048)
		c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := c.Read(answer)
		if err != nil {
			return err.Error()
		}
		if !strings.HasPrefix(string(answer[:n]), "SIP/2.0 200") {
			return fmt.Sprintf("OPTIONS is answered with %q", answer[:n])
		}
		return ""
	})
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

// manager does what systemd does for a service: it hears of its state, and keeps its sockets.
type manager struct {
	mu    sync.Mutex
	said  []string              // guarded by mu
	files map[string][]*os.File // guarded by mu
}

// newManager listens at a socket until the test ends.
func newManager(t *testing.T) (m *manager, address string) {
	t.Helper()
	address = filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m = &manager{files: map[string][]*os.File{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			b, rights := make([]byte, 4096), make([]byte, 256)
			n, rn, _, _, err := c.ReadMsgUnix(b, rights)
			if err != nil {
				return
			}
			m.take(string(b[:n]), rights[:rn])
		}
	}()
	t.Cleanup(func() { c.Close(); <-ended })
	return m, address
}

func (m *manager) take(text string, rights []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, text)
	_, name, _ := strings.Cut(text, "FDNAME=")
	if strings.Contains(text, "FDSTOREREMOVE=1") {
		for _, f := range m.files[name] {
			f.Close()
		}
		delete(m.files, name)
	}
	messages, _ := syscall.ParseSocketControlMessage(rights)
	for _, r := range messages {
		fds, _ := syscall.ParseUnixRights(&r)
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			m.files[name] = append(m.files[name], os.NewFile(uintptr(fd), name))
		}
	}
}

// wantSaid waits until the service has said something.
func (m *manager) wantSaid(t *testing.T, words string) {
	t.Helper()
	testkit.Eventually(t, 30*time.Second, func() string {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !slices.ContainsFunc(m.said, func(s string) bool { return strings.Contains(s, words) }) {
			return fmt.Sprintf("the manager was told %q, not %q", m.said, words)
		}
		return ""
	})
}

// TestUpgradeByRestart: a service manager that keeps the sockets, as systemd does for "restart", lets connections wait while no server runs.
func TestUpgradeByRestart(t *testing.T) {
	t.Parallel()
	m, address := newManager(t)
	environment := []string{"NOTIFY_SOCKET=" + address}
	old := startServerAt(t, t.TempDir(), environment)
	m.wantSaid(t, "READY=1")
	m.wantSaid(t, fmt.Sprintf("MAINPID=%d", old.cmd.Process.Pid))
	first := whoServes(t, old)
	signal(t, old, syscall.SIGTERM)
	old.wantExit("ok")
	m.wantSaid(t, "STOPPING=1")

	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get(old.page + "health/live")
		if err == nil {
			resp.Body.Close()
		}
		answered <- err
	}()
	next := buildServerAt(t, old.dir, environment)
	var names []string
	m.mu.Lock()
	kept := m.files
	m.files = map[string][]*os.File{}
	m.mu.Unlock()
	for name, files := range kept {
		for _, f := range files {
			names = append(names, name)
			next.cmd.ExtraFiles = append(next.cmd.ExtraFiles, f)
			defer f.Close()
		}
	}
	if n := len(names); n < 6 || slices.Contains(names, "state_dir") {
		t.Errorf("the manager has %q", names)
	}
	next.cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, serverBinary}, next.cmd.Args[1:]...)
	next.cmd.Path = "/bin/sh"
	next.cmd.Env = append(next.cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	next.launch()
	next.awaitReady()
	if err := <-answered; err != nil {
		t.Error("a client that came while no server ran:", err)
	}
	if next.page != old.page || next.socket != old.socket || next.rtmp != old.rtmp || whoServes(t, next) == first {
		t.Errorf("the second serves %s %s %s, the first served %s %s %s", next.page, next.socket, next.rtmp, old.page, old.socket, old.rtmp)
	}
	publishWHIP(t, next, "after")
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

// keepPublishing publishes a stream until the test ends, and connects again at once whenever the connection ends.
func keepPublishing(t *testing.T, s *server, name string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	connected, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		first := sync.OnceFunc(func() { close(connected) })
		for ctx.Err() == nil {
			p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
			stop := make(chan struct{})
			go func() {
				select {
				case <-p.Connected():
					first()
				case <-stop:
				}
			}()
			err := p.Run(ctx, s.exchange(name))
			close(stop)
			if ctx.Err() == nil && !errors.Is(err, testkit.ErrConnection) {
				t.Logf("%s: %v", name, err)
				time.Sleep(20 * time.Millisecond) // no faster than a client would
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-connected:
	case <-time.After(60 * time.Second):
		t.Fatalf("%s is not connected", name)
	}
}

// gaps returns for how long a receiver got no picture between two connections, and how far its time went on meanwhile. ok is false while there is
// no picture of connection n.
func gaps(r *testkit.RTMPServer, n int) (wall, media []time.Duration, ok bool) {
	var last testkit.Tag
	for _, tag := range r.Tags() {
		if !tag.Video || tag.Header {
			continue
		}
		if tag.Connection > last.Connection && last.Connection > 0 {
			wall, media = append(wall, tag.At.Sub(last.At)), append(media, tag.Time-last.Time)
		}
		last = tag
	}
	return wall, media, last.Connection >= n
}

// TestLongUpgradeUnderLoad: 20 streams are pushed, and the server is upgraded under them three times: well, with the new process killed in the middle,
// and with the old one killed. Each destination sees one gap each time, its time only grows, the pushes keep their ids, and no connect is refused.
func TestLongUpgradeUnderLoad(t *testing.T) {
	const streams = 20
	settings := []string{"log_level=info", "drain_ms=600000"}
	old := startServer(t, settings...)
	clients := knock(t, old)
	var receivers []*testkit.RTMPServer
	var ids []string
	name := func(i int) string { return fmt.Sprintf("cam-%d", i) }
	for i := range streams {
		r := testkit.NewRTMPServer(t, testkit.Script{})
		receivers = append(receivers, r)
		keepPublishing(t, old, name(i))
		var p push
		if code := old.post("/push/startup", map[string]any{"streamName": name(i), "rtmpUrl": r.URL("live/key")}, &p); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
		ids = append(ids, p.MediaSessionID)
	}
	// wantResumed waits until each destination gets pictures over its n-th connection.
	wantResumed := func(what string, n int) {
		t.Helper()
		var all []time.Duration
		for i, r := range receivers {
			testkit.Eventually(t, 60*time.Second, func() string {
				wall, media, ok := gaps(r, n)
				if !ok || len(wall) != n-1 {
					return fmt.Sprintf("%s: destination %d has %d gaps, and no picture over connection %d", what, i, len(wall), n)
				}
				if n > 1 {
					all = append(all, wall[n-2])
					if media[n-2] <= 0 || (media[n-2]-wall[n-2]).Abs() > 500*time.Millisecond {
						t.Errorf("%s: the time of destination %d goes on by %v over a gap of %v", what, i, media[n-2], wall[n-2])
					}
				}
				return ""
			})
		}
		slices.Sort(all)
		if n > 1 {
			t.Logf("%s: gaps from %v to %v, half of them up to %v", what, all[0], all[len(all)-1], all[len(all)/2])
		}
	}
	wantResumed("before", 1)

	next := newServerAt(t, old.dir, nil, settings...)
	next.wantLog("waits for its streams to end")
	signal(t, old, syscall.SIGTERM) // who does not want to wait
	old.wantExit("ok")
	wantResumed("upgrade", 2)
	for i, id := range ids {
		if p := next.waitPush(name(i), "PUBLISHING"); p.MediaSessionID != id || p.Attempts != 2 {
			t.Errorf("the push of %s is %s with %d attempts, was %s", name(i), p.MediaSessionID, p.Attempts, id)
		}
	}

	hangs := newServerAt(t, old.dir, nil, settings...)
	hangs.wantLog("waits for its streams to end")
	signal(t, hangs, syscall.SIGSTOP)
	signal(t, next, syscall.SIGTERM)
	next.wantLog("msg=stopping")
	kill(t, hangs)
	next.wantLog("this version starts again")
	wantResumed("the new one killed", 3)

	last := newServerAt(t, old.dir, nil, settings...)
	last.wantLog("waits for its streams to end")
	kill(t, next)
	last.awaitReady()
	wantResumed("the old one killed", 4)
	for i, id := range ids {
		if p := last.waitPush(name(i), "PUBLISHING"); p.MediaSessionID != id {
			t.Errorf("the push of %s is %s, was %s", name(i), p.MediaSessionID, id)
		}
	}
	last.post("/node/drain", map[string]int{"finishMs": 0}, nil)
	last.wantExit("ok")
	clients.stop()
	for _, err := range clients.faults {
		t.Log("a client:", err) // a process that is killed resets what it had accepted
	}
}

// buildVersion builds the server with another version, at a path.
func buildVersion(t *testing.T, path, version string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-ldflags", "-X main.version="+version, "-o", path, "./cmd/transponder")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build version %s: %v\n%s", version, err, out)
	}
}

// wantMain waits until the service has named a main process other than before, and said after that that it is ready. It returns the process.
func (m *manager) wantMain(t *testing.T, before int) (pid int) {
	t.Helper()
	testkit.Eventually(t, 60*time.Second, func() string {
		m.mu.Lock()
		defer m.mu.Unlock()
		pid = before
		ready := false
		for _, text := range m.said {
			for line := range strings.Lines(text) {
				line = strings.TrimSpace(line)
				if value, ok := strings.CutPrefix(line, "MAINPID="); ok {
					if named, err := strconv.Atoi(value); err == nil && named != pid {
						pid, ready = named, false
					}
				}
				ready = ready || line == "READY=1"
			}
		}
		if pid == before || !ready {
			return fmt.Sprintf("the main process is %d, ready %v; the manager was told %q", pid, ready, m.said)
		}
		return ""
	})
	return pid
}

// nodeOf returns the process that has a stream, by the name that it gives itself.
func nodeOf(t *testing.T, s *server, stream string) string {
	t.Helper()
	var found []struct{ NodeID string }
	testkit.Eventually(t, 15*time.Second, func() string {
		if code := s.post("/stream/find", map[string]any{"name": stream, "published": true}, &found); code != http.StatusOK || len(found) != 1 {
			return fmt.Sprintf("find answers %d, %v", code, found)
		}
		return ""
	})
	return found[0].NodeID
}

// TestLongUpgradeOfVersions: a service manager starts version 1, and reloads after version 2 has come to the same path, as "systemctl reload" does. A
// version that does not start changes nothing. Version 1 serves while its show goes on, and takes another one, until drain_ms are over. The manager
// is told of each step, a push has one gap, and version 3 takes over in the same way.
func TestLongUpgradeOfVersions(t *testing.T) {
	const drain = 8 * time.Second
	m, address := newManager(t)
	program := filepath.Join(t.TempDir(), "transponder")
	versions := t.TempDir()
	for _, v := range []string{"1.0.0", "2.0.0", "3.0.0"} {
		buildVersion(t, filepath.Join(versions, v), v)
	}
	install := func(version string) { // as an installer does: the old file stays where it is used
		t.Helper()
		if err := os.Rename(filepath.Join(versions, version), program); err != nil {
			t.Fatal(err)
		}
	}
	install("1.0.0")
	s := buildServerAt(t, t.TempDir(), []string{"NOTIFY_SOCKET=" + address}, fmt.Sprintf("drain_ms=%d", drain.Milliseconds()))
	s.cmd.Path, s.cmd.Args[0] = program, program
	s.launch()
	s.awaitReady()
	main := m.wantMain(t, 0)
	if main != s.cmd.Process.Pid {
		t.Errorf("the main process is %d, want %d", main, s.cmd.Process.Pid)
	}
	ended := false
	t.Cleanup(func() { // the last version is no child of the test
		if !ended {
			syscall.Kill(main, syscall.SIGKILL)
		}
	})
	clients := knock(t, s)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	keepPublishing(t, s, "show")
	var begun push
	if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": receiver.URL("live/key")}, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitFrames("show", 30)
	reload := func() { // ExecReload=/bin/kill -USR2 $MAINPID
		t.Helper()
		if err := syscall.Kill(main, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.WriteFile(filepath.Join(versions, "broken"), []byte("#!/bin/sh\necho broken\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	install("broken")
	reload()
	s.wantLog("no process takes over")
	first := nodeOf(t, s, "show")

	for n, version := range []string{"2.0.0", "3.0.0"} {
		install(version)
		asked := time.Now()
		reload()
		m.wantSaid(t, "STATUS=draining")
		m.wantSaid(t, "EXTEND_TIMEOUT_USEC=")
		meanwhile := fmt.Sprintf("meanwhile-%d", n)
		_, leave := publish(t, s, meanwhile, testkit.DefaultPublisherConfig()) // is let in by the version that still serves
		if got := nodeOf(t, s, "show"); got != first {
			t.Errorf("%s serves while %s waits, want %s", got, version, first)
		}
		leave()
		next := m.wantMain(t, main)
		if took := time.Since(asked); took < drain {
			t.Errorf("version %s took over after %v, and the show was to go on for %v", version, took, drain)
		}
		main = next
		testkit.Eventually(t, 30*time.Second, func() string {
			if _, media, ok := gaps(receiver, n+2); !ok || len(media) != n+1 {
				return fmt.Sprintf("the destination has %d gaps", len(media))
			}
			return ""
		})
		p := s.waitPush("show", "PUBLISHING")
		if p.MediaSessionID != begun.MediaSessionID {
			t.Errorf("the push is %s, was %s", p.MediaSessionID, begun.MediaSessionID)
		}
		again := nodeOf(t, s, "show")
		if again == first {
			t.Errorf("%s does not serve", version)
		}
		first = again
		if log := s.log.String(); !strings.Contains(log, "version="+version) {
			t.Errorf("the log does not name version %s", version)
		}
	}
	wall, media, _ := gaps(receiver, 3)
	t.Logf("gaps %v, in which the time of the destination goes on by %v", wall, media)
	for i := range wall {
		if media[i] <= 0 || (media[i]-wall[i]).Abs() > 500*time.Millisecond {
			t.Errorf("the time of the destination goes on by %v over a gap of %v", media[i], wall[i])
		}
	}
	clients.wantMore(t)
	clients.stop()
	for _, err := range clients.faults {
		t.Error("while versions took over:", err)
	}
	for range 2 { // the second ends the wait for the show
		if err := syscall.Kill(main, syscall.SIGTERM); err != nil {
			t.Error("end the last version:", err)
		}
		m.wantSaid(t, "STATUS=draining")
	}
	m.wantSaid(t, "STOPPING=1")
	s.wantExit("ok") // its output ends with the last version's
	ended = true
}
