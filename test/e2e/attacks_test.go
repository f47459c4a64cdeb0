//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"transponder/api"
	"transponder/internal/rtmp"
	"transponder/internal/testkit"
)

// fortress is a server with access=closed, HTTPS and certificates of clients. Two streams are live: acme/live by WHIP, and acme/box by RTMP.
type fortress struct {
	*server
	secure    string // the address of HTTPS, without a slash at the end
	authority *testkit.Authority
	live      string // the public id of acme/live
	location  string // the secret address of the WHIP session
}

func newFortress(t *testing.T) *fortress {
	t.Helper()
	dir := t.TempDir()
	f := &fortress{authority: testkit.NewAuthority(t)}
	certFile, keyFile := f.authority.Write(dir, x509.Certificate{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	caFile := filepath.Join(dir, "clients.pem")
	if err := os.WriteFile(caFile, f.authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	port := testkit.FreePort(t)
	f.server = startServer(t, "access=closed", "token_secret="+tokenSecret, "https.port="+port, "tls_cert_file="+certFile, "tls_key_file="+keyFile,
		"tls_client_auth=optional", "tls_client_ca_file="+caFile, "tls_client_roles=CN=watcher:viewer,CN=ops:admin",
		"admin_password=the-admins-password")
	f.secure = "https://localhost:" + port
	mine := ticket(t, "acme", grant{Actions: []string{"publish", "play", "push", "read", "control"}, Streams: []string{"acme/*"}}, nil)
	f.publish(t, "acme%2Flive", mine)
	var found []struct{ MediaSessionID string }
	f.asAdmin(t, "/stream/find", map[string]string{"name": "acme/live"}, &found)
	f.live = found[0].MediaSessionID
	return f
}

// publish publishes a stream by WHIP until the test ends.
func (f *fortress) publish(t *testing.T, name, token string) {
	t.Helper()
	p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- p.Run(ctx, func(_ context.Context, offer string) (string, error) {
			status, header, answer := bearer(t, http.MethodPost, f.whipURL(name), token, "application/sdp", offer)
			if status != http.StatusCreated {
				return "", fmt.Errorf("%d %s", status, answer)
			}
			f.location = strings.TrimSuffix(f.page, "/") + header.Get("Location")
			return answer, nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-p.Connected():
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("the publisher does not connect")
	}
}

// client makes requests over TLS, with a certificate if one is given.
func (f *fortress) client(certificates ...tls.Certificate) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: f.authority.Pool(), Certificates: certificates},
	}}
}

