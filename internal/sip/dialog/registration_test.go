package dialog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// registrar plays a script against a Registration: each step waits, answers the last REGISTER, and looks at what follows.
type registrar struct {
	t    *testing.T
	g    *Registration
	now  time.Time
	last *Request
}

func newRegistrar(t *testing.T) *registrar {
	r := &registrar{t: t, now: start}
	r.g = Register(start, RegistrationConfig{
		Registrar: "sip:example.org", Address: "<sip:us@example.org>", Contact: "sip:t7k@192.0.2.1:5060;transport=tcp",
		CallID: "call", LocalTag: "us", Expires: 600 * time.Second, RewriteContact: true, Credentials: &password{},
	})
	return r
}

// step is a response after a pause. Code 0 is none.
type step struct {
	after  time.Duration
	code   int
	fields Header
	want   string // the outputs, those of timers with their time since the last step
}

func (r *registrar) play(steps []step) {
	r.t.Helper()
	for i, s := range steps {
		var got []string
		from := r.now
		until := from.Add(s.after)
		for {
			at := r.g.Deadline()
			if at.IsZero() || at.After(until) {
				break
			}
			r.g.Tick(at)
			for _, out := range r.take() {
				got = append(got, fmt.Sprintf("%gs:%s", at.Sub(from).Seconds(), out))
			}
		}
		r.now = until
		if s.code != 0 {
			r.g.Response(r.now, r.response(s))
			got = append(got, r.take()...)
		}
		if strings.Join(got, ", ") != s.want {
			r.t.Errorf("step %d:\n got %s\nwant %s", i, strings.Join(got, ", "), s.want)
		}
	}
}

func (r *registrar) response(s step) *Response {
	response := &Response{Code: s.code, Phrase: "Phrase", Seen: s.fields.Get("Seen")}
	for _, name := range []string{"Call-ID", "From", "To", "CSeq"} {
		response.Header.add(name, r.last.Header.Get(name))
	}
	response.Header.add("WWW-Authenticate", "Digest nonce=n")
	response.Header = append(response.Header, s.fields...)
	return response
}

func (r *registrar) take() []string {
	var got []string
	for _, out := range r.g.Take() {
		switch out := out.(type) {
		case Send:
			r.last = out.Request
			number, _ := out.Request.Header.cseq()
			text := fmt.Sprintf("REGISTER %d for %s", number, out.Request.Header.Get("Expires"))
			if out.Request.Header.Get("Authorization") != "" {
				text += " with password"
			}
			got = append(got, text)
		case Registered:
			got = append(got, "registered "+out.Expires.String())
		case RegistrationFailed:
			got = append(got, fmt.Sprintf("failed %d retry %v", out.Code, out.Retry))
		}
	}
	return got
}

func TestRegistration(t *testing.T) {
	const own = "<sip:t7k@192.0.2.1:5060;transport=tcp>"
	tests := []struct {
		name  string
		steps []step
	}{
		{"challenge, then the parameter of our own contact counts", []step{
			{0, 0, nil, ""},
			{0, 401, nil, "REGISTER 2 for 600 with password"},
			{0, 200, Header{{"Expires", "500"}, {"Contact", `<sip:other@192.0.2.9>;expires=700, <sip:t7k@192.0.2.1:5060;ob>;expires=30`}}, "registered 30s"},
			{14 * time.Second, 0, nil, ""},
			{2 * time.Second, 200, Header{{"Contact", own + `;expires=30`}}, "1s:REGISTER 3 for 600"},
			{15 * time.Second, 0, nil, "15s:REGISTER 4 for 600"},
		}},
		{"Expires without a parameter; a long one is refreshed 30 s before the end", []step{
			{0, 200, Header{{"Expires", "600"}, {"Contact", own}}, "registered 10m0s"},
			{571 * time.Second, 0, nil, "570s:REGISTER 2 for 600"},
		}},
		{"wrong password: no second try", []step{
			{0, 401, nil, "REGISTER 2 for 600 with password"},
			{0, 401, nil, "failed 401 retry 0s"},
			{time.Hour, 0, nil, ""},
		}},
		{"423 is obeyed once", []step{
			{0, 423, Header{{"Min-Expires", "1800"}}, "REGISTER 2 for 1800"},
			{0, 423, Header{{"Min-Expires", "3600"}}, "failed 423 retry 0s"},
		}},
		{"403 and 404 are final", []step{
			{0, 404, nil, "failed 404 retry 0s"},
			{time.Hour, 0, nil, ""},
		}},
		{"trouble of the registrar: the pauses double up to a minute", []step{
			{0, 503, nil, "failed 503 retry 5s"},
			{5 * time.Second, 500, nil, "5s:REGISTER 2 for 600, failed 500 retry 10s"},
			{10 * time.Second, 500, nil, "10s:REGISTER 3 for 600, failed 500 retry 20s"},
			{20 * time.Second, 500, nil, "20s:REGISTER 4 for 600, failed 500 retry 40s"},
			{40 * time.Second, 500, nil, "40s:REGISTER 5 for 600, failed 500 retry 1m0s"},
			{60 * time.Second, 200, Header{{"Expires", "60"}}, "60s:REGISTER 6 for 600, registered 1m0s"},
			{30 * time.Second, 503, Header{{"Retry-After", "100"}}, "30s:REGISTER 7 for 600, failed 503 retry 1m40s"},
			{100 * time.Second, 200, Header{{"Expires", "60"}}, "100s:REGISTER 8 for 600, registered 1m0s"},
		}},
		{"silence", []step{
			{38 * time.Second, 0, nil, "32s:failed 0 retry 5s, 37s:REGISTER 2 for 600"},
		}},
		{"a registrar that grants almost nothing is not flooded", []step{
			{0, 200, Header{{"Expires", "1"}}, "registered 1s"},
			{time.Second, 0, nil, "1s:REGISTER 2 for 600"},
		}},
		{"a registrar that says nothing of the time", []step{
			{0, 200, nil, "registered 1h0m0s"},
			{time.Hour - 30*time.Second, 0, nil, "3570s:REGISTER 2 for 600"},
		}},
		{"an old response is ignored", []step{
			{0, 503, nil, "failed 503 retry 5s"},
			{time.Second, 200, nil, ""},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRegistrar(t)
			r.take()
			r.play(test.steps)
		})
	}
}

