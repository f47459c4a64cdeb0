package rest

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/transponder"
)

// pushOver is a push that has failed, as anna has asked for it.
func pushOver(id, stream string) transponder.Info {
	full := true
	return transponder.Info{
		ID: id, SourceName: stream, StreamName: canary, SecretName: true, Target: "rtmps://host:443/app/***", URL: "rtmps://host/app/" + canary,
		Options: transponder.Options{Action: "mute", OnSourceLoss: "hold"}, Asked: &transponder.Asked{FullURL: &full, Height: 720},
		Owner: "user::anna", By: transponder.Starter{Kind: access.User, Name: "anna", Via: transponder.ViaSDK},
		State: transponder.Failed, Reason: transponder.ReasonKeyRejected, Started: pushTime, Since: pushTime, Ended: pushTime,
	}
}

// A push that is over is started again as it was asked for, in the name of who asks now.
func TestRetry(t *testing.T) {
	pushes := &fakePushes{over: []transponder.Info{pushOver("over-1", "cam")}}
	srv := newServer(t, pushes, newHub(t))
	got := post(t, srv, "/rest-api/push/retry", `{"mediaSessionId":"over-1"}`)
	got.wantStatus(t, http.StatusOK)
	full := true
	want := transponder.Request{
		By: pushes.last(t).By, Via: transponder.ViaREST, StreamName: "cam", URL: "rtmps://host/app/" + canary, FullURL: &full, Height: 720,
		Options: transponder.Options{Action: "mute", OnSourceLoss: "hold"},
	}
	if got := pushes.last(t); !reflect.DeepEqual(got, want) || got.By.Kind != access.Local {
		t.Errorf("asked for %+v, want %+v", got, want)
	}
	for _, tt := range []struct {
		name   string
		change func(*fakePushes)
		body   string
		status int
		words  string
	}{
		{"no id", nil, `{}`, 400, "mediaSessionId: it is missing"},
		{"no such push", nil, `{"mediaSessionId":"none"}`, 404, "Transponder not found"},
		{"not over", func(p *fakePushes) { p.list, p.over = p.over, nil }, `{"mediaSessionId":"over-1"}`, 409, "the push is not over"},
		{"of an older version", func(p *fakePushes) { p.over[0].Asked = nil }, `{"mediaSessionId":"over-1"}`, 409, "does not know any more"},
		{"sealed with another key", func(p *fakePushes) { p.over[0].URL = "" }, `{"mediaSessionId":"over-1"}`, 409, "does not know any more"},
		{"no stream", func(p *fakePushes) { p.err = transponder.ErrStreamNotFound }, `{"mediaSessionId":"over-1"}`, 404, "Stream not found"},
		{"is pushed again", func(p *fakePushes) { p.err = transponder.ErrDuplicate }, `{"mediaSessionId":"over-1"}`, 409, "already pushed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pushes := &fakePushes{over: []transponder.Info{pushOver("over-1", "cam")}}
			if tt.change != nil {
				tt.change(pushes)
			}
			r := post(t, newServer(t, pushes, newHub(t)), "/rest-api/push/retry", tt.body)
			r.wantStatus(t, tt.status)
			if !strings.Contains(r.message(t), tt.words) || bytes.Contains(r.body, []byte(canary)) {
				t.Errorf("message %q, want %q in it", r.body, tt.words)
			}
		})
	}
}

