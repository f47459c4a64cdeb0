//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// The messages on the wire, as Wireshark's dissector reads them, are those of the contract's capture: the same commands with the same
// names in the same order. None of them holds a password in clear.
func TestWire(t *testing.T) {
	t.Parallel()
	const user, secret = "us%40er", "CANARY"
	tests := []struct {
		name, host string
		path       string // of the push's URL, after the server and a slash
		full       bool
		app        string // in connect, and in tcUrl after the server and a slash
		published  string
		credential bool // user and password are in the URL

		receiver *testkit.RTMPServer
	}{
		{name: "the contract's capture", path: "live/?user1&pass1", app: "live/?user1&pass1", published: "rtmp_stream1"},
		{name: "IPv6 with a password", host: "::1", path: "live", app: "live", published: "rtmp_stream1", credential: true},
		{
			name: "full URL with an instance and a key", path: "app/instance/key?token=a%2Fb&c=d", full: true,
			app: "app/instance", published: "key?token=a%2Fb&c=d", credential: true,
		},
	}
	var ports []string
	for i, tt := range tests {
		if tt.host != "" {
			l, err := net.Listen("tcp", net.JoinHostPort(tt.host, "0"))
			if err != nil {
				t.Skipf("this machine has no %s: %v", tt.host, err)
			}
			l.Close()
		}
		tests[i].receiver = testkit.NewRTMPServer(t, testkit.Script{Host: tt.host})
		ports = append(ports, portOf(t, tests[i].receiver))
	}
	wire := startCapture(t, ports)
	s := startServer(t)
	publishWHIP(t, s, "stream1")
	for _, tt := range tests {
		url := tt.receiver.URL(tt.path)
		if tt.credential {
			url = strings.Replace(url, "://", "://"+user+":"+secret+"@", 1)
		}
		request := map[string]any{"streamName": "stream1", "rtmpUrl": url, "rtmpTransponderFullUrl": tt.full}
		if code := s.post("/push/startup", request, nil); code != http.StatusOK {
			t.Fatalf("push/startup answers %d for %s", code, tt.name)
		}
	}
	wire.wait("\x07publish", len(tests))
	wire.stop()
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			commands, values := wire.commands(ports[i])
			want := []string{
				"connect('" + tt.app + "')", "releaseStream('" + tt.published + "')", "FCPublish('" + tt.published + "')",
				"createStream()", "publish('" + tt.published + "')",
			}
			if !slices.Equal(commands, want) {
				t.Errorf("commands %q, want %q", commands, want)
			}
			url := tt.receiver.URL(tt.app)
			if at := slices.Index(values, "tcUrl"); at < 0 || at+1 == len(values) || values[at+1] != url {
				t.Errorf("among %q there is no tcUrl %q", values, url)
			}
		})
	}
	if wire.count(secret) > 0 {
		t.Error("a password went over the wire")
	}
}

func portOf(t *testing.T, s *testkit.RTMPServer) string {
	t.Helper()
	authority, _, _ := strings.Cut(strings.TrimPrefix(s.URL(""), "rtmp://"), "/")
	_, port, err := net.SplitHostPort(authority)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// wireCapture is a running tshark and the file it writes.
type wireCapture struct {
	t      *testing.T
	file   string
	cmd    *exec.Cmd
	exited chan error
}

// startCapture captures what is sent to ports of the loopback, and skips the test where that is not allowed. It returns when
// nothing is missed any more.
func startCapture(t *testing.T, ports []string) *wireCapture {
	t.Helper()
	return startCaptureOf(t, "tcp dst port "+strings.Join(ports, " or tcp dst port "))
}

// startCaptureOf is startCapture of the packets that a filter names.
func startCaptureOf(t *testing.T, filter string) *wireCapture {
	t.Helper()
	c := &wireCapture{t: t, file: filepath.Join(t.TempDir(), "wire.pcapng"), exited: make(chan error, 1)}
	c.cmd = exec.Command("tshark", "-i", "lo", "-f", filter, "-w", c.file)
	var says safeBuffer
	c.cmd.Stderr = &says
	if err := c.cmd.Start(); err != nil {
		t.Skipf("tshark cannot be started: %v", err)
	}
	go func() { c.exited <- c.cmd.Wait() }()
	t.Cleanup(c.stop)
	testkit.Eventually(t, 20*time.Second, func() string {
		select {
		case err := <-c.exited:
			c.exited <- err
			t.Skipf("tshark cannot capture, which takes root or the right to: %v\n%s", err, says.String())
		default:
		}
		// The file is made when the interface is open and the filter set.
		if info, err := os.Stat(c.file); err != nil || info.Size() == 0 {
			return "tshark does not capture yet\n" + says.String()
		}
		return ""
	})
	return c
}

// wait waits until a text is n times in the capture.
func (c *wireCapture) wait(text string, n int) {
	c.t.Helper()
	testkit.Eventually(c.t, 20*time.Second, func() string {
		if got := c.count(text); got < n {
			return fmt.Sprintf("%q was captured %d times, want %d", text, got, n)
		}
		return ""
	})
}

func (c *wireCapture) count(text string) int {
	c.t.Helper()
	b, err := os.ReadFile(c.file)
	if err != nil {
		c.t.Fatal(err)
	}
	return bytes.Count(b, []byte(text))
}

// stop ends the capture; the file is complete then.
func (c *wireCapture) stop() {
	c.cmd.Process.Signal(syscall.SIGINT)
	c.exited <- <-c.exited
}

// commands returns the RTMP commands sent to a port, as "name('argument')", and all strings in them.
func (c *wireCapture) commands(port string) (commands, values []string) {
	c.t.Helper()
	out, err := exec.Command("tshark", "-r", c.file, "-d", "tcp.port=="+port+",rtmpt",
		"-Y", "tcp.dstport=="+port+" && rtmpt.header.typeid==20",
		"-T", "fields", "-E", "aggregator=~", "-e", "_ws.col.Info", "-e", "amf.string").Output()
	if err != nil {
		c.t.Fatalf("tshark: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		info, strs, _ := strings.Cut(strings.TrimSpace(line), "\t")
		for message := range strings.SplitSeq(info, "|") {
			if strings.HasSuffix(message, ")") { // the others are about chunk sizes and the like
				commands = append(commands, message)
			}
		}
		values = append(values, strings.Split(strs, "~")...)
	}
	return commands, values
}
