//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/testkit"
)

// guide returns a document, and the blocks of code of one language in it.
func guide(t *testing.T, name, language string) (text string, blocks []string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		blocks = append(blocks, m[1])
	}
	return string(b), blocks
}

// command makes a command of a guide, with the RTMP port of the server, and with small pictures: the machine has others to encode for. It gets the
// signal of Ctrl+C when the context ends.
func (s *server) command(ctx context.Context, dir, text string) (cmd *exec.Cmd, said *safeBuffer) {
	text = strings.NewReplacer("rtmp://localhost:1935/live", s.rtmp, "1280x720", "320x180", "width=1280,height=720", "width=320,height=180").Replace(text)
	cmd = exec.CommandContext(ctx, "sh", "-c", "exec "+text)
	cmd.Dir = dir
	said = &safeBuffer{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	return cmd, said
}

// publishBy runs a command of a guide until the test ends, and returns when its stream is there.
func (s *server) publishBy(t *testing.T, dir, text, stream string) {
	t.Helper()
	cmd, said := s.command(t.Context(), dir, text)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	})
	testkit.Eventually(t, 30*time.Second, func() string {
		if code := s.post("/stream/find", map[string]string{"name": stream}, nil); code != http.StatusOK {
			return fmt.Sprintf("there is no stream %s: %s", stream, said.String())
		}
		return ""
	})
}

// playBy runs a command of a guide that ends by itself.
func (s *server) playBy(t *testing.T, dir, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd, said := s.command(ctx, dir, text)
	if err := cmd.Run(); err != nil || ctx.Err() != nil {
		t.Fatalf("%s: %v, %v\n%s", text, err, ctx.Err(), said.String())
	}
}

// The commands of docs/ffmpeg.md publish, and play what was published.
func TestGuideFFmpeg(t *testing.T) {
	t.Parallel()
	_, commands := guide(t, "ffmpeg.md", "sh")
	if len(commands) != 3 {
		t.Fatalf("%d commands, want 3", len(commands))
	}
	s, dir := startServer(t), t.TempDir()
	if out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-f", "lavfi", "-i", "sine", "-t", "2",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30", "-c:a", "aac", dir+"/show.mp4").CombinedOutput(); err != nil {
		t.Fatalf("make a file: %v\n%s", err, out)
	}
	s.publishBy(t, dir, commands[1], "file")
	s.publishBy(t, dir, commands[0], "test")
	s.playBy(t, dir, commands[2])
	kinds, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0", dir+"/record.mkv").Output()
	if got := strings.Fields(string(kinds)); err != nil || len(got) != 2 || got[0] != "h264,320" || got[1] != "aac" {
		t.Errorf("the record has %q, want H.264 and AAC; %v", got, err)
	}
}

// The commands of docs/gstreamer.md publish by RTMP, and play that.
func TestGuideGStreamer(t *testing.T) {
	t.Parallel()
	_, commands := guide(t, "gstreamer.md", "sh")
	if len(commands) != 2 {
		t.Fatalf("%d commands, want 2", len(commands))
	}
	s, dir := startServer(t), t.TempDir()
	s.publishBy(t, dir, commands[0], "gst")
	var found []struct{ HasVideo, HasAudio bool }
	testkit.Eventually(t, 20*time.Second, func() string {
		if s.post("/stream/find", map[string]string{"name": "gst"}, &found); len(found) != 1 || !found[0].HasVideo || !found[0].HasAudio {
			return fmt.Sprintf("the stream has %+v, want picture and sound", found)
		}
		return ""
	})
	s.playBy(t, dir, commands[1])
}

// proxied is a server behind a proxy, and a client that reaches it as live.example.com through the proxy.
type proxied struct {
	*server
	client *http.Client
	token  string
}

const proxyName = "live.example.com"

// behindProxy starts a server as docs/proxy.md says, and a proxy by run, which gets a folder, the port for TLS, certificate and key, and the replacer
// for what stands in the document.
func behindProxy(t *testing.T, run func(dir, port string, in *strings.Replacer)) *proxied {
	t.Helper()
	_, settings := guide(t, "proxy.md", "properties")
	if len(settings) != 1 {
		t.Fatalf("%d blocks of settings, want 1", len(settings))
	}
	set := []string{"token_secret=" + tokenSecret}
	for line := range strings.Lines(strings.Replace(settings[0], "203.0.113.7", "127.0.0.1", 1)) {
		set = append(set, strings.TrimSpace(line))
	}
	p := &proxied{server: startServer(t, set...)}
	dir, port := t.TempDir(), testkit.FreePort(t)
	authority := testkit.NewAuthority(t)
	cert, key := authority.Write(dir, x509.Certificate{DNSNames: []string{proxyName}})
	at := strings.TrimSuffix(strings.TrimPrefix(p.page, "http://localhost"), "/")
	run(dir, port, strings.NewReplacer("/etc/ssl/live/fullchain.pem", cert, "/etc/ssl/live/privkey.pem", key, "127.0.0.1:8081", "127.0.0.1"+at,
		"listen 443 ssl", "listen 127.0.0.1:"+port+" ssl", proxyName+" {", proxyName+":"+port+" {\n    bind 127.0.0.1\n    tls "+cert+" "+key))
	p.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: authority.Pool()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
	t.Cleanup(p.client.CloseIdleConnections)
	p.token = ticket(t, "guest", grant{Actions: []string{"publish", "play", "push", "admin"}, Streams: []string{"*"}}, nil)
	testkit.Eventually(t, 15*time.Second, func() string {
		resp, err := p.client.Get("https://" + proxyName + "/")
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	})
	return p
}

