package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// The test binary is also the other process of some tests: what it is then stands in role.
const role = "HANDOVER_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "hang": // a successor that never serves
		p, err := Connect(context.Background(), os.Getenv("DIR"), "2", quiet)
		if err == nil {
			err = p.Ready(context.Background(), func(int, time.Duration) {})
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		select {}
	case "again": // answers connections with the number of times that it was executed, and executes itself after the first
		s := Inherited(os.Getenv)
		times := os.Getenv("TIMES") + "x"
		l := s.Listener("door", 0)
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		fmt.Fprintln(c, times, os.Getpid(), os.Getenv("LISTEN_FDS"))
		c.Close()
		if times == "xxx" {
			os.Exit(0)
		}
		os.Setenv("TIMES", times)
		if s.Add("door", l.(*net.TCPListener)) == nil {
			fmt.Println(s.Again(os.Args, os.Environ()))
		}
		os.Exit(1)
	}
}

var quiet = slog.New(slog.DiscardHandler)

// listening returns a listener on loopback, and Sockets with a copy under a name.
func listening(t *testing.T, name string) (*net.TCPListener, *Sockets) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &Sockets{}
	if err := s.Add(name, l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); s.Close() })
	return l, s
}

// serve runs a Server until the test ends.
func serve(t *testing.T, dir string, sockets *Sockets) *Server {
	t.Helper()
	s, err := Listen(dir, "1", sockets, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return s
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came within 20 s")
		panic("unreachable")
	}
}