// Who starts a push again becomes its owner, and sees its address. So nobody gets a stream key that he could not see before.
func TestRetryRights(t *testing.T) {
	for _, tt := range []struct {
		token, owner, url string
		want              int
	}{
		{"admin", "user::anna", "rtmps://host/app/" + canary, 200},
		{"pusher", "token::pusher", "rtmps://host/app/" + canary, 200},
		{"pusher", "user::anna", "rtmps://host/app/" + canary, 404},
		{"acme", "user::anna", "rtmps://host/app/" + canary, 403},
		{"acme", "user:acme:acme", "rtmps://host/app/" + canary, 403}, // operators push to destinations only
		{"acme", "user::anna", "destination://youtube", 200},
		{"acme-view", "user::anna", "destination://youtube", 403},
		{"player", "user::anna", "destination://youtube", 404},
		{"controller", "user::anna", "rtmps://host/app/" + canary, 403},
		{"controller", "user::anna", "destination://youtube", 403},
	} {
		t.Run(fmt.Sprint(tt.token, " ", tt.owner, " ", tt.want), func(t *testing.T) {
			srv, pushes, lines, _ := closedServer(t)
			over := pushOver("over-1", "acme/a")
			over.Owner, over.URL = tt.owner, tt.url
			pushes.over = []transponder.Info{over}
			got := ask(t, srv, tt.token, "/rest-api/push/retry", `{"mediaSessionId":"over-1"}`)
			got.wantStatus(t, tt.want)
			if n := pushes.count(); n != 0 != (tt.want == 200) {
				t.Errorf("%d pushes were started", n)
			}
			if line := lines.all[0]; line.Do != "push/retry" || line.OK != (tt.want == 200) || strings.Contains(fmt.Sprint(line), canary) {
				t.Errorf("the audit log says %+v", line)
			}
			if tt.want != 200 && bytes.Contains(got.body, []byte(canary)) {
				t.Errorf("the answer has the key: %s", got.body)
			}
		})
	}
}

// Who has started a push is for those who may end it; others learn only how he has shown who he is.
func TestStartedBy(t *testing.T) {
	srv, pushes, _, _ := closedServer(t)
	pushes.over = []transponder.Info{pushOver("over-1", "acme/a")}
	for token, want := range map[string]string{"admin": "anna", "acme": "anna", "viewer": "", "acme-view": ""} {
		got := decoded[[]pushBody](t, ask(t, srv, token, "/rest-api/push/history", ""))
		if len(got) != 1 || *got[0].StartedBy != (starterBody{"user", want, "sdk"}) {
			t.Errorf("%s is told %+v, want the name %q", token, got, want)
		}
	}
	if got := decoded[[]pushBody](t, ask(t, srv, "viewer", "/rest-api/push/history?text=ANNA", "")); len(got) != 0 {
		t.Errorf("a viewer finds out by the filter who has started it: %+v", got)
	}
}

func TestHistoryFilter(t *testing.T) {
	pushes := &fakePushes{}
	for i, tt := range []struct {
		stream, target, url string
		reason              transponder.Reason
	}{
		{"cam-a", "rtmp://one.example/live/***", "rtmp://one.example/live/CANARY", transponder.ReasonKeyRejected},
		{"cam-b", "rtmp://two.example/live/***", "destination://YouTube", transponder.ReasonTerminated},
		{"cam-a", "rtmp://two.example/live/***", "rtmp://two.example/live/CANARY", transponder.ReasonTerminated},
	} {
		p := pushOver(string(rune('x'+i)), tt.stream)
		p.Target, p.URL, p.Reason, p.Ended = tt.target, tt.url, tt.reason, pushTime.Add(-time.Duration(i)*time.Minute)
		if tt.reason == transponder.ReasonTerminated {
			p.State, p.Detail = transponder.Ended, "Somebody stopped it."
		}
		pushes.over = append(pushes.over, p)
	}
	srv := newServer(t, pushes, newHub(t))
	at := func(minutes int) string {
		return fmt.Sprint(pushTime.Add(time.Duration(minutes) * time.Minute).UnixMilli())
	}
	for query, want := range map[string]string{
		"":                                    "x y z",
		"?streamName=cam-a":                   "x z",
		"?streamName=cam":                     "",
		"?status=FAILED":                      "x",
		"?reason=terminated":                  "y z",
		"?reason=terminated&streamName=cam-a": "z",
		"?target=TWO.example":                 "y z",
		"?target=youtube":                     "y",
		"?target=destination":                 "",
		"?target=canary":                      "", // nobody can guess at a key
		"?text=canary":                        "",
		"?text=stopped":                       "y z",
		"?text=CAM-A":                         "x z",
		"?text=anna":                          "x y z",
		"?from=" + at(-1):                     "x y",
		"?to=" + at(-1):                       "y z",
		"?from=" + at(-1) + "&to=" + at(-1):   "y",
		"?limit=2":                            "x y",
		"?limit=2&after=y":                    "z",
		"?limit=1&after=x&streamName=cam-a":   "z",
		"?after=z":                            "",
		"?after=gone":                         "",
		"?after=gone&afterEnded=" + at(-1):    "z", // the place counts, and between equal times the id
		"?after=a&afterEnded=" + at(-1):       "z",
		"?after=z&afterEnded=" + at(-1):       "y z",
		"?text=stopped+cam-a":                 "z",
		"?text=Cam-A+KEY_rejected":            "x",
		"?text=stopped+nowhere":               "",
	} {
		got := decoded[[]pushBody](t, get(t, srv, "/rest-api/push/history"+query))
		var ids []string
		for _, p := range got {
			ids = append(ids, p.MediaSessionID)
		}
		if got == nil || strings.Join(ids, " ") != want {
			t.Errorf("history%s = %q, want %q", query, ids, want)
		}
	}
	get(t, srv, "/rest-api/push/history?from=yesterday").wantStatus(t, http.StatusBadRequest)
	get(t, srv, "/rest-api/push/history?afterEnded=x").wantStatus(t, http.StatusBadRequest)
}