// ask makes a request through the proxy as a page of the server does, with the token if there is one.
func (p *proxied) ask(ctx context.Context, method, path, token, contentType, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+proxyName+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Origin", "https://"+proxyName)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return p.client.Do(req)
}

// judge goes through the proxy by every door: pages and documentation, REST, WHIP, events and the WebSocket.
func (p *proxied) judge(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for path, want := range map[string]int{"/docs/proxy.html": http.StatusOK, "/metrics": http.StatusUnauthorized, "/rest-api/stream/find_all": http.StatusUnauthorized} {
		resp, err := p.ask(ctx, http.MethodGet, path, "", "", "")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s without a credential answers %s, want %d", path, resp.Status, want)
		}
	}

	publisher := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	var session string
	ended := make(chan error, 1)
	publishing, leave := context.WithCancel(ctx)
	go func() {
		ended <- publisher.Run(publishing, func(ctx context.Context, offer string) (string, error) {
			resp, err := p.ask(ctx, http.MethodPost, "/whip/cam", p.token, "application/sdp", offer)
			if err != nil {
				return "", err
			}
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusCreated {
				return "", fmt.Errorf("WHIP answers %s %s", resp.Status, answer)
			}
			session = resp.Header.Get("Location")
			return string(answer), err
		})
	}()
	defer func() {
		leave()
		<-ended
	}()
	select {
	case <-publisher.Connected():
	case err := <-ended:
		ended <- err
		t.Fatalf("publish: %v", err)
	case <-ctx.Done():
		t.Fatal("the publisher does not connect")
	}

	events, err := p.ask(ctx, http.MethodGet, "/rest-api/push/events", p.token, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	started, err := p.ask(ctx, http.MethodPost, "/rest-api/push/startup", p.token, "application/json", `{"streamName": "cam", "rtmpUrl": "`+p.rtmp+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(started.Body)
	started.Body.Close()
	if started.StatusCode != http.StatusOK {
		t.Fatalf("startup answers %s %s", started.Status, text)
	}
	// Only what the proxy passes on at once is here before the test ends: the answer has no end.
	lines := bufio.NewScanner(events.Body)
	for lines.Scan() && lines.Text() != "event: push" {
	}
	if err := lines.Err(); err != nil || lines.Text() != "event: push" {
		t.Fatalf("no event of the push comes: %q %v", lines.Text(), err)
	}

	conn, _, err := websocket.Dial(ctx, "wss://"+proxyName+"/ws", &websocket.DialOptions{HTTPClient: p.client, HTTPHeader: http.Header{"Origin": {"https://" + proxyName}}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	page := &sdk{t: t, conn: conn}
	page.send("connection", map[string]any{"appKey": "defaultApp", "mediaProviders": []string{"WebRTC"}, "custom": map[string]string{"token": p.token}})
	page.await("getUserData")

	resp, err := p.ask(ctx, http.MethodDelete, session, p.token, "", "")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("DELETE %s answers %s, want 200", session, resp.Status)
	}
}

// The file for nginx in docs/proxy.md does what the document says, with TLS.
func TestGuideNginx(t *testing.T) {
	t.Parallel()
	_, files := guide(t, "proxy.md", "nginx")
	if len(files) != 1 {
		t.Fatalf("%d files for nginx, want 1", len(files))
	}
	behindProxy(t, func(dir, _ string, in *strings.Replacer) {
		conf := "daemon off;\npid DIR/nginx.pid;\nerror_log stderr warn;\nevents { worker_connections 64; }\nhttp {\naccess_log off;\nclient_body_temp_path DIR;\n" +
			"proxy_temp_path DIR;\nfastcgi_temp_path DIR;\nuwsgi_temp_path DIR;\nscgi_temp_path DIR;\n"
		conf = strings.ReplaceAll(conf, "DIR", dir) + in.Replace(files[0]) + "}\n"
		if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"-c", filepath.Join(dir, "nginx.conf"), "-p", dir}
		if os.Geteuid() == 0 {
			args = append(args, "-g", "user root;")
		}
		background(t, nil, "nginx", args...)
	}).judge(t)
}

// The file for Caddy in docs/proxy.md does what the document says. The certificate is of the test's own authority.
func TestLongGuideCaddy(t *testing.T) {
	_, files := guide(t, "proxy.md", "text")
	if len(files) != 1 {
		t.Fatalf("%d files for Caddy, want 1", len(files))
	}
	if _, err := exec.LookPath("caddy"); err != nil {
		t.Fatal("caddy is missing: apt-get install caddy")
	}
	behindProxy(t, func(dir, _ string, in *strings.Replacer) {
		file := "{\n    admin off\n    auto_https off\n}\n" + in.Replace(files[0])
		if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		background(t, []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}, "caddy", "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
	}).judge(t)
}