// ask makes a request with headers, and returns the status and the body of the answer.
func ask(t *testing.T, c *http.Client, method, address, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, address, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// restPaths returns all methods of REST with their paths, such as "POST /push/startup".
func restPaths(t *testing.T) []string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^  (/[a-z_/]+):\n    (get|post):`).FindAllSubmatch(api.OpenAPI, -1)
	if len(found) < 40 {
		t.Fatalf("%d paths", len(found))
	}
	var all []string
	for _, m := range found {
		all = append(all, strings.ToUpper(string(m[2]))+" "+string(m[1]))
	}
	return all
}

// TestAttacksOnClosedServer has the attacks of docs/attacks.md on a server that lets nobody in without a credential. The attackers are on the
// machine itself, where access=auto would let them in.
func TestAttacksOnClosedServer(t *testing.T) {
	t.Parallel()
	f := newFortress(t)
	t.Run("lies", f.lies)
	t.Run("names", f.names)
	t.Run("time", f.time)
	t.Run("certificates", f.certificates)
	t.Run("TLS", f.tls)
	t.Run("login", f.login)
	t.Run("odd names", f.oddNames)
	t.Run("questions nobody has", f.noSuchThing)
	t.Run("log", f.log) // last: it reads what the others have left
}

// lies: whatever a stranger claims about where he comes from, he gets the same answer everywhere: 401.
func (f *fortress) lies(t *testing.T) {
	claims := [][]string{
		{}, {"X-Forwarded-For", "127.0.0.1"}, {"Forwarded", "for=127.0.0.1;host=localhost"}, {"X-Real-IP", "::1"}, {"Host", "localhost"}, {"Host", "evil.example"},
		{"Origin", "http://localhost"}, {"Origin", "null"}, {"Sec-Fetch-Site", "same-origin"}, {"X-Forwarded-Proto", "https"},
		{"X-Forwarded-Client-Cert", `Subject="CN=ops"`}, {"X-SSL-Client-S-DN", "CN=ops"}, {"X-Remote-User", "admin"}, {"X-HTTP-Method-Override", "GET"},
		{"Cookie", "transponder-80=x; __Host-transponder-443=x"}, {"Authorization", "Bearer"}, {"Authorization", "Basic Og=="}, {"Authorization", "Negotiate x"},
	}
	plain := &http.Client{Timeout: 10 * time.Second}
	for base, c := range map[string]*http.Client{strings.TrimSuffix(f.page, "/"): plain, f.secure: f.client()} {
		for _, lie := range claims {
			resp, body := ask(t, c, "POST", base+"/rest-api/push/find_all", `{"empty":true}`, lie...)
			if resp.StatusCode != 401 && (resp.StatusCode != 403 || lie[0] != "Host" && lie[0] != "Origin") {
				t.Errorf("%s with %q: %d %s", base, lie, resp.StatusCode, body)
			}
		}
		all := []string{"X-Forwarded-For", "127.0.0.1", "X-Real-IP", "127.0.0.1"}
		for _, line := range restPaths(t) {
			method, path, _ := strings.Cut(line, " ")
			if path == "/session" {
				continue // whoever logs in is nobody yet; see login
			}
			resp, body := ask(t, c, method, base+"/rest-api"+path, `{"name":"acme/live","id":"x"}`, all...)
			if resp.StatusCode != 401 || strings.Contains(body, "acme/live") {
				t.Errorf("%s%s: %d %s", base, path, resp.StatusCode, body)
			}
		}
		for path, want := range map[string]int{
			"/metrics": 401, "/?action=stat": 401, "/?action=stat&format=json": 401, "/health/live": 200, "/health/ready": 200, "/config.json": 200,
			"/debug/pprof/": 401, "/debug/pprof/heap": 401, "/debug/vars": 404, "/.git/config": 404, "/state/state.db": 404, "/flashphoner.properties": 404, "/rest-api/": 401,
		} {
			resp, body := ask(t, c, "GET", base+path, "", all...)
			if resp.StatusCode != want && !(want == 401 && resp.StatusCode == 404) {
				t.Errorf("%s%s: %d %.200s, want %d", base, path, resp.StatusCode, body, want)
			}
			if strings.Contains(body, "acme/") || strings.Contains(body, `"version":"`) && !strings.Contains(body, `"version":""`) {
				t.Errorf("%s%s tells strangers %s", base, path, body)
			}
		}
		// A name that is a JSONP callback, and a token in the address, are nothing to us.
		good := ticket(t, "boss", grant{Actions: []string{"admin"}, Streams: []string{"*"}}, nil)
		resp, body := ask(t, c, "GET", base+"/rest-api/stream/find_all?callback=steal&token="+good, "")
		if resp.StatusCode != 401 || strings.Contains(body, "steal") {
			t.Errorf("a token in the address: %d %s", resp.StatusCode, body)
		}
		resp, body = ask(t, c, "GET", base+"/rest-api/stream/find_all?callback=steal", "", "Authorization", "Bearer "+good)
		if resp.StatusCode != 200 || strings.Contains(body, "steal") || resp.Header.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
			t.Errorf("a callback: %d %v %s", resp.StatusCode, resp.Header, body)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, f.socket, &websocket.DialOptions{HTTPHeader: http.Header{"X-Forwarded-For": {"127.0.0.1"}, "Origin": {"http://localhost"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	_ = conn.Write(ctx, websocket.MessageText, []byte(`{"message":"connection","data":[{"appKey":"defaultApp"}]}`))
	if _, text, err := conn.Read(ctx); err != nil || !strings.Contains(string(text), "Restricted access") {
		t.Errorf("the WebSocket says %s, %v", text, err)
	}
	if err := f.rtmpPublish(t, "acme/new"); err == nil || !strings.Contains(err.Error(), "a valid token") {
		t.Errorf("RTMP: %v", err)
	}
}

// rtmpPublish publishes a name, which may have a query, by RTMP.
func (s *server) rtmpPublish(t *testing.T, name string) error {
	t.Helper()
	u, err := url.Parse(s.rtmp)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", u.Host, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := rtmp.NewClient(conn, rtmp.ClientConfig{App: "live", TCURL: s.rtmp, StreamName: name})
	if err := errors.Join(c.Handshake(), c.Connect()); err != nil {
		return err
	}
	return c.Publish()
}

// times are in the errors of REST.
var times = regexp.MustCompile(`\b\d{13}\b`)

// names: who has rights to other streams learns by no answer of any door whether a name is in use.
func (f *fortress) names(t *testing.T) {
	theirs := ticket(t, "beta", grant{Actions: []string{"publish", "play", "push", "read", "control"}, Streams: []string{"beta/*"}}, func(c jwt.MapClaims) {
		c["transponder"] = map[string]any{"v": 1, "grants": []any{map[string]any{
			"actions": []string{"publish", "play", "push", "read", "control"}, "streams": []string{"beta/*"}, "urls": []string{"*"}, "destinations": []string{"*"},
		}}}
	})
	// There is one, and there is none. The ids have one length.
	real := [2]string{"acme/live", f.live}
	none := [2]string{"acme/none", strings.Repeat("x", len(f.live))}
	stable := func(text string, of [2]string) string {
		text = times.ReplaceAllString(text, "TIME")
		return strings.NewReplacer(of[0], "NAME", url.PathEscape(of[0]), "NAME", of[1], "ID").Replace(text)
	}
	same := func(what string, try func(of [2]string) string) {
		t.Helper()
		if a, b := stable(try(real), real), stable(try(none), none); a != b {
			t.Errorf("%s: %q where there is a stream, %q where there is none", what, a, b)
		}
	}
	plain := &http.Client{Timeout: 10 * time.Second}
	for who, token := range map[string]string{"nobody": "", "another tenant": theirs} {
		show := func(r *http.Response, body string) string {
			return fmt.Sprint(r.StatusCode, r.Header.Get("WWW-Authenticate"), body)
		}
		auth := []string{"Content-Type", "application/json"}
		if token != "" {
			auth = append(auth, "Authorization", "Bearer "+token)
		}
		for _, line := range restPaths(t) {
			method, path, _ := strings.Cut(line, " ")
			if slices.Contains([]string{"/push/events", "/session", "/token/create", "/key/create", "/openapi_specification"}, path) {
				continue // about no stream
			}
			same(who+" "+path, func(of [2]string) string {
				body := fmt.Sprintf(`{"name":%q,"streamName":%q,"localStreamName":%q,"mediaSessionId":%q,"id":%q,"sessionId":%q,"callId":%q,"rtmpUrl":"rtmp://192.0.2.1/live","callee":"x","toStream":%q,"digit":"1"}`,
					of[0], of[0], of[0], of[1], of[1], of[1], of[1], of[0])
				return show(ask(t, plain, method, f.rest+path, body, auth...))
			})
		}
		auth[1] = "application/sdp"
		for _, door := range []string{"whip", "whep"} {
			same(who+" "+door, func(of [2]string) string {
				return show(ask(t, plain, "POST", f.page+door+"/"+url.PathEscape(of[0]), "v=0\r\n", auth...))
			})
			for _, method := range []string{"DELETE", "PATCH", "GET"} { // the id that REST shows is not the secret
				same(who+" "+method+" "+door, func(of [2]string) string {
					return show(ask(t, plain, method, f.page+door+"/"+url.PathEscape(of[0])+"/"+of[1], "", auth...))
				})
			}
		}
		same(who+" RTMP", func(of [2]string) string { return f.rtmpPublish(t, of[0]+"?token="+token).Error() })
	}
	page := f.openPage(t, theirs)
	for _, m := range []string{"publishStream", "playStream", "snapshot", "availableStream"} {
		same("page "+m, func(of [2]string) string {
			page.send(m, map[string]any{"mediaSessionId": "s-" + m, "name": of[0], "sdp": "v=0\r\n", "mediaProvider": "WebRTC", "hasVideo": true, "hasAudio": true})
			return page.next()
		})
	}
	if code, _, answer := bearer(t, "POST", f.rest+"/stream/find_all", theirs, "application/json", `{"empty":true}`); strings.Contains(answer, "acme") {
		t.Errorf("the list of another tenant has %d %s", code, answer)
	}
	f.stillLive(t)
}

// openPage opens a session of the Web SDK with a token.
func (s *server) openPage(t *testing.T, token string) *sdk {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	c := &sdk{t: t, conn: conn}
	c.send("connection", map[string]any{"appKey": "defaultApp", "mediaProviders": []string{"WebRTC"}, "custom": map[string]string{"token": token}})
	c.await("getUserData")
	return c
}

// next returns the next message that is no ping.
func (c *sdk) next() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, b, err := c.conn.Read(ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(`"message":"ping"`)) {
			return string(b)
		}
	}
}

