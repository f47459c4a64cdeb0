package transponder

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

func TestPolicy(t *testing.T) {
	const s = time.Second
	constant := Restore{Attempts: 3, FirstPause: 5 * s, Factor: 1, MaxPause: 5 * s, HealthyFor: 30 * s}
	growing := Restore{Attempts: -1, FirstPause: s, Factor: 2, MaxPause: 10 * s, HealthyFor: 30 * s}
	jittery := growing
	jittery.Jitter = 1
	lost := loss{reason: ReasonPeerClosed, ever: true}
	healthy := loss{reason: ReasonPeerClosed, ever: true, healthy: 30 * s}
	first := func(r Reason) loss { return loss{reason: r} }
	later := func(r Reason) loss { return loss{reason: r, ever: true} }
	tests := []struct {
		name   string
		policy Restore
		random float64
		losses []loss
		want   []time.Duration // then it gives up, if there are fewer than losses
	}{
		{"off", Restore{HealthyFor: 30 * s}, 0, []loss{lost}, nil},
		{"as documented", constant, 0, []loss{lost, lost, lost, lost}, []time.Duration{5 * s, 5 * s, 5 * s}},
		{"health begins the count anew", constant, 0, []loss{lost, lost, lost, healthy, lost, lost, lost},
			[]time.Duration{5 * s, 5 * s, 5 * s, 5 * s, 5 * s, 5 * s}},
		{"pauses grow to the cap", growing, 0, []loss{lost, lost, lost, lost, lost, lost, healthy, lost},
			[]time.Duration{s, 2 * s, 4 * s, 8 * s, 10 * s, 10 * s, s, 2 * s}},
		{"jitter shortens", jittery, 0.5, []loss{lost, lost}, []time.Duration{s / 2, s}},
		{"never to nothing", jittery, 1, []loss{lost}, []time.Duration{minPause}},
		{"key in use after our own drop", constant, 0, []loss{lost, later(ReasonKeyInUse), later(ReasonKeyInUse)}, []time.Duration{5 * s, 5 * s, 5 * s}},
		{"key in use at first", constant, 0, []loss{first(ReasonKeyInUse)}, nil},
		{"refused credentials at first", constant, 0, []loss{first(ReasonAuth)}, nil},
		{"refused key at first", constant, 0, []loss{first(ReasonKeyRejected)}, nil},
		{"refused app at first", constant, 0, []loss{first(ReasonBadApp)}, nil},
		{"credentials that were taken before", constant, 0, []loss{later(ReasonAuth)}, []time.Duration{5 * s}},
		{"a key that was taken before", constant, 0, []loss{later(ReasonKeyRejected), later(ReasonKeyRejected)}, []time.Duration{5 * s, 5 * s}},
		{"an app that was there before", constant, 0, []loss{later(ReasonBadApp)}, []time.Duration{5 * s}},
		{"no room at first", constant, 0, []loss{{reason: ReasonPeerClosed, full: true}}, []time.Duration{5 * s}},
		{"bad certificate", constant, 0, []loss{later(ReasonTLSVerify)}, nil},
		{"a bug", constant, 0, []loss{later(ReasonInternal)}, nil},
		{"source gone", constant, 0, []loss{later(ReasonSourceLost)}, nil},
		{"terminated", constant, 0, []loss{later(ReasonTerminated)}, nil},
		{"nobody listens at first", constant, 0, []loss{first(ReasonRefused)}, []time.Duration{5 * s}},
		{"no answer at first", constant, 0, []loss{first(ReasonTimeout)}, []time.Duration{5 * s}},
		{"closed at first: an answer to this key", constant, 0, []loss{first(ReasonPeerClosed)}, nil},
		{"no RTMP at first", constant, 0, []loss{first(ReasonHandshake)}, nil},
		{"stalled", constant, 0, []loss{later(ReasonPeerStalled)}, []time.Duration{5 * s}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := retryPolicy{Restore: tt.policy}
			var got []time.Duration
			for i, l := range tt.losses {
				pause, again := p.next(l, tt.random)
				if !again {
					if i != len(tt.losses)-1 {
						t.Errorf("gives up at loss %d of %d", i, len(tt.losses))
					}
					break
				}
				got = append(got, pause)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("pauses %v, want %v", got, tt.want)
			}
		})
	}
}

