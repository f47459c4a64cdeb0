//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

	"transponder/internal/testkit"
)

// baresip is a real phone without a screen. It says a tone of 440 Hz and shows 25 pictures a second, 640x360.
type baresip struct {
	t       *testing.T
	dir     string
	port    string // of SIP over UDP and TCP; TLS has the next one
	log     safeBuffer
	cmd     *exec.Cmd
	exited  chan struct{}
	control net.Conn

	mu      sync.Mutex
	events  []baresipEvent // guarded by mu
	changed chan struct{}  // guarded by mu; closed and replaced at each event
}

// baresipEvent is an event of its control port.
type baresipEvent struct {
	Event     bool   `json:"event"`
	Type      string `json:"type"`
	Direction string `json:"direction"`
	Param     string `json:"param"`
	Peer      string `json:"peeruri"`

	Response bool   `json:"response"`
	OK       bool   `json:"ok"`
	Data     string `json:"data"`
}

// baresipConfig says how a baresip differs from the usual one.
type baresipConfig struct {
	account string   // parameters of the account, such as ";mediaenc=srtp-mand"
	domain  string   // of the account, with its port; "": its own address
	more    []string // lines of the configuration
	cert    string   // a file with certificate and key, for TLS
	hears   bool     // records what it hears
	slow    bool     // rings and does not answer
}

// startBaresip runs one until the test ends.
func startBaresip(t *testing.T, cfg baresipConfig) *baresip {
	t.Helper()
	b := &baresip{t: t, dir: t.TempDir(), exited: make(chan struct{}), changed: make(chan struct{})}
	b.port = strconv.Itoa(testkit.FreePorts(t, 2))
	control := testkit.FreePort(t)
	modules := []string{"g711", "g722", "opus", "ausine", "aubridge", "fakevideo", "avcodec", "rtcpsummary", "srtp"}
	lines := append(cfg.more, // the first line of a name counts
		"poll_method epoll", "sip_listen 127.0.0.1:"+b.port, "net_interface 127.0.0.1", "audio_source ausine,440",
		"audio_player aubridge,sink", "audio_alert aubridge,alert", "ausrc_srate 48000", "auplay_srate 48000", "ausrc_channels 2",
		"auplay_channels 2", "video_source fakevideo,nil", "video_display fakevideo,nil", "video_size 640x360", "video_bitrate 500000",
		"video_fps 25.00", "rtp_ports 20000-29000", "rtcp_mux no", "rtp_stats yes", "module_path /usr/lib/baresip/modules",
		"avcodec_h264enc libx264", "avcodec_h264dec h264", "module_tmp account.so", "module_app menu.so", "module_app ctrl_tcp.so",
		"module_app debug_cmd.so", "ctrl_tcp_listen 127.0.0.1:"+control,
	)
	if cfg.hears {
		modules = append(modules, "sndfile")
		lines = append(lines, "snd_path "+b.dir)
	}
	if cfg.cert != "" {
		lines = append(lines, "sip_certificate "+cfg.cert)
	}
	for _, m := range modules {
		lines = append(lines, "module "+m+".so")
	}
	domain, mode := cfg.domain, "auto"
	if domain == "" {
		domain = "127.0.0.1:" + b.port + ">;regint=0"
	} else {
		domain += ">"
	}
	if cfg.slow {
		mode = "manual"
	}
	for name, text := range map[string]string{
		"config": strings.Join(lines, "\n") + "\n", "contacts": "", "accounts": "<sip:bob@" + domain + ";answermode=" + mode + cfg.account + "\n",
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.cmd = exec.Command("baresip", "-f", b.dir, "-v")
	b.cmd.Stdout, b.cmd.Stderr = &b.log, &b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(b.exited)
		b.cmd.Wait()
	}()
	t.Cleanup(b.stop)
	b.connect("127.0.0.1:" + control)
	return b
}

// connect opens the control connection.
func (b *baresip) connect(address string) {
	b.t.Helper()
	testkit.Eventually(b.t, 15*time.Second, func() string {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err.Error() + "\n" + b.log.String()
		}
		b.control = conn
		return ""
	})
	go func() {
		r := bufio.NewReader(b.control)
		for {
			message, err := readNetstring(r)
			if err != nil {
				return
			}
			var e baresipEvent
			if json.Unmarshal(message, &e) == nil {
				b.note(e)
			}
		}
	}()
}

func (b *baresip) note(e baresipEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
	close(b.changed)
	b.changed = make(chan struct{})
}

// readNetstring reads "12:hello world!,".
func readNetstring(r *bufio.Reader) ([]byte, error) {
	size, err := r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
	if err != nil || n < 0 || n > 1<<20 {
		return nil, errors.New("no netstring")
	}
	b := make([]byte, n+1)
	_, err = io.ReadFull(r, b)
	return b[:n], err
}

// do gives a command, such as do("dial", "sip:eve@127.0.0.1:5090").
func (b *baresip) do(command, params string) {
	b.t.Helper()
	message, err := json.Marshal(map[string]string{"command": command, "params": params})
	if err != nil {
		b.t.Fatal(err)
	}
	b.control.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(b.control, "%d:%s,", len(message), message); err != nil {
		b.t.Fatalf("%s: %v\n%s", command, err, b.log.String())
	}
}

// await waits until n events of a type have come, and returns the last of them.
func (b *baresip) await(kind string, n int) (last baresipEvent) {
	b.t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		b.mu.Lock()
		count, changed, types := 0, b.changed, []string(nil)
		for _, e := range b.events {
			if types = append(types, e.Type); e.Type == kind {
				count++
				last = e
			}
		}
		b.mu.Unlock()
		if count >= n {
			return last
		}
		select {
		case <-changed:
		case <-limit.C:
			b.t.Fatalf("baresip has %d events %s, want %d: %v\n%s", count, kind, n, types, b.log.String())
		}
	}
}

// uri returns the address to call over UDP.
func (b *baresip) uri() string { return "sip:bob@127.0.0.1:" + b.port }

// heard returns the file with what the phone heard.
func (b *baresip) heard() string {
	b.t.Helper()
	files, err := filepath.Glob(filepath.Join(b.dir, "dump-*-dec.wav"))
	if err != nil || len(files) == 0 {
		b.t.Fatalf("baresip recorded nothing: %v\n%s", err, b.log.String())
	}
	return files[len(files)-1]
}

func (b *baresip) stop() {
	if b.control != nil {
		b.control.Close()
	}
	b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
	case <-time.After(2 * time.Second):
		b.cmd.Process.Signal(syscall.SIGTERM) // with a call, it ends at the second
		select {
		case <-b.exited:
		case <-time.After(3 * time.Second):
			b.cmd.Process.Kill()
			<-b.exited
		}
	}
	if b.t.Failed() {
		b.t.Logf("baresip log:\n%s", b.log.String())
	}
}