// stillLive fails if the attacks have ended the stream.
func (f *fortress) stillLive(t *testing.T) {
	t.Helper()
	var found []struct{ Status, MediaSessionID string }
	f.asAdmin(t, "/stream/find", map[string]string{"name": "acme/live"}, &found)
	if len(found) != 1 || found[0].Status != "PUBLISHING" || found[0].MediaSessionID != f.live {
		t.Errorf("acme/live is %v", found)
	}
}

// time: the answer takes as long where there is a stream as where there is none. The requests take turns, so that other work on the machine
// slows both down alike. Of pairs of one answer each, about half must be slower with the stream.
func (f *fortress) time(t *testing.T) {
	const pairs = 300
	theirs := ticket(t, "beta", grant{Actions: []string{"publish", "play"}, Streams: []string{"beta/*"}}, nil)
	client := &http.Client{Timeout: 10 * time.Second} // one connection
	for _, door := range []string{"whip", "whep"} {
		slower := 0
		once := func(name string) time.Duration {
			begun := time.Now()
			if resp, body := ask(t, client, "POST", f.page+door+"/"+name, "v=0\r\n", "Content-Type", "application/sdp", "Authorization", "Bearer "+theirs); resp.StatusCode != 403 {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			return time.Since(begun)
		}
		for i := range pairs {
			names := []string{"acme%2Flive", "acme%2Fnone"}
			if i%2 == 1 {
				slices.Reverse(names)
			}
			first, second := once(names[0]), once(names[1])
			if (first > second) == (i%2 == 0) {
				slower++
			}
		}
		// By chance the share is between 0.33 and 0.67 in all but one of a hundred million runs.
		if share := float64(slower) / pairs; share < 0.33 || share > 0.67 {
			t.Errorf("%s: with a stream the answer is the slower one in %.2f of the pairs", door, share)
		}
	}
}

// certificates: a certificate counts if our authority has signed it, it is valid, it is for clients, and it has a role. It counts for nobody's
// page, and for no door of media that a page could reach.
func (f *fortress) certificates(t *testing.T) {
	forged := testkit.NewAuthority(t) // has the same name as ours
	made := func(by *testkit.Authority, change func(*x509.Certificate)) tls.Certificate {
		template := x509.Certificate{Subject: pkix.Name{CommonName: "ops"}}
		change(&template)
		pair, err := tls.X509KeyPair(by.Sign(template))
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	// A holder of a certificate signs one himself.
	watcher := f.authority.Client("watcher")
	parent, err := x509.ParseCertificate(watcher.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "ops"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, parent, key.Public(), watcher.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	chained := tls.Certificate{Certificate: [][]byte{der, watcher.Certificate[0]}, PrivateKey: key}
	ops := f.authority.Client("ops")
	for _, tt := range []struct {
		name        string
		certificate []tls.Certificate
		reads, rule int // statuses of a list and of a list for administrators; 0: no connection
	}{
		{"none", nil, 401, 401},
		{"an administrator", []tls.Certificate{ops}, 200, 200},
		{"a viewer", []tls.Certificate{watcher}, 200, 403},
		{"without a role", []tls.Certificate{f.authority.Client("somebody")}, 401, 401},
		{"nearly the name", []tls.Certificate{f.authority.Client("ops ")}, 401, 401},
		{"another case", []tls.Certificate{f.authority.Client("OPS")}, 401, 401},
		{"the name in another member", []tls.Certificate{made(f.authority, func(c *x509.Certificate) {
			c.Subject = pkix.Name{Organization: []string{"CN=ops"}}
			c.DNSNames = []string{"ops"}
		})}, 401, 401},
		{"of another authority", []tls.Certificate{forged.Client("ops")}, 0, 0},
		{"expired", []tls.Certificate{made(f.authority, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}, 0, 0},
		{"of the future", []tls.Certificate{made(f.authority, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(48 * time.Hour) })}, 0, 0},
		{"signed by a client", []tls.Certificate{chained}, 0, 0},
	} {
		c := f.client(tt.certificate...)
		for path, want := range map[string]int{"/push/history": tt.reads, "/user/find_all": tt.rule} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", f.secure+"/rest-api"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(r)
			got := 0
			if err == nil {
				got = resp.StatusCode
				resp.Body.Close()
			}
			if got != want {
				t.Errorf("%s gets %d from %s, want %d (%v)", tt.name, got, path, want, err)
			}
		}
	}
	// A page of a stranger in the browser of somebody who has a certificate.
	c := f.client(ops)
	for _, page := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}} {
		if resp, body := ask(t, c, "POST", f.secure+"/rest-api/user/create", `{"name":"eve","role":"admin"}`, append(page, "Content-Type", "text/plain")...); resp.StatusCode != 403 {
			t.Errorf("a page with %q and the visitor's certificate: %d %s", page, resp.StatusCode, body)
		}
		if resp, body := ask(t, c, "POST", f.secure+"/whip/acme%2Fnew", "v=0", append(page, "Content-Type", "application/sdp")...); resp.StatusCode != 401 && resp.StatusCode != 403 {
			t.Errorf("WHIP of a page with %q and the visitor's certificate: %d %s", page, resp.StatusCode, body)
		}
	}
	if resp, body := ask(t, c, "POST", f.secure+"/whip/acme%2Fnew", "v=0", "Content-Type", "application/sdp"); resp.StatusCode != 400 {
		t.Errorf("WHIP of a program with a certificate: %d %s", resp.StatusCode, body)
	}
}

