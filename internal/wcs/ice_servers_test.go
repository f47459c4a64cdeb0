package wcs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"transponder/internal/rtc"
)

// toldServers reads the ICE servers of getUserData.
func toldServers(t *testing.T, data map[string]any) (all []rtc.ICEServer) {
	t.Helper()
	text, err := json.Marshal(data["iceServers"])
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatalf("iceServers = %v: %v", data["iceServers"], err)
	}
	return all
}

// A page is told the servers when its session begins, in the form of the browsers' RTCConfiguration, and again when the page comes back. What the
// page itself says about them is not sent back.
func TestICEServers(t *testing.T) {
	cfg := testConfig()
	cfg.ICEServers = rtc.ICEServers{URLs: []string{"stun:stun.example.com", "turn:turn.example.com"}, Secret: "hunter2"}
	w := newWorld(t, cfg)
	url := w.serve(t)
	b := dial(t, url)
	b.raw(`{"message":"connection","data":[{"appKey":"defaultApp","keepAlive":true,"iceServers":[{"urls":"turn:page.example"}]}]}`)
	greeted := b.want("getUserData")
	check := func(data map[string]any) {
		t.Helper()
		got := toldServers(t, data)
		if len(got) != 2 || got[0] != (rtc.ICEServer{URL: "stun:stun.example.com"}) || got[1].URL != "turn:turn.example.com" {
			t.Fatalf("iceServers = %v", data["iceServers"])
		}
		expiry, client, _ := strings.Cut(got[1].User, ":")
		if len(expiry) != 10 || client != w.srv.Connections()[0].SessionID || len(got[1].Credential) != 28 {
			t.Errorf("iceServers = %v, want a password for the session", data["iceServers"])
		}
	}
	check(greeted)
	_ = b.conn.Close(websocket.StatusProtocolError, "")
	w.lost(t)
	_, back := comeBack(t, url, greeted["authToken"].(string))
	check(back)
}

// Without servers, getUserData has what the page has said.
func TestNoICEServers(t *testing.T) {
	b := dial(t, newWorld(t, testConfig()).serve(t))
	b.raw(`{"message":"connection","data":[{"appKey":"defaultApp"}]}`)
	if data := b.want("getUserData"); data["iceServers"] != nil {
		t.Errorf("getUserData = %v", data)
	}
}
