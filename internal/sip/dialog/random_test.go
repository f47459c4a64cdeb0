package dialog

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// randomEvents are what may happen in any order. N is replaced by a number that rises.
var randomEvents = []string{
	"< 100", "< 180 a", "< 180 b sdp=X", "< 183 a sdp=Y [Require: 100rel] [RSeq: N]", "< 199 c",
	"< 200 a sdp=S", "< 200 a", "< 200 b sdp=S", "< 200 a sdp=S [Session-Expires: 90;refresher=uas]", "< 200 c cseq=1", "< 200",
	"< 302 a", "< 401 a", "< 407 a", "< 407 stale", "< 408 a", "< 421 a [Require: 100rel]", "< 422 a [Min-SE: N00]", "< 481 a", "< 487 a",
	"< 488 a", "< 491 a", "< 503 a", "< 486 cseq=1",
	"< 200:BYE a", "< 401:BYE a", "< 481:BYE a", "< 200:INFO a", "< 415:INFO a", "< 200:UPDATE a", "< 422:UPDATE a [Min-SE: N0]",
	"< 405:UPDATE a", "< 200:CANCEL a", "< 202:REFER a", "< 200:PRACK a",
	"< ACK 1", "< ACK N", "< ACK 1 sdp=Z", "< BYE N", "< BYE N from=b", "< BYE 1", "< CANCEL 1", "< CANCEL N",
	"< INVITE N sdp=Q", "< INVITE N", "< INVITE N sdp=S", "< INVITE N sdp=Q [Session-Expires: N] [Supported: timer]", "< UPDATE N",
	"< UPDATE N sdp=Q", "< INFO N", "< INFO N relay=1", "< OPTIONS N", "< REFER N", "< NOTIFY N frag=200 [Event: refer]", "< PRACK N",
	"< MESSAGE N", "< INFO N from=x", "< INFO N [Require: x]",
	"> ring", "> accept A", "> reject", "> modify M", "> hold H", "> peerholds true", "> digits 1,2", "> keyframe",
	"> transfer sip:x@y", "> end hung_up", "> end cancelled", "> end no_codec", "> unsent INVITE", "> unsent BYE",
}

// Whatever happens in whatever order: nothing panics, ACK is only for 2xx, CANCEL only for an INVITE with a 1xx, there is one final status
// and none after it, and a call that we end is gone after some minutes.
func FuzzCall(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		data := make([]byte, 2+random.IntN(40))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 200 {
			t.Skip()
		}
		a := newActor(t)
		j := &judgement{t: t, actor: a, accepted: map[uint32]bool{}, provisional: map[uint32]bool{}}
		if data[0]%2 == 0 {
			j.event("> dial")
		} else {
			j.event([]string{"< INVITE 1 sdp=O", "< INVITE 1"}[int(data[0]/2)%2])
		}
		for i, b := range data[1:] {
			if int(b) >= 2*len(randomEvents) {
				j.wait(time.Duration(b) * 100 * time.Millisecond)
				continue
			}
			j.event(strings.ReplaceAll(randomEvents[int(b)%len(randomEvents)], "N", fmt.Sprint(i+2)))
		}
		j.event("> end hung_up")
		j.wait(10 * time.Minute)
		if !a.call.Gone() || !a.call.Deadline().IsZero() || j.finals != 1 {
			t.Errorf("10 minutes after the end: phase %d, deadline %v, %d final statuses", a.call.phase, a.call.Deadline(), j.finals)
		}
	})
}

// judgement holds a call to the rules while random events happen.
type judgement struct {
	t           *testing.T
	actor       *actor
	accepted    map[uint32]bool // CSeq of INVITEs with a 2xx
	provisional map[uint32]bool // CSeq of INVITEs with a 1xx
	finals      int
}

func (j *judgement) event(event string) {
	a := j.actor
	words := strings.Fields(event)
	if code := leadingNumber(words[1]); code > 0 {
		_, method, other := strings.Cut(words[1], ":")
		if !other {
			method = "INVITE"
		}
		request := a.sent[method]
		if request == nil {
			return
		}
		number, _ := request.Header.cseq()
		if strings.Contains(event, "cseq=1") {
			number = 1
		}
		if !other {
			j.accepted[number] = j.accepted[number] || code/100 == 2
			j.provisional[number] = j.provisional[number] || code < 200
		}
	}
	if words[1] == "unsent" && a.sent[words[2]] == nil {
		return
	}
	a.do(event)
	j.look()
}

func (j *judgement) wait(d time.Duration) {
	a := j.actor
	until := a.now.Add(d)
	for range 10000 {
		at := a.call.Deadline()
		if at.IsZero() || at.After(until) {
			a.now = until
			return
		}
		a.now = at
		a.call.Tick(at)
		j.look()
	}
	j.t.Fatalf("the deadline %v does not move", a.call.Deadline())
}

func (j *judgement) look() {
	for _, out := range j.actor.call.Take() {
		switch out := out.(type) {
		case Send:
			j.actor.sent[out.Request.Method] = out.Request
			number, _ := out.Request.Header.cseq()
			if out.Request.Method == "ACK" && !j.accepted[number] {
				j.t.Errorf("ACK %d without a 2xx", number)
			}
			if out.Request.Method == "CANCEL" && !j.provisional[number] {
				j.t.Errorf("CANCEL %d without a 1xx", number)
			}
		case StatusChanged:
			if j.finals > 0 {
				j.t.Errorf("status %s after a final one", out.Status)
			}
			if out.Status.Final() {
				j.finals++
			}
		}
	}
	if n := len(j.actor.call.branches); n > maxBranches {
		j.t.Errorf("%d branches", n)
	}
}
