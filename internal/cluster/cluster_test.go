package cluster

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
	"transponder/internal/transponder"
)

func TestJoinAndLeave(t *testing.T) {
	t.Parallel()
	url := natskit.Start(t).URL()
	long := func(c *Config, _ *Parts) { c.Lease = 10 * time.Minute } // so that on a busy machine no lease ends before its process leaves
	a, b := newNode(t, url, "a", long), newNode(t, url, "b", long, func(_ *Config, p *Parts) {
		p.Node = func() Node { return Node{State: NodeReady, RTMP: "10.0.0.2:1935", Streams: 3} }
	})
	a.start(t)
	stop := b.start(t)
	testkit.Eventually(t, time.Minute, a.sees(2))
	testkit.Eventually(t, time.Minute, b.sees(2))
	if _, alone := a.Gate().Alone(); !a.Gate().Open() || alone {
		t.Errorf("gate of a node with a lease: open %v, alone %v", a.Gate().Open(), alone)
	}
	if n := a.Nodes()[1]; n.Owner != b.Self() || n.RTMP != "10.0.0.2:1935" || n.Streams != 3 {
		t.Errorf("node b as a sees it: %+v", n)
	}
	if !a.Lives(b.Self()) || a.Lives(Owner{"b", "another"}) {
		t.Errorf("lives: %v, and another process of the node: %v", a.Lives(b.Self()), a.Lives(Owner{"b", "another"}))
	}
	changed := a.Changed()
	stop()
	testkit.Eventually(t, time.Minute, a.sees(1))
	<-changed
	if a.Lives(b.Self()) || a.Patience(b.Self()) != 0 {
		t.Errorf("a process that has left: lives %v, patience %v", a.Lives(b.Self()), a.Patience(b.Self()))
	}
}

func TestDuplicateNode(t *testing.T) {
	t.Parallel()
	url := natskit.Start(t).URL()
	first, second := newNode(t, url, "a"), newNode(t, url, "a")
	stop := first.start(t)
	testkit.Eventually(t, time.Minute, first.sees(1))
	second.start(t)
	testkit.Eventually(t, time.Minute, func() string {
		if err := second.Ready(); !errors.Is(err, ErrDuplicateNode) {
			return "second process of one node id: " + fmtErr(err)
		}
		return ""
	})
	if second.Gate().Open() {
		t.Error("the gate of a node that has not joined is open")
	}
	if err := first.Ready(); err != nil || !first.Gate().Open() {
		t.Errorf("the first process: ready %v, gate open %v", err, first.Gate().Open())
	}
	stop()
	testkit.Eventually(t, time.Minute, second.sees(1)) // there is one now
}

// TestOtherKey starts a server that could not read the records of the others.
func TestOtherKey(t *testing.T) {
	t.Parallel()
	url := natskit.Start(t).URL()
	a, b := newNode(t, url, "a"), newNode(t, url, "b", func(_ *Config, p *Parts) { p.Sealer = plain("another") })
	a.start(t)
	testkit.Eventually(t, time.Minute, a.sees(1))
	b.start(t)
	testkit.Eventually(t, time.Minute, func() string {
		if err := b.Ready(); !errors.Is(err, ErrKey) {
			return "a server with another key: " + fmtErr(err)
		}
		return ""
	})
	if len(a.Nodes()) != 1 || b.Gate().Open() {
		t.Errorf("a sees %d processes; the gate of the other is open: %v", len(a.Nodes()), b.Gate().Open())
	}
}

