//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

const acmeHost = "live.example.com"

// pebble is the ACME server that Let's Encrypt has made for tests, with a DNS server that knows every name as this machine.
type pebble struct {
	directory, caFile string
	management        string
	client            *http.Client
}

// startPebble starts it. It validates on the two ports. binding is the key of an account binding, "" if none is demanded.
func startPebble(t *testing.T, httpPort, tlsPort, binding string) *pebble {
	t.Helper()
	dir := t.TempDir()
	authority := testkit.NewAuthority(t)
	certFile, keyFile := authority.Write(dir, x509.Certificate{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	listen, management := testkit.FreePort(t), testkit.FreePort(t)
	p := &pebble{
		directory: "https://localhost:" + listen + "/dir", caFile: filepath.Join(dir, "ca.pem"), management: "https://localhost:" + management,
		client: &http.Client{
			Timeout:   5 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}, DisableKeepAlives: true},
		},
	}
	keys := map[string]string{}
	if binding != "" {
		keys["kid-1"] = binding
	}
	cfg, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": "127.0.0.1:" + listen, "managementListenAddress": "127.0.0.1:" + management,
		"certificate": certFile, "privateKey": keyFile, "httpPort": number(t, httpPort), "tlsPort": number(t, tlsPort),
		"externalAccountBindingRequired": binding != "", "externalAccountMACKeys": keys,
	}})
	if err != nil {
		t.Fatal(err)
	}
	cfgFile := filepath.Join(dir, "pebble.json")
	for name, content := range map[string][]byte{cfgFile: cfg, p.caFile: authority.PEM} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dns := testkit.FreePort(t)
	background(t, nil, "pebble-challtestsrv", "-dns01", "127.0.0.1:"+dns, "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "",
		"-management", "127.0.0.1:"+testkit.FreePort(t))
	background(t, []string{"PEBBLE_VA_NOSLEEP=1"}, "pebble", "-config", cfgFile, "-dnsserver", "127.0.0.1:"+dns)
	testkit.Eventually(t, 20*time.Second, func() string {
		resp, err := p.client.Get(p.directory)
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		return ""
	})
	return p
}

// background runs a program until the test ends, and shows what it said if the test has failed.
func background(t *testing.T, environment []string, name string, args ...string) {
	t.Helper()
	var said safeBuffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", name, said.String())
		}
	})
}

