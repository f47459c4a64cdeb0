// Package natskit runs real NATS servers for tests: one, or three that replicate. The servers are processes, so that a test can kill, pause
// and restart them. The program is the nats-server that go.mod names as a tool. Only tests import this package.
package natskit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"transponder/internal/testkit"
)

// Server is one nats-server. Its methods belong to the goroutine of the test.
type Server struct {
	Name    string // one of its own
	Address string // host:port of its clients
	Dir     string // of its files

	arguments []string
	prefix    []string // of the command line: a program that runs it elsewhere
	process   *exec.Cmd
	done      chan struct{} // closed when the process has ended
}

// URL is what clients connect to.
func (s *Server) URL() string { return "nats://" + s.Address }

// PID returns the id of the process.
func (s *Server) PID() int { return s.process.Process.Pid }

// Cluster is several servers that replicate.
type Cluster []*Server

// URL names all servers.
func (c Cluster) URL() string {
	urls := make([]string, len(c))
	for i, s := range c {
		urls[i] = s.URL()
	}
	return strings.Join(urls, ",")
}

// Start starts one server with JetStream, whose files lie in a folder of the test. It is stopped at the end of the test.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartAt(t, "127.0.0.1")
}

// StartAt is Start on an address of this machine.
func StartAt(t testing.TB, host string) *Server {
	t.Helper()
	var s *Server
	testkit.Eventually(t, time.Minute, func() string {
		s = &Server{Name: newName("n"), Address: net.JoinHostPort(host, testkit.FreePort(t)), Dir: t.TempDir()}
		s.arguments = s.listen()
		return s.start(t)
	})
	return s
}

// newName makes a name that no server of another test has.
func newName(prefix string) string { return prefix + "-" + strconv.FormatUint(rand.Uint64(), 36) }

// Three starts three servers that replicate, and waits until they have a leader.
func Three(t testing.TB) Cluster {
	t.Helper()
	c := make(Cluster, 3)
	name := newName("test")
	routes := make([]string, len(c))
	for i := range c {
		c[i] = &Server{Name: newName("n" + strconv.Itoa(i+1)), Address: "127.0.0.1:" + testkit.FreePort(t), Dir: t.TempDir()}
		routes[i] = "nats://127.0.0.1:" + testkit.FreePort(t)
	}
	for i, s := range c {
		s.arguments = append(s.listen(), "-cluster_name", name, "-no_advertise", "-cluster", routes[i], "-routes", strings.Join(routes, ","))
		s.Start(t)
	}
	c.Wait(t)
	return c
}

// Wait waits until the servers have a leader and serve JetStream.
func (c Cluster) Wait(t testing.TB) {
	t.Helper()
	testkit.Eventually(t, time.Minute, func() string { return why(replicates(c.URL())) })
}

// replicates succeeds when a stream with three replicas can be made.
func replicates(url string) error {
	conn, err := nats.Connect(url, nats.Timeout(2*time.Second), nats.MaxReconnects(0))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := conn.JetStream(nats.MaxWait(5 * time.Second))
	if err != nil {
		return err
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "natskit", Subjects: []string{"natskit"}, Replicas: 3, Storage: nats.MemoryStorage}); err != nil {
		return err
	}
	return js.DeleteStream("natskit")
}

func (s *Server) listen() []string {
	host, port, _ := net.SplitHostPort(s.Address) // Address is ours
	return []string{"-n", s.Name, "-a", host, "-p", port, "-js", "-sd", s.Dir}
}

// Start starts a server that does not run, with the port and the files that it had, and waits until it takes clients.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	testkit.Eventually(t, time.Minute, func() string { return s.start(t) })
}

// start is one try of Start. It returns why it failed.
func (s *Server) start(t testing.TB) string {
	ended := s.launch(t)
	if len(s.prefix) > 0 {
		return "" // this process may have no way to the address
	}
	for {
		conn, err := nats.Connect(s.URL(), nats.Timeout(time.Second), nats.MaxReconnects(0))
		if err == nil {
			name := conn.ConnectedServerName()
			conn.Close()
			if name == s.Name { // else the server of another test has taken the port, and ours ends
				return ""
			}
		}
		select {
		case <-ended: // its port may be taken for a moment after a kill
			text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
			return fmt.Sprintf("nats-server has ended: %s", text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// launch starts the process. The channel is closed when the process has ended.
func (s *Server) launch(t testing.TB) <-chan struct{} {
	words := append(append(append([]string{}, s.prefix...), program(t)), s.arguments...)
	process := exec.Command(words[0], words[1:]...)
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it does not outlive a test that is killed
	out, err := os.Create(filepath.Join(s.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	process.Stdout, process.Stderr = out, out
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	s.process, s.done = process, done
	go func() { _ = process.Wait(); close(done) }()
	t.Cleanup(func() { // of this process, even if another is running by then
		_ = process.Process.Signal(syscall.SIGCONT)
		_ = process.Process.Kill()
		<-done
	})
	return done
}

// Kill kills the server with SIGKILL and waits for its end.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGKILL)
	<-s.done
}

// Wipe kills the server, removes its files and starts it anew.
func (s *Server) Wipe(t testing.TB) {
	t.Helper()
	s.Kill(t)
	if err := os.RemoveAll(filepath.Join(s.Dir, "jetstream")); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
}

// Pause stops the server with SIGSTOP, until Continue.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
}

// Continue continues a paused server.
func (s *Server) Continue(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGCONT)
}

func (s *Server) signal(t testing.TB, what os.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(what); err != nil {
		t.Fatalf("%v to %s: %v", what, s.Name, err)
	}
}

// path is that of nats-server. The go command builds it once and keeps it in its cache.
var path = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "nats-server").Output()
	if err, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("go tool -n nats-server: %s", err.Stderr)
	}
	return strings.TrimSpace(string(out)), err
})

// Program returns the path of the program.
func Program(t testing.TB) string {
	t.Helper()
	return program(t)
}

func program(t testing.TB) string {
	t.Helper()
	p, err := path()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// why is the text of an error, "" without one.
func why(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
