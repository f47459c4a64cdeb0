package dialog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// start is when each script begins.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// actor plays the lines of a script against a call, in virtual time. A line is "time | event | outputs":
//
//	> dial, > end REASON, > accept SDP, > modify SDP, > hold SDP ... are calls of ours
//	< 180 TAG sdp=X [Name: value] is a response to our last INVITE; < 200:BYE TAG to our last BYE; < 407 stale is a challenge anew
//	< BYE 7 sdp=X from=TAG [Name: value] is a request of the peer with CSeq 7
//
// Outputs of timers stand before those of the event, with their time: "32s:BYE 2".
type actor struct {
	t       *testing.T
	cfg     Config
	call    *Call
	now     time.Time
	sent    map[string]*Request
	replies []*Response
}

// password is a Credentials that counts its answers.
type password struct{ answers int }

func (p *password) Authorize(challenges []string, method, uri string, _ []byte) (string, error) {
	if len(challenges) == 0 || !strings.HasPrefix(challenges[0], "Digest ") {
		return "", errors.New("no challenge that we know")
	}
	p.answers++
	return fmt.Sprintf("Digest answer=%d, method=%s, uri=%s", p.answers, method, uri), nil
}

func newActor(t *testing.T) *actor {
	return &actor{t: t, now: start, sent: map[string]*Request{}, cfg: Config{
		LocalTag: "us", Contact: "sip:us@192.0.2.1:5060", UserAgent: "test", AnswerTimeout: 40 * time.Second,
		SessionExpires: 1800 * time.Second, Credentials: &password{},
	}}
}

func (a *actor) play(script string) {
	a.t.Helper()
	for line := range strings.Lines(script) {
		columns := strings.Split(line, "|")
		if len(columns) != 3 {
			continue
		}
		at, err := time.ParseDuration(strings.TrimSpace(columns[0]))
		if err != nil {
			a.t.Fatal(err)
		}
		got := a.advance(start.Add(at))
		a.do(strings.TrimSpace(columns[1]))
		got = append(got, a.take()...)
		if want := strings.TrimSpace(columns[2]); strings.Join(got, ", ") != want {
			a.t.Errorf("%s\n got %s\nwant %s", strings.TrimSpace(line), strings.Join(got, ", "), want)
		}
	}
}

// advance lets the timers run until a time.
func (a *actor) advance(until time.Time) []string {
	var got []string
	for a.call != nil {
		at := a.call.Deadline()
		if at.IsZero() || at.After(until) {
			break
		}
		a.now = at
		a.call.Tick(at)
		for _, out := range a.take() {
			got = append(got, fmt.Sprintf("%gs:%s", at.Sub(start).Seconds(), out))
		}
	}
	a.now = until
	return got
}

func (a *actor) do(event string) {
	kind, rest, _ := strings.Cut(event, " ")
	var fields Header
	if open := strings.IndexByte(rest, '['); open >= 0 {
		for _, field := range strings.Split(rest[open:], "[")[1:] {
			name, value, _ := strings.Cut(strings.TrimRight(field, "] "), ": ")
			fields.add(name, value)
		}
		rest = rest[:open]
	}
	words := strings.Fields(rest)
	switch kind {
	case ">":
		a.ours(words)
	case "<":
		if code := leadingNumber(words[0]); code > 0 {
			a.response(int(code), words, fields)
		} else {
			a.request(words, fields)
		}
	}
}

func (a *actor) ours(words []string) {
	c, arg := a.call, ""
	if len(words) > 1 {
		arg = words[1]
	}
	switch words[0] {
	case "dial":
		a.call = Dial(a.now, a.cfg, Target{
			CallID: "call", URI: "sip:bob@example.org", From: `"Us" <sip:us@example.org>`, To: "<sip:bob@example.org>",
			Routes: []string{"<sip:proxy.example.org;lr>"}, Offer: []byte("ours"),
		})
	case "end":
		c.End(a.now, Reason(arg), "")
	case "ring":
		c.Ring()
	case "accept":
		c.Accept(a.now, []byte(arg))
	case "reject":
		c.Reject(a.now)
	case "modify":
		c.Modify(a.now, []byte(arg), false)
	case "hold":
		c.Modify(a.now, []byte(arg), true)
	case "peerholds":
		c.PeerHolds(arg == "true")
	case "digits":
		c.SendDigits(a.now, arg)
	case "keyframe":
		c.AskKeyFrame(a.now)
	case "transfer":
		c.Transfer(a.now, arg)
	case "unsent":
		c.Unsent(a.now, a.sent[arg], errors.New("connection refused"))
	default:
		a.t.Fatalf("no such word: %v", words)
	}
}

