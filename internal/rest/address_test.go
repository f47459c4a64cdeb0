package rest

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/transponder"
)

// spareHolders may push to one server and to one destination.
func spareHolders() knownTokens {
	return knownTokens{
		"pusher": {Kind: access.Token, Subject: "pusher", Grants: []access.Grant{{
			Actions: []access.Action{access.Push}, Streams: []string{"*"}, URLs: []string{"rtmp://a.test/*"}, Destinations: []string{"spare"},
		}}},
		"viewer": {Kind: access.User, Subject: "viewer", Grants: access.Viewer.Grants(nil)},
		"admin":  {Kind: access.User, Subject: "admin", Grants: access.Administrator.Grants(nil)},
	}
}

// Who starts a push needs the right to each of its addresses.
func TestRightToEachAddress(t *testing.T) {
	pushes := &fakePushes{}
	who := auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: spareHolders()}, slog.New(slog.DiscardHandler))
	srv := serve(t, DefaultConfig(), Parts{Pushes: pushes, Streams: newHub(t), Access: who})
	for backup, want := range map[string]int{
		"rtmp://a.test/live2":    http.StatusOK,
		"destination://spare":    http.StatusOK,
		"rtmp://b.test/live":     http.StatusForbidden,
		"destination://other":    http.StatusForbidden,
		"rtmp://a.test@b.test/x": http.StatusForbidden,
		"nonsense":               http.StatusForbidden,
	} {
		body, err := json.Marshal(map[string]any{
			"streamName": "s", "rtmpUrl": "rtmp://a.test/live", "options": map[string]any{"backupUrls": []string{"rtmp://a.test/live3", backup}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, srv, "pusher", "/rest-api/push/startup", string(body)); got.StatusCode != want {
			t.Errorf("with %s: %d, want %d", backup, got.StatusCode, want)
		}
	}
}

// Backup addresses are secrets as rtmpUrl is: only who has started the push, and administrators, see them.
func TestBackupSecrets(t *testing.T) {
	p := livePush()
	p.Owner = "token::pusher"
	p.Options.BackupURLs = []string{"rtmp://b.test/live/" + canary, "destination://spare"}
	p.Addresses = []transponder.AddressInfo{
		{URL: p.URL, Target: p.Target, InUse: true, State: transponder.Degraded, Attempts: 1, BytesSent: 7},
		{URL: p.Options.BackupURLs[0], Target: "rtmp://b.test/live/***", Reason: transponder.ReasonRefused, Detail: "No.", FailedAt: pushTime, Attempts: 3},
		{URL: p.Options.BackupURLs[1], Target: "rtmp://c.test/live/***", Destination: "spare"},
	}
	who := auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: spareHolders()}, slog.New(slog.DiscardHandler))
	srv := serve(t, DefaultConfig(), Parts{Pushes: &fakePushes{list: []transponder.Info{p}}, Streams: newHub(t), Access: who})
	for token, sees := range map[string]bool{"viewer": false, "admin": true, "pusher": true} {
		r := ask(t, srv, token, "/rest-api/push/find_all", "")
		r.wantStatus(t, http.StatusOK)
		if got := strings.Contains(string(r.body), canary); got != sees {
			t.Errorf("%s sees the key: %v, want %v", token, got, sees)
		}
		var list []struct {
			Options   struct{ BackupURLs []string }
			Addresses []struct {
				Status, Target, Reason string
				FailedAt               int64
			}
		}
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		urls := list[0].Options.BackupURLs
		if len(urls) != 2 || urls[1] != "destination://spare" || !sees && urls[0] != "rtmp://b.test/live/***" {
			t.Errorf("%s sees %q", token, urls)
		}
		var status []string
		for _, a := range list[0].Addresses {
			status = append(status, a.Status+" "+a.Reason)
		}
		if want := []string{"DEGRADED ", "STANDBY tcp_refused", "STANDBY "}; !slices.Equal(status, want) || list[0].Addresses[1].FailedAt == 0 {
			t.Errorf("addresses %q, want %q", status, want)
		}
	}
}

// A destination keeps no addresses with keys in its options.
func TestDestinationOptionsHoldNoAddresses(t *testing.T) {
	srv := serve(t, DefaultConfig(), Parts{
		Pushes: &fakePushes{}, Streams: newHub(t), Destinations: newDestinations(t), DescribeTarget: transponder.DefaultConfig().DescribeTarget,
	})
	for url, want := range map[string]int{"rtmp://b.test/live/" + canary: http.StatusBadRequest, "destination://spare": http.StatusOK} {
		r := post(t, srv, "/rest-api/destination/create", `{"name":"main","rtmpUrl":"rtmp://a.test/live","options":{"backupUrls":["`+url+`"]}}`)
		r.wantStatus(t, want)
		if strings.Contains(string(r.body), canary) {
			t.Errorf("the answer has the key: %s", r.body)
		}
	}
}
