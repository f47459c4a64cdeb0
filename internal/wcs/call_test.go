package wcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/testkit"
)

// An outgoing call, in the words that the SDK needs and in their order.
func TestOutgoingCall(t *testing.T) {
	w := newWorld(t, testConfig())
	line := w.withSIP(t)
	b, p := phoneIn(t, w.serve(t), line)
	b.raw(callFrame("c1", "3001", `,"sipSDP":["b=AS:500","a=x"],"custom":{"k":1}`))
	b.wantCall("notifyTryingResponse", "c1", "TRYING")
	p.want(t, "call c1 3001")
	got := p.called()
	if got.VisibleName != "Ann" || !got.Audio || !got.Video || !slices.Equal(got.SDPLines, []string{"b=AS:500", "a=x"}) || string(got.Custom) != `{"k":1}` {
		t.Errorf("PageCall = %+v", got)
	}
	p.events.Status("c1", dialog.Pending, "")
	p.events.Status("c1", dialog.Trying, "") // the page knows that
	p.events.Status("c1", dialog.Ring, "")
	b.wantCall("ring", "c1", "RING")
	p.events.Status("c1", dialog.Ring, "")
	p.events.Status("c1", dialog.SessionProgress, "")
	b.wantCall("ring", "c1", "SESSION_PROGRESS")
	p.events.MediaReady("c1", []media.Codec{media.PCMA}, false)
	b.wantSDP("c1", "answer to v=0\\r\\nm=audio")
	p.want(t, "connect c1")
	d := w.srv.parts.Duplexes.(*fakeDuplexes)
	if terms := d.lastTerms(); !slices.Equal(terms.Kinds, []media.Kind{media.Audio}) || !slices.Equal(terms.Prefer, []media.Codec{media.PCMA}) {
		t.Errorf("terms = %+v, want sound only, and the phone's codec", terms)
	}
	p.events.MediaReady("c1", nil, true) // only once
	p.events.Status("c1", dialog.Established, "")
	b.wantCall("talk", "c1", "ESTABLISHED")
	p.events.Status("c1", dialog.Ring, "") // too late
	p.events.Status("c1", dialog.Finish, "gone")
	if d := b.wantCall("finish", "c1", "FINISH"); d["info"] != "gone" {
		t.Errorf("finish = %v", d)
	}
	p.events.Status("c1", dialog.Failed, "")
	b.raw(about("hangup", "c1", ""))
	b.wantQuiet()
	if media := <-d.made; !eventuallyOver(t, media) {
		t.Error("the media goes on")
	}
	if st := w.srv.Stats(); st.Calls != 0 || st.CallsMade != 1 || st.Talked != 1 || st.CallsFailed != 0 {
		t.Errorf("Stats = %+v", st)
	}
}

func eventuallyOver(t *testing.T, d *fakeDuplex) bool {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, func() string {
		if !d.isOver() {
			return "the media runs"
		}
		return ""
	})
	return true
}

// An incoming call. The SDP comes first, and the page can hang up because it was told that it rings.
func TestIncomingCall(t *testing.T) {
	w := newWorld(t, testConfig())
	line := w.withSIP(t)
	b, p := phoneIn(t, w.serve(t), line)
	b.ring(p, "in1")
	p.events.Status("in1", dialog.Pending, "")
	p.events.Status("in1", dialog.Ring, "") // the SDK's answer() would refuse other states
	b.raw(answerFrame("in1", "v=0", `,"sipSDP":["a=y"]`))
	p.want(t, `answer in1 ["a=y"]`)
	b.raw(answerFrame("in1", "v=0", ""))
	p.events.Status("in1", dialog.Established, "")
	b.wantCall("talk", "in1", "ESTABLISHED")
	b.raw(about("hangup", "in1", ""))
	b.wantCall("finish", "in1", "FINISH")
	p.want(t, "hangup in1 hung_up")
	b.wantQuiet()
}

