package sip

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/leg"
	"transponder/internal/sip/line"
)

// A call that has ended is found for 10 s, and its goroutine waits longer for a 2xx that comes late.
func TestEndedCallIsFoundForAWhile(t *testing.T) {
	inLab(t, nil, func(l lab) {
		invite := l.call("c")
		l.line.respond(invite, 486, "")
		synctest.Wait()
		time.Sleep(foundFor - time.Millisecond)
		if i := l.info("c"); i.Status != dialog.Busy {
			t.Errorf("the call is %+v", i)
		}
		time.Sleep(time.Millisecond)
		if found := l.Find(Filter{}); len(found) != 0 {
			t.Errorf("it is still found: %+v", found)
		}
		l.line.respond(invite, 200, "") // it crossed our patience: somebody would pay for this call
		synctest.Wait()
		if l.line.count("ACK") != 1 || l.line.count("BYE") != 1 {
			t.Error("a late 200 is not acknowledged and hung up")
		}
		time.Sleep(2 * time.Minute)
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.byKey) != 0 {
			t.Errorf("%d calls are kept", len(l.byKey))
		}
	})
}

// An id is used again: the call that goes on is found before the one that has ended.
func TestLiveCallIsFoundFirst(t *testing.T) {
	inLab(t, nil, func(l lab) {
		l.line.respond(l.call("c"), 486, "")
		synctest.Wait()
		l.call("c")
		found := l.Find(Filter{CallID: "c"})
		if len(found) != 2 || found[0].Status.Final() || found[1].Status != dialog.Busy {
			t.Errorf("found %+v", found)
		}
	})
}

// Nobody answers: the call is cancelled, and its end is no failure.
func TestNobodyAnswers(t *testing.T) {
	inLab(t, nil, func(l lab) {
		l.line.respond(l.call("c"), 180, "")
		time.Sleep(DefaultConfig().AnswerTimeout + time.Second)
		synctest.Wait()
		if i := l.info("c"); i.Status != dialog.Finish || i.Reason != dialog.ReasonNoAnswer || l.line.count("CANCEL") != 1 {
			t.Errorf("the call is %+v", i)
		}
	})
}

// A call ends if the settings limit its time, if its phone sends nothing, or if its media ends.
func TestCallsThatWeEnd(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		cause  func(lab)
		status dialog.Status
		reason dialog.Reason
		info   string
	}{
		{"longest time", func(c *Config) { c.MaxDuration = time.Hour }, func(lab) { time.Sleep(time.Hour) },
			dialog.Finish, dialog.ReasonHungUp, "the call has lasted 1h0m0s"},
		{"no media", nil, func(l lab) { l.legs.last().events.MediaTimeout(fmt.Errorf("no RTP from 192.0.2.1:4000")) },
			dialog.Failed, dialog.ReasonMediaTimeout, "no RTP from 192.0.2.1:4000"},
		{"stream terminated", nil, func(l lab) { src, _ := l.hub.Source("sip-c"); src.Close(errors.New("by request")) },
			dialog.Finish, dialog.ReasonHungUp, "the stream has ended: by request"},
		{"panic", nil, func(l lab) { panicInside(l, "c") }, dialog.Failed, dialog.ReasonTransport, "an internal error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *Config) {
				c.SessionExpires = 0
				if tt.change != nil {
					tt.change(c)
				}
			}, func(l lab) {
				l.answered("other")
				l.answered("c")
				tt.cause(l)
				synctest.Wait()
				if i := l.info("c"); i.Status != tt.status || i.Reason != tt.reason || i.Detail != tt.info {
					t.Errorf("the call is %+v", i)
				}
				if l.line.count("BYE") == 0 {
					t.Error("the phone was not told")
				}
				select {
				case <-l.legs.last().ended:
				default:
					t.Error("the media goes on")
				}
				if _, found := l.hub.Source("sip-c"); found {
					t.Error("the stream goes on")
				}
				if other := l.info("other"); tt.name != "longest time" && other.Status != dialog.Established {
					t.Errorf("another call has ended, too: %+v", other)
				}
				if want := map[bool]int64{true: 1}[tt.name == "panic"]; l.Stats().Panics != want {
					t.Errorf("%d panics are counted", l.Stats().Panics)
				}
			})
		})
	}
}

