package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"transponder/internal/access"
	"transponder/internal/access/token"
)

const pageSecret = "0123456789abcdef0123456789abcdef"

// pageToken signs a token for the streams cam-*.
func pageToken(t *testing.T, change func(jwt.MapClaims)) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"aud": "transponder", "sub": "ann", "jti": fmt.Sprint(now.UnixNano()), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"transponder": map[string]any{"v": 1, "grants": []any{map[string]any{"actions": []string{"publish", "play"}, "streams": []string{"cam-*"}}}},
	}
	if change != nil {
		change(claims)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(pageSecret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// page is a page of the Web SDK.
type page struct {
	t    *testing.T
	conn *websocket.Conn
}

// openPage connects with a query, and sends the members of connection.
func openPage(t *testing.T, a *App, query, members string, header http.Header) *page {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, port, _ := net.SplitHostPort(a.ws.Addr().String())
	conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:"+port+"/"+query, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	p := &page{t, conn}
	p.say(`{"message":"connection","data":[{"appKey":"defaultApp"` + members + `}]}`)
	return p
}

func (p *page) say(frame string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		p.t.Fatal(err)
	}
}

// hear returns the next message that is no ping, "closed" with the code at the end.
func (p *page) hear() (name string, data map[string]any) {
	p.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(p.t.Context(), patience)
		_, raw, err := p.conn.Read(ctx)
		cancel()
		if err != nil {
			return fmt.Sprintf("closed %d", websocket.CloseStatus(err)), nil
		}
		var m struct {
			Message string           `json:"message"`
			Data    []map[string]any `json:"data"`
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			p.t.Fatalf("%s: %v", raw, err)
		}
		if m.Message == "ping" {
			continue
		}
		if len(m.Data) > 0 {
			data = m.Data[0]
		}
		return m.Message, data
	}
}

const needsToken = "a valid token, key or password is needed"

// What a page may do on the whole server, with tokens that it checks itself.
func TestPagesNeedTokens(t *testing.T) {
	a := runApp(t, "access=closed", "token_secret="+pageSecret)
	custom := func(token string) string { return `,"custom":{"token":"` + token + `"}` }
	right := pageToken(t, nil)
	key, text, err := a.tokens.CreateKey(t.Context(), access.Whole(access.Local), token.KeyRequest{
		Label: "encoder", Stream: "cam-key", Grants: []access.Grant{{Actions: []access.Action{access.Publish}, Streams: []string{"cam-key"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, query, members, reason string }{
		{"none", "", "", needsToken},
		{"garbage", "", custom("garbage"), needsToken},
		{"another signature", "", custom(right[:len(right)-4] + "AAAA"), needsToken},
		{"unsigned", "", custom("eyJhbGciOiJub25lIn0." + strings.Split(right, ".")[1] + "."), needsToken},
		{"unknown key", "", custom("tpk_aaaaaaaaaaaaaaaaaaaaaaaaaa"), needsToken},
		{"expired", "", custom(pageToken(t, func(c jwt.MapClaims) {
			c["iat"], c["exp"] = time.Now().Add(-time.Hour).Unix(), time.Now().Add(-time.Minute).Unix()
		})), "expired"},
		{"for another server", "", custom(pageToken(t, func(c jwt.MapClaims) { c["aud"] = "other" })), "other"},
		{"right", "", custom(right), ""},
		{"right in the address", "?token=" + pageToken(t, nil), "", ""},
		{"right as authToken", "", `,"authToken":"` + pageToken(t, nil) + `"`, ""},
		{"key", "", `,"custom":"` + string(text) + `"`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := openPage(t, a, tt.query, tt.members, nil)
			name, data := p.hear()
			if tt.reason == "" {
				if name != "getUserData" {
					t.Errorf("%s %v, want to come in", name, data)
				}
				return
			}
			reason, _ := data["reason"].(string)
			if name != "fail" || data["info"] != "Restricted access" || !strings.Contains(reason, tt.reason) || tt.reason == needsToken && reason != needsToken {
				t.Errorf("%s %v, want a refusal with %q", name, data, tt.reason)
			}
			if name, _ := p.hear(); name != "closed 1008" {
				t.Errorf("then %s", name)
			}
		})
	}

	p := openPage(t, a, "", custom(pageToken(t, nil)), http.Header{"Origin": {"https://studio.example"}})
	p.hear()
	p.say(`{"message":"publishStream","data":[{"mediaSessionId":"1","name":"other","sdp":"v=0\r\n"}]}`)
	if _, d := p.hear(); d["info"] != "Restricted access" || d["reason"] == nil {
		t.Errorf("publish of another name: %v", d)
	}
	p.say(`{"message":"publishStream","data":[{"mediaSessionId":"1","name":"cam-1","sdp":"v=0\r\n","rtmpUrl":"rtmp://127.0.0.1/live"}]}`)
	if _, d := p.hear(); d["info"] != "Restricted access" {
		t.Errorf("push without a grant: %v", d)
	}
	p.say(`{"message":"publishStream","data":[{"mediaSessionId":"2","name":"cam-1","sdp":"v=0\r\n"}]}`)
	if _, d := p.hear(); d["info"] != "Failed by error" { // it got as far as the offer
		t.Errorf("publish of its own name with a bad offer: %v", d)
	}
	p.say(`{"message":"playStream","data":[{"mediaSessionId":"3","name":"other","sdp":"v=0\r\n"}]}`)
	if _, d := p.hear(); d["info"] != "Session does not exist" {
		t.Errorf("play of another name: %v", d)
	}

	begun := time.Now()
	if err := a.tokens.Revoke(t.Context(), access.Whole(access.Local), token.Revocation{Sub: "ann"}); err != nil {
		t.Fatal(err)
	}
	name, data := p.hear()
	if reason, _ := data["reason"].(string); name != "fail" || !strings.HasPrefix(reason, "access_revoked") {
		t.Errorf("after the revocation: %s %v", name, data)
	}
	if name, _ := p.hear(); name != "closed 1008" || time.Since(begun) > time.Second {
		t.Errorf("%s after %v", name, time.Since(begun))
	}
	k := openPage(t, a, "", `,"custom":"`+string(text)+`"`, nil)
	k.hear()
	if err := a.tokens.RemoveKey(t.Context(), access.Whole(access.Local), key.ID); err != nil {
		t.Fatal(err)
	}
	if name, _ := k.hear(); name != "fail" {
		t.Errorf("after the key is removed: %s", name)
	}
}