// For each reason of the closed list the test says whether a push makes another attempt: at first, and once it has been live. With all
// others the push ends.
func TestRetriable(t *testing.T) {
	atFirst := []Reason{ReasonDNS, ReasonRefused, ReasonUnreachable, ReasonTimeout}
	later := append([]Reason{
		ReasonTLS, ReasonHandshake, ReasonProtocol, ReasonAuth, ReasonBadApp, ReasonKeyInUse, ReasonKeyRejected, ReasonPeerClosed, ReasonPeerStalled, ReasonPeerSlow, ReasonAddressDown,
		ReasonTranscoder, ReasonTooSlow, ReasonNoCapacity,
	}, atFirst...)
	for reason := range classes {
		if got, want := (loss{reason: reason}).retriable(), slices.Contains(atFirst, reason); got != want {
			t.Errorf("%s at first is tried again: %v, want %v", reason, got, want)
		}
		if got, want := (loss{reason: reason, ever: true}).retriable(), slices.Contains(later, reason); got != want {
			t.Errorf("%s of a push that was live is tried again: %v, want %v", reason, got, want)
		}
	}
}

func TestPolicyNeverOverflows(t *testing.T) {
	p := retryPolicy{Restore: Restore{Attempts: -1, FirstPause: time.Hour, Factor: maxFactor, MaxPause: time.Hour, HealthyFor: time.Hour}}
	for i := range 10_000 {
		if pause, again := p.next(loss{reason: ReasonPeerClosed, ever: true}, 0); pause != time.Hour || !again {
			t.Fatalf("pause %d is %v, %v", i, pause, again)
		}
	}
}

func TestRestoreValidate(t *testing.T) {
	tests := []struct {
		restore *Restore
		field   string // "": good
	}{
		{nil, ""},
		{&Restore{}, ""},
		{&Restore{Attempts: -1, FirstPause: minPause, MaxPause: time.Hour, Factor: 10, Jitter: 1, HealthyFor: time.Minute}, ""},
		{&Restore{Attempts: 1_000_001}, "options.restore.attempts"},
		{&Restore{FirstPause: time.Millisecond}, "options.restore.firstPauseMs"},
		{&Restore{FirstPause: 2 * time.Hour}, "options.restore.firstPauseMs"},
		{&Restore{MaxPause: -time.Second}, "options.restore.maxPauseMs"},
		{&Restore{Factor: 0.5}, "options.restore.factor"},
		{&Restore{Factor: 11}, "options.restore.factor"},
		{&Restore{Factor: math.NaN()}, "options.restore.factor"},
		{&Restore{Jitter: 1.1}, "options.restore.jitter"},
		{&Restore{Jitter: math.NaN()}, "options.restore.jitter"},
		{&Restore{HealthyFor: -1}, "options.restore.healthyForMs"},
	}
	for _, tt := range tests {
		err := tt.restore.validate()
		var bad *RequestError
		if tt.field == "" && err != nil || tt.field != "" && (!errors.As(err, &bad) || bad.Field != tt.field) {
			t.Errorf("%+v: %v, want %q", tt.restore, err, tt.field)
		}
	}
}

func TestRestoreOfSettings(t *testing.T) {
	cfg := DefaultConfig()
	if got := cfg.restore(nil); got.Attempts != 0 {
		t.Errorf("by default %+v, want no attempts", got)
	}
	cfg.Restore = true
	if got, want := cfg.restore(nil), (Restore{3, 5 * time.Second, 1, 5 * time.Second, 0, 30 * time.Second}); got != want {
		t.Errorf("of the settings %+v, want %+v", got, want)
	}
	if got, want := cfg.restore(&Restore{Attempts: -1, Factor: 2}), (Restore{-1, 5 * time.Second, 2, time.Minute, 0, 30 * time.Second}); got != want {
		t.Errorf("of the request %+v, want %+v", got, want)
	}
}

