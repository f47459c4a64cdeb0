//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// sipp is SIPp, which plays a scenario and fails if a peer does not play its part.
type sipp struct {
	t      *testing.T
	dir    string
	port   string
	cmd    *exec.Cmd
	log    safeBuffer
	exited chan error
}

// startSIPp runs one that answers calls by a scenario: the messages of scenario, or "uas", the one that comes with SIPp. It ends after
// so many calls, at the latest with the test.
func startSIPp(t *testing.T, scenario string, calls int, args ...string) *sipp {
	t.Helper()
	s := &sipp{t: t, dir: t.TempDir(), port: testkit.FreePort(t), exited: make(chan error, 1)}
	media := strconv.Itoa(testkit.FreePorts(t, 4))
	how := []string{"-sn", scenario}
	if strings.Contains(scenario, "<") {
		file := filepath.Join(s.dir, "scenario.xml")
		text := "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"test\">\n" + scenario + "\n</scenario>\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		how = []string{"-sf", file}
	}
	args = append(append(how, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-mp", media, "-p", s.port, "-m", fmt.Sprint(calls), "-nostdin",
		"-rtp_echo", "-trace_err", "-error_file", filepath.Join(s.dir, "errors"), "-trace_msg", "-message_file", filepath.Join(s.dir, "messages")), args...)
	s.cmd = exec.Command("sipp", args...)
	s.cmd.Dir = s.dir
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.exited <- s.cmd.Wait() }()
	t.Cleanup(s.stop)
	if !slices.Contains(args, "t1") { // TCP
		awaitUDP(t, s.port, &s.log)
	}
	return s
}

// awaitUDP waits until a program listens on a UDP port. It asks the kernel: whoever tries the port himself takes it from the program.
func awaitUDP(t *testing.T, port string, log *safeBuffer) {
	t.Helper()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	bound := fmt.Sprintf(":%04X", number) // in hexadecimal digits, see proc(5)
	testkit.Eventually(t, 10*time.Second, func() string {
		for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
			sockets, _ := os.ReadFile(table)
			for line := range strings.Lines(string(sockets)) {
				if local := strings.Fields(line); len(local) > 1 && strings.HasSuffix(local[1], bound) {
					return ""
				}
			}
		}
		return "nobody listens on port " + port + "\n" + log.String()
	})
}

// await waits until all calls are over, and fails the test if one did not go as the scenario says.
func (s *sipp) await() {
	s.t.Helper()
	select {
	case err := <-s.exited:
		s.exited <- err
		if err != nil {
			s.t.Errorf("SIPp: %v\n%s\n%s", err, s.file("errors"), s.messages())
		}
	case <-time.After(60 * time.Second):
		s.t.Errorf("SIPp waits for calls in vain\n%s\n%s", s.file("errors"), s.messages())
	}
}

func (s *sipp) file(name string) string {
	b, _ := os.ReadFile(filepath.Join(s.dir, name))
	return string(b)
}

// messages returns all messages that it sent and received.
func (s *sipp) messages() string { return s.file("messages") }

// uri returns an address to call, another one each time.
func (s *sipp) uri() string { return "sip:" + someone() + "@127.0.0.1:" + s.port }

func (s *sipp) stop() {
	s.cmd.Process.Kill()
	err := <-s.exited
	s.exited <- err
}

// The parts of scenarios.
const (
	sippInvite = `<recv request="INVITE" crlf="true"/>`
	sippAck    = `<recv request="ACK" crlf="true"/>`
)

// sippReply sends a response to the last request. More are header lines.
func sippReply(status, body string, more ...string) string {
	lines := []string{
		"SIP/2.0 " + status, "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]SIPp[call_number]", "[last_Call-ID:]", "[last_CSeq:]",
		"[last_Record-Route:]", "Contact: <sip:[local_ip]:[local_port];transport=[transport]>",
	}
	lines = append(lines, more...)
	if body == "" {
		lines = append(lines, "Content-Length: 0", "")
	} else {
		lines = append(lines, "Content-Type: application/sdp", "Content-Length: [len]", "", body)
	}
	return "<send><![CDATA[\n\n" + strings.Join(lines, "\n") + "\n]]></send>"
}

// sippReplyWithin answers a request within the dialog, whose To has a tag already.
func sippReplyWithin(status string) string {
	return strings.Replace(sippReply(status, ""), ";tag=[pid]SIPp[call_number]", "", 1)
}

// sippSDP answers with PCMU.
const sippSDP = `v=0
o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000`