// Whoever ends a call in whichever state: the page has one final status, and the other side one reason.
func TestCallEnds(t *testing.T) {
	outgoing := func(b *browser, p *fakePhone) {
		b.raw(callFrame("c", "3001", ""))
		b.wantCall("notifyTryingResponse", "c", "TRYING")
		p.want(b.t, "call c 3001")
	}
	ringing := func(b *browser, p *fakePhone) { b.ring(p, "c") }
	talking := func(b *browser, p *fakePhone) { b.talk(p, "c") }
	hangup := func(b *browser, _ *fakePhone, _ *fakeDuplexes) { b.raw(about("hangup", "c", "")) }
	dies := func(err error) func(*browser, *fakePhone, *fakeDuplexes) {
		return func(_ *browser, _ *fakePhone, d *fakeDuplexes) { (<-d.made).die <- err }
	}
	status := func(s dialog.Status) func(*browser, *fakePhone, *fakeDuplexes) {
		return func(_ *browser, p *fakePhone, _ *fakeDuplexes) { p.events.Status("c", s, "why") }
	}
	noMedia := func(err error) func(*browser, *fakePhone, *fakeDuplexes) {
		return func(_ *browser, p *fakePhone, d *fakeDuplexes) { d.set(err, nil); p.events.MediaReady("c", nil, true) }
	}
	tests := []struct {
		name         string
		begin        func(*browser, *fakePhone)
		end          func(*browser, *fakePhone, *fakeDuplexes)
		status, info string
		phone        string // "": the phone knows
	}{
		{"hangup while it is tried", outgoing, hangup, "FINISH", "Normal call clearing", "hangup c cancelled"},
		{"hangup while it rings here", ringing, hangup, "FINISH", "Normal call clearing", "hangup c rejected"},
		{"hangup while talking", talking, hangup, "FINISH", "Normal call clearing", "hangup c hung_up"},
		{"busy", outgoing, status(dialog.Busy), "BUSY", "why", ""},
		{"failed", outgoing, status(dialog.Failed), "FAILED", "why", ""},
		{"the caller gives up", ringing, status(dialog.Finish), "FINISH", "why", ""},
		{"the other side hangs up", talking, status(dialog.Finish), "FINISH", "why", ""},
		{"the page closes its connection", talking, dies(rtc.ErrClientClosed), "FINISH", "Normal call clearing", "hangup c hung_up"},
		{"ICE", talking, dies(rtc.ErrICEFailed), "FAILED", "Failed by ICE error", "hangup c media_timeout"},
		{"no packets", talking, dies(rtc.ErrActivity), "FAILED", "Failed by RTP activity", "hangup c media_timeout"},
		{"ICE while it rings", ringing, dies(rtc.ErrICETimeout), "FAILED", "Failed by ICE timeout", "hangup c media_timeout"},
		{"no codec", outgoing, noMedia(rtc.ErrNoCommonCodecs), "FAILED", "No common codecs", "hangup c no_codec"},
		{"no room", outgoing, noMedia(load.ErrFull), "FAILED", "Failed by error", "hangup c transport"},
		{
			"bad answer", ringing, func(b *browser, _ *fakePhone, _ *fakeDuplexes) { b.raw(answerFrame("c", "bad", "")) },
			"FAILED", "Failed by error", "hangup c transport",
		},
		{
			"bad lines", ringing, func(b *browser, _ *fakePhone, _ *fakeDuplexes) { b.raw(answerFrame("c", "v=0", `,"sipSDP":["m=x"]`)) },
			"FAILED", "Failed by error", "hangup c transport",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			line := w.withSIP(t)
			b, p := phoneIn(t, w.serve(t), line)
			tt.begin(b, p)
			tt.end(b, p, w.srv.parts.Duplexes.(*fakeDuplexes))
			if d := b.wantCall("finish", "c", tt.status); d["info"] != tt.info {
				t.Errorf("finish = %v, want info %q", d, tt.info)
			}
			if tt.phone != "" {
				p.want(t, tt.phone)
			}
			b.wantQuiet()
			if st := w.srv.Stats(); st.Calls != 0 || (st.CallsFailed == 1) != (tt.status == "FAILED") {
				t.Errorf("Stats = %+v", st)
			}
			b.raw(callFrame("c", "3001", "")) // the id is free
			b.wantCall("notifyTryingResponse", "c", "TRYING")
		})
	}
}

// answering makes a call whose media is being made, and never will be.
func answering(t *testing.T) (*browser, *fakePhone) {
	t.Helper()
	w := newWorld(t, testConfig())
	line := w.withSIP(t)
	w.srv.parts.Duplexes.(*fakeDuplexes).set(nil, make(chan struct{}))
	b, p := phoneIn(t, w.serve(t), line)
	b.raw(callFrame("c", "3001", ""))
	b.wantCall("notifyTryingResponse", "c", "TRYING")
	p.want(t, "call c 3001")
	p.events.MediaReady("c", nil, true)
	return b, p
}

// A hangup does not wait for the media that is being made.
func TestHangupWhileAnswering(t *testing.T) {
	b, p := answering(t)
	b.raw(about("hangup", "c", ""))
	b.wantCall("finish", "c", "FINISH")
	p.want(t, "hangup c cancelled")
	b.wantQuiet()
}

