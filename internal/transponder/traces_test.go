package transponder

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/testkit/tracekit"
	"transponder/internal/trace"
)

func within(parent testkit.TraceSpan) func(testkit.TraceSpan) bool {
	return func(s testkit.TraceSpan) bool { return s.Within(parent) }
}

// The span TLS lies between those of TCP and of RTMP, and says why TLS has failed.
func TestTraceOfTLS(t *testing.T) {
	c, tracer := tracekit.Start(t)
	authority := newAuthority(t)
	b := newBenchWith(t, func(c *Config) { c.SkipTLSVerify = true }, func(p *Parts) { p.Tracer = tracer })
	server := testkit.NewRTMPSServer(t, testkit.Script{}, authority.sign("127.0.0.1", time.Now().Add(time.Hour)))
	s := b.source("s")
	id := b.start(Request{StreamName: "s", URL: server.URL("live")}).ID
	s.live(t, server)
	connect := c.Await(t, "connect", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.push"] == id })
	var before uint64
	for _, name := range []string{"TCP", "TLS", "RTMP handshake"} {
		step := c.Await(t, name, within(connect))
		if step.Failed || step.Begin < before || step.End < step.Begin {
			t.Errorf("%s: %+v, want it after %d", name, step, before)
		}
		before = step.End
	}

	old := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{authority.sign("127.0.0.1", time.Now().Add(time.Hour))}, MaxVersion: tls.VersionTLS11})
	id = b.start(Request{StreamName: "s", URL: old}).ID
	connect = c.Await(t, "connect", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.push"] == id })
	if step := c.Await(t, "TLS", within(connect)); !step.Failed || step.Attributes["error.type"] != string(ReasonTLS) || step.Words == "" {
		t.Errorf("TLS that fails: %+v", step)
	}
	if !connect.Failed || connect.Attributes["error.type"] != string(ReasonTLS) {
		t.Errorf("an attempt without TLS: %+v", connect)
	}
}

// Each address of a push with backupUrls has its attempt in the trace of the push. The reconnect of one of them has a trace of its own, which names
// that address.
func TestTraceOfLegs(t *testing.T) {
	c, tracer := tracekit.Start(t)
	b := newBenchWith(t, func(c *Config) { c.FailBack = 20 * time.Millisecond }, func(p *Parts) { p.Tracer = tracer })
	first := testkit.NewRTMPServer(t, testkit.Script{})
	lost := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.HangUp, Times: 1})
	s := b.source("s")
	id := b.start(Request{StreamName: "s", URL: first.URL("live/a"), Options: Options{BackupURLs: []string{lost.URL("spare/b")}, Simultaneous: true}}).ID
	b.wait("second connection to the second address", func() bool {
		s.write(1, 20)
		tags := picturesOf(lost.Tags())
		return len(tags) > 20 && len(first.Tags()) > 20 && tags[len(tags)-1].Connection == 2
	})
	to := func(target string) func(testkit.TraceSpan) bool {
		return func(s testkit.TraceSpan) bool {
			return s.Attributes["transponder.push"] == id && s.Attributes["transponder.target"] == target
		}
	}
	targets := b.Find(Filter{ID: id})[0].Addresses
	own, spare := c.Await(t, "connect", to(targets[0].Target)), c.Await(t, "connect", to(targets[1].Target))
	push := c.Await(t, "push", func(s testkit.TraceSpan) bool { return s.Trace == own.Trace })
	if own.Parent != push.ID || spare.Parent != push.ID || spare.Trace != push.Trace {
		t.Errorf("push %+v, first attempts %+v and %+v: want both within the push", push, own, spare)
	}
	for _, one := range []testkit.TraceSpan{own, spare} {
		c.Await(t, "RTMP connect", within(one))
	}
	again := c.Await(t, "reconnect", to(targets[1].Target))
	if again.Trace == push.Trace || again.Failed || len(again.Links) != 1 || again.Links[0] != push.Trace {
		t.Errorf("the reconnect of the second address: %+v, want a trace with a link to %s", again, push.Trace)
	}
	if slices.ContainsFunc(c.Spans(), func(s testkit.TraceSpan) bool { return s.Name == "reconnect" && to(targets[0].Target)(s) }) {
		t.Error("there is a reconnect of the first address, which was not lost")
	}
}

