package sip

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// spoil changes one field or the start line of a message in a way in which it should not be.
func spoil(r *rand.Rand, message string) string {
	head, body, _ := strings.Cut(message, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	i := 1 + r.IntN(len(lines)-1)
	name, value, _ := strings.Cut(lines[i], ":")
	values := []string{
		"", "*", "<", `"`, "<sip:>", "<sip:@:99999>", "-1", "99999999999999999999", "Digest", `Digest realm="a"`, "999 INVITE", "1 BYE", "SIP/2.0/UDP",
		"0;refresher=uas", "100rel, x", ";;=;", "sip:a@b, sip:c@d", strings.Repeat("a", 9000), "\x00",
	}
	switch r.IntN(6) {
	case 0:
		lines = append(lines[:i], lines[i+1:]...)
	case 1:
		lines = append(lines, lines[i])
	case 2:
		lines[i] = name + ": " + values[r.IntN(len(values))]
	case 3:
		cut := r.IntN(len(value) + 1)
		lines[i] = name + ":" + value[:cut] + string(`;"<>,=%`[r.IntN(7)]) + value[cut:]
	case 4:
		fields := []string{"Contact", "Record-Route", "Require", "Session-Expires", "Min-SE", "Content-Type", "Retry-After", "RSeq", "Via", "To"}
		lines = append(lines, fields[r.IntN(len(fields))]+": "+values[r.IntN(len(values))])
	default:
		starts := []string{"SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0", "SIP/2.0 -1 x", "SIP/2.0 422 x", "SIP/2.0 491 x", "SIP/2.0 302 x"}
		lines[0] = starts[r.IntN(len(starts))]
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// Whatever a phone answers, each call ends, nothing panics, and nothing is left.
func TestBadAnswers(t *testing.T) {
	const calls = 120
	seed := rand.Uint64()
	t.Logf("the seed is %d", seed)
	r := rand.New(rand.NewPCG(seed, 1)) // used by the goroutine of the phone only
	s := newServer(t, func(c *Config) { c.AnswerTimeout, c.CallsPerMinute = time.Second, 10*calls })
	challenge := []string{"WWW-Authenticate: " + ann.Challenge(), "Proxy-Authenticate: " + ann.Challenge()}
	sdp := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
	var p *phone.Phone
	known := make(chan struct{}) // closed when p is set
	p = phone.New(t, phone.Config{Handle: func(m *phone.Message) bool {
		<-known
		answers := []phone.Reply{{Code: 200}}
		switch m.Method {
		case "INVITE":
			final := []int{200, 200, 200, 401, 407, 302, 422, 486, 491, 503}[r.IntN(10)]
			answers = []phone.Reply{{Code: 180}, {Code: 183, SDP: sdp, Headers: []string{"Require: 100rel", "RSeq: 1"}}, {Code: final, SDP: sdp, Headers: challenge}}
		case "BYE", "PRACK":
			answers = []phone.Reply{{Code: []int{200, 401, 407, 481, 500}[r.IntN(5)], Headers: challenge}}
		case "ACK", "":
			return true
		}
		for _, a := range answers {
			_ = p.ReplyRaw(m, []byte(spoil(r, p.Text(m, a)))) // it fails if the test is over
		}
		return true
	}})
	close(known)
	t.Cleanup(s.stop)
	for i := range calls {
		r := Request{CallID: fmt.Sprint("c", i), Callee: p.URI(fmt.Sprint("bob", i)), Audio: true, Video: i%2 == 0}
		r.Account = Account{Login: "ann", Password: "secret-of-ann", Domain: "example.com"}
		s.start(r)
	}
	end := time.Now().Add(1200 * time.Millisecond) // the time to answer, and some more
	testkit.Eventually(t, 5*time.Second, func() string {
		live := 0
		for _, i := range s.Find(Filter{}) {
			if i.Status == dialog.Established && time.Now().After(end) {
				_ = s.Terminate(i.CallID) // ErrNoCall, if it has ended by itself
			}
			if !i.Status.Final() {
				live++
			}
		}
		if live > 0 {
			return fmt.Sprintf("%d calls have no end", live)
		}
		return ""
	})
	n := s.Stats()
	total := int64(0)
	for _, ended := range n.Ended {
		total += ended
	}
	if n.Panics != 0 || total != calls || len(s.hub.Sources()) != 0 {
		t.Errorf("%d panics, %d calls ended, %d streams are left, and the figures are %+v", n.Panics, total, len(s.hub.Sources()), n)
	}
}