func number(t *testing.T, port string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// root returns the root of the certificates that pebble issues.
func (p *pebble) root(t *testing.T) *x509.CertPool {
	t.Helper()
	resp, err := p.client.Get(p.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %q", text)
	}
	return pool
}

func (p *pebble) settings(state string) []string {
	return []string{
		"tls_acme_hosts=" + acmeHost, "tls_acme_email=ops@example.com", "tls_acme_directory=" + p.directory, "tls_acme_ca_file=" + p.caFile,
		"state_dir=" + state,
	}
}

// leaf returns the certificate that a port shows for a name.
func leaf(t *testing.T, port, name string) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// The server orders its certificate by ACME, over each of the two ports where an authority looks for it. It keeps the certificate over a
// restart, shows it to those who ask for the name, and the self-signed one to others.
func TestACME(t *testing.T) {
	t.Parallel()
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	for _, tt := range []struct {
		name       string
		http, tls  bool // ports that lead to this server
		settings   []string
		accountKey string
	}{
		{"HTTP-01", true, false, nil, ""},
		{"TLS-ALPN-01", false, true, nil, ""},
		{"account binding", true, true, []string{"tls_acme_eab_key_id=kid-1", "tls_acme_eab_hmac_key=" + key}, key},
		{"TLS-ALPN-01 where clients need certificates", false, true, []string{"tls_client_auth=required"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ports := map[bool]string{true: testkit.FreePort(t), false: testkit.FreePort(t)} // of HTTP, open or not
			secure := map[bool]string{true: testkit.FreePort(t), false: testkit.FreePort(t)}
			p := startPebble(t, ports[tt.http], secure[tt.tls], tt.accountKey)
			rtmps := testkit.FreePort(t)
			settings := append(p.settings(t.TempDir()), "http.port="+ports[true], "https.port="+secure[true], "rtmps.port="+rtmps,
				"tls_client_ca_file="+p.caFile)
			settings = append(settings, tt.settings...)
			s := startServer(t, settings...)
			show := rtmps // RTMPS shows the same certificate as HTTPS, and asks for none
			root := p.root(t)
			var serial string
			testkit.Eventually(t, 60*time.Second, func() string {
				c := leaf(t, show, acmeHost)
				serial = c.SerialNumber.String()
				if err := c.VerifyHostname(acmeHost); err != nil {
					return err.Error()
				}
				return ""
			})
			if c, err := tls.Dial("tcp", "127.0.0.1:"+show, &tls.Config{ServerName: "LIVE.example.com", RootCAs: root}); err != nil {
				t.Errorf("the name in other letters: %v", err)
			} else {
				c.Close()
			}
			if other := leaf(t, show, "other.example.com"); other.VerifyHostname(acmeHost) == nil {
				t.Error("another name gets the certificate of the authority")
			}
			s.stop()
			again := startServer(t, settings...)
			testkit.Eventually(t, 20*time.Second, func() string {
				if c := leaf(t, show, acmeHost); c.SerialNumber.String() != serial {
					return "the certificate is not the one from before: " + c.Subject.String()
				}
				return ""
			})
			again.stop()
			for _, log := range []string{s.log.String(), again.log.String()} {
				if strings.Contains(log, key) {
					t.Error("the key of the account binding is in the log")
				}
			}
		})
	}
}

// If the authority does not reach the server, the log says what the authority said and what to forward, and everything else works on.
func TestACMENotReached(t *testing.T) {
	t.Parallel()
	p := startPebble(t, testkit.FreePort(t), testkit.FreePort(t), "")
	s := startServer(t, append(p.settings(t.TempDir()), "https.port=0")...)
	testkit.Eventually(t, 60*time.Second, func() string {
		log := s.log.String()
		for _, want := range []string{"no certificate from the authority", "onnection refused", "port 80 is not reached", "forward it to http.port"} {
			if !strings.Contains(log, want) {
				return "the log has no " + want
			}
		}
		return ""
	})
	resp, err := http.Get(strings.TrimSuffix(s.page, "/") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := `transponder_tls_acme_orders_total{result="failed"} 1`; !strings.Contains(string(text), want) {
		t.Errorf("/metrics has no %s", want)
	}
}

// FFmpeg publishes by RTMPS, and plays what arrived by RTMPS.
func TestRTMPSPort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority := testkit.NewAuthority(t)
	certFile, keyFile := authority.Write(dir, x509.Certificate{DNSNames: []string{"localhost"}})
	port := testkit.FreePort(t)
	s := startServer(t, "tls_cert_file="+certFile, "tls_key_file="+keyFile, "rtmps.port="+port)
	address := "rtmps://localhost:" + port + "/live/secure"
	publisher := exec.Command("ffmpeg", "-hide_banner", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30",
		"-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "15", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-c:a", "aac",
		"-f", "flv", address)
	var said safeBuffer
	publisher.Stderr = &said
	if err := publisher.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = publisher.Process.Signal(syscall.SIGINT)
		_ = publisher.Wait()
		if t.Failed() {
			t.Logf("ffmpeg: %s", said.String())
		}
	}()
	testkit.Eventually(t, 20*time.Second, func() string {
		var found []map[string]any
		if s.post("/stream/find", map[string]string{"name": "secure"}, &found); len(found) == 0 {
			return "there is no stream"
		}
		return ""
	})
	out, err := exec.Command("ffprobe", "-v", "error", "-read_intervals", "%+3", "-count_frames", "-show_entries", "stream=codec_name,nb_read_frames",
		"-of", "csv=p=0", address).CombinedOutput()
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, out)
	}
	for _, codec := range []string{"h264", "aac"} {
		var frames int
		for line := range strings.Lines(string(out)) {
			if name, n, _ := strings.Cut(strings.TrimSpace(line), ","); name == codec {
				_, _ = fmt.Sscan(n, &frames)
			}
		}
		if frames < 60 {
			t.Errorf("%d frames of %s were played in 3 s:\n%s", frames, codec, out)
		}
	}
	// A client that speaks RTMP without TLS gets no answer that it could take for RTMP.
	c, err := net.Dial("tcp", "localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := c.Write(append([]byte{3}, make([]byte, 1536)...)); err != nil {
		t.Fatal(err)
	}
	if answer, _ := io.ReadAll(c); len(answer) > 0 && answer[0] == 3 {
		t.Error("the RTMPS port speaks RTMP without TLS")
	}
}