// Of a push that sends to all its addresses at the same time, one address that fails is no failure of the push.
func TestTraceOfLegThatFails(t *testing.T) {
	c, tracer := tracekit.Start(t)
	b := newBenchWith(t, nil, func(p *Parts) { p.Tracer = tracer })
	takes := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	begin := func(first, second string) string {
		t.Helper()
		return b.start(Request{StreamName: "s", URL: first, Options: Options{BackupURLs: []string{second}, Simultaneous: true, Restore: &Restore{}}}).ID
	}
	pushOf := func(id string) testkit.TraceSpan {
		t.Helper()
		one := c.Await(t, "connect", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.push"] == id && s.Failed })
		return c.Await(t, "push", func(s testkit.TraceSpan) bool { return s.ID == one.Parent })
	}
	id := begin(refusing(t), takes.URL("live"))
	c.Await(t, "connect", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.push"] == id && s.Failed })
	s.live(t, takes)
	if push := pushOf(id); push.Failed {
		t.Errorf("a push of which one address takes the stream: %+v", push)
	}
	if push := pushOf(begin(refusing(t), refusing(t))); !push.Failed || push.Attributes["error.type"] != string(ReasonRefused) {
		t.Errorf("a push of which no address takes the stream: %+v", push)
	}
}

// The addresses of options.backupUrls that are tried in turn are attempts within the trace of the push. Each attempt has the reason of its failure,
// and none has a stream key, even if a server repeats the key. The push is well once an address takes the stream, and fails once all have failed.
func TestTraceOfAddressesInTurn(t *testing.T) {
	const key = "hunter2-live"
	c, tracer := tracekit.Start(t)
	b := newBenchWith(t, nil, func(p *Parts) { p.Tracer = tracer })
	refuses := testkit.NewRTMPServer(t, testkit.Script{
		At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied", Description: "no such key: " + key,
	})
	hangsUp := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.HangUp}).URL("gone/" + key)
	takes := testkit.NewRTMPServer(t, testkit.Script{})
	source := b.source("s")
	attempts := func(id string, reasons ...Reason) (push testkit.TraceSpan) {
		t.Helper()
		for i, want := range reasons {
			number := strconv.Itoa(i + 1)
			one := c.Await(t, "connect", func(s testkit.TraceSpan) bool {
				return s.Attributes["transponder.push"] == id && s.Attributes["transponder.address"] == number
			})
			if got := one.Attributes["error.type"]; got != string(want) || one.Failed != (want != ReasonNone) || one.Failed != (one.Words != "") {
				t.Errorf("attempt at address %d: %+v, want the reason %q", i+1, one, want)
			}
			if one.Attributes["transponder.attempt"] != number || one.Attributes["transponder.target"] == "" {
				t.Errorf("attempt at address %d: %+v", i+1, one)
			}
			push = c.Await(t, "push", func(s testkit.TraceSpan) bool { return s.ID == one.Parent && s.Trace == one.Trace })
		}
		return push
	}

	full := func(url string) Request {
		return Request{StreamName: "s", URL: url, FullURL: new(true)}
	}
	req := full(refusing(t) + "/" + key)
	req.Options.BackupURLs = []string{refuses.URL("denied/" + key), hangsUp, takes.URL("live/" + key)}
	id := b.start(req).ID
	source.live(t, takes)
	b.wait("live push", func() bool {
		source.write(1, 20)
		return b.Find(Filter{ID: id})[0].State == Live
	})
	if push := attempts(id, ReasonRefused, ReasonKeyRejected, ReasonPeerClosed, ReasonNone); push.Failed {
		t.Errorf("a push whose last address takes the stream: %+v", push)
	}

	req = full(refuses.URL("again/" + key))
	req.Options.BackupURLs, req.Options.Restore = []string{refusing(t) + "/" + key}, &Restore{}
	id = b.start(req).ID
	if push := attempts(id, ReasonKeyRejected, ReasonRefused); !push.Failed || push.Attributes["error.type"] != string(ReasonRefused) {
		t.Errorf("a push whose addresses have all failed: %+v, want the failure that leaves most hope", push)
	}
	for _, s := range c.Spans() {
		if strings.Contains(fmt.Sprint(s), key) {
			t.Errorf("a span has a stream key: %+v", s)
		}
		if s.Name == "reconnect" {
			t.Errorf("an attempt is no part of the trace of the push: %+v", s)
		}
	}
}

// The reconnect of a push that another process goes on with has links to the request that began the push and to the publisher that came back.
func TestTraceOfResume(t *testing.T) {
	c, tracer := tracekit.Start(t)
	keeper := newFakeKeeper()
	traced := func(p *Parts) { p.Keeper, p.Tracer = keeper, tracer }
	server := testkit.NewRTMPServer(t, testkit.Script{})
	publish := func(b *bench) (*source, trace.Link) {
		t.Helper()
		steps := tracer.Steps(t.Context(), "publish", "answer")
		src, err := b.hub.Publish(stream.Info{Name: "s", ID: "s", HasVideo: true, HasAudio: true, AskKeyFrame: func() {}, Steps: steps})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { src.Close(nil) })
		src.SetLive()
		return &source{Source: src, video: realVideo(t), audio: realAudio}, steps.Link()
	}
	traceOf := func(l trace.Link) string { return strings.Split(l.String(), "-")[1] }
	b := newBenchWith(t, nil, traced)
	s, first := publish(b)
	id := b.start(Request{StreamName: "s", URL: server.URL("live")}).ID
	s.live(t, server)
	b.wait("record of a live push", func() bool { return keeper.record(t).State == Live.String() })
	push := c.Await(t, "push", func(s testkit.TraceSpan) bool { return s.Trace == traceOf(first) })
	if want := trace.ParseLink(keeper.record(t).Trace); traceOf(want) != push.Trace {
		t.Errorf("the record names the trace %v, want %s", want, push.Trace)
	}

	keeper.crash()
	s.Close(nil)
	b.stop()
	keeper.edit(func(r *Record) { r.Anchor -= 60_000 }) // the frames of this test are ahead of the clock
	b = newBenchWith(t, nil, traced)
	if err := b.Restore(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s, second := publish(b)
	b.wait("live again", func() bool {
		s.write(10, 20)
		return b.Find(Filter{ID: id})[0].State == Live
	})
	again := c.Await(t, "reconnect", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.push"] == id })
	if want := []string{push.Trace, traceOf(second)}; again.Failed || again.Parent != "" || !slices.Equal(again.Links, want) {
		t.Errorf("the reconnect %+v, want links to %q", again, want)
	}
	if again.Attributes["transponder.after"] != string(ReasonRestarted) || again.Attributes["transponder.attempt"] != "2" {
		t.Errorf("the reconnect has %v", again.Attributes)
	}
}
