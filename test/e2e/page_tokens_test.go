//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const pagesSecret = "a secret of the tests, 32 bytes long"

// pageToken signs a token.
func pageToken(t *testing.T, subject string, grants ...map[string]any) string {
	t.Helper()
	now := time.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"aud": "transponder", "sub": subject, "jti": subject, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"transponder": map[string]any{"v": 1, "grants": grants},
	}).SignedString([]byte(pagesSecret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Pages with tokens, in a browser: they do what the tokens allow, also with the vendor's SDK as it is. When a token is revoked, its sessions end
// within a second, with their streams.
func TestPagesWithTokens(t *testing.T) {
	t.Parallel()
	s := startServer(t, "access=closed", "token_secret="+pagesSecret)
	mine := map[string]any{"actions": []string{"publish", "play"}, "streams": []string{"cam-*"}}
	first, second := pageToken(t, "one", mine), pageToken(t, "two", mine)
	admin := pageToken(t, "admin", map[string]any{"actions": []string{"admin"}, "streams": []string{"*"}})
	b := startBrowser(t, "page-tokens.mjs", s.page, "--socket", s.socket, "--name", "cam-1", "--tokens", first+","+second)

	live := b.await("live").Displayed
	for name, want := range map[string]string{
		"session": "ESTABLISHED", "publish": "PUBLISHING", "play": "PLAYING", "publishOther": "FAILED Restricted access",
		"playOther": "FAILED Session does not exist", "own": "PUBLISHING", "asked": "1",
		"ownRefused": `restricted: stream "other" is not among cam-*, which this token may publish`,
	} {
		if live[name] != want {
			t.Errorf("%s = %q, want %q", name, live[name], want)
		}
	}

	post := func(path string, body any) int {
		t.Helper()
		raw, _ := json.Marshal(body)
		r, err := http.NewRequestWithContext(t.Context(), "POST", strings.TrimSuffix(s.page, "/")+"/rest-api"+path, bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+admin)
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := post("/stream/find", map[string]any{"name": "cam-1"}); code != 200 {
		t.Fatalf("find: %d", code)
	}
	if code := post("/token/revoke", map[string]any{"sub": "one"}); code != 200 {
		t.Fatalf("revoke: %d", code)
	}
	begun := time.Now()
	for post("/stream/find", map[string]any{"name": "cam-1"}) != 404 {
		if time.Since(begun) > time.Second {
			t.Fatalf("the stream goes on %v after its token was revoked", time.Since(begun))
		}
	}
	t.Logf("the stream was gone after %v", time.Since(begun))

	after := b.await("revoked").Displayed
	if after["session"] != "DISCONNECTED" || !strings.HasPrefix(after["warning"], "Restricted access: access_revoked") ||
		!strings.HasPrefix(after["publish"], "FAILED") || !strings.HasPrefix(after["play"], "FAILED") {
		t.Errorf("the vendor's page after the revocation: %v", after)
	}
	if after["own"] != "PUBLISHING" || !strings.HasSuffix(after["ownSession"], "RECONNECTING ESTABLISHED") {
		t.Errorf("our page after the revocation: %v", after)
	}
}