func TestTimeline(t *testing.T) {
	c := timeline{origin: new(origin), last: -1}
	at := func(m *flv.Muxer, stream, tag time.Duration) time.Duration {
		tags := []flv.Tag{{Time: uint32(tag.Milliseconds())}}
		c.place(m, media.Frame{Time: media.Timestamp(stream)}, tags)
		return time.Duration(tags[0].Time) * time.Millisecond
	}
	const s = time.Second
	first, second, third := &flv.Muxer{}, &flv.Muxer{}, &flv.Muxer{}
	c.place(first, media.Frame{Time: media.Timestamp(9 * s)}, nil) // nothing came of it
	steps := []struct {
		mux               *flv.Muxer
		stream, tag, want time.Duration
	}{
		{first, 10 * s, 0, 0},
		{first, 12 * s, 2 * s, 2 * s},
		{second, 20 * s, 0, 10 * s},
		{second, 21 * s, s, 11 * s},
		{third, 21 * s, 0, 11*s + time.Millisecond}, // at once: never a time twice
		{third, 22 * s, s, 12*s + time.Millisecond},
	}
	for i, step := range steps {
		if got := at(step.mux, step.stream, step.tag); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

// attemptsAt runs a push in a bubble without a network, where dialling fails with given errors. It returns when the push dialled and why it
// ended.
func attemptsAt(t *testing.T, restore Restore, during func(r *Registry, src *stream.Source, id string)) (dials []time.Duration, end Info) {
	t.Helper()
	return attemptsWith(t, restore, func(*Config) {}, during)
}

// attemptsWith is attemptsAt with changed settings.
func attemptsWith(
	t *testing.T, restore Restore, change func(*Config), during func(r *Registry, src *stream.Source, id string),
) (dials []time.Duration, end Info) {
	t.Helper()
	begun := time.Now()
	cfg := DefaultConfig()
	cfg.FailedFor = 0
	cfg.Resolve = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}
	cfg.dialTCP = func(context.Context, netip.AddrPort) (net.Conn, error) {
		dials = append(dials, time.Since(begun))
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	change(&cfg)
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	ended := make(chan Info, 1)
	parts := testParts(hub)
	parts.OnEnd = func(i Info) { ended <- i }
	r := NewRegistry(cfg, parts, slog.New(slog.DiscardHandler))
	src, err := hub.Publish(stream.Info{Name: "s", ID: "s", HasVideo: true})
	if err != nil {
		t.Fatal(err)
	}
	src.SetLive()
	info, err := r.Start(t.Context(), Request{StreamName: "s", URL: "rtmp://name.test/live", Options: Options{Restore: &restore}})
	if err != nil {
		t.Fatal(err)
	}
	if during != nil {
		during(r, src, info.ID)
	}
	end = <-ended
	src.Close(nil)
	r.wg.Wait()
	return dials, end
}

func TestPausesBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		dials, end := attemptsAt(t, Restore{Attempts: 4, FirstPause: s, Factor: 3, MaxPause: 5 * s}, nil)
		if want := []time.Duration{0, s, 4 * s, 9 * s, 14 * s}; !slices.Equal(dials, want) {
			t.Errorf("dials at %v, want %v", dials, want)
		}
		if end.State != Failed || end.Reason != ReasonRefused || end.Attempts != 5 {
			t.Errorf("ended as %s, %s after %d attempts", end.State, end.Reason, end.Attempts)
		}
	})
}