// tls: no old versions, nothing else than TLS on the port, no answer to challenges of authorities that nobody has asked.
func (f *fortress) tls(t *testing.T) {
	host := strings.TrimPrefix(f.secure, "https://")
	for _, tt := range []struct {
		name string
		cfg  *tls.Config
		ok   bool
	}{
		{"TLS 1.3", &tls.Config{MinVersion: tls.VersionTLS13}, true},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"without forward secrecy", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, false},
		{"RC4", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}, false},
		{"a challenge of an authority", &tls.Config{NextProtos: []string{"acme-tls/1"}}, false},
		{"any name", &tls.Config{ServerName: "evil.example", InsecureSkipVerify: true}, true},
	} {
		tt.cfg.RootCAs = f.authority.Pool()
		conn, err := (&tls.Dialer{Config: tt.cfg}).DialContext(t.Context(), "tcp", host)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	if resp, body := ask(t, &http.Client{Timeout: 10 * time.Second}, "GET", "http://"+host+"/rest-api/stream/find_all", ""); resp.StatusCode != 400 {
		t.Errorf("plain HTTP on the port of HTTPS: %d %s", resp.StatusCode, body)
	}
	if resp, body := ask(t, f.client(), "GET", f.secure+"/.well-known/acme-challenge/x", ""); resp.StatusCode != 404 && resp.StatusCode != 401 {
		t.Errorf("a challenge over HTTP: %d %s", resp.StatusCode, body)
	}
}

