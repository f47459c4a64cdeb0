package transponder

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/testkit"
)

// A server that takes the rest of an ended stream very slowly does not keep the push alive.
func TestRestIsSentInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		e := &farEnd{pace: func() {
			if slow.Load() {
				time.Sleep(4 * time.Second)
			}
		}}
		s, r, id, stop := pushInBubble(t, e, nil, Request{})
		defer stop()
		s.at(0, true, 6)
		synctest.Wait()
		slow.Store(true)
		for n := range 120 {
			s.at(time.Duration(n+1)*40*time.Millisecond, false, 200) // so that 64 are more than one read takes
		}
		time.Sleep(100 * time.Millisecond)
		ended := time.Now()
		s.Close(nil)
		time.Sleep(2 * time.Second)
		if i := r.Find(Filter{ID: id})[0]; i.State != Draining || i.Reason != ReasonSourceLost {
			t.Errorf("after its stream the push is %s, %q", i.State, i.Reason)
		}
		for len(r.Find(Filter{ID: id})) > 0 {
			time.Sleep(100 * time.Millisecond)
		}
		took := time.Since(ended)
		end := r.History(1)[0]
		if end.State != Ended || end.Reason != ReasonSourceLost {
			t.Errorf("ended as %s, %s", end.State, end.Reason)
		}
		if limit := r.cfg.WriteTimeout + r.cfg.DrainTimeout + 2*watchEvery; took < r.cfg.WriteTimeout || took > limit {
			t.Errorf("ended after %v, want it after %v to %v", took, r.cfg.WriteTimeout, limit)
		}
	})
}

// A server that stops reading is not called live 10 s later, whatever the settings allow.
func TestStuckPeerIsNotLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		var stop atomic.Bool
		e := &farEnd{pace: func() {
			if stop.Load() {
				<-stuck
			}
		}}
		s, r, id, end := pushInBubble(t, e, nil, Request{Options: Options{Restore: &Restore{Attempts: 1, FirstPause: time.Hour}}})
		defer end()
		for n := range 100 {
			s.at(time.Duration(n)*100*time.Millisecond, n%10 == 0, 6)
			time.Sleep(100 * time.Millisecond)
		}
		if i := r.Find(Filter{ID: id})[0]; i.State != Live {
			t.Errorf("%s before the peer is stuck", i.State)
		}
		stop.Store(true)
		for n := range 102 {
			s.at(time.Duration(n+100)*100*time.Millisecond, n%10 == 0, 6)
			time.Sleep(100 * time.Millisecond)
		}
		if i := r.Find(Filter{ID: id})[0]; i.State == Live || i.Reason != ReasonPeerStalled {
			t.Errorf("%s, %q after 10 s", i.State, i.Reason)
		}
		close(stuck)
	})
}

// A push that has had nothing to send for longer than a write may take still answers its server, and goes on.
func TestPingWhileNothingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &farEnd{}
		s, r, id, stop := pushInBubble(t, e, nil, Request{})
		defer stop()
		s.at(0, true, 6)
		time.Sleep(time.Minute)
		for range 3 {
			e.ping(t)
			time.Sleep(30 * time.Second)
		}
		if found := r.Find(Filter{ID: id}); len(found) != 1 || found[0].State != Degraded || found[0].Reason != ReasonNoMedia {
			t.Fatalf("after a ping there is %+v, and in the history %+v", found, r.History(1))
		}
		before := len(e.got())
		s.at(3*time.Minute, true, 6)
		time.Sleep(2 * time.Second)
		if i := r.Find(Filter{ID: id})[0]; i.State != Live || len(e.got()) != before+2 {
			t.Errorf("%s, %s, and %d messages after the stream is back", i.State, i.Reason, len(e.got())-before)
		}
	})
}

// A show of twelve hours by a clock that is 100 ppm off, and of seven weeks after that, over three connections. On the wire each picture and
// sound has its time in the show. The times go past 2^24 ms, where they no longer fit their field, 2^31 and 2^32, and have gaps that do not
// fit the field either.
func TestTimesOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &farEnd{}
		s, _, _, stop := pushInBubble(t, e, nil, Request{Options: Options{Restore: quickly}})
		defer stop()
		var sent []time.Duration
		send := func(at time.Duration) {
			s.at(at, true, 10_000) // more than a chunk holds
			sent = append(sent, at)
			synctest.Wait() // nothing is queued that could be dropped
		}
		lose := func() {
			e.mu.Lock()
			e.conn.Close()
			e.mu.Unlock()
			time.Sleep(time.Second)
		}
		for captured := time.Duration(0); captured < 12*time.Hour; captured += 3 * time.Second {
			if captured == 6*time.Hour {
				lose()
			}
			send(captured - captured/10_000)
		}
		for _, edge := range []time.Duration{1 << 31 * time.Millisecond, 1 << 32 * time.Millisecond} {
			for at := sent[len(sent)-1] + 5*time.Hour; at < edge-time.Second; at += 5 * time.Hour {
				send(at)
			}
			for n := range time.Duration(10) {
				send(edge + 20*(n-5)*time.Millisecond)
			}
		}
		lose()
		for n := range time.Duration(3) {
			send(1<<32*time.Millisecond + time.Hour + 20*n*time.Millisecond)
		}

		got := map[uint8][]uint32{}
		for _, m := range e.got() {
			if m.Payload[1] == 1 { // no header
				got[m.Type] = append(got[m.Type], m.Time)
			}
		}
		for _, kind := range []uint8{flv.TypeVideo, flv.TypeAudio} {
			if len(got[kind]) != len(sent) {
				t.Fatalf("%d messages of type %d arrive, want %d", len(got[kind]), kind, len(sent))
			}
			for i, at := range sent {
				want := uint32(at.Milliseconds())
				if off := int32(got[kind][i] - want); off < -1 || off > 1 {
					t.Fatalf("message %d of type %d is at %d ms, want %d", i, kind, got[kind][i], want)
				}
			}
		}
	})
}