func TestPauseEndsAtOnce(t *testing.T) {
	forever := Restore{Attempts: -1, FirstPause: time.Hour}
	tests := []struct {
		name string
		end  func(r *Registry, src *stream.Source, id string)
		want Reason
	}{
		{"terminated", func(r *Registry, _ *stream.Source, id string) { r.Terminate(context.Background(), id) }, ReasonTerminated},
		{"source gone", func(_ *Registry, src *stream.Source, _ string) { src.Close(io.EOF) }, ReasonSourceLost},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				_, end := attemptsAt(t, forever, func(r *Registry, src *stream.Source, id string) {
					synctest.Wait()
					i := r.Find(Filter{})[0]
					if i.State != Waiting || i.Reason != ReasonRefused || !i.NextTry.Equal(begun.Add(time.Hour)) || i.Attempts != 1 {
						t.Errorf("while it waits: %s, %s, next %v, %d attempts", i.State, i.Reason, i.NextTry, i.Attempts)
					}
					tt.end(r, src, id)
				})
				if end.State != Ended || end.Reason != tt.want || time.Since(begun) != 0 {
					t.Errorf("ended as %s, %s after %v", end.State, end.Reason, time.Since(begun))
				}
			})
		})
	}
}

// quickly is a Restore policy for tests with real connections.
var quickly = &Restore{Attempts: 20, FirstPause: minPause}

func TestBackAfterALoss(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: server.URL("live"), Options: Options{Restore: quickly}})
	server.Wait(t, "publish", func() bool { return countCalls(server, "publish('rtmp_s')") == 1 })
	s.write(20, 20)
	server.Wait(t, "20 pictures", func() bool { return count(server.Tags(), true) == 20 })
	before := b.Find(Filter{ID: info.ID})[0]
	server.Kick()
	server.Wait(t, "second publish", func() bool { return countCalls(server, "publish('rtmp_s')") == 2 })
	s.n += 25 // a second without pictures: 45 is no key frame, 50 is
	s.write(20, 20)
	server.Wait(t, "15 more", func() bool { return count(server.Tags(), true) == 35 })
	b.wait("count of what was sent", func() bool { return b.Find(Filter{ID: info.ID})[0].VideoFrames == 35 })
	after := b.Find(Filter{ID: info.ID})[0]
	if after.State != Live || after.Reason != ReasonNone || after.Attempts < 2 || after.VideoFrames != 35 || after.BytesSent <= before.BytesSent {
		t.Errorf("back as %+v", after)
	}
	if m := server.Metadata(); len(m) != 2 {
		t.Errorf("metadata %d times, want once a connection", len(m))
	}
	checkTwice(t, server.Tags(), 50*40*time.Millisecond)

	s.Close(nil)
	b.end()
	var states []State
	var attempts []int
	events := make([]Event, 100)
	n, _, _ := b.Journal().Since(t.Context(), 0, events)
	for i, e := range events[:n] {
		if e.Sequence != uint64(i+1) || e.ID != info.ID || i > 0 && e.From != states[i-1] {
			t.Errorf("event %d is %+v after %v", i, e, states)
		}
		states = append(states, e.To)
		attempts = append(attempts, e.Attempt)
	}
	if attempts[0] != 0 || attempts[1] != 1 || attempts[2] != 1 || attempts[4] < 2 {
		t.Errorf("attempts %v, want each event to count the one that it is of", attempts)
	}
	if want := []State{Starting, Connecting, Live, Waiting, Connecting, Live, Draining, Ended}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	if past := b.History(10); len(past) != 1 || past[0].ID != info.ID || past[0].State != Ended || past[0].Ended.IsZero() {
		t.Errorf("history %+v", past)
	}
}

