//go:build e2e

package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"

	"transponder/internal/rtc"
	"transponder/internal/testkit"
)

// coturn is a TURN server with the settings in docs/nat.md, on this machine.
type coturn struct {
	settings []string // for the server, as docs/nat.md has them
	secret   string   // that the server shares with coturn
	host     string   // with the port
	log      string   // a file
}

// startCoturn starts coturn. It ends with the test.
func startCoturn(t *testing.T) coturn {
	t.Helper()
	text, err := os.ReadFile("../../docs/nat.md")
	if err != nil {
		t.Fatal(err)
	}
	dir, port, tlsPort := t.TempDir(), testkit.FreePort(t), testkit.FreePort(t)
	cert, key := testkit.NewAuthority(t).Write(dir, x509.Certificate{DNSNames: []string{"turn.example.com"}})
	here := func(language string, fromTo ...string) string {
		m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
		if m == nil {
			t.Fatalf("docs/nat.md has no block of %s", language)
		}
		for i := 0; i < len(fromTo); i += 2 {
			if !bytes.Contains(m[1], []byte(fromTo[i])) {
				t.Fatalf("docs/nat.md is not what the test expects: it has no %q", fromTo[i])
			}
		}
		return strings.NewReplacer(fromTo...).Replace(string(m[1]))
	}
	conf := here("conf", "tls-listening-port=443", "tls-listening-port="+tlsPort, "/etc/coturn/fullchain.pem", cert, "/etc/coturn/privkey.pem", key)
	conf = strings.Replace(conf, "listening-port=3478\n", "listening-port="+port+"\n", 1)
	c := coturn{host: "127.0.0.1:" + port, log: filepath.Join(dir, "log")}
	conf += strings.Join([]string{
		"listening-ip=127.0.0.1", "relay-ip=127.0.0.1", "allow-loopback-peers", "no-rfc5780", "simple-log", "verbose",
		"log-file=" + c.log, "pidfile=" + filepath.Join(dir, "pid"), "userdb=" + filepath.Join(dir, "db"), "",
	}, "\n")
	file := filepath.Join(dir, "turnserver.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(here("properties", "turn.example.com:3478", c.host, "turn.example.com:443", "127.0.0.1:"+tlsPort)) {
		c.settings = append(c.settings, strings.TrimSpace(line))
		if secret, ok := strings.CutPrefix(strings.TrimSpace(line), "turn_secret="); ok {
			c.secret = secret
		}
	}
	var out safeBuffer
	cmd := exec.Command("turnserver", "-c", file)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make install-test installs coturn", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("coturn: %s\n%s", out.String(), c.said())
		}
	})
	testkit.Eventually(t, 20*time.Second, func() string { // a client that comes while one of its threads still opens its socket can lose what it has begun
		if !strings.Contains(c.said(), "admin thread") { // the last one
			return "coturn has not started"
		}
		return ""
	})
	return c
}

// said returns the log of coturn.
func (c coturn) said() string {
	text, _ := os.ReadFile(c.log)
	return string(text)
}

var iceServerLink = regexp.MustCompile(`^<(turns?:[^>]+)>; rel="ice-server"; username="(\d+:\w+)"; credential="([^"]+)"; credential-type="password"$`)

// relaysOf reads the headers with the TURN servers.
func relaysOf(t *testing.T, h http.Header) (all []webrtc.ICEServer) {
	t.Helper()
	for _, value := range h.Values("Link") {
		m := iceServerLink.FindStringSubmatch(value)
		if m == nil {
			t.Fatalf("Link: %s", value)
		}
		all = append(all, webrtc.ICEServer{URLs: []string{m[1]}, Username: m[2], Credential: m[3]})
	}
	return all
}