// login: nobody logs in where others can listen; the cookie is for HTTPS alone; a planted cookie is no login.
func (f *fortress) login(t *testing.T) {
	const body = `{"name":"admin","password":"the-admins-password"}`
	plain := &http.Client{Timeout: 10 * time.Second}
	port := f.page[strings.LastIndexByte(f.page, ':')+1:]
	far := "http://" + net.JoinHostPort(ownAddress(t), strings.TrimSuffix(port, "/"))
	resp, said := ask(t, plain, "POST", far+"/rest-api/session", body)
	if resp.StatusCode != 403 || !strings.Contains(said, "https://") || len(resp.Cookies()) > 0 {
		t.Errorf("a login over plain HTTP: %d %s", resp.StatusCode, said)
	}
	resp, said = ask(t, f.client(), "POST", f.secure+"/rest-api/session", body, "Cookie", "planted=1; __Host-transponder-"+f.secure[strings.LastIndexByte(f.secure, ':')+1:]+"=planted")
	if resp.StatusCode != 200 || len(resp.Cookies()) != 1 {
		t.Fatalf("a login: %d %s %v", resp.StatusCode, said, resp.Cookies())
	}
	c := resp.Cookies()[0]
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || !strings.HasPrefix(c.Name, "__Host-") || c.Path != "/" || c.Domain != "" || c.Value == "planted" {
		t.Errorf("the cookie is %v", c)
	}
	for where, want := range map[string]int{f.secure: 200, strings.TrimSuffix(f.page, "/"): 401} {
		if resp, said := ask(t, f.client(), "GET", where+"/rest-api/user/find_all", "", "Cookie", c.Name+"="+c.Value); resp.StatusCode != want {
			t.Errorf("with the cookie, %s: %d %s, want %d", where, resp.StatusCode, said, want)
		}
	}
	for _, door := range []string{"whip", "whep"} {
		if resp, said := ask(t, f.client(), "POST", f.secure+"/"+door+"/acme%2Flive", "v=0", "Content-Type", "application/sdp", "Cookie", c.Name+"="+c.Value); resp.StatusCode != 401 {
			t.Errorf("%s with the cookie: %d %s", door, resp.StatusCode, said)
		}
	}
	if resp, said := ask(t, f.client(), "POST", f.secure+"/rest-api/stream/terminate", `{"name":"acme/live"}`, "Cookie", c.Name+"="+c.Value, "Origin", "https://evil.example"); resp.StatusCode != 403 {
		t.Errorf("a page of a stranger with the cookie: %d %s", resp.StatusCode, said)
	}
	f.stillLive(t)
}

