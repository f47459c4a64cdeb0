package transponder

import (
	"context"
	"math"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/testkit"
)

func total(d Durations) (n int64) {
	for _, c := range d.Counts {
		n += c
	}
	return n
}

func TestFiguresOfPushes(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	id := b.start(Request{StreamName: "s", URL: server.URL("live")}).ID
	now := func() Info { return b.Find(Filter{ID: id})[0] }
	if i := now(); i.LiveAfter != 0 || i.AVKnown {
		t.Errorf("before the first frame: live after %v, sound and pictures known: %v", i.LiveAfter, i.AVKnown)
	}
	if f := b.Figures(); f.LiveAfter.Sum != 0 || f.Ends[End{Failed, ReasonAuth}] != 0 || len(f.Ends) < 20 {
		t.Errorf("figures at the start: %+v", f)
	}
	s.live(t, server)
	b.wait("push that is live", func() bool { return now().State == Live })
	b.wait("figures of the start and of the kernel", func() bool { i := now(); return i.LiveAfter > 0 && i.RoundTrip > 0 })
	if i := now(); i.LiveAfter > time.Minute || i.RoundTrip > time.Minute {
		t.Errorf("live after %v, round trip %v", i.LiveAfter, i.RoundTrip)
	}
	offset := func(want time.Duration) func() bool {
		return func() bool { i := now(); return i.AVKnown && i.AVOffset == want }
	}
	b.wait("sound that is level with the pictures", offset(0))
	s.only = media.Video
	s.write(5, 20)
	b.wait("sound that is five pictures behind", offset(-200*time.Millisecond))
	s.only = media.Audio
	s.write(3, 20)
	b.wait("sound that is three pictures ahead", offset(120*time.Millisecond))

	f := b.Figures()
	if total(f.LiveAfter) != 1 || f.LiveAfter.Sum != now().LiveAfter || total(f.Delay) == 0 {
		t.Errorf("figures of all pushes: %+v", f)
	}
	if err := b.Terminate(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	refusing := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied"})
	b.start(Request{StreamName: "s", URL: refusing.URL("live")})
	for range 2 {
		b.end()
	}
	f = b.Figures()
	if f.Ends[End{Ended, ReasonTerminated}] != 1 || f.Ends[End{Failed, ReasonKeyRejected}] != 1 || total(f.LiveAfter) != 1 {
		t.Errorf("figures at the end: %+v", f)
	}
}

// Each time is in the fine class whose bounds are around the time.
func TestFineClasses(t *testing.T) {
	bound := func(class int) time.Duration {
		return time.Duration(math.Exp2(float64(FineFirst+class)/(1<<FineSchema)) * float64(time.Second))
	}
	for name, c := range map[string]struct {
		time  time.Duration
		class int
	}{
		"the shortest": {FineZero + 1, 0}, "a second": {time.Second, 79}, "a little more": {time.Second + 1, 80}, "half a second": {time.Second / 2, 71},
		"an hour": {time.Hour, 174}, "the longest": {4096 * time.Second, 175}, "more": {24 * time.Hour, 175},
	} {
		if got := fineClass(c.time); got != c.class {
			t.Errorf("%s: class %d, want %d", name, got, c.class)
		}
	}
	for n := FineZero + 1; n < time.Hour; n += n / 7 {
		if i := fineClass(n); bound(i) < n || bound(i-1) >= n {
			t.Errorf("%v is in class %d, from %v to %v", n, i, bound(i-1), bound(i))
		}
	}
	var d durations
	for _, one := range []time.Duration{-time.Second, 0, FineZero, time.Second, time.Second, 48 * time.Hour} {
		d.add(one)
	}
	if s := d.stats(); s.Zero != 3 || s.Fine[79] != 2 || s.Fine[175] != 1 || total(s) != 6 {
		t.Errorf("durations: %+v", s)
	}
}

// lossyConn tells that the kernel had to send four segments again.
type lossyConn struct{ net.Conn }

func (lossyConn) tcpState() tcpState { return tcpState{rtt: 30 * time.Millisecond, resent: 4} }

// The segments that all connections of a push have sent again are counted, and the round trip is that of the present one.
func TestFiguresOfTheKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &farEnd{}
		s, r, id, stop := pushInBubble(t, e, func(c *Config) {
			c.Restore = true
			c.dialTCP = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
				conn, err := e.dial(ctx, to)
				return lossyConn{conn}, err
			}
		}, Request{})
		defer stop()
		figures := func() Info {
			synctest.Wait()
			return r.Find(Filter{ID: id})[0]
		}
		s.at(0, true, 100)
		if i := figures(); i.State != Live || i.Resent != 4 || i.RoundTrip != 30*time.Millisecond {
			t.Errorf("%s, %d segments again, round trip %v", i.State, i.Resent, i.RoundTrip)
		}
		e.mu.Lock()
		e.conn.Close()
		e.mu.Unlock()
		if i := figures(); i.State != Waiting || i.Resent != 4 || i.RoundTrip != 0 || i.AVKnown {
			t.Errorf("without a connection: %s, %d segments again, round trip %v, sound and pictures known: %v", i.State, i.Resent, i.RoundTrip, i.AVKnown)
		}
		time.Sleep(time.Minute)
		s.at(time.Minute, true, 100)
		if i := figures(); i.State != Live || i.Resent != 8 || total(r.Figures().LiveAfter) != 1 {
			t.Errorf("on the second connection: %s, %d segments again, live for the first time: %d", i.State, i.Resent, total(r.Figures().LiveAfter))
		}
	})
}