func TestCallCommands(t *testing.T) {
	tests := []struct {
		name, message, more string
		asked               string
	}{
		{"hold", "hold", "", "hold c true false"},
		{"hold for transfer", "hold", `,"holdForTransfer":true`, "hold c true true"},
		{"unhold", "unhold", "", "hold c false false"},
		{"digit", "sendDtmf", `,"type":"RFC2833","dtmf":5`, "digits c 5 RFC2833"},
		{"digits by INFO", "sendDtmf", `,"type":"INFO_RELAY","dtmf":"1#"`, "digits c 1# INFO_RELAY"},
		{"transfer", "transfer", `,"target":"3002"`, "transfer c 3002"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			line := w.withSIP(t)
			b, p := phoneIn(t, w.serve(t), line)
			b.raw(callFrame("early", "3001", ""))
			b.wantCall("notifyTryingResponse", "early", "TRYING")
			p.want(t, "call early 3001")
			b.raw(about(tt.message, "early", tt.more))
			if d := b.want("fail"); d["apiMethod"] != tt.message || d["id"] != "early" || d["status"] != "FAILED" || d["info"] != sip.ErrState.Error() {
				t.Errorf("before the call is established: fail = %v", d)
			}
			b.wantCall("notifyTryingResponse", "early", "TRYING")
			b.talk(p, "c")
			b.raw(about(tt.message, "c", tt.more))
			p.want(t, tt.asked)
			p.fail(errors.New("not now"))
			b.raw(about(tt.message, "c", tt.more))
			if d := b.want("fail"); d["apiMethod"] != tt.message || d["info"] != "not now" {
				t.Errorf("refused by the phone: fail = %v", d)
			}
			b.wantCall("talk", "c", "ESTABLISHED") // a page that waits for a status has one
			b.raw(about(tt.message, "unknown", tt.more))
			b.wantQuiet()
		})
	}
}

func TestBadCommands(t *testing.T) {
	w := newWorld(t, testConfig())
	line := w.withSIP(t)
	b, p := phoneIn(t, w.serve(t), line)
	b.talk(p, "c")
	for _, frame := range []string{
		about("transfer", "c", ""), about("transfer", "c", `,"target":"a\r\nb"`), about("transfer", "c", `,"target":"`+strings.Repeat("3", 300)+`"`),
		about("sendDtmf", "c", ""), about("sendDtmf", "c", `,"dtmf":"x"`), about("sendDtmf", "c", `,"dtmf":"1","type":"SMOKE"`),
		about("sendDtmf", "c", `,"dtmf":"`+strings.Repeat("1", 65)+`"`),
	} {
		b.raw(frame)
		if d := b.want("fail"); d["id"] != "c" {
			t.Errorf("%s: fail = %v", frame, d)
		}
		b.wantCall("talk", "c", "ESTABLISHED")
	}
}

// What the other side does to an established call.
func TestCallEvents(t *testing.T) {
	w := newWorld(t, testConfig())
	line := w.withSIP(t)
	b, p := phoneIn(t, w.serve(t), line)
	b.talk(p, "c")
	p.events.Status("c", dialog.Hold, "")
	b.wantCall("hold", "c", "HOLD")
	p.events.Status("c", dialog.Hold, "") // now the page holds, too
	b.wantCall("hold", "c", "HOLD")
	p.events.Status("c", dialog.Established, "")
	b.wantCall("talk", "c", "ESTABLISHED")
	p.events.HoldFailed("c", "488")
	if d := b.want("fail"); d["apiMethod"] != "hold" || d["info"] != "488" {
		t.Errorf("fail = %v", d)
	}
	b.wantCall("talk", "c", "ESTABLISHED")
	p.events.Digits("c", "12")
	if d := b.want("notifyDtmf"); d["callId"] != "c" || d["dtmf"] != "12" {
		t.Errorf("notifyDtmf = %v", d)
	}
	for code, want := range map[int]string{100: "TRYING", 180: "TRYING", 404: "FAILED", 603: "FAILED"} {
		p.events.Transferring("c", code)
		b.wantCall("notifyTransferEvent", "c", want)
	}
	p.events.Transferring("c", 200)
	b.wantCall("notifyTransferEvent", "c", "COMPLETED")
	b.wantCall("finish", "c", "FINISH")
	p.want(t, "hangup c hung_up")
	p.events.Transferring("unknown", 200) // the SDK would throw
	p.events.Status("unknown", dialog.Ring, "")
	b.wantQuiet()
}