// oddNames: a pattern covers no name that only looks as if it were inside, and a name is never a path.
func (f *fortress) oddNames(t *testing.T) {
	mine := ticket(t, "acme", grant{Actions: []string{"publish", "play"}, Streams: []string{"acme/*"}}, nil)
	for _, tt := range []struct {
		name string
		ok   bool // 400 for the offer, and not 403
	}{
		{"acme/cam", true}, {"acme/../beta/cam", true}, // a plain text within acme/*
		{"acme", false}, {"Acme/cam", false}, {"acme\u2044cam", false}, {"\u202eacme/cam", false}, {"beta/acme/cam", false}, {"acme\u0000/cam", false},
		{"beta/cam", false}, {"../acme/cam", false}, {"acm\u0435/cam", false}, {"rtmp://acme/cam", false}, {" acme/cam", false}, {strings.Repeat("a", 255), false},
	} {
		status, _, answer := bearer(t, "POST", f.page+"whip/"+url.PathEscape(tt.name), mine, "application/sdp", "v=0\r\n")
		if want := map[bool]int{true: 400, false: 403}[tt.ok]; status != want && !(status == 400 && strings.Contains(answer, "name")) {
			t.Errorf("%q: %d %s, want %d", tt.name, status, answer, want)
		}
	}
	// What a client writes into the path is the name, and no other one: a server that cleans paths would find beta/cam here.
	resp, body := ask(t, &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		"POST", f.page+"whip/acme/%2e%2e/beta", "v=0\r\n", "Content-Type", "application/sdp", "Authorization", "Bearer "+mine)
	if resp.StatusCode < 300 || resp.StatusCode == 400 {
		t.Errorf("a path that leads up: %d %s", resp.StatusCode, body)
	}
	for _, name := range []string{"acme/cam\x00x", "acme/../../etc/passwd", "acme/" + strings.Repeat("n", 300)} {
		err := f.rtmpPublish(t, name+"?token="+mine)
		var found []json.RawMessage
		f.asAdmin(t, "/stream/find_all", map[string]any{"empty": true}, &found)
		if err == nil && !strings.Contains(name, "etc") {
			t.Errorf("RTMP takes the name %q", name)
		}
	}
	if _, err := os.Stat(filepath.Join(f.dir, "etc")); err == nil {
		t.Error("a name became a path")
	}
}