// A WHIP client whose network lets it reach only a TURN server publishes through it, over UDP and over TCP. The TURN server is coturn as
// docs/nat.md sets it up, and the client knows of it, and its password, from the server alone.
func TestTURN(t *testing.T) {
	t.Parallel()
	c := startCoturn(t)
	s := startServer(t, c.settings...)
	ask := func(preflight bool) []webrtc.ICEServer {
		req, err := http.NewRequest(http.MethodOptions, s.whipURL("cam"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if preflight {
			req.Header.Set("Origin", "https://example.com")
			req.Header.Set("Access-Control-Request-Method", http.MethodPost)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return relaysOf(t, resp.Header)
	}
	if all := ask(true); len(all) != 0 {
		t.Errorf("a preflight request gets %v", all)
	}
	relays := ask(false)
	if len(relays) != 2 || relays[0].URLs[0] != "turn:"+c.host {
		t.Fatalf("the server tells %+v", relays)
	}
	for name, query := range map[string]string{"udp": "", "tcp": "?transport=tcp"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			relay := relays[0]
			relay.URLs = []string{relay.URLs[0] + query}
			cfg := testkit.DefaultPublisherConfig()
			cfg.Relays = []webrtc.ICEServer{relay}
			receiver := testkit.NewRTMPServer(t, testkit.Script{})
			p, leave := publish(t, s, name, cfg)
			if offer := p.Offer(); !strings.Contains(offer, " typ relay ") || strings.Contains(offer, " typ host") || strings.Contains(offer, " typ srflx") {
				t.Errorf("the client has other ways than the TURN server:\n%s", offer)
			}
			if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": receiver.URL("live/key")}, nil); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			receiver.Wait(t, "30 pictures by way of the TURN server", func() bool {
				pictures := 0
				for _, tag := range receiver.Tags() {
					if tag.Video {
						pictures++
					}
				}
				return pictures > 30
			})
			leave()
		})
	}
	t.Cleanup(func() { c.isSecret(t, s, relays) })
}

// isSecret fails the test if the server's log, at its most detailed level, shows the secret or a password made from it.
func (c coturn) isSecret(t *testing.T, s *server, told []webrtc.ICEServer) {
	t.Helper()
	secrets := []string{c.secret}
	for _, one := range told {
		secrets = append(secrets, one.Credential.(string))
	}
	for _, secret := range secrets {
		if secret == "" || strings.Contains(s.log.String(), secret) {
			t.Errorf("the log of the server shows a password: %q", secret)
		}
	}
}

// The doctor says in words what is wrong between this server and coturn, and that the media port of the running server is reached.
func TestDoctorAndCoturn(t *testing.T) {
	t.Parallel()
	c := startCoturn(t)
	port := testkit.FreePort(t)
	media := []string{"ip=127.0.0.2", "media_port_from=" + port}
	startServer(t, append(media, c.settings...)...)
	for _, tt := range []struct {
		name         string
		settings     []string
		check        string
		result, says string
	}{
		{"as it should be", c.settings, "turn:" + c.host, "ok", "lets clients reach this server"},
		{"another secret", []string{c.settings[0], "turn_secret=other"}, "turn:" + c.host, "failed", "turn_secret must be its static-auth-secret"},
		{"a name and a password", []string{c.settings[0], "turn_user=u", "turn_password=other"}, "turn:" + c.host, "failed", "correct turn_user and turn_password"},
		{"an address that coturn keeps away", append([]string{"ip=10.1.2.3"}, c.settings...), "turn:" + c.host, "failed", "set allowed-peer-ip"},
		{"the certificate of nobody", c.settings, strings.TrimPrefix(strings.Split(c.settings[0], ", ")[1], "ice_servers="), "failed", "do not accept the certificate"},
		{"the media port", c.settings, "media address", "ok", "came back to the media port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"doctor", "--json"}
			for _, set := range append(slices.Clone(media), tt.settings...) {
				args = append(args, "--set", set)
			}
			out, err := exec.Command(serverBinary, args...).Output() // fails if anything is wrong with this machine
			var all []struct{ Check, Result, Info string }
			if wrong := json.Unmarshal(out, &all); wrong != nil {
				t.Fatalf("%s: %v, %v", out, wrong, err)
			}
			for _, d := range all {
				if d.Check == tt.check && (d.Result != tt.result || !strings.Contains(d.Info, tt.says)) {
					t.Errorf("%+v, want %s with %q", d, tt.result, tt.says)
				}
			}
			if !slices.ContainsFunc(all, func(d struct{ Check, Result, Info string }) bool { return d.Check == tt.check }) {
				t.Errorf("nothing about %s in %s", tt.check, out)
			}
		})
	}
}

