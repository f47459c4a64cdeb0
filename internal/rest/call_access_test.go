package rest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/sip"
)

// What a principal may do with calls. A call that he may not read is not there for him.
func TestCallAccess(t *testing.T) {
	grant := func(subject string, grants ...access.Grant) *access.Principal {
		return &access.Principal{Kind: access.Token, Subject: subject, Grants: grants}
	}
	may := func(stream string, actions ...access.Action) access.Grant {
		return access.Grant{Actions: actions, Streams: []string{stream}, URLs: []string{"rtmp://cdn.example:1935/*"}}
	}
	stage := grant("stage", may("acme/*", access.Publish, access.Play), may("sip:1*", access.Play))
	pusher := grant("pusher", may("acme/*", access.Publish, access.Push), may("sip:1*", access.Play))
	reader := grant("reader", may("acme/*", access.Read))
	operator := grant("operator", may("acme/*", access.Control, access.Play))
	const ok, denied, absent = "ok", "denied", "absent"
	for _, tt := range []struct {
		name string
		who  *access.Principal
		path string
		body string
		want string
	}{
		{"anonymous", nil, "startup", `{"callId":"n","callee":"1001","toStream":"acme/a"}`, denied},
		{"anonymous who publishes and plays", &access.Principal{Kind: access.Anonymous, Grants: []access.Grant{may("*", access.Publish, access.Play)}},
			"startup", `{"callId":"n","callee":"1001","toStream":"acme/a"}`, denied},
		{"a call to a stream", stage, "startup", `{"callId":"n","callee":"1001","toStream":"acme/a"}`, ok},
		{"by a URI", stage, "startup", `{"callId":"n","callee":"sip:1001","toStream":"acme/a"}`, ok},
		{"to another stream", stage, "startup", `{"callId":"n","callee":"1001","toStream":"beta/a"}`, denied},
		{"to a stream without a name of its own", stage, "startup", `{"callId":"n","callee":"1001"}`, denied},
		{"to a phone abroad", stage, "startup", `{"callId":"n","callee":"sip:0012345","toStream":"acme/a"}`, denied},
		{"with a push", stage, "startup", `{"callId":"n","callee":"1001","toStream":"acme/a","rtmpUrl":"rtmp://cdn.example:1935/live"}`, denied},
		{"with a push that is granted", pusher, "startup", `{"callId":"n","callee":"1001","toStream":"acme/a","rtmpUrl":"rtmp://cdn.example:1935/live"}`, ok},
		{"with a push to elsewhere", pusher, "startup", `{"callId":"n","callee":"1001","toStream":"acme/a","rtmpUrl":"rtmp://evil.example:1935/live"}`, denied},
		{"own call", stage, "terminate", `{"callId":"own"}`, ok},
		{"own digits", stage, "send_dtmf", `{"callId":"own","dtmf":"1"}`, ok},
		{"a call of nobody in particular", stage, "terminate", `{"callId":"theirs"}`, absent},
		{"another tenant's", stage, "terminate", `{"callId":"beta"}`, absent},
		{"who reads", reader, "terminate", `{"callId":"theirs"}`, denied},
		{"who reads, digits", reader, "send_dtmf", `{"callId":"theirs","dtmf":"1"}`, denied},
		{"who reads, a sound", reader, "inject_sound", `{"callId":"theirs","fileName":"a.wav"}`, denied},
		{"who controls", operator, "terminate", `{"callId":"theirs"}`, ok},
		{"who controls another tenant", operator, "terminate", `{"callId":"beta"}`, absent},
		{"a stream that he may play", operator, "inject_stream", `{"callId":"theirs","streamName":"acme/b"}`, ok},
		{"a stream that he may not play", operator, "inject_stream", `{"callId":"theirs","streamName":"beta/b"}`, denied},
		{"own call, a stream that he may not play", stage, "inject_stream", `{"callId":"own","streamName":"beta/b"}`, denied},
		{"its end", reader, "inject_stream/terminate", `{"callId":"theirs"}`, denied},
		{"admin", access.Whole(access.User), "terminate", `{"callId":"beta"}`, ok},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := &fakeCalls{list: []sip.Info{
				{CallID: "own", StreamName: "acme/a", Owner: stage.Identity()},
				{CallID: "theirs", StreamName: "acme/b"},
				{CallID: "beta", StreamName: "beta/a", Owner: grant("b").Identity()},
			}}
			s := &Server{parts: Parts{Calls: calls}, access: newAccess(auth.DefaultConfig())}
			f, err := parseFields(json.RawMessage(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			do := map[string]func(context.Context, *fields) (any, error){
				"startup": s.startCall, "terminate": s.terminateCall, "send_dtmf": s.sendDigits, "inject_sound": s.injectSound,
				"inject_stream": s.injectStream, "inject_stream/terminate": s.ejectStream,
			}[tt.path]
			_, err = do(asCaller(t.Context(), tt.who), f)
			got := ok
			var no *access.Denied
			switch {
			case errors.Is(err, errNoCall):
				got = absent
			case errors.As(err, &no), errors.Is(err, access.ErrNone):
				got = denied
			case err != nil:
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%s, want %s: %v", got, tt.want, err)
			}
			if asked := len(calls.asked)+len(calls.requests) > 0; asked != (tt.want == ok) {
				t.Errorf("the calls were asked: %v", asked)
			}
			if tt.path == "startup" && tt.want == ok && calls.requests[0].Owner != tt.who.Identity() {
				t.Errorf("the owner is %q", calls.requests[0].Owner)
			}
		})
	}
	t.Run("lists", func(t *testing.T) {
		calls := &fakeCalls{list: []sip.Info{
			{CallID: "own", StreamName: "beta/moved", Owner: stage.Identity()}, {CallID: "read", StreamName: "acme/b"}, {CallID: "hidden", StreamName: "beta/a"},
		}}
		s := &Server{parts: Parts{Calls: calls}, access: newAccess(auth.DefaultConfig())}
		for who, want := range map[*access.Principal][]string{stage: {"own"}, reader: {"read"}, access.Whole(access.User): {"own", "read", "hidden"}, nil: nil} {
			answer, err := s.findAllCalls(asCaller(t.Context(), who), nil)
			var got []string
			list, _ := answer.([]callBody)
			for _, c := range list {
				got = append(got, c.CallID)
			}
			if !slices.Equal(got, want) || (err == nil) != (want != nil) {
				t.Errorf("%v sees %v (%v), want %v", who, got, err, want)
			}
		}
	})
}
