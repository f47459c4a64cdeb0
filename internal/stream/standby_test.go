package stream

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
)

// standbyHub is a hub with spares, in a bubble.
func standbyHub(t *testing.T, rule Takeover) (h *Hub, stop func()) {
	cfg := DefaultConfig()
	cfg.Takeover, cfg.Standby = rule, true
	h = NewHub(cfg, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var ran sync.WaitGroup
	ran.Go(func() { h.Run(ctx) })
	return h, func() {
		cancel()
		ran.Wait()
	}
}

func encoder(id, key string) Info {
	return Info{Name: "n", ID: id, Provider: "RTMP", Publisher: Publisher{Credential: key, Address: netip.MustParseAddr("192.0.2.1")}}
}

// send writes sound to the sources for a duration.
func send(d time.Duration, sources ...*Source) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, s := range sources {
			s.Audio.Write(media.Frame{Track: &media.Track{Codec: media.Opus}, Time: s.Now()})
		}
	}
	synctest.Wait()
}

// A second encoder of a name becomes its spare, and gets the name when the first one leaves or stalls.
func TestStandby(t *testing.T) {
	for _, rule := range []Takeover{TakeoverSame, TakeoverAlways, TakeoverNever} {
		for name, fail := range map[string]func(*Source){"leaves": func(s *Source) { s.Close(nil) }, "stalls": func(*Source) {}} {
			t.Run(string(rule)+", the first "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h, stop := standbyHub(t, rule)
					defer stop()
					claim := func(id, key string) (*Source, error) {
						s, err := h.Claim(t.Context(), encoder(id, key))
						if err == nil {
							s.SetLive()
						}
						return s, err
					}
					first, err := claim("1", "k")
					if err != nil {
						t.Fatal(err)
					}
					send(time.Second, first)
					second, err := claim("2", "k")
					if err != nil {
						t.Fatal(err)
					}
					send(5*time.Second, first, second)
					if got, _ := h.Source("n"); got != first || len(h.Sources()) != 1 || len(h.Spares()) != 1 || h.Len() != 2 {
						t.Error("the spare is not beside the first")
					}
					if got, _ := h.SourceByID("2"); got != second {
						t.Error("the spare is not found by its id")
					}
					// A third is refused, with the same key or another one, and so is a stranger.
					var waits sync.WaitGroup
					for _, key := range []string{"k", "x"} {
						waits.Go(func() {
							if _, err := claim("3"+key, key); !errors.Is(err, ErrNameInUse) {
								t.Errorf("a third publisher with the key %q: %v, want ErrNameInUse", key, err)
							}
						})
					}
					send(2*time.Second, first, second)
					waits.Wait()

					failed := time.Now()
					fail(first)
					for got := first; got == first; got, _ = h.Source("n") {
						if time.Since(failed) > 10*time.Second {
							t.Fatal("the spare does not get the name")
						}
						send(20*time.Millisecond, second)
					}
					took := time.Since(failed)
					if name == "leaves" && took > 30*time.Millisecond || name == "stalls" && (took < 1900*time.Millisecond || took > 2300*time.Millisecond) {
						t.Errorf("the spare got the name after %v", took)
					}
					if got, ok := h.Source("n"); !ok || got != second || len(h.Spares()) != 0 || h.Promotions() != 1 || first.Err() == nil {
						t.Error("the spare has not got the name")
					}
					again, err := claim("1", "k")
					if err != nil || len(h.Spares()) != 1 {
						t.Errorf("the first one as a spare: %v", err)
					}
					second.Close(nil)
					again.Close(nil)
					if _, ok := h.Source("n"); ok || h.Len() != 0 {
						t.Error("the name is not free")
					}
					if _, ok := h.SourceByID("1"); ok {
						t.Error("the id is not free")
					}
				})
			})
		}
	}
}

// A spare that is dead is replaced, and one that sends nothing gets no name that somebody else has.
func TestStandbyThatIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, stop := standbyHub(t, TakeoverSame)
		defer stop()
		first, _ := h.Claim(t.Context(), encoder("1", "k"))
		first.SetLive()
		send(time.Second, first)
		dead, err := h.Claim(t.Context(), encoder("2", "k"))
		if err != nil {
			t.Fatal(err)
		}
		send(connectsWithin, first)
		next, err := h.Claim(t.Context(), encoder("3", "k"))
		if err != nil || !errors.Is(dead.Err(), ErrReplaced) || len(h.Spares()) != 1 {
			t.Fatalf("a spare in place of a dead one: %v; the dead one: %v", err, dead.Err())
		}
		time.Sleep(time.Minute)
		if got, _ := h.Source("n"); got != first || first.Err() != nil {
			t.Error("a spare that sends nothing got the name")
		}
		next.Close(nil)
		first.Close(nil)
	})
}
