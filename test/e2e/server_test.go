//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// server is a running transponder on free ports, as a test uses it.
type server struct {
	*process
	t *testing.T // that fails
}

// in is the server for a subtest. A parallel subtest that ended its parent would end all tests.
func (s *server) in(t *testing.T) *server { return &server{s.process, t} }

type process struct {
	cmd *exec.Cmd
	dir string
	log safeBuffer

	page, rest, socket, rtmp string // as it printed them

	whipToken string // that its WHIP door wants
	sipPort   string // as it was set; "": the usual one

	stopOnce sync.Once
	ready    chan struct{} // closed when the URLs are known
	exited   chan error
}

// safeBuffer is a bytes.Buffer that two goroutines may use.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// startServer starts the server with settings (key=value) and returns when it says that it is ready. It is stopped, and must
// exit cleanly, at the end of the test.
func startServer(t *testing.T, settings ...string) *server {
	t.Helper()
	return startServerIn(t, nil, settings...)
}

// startServerIn is startServer with more of an environment, such as "NAME=value".
func startServerIn(t *testing.T, environment []string, settings ...string) *server {
	t.Helper()
	return startServerAt(t, t.TempDir(), environment, settings...)
}

// startServerAt is startServerIn in a folder, which another server may have used or use.
func startServerAt(t *testing.T, dir string, environment []string, settings ...string) *server {
	t.Helper()
	s := newServerAt(t, dir, environment, settings...)
	s.awaitReady()
	return s
}

// newServerAt starts a server, and does not wait until it is ready.
func newServerAt(t *testing.T, dir string, environment []string, settings ...string) *server {
	t.Helper()
	s := buildServerAt(t, dir, environment, settings...)
	s.launch()
	return s
}

func newServer(t *testing.T, dir string) *server {
	return &server{&process{dir: dir, ready: make(chan struct{}), exited: make(chan error, 1)}, t}
}

// buildServerAt makes a server that does not run yet.
func buildServerAt(t *testing.T, dir string, environment []string, settings ...string) *server {
	s := newServer(t, dir)
	settings = append([]string{
		"http.port=0", "https.port=0", "ws.port=0", "wss.port=0", "rtmp.port=0", "media_port_from=0", "log_level=debug",
		"video_transcoder_max_load_percent=0", // what else runs on the machine is not our business
	}, settings...)
	var args []string
	for _, set := range settings {
		args = append(args, "--set", set)
		if port, ok := strings.CutPrefix(set, "sip_port="); ok {
			s.sipPort = port
		}
	}
	s.cmd = exec.Command(serverBinary, args...)
	s.cmd.Dir = s.dir
	s.cmd.Env = append(os.Environ(), environment...)
	s.cmd.Stderr = &s.log
	return s
}

// launch starts the server. It is stopped at the end of the test.
func (s *server) launch() {
	s.t.Helper()
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.stop)
	go s.readBanner(stdout)
}

var bannerLine = regexp.MustCompile(`^\s+(\S+)\s+((?:http|ws|rtmp)://\S+)`)

// readBanner takes the URLs from what the server prints when it is ready.
func (s *server) readBanner(stdout io.Reader) {
	ready := sync.OnceFunc(func() { close(s.ready) })
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		m := bannerLine.FindStringSubmatch(lines.Text())
		select {
		case <-s.ready: // a server that has executed itself again prints all this again
			continue
		default:
		}
		if m == nil {
			continue
		}
		switch m[1] {
		case "page":
			s.page = m[2]
		case "REST":
			s.rest = m[2]
		case "WebSocket":
			s.socket = m[2]
		case "RTMP":
			s.rtmp = m[2]
			ready()
		}
	}
	s.exited <- s.cmd.Wait()
}

// awaitReady returns when the server says that it is ready.
func (s *server) awaitReady() {
	s.t.Helper()
	select {
	case <-s.ready:
	case err := <-s.exited:
		s.t.Fatalf("the server ended before it was ready: %v\n%s", err, s.log.String())
	case <-time.After(30 * time.Second):
		s.t.Fatalf("the server is not ready after 30 s\n%s", s.log.String())
	}
}

// stop asks the server to end and checks that it does, politely and in time.
func (s *server) stop() {
	s.stopOnce.Do(func() {
		s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-s.exited:
			if err != nil {
				s.t.Errorf("the server exited with %v", err)
			}
		case <-time.After(10 * time.Second):
			s.cmd.Process.Kill()
			s.t.Error("the server did not end within 10 s of SIGTERM")
		}
		if s.t.Failed() {
			s.t.Logf("server log:\n%s", s.log.String())
		}
	})
}