// Behind a NAT the registrar must get the address that it sees, and forget the other.
func TestRegistrationRewritesContact(t *testing.T) {
	r := newRegistrar(t)
	r.take()
	r.play([]step{
		{0, 200, Header{{"Seen", "203.0.113.5:61000"}, {"Expires", "60"}}, "registered 1m0s, REGISTER 2 for 600"},
	})
	want := []string{"<sip:t7k@203.0.113.5:61000;transport=tcp>;expires=600", "<sip:t7k@192.0.2.1:5060;transport=tcp>;expires=0"}
	if got := r.last.Header.Fields("Contact"); !slices.Equal(got, want) {
		t.Errorf("Contact = %q, want %q", got, want)
	}
	r.play([]step{
		{0, 200, Header{{"Seen", "203.0.113.5:62000"}, {"Expires", "60"}}, ""}, // a NAT that changes the port each time: not before the refresh
		{30 * time.Second, 200, Header{{"Seen", "203.0.113.5:61000"}, {"Expires", "60"}}, "30s:REGISTER 3 for 600"},
	})
	if got, want := r.g.Contact(), "sip:t7k@203.0.113.5:61000;transport=tcp"; got != want {
		t.Errorf("Contact = %q, want %q", got, want)
	}
}

func TestUnregister(t *testing.T) {
	registered := []step{{0, 200, Header{{"Expires", "600"}}, "registered 10m0s"}}
	tests := []struct {
		name         string
		before, then []step
	}{
		{"answered", registered, []step{
			{time.Second, 401, nil, "REGISTER 3 for 0 with password"},
			{0, 200, nil, ""},
		}},
		{"silence", registered, []step{{2 * time.Second, 0, nil, ""}}},
		{"before the registrar has answered", nil, []step{{2 * time.Second, 200, nil, ""}}},
		{"after a failure", []step{{0, 500, nil, "failed 500 retry 5s"}}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRegistrar(t)
			r.take()
			r.play(test.before)
			r.g.Unregister(r.now)
			if got := r.take(); test.then != nil && (len(got) != 1 || got[0] != "REGISTER 2 for 0") {
				t.Errorf("outputs %v, want REGISTER for 0", got)
			}
			r.play(test.then)
			if !r.g.Over() || r.g.Registered() || !r.g.Deadline().IsZero() {
				t.Errorf("over %v, registered %v, deadline %v", r.g.Over(), r.g.Registered(), r.g.Deadline())
			}
		})
	}
}

// A broken connection leads to a REGISTER soon. If each connection breaks at once, the pauses double.
func TestRegistrationRefresh(t *testing.T) {
	granted := Header{{"Expires", "600"}}
	r := newRegistrar(t)
	r.take()
	r.play([]step{{0, 200, granted, "registered 10m0s"}})
	for i, test := range []struct{ lives, least time.Duration }{
		{5 * time.Minute, 0},
		{0, 5 * time.Second}, {0, 10 * time.Second}, {0, 20 * time.Second}, {0, 40 * time.Second}, {0, time.Minute}, {0, time.Minute},
		{61 * time.Second, 0},
		{3 * time.Second, 2 * time.Second},
		{30 * time.Second, 0},
	} {
		r.now = r.now.Add(test.lives)
		r.g.Refresh(r.now)
		r.g.Refresh(r.now) // a second connection on the same way may break, too
		at := r.g.Deadline()
		if pause := at.Sub(r.now); pause < test.least || pause > test.least+refreshSpread {
			t.Errorf("%d: REGISTER after %v, want %v to 2 s more", i, pause, test.least)
		}
		r.now = at
		r.g.Tick(at)
		if got := r.take(); len(got) != 1 || got[0] != fmt.Sprintf("REGISTER %d for 600", i+2) {
			t.Fatalf("%d: outputs %v", i, got)
		}
		r.play([]step{{0, 200, granted, ""}})
	}
}