// What a page may ask of a call is limited.
func TestRefusedCalls(t *testing.T) {
	cfg := testConfig()
	cfg.MaxCalls = 2
	w := newWorld(t, cfg)
	line := w.withSIP(t)
	b, p := phoneIn(t, w.serve(t), line)
	lines := func(n int) string { return `,"sipSDP":["` + strings.Repeat(`a=x","`, n-1) + `a=x"]` }
	for _, tt := range []struct{ name, frame string }{
		{"long callee", callFrame("c", strings.Repeat("3", 256), "")},
		{"two lines in the name", callFrame("c", "3001", `,"visibleName":"a\nb"`)},
		{"another provider", callFrame("c", "3001", `,"mediaProvider":"Flash"`)},
		{"much custom", callFrame("c", "3001", `,"custom":"`+strings.Repeat("x", maxCustom)+`"`)},
		{"many lines", callFrame("c", "3001", lines(21))},
		{"another kind of line", callFrame("c", "3001", `,"sipSDP":["m=video 9"]`)},
		{"half a line", callFrame("c", "3001", `,"sipSDP":["a"]`)},
		{"two lines in one", callFrame("c", "3001", `,"sipSDP":["a=x\r\nm=video 9"]`)},
		{"a long line", callFrame("c", "3001", `,"sipSDP":["a=`+strings.Repeat("x", 254)+`"]`)},
	} {
		b.raw(tt.frame)
		if d := b.wantCall("finish", "c", "FAILED"); d["info"] == "" {
			t.Errorf("%s: finish = %v, want an info", tt.name, d)
		}
	}
	b.raw(callFrame("", "3001", ""))
	b.raw(callFrame(strings.Repeat("c", 256), "3001", ""))
	b.wantQuiet() // there is no call to speak of

	p.fail(sip.ErrPolicy)
	b.raw(callFrame("c", "900", ""))
	b.wantCall("notifyTryingResponse", "c", "TRYING")
	p.want(t, "call c 900")
	if d := b.wantCall("finish", "c", "FAILED"); d["info"] != sip.ErrPolicy.Error() {
		t.Errorf("finish = %v", d)
	}
	p.fail(nil)
	for _, id := range []string{"c1", "c2"} {
		b.raw(callFrame(id, "3001", lines(20)))
		b.wantCall("notifyTryingResponse", id, "TRYING")
		p.want(t, "call "+id+" 3001")
	}
	b.raw(callFrame("c1", "3001", "")) // a status would be about the first
	b.wantQuiet()
	b.raw(callFrame("c3", "3001", ""))
	b.wantCall("finish", "c3", "FAILED")
	p.events.Incoming(sip.IncomingCall{CallID: "in", Caller: "bob", Audio: true})
	p.want(t, "hangup in busy")
	b.wantQuiet()
}

// A call whose events nobody takes ends, instead of showing a wrong state.
func TestCallOverrun(t *testing.T) {
	b, p := answering(t)
	for range maxPending + 2 {
		p.events.Status("c", dialog.Ring, "")
	}
	b.wantCall("finish", "c", "FAILED")
	p.want(t, "hangup c transport")
}