// TestHandOver: a client that connects while nobody accepts is served by the new process, over the same port.
func TestHandOver(t *testing.T) {
	for _, long := range []bool{false, true} {
		t.Run(fmt.Sprint("long path ", long), func(t *testing.T) {
			dir := t.TempDir()
			if long {
				dir = filepath.Join(dir, strings.Repeat("long", 30))
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			old, sockets := listening(t, "http.port")
			port := old.Addr().(*net.TCPAddr).Port
			server := serve(t, dir, sockets)
			if info, err := os.Stat(filepath.Join(dir, socketName)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the socket has the mode %v (%v), want 0600", info.Mode(), err)
			}

			p, err := Connect(t.Context(), dir, "2", quiet)
			if err != nil || p == nil {
				t.Fatal(p, err)
			}
			defer p.Close()
			if p.PID != os.Getpid() || p.Version != "1" || !slices.Equal(p.Sockets.Names(), []string{"http.port"}) {
				t.Errorf("the old process is %d %s with %v", p.PID, p.Version, p.Sockets.Names())
			}
			l := p.Sockets.Listener("http.port", port)
			if l == nil {
				t.Fatal("no listener came")
			}
			defer l.Close()

			told := make(chan int, 1)
			ready := make(chan error, 1)
			go func() {
				ready <- p.Ready(t.Context(), func(streams int, left time.Duration) {
					if left == 3*time.Second {
						told <- streams
					}
				})
			}()
			n := await(t, server.Ready())
			if n.Version != "2" {
				t.Errorf("the new version is %q, want 2", n.Version)
			}
			if err := n.Wait(7, 3*time.Second); err != nil {
				t.Fatal(err)
			}
			if got := await(t, told); got != 7 {
				t.Errorf("told of %d streams, want 7", got)
			}
			old.Close()
			client, err := net.Dial("tcp", old.Addr().String())
			if err != nil {
				t.Fatal("refused while nobody accepts:", err)
			}
			defer client.Close()
			served := make(chan error, 1)
			go func() { served <- n.Yours(t.Context()) }()
			if err := await(t, ready); err != nil {
				t.Fatal(err)
			}
			go func() {
				if c, err := l.Accept(); err == nil {
					io.WriteString(c, "new")
					c.Close()
				}
			}()
			if b, err := io.ReadAll(client); string(b) != "new" || err != nil {
				t.Errorf("the client got %q, %v", b, err)
			}
			p.Serving()
			if err := await(t, served); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestListenerOfAnotherPort: what the settings do not want is not taken, and closed.
func TestListenerOfAnotherPort(t *testing.T) {
	l, s := listening(t, "http.port")
	port := l.Addr().(*net.TCPAddr).Port
	if got := s.Listener("http.port", port+1); got != nil {
		t.Error("got a listener of another port")
	}
	if names := s.Names(); len(names) != 0 {
		t.Errorf("%v are kept", names)
	}
	if got := s.Listener("http.port", 0); got != nil {
		t.Error("got a listener that was taken before")
	}
	l.Close()
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("a copy of the listener is open")
	}
}

// TestNobodyListens: a folder without a server, or with the socket of one that has ended, is no error.
func TestNobodyListens(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"", dir, filepath.Join(dir, "none")} {
		if p, err := Connect(t.Context(), d, "2", quiet); p != nil || err != nil {
			t.Errorf("%q: %v, %v", d, p, err)
		}
	}
	s, err := Listen(dir, "1", nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.listener.Close()
	if p, err := Connect(t.Context(), dir, "2", quiet); p != nil || err != nil {
		t.Errorf("a stale socket: %v, %v", p, err)
	}
	again, err := Listen(dir, "1", nil, quiet)
	if err != nil {
		t.Fatal("a stale socket is in the way:", err)
	}
	again.listener.Close()
}

// TestRefused: whoever makes a mistake, or comes second, is told why, and the server goes on.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, dir, nil)
	dial := func() line {
		t.Helper()
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return line{c}
	}
	soon := func() time.Time { return time.Now().Add(20 * time.Second) }
	wantRefused := func(l line, why string) {
		t.Helper()
		m, _, err := l.receive(soon())
		if err != nil || m.Kind != kindRefused || !strings.Contains(m.Why, why) {
			t.Errorf("got %+v, %v; want refused because of %q", m, err, why)
		}
	}
	for _, tt := range []struct {
		name string
		send string
		why  string
	}{
		{"no JSON", "hello", "unexpected"},
		{"another message", `{"kind":"ready"}`, "unexpected"},
		{"from the future", `{"kind":"hello","least":99,"version":"9"}`, "version 9 cannot take over"},
		{"names without descriptors", `{"kind":"hello","names":["a"]}`, "1 names and 0 descriptors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := dial()
			if _, err := l.conn.Write([]byte(tt.send)); err != nil {
				t.Fatal(err)
			}
			wantRefused(l, tt.why)
		})
	}
	l := dial()
	if err := l.send(message{Kind: kindHello}, nil, soon()); err != nil {
		t.Fatal(err)
	}
	if m, _, err := l.receive(soon()); err != nil || m.Kind != kindSockets {
		t.Fatalf("got %+v, %v", m, err)
	}
	var refused *RefusedError
	if _, err := Connect(t.Context(), dir, "2", quiet); !errors.As(err, &refused) || !strings.Contains(refused.Why, "already") {
		t.Errorf("a second process: %v", err)
	}
	if err := l.send(message{Kind: kindServing}, nil, soon()); err != nil {
		t.Fatal(err)
	}
	wantRefused(l, "unexpected")
	testkit.Eventually(t, 20*time.Second, func() string {
		if server.Busy() {
			return "the server is busy with a process that has gone"
		}
		return ""
	})
}

// TestSuccessorLeaves: one that ends before it is ready leaves no trace; one that was ready and ends is noticed, before and after Yours.
func TestSuccessorLeaves(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, dir, nil)
	connect := func() *Predecessor {
		t.Helper()
		var p *Predecessor
		testkit.Eventually(t, 20*time.Second, func() string {
			var err error
			if p, err = Connect(t.Context(), dir, "2", quiet); err != nil || p == nil {
				return fmt.Sprint("not let in: ", p, err)
			}
			return ""
		})
		return p
	}
	connect().Close()

	p := connect()
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan error, 1)
	go func() { ready <- p.Ready(ctx, nil) }()
	n := await(t, server.Ready())
	cancel()
	if err := await(t, ready); !errors.Is(err, context.Canceled) {
		t.Errorf("Ready ended with %v", err)
	}
	await(t, n.Gone())

	p = connect()
	go func() { ready <- p.Ready(t.Context(), nil) }()
	n = await(t, server.Ready())
	served := make(chan error, 1)
	go func() { served <- n.Yours(t.Context()) }()
	if err := await(t, ready); err != nil {
		t.Error(err)
	}
	p.Close()
	if err := await(t, served); err == nil || !strings.Contains(err.Error(), "ended before it served") {
		t.Errorf("Yours returned %v", err)
	}

	p = connect()
	go func() { ready <- p.Ready(t.Context(), nil) }()
	n = await(t, server.Ready())
	n.Leave("a change of mind")
	var refused *RefusedError
	if err := await(t, ready); !errors.As(err, &refused) || refused.Why != "a change of mind" {
		t.Errorf("Ready returned %v", err)
	}
	p.Close()
}