// A push that was live with this very address and is refused later comes back when the server accepts it again, whatever the refusal was:
// the server keeps the name for the connection that broke, starts its applications, or has no license or no database for a while. A push
// that was never live ends with the same refusal, unless the server says that it is full.
func TestRefusedForAWhile(t *testing.T) {
	for _, tt := range []struct {
		at, code, description string
		reason                Reason
		full                  bool
	}{
		{"publish", "NetStream.Publish.BadName", "", ReasonKeyInUse, false},
		{"publish", "NetStream.Publish.Denied", "", ReasonKeyRejected, false},
		{"publish", "NetStream.Publish.Failed", "", ReasonPeerClosed, false},
		{"publish", "NetStream.Failed", "", ReasonPeerClosed, false},
		{"publish", "NetStream.Failed", "the server is full: it takes 3 streams", ReasonPeerClosed, true},
		{"createStream", "NetConnection.Call.Failed", "", ReasonPeerClosed, false},
		{"connect", "NetConnection.Connect.InvalidApp", "", ReasonBadApp, false},
		{"connect", "NetConnection.Connect.Rejected", "Application (live) is not defined.", ReasonBadApp, false},
		{"connect", "NetConnection.Connect.Rejected", "Licensed connection limit", ReasonPeerClosed, true},
		{"connect", "NetConnection.Connect.Rejected", "unauthorized", ReasonAuth, false},
		{"connect", "NetConnection.Connect.Closed", "", ReasonPeerClosed, true},
	} {
		t.Run(tt.at+" "+tt.code+" "+tt.description, func(t *testing.T) {
			t.Parallel()
			before := testkit.NewRTMPServer(t, testkit.Script{})
			refuse := testkit.Script{At: tt.at, Do: testkit.Refuse, Times: 3, Code: tt.code, Description: tt.description}
			after, other := testkit.NewRTMPServer(t, refuse), testkit.NewRTMPServer(t, refuse)
			var dialled atomic.Int32
			b := newBench(t, func(c *Config) {
				first, later, strange := dialInstead(before, &dialled), dialInstead(after, &dialled), dialInstead(other, &dialled)
				c.dialTCP = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
					switch {
					case a.Port() != 1935:
						return strange(ctx, a)
					case dialled.Load() == 0:
						return first(ctx, a)
					}
					return later(ctx, a)
				}
			})
			s := b.source("s")
			unlimited := &Restore{Attempts: -1, FirstPause: minPause}
			id := b.start(Request{StreamName: "s", URL: "rtmp://192.0.2.1/live", Options: Options{Restore: unlimited}}).ID
			s.live(t, before)
			if err := b.Mute(id, true); err != nil {
				t.Fatal(err)
			}
			before.Kick()
			s.live(t, after)
			b.wait("life", func() bool {
				s.write(1, 20)
				return b.Find(Filter{ID: id})[0].State == Live
			})
			refusals := 0
			for _, e := range b.storyOf(id) {
				if e.To == Waiting && e.Reason == tt.reason && e.Attempt > 1 {
					refusals++
				}
			}
			if i := b.Find(Filter{ID: id})[0]; refusals != 3 || i.Attempts != 5 || !i.Muted {
				t.Errorf("%d refusals for %s, and after them %+v", refusals, tt.reason, i)
			}

			id = b.start(Request{StreamName: "s", URL: "rtmp://192.0.2.1:1936/live", Options: Options{Restore: unlimited}}).ID
			b.wait("answer to the one that was never live", func() bool {
				s.write(1, 20)
				story := b.storyOf(id)
				last := story[len(story)-1]
				return last.To == Failed && last.Reason == tt.reason || tt.full && last.To == Live
			})
		})
	}
}

func countCalls(server *testkit.RTMPServer, call string) int {
	n := 0
	for _, c := range server.Calls() {
		if c == call {
			n++
		}
	}
	return n
}