// A password that has expired is refused by coturn, as one is that somebody has made up.
func TestTURNPasswords(t *testing.T) {
	t.Parallel()
	c := startCoturn(t)
	servers := rtc.ICEServers{URLs: []string{"turn:" + c.host}, Secret: rtc.Secret(c.secret)}
	for name, tt := range map[string]struct {
		made  time.Duration // how long ago
		wrong string        // is put behind the password
		taken bool
	}{
		"new": {0, "", true}, "almost a day old": {23 * time.Hour, "", true}, "more than a day old": {25 * time.Hour, "", false}, "made up": {0, "x", false},
	} {
		one := servers.For("test", time.Now().Add(-tt.made))[0]
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		client, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: c.host, Conn: conn, Username: one.User, Password: string(one.Credential) + tt.wrong})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Listen(); err != nil {
			t.Fatal(err)
		}
		relay, err := client.Allocate()
		if err != nil && strings.Contains(err.Error(), "438") { // asks for another try (RFC 8489 §9.2.5)
			relay, err = client.Allocate()
		}
		if err == nil {
			relay.Close()
		}
		if (err == nil) != tt.taken || err != nil && !strings.Contains(err.Error(), "401") {
			t.Errorf("%s: %v, want that it is taken: %v", name, err, tt.taken)
		}
		client.Close()
		conn.Close()
	}
}

// A browser that reaches only the TURN server publishes with the Studio, publishes and plays with our SDK, and watches on the page for viewers. Its
// SDK session is lost and comes back. The TURN servers and the passwords come from the server alone.
func TestLongTURNBrowsers(t *testing.T) {
	t.Parallel()
	c := startCoturn(t)
	s := startServer(t, c.settings...)
	t.Cleanup(func() { c.isSecret(t, s, nil) })
	t.Run("studio", func(t *testing.T) {
		receiver := testkit.NewRTMPServer(t, testkit.Script{})
		b := startBrowser(t, "publish-page.mjs", s.page, "--name", "studio", "--rtmp", receiver.URL("live/key"), "--relay")
		if live := b.await("live").Displayed; live["ways"] != "relay" {
			t.Errorf("the page publishes by %q, want only the TURN server: %v", live["ways"], live)
		}
		receiver.Wait(t, "pictures and sound", func() bool {
			return lastPicture(receiver) > time.Second && lastSound(receiver) > time.Second
		})
		b.stop()
	})
	t.Run("sdk", func(t *testing.T) {
		receiver := testkit.NewRTMPServer(t, testkit.Script{})
		b := startBrowser(t, "sdk.mjs", s.page, "--socket", s.socket, "--name", "sdk", "--rtmp", receiver.URL("live"), "--relay")
		for _, step := range []struct{ event, ways string }{
			{"live", "relay relay"}, {"kept", "relay relay"}, {"restored", "relay relay relay relay"},
		} {
			if now := b.await(step.event).Displayed; now["ways"] != step.ways || now["errors"] != "" {
				t.Errorf("%s: %v, want %s", step.event, now, step.ways)
			}
		}
		receiver.Wait(t, "pictures and sound", func() bool {
			return lastPicture(receiver) > time.Second && lastSound(receiver) > time.Second
		})
		b.stop()
	})
	t.Run("watch", func(t *testing.T) {
		publishRTMP(t, s, "show", 640, 360)
		b := startBrowser(t, "watch.mjs", s.page, "--name", "show", "--relay")
		b.await("open")
		b.say("plays")
		if now := b.await("seen").Displayed; now["ways"] != "relay" {
			t.Errorf("the page plays by %q, want only the TURN server: %v", now["ways"], now)
		}
		b.stop()
	})
	if n := strings.Count(c.said(), "ALLOCATE processed, success"); n < 6 {
		t.Errorf("coturn has seen %d clients, want at least 6", n)
	}
}