// post calls a REST method and decodes a JSON answer into out, if out is not nil. It returns the status.
func (s *server) post(method string, body, out any) int {
	s.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Post(s.rest+method, "application/json", bytes.NewReader(b))
	if err != nil {
		s.t.Fatalf("the server does not answer: %v", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil && resp.StatusCode == http.StatusOK {
			s.t.Fatalf("%s answered %q: %v", method, answer, err)
		}
	}
	return resp.StatusCode
}

// push is what the tests read of a push.
type push struct {
	MediaSessionID string `json:"mediaSessionId"`
	StreamName     string `json:"streamName"`
	Status         string `json:"status"`
	Reason         string `json:"reason"`
	Info           string `json:"info"`
	Attempts       int    `json:"attempts"`
	Muted          bool   `json:"muted"`

	VideoFramesSent int `json:"videoFramesSent"`
	AudioFramesSent int `json:"audioFramesSent"`
}

// waitPush waits until the stream's push has a status.
func (s *server) waitPush(stream, status string) push {
	s.t.Helper()
	var found push
	testkit.Eventually(s.t, 15*time.Second, func() string {
		var all []push
		if code := s.post("/push/find", map[string]string{"streamName": stream}, &all); code != http.StatusOK {
			return "find answers " + strconv.Itoa(code)
		}
		found = all[0]
		if found.Status != status {
			return "the push is " + found.Status + " " + found.Reason + " " + found.Info
		}
		return ""
	})
	return found
}

// nginx is a real nginx with its RTMP module, which records what is published as NAME.flv.
type nginx struct {
	t    *testing.T
	dir  string
	port string
	log  safeBuffer

	cmd    *exec.Cmd
	exited chan struct{}
}

// recording returns the file of the only recording. The test fails if there is another one, or none.
func (n *nginx) recording(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.dir, "*.flv"))
	if err != nil || len(files) != 1 {
		t.Fatalf("recordings %v (%v), want one", files, err)
	}
	return files[0]
}

// startNginx runs one until the test ends and returns its application's URL and the folder of the recordings.
func startNginx(t *testing.T) (url, records string) {
	t.Helper()
	n := newNginx(t)
	return n.url(), n.dir
}

// newNginx runs one until the test ends. More may be said of how it records.
func newNginx(t *testing.T, recording ...string) *nginx {
	t.Helper()
	n := &nginx{t: t, dir: t.TempDir(), port: testkit.FreePort(t)}
	more := strings.Join(recording, "\n\t\t\t")
	if !strings.Contains(more, "record ") {
		more = "record all;\n\t\t\t" + more
	}
	conf := strings.NewReplacer("DIR", n.dir, "PORT", n.port, "MORE", more).Replace(`
daemon off;
worker_processes 1;
pid DIR/nginx.pid;
error_log stderr warn;
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
events { worker_connections 64; }
rtmp {
	server {
		listen 127.0.0.1:PORT;
		application live {
			live on;
			record_path DIR;
			record_suffix .flv;
			MORE
		}
	}
}
`)
	if err := os.WriteFile(n.dir+"/nginx.conf", []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(n.dir, 0o777); err != nil { // its workers may run as another user
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.cmd.Process.Signal(syscall.SIGTERM)
		<-n.exited
		if t.Failed() {
			t.Logf("nginx log:\n%s", n.log.String())
		}
	})
	n.start()
	return n
}

func (n *nginx) url() string { return "rtmp://127.0.0.1:" + n.port + "/live" }

// start runs nginx and returns when it takes connections.
func (n *nginx) start() {
	n.t.Helper()
	args := []string{"-c", n.dir + "/nginx.conf", "-p", n.dir}
	if os.Geteuid() == 0 {
		args = append(args, "-g", "user root;")
	}
	n.cmd = exec.Command("nginx", args...)
	n.cmd.Stderr = &n.log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	cmd, exited := n.cmd, make(chan struct{})
	n.exited = exited
	go func() {
		defer close(exited)
		cmd.Wait()
	}()
	testkit.Eventually(n.t, 10*time.Second, func() string {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+n.port, time.Second)
		if err != nil {
			return err.Error() + "\n" + n.log.String()
		}
		conn.Close()
		return ""
	})
}

// kill ends nginx as a power cut would: master and worker at once.
func (n *nginx) kill() {
	n.t.Helper()
	workers := children(n.t, n.cmd.Process.Pid)
	n.cmd.Process.Kill() // first: it would start another worker
	for _, worker := range workers {
		syscall.Kill(worker, syscall.SIGKILL)
	}
	<-n.exited
}

// children returns the ids of a process's children.
func children(t *testing.T, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that has ended
		}
		for word := range strings.FieldsSeq(string(b)) {
			id, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	return ids
}