// noSuchThing: settings are not in the reach of REST. A reload reads the operator's own files, and takes nothing from the request.
func (f *fortress) noSuchThing(t *testing.T) {
	boss := ticket(t, "boss", grant{Actions: []string{"admin"}, Streams: []string{"*"}}, nil)
	for _, line := range restPaths(t) {
		if line != "POST /node/reload" && regexp.MustCompile(`config|setting|exec|shell|file|reload|restart`).MatchString(line) {
			t.Errorf("%s could change settings", line)
		}
	}
	status, _, answer := bearer(t, "POST", f.rest+"/node/reload", boss, "application/json", `{"access":"open","log_level":"error","settings":{"access":"open"}}`)
	if status != 200 || !strings.Contains(answer, `"changed":[]`) || !strings.Contains(answer, `"restart":[]`) {
		t.Errorf("a reload with settings in the request: %d %s", status, answer)
	}
	if resp, body := ask(t, &http.Client{Timeout: 10 * time.Second}, "POST", f.rest+"/push/find_all", `{"empty":true}`); resp.StatusCode != 401 {
		t.Errorf("a stranger after the reload: %d %s", resp.StatusCode, body)
	}
	for _, path := range []string{"/config", "/settings", "/server/set", "/properties", "/eval"} {
		if status, _, answer := bearer(t, "POST", f.rest+path, boss, "application/json", `{"access":"open"}`); status != 404 {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}

// log: nobody writes a line of his own into the log, or turns the terminal of its reader, by a name, a header, a user or a version.
func (f *fortress) log(t *testing.T) {
	const forged = "\n\r\u2028time=2026-01-01T00:00:00Z level=ERROR msg=FORGED\x1b[2J"
	boss := ticket(t, "boss", grant{Actions: []string{"admin"}, Streams: []string{"*"}}, nil)
	quoted, _ := json.Marshal(forged)
	plain := &http.Client{Timeout: 10 * time.Second}
	for _, line := range restPaths(t) {
		method, path, _ := strings.Cut(line, " ")
		if path == "/push/events" || path == "/session" || strings.HasPrefix(path, "/node/") { // a server that drains takes no more
			continue
		}
		body := strings.ReplaceAll(`{"name":X,"streamName":X,"mediaSessionId":X,"id":X,"sessionId":X,"label":X,"jti":X,"rtmpUrl":"rtmp://192.0.2.1/live","key":X,"url":X}`, "X", string(quoted))
		_, _ = ask(t, plain, method, f.rest+path+"?q="+url.QueryEscape(forged), body, "Authorization", "Bearer "+boss)
	}
	_, _ = ask(t, plain, "POST", f.rest+"/session", `{"name":`+string(quoted)+`,"password":"x"}`, "User-Agent", "x\tFORGED")
	_, _ = ask(t, plain, "POST", f.page+"whip/"+url.PathEscape("x"+forged)+"?appKey="+url.QueryEscape(forged), "v=0\r\n", "Content-Type", "application/sdp", "Authorization", "Bearer "+boss)
	_ = f.rtmpPublish(t, "x"+forged)
	_ = f.rtmpPublish(t, "x"+forged+"?token="+boss)
	page := f.openPage(t, boss)
	page.send("publishStream", map[string]any{"mediaSessionId": "x" + forged, "name": "x" + forged, "sdp": forged})
	_ = page.next()
	page.send(forged, map[string]any{"appKey": forged})
	page.conn.Close(websocket.StatusNormalClosure, "FORGED")
	text := f.server.log.String()
	if !strings.Contains(text, "FORGED") {
		t.Fatal("nothing of it is in the log: the test proves nothing")
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "time=") || strings.HasPrefix(line, "time=2026-01-01T00:00:00Z") {
			t.Errorf("a line of the log is forged: %q", line)
		}
		if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x202e }); i >= 0 {
			t.Errorf("a line of the log has a control character at %d: %q", i, line)
		}
	}
}