// A session that is kept keeps its calls and its registration. The page is told of them when it returns.
func TestCallsSurviveTheSocket(t *testing.T) {
	w := newWorld(t, testConfig())
	line := w.withSIP(t)
	url := w.serve(t)
	b := dial(t, url)
	token := b.hello(keep + sipAccount)
	p := <-line.opened
	p.events.Registered()
	b.want("registered")
	b.talk(p, "talking")
	b.ring(p, "ends")
	b.raw(callFrame("answered", "3001", ""))
	b.wantCall("notifyTryingResponse", "answered", "TRYING")
	p.want(t, "call answered 3001")
	_ = b.conn.CloseNow()
	w.lost(t)

	p.events.Status("ends", dialog.Finish, "")
	p.events.MediaReady("answered", nil, false)
	p.want(t, "connect answered")
	p.events.Incoming(sip.IncomingCall{CallID: "rings", Caller: "bob", Callee: "3000", Audio: true})
	p.events.Incoming(sip.IncomingCall{CallID: "missed", Caller: "bob", Callee: "3000", Audio: true})
	p.events.Status("missed", dialog.Finish, "")
	kept := w.srv.all()[0]
	testkit.Eventually(t, 10*time.Second, func() string {
		kept.mu.Lock()
		ends := len(kept.last)
		kept.mu.Unlock()
		if ends != 1 || kept.calls.call("missed") != nil || kept.calls.call("rings") == nil {
			return fmt.Sprintf("there are %d calls, and the ends of %d", kept.calls.len(), ends)
		}
		return ""
	})

	b, d := comeBack(t, url, token)
	if _, told := d["sipPassword"]; told || d["sipLogin"] != "3000" {
		t.Errorf("getUserData = %v", d)
	}
	b.wantCall("finish", "ends", "FINISH")
	b.want("registered")
	var got []string
	for range 6 {
		name, data := b.next()
		got = append(got, name+" "+data)
	}
	told := got
	for _, want := range [][]string{
		{`talk [{"callId":"talking","status":"ESTABLISHED"`},
		{`setRemoteSDP ["answered","v=0\r\nanswer to`, `notifyTryingResponse [{"callId":"answered","status":"TRYING"`},
		{`setRemoteSDP ["rings","v=0\r\nour offer`, `notifyIncomingCall [{"callId":"rings"`, `ring [{"callId":"rings","status":"RING"`},
	} {
		got = told
		for _, begin := range want { // in this order
			i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, begin) })
			if i < 0 {
				t.Fatalf("the page was told %q, want %q in this order", told, want)
			}
			got = got[i+1:]
		}
	}
	b.raw(answerFrame("rings", "v=0", ""))
	p.want(t, `answer rings []`)
	b.wantQuiet()
	_ = b.conn.Close(1000, "")
	asked := []string{<-p.asked, <-p.asked, <-p.asked, <-p.asked}
	slices.Sort(asked)
	want := []string{"close", "hangup answered hung_up", "hangup rings no_answer", "hangup talking hung_up"}
	if !slices.Equal(asked, want) {
		t.Errorf("at the end the phone was asked for %q, want %q", asked, want)
	}
}

// A panic in a call ends its session and no other.
func TestCallPanics(t *testing.T) {
	w := newWorld(t, testConfig())
	line := w.withSIP(t)
	url := w.serve(t)
	other, _ := phoneIn(t, url, line)
	b, p := phoneIn(t, url, line)
	w.srv.parts.Duplexes = panicking{}
	b.raw(callFrame("c", "3001", ""))
	b.wantCall("notifyTryingResponse", "c", "TRYING")
	p.want(t, "call c 3001")
	p.events.MediaReady("c", nil, true)
	b.wantClosed()
	asked := []string{<-p.asked, <-p.asked}
	if slices.Sort(asked); !slices.Equal(asked, []string{"close", "hangup c transport"}) {
		t.Errorf("the phone was asked for %q", asked)
	}
	other.wantQuiet()
}

type panicking struct{ Duplexes }

// Every state is told by the message that the SDK knows, and no call leaves a final state.
func TestCallStates(t *testing.T) {
	all := []callState{callNew, callTrying, callRing, callRingMedia, callProgress, callAnswered, callEstablished, callHold, callFinish, callBusy, callFailed}
	for _, st := range all {
		for _, next := range all {
			got := st.allows(next)
			switch {
			case st.final() && got:
				t.Errorf("%s may become %s", st, next)
			case !st.final() && next.final() && !got:
				t.Errorf("%s may not become %s", st, next)
			}
		}
		if want := map[callState]string{
			callTrying: "notifyTryingResponse", callRing: "ring", callRingMedia: "ring", callProgress: "ring", callEstablished: "talk",
			callHold: "hold", callFinish: "finish", callBusy: "finish", callFailed: "finish",
		}[st]; want != "" && st.message() != want {
			t.Errorf("%s is told by %s, want %s", st, st.message(), want)
		}
	}
}

// FuzzCallRequest checks that what a page asks for cannot become more than it seems: a request that is accepted has only single lines.
func FuzzCallRequest(f *testing.F) {
	for _, s := range []string{`{"callId":"c","callee":"3001","sipSDP":["a=x","b=AS:1"]}`, `{"callId":1,"sipSDP":"a=x"}`, `{"callId":"c","visibleName":"\u2028"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r callRequest
		if json.Unmarshal(raw, &r) != nil || r.check() != nil {
			return
		}
		words := append([]string{string(r.Callee), string(r.VisibleName)}, r.SIPSDP...)
		for _, w := range words {
			if strings.ContainsAny(w, "\r\n\x00") || len(w) > maxWord {
				t.Errorf("%q was accepted", w)
			}
		}
		for _, line := range r.SIPSDP {
			if !strings.HasPrefix(line, "a=") && !strings.HasPrefix(line, "b=") {
				t.Errorf("the SDP line %q was accepted", line)
			}
		}
	})
}
