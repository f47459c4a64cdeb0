package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
)

// withHub gives a node a hub that shares its names.
func withHub(hub *stream.Hub) func(*Config, *Parts) { return func(_ *Config, p *Parts) { p.Hub = hub } }

// twoHubs starts two nodes with hubs.
func twoHubs(t *testing.T, url string) (a, b *Cluster, ha, hb *stream.Hub) {
	t.Helper()
	ha, hb = stream.NewHub(stream.DefaultConfig(), nil), stream.NewHub(stream.DefaultConfig(), nil)
	a, b = newNode(t, url, "a", withHub(ha)), newNode(t, url, "b", withHub(hb))
	ha.SetNames(a.Names())
	hb.SetNames(b.Names())
	a.start(t)
	b.start(t)
	testkit.Eventually(t, time.Minute, a.sees(2))
	testkit.Eventually(t, time.Minute, b.sees(2))
	return a, b, ha, hb
}

// claim publishes a stream as a door does.
func claimName(t *testing.T, hub *stream.Hub, id, credential string) (*stream.Source, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return hub.Claim(ctx, stream.Info{Name: "cam", ID: id, Provider: "WHIP", HasVideo: true, Publisher: stream.Publisher{Credential: credential}})
}

// feed lets a source be live, and sends pictures until the test ends or the source does.
func feed(t *testing.T, s *stream.Source) {
	s.SetLive()
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { cancel(); <-done })
	track := &media.Track{Codec: media.H264}
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.Done():
				return
			case <-time.After(20 * time.Millisecond):
				s.Video.Write(media.Frame{Track: track, Key: true, Time: s.Now(), Data: []byte{0, 0, 0, 1, 0x65}})
			}
		}
	}()
}

// ends waits until a source has ended for a cause.
func ends(t *testing.T, s *stream.Source, cause error) {
	t.Helper()
	testkit.Eventually(t, time.Minute, func() string {
		if err := s.Err(); !errors.Is(err, cause) {
			return "the stream " + s.Info().ID + ": " + fmtErr(err)
		}
		return ""
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	a, b, ha, hb := twoHubs(t, natskit.Start(t).URL())
	first, err := claimName(t, ha, "first", "secret")
	if err != nil {
		t.Fatal(err)
	}
	feed(t, first)
	if _, err := claimName(t, hb, "stranger", "another"); !errors.Is(err, stream.ErrNameInUse) {
		t.Errorf("another publisher at another node: %v, want %v", err, stream.ErrNameInUse)
	}
	if _, ok := hb.Source("cam"); ok {
		t.Error("a source that was refused can be seen")
	}
	if o, ok, err := b.Names().Find(t.Context(), "cam"); o != a.Self() || !ok || err != nil {
		t.Errorf("b finds the stream at %v, %v, %v", o, ok, err)
	}
	second, err := claimName(t, hb, "second", "secret") // the same publisher comes to another node
	if err != nil {
		t.Fatal(err)
	}
	ends(t, first, stream.ErrReplaced)
	if o, ok, err := a.Names().Find(t.Context(), "cam"); o != b.Self() || !ok || err != nil {
		t.Errorf("a finds the stream at %v, %v, %v", o, ok, err)
	}
	feed(t, second)
	insists := stream.Info{Name: "cam", ID: "operator", Provider: "WHIP", HasVideo: true, Publisher: stream.Publisher{Identity: "user::op", Insists: true}}
	third, err := ha.Claim(t.Context(), insists) // an operator goes on with the show of somebody else
	if err != nil {
		t.Fatal(err)
	}
	ends(t, second, stream.ErrReplaced)
	third.Close(nil)
	testkit.Eventually(t, time.Minute, func() string {
		if _, ok, err := a.Names().Find(t.Context(), "cam"); ok || err != nil {
			return "the name is not free: " + fmtErr(err)
		}
		return ""
	})
	if _, err := claimName(t, ha, "last", "another"); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// TestNamesWithoutNATS lets publishers in while nobody can say who has their name. Afterwards the first one who sends stays.
func TestNamesWithoutNATS(t *testing.T) {
	t.Parallel()
	server := natskit.Start(t)
	a, b, ha, hb := twoHubs(t, server.URL())
	first, err := claimName(t, ha, "first", "secret")
	if err != nil {
		t.Fatal(err)
	}
	feed(t, first)
	server.Kill(t)
	testkit.Eventually(t, time.Minute, func() string {
		if _, alone := b.Gate().Alone(); !alone {
			return "b does not know that it is cut off"
		}
		return ""
	})
	second, err := claimName(t, hb, "second", "secret")
	if err != nil {
		t.Fatalf("a publisher is not let in without NATS: %v", err)
	}
	feed(t, second)
	if st := b.Stats(); st.Provisional != 1 || !st.Isolated {
		t.Errorf("figures: %+v", st)
	}
	server.Start(t)
	ends(t, second, stream.ErrNameInUse)
	testkit.Eventually(t, time.Minute, a.sees(2))
	if err := first.Err(); err != nil {
		t.Errorf("the first publisher has ended: %v", err)
	}
	if st := b.Stats(); st.NameConflict != 1 {
		t.Errorf("figures: %+v", st)
	}
}

// TestNamesAreWrittenAgain wipes NATS while names are taken.
func TestNamesAreWrittenAgain(t *testing.T) {
	t.Parallel()
	server := natskit.Start(t)
	a, b, ha, _ := twoHubs(t, server.URL())
	first, err := claimName(t, ha, "first", "secret")
	if err != nil {
		t.Fatal(err)
	}
	feed(t, first)
	server.Wipe(t)
	testkit.Eventually(t, time.Minute, func() string {
		if o, ok, err := b.Names().Find(t.Context(), "cam"); o != a.Self() || !ok {
			return "b does not find the stream: " + fmtErr(err)
		}
		return ""
	})
	if err := first.Err(); err != nil {
		t.Errorf("the publisher has ended: %v", err)
	}
}

// TestNameOfADeadNode publishes a stream whose node is gone without a word.
func TestNameOfADeadNode(t *testing.T) {
	t.Parallel()
	a, b, ha, hb := twoHubs(t, natskit.Start(t).URL())
	if _, err := claimName(t, ha, "first", "secret"); err != nil {
		t.Fatal(err)
	}
	a.Close() // as if its machine were gone
	second, err := claimName(t, hb, "second", "another")
	if err != nil {
		t.Fatalf("a publisher is not let in while the lease of the dead node stands: %v", err)
	}
	feed(t, second)
	testkit.Eventually(t, time.Minute, func() string {
		if st := b.Stats(); st.Names != 1 || st.Provisional != 0 {
			return "the name is provisional"
		}
		return ""
	})
	if b.Lives(a.Self()) {
		t.Error("the name was settled before the lease ended")
	}
}