// panicInside makes the goroutine of a call panic.
func panicInside(l lab, id string) {
	k, err := l.find(id)
	if err != nil {
		l.t.Fatal(err)
	}
	k.post(func(time.Time) { panic("a bug") })
}

// Phones that do not confirm their BYE do not hold up the end of the server.
func TestEndOfServerIsBounded(t *testing.T) {
	inLab(t, nil, func(l lab) {
		l.answered("a")
		l.answered("b")
		if err := l.Start(t.Context(), Request{CallID: "c", Callee: "bob", Audio: true, Account: Account{
			Login: "ann", Domain: "example.com", Register: true,
		}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		l.end()
		if took := time.Since(began); took < hangUpLimit || took > hangUpLimit+unregisterLimit {
			t.Errorf("the end took %v", took)
		}
		if l.line.count("BYE") != 2 {
			t.Errorf("%d phones were told", l.line.count("BYE"))
		}
	})
}

// Many calls that end together with the server: each phone is told, and nothing is left. The bubble waits for every goroutine.
func TestManyCallsEndWithServer(t *testing.T) {
	inLab(t, func(c *Config) { c.CallsPerMinute, c.MaxCalls = 1000, 200 }, func(l lab) {
		for i := range 200 {
			id := fmt.Sprint(i)
			callee := fmt.Sprintf("sip:%d@192.0.2.1", i)
			if err := l.Start(t.Context(), Request{CallID: id, Callee: callee, Audio: true}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if i%2 == 0 {
				l.line.respond(l.line.last("INVITE"), 180, "")
			} else {
				l.line.respond(l.line.last("INVITE"), 200, "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n")
			}
		}
		synctest.Wait()
		l.end()
		if byes, cancels := l.line.count("BYE"), l.line.count("CANCEL"); byes != 100 || cancels != 100 {
			t.Errorf("%d phones got BYE and %d CANCEL, want 100 each", byes, cancels)
		}
		if n := len(l.hub.Sources()); n != 0 {
			t.Errorf("%d streams are left", n)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.byKey) != 0 || len(l.peers.n) != 0 || len(l.live) != 0 {
			t.Errorf("%d calls and %d addresses are left", len(l.byKey), len(l.peers.n))
		}
	})
}

// Whatever is asked of calls at the same time, each call ends once, and nothing is left.
func TestConcurrentUse(t *testing.T) {
	inLab(t, func(c *Config) { c.CallsPerMinute = 10_000 }, func(l lab) {
		l.line.mu.Lock()
		l.line.answers = true
		l.line.mu.Unlock()
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := range 30 {
					id := fmt.Sprint(i % 4) // which other workers use, too
					err := l.Start(t.Context(), Request{CallID: id, Callee: fmt.Sprintf("sip:%d-%d@192.0.2.1", worker, i), Audio: true})
					if err != nil && !errors.Is(err, ErrCallID) {
						t.Errorf("a call does not start: %v", err)
					}
					for _, err := range []error{
						l.SendDigits(id, "1", ""), l.InjectSound(id, "tone.wav"), l.InjectStream(id, "sip-0"), l.EjectStream(id), l.Terminate(id),
					} {
						var bad *RequestError
						if err != nil && !errors.Is(err, ErrNoCall) && !errors.Is(err, ErrState) && !errors.Is(err, ErrNoStream) && !errors.As(err, &bad) {
							t.Errorf("a call in use: %v", err)
						}
					}
					l.Find(Filter{})
					l.Stats()
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		s := l.Stats()
		if len(s.Calls) != 0 || len(l.hub.Sources()) != 0 {
			t.Errorf("%v calls and %d streams are left", s.Calls, len(l.hub.Sources()))
		}
		var ended int64
		for _, n := range s.Ended {
			ended += n
		}
		if ended != s.StartedOut || ended < 30 {
			t.Errorf("%d calls have started, and %d have ended: %v", s.StartedOut, ended, s.Ended)
		}
	})
}

// A registrar that is not found is looked for again after 5 s, then after 10 s, and then the account is registered and kept so.
func TestRegistrarIsLookedForAgain(t *testing.T) {
	inLab(t, nil, func(l lab) {
		lose := func(lost bool) {
			l.line.mu.Lock()
			defer l.line.mu.Unlock()
			l.line.lost = lost
		}
		lose(true)
		p := &page{}
		account := Account{Login: "ann", Domain: "example.com", Register: true}
		if _, err := l.Open(t.Context(), account, Page{}, p); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Second)
		if r := l.Stats().Registrations; r != (Registrations{Wanted: 1}) {
			t.Errorf("without a registrar there are %+v", r)
		}
		lose(false)
		time.Sleep(time.Second)
		synctest.Wait()
		r := l.line.last("REGISTER")
		if r == nil {
			t.Fatal("15 s after the start the registrar is not looked for")
		}
		l.line.respond(r, 200, "", dialog.Field{Name: "Expires", Value: "30"})
		synctest.Wait()
		if r := l.Stats().Registrations; r != (Registrations{Wanted: 1, Up: 1}) {
			t.Errorf("there are %+v", r)
		}
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if l.line.count("REGISTER") != 2 {
			t.Error("a registration of 30 s was not refreshed after 15 s")
		}
		if len(p.told) != 1 || p.told[0] != "registered" {
			t.Errorf("the page was told %q", p.told)
		}
	})
}

// Without free ports there is no call, and no message is sent.
func TestNoPorts(t *testing.T) {
	inLab(t, nil, func(l lab) {
		l.legs.full = true
		if l.call("c") != nil {
			t.Error("an INVITE was sent")
		}
		if i := l.info("c"); i.Status != dialog.Failed || !strings.Contains(i.Detail, leg.ErrNoPorts.Error()) {
			t.Errorf("the call is %+v", i)
		}
	})
}

// Digits go by INFO to a phone that takes none by RTP.
func TestDigitsWithoutEvents(t *testing.T) {
	inLab(t, nil, func(l lab) {
		invite := l.call("c")
		if err := l.SendDigits("c", "1", ""); !errors.Is(err, ErrState) {
			t.Errorf("before the answer: %v", err)
		}
		l.line.respond(invite, 200, "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n")
		synctest.Wait()
		if err := l.SendDigits("c", "1", DigitsRTP); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if info := l.line.last("INFO"); info == nil || !strings.Contains(string(info.Body), "Signal=1") {
			t.Errorf("the INFO is %+v", info)
		}
	})
}

// A phone hears what is injected: a stream until the stream ends, and a file in its place.
func TestInject(t *testing.T) {
	inLab(t, nil, func(l lab) {
		l.answered("other")
		l.answered("c")
		media := l.legs.last()
		hears := func(want string) {
			t.Helper()
			synctest.Wait()
			if i := l.info("c"); i.Injected != want {
				t.Errorf("the phone hears %q, want %q", i.Injected, want)
			}
		}
		if err := l.InjectStream("c", "none"); err != ErrNoStream {
			t.Errorf("a stream that is not there: %v", err)
		}
		if err := l.InjectStream("nobody", "sip-other"); err != ErrNoCall {
			t.Errorf("a call that is not there: %v", err)
		}
		var bad *RequestError
		if err := l.InjectStream("c", "sip-c"); !errors.As(err, &bad) {
			t.Errorf("the call's own stream: %v", err)
		}
		if err := l.InjectStream("c", "sip-other"); err != nil {
			t.Fatal(err)
		}
		hears("sip-other")
		if err := l.InjectStream("c", "sip-other"); !errors.Is(err, ErrState) {
			t.Errorf("a second stream: %v", err)
		}
		if err := l.InjectSound("c", "none.wav"); !errors.Is(err, ErrNoFile) {
			t.Errorf("a file that is not there: %v", err)
		}
		if err := l.InjectSound("c", "tone.wav"); err != nil || media.player == nil {
			t.Fatal(err)
		}
		hears("tone.wav")
		media.events.SoundEnded(errors.New("end of file"))
		hears("sip-other")
		if err := l.EjectStream("c"); err != nil || media.played != nil {
			t.Errorf("%v, %v", err, media.played)
		}
		hears("")
		if err := l.InjectStream("c", "sip-other"); err != nil {
			t.Fatal(err)
		}
		if err := l.Terminate("other"); err != nil {
			t.Fatal(err)
		}
		media.events.StreamEnded(errors.New("the stream has ended"))
		hears("")
	})
}

// Both sides change the call at the same time. Our offer waits, and then says the last word: its version is above that of our answer.
func TestOffersCollide(t *testing.T) {
	inLab(t, nil, func(l lab) {
		p := &page{}
		var err error
		if p.Phone, err = l.Open(t.Context(), Account{Login: "ann", Domain: "192.0.2.1"}, Page{}, p); err != nil {
			t.Fatal(err)
		}
		if err := p.Call(t.Context(), PageCall{CallID: "c", Callee: "bob", Audio: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		invite := l.line.last("INVITE")
		sdp := func(version int) string {
			return fmt.Sprintf("v=0\r\no=- 1 %d IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n", version)
		}
		l.line.respond(invite, 200, sdp(1))
		synctest.Wait()
		if err := p.Hold("c", true, false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.line.respond(l.line.last("INVITE"), 491, "")
		synctest.Wait()
		k, err := l.find("c")
		if err != nil {
			t.Fatal(err)
		}
		l.incoming(&dialog.Request{Method: "INVITE", URI: "sip:c@192.0.2.9", Body: []byte(sdp(2)), Header: dialog.Header{
			{Name: "From", Value: "<sip:bob@192.0.2.1>;tag=phone"}, {Name: "To", Value: "<sip:ann@192.0.2.1>;tag=" + k.tag},
			{Name: "Call-ID", Value: "c"}, {Name: "CSeq", Value: "7 INVITE"}, {Name: "Content-Type", Value: "application/sdp"},
		}}, line.Origin{Transport: "udp", Source: peer})
		synctest.Wait()
		l.line.mu.Lock()
		answer := l.line.replies[len(l.line.replies)-1]
		l.line.mu.Unlock()
		if answer.Code != 200 || !strings.Contains(string(answer.Body), "a=sendonly") {
			t.Errorf("the phone's offer is answered by %d\n%s", answer.Code, answer.Body)
		}
		l.incoming(&dialog.Request{Method: "ACK", URI: "sip:c@192.0.2.9", Header: dialog.Header{
			{Name: "From", Value: "<sip:bob@192.0.2.1>;tag=phone"}, {Name: "To", Value: "<sip:ann@192.0.2.1>;tag=" + k.tag},
			{Name: "Call-ID", Value: "c"}, {Name: "CSeq", Value: "7 ACK"},
		}}, line.Origin{Transport: "udp", Source: peer})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		again := l.line.last("INVITE")
		if version(string(again.Body)) <= version(string(answer.Body)) && string(again.Body) != string(answer.Body) {
			t.Errorf("our offer has the version %d, and our answer before has %d", version(string(again.Body)), version(string(answer.Body)))
		}
		l.line.respond(again, 200, strings.Replace(sdp(3), "RTP/AVP 0\r\n", "RTP/AVP 0\r\na=recvonly\r\n", 1))
		synctest.Wait()
		if i := l.info("c"); i.Status != dialog.Hold {
			t.Errorf("the call is %+v", i)
		}
	})
}

// version returns the version of an SDP.
func version(sdp string) (v int) {
	_, rest, _ := strings.Cut(sdp, "o=")
	var name, id string
	_, _ = fmt.Sscan(rest, &name, &id, &v)
	return v
}