// Registrations that lose their connections at once do not all come back at once.
func TestRegistrationRefreshIsSpread(t *testing.T) {
	var first, last time.Time
	for range 100 {
		r := newRegistrar(t)
		r.take()
		r.play([]step{{0, 200, Header{{"Expires", "600"}}, "registered 10m0s"}})
		r.g.Refresh(r.now)
		at := r.g.Deadline()
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	if spread := last.Sub(first); spread < time.Second {
		t.Errorf("100 REGISTER within %v", spread)
	}
}

func TestRegistrationRefreshChangesNothing(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []step
		end   bool
	}{
		{"while a REGISTER is on its way", nil, false},
		{"before the pause after a failure has ended", []step{{0, 503, nil, "failed 503 retry 5s"}}, false},
		{"if the next REGISTER comes sooner", []step{{0, 200, Header{{"Expires", "1"}}, "registered 1s"}, {1500 * time.Millisecond, 200, Header{{"Expires", "1"}}, "1s:REGISTER 2 for 600"}}, false},
		{"during Unregister", []step{{0, 200, Header{{"Expires", "600"}}, "registered 10m0s"}}, true},
		{"after a refusal", []step{{0, 403, nil, "failed 403 retry 0s"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRegistrar(t)
			r.take()
			r.play(test.steps)
			if test.end {
				r.g.Unregister(r.now)
				r.take()
			}
			r.g.gap = time.Minute
			before := r.g.Deadline()
			r.g.Refresh(r.now)
			if got := r.g.Deadline(); !got.Equal(before) || len(r.take()) > 0 {
				t.Errorf("the deadline moves from %v to %v", before, got)
			}
		})
	}
}

// Over a new connection the registrar sees another port: it gets this one, and forgets that of the broken connection.
func TestRegistrationRefreshReplacesContact(t *testing.T) {
	r := newRegistrar(t)
	r.take()
	first, second := Header{{"Seen", "203.0.113.5:61000"}, {"Expires", "600"}}, Header{{"Seen", "203.0.113.5:62000"}, {"Expires", "600"}}
	r.play([]step{
		{0, 200, first, "registered 10m0s, REGISTER 2 for 600"},
		{0, 200, first, ""},
	})
	r.g.Refresh(r.now)
	r.g.Tick(r.g.Deadline())
	r.take()
	r.play([]step{{0, 200, second, "REGISTER 4 for 600"}})
	want := []string{"<sip:t7k@203.0.113.5:62000;transport=tcp>;expires=600", "<sip:t7k@203.0.113.5:61000;transport=tcp>;expires=0"}
	if got := r.last.Header.Fields("Contact"); !slices.Equal(got, want) {
		t.Errorf("Contact = %q, want %q", got, want)
	}
}

func TestRegistrationUnsent(t *testing.T) {
	r := newRegistrar(t)
	r.take()
	r.g.Unsent(r.now, r.last, errors.New("connection refused"))
	if got := r.take(); len(got) != 1 || got[0] != "failed 0 retry 5s" {
		t.Errorf("outputs %v, want a retry", got)
	}
}

// Whatever the registrar says: nothing panics, and a registration that is ended is over after 2 s.
func FuzzRegistration(f *testing.F) {
	codes := []int{0, 100, 200, 200, 302, 401, 407, 403, 408, 423, 423, 500, 503}
	seen := []string{"", "192.0.2.1:5060", "203.0.113.5:61000", "[2001:db8::1]:5060", "nonsense"}
	f.Add([]byte{2, 0, 9, 7, 11, 30}, `<sip:t7k@192.0.2.1>;expires=30, "x`)
	f.Add([]byte{5, 200, 5, 0}, `4294967295`)
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		r := newRegistrar(t)
		r.take()
		for i, b := range data {
			r.now = r.now.Add(time.Duration(b) * time.Second)
			for range 1000 {
				if at := r.g.Deadline(); at.IsZero() || at.After(r.now) {
					break
				}
				r.g.Tick(r.g.Deadline())
			}
			if b%7 == 0 {
				r.g.Refresh(r.now)
			}
			r.take()
			if code := codes[int(b)%len(codes)]; code != 0 {
				r.g.Response(r.now, r.response(step{code: code, fields: Header{
					{"Contact", value}, {"Expires", value}, {"Min-Expires", value}, {"Retry-After", value}, {"Seen", seen[(i+int(b))%len(seen)]},
				}}))
			}
		}
		r.g.Unregister(r.now)
		r.g.Tick(r.now.Add(unregisterTime))
		if !r.g.Over() || !r.g.Deadline().IsZero() {
			t.Errorf("over %v, deadline %v after the end", r.g.Over(), r.g.Deadline())
		}
	})
}