// TestRestart starts a node whose process before was killed: it joins at once, since it has the folder.
func TestRestart(t *testing.T) {
	t.Parallel()
	url := natskit.Start(t).URL()
	dir := t.TempDir()
	var ids []Identity
	for range 2 {
		id, err := Identify(dir, "a")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if ids[1].Before != ids[0].Incarnation || ids[0].Incarnation == ids[1].Incarnation {
		t.Fatalf("identities: %+v", ids)
	}
	identity := func(id Identity) func(*Config, *Parts) {
		return func(c *Config, p *Parts) { c.Lease, p.Identity = 10*time.Minute, id }
	}
	killed := newNode(t, url, "a", identity(ids[0]))
	killed.start(t)
	testkit.Eventually(t, time.Minute, killed.sees(1))
	killed.Close() // and it has no way to say that it goes

	next := newNode(t, url, "a", identity(ids[1]))
	next.start(t)
	testkit.Eventually(t, time.Minute, next.sees(1))
	if next.Lives(killed.Self()) || next.Patience(killed.Self()) != 0 {
		t.Errorf("the process before: lives %v, patience %v", next.Lives(killed.Self()), next.Patience(killed.Self()))
	}
}

// TestWipe restarts NATS without what it kept in memory and on disk: everybody is there again, and nothing closed.
func TestWipe(t *testing.T) {
	t.Parallel()
	server := natskit.Start(t)
	a := newNode(t, server.URL(), "a")
	b := newNode(t, server.URL(), "b")
	a.start(t)
	b.start(t)
	testkit.Eventually(t, time.Minute, a.sees(2))
	server.Wipe(t)
	testkit.Eventually(t, time.Minute, func() string {
		if a.Stats().Reconnects == 0 {
			return "the link was not lost"
		}
		return a.sees(2)()
	})
	testkit.Eventually(t, time.Minute, b.sees(2))
}

func fmtErr(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// A process that has lost NATS a moment ago still takes publishers, but does not say that something is nowhere.
func TestInformed(t *testing.T) {
	t.Parallel()
	nats := natskit.Start(t)
	a := newNode(t, nats.URL(), "a")
	a.start(t)
	testkit.Eventually(t, time.Minute, a.sees(1))
	if err := a.Informed(); err != nil {
		t.Errorf("a server that knows the others: %v", err)
	}
	nats.Kill(t)
	testkit.Eventually(t, time.Minute, func() string {
		if err := a.Informed(); !errors.Is(err, transponder.ErrIsolated) {
			return "a server without NATS: " + fmtErr(err)
		}
		return ""
	})
	if err := a.Ready(); err != nil {
		t.Errorf("a server that has lost NATS a moment ago takes no publishers: %v", err)
	}
}

// How long a publisher has been here counts from when he was connected, and only while he sends.
func TestHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := stream.NewHub(stream.DefaultConfig(), nil)
		c := &Cluster{parts: Parts{Hub: hub}}
		c.names = newNames(c)
		publish := func(provider string) *stream.Source {
			s, err := hub.Claim(t.Context(), stream.Info{Name: "cam", ID: provider, Provider: provider, HasVideo: true})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		here := func(when string, want time.Duration) {
			t.Helper()
			if got := c.Here("cam"); got != want {
				t.Errorf("%s: here for %v, want %v", when, got, want)
			}
		}
		send := func(s *stream.Source) {
			s.Video.Write(media.Frame{Track: &media.Track{Codec: media.H264}, Key: true, Time: s.Now(), Data: []byte{0, 0, 0, 1, 0x65}})
		}
		here("no publisher", 0)
		s := publish("WHIP")
		time.Sleep(500 * time.Millisecond)
		here("not connected", 0)
		s.SetLive()
		time.Sleep(3 * time.Second)
		send(s)
		here("sends", 3*time.Second)
		time.Sleep(1500 * time.Millisecond)
		here("silent", 0)
		s.Close(nil)
		s = publish(stream.ProviderRelay)
		s.SetLive()
		time.Sleep(time.Second)
		send(s)
		here("relay of another node", 0)
	})
}

// A watch that must be built anew ends at once while the link to NATS stands and nobody answers: the process may have to stop.
func TestWatchEndsWithoutAnswers(t *testing.T) {
	t.Parallel()
	server := natskit.Start(t)
	a := newNode(t, server.URL(), "a")
	makeBuckets(t, a)
	<-a.rewatch // the link is there
	ended := make(chan error, 1)
	go func() { ended <- a.watch(t.Context()) }()
	testkit.Eventually(t, time.Minute, func() string {
		if !a.Known() {
			return "the nodes are not known"
		}
		return ""
	})
	server.Pause(t)
	signal(a.rewatch)
	select {
	case err := <-ended:
		if !errors.Is(err, errRewatch) {
			t.Errorf("the watch ended with %v", err)
		}
	case <-time.After(2 * time.Second):
		t.Error("the watch has not ended after 2 s")
		<-ended
	}
}
