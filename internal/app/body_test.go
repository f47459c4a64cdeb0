package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"transponder/internal/config"
	"transponder/internal/testkit"
)

// runApp runs a whole server on free ports until the test ends.
func runApp(t *testing.T, settings ...string) *App {
	t.Helper()
	dir := t.TempDir()
	cfg, warnings, err := config.Load(config.Sources{Set: append([]string{
		"http.port=0", "https.port=0", "ws.port=0", "wss.port=0", "rtmp.port=0", "media_port_from=0",
		"tls_dir=" + dir, "media_dir=" + dir, "state_dir=" + dir + "/state", "max_load_percent=0",
	}, settings...)})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("settings: %v, %v", warnings, err)
	}
	a, err := New(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return a
}

// dialApp connects to one of the ports of the server.
func dialApp(l net.Listener, secure bool) (net.Conn, error) {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, patience)
	if err != nil || !secure {
		return conn, err
	}
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}), nil
}

// A body that never arrives, or only in part, does not keep its connection open: on every port and with every handler, the answer and the
// end of the connection come in time. The test uses real sockets, since net/http waits for the rest of a body.
func TestUnfinishedBodies(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("ann:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := runApp(t)
	closed := runApp(t, "disable_rest_auth=false", "rest_users_file="+users)
	requests := []struct {
		app           *App
		line, headers string
		want          int
	}{
		{open, "POST /rest-api/push/find", "", 408},
		{open, "GET /rest-api/push/find_all", "", 404}, // there are no pushes
		{open, "GET /rest-api/push/find", "", 405},
		{open, "POST /rest-api/nothing", "", 404},
		{open, "POST /rest-api/push/startup", "Origin: http://evil.test\r\n", 403},
		{open, "OPTIONS /rest-api/push/startup", "", 204},
		{closed, "POST /rest-api/push/find", "", 401},
		{closed, "POST /rest-api/push/find", "Authorization: Basic YW5uOnNlY3JldA==\r\n", 408},
		{open, "POST /whip/x", "Content-Type: application/sdp\r\n", 408},
		{open, "POST /whep/x", "Content-Type: application/sdp\r\n", 408},
		{open, "POST /whip/x", "Content-Type: text/plain\r\n", 415},
		{open, "DELETE /whip/x/y", "", 404},
		{open, "GET /", "", 0}, // the pages may not be built
		{open, "POST /", "", 405},
		{open, "GET /health/live", "", 200},
		{open, "GET /metrics", "", 200},
		{open, "GET /?action=stat", "", 200},
		{open, "GET /ws", "", 426},
	}
	bodies := map[string]string{
		"a short one":            "Content-Length: 5000\r\n\r\n{",
		"a long one":             "Content-Length: 500000\r\n\r\n{",
		"a long one, none of it": "Content-Length: 500000\r\n\r\n",
		"chunks":                 "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"half a chunk":           "Transfer-Encoding: chunked\r\n\r\nffff\r\n{",
	}
	var wg sync.WaitGroup
	if bodyTimeout+restTimeout+patience >= answerTimeout {
		t.Fatal("a connection may stay open for longer than this test waits")
	}
	for _, r := range requests {
		for name, body := range bodies {
			for _, secure := range []bool{false, true} {
				wg.Go(func() {
					l := map[bool]net.Listener{false: r.app.http, true: r.app.https}[secure]
					if err := askUnfinished(l, secure, r.line+" HTTP/1.1\r\nHost: localhost\r\n"+r.headers+body, r.want); err != nil {
						t.Errorf("%s with %s, TLS %t: %v", r.line, name, secure, err)
					}
				})
			}
		}
	}
	wg.Wait()
}

// patience is how much longer than it should take an answer may take on a busy machine. A connection that the server does not end itself is
// open much longer: until answerTimeout or idleTimeout, or for ever.
const patience = 30 * time.Second

// askUnfinished sends a request and expects an answer, and then the end of the connection. The time begins after the handshake, because the
// requests of the test are many, and their handshakes take the whole machine.
func askUnfinished(l net.Listener, secure bool, request string, want int) error {
	conn, err := dialApp(l, secure)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if c, ok := conn.(*tls.Conn); ok {
		if err := c.Handshake(); err != nil {
			return err
		}
	}
	begun := time.Now()
	conn.SetDeadline(begun.Add(bodyTimeout + restTimeout + patience))
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	if c, ok := conn.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol != "http/1.1" {
		return fmt.Errorf("the protocol is %q", c.ConnectionState().NegotiatedProtocol)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return fmt.Errorf("no answer after %v: %w", time.Since(begun).Round(time.Second), err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != want && want != 0 {
		return fmt.Errorf("answer = %d, want %d", resp.StatusCode, want)
	}
	if _, err := io.Copy(io.Discard, in); errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection is still open")
	}
	return nil
}

// After a complete body the connection can be used again, and has no deadline that would end an event stream.
func TestFinishedBody(t *testing.T) {
	a := runApp(t)
	conn, err := dialApp(a.http, false)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(conn)
	for range 3 {
		for _, body := range []string{"Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"} {
			fmt.Fprint(conn, "POST /rest-api/push/find HTTP/1.1\r\nHost: localhost\r\n"+body)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Close {
				t.Fatalf("the connection closes after %d: %v", resp.StatusCode, err)
			}
		}
	}
	// A request with a body, and an answer without an end.
	fmt.Fprint(conn, "GET /rest-api/push/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("events: %v, %v", resp, err)
	}
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "retry:") {
		t.Errorf("events begin with %q, %v", line, err)
	}
}

// One address may use its share of all connections and WebSockets, and other addresses are still served.
func TestOneAddressTakesAll(t *testing.T) {
	a := runApp(t, "http_max_connections=50", "ws_max_sessions=20")
	_, port, err := net.SplitHostPort(a.http.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
		conn, err := d.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		return conn
	}
	ask := func(conn net.Conn, request string) int {
		fmt.Fprint(conn, request)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	upgrade := func(client string) string {
		return "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Forwarded-For: " + client +
			"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	}
	for range 4 {
		if got := ask(dial("127.0.0.1"), upgrade("203.0.113.1")); got != http.StatusSwitchingProtocols {
			t.Fatalf("a socket of a share gets %d", got)
		}
	}
	if got := ask(dial("127.0.0.1"), upgrade("203.0.113.1")); got != http.StatusServiceUnavailable {
		t.Errorf("one socket more than its share gets %d, want 503", got)
	}
	if got := ask(dial("127.0.0.1"), upgrade("203.0.113.2")); got != http.StatusSwitchingProtocols {
		t.Errorf("a socket of another client gets %d", got)
	}
	for range 60 {
		dial("127.0.0.1")
	}
	if got := ask(dial("127.0.0.2"), "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"); got != http.StatusOK {
		t.Errorf("while one address takes all it can, another gets %d", got)
	}
}

// Users and certificates are read again; a file that cannot be used changes nothing.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	users, certFile, keyFile := filepath.Join(dir, "users"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	enroll := func(name string) {
		t.Helper()
		hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		write(users, []byte(name+":"+string(hash)+"\n"))
	}
	certify := func() {
		t.Helper()
		cert, key := testkit.NewAuthority(t).Sign(x509.Certificate{DNSNames: []string{"localhost"}})
		write(certFile, cert)
		write(keyFile, key)
	}
	enroll("ann")
	certify()
	a := runApp(t, "disable_rest_auth=false", "rest_users_file="+users, "tls_cert_file="+certFile, "tls_key_file="+keyFile)
	state := func() (ann, bob int, serial string) {
		t.Helper()
		_, port, _ := net.SplitHostPort(a.https.Addr().String())
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		ask := func(name string) int {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://localhost:"+port+"/rest-api/push/find_all", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth(name, "secret")
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			serial = resp.TLS.PeerCertificates[0].SerialNumber.String()
			return resp.StatusCode
		}
		return ask("ann"), ask("bob"), serial
	}
	ann, bob, first := state()
	if ann != 404 || bob != 401 {
		t.Fatalf("ann gets %d and bob %d", ann, bob)
	}
	enroll("bob")
	certify()
	if _, err := a.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	ann, bob, second := state()
	if ann != 401 || bob != 404 || second == first {
		t.Errorf("afterwards ann gets %d and bob %d, with the old certificate %t", ann, bob, second == first)
	}
	write(users, []byte("nonsense"))
	write(certFile, []byte("nonsense"))
	if _, err := a.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if ann, bob, third := state(); ann != 401 || bob != 404 || third != second {
		t.Errorf("after broken files ann gets %d and bob %d, with another certificate %t", ann, bob, third != second)
	}
}

// A state folder in which the node cannot write its name costs nothing but that.
func TestStartWithoutNodeFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "node", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if a := runApp(t, "state_dir="+dir); a.records == nil {
		t.Error("pushes do not outlive the server")
	}
}