// checkTwice checks what two connections received: each got headers and first a key frame, and the second one's times go on.
func checkTwice(t *testing.T, tags []testkit.Tag, second time.Duration) {
	t.Helper()
	last := map[bool]time.Duration{true: -1, false: -1}
	headers, fresh := map[bool]int{}, map[bool]bool{}
	for _, tag := range tags {
		if tag.Header {
			headers[tag.Video]++
			fresh[tag.Video] = true
			continue
		}
		if tag.Time <= last[tag.Video] {
			t.Errorf("%s after %v", tag, last[tag.Video])
		}
		last[tag.Video] = tag.Time
		if fresh[tag.Video] && tag.Video && (!tag.Key || headers[true] == 2 && tag.Time != second) {
			t.Errorf("connection %d begins with %s, key frame %v", headers[true], tag, tag.Key)
		}
		fresh[tag.Video] = false
	}
	if headers[true] != 2 || headers[false] != 2 {
		t.Errorf("headers %v, want two of each", headers)
	}
}

// With onSourceLoss "hold" the connection stays when the stream is lost, and goes on with the next publisher of the name.
func TestHoldAndReturn(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: server.URL("live"), Options: Options{OnSourceLoss: "hold"}})
	s.live(t, server)
	s.Close(nil)
	b.wait("hold", func() bool { return b.Find(Filter{})[0].State == Holding })
	if i := b.Find(Filter{})[0]; i.Reason != ReasonSourceLost || i.Detail == "" {
		t.Errorf("holds because of %q, %q", i.Reason, i.Detail)
	}
	back := b.source("s")
	back.n = s.n + 50 // on its own clock, which began later
	b.wait("return", func() bool {
		back.write(1, 20)
		return b.Find(Filter{})[0].State == Live
	})
	if countCalls(server, "publish('rtmp_s')") != 1 {
		t.Errorf("commands %q, want one connection", server.Calls())
	}

	// Without a Restore policy the end of the connection is still the end of the push.
	server.Kick()
	b.wait("end without restore", func() bool { return b.Find(Filter{ID: info.ID})[0].State == Failed })
}

// If the stream is lost while a push waits for its next attempt, the push holds the stream when it is connected again.
func TestHoldBeginsBetweenConnections(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: server.URL("live"), Options: Options{
		OnSourceLoss: "hold", Restore: &Restore{Attempts: 3, FirstPause: 300 * time.Millisecond},
	}})
	s.live(t, server)
	server.Kick()
	b.wait("pause", func() bool { return b.Find(Filter{})[0].State == Waiting })
	s.Close(nil)
	b.wait("hold", func() bool { return b.Find(Filter{})[0].State == Holding })
	server.Wait(t, "second publish", func() bool { return countCalls(server, "publish('rtmp_s')") == 2 })
}

// A push that waits both for its server and for its publisher waits for the publisher no longer than the request says. If a publisher has
// come, the push goes on trying.
func TestHoldEndsBetweenConnections(t *testing.T) {
	for _, returns := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			refuse := func(c *Config) {
				c.dialTCP = func(context.Context, netip.AddrPort) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
				}
			}
			s, r, id, stop := pushInBubble(t, &farEnd{}, refuse, Request{Options: Options{
				OnSourceLoss: "hold", HoldFor: 20 * time.Second, Restore: &Restore{Attempts: -1, FirstPause: 3 * time.Second},
			}})
			defer stop()
			s.Close(nil)
			time.Sleep(10 * time.Second)
			if returns {
				src, err := r.parts.Hub.Publish(stream.Info{Name: "s", ID: "s"})
				if err != nil {
					t.Fatal(err)
				}
				defer src.Close(nil)
				src.SetLive()
			}
			time.Sleep(9 * time.Second)
			if found := r.Find(Filter{ID: id}); len(found) != 1 || found[0].State != Waiting {
				t.Errorf("after 19 s there is %+v", found)
			}
			time.Sleep(2 * time.Second)
			found := r.Find(Filter{ID: id})
			if returns != (len(found) == 1) {
				t.Errorf("publisher returned: %v; after 21 s there is %+v", returns, found)
			}
			if past := r.History(1); !returns && (len(past) != 1 || past[0].State != Ended || past[0].Reason != ReasonSourceLost) {
				t.Errorf("ended as %+v", past)
			}
		})
	}
}