func (a *actor) response(code int, words []string, fields Header) {
	_, method, _ := strings.Cut(words[0], ":")
	if method == "" {
		method = "INVITE"
	}
	request := a.sent[method]
	if request == nil {
		a.t.Fatalf("%v: no %s was sent", words, method)
	}
	r := &Response{Code: code, Phrase: "Phrase"}
	for _, name := range []string{"Call-ID", "From", "To"} {
		r.Header.add(name, request.Header.Get(name))
	}
	cseq := request.Header.Get("CSeq")
	tag := ""
	for _, word := range words[1:] {
		name, value, found := strings.Cut(word, "=")
		switch {
		case !found:
			tag = word
		case name == "sdp":
			setBody(&r.Header, &r.Body, "application/sdp", []byte(value))
		case name == "cseq":
			cseq = value + " " + method
		}
	}
	r.Header.add("CSeq", cseq)
	if tag != "" {
		to, _, _ := strings.Cut(request.Header.Get("To"), ";tag=")
		r.Header.set("To", to+";tag="+tag)
	}
	if code > 100 && code < 300 {
		r.Header.add("Contact", "<sip:"+tag+"@198.51.100.7>")
	}
	if code == 401 || code == 407 {
		name := map[int]string{401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[code]
		challenge := `Digest realm="r", nonce="n"`
		if tag == "stale" {
			challenge += ", stale=TRUE"
			r.Header.set("To", request.Header.Get("To"))
		}
		r.Header.add(name, challenge)
	}
	r.Header = append(r.Header, fields...)
	a.call.Response(a.now, r)
}

func (a *actor) request(words []string, fields Header) {
	r := &Request{Method: words[0], URI: "sip:us@192.0.2.1:5060"}
	from, to := "a", "us"
	if a.call == nil || r.Method == "CANCEL" {
		to = ""
	}
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "sdp":
			setBody(&r.Header, &r.Body, "application/sdp", []byte(value))
		case "from":
			from = value
		case "to":
			to = value
		case "frag":
			setBody(&r.Header, &r.Body, "message/sipfrag", []byte("SIP/2.0 "+value+" Words\r\n"))
		case "relay":
			setBody(&r.Header, &r.Body, "application/dtmf-relay", []byte("Signal="+value+"\r\nDuration=250\r\n"))
		case "dtmf":
			setBody(&r.Header, &r.Body, "application/dtmf", []byte(value))
		case "media":
			setBody(&r.Header, &r.Body, "application/media_control+xml", []byte("<x><"+value+"/></x>"))
		case "text":
			setBody(&r.Header, &r.Body, "text/plain", []byte(value))
		}
	}
	r.Header.add("Call-ID", "call")
	r.Header.add("From", "<sip:bob@example.org>;tag="+from)
	r.Header.add("To", "<sip:us@example.org>")
	if to != "" {
		r.Header.set("To", "<sip:us@example.org>;tag="+to)
	}
	r.Header.add("CSeq", words[1]+" "+r.Method)
	if fields.Get("Contact") == "" {
		r.Header.add("Contact", "<sip:"+from+"@198.51.100.7>")
	}
	r.Header = append(r.Header, fields...)
	if a.call == nil {
		a.call = Receive(a.now, a.cfg, r)
		return
	}
	if !a.call.Request(a.now, r) {
		a.call.out = append(a.call.out, unknownDialog{})
	}
}

// unknownDialog stands in a script for a request that the call does not take.
type unknownDialog struct{}

func (unknownDialog) output() {}

func (a *actor) take() []string {
	if a.call == nil {
		return nil
	}
	var got []string
	for _, out := range a.call.Take() {
		got = append(got, a.describe(out))
	}
	return got
}

func (a *actor) describe(out Output) string {
	switch out := out.(type) {
	case Send:
		return a.describeRequest(out.Request)
	case Reply:
		a.replies = append(a.replies, out.Response)
		text := fmt.Sprintf("%s=%d", out.Request.Method, out.Response.Code)
		if len(out.Response.Body) > 0 {
			text += " " + string(out.Response.Body)
		}
		return text
	case StatusChanged:
		if out.Reason != "" {
			return fmt.Sprintf("%s(%s)", out.Status, out.Reason)
		}
		return string(out.Status)
	case Offered:
		return strings.TrimSpace("offered " + string(out.SDP))
	case Answered:
		if out.Early {
			return "early " + string(out.SDP)
		}
		return "answer " + string(out.SDP)
	case ChangeRefused:
		return fmt.Sprintf("refused %d", out.Code)
	case KeyFrameWanted:
		return "key frame"
	case Digit:
		return fmt.Sprintf("digit %c %v", out.Key, out.Duration)
	case TransferProgress:
		return fmt.Sprintf("transfer %d", out.Code)
	case unknownDialog:
		return "unknown"
	}
	return fmt.Sprintf("%#v", out)
}

func (a *actor) describeRequest(r *Request) string {
	a.sent[r.Method] = r
	number, _ := r.Header.cseq()
	text := fmt.Sprintf("%s %d", r.Method, number)
	if tag := r.Header.tag("To"); tag != "" && tag != "a" {
		text += " to " + tag
	}
	for _, name := range []string{"Authorization", "Proxy-Authorization"} {
		if r.Header.Get(name) != "" && r.Method != "ACK" {
			text += " " + name
		}
	}
	switch {
	case r.Method == "INFO" && strings.Contains(string(r.Body), "picture_fast_update"):
		text += " picture"
	case r.Method == "INFO" && len(r.Body) == 1:
		text += " plain " + string(r.Body)
	case r.Method == "INFO":
		signal, _, _ := strings.Cut(string(r.Body), "\r\n")
		text += " " + signal
	case len(r.Body) > 0 && string(r.Body) != "ours":
		text += " " + string(r.Body)
	}
	return text
}
