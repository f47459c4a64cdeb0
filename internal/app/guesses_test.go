package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/rtmp"
)

// Wrong tokens of one address count together, whatever door they are shown at. Then each door refuses further ones. Passwords of the address, and
// right tokens, are as welcome as before.
func TestGuessesAtEveryDoor(t *testing.T) {
	t.Parallel()
	a := runApp(t, "access=closed", "token_secret="+pageSecret, "admin_password=the-admins-password", "login_over_http=true")
	host := ownAddress(t)
	at := func(l interface{ Addr() net.Addr }) string { return net.JoinHostPort(host, port(l)) }
	web := func(method, path string) func(string) string {
		return func(token string) string {
			resp, body := fetch(t, method, "http://"+at(a.http)+path, "v=0\r\n", "Content-Type", "application/sdp", "Authorization", "Bearer "+token)
			return fmt.Sprint(resp.StatusCode, " ", body)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	doors := map[string]func(token string) string{
		"REST": web("POST", "/rest-api/push/find_all"), "events": web("GET", "/rest-api/push/events"), "metrics": web("GET", "/metrics"),
		"stat": web("GET", "/?action=stat"), "WHIP": web("POST", "/whip/x"), "WHEP": web("POST", "/whep/x"),
		"WebSocket": func(token string) string {
			conn, _, err := websocket.Dial(ctx, "ws://"+at(a.ws)+"/", nil)
			if err != nil {
				return err.Error()
			}
			defer conn.CloseNow()
			_ = conn.Write(ctx, websocket.MessageText, []byte(`{"message":"connection","data":[{"appKey":"defaultApp","custom":{"token":"`+token+`"}}]}`))
			_, text, err := conn.Read(ctx)
			return fmt.Sprint(string(text), err)
		},
		"RTMP": func(token string) string {
			conn, err := net.DialTimeout("tcp", at(a.server), patience)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			c := rtmp.NewClient(conn, rtmp.ClientConfig{App: "live", TCURL: "rtmp://x/live", StreamName: "x?token=" + token})
			return fmt.Sprint(errors.Join(c.Handshake(), c.Connect(), c.Publish()))
		},
	}
	const free = 30
	tries := 0
	for round := range free {
		for name, try := range doors {
			if tries >= free || name == "RTMP" && round > 0 { // which takes a second each time
				continue
			}
			tries++
			if said := try(fmt.Sprint("wrong-", tries)); !strings.Contains(said, "a valid token, key or password is needed") {
				t.Errorf("try %d, %s: %s", tries, name, said)
			}
		}
	}
	for name, try := range doors {
		if said := try("wrong"); !strings.Contains(said, "too many tries") {
			t.Errorf("%s after %d tries: %s", name, tries, said)
		}
	}
	if said := doors["WHIP"](pageToken(t, nil)); strings.Contains(said, "too many") || strings.HasPrefix(said, "401") {
		t.Errorf("a right token: %s", said)
	}
	if resp, body := fetch(t, "POST", "http://"+at(a.http)+"/rest-api/session", `{"name":"admin","password":"the-admins-password"}`); resp.StatusCode != http.StatusOK {
		t.Errorf("a login from the address of the guesser: %d %s", resp.StatusCode, body)
	}
}