// An answer is bounded, whatever is asked for; all can be read page by page, also of pushes that have ended in the same millisecond.
func TestHistoryPages(t *testing.T) {
	pushes := &fakePushes{}
	for n := range 2 * maxHistory {
		p := pushOver(fmt.Sprintf("over-%05d", 2*maxHistory-n), "cam")
		p.Ended = pushTime.Add(-time.Duration(n/300) * time.Second)
		pushes.over = append(pushes.over, p)
	}
	srv := newServer(t, pushes, newHub(t))
	if got := decoded[[]pushBody](t, get(t, srv, "/rest-api/push/history?limit=100000")); len(got) != maxHistory {
		t.Errorf("one answer has %d, want %d", len(got), maxHistory)
	}
	for _, with := range []bool{false, true} {
		read, query := 0, ""
		for {
			got := decoded[[]pushBody](t, get(t, srv, "/rest-api/push/history?limit=70"+query))
			if len(got) == 0 {
				break
			}
			for _, b := range got {
				if want := pushes.over[read].ID; b.MediaSessionID != want {
					t.Fatalf("at %d is %s, want %s", read, b.MediaSessionID, want)
				}
				read++
			}
			last := got[len(got)-1]
			if query = "&after=" + last.MediaSessionID; with {
				query += fmt.Sprintf("&afterEnded=%d", last.EndedAt)
			}
		}
		if read != len(pushes.over) {
			t.Errorf("%d were read, want %d", read, len(pushes.over))
		}
	}
}

// In a cluster a page of the history is cut out of what all servers have, and the server that has the stream starts a push again.
func TestNodesHistoryAndRetry(t *testing.T) {
	_, nodes := newNodes(t, "a", "b", "c")
	b := nodes["b"].Server
	for query, want := range map[string]string{
		"?limit=2&after=over-z": "over-c over-b", "?limit=2&after=over-b": "over-a", "?streamName=cam-c": "over-c", "?text=CAM-Z": "over-z",
	} {
		r := get(t, b, "/rest-api/push/history"+query)
		r.wantStatus(t, http.StatusOK)
		if got := strings.Join(field(t, r.body, "mediaSessionId"), " "); got != want {
			t.Errorf("history%s = %q, want %q", query, got, want)
		}
	}
	for _, tt := range []struct{ over, stream, at string }{{"over-b", "cam-c", "c"}, {"over-a", "cam-a", "a"}} {
		own := nodes[tt.over[len("over-"):]].pushes
		own.over[0] = pushOver(tt.over, tt.stream)
		for _, n := range nodes { // as the history of the cluster has it
			n.pushes.over = append(slices.Clone(n.pushes.over), own.over[0])
		}
		post(t, b, "/rest-api/push/retry", `{"mediaSessionId":"`+tt.over+`"}`).wantStatus(t, http.StatusOK)
		for name, n := range nodes {
			if got := n.pushes.count(); got != 0 != (name == tt.at) {
				t.Errorf("%s has started %d pushes of %s", name, got, tt.stream)
			}
			n.pushes.requests = nil
		}
	}
}