// TestCertificateRequired: with tls_client_auth=required nobody gets an answer over HTTPS and WSS who has no certificate of the authority. It is no
// credential where TLS does not ask for one: plain HTTP and RTMPS.
func TestCertificateRequired(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, others := testkit.NewAuthority(t), testkit.NewAuthority(t)
	certFile, keyFile := ours.Write(dir, x509.Certificate{DNSNames: []string{"localhost"}})
	caFile := filepath.Join(dir, "clients.pem")
	if err := os.WriteFile(caFile, ours.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	ports := map[string]string{"https": testkit.FreePort(t), "wss": testkit.FreePort(t), "rtmps": testkit.FreePort(t)}
	s := startServer(t, "access=closed", "https.port="+ports["https"], "wss.port="+ports["wss"], "rtmps.port="+ports["rtmps"],
		"tls_cert_file="+certFile, "tls_key_file="+keyFile, "tls_client_auth=required", "tls_client_ca_file="+caFile, "tls_client_roles=CN=ops:admin")
	for _, tt := range []struct {
		name        string
		certificate []tls.Certificate
		connects    bool
	}{
		{"none", nil, false},
		{"of another authority", []tls.Certificate{others.Client("ops")}, false},
		{"ours", []tls.Certificate{ours.Client("ops")}, true},
	} {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ours.Pool(), Certificates: tt.certificate},
		}}
		for _, path := range []string{"https://localhost:" + ports["https"] + "/health/live", "https://localhost:" + ports["wss"] + "/"} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(r)
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != tt.connects {
				t.Errorf("%s, a certificate that is %s: %v", path, tt.name, err)
			}
		}
		conn, err := tls.Dial("tcp", "localhost:"+ports["rtmps"], &tls.Config{RootCAs: ours.Pool(), Certificates: tt.certificate})
		if err != nil {
			t.Errorf("RTMPS, a certificate that is %s: %v", tt.name, err)
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		c := rtmp.NewClient(conn, rtmp.ClientConfig{App: "live", TCURL: "rtmps://localhost/live", StreamName: "x"})
		if err := errors.Join(c.Handshake(), c.Connect(), c.Publish()); err == nil || !strings.Contains(err.Error(), "a valid token") {
			t.Errorf("RTMPS with a certificate that is %s: %v", tt.name, err)
		}
		conn.Close()
	}
	if resp, body := ask(t, &http.Client{Timeout: 10 * time.Second}, "GET", s.rest+"/push/history", ""); resp.StatusCode != 401 {
		t.Errorf("plain HTTP: %d %s", resp.StatusCode, body)
	}
}
