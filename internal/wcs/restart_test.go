package wcs

import (
	"slices"
	"testing"
	"testing/synctest"

	"transponder/internal/rtc"
	"transponder/internal/sip/dialog"
)

func restartFrame(id, offer string) string {
	return `{"message":"restartIce","data":[{"mediaSessionId":"` + id + `","sdp":"` + offer + `"}]}`
}

// A page restarts ICE of what it publishes and plays. It gets another answer, or learns that there is none, and the streams go on.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testConfig())
		dial, done := w.inBubble(t)
		defer done()
		b, other := dial(), dial()
		b.hello("")
		other.hello("")
		rates := []string{"inboundVideoRate", "outboundVideoRate", "ping"}
		b.publishLive(w, "pub", "one")
		b.playLive(w, "play", "one")
		wantAnswer := func(id, want string) {
			t.Helper()
			if name, data := b.nextBut(rates...); name != "setRemoteSDP" || data != `["`+id+`","`+want+`",true]` {
				t.Fatalf("got %s %s, want setRemoteSDP of %s with %s", name, data, id, want)
			}
		}
		wantRefusal := func(b *browser, id, want string) {
			t.Helper()
			d := b.want("fail", rates...)
			if d["apiMethod"] != "restartIce" || d["id"] != id || d["info"] != want {
				t.Fatalf("got %v, want a refusal of %s: %s", d, id, want)
			}
		}
		for _, id := range []string{"pub", "play"} {
			b.raw(restartFrame(id, "v=0"))
			wantAnswer(id, "again v=0")
			b.raw(restartFrame(id, "bad"))
			wantRefusal(b, id, "the offer is not usable SDP")
			b.raw(restartFrame(id, "wait"))
			b.raw(restartFrame(id, "v=0")) // too early
			wantRefusal(b, id, "another restart is under way")
			wantRefusal(b, id, "context deadline exceeded")
			b.raw(restartFrame(id, "v=0"))
			wantAnswer(id, "again v=0")
			other.raw(restartFrame(id, "v=0")) // it is not this session's
			wantRefusal(other, id, "there is no connection with this id")
		}
	})
}

// A page in a call restarts ICE when there is a connection, and the call goes on.
func TestRestartOfACall(t *testing.T) {
	w := newWorld(t, testConfig())
	line := w.withSIP(t)
	b, p := phoneIn(t, w.serve(t), line)
	b.raw(callFrame("c1", "3001", ""))
	b.wantCall("notifyTryingResponse", "c1", "TRYING")
	p.want(t, "call c1 3001")
	b.raw(restartFrame("c1", "v=0"))
	if d := b.want("fail"); d["apiMethod"] != "restartIce" || d["id"] != "c1" || d["info"] != errNoMedia.Error() {
		t.Errorf("got %v", d)
	}
	p.events.Status("c1", dialog.Ring, "")
	b.wantCall("ring", "c1", "RING")
	p.events.MediaReady("c1", nil, false)
	b.want("setRemoteSDP")
	b.raw(restartFrame("c1", "v=0"))
	if name, data := b.next(); name != "setRemoteSDP" || data != `["c1","again v=0",true]` {
		t.Errorf("got %s %s", name, data)
	}
	b.raw(restartFrame("c1", "bad"))
	if d := b.want("fail"); d["apiMethod"] != "restartIce" || d["id"] != "c1" || d["info"] != "the offer is not usable SDP" {
		t.Errorf("got %v", d)
	}
	p.events.Status("c1", dialog.Finish, "gone")
	b.wantCall("finish", "c1", "FINISH")
	if st := w.srv.Restarts(); st != (rtc.RestartStats{Done: 1, Refused: 2}) {
		t.Errorf("counted %+v", st)
	}
}

// nextBut is next without messages of some names.
func (b *browser) nextBut(others ...string) (name, data string) {
	b.t.Helper()
	for name, data = b.next(); slices.Contains(others, name); name, data = b.next() {
	}
	return name, data
}