// TestPredecessorDies: a new process goes on when the old one is killed before it has said that it is done.
func TestPredecessorDies(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, dir, nil)
	p, err := Connect(t.Context(), dir, "2", quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ready := make(chan error, 1)
	go func() { ready <- p.Ready(t.Context(), nil) }()
	n := await(t, server.Ready())
	n.line.conn.Close()
	if err := await(t, ready); err != nil {
		t.Error(err)
	}
}

// TestSuccessorHangs: a process that does not serve in time is killed.
func TestSuccessorHangs(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, dir, nil)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"=hang", "DIR="+dir)
	cmd.Stdout = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	n := await(t, server.Ready())
	if n.PID != cmd.Process.Pid {
		t.Errorf("process %d is ready, want %d", n.PID, cmd.Process.Pid)
	}
	patience, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := n.Yours(patience); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Yours returned %v", err)
	}
	if err := await(t, ended); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the process ended with %v, want killed", err)
	}
}

// TestAgain: a process that systemd has given a socket executes itself twice, and keeps the socket and the process number.
func TestAgain(t *testing.T) {
	l, s := listening(t, "door")
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=other:door exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), role+"=again")
	_, other := listening(t, "other")
	cmd.ExtraFiles = append(other.Take("other"), s.Take("door")...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	address := l.Addr().String()
	l.Close()
	for _, want := range []string{fmt.Sprintln("x", cmd.Process.Pid, 2), fmt.Sprintln("xx", cmd.Process.Pid, ""), fmt.Sprintln("xxx", cmd.Process.Pid, "")} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("before %q: %v", want, err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		got, err := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

// TestManager: the service manager gets the state of the service, and sockets to keep.
func TestManager(t *testing.T) {
	if err := (Manager{}).Notify("READY=1"); err != nil {
		t.Error("without a manager:", err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := NewManager(func(key string) string { return map[string]string{"NOTIFY_SOCKET": path}[key] })
	l, s := listening(t, "http.port")
	if err := s.Add("lock", l); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Notify("READY=1", "STATUS=serving"), m.Main(42), m.Store(s, "lock"), m.Alive()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"READY=1\nSTATUS=serving", "MAINPID=42", "FDSTOREREMOVE=1\nFDNAME=http.port", "FDSTORE=1\nFDPOLL=0\nFDNAME=http.port", "WATCHDOG=1"} {
		b, rights := make([]byte, 1000), make([]byte, 100)
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, rn, _, _, err := c.ReadMsgUnix(b, rights)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("got %q, %v; want %q", b[:n], err, want)
		}
		files, err := parseRights(rights[:rn])
		if err != nil || len(files) != map[bool]int{true: 1}[i == 3] {
			t.Fatalf("%q came with %d descriptors, %v", want, len(files), err)
		}
		for _, f := range files {
			kept := &Sockets{}
			kept.AddFile("http.port", f)
			if got := kept.Listener("http.port", 0); got == nil || got.Addr().String() != l.Addr().String() {
				t.Errorf("the manager keeps %v, want %v", got, l.Addr())
			} else {
				got.Close()
			}
		}
	}
}

// TestSilence: a manager that watches says how long it waits.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		socket, usec string
		want         time.Duration
	}{
		{"/run/notify", "30000000", 30 * time.Second},
		{"/run/notify", "", 0},
		{"/run/notify", "0", 0},
		{"/run/notify", "soon", 0},
		{"/run/notify", "9223372036854775807", 0},
		{"", "30000000", 0},
	} {
		m := NewManager(func(key string) string {
			return map[string]string{"NOTIFY_SOCKET": tt.socket, "WATCHDOG_USEC": tt.usec, "WATCHDOG_PID": "1"}[key]
		})
		if got := m.Silence(); got != tt.want {
			t.Errorf("WATCHDOG_USEC=%q, NOTIFY_SOCKET=%q: %v, want %v", tt.usec, tt.socket, got, tt.want)
		}
	}
}