// When a push is terminated, the frames that the buffer holds back are still sent.
func TestTerminatedPushSendsTheRest(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Buffer.Enabled, c.Buffer.StartSize, c.Buffer.MaxSize = true, 10*time.Second, 20*time.Second
	})
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	id := b.start(Request{StreamName: "s", URL: server.URL("live")}).ID
	server.Wait(t, "publish", func() bool { return slices.Contains(server.Calls(), "publish('rtmp_s')") })
	s.write(100, 20) // four seconds
	b.wait("buffer", func() bool { return b.Find(Filter{ID: id})[0].BufferDelay > 3*time.Second })
	if len(server.Tags()) > 0 {
		t.Fatal("the buffer does not hold anything back")
	}
	if err := b.Terminate(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	server.Wait(t, "goodbye", func() bool { return saidGoodbye(server) })
	checkTags(t, server.Tags(), 100)
	if end := b.end(); end.State != Ended || end.Reason != ReasonTerminated || end.VideoFrames != 100 {
		t.Errorf("ended as %s, %s after %d pictures", end.State, end.Reason, end.VideoFrames)
	}
}

// If a stream sends nothing from the beginning, the push connects, says why it is not live, and is live as soon as there is something.
func TestNothingToSendYet(t *testing.T) {
	t.Parallel() // it takes seconds
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	id := b.start(Request{StreamName: "s", URL: server.URL("live")}).ID
	b.wait("word of it", func() bool {
		i := b.Find(Filter{ID: id})[0]
		return i.State == Connecting && i.Reason == ReasonNoMedia && i.Detail != ""
	})
	s.live(t, server)
	b.wait("life", func() bool {
		i := b.Find(Filter{ID: id})[0]
		return i.State == Live && i.Reason == ReasonNone
	})
}

// A bug of ours ends one push, which closes its connection, and no other push.
func TestPanicEndsOnePush(t *testing.T) {
	b := newBench(t, nil)
	server, other := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	well := b.start(Request{StreamName: "s", URL: other.URL("live")}).ID
	b.parts.Sounds = panickySounds{}
	ill := b.start(Request{StreamName: "s", URL: server.URL("live")}).ID
	s.live(t, server)
	if err := b.SoundOn(ill, "x.wav", false); err != nil {
		t.Fatal(err)
	}
	b.wait("failure", func() bool {
		s.write(1, 20)
		return b.Find(Filter{ID: ill})[0].State == Failed
	})
	if end := b.end(); end.Reason != ReasonInternal || strings.Contains(end.Detail, "bug") {
		t.Errorf("ended for %s (%s)", end.Reason, end.Detail)
	}
	if log := b.log.String(); !strings.Contains(log, "panickySounds") {
		t.Errorf("the log does not say where it was:\n%s", log)
	}
	before := len(other.Tags())
	s.write(10, 20)
	other.Wait(t, "more", func() bool { return len(other.Tags()) >= before+20 })
	if i := b.Find(Filter{ID: well})[0]; i.State != Live {
		t.Errorf("the other push is %s", i.State)
	}
}

// panickySounds has a bug that shows when a file plays.
type panickySounds struct{}

func (panickySounds) Check(string) error                       { return nil }
func (panickySounds) Open(string, bool) (SoundPlayer, error)   { return panickySounds{}, nil }
func (panickySounds) Replace(media.Frame) (media.Frame, error) { panic("a bug") }
func (panickySounds) Close()                                   {}

// The address that was checked is the address that is dialled: a name that resolves to another address a moment later has no effect.
func TestCheckedAddressIsDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		public, inside := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("127.0.0.1")
		var asked atomic.Int32
		var dialled []netip.AddrPort
		policy, err := ParseTargetPolicy(nil, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		dials, end := attemptsWith(t, Restore{Attempts: 3, FirstPause: time.Second}, func(c *Config) {
			c.Targets = policy
			c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
				if asked.Add(1)%2 == 1 {
					return []netip.Addr{public}, nil
				}
				return []netip.Addr{inside}, nil
			}
			refuse := c.dialTCP
			c.dialTCP = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
				dialled = append(dialled, a)
				return refuse(ctx, a)
			}
		}, nil)
		if len(dials) != 1 || dialled[0].Addr() != public {
			t.Errorf("dialled %v, want %v alone", dialled, public)
		}
		if end.State != Failed || end.Reason != ReasonForbidden || end.Attempts != 2 {
			t.Errorf("ended as %s, %s after %d attempts", end.State, end.Reason, end.Attempts)
		}
	})
}
