package transponder

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtmp"
)

// relayTo passes connections on, as a TLS front would: nobody can tell by their addresses who made them.
func relayTo(t *testing.T, to net.Addr) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to.String())
			if err != nil {
				in.Close()
				return
			}
			conns = append(conns, in, out)
			go func() { io.Copy(out, in); out.Close() }()
			go func() { io.Copy(in, out); in.Close() }()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// Pushes that lead through this server's own port back to a stream that one of them holds do not become its publisher: its owner
// can come back.
func TestRing(t *testing.T) {
	for _, chain := range [][]string{{"a", "b"}, {"a", "b", "c"}} {
		t.Run(fmt.Sprint(len(chain)), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			address := relayTo(t, b.runDoor().Addr())
			full := true
			start := func(from, to string) Info {
				return b.start(Request{
					StreamName: from, URL: "rtmp://" + address + "/live/" + to, FullURL: &full,
					Options: Options{OnSourceLoss: "hold", HoldFor: time.Minute},
				})
			}
			owner := b.source(chain[0])
			var first, before string
			for i, name := range chain[1:] {
				before = start(chain[i], name).ID
				if i == 0 {
					first = before
				}
				b.wait("the stream "+name, func() bool {
					owner.write(10, 20)
					s, ok := b.hub.Source(name)
					return ok && s.Info().Push == before && s.Video.Track() != nil
				})
			}
			state := func(id string) Info { return b.Find(Filter{ID: id})[0] }
			b.wait("the first push", func() bool {
				owner.write(10, 20)
				return state(first).State == Live
			})
			owner.Close(nil)
			b.wait("the hold", func() bool { return state(first).State == Holding })
			last := start(chain[len(chain)-1], chain[0]).ID
			b.wait("the refusal", func() bool {
				if s, taken := b.hub.Source(chain[0]); taken {
					t.Fatalf("the name belongs to push %q", s.Info().Push)
				}
				i := state(last)
				return i.State == Failed && i.Reason == ReasonKeyInUse
			})
			back := b.source(chain[0])
			b.wait("the return", func() bool {
				back.write(10, 20)
				return state(first).State == Live
			})
		})
	}
}

// A push through this server's own port that feeds nobody it comes from is a publisher like any other.
func TestNoRing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	door := b.runDoor()
	s := b.source("a")
	full := true
	b.start(Request{StreamName: "a", URL: "rtmp://" + door.Addr().String() + "/live/b", FullURL: &full})
	b.start(Request{StreamName: "a", URL: "rtmp://" + door.Addr().String() + "/live/c", FullURL: &full})
	for _, name := range []string{"b", "c"} {
		b.wait(name, func() bool {
			s.write(10, 20)
			made, ok := b.hub.Source(name)
			return ok && made.Info().Push != "" && made.Video.Track() != nil && made.Video.Track().Codec == media.H264
		})
	}
	if n := len(b.hub.Sources()); n != 3 {
		t.Errorf("%d streams, want 3", n)
	}
}

// A stream that comes back through other servers is recognized, also after holds on the way. Each server is reached by other addresses.
func TestRingOfServers(t *testing.T) {
	t.Parallel()
	full := true
	one, two, three := newBench(t, nil), newBench(t, nil), newBench(t, nil)
	at := func(b *bench) string { return "rtmp://" + relayTo(t, b.runDoor().Addr()) + "/live/a" }
	home := at(one)
	start := func(b *bench, url string) string {
		return b.start(Request{
			StreamName: "a", URL: url, FullURL: &full, Options: Options{OnSourceLoss: "hold", HoldFor: time.Minute},
		}).ID
	}
	owner := one.source("a")
	first := start(one, at(two))
	live := func(b *bench) {
		b.wait("the stream", func() bool {
			owner.write(10, 20)
			s, ok := b.hub.Source("a")
			return ok && s.Video.Track() != nil
		})
	}
	live(two)
	start(two, at(three))
	live(three)
	state := func(b *bench, id string) Info { return b.Find(Filter{ID: id})[0] }
	owner.Close(nil)
	one.wait("the hold", func() bool { return state(one, first).State == Holding })
	for _, b := range []*bench{two, three} {
		last := start(b, home)
		b.wait("the refusal", func() bool {
			if _, taken := one.hub.Source("a"); taken {
				t.Fatal("the stream has come back to its first server")
			}
			i := state(b, last)
			return i.State == Failed && i.Reason == ReasonKeyInUse
		})
	}
}

// A client whose handshake has zeros where others are random is nobody's push.
func TestHandshakeOfZeros(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.source("a")
	b.start(Request{StreamName: "a", URL: "rtmp://127.0.0.1:1/live"})
	if push, ring := b.Origin(rtmp.Trail{}, "a"); push != "" || ring {
		t.Errorf("it is push %q, a ring %v", push, ring)
	}
}
