package stream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/load"
	"transponder/internal/media"
)

// TestTakeover: who gets a name that has a publisher, and after how long.
func TestTakeover(t *testing.T) {
	office, home := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	at := func(credential string, a netip.Addr) Info {
		return Info{Name: "n", AppKey: "live", Provider: "RTMP", Publisher: Publisher{Credential: credential, Address: a}}
	}
	by := func(identity string, replace bool, a netip.Addr) Info {
		return Info{Name: "n", AppKey: "live", Provider: "RTMP", Publisher: Publisher{
			Credential: "one token for all", Address: a, Identity: identity, Replace: replace,
		}}
	}
	other := by("token::user", true, home)
	other.Provider, other.AppKey, other.Publisher.Credential = "WebRTC", "defaultApp", "another token of the user"
	moved := at("", home)
	otherApp, otherDoor, before := at("", office), at("", office), at("", office)
	before.SessionID, moved.SessionID = "a page", "a page"
	otherApp.AppKey, otherDoor.Provider = "other", "WHIP"
	insists := by("user::chief", false, home)
	insists.Publisher.Insists = true
	const never = -1
	for _, c := range []struct {
		name          string
		rule          Takeover
		old, newcomer Info
		alive         bool          // the old publisher sends 20 frames a second
		fresh         bool          // the old one has sent nothing yet
		silent        time.Duration // for how long the old one has sent nothing
		after         time.Duration // until the newcomer has the name
	}{
		{"dead for long, same address", TakeoverSame, at("", office), at("", office), false, false, 5 * time.Second, 0},
		{"dead just now, same address", TakeoverSame, at("", office), at("", office), false, false, 300 * time.Millisecond, 700 * time.Millisecond},
		{"alive, same address", TakeoverSame, at("", office), at("", office), true, false, 0, never},
		{"connecting, same address", TakeoverSame, at("", office), at("", office), false, true, time.Second, never},
		{"not connected in time, same address", TakeoverSame, at("", office), at("", office), false, true, 4500 * time.Millisecond, 500 * time.Millisecond},
		{"alive, same key", TakeoverSame, at("k", office), at("k", home), true, false, 0, 0},
		{"same key over another door", TakeoverSame, at("k", office), Info{Name: "n", Provider: "WHIP", Publisher: Publisher{Credential: "k", Address: home}}, true, false, 0, 0},
		{"alive, same principal, who may replace himself", TakeoverSame, by("token::user", false, office), by("token::user", true, home), true, false, 0, 0},
		{"same principal by another door", TakeoverSame, by("token::user", false, office), other, true, false, 0, 0},
		{"alive, same principal", TakeoverSame, by("key::box", true, office), by("key::box", false, home), true, false, 0, never},
		{"dead, same principal", TakeoverSame, by("key::box", false, office), by("key::box", false, home), false, false, 300 * time.Millisecond, 700 * time.Millisecond},
		{"another principal with the same secret", TakeoverSame, by("token::user", true, office), by("token::user2", true, office), false, false, time.Minute, never},
		{"the same subject of another kind", TakeoverSame, by("token::user", true, office), by("key::user", true, office), false, false, time.Minute, never},
		{"nobody in particular, where a principal was", TakeoverSame, by("token::user", true, office), by("", false, office), false, false, time.Minute, never},
		{"a principal, where nobody in particular was", TakeoverSame, by("", false, office), by("token::user", true, office), false, false, time.Minute, never},
		{"another principal, where all may take over", TakeoverAlways, by("token::user", false, office), by("key::box", false, home), true, false, 0, 0},
		{"somebody who may end the stream of others and asks for it", TakeoverSame, by("token::user", true, office), insists, true, false, 0, 0},
		{"the same, where nobody in particular was", TakeoverSame, at("", office), insists, true, false, 0, 0},
		{"the same, where nobody may", TakeoverNever, at("", office), insists, true, false, 0, never},
		{"one who insisted, and comes again without", TakeoverSame, by("token::user", false, office), by("user::chief", false, home), true, false, 0, never},
		{"same principal, where nobody may", TakeoverNever, by("key::box", true, office), by("key::box", true, office), false, false, time.Minute, never},
		{"other key, same address", TakeoverSame, at("k", office), at("x", office), false, false, time.Minute, never},
		{"no key where there was one", TakeoverSame, at("k", office), at("", office), false, false, time.Minute, never},
		{"key where there was none", TakeoverSame, at("", office), at("k", office), false, false, time.Minute, never},
		{"other address", TakeoverSame, at("", office), at("", home), false, false, time.Minute, never},
		{"same session from another network", TakeoverSame, before, moved, false, false, time.Minute, 0},
		{"same session that sends", TakeoverSame, before, moved, true, false, 0, never},
		{"other app", TakeoverSame, at("", office), otherApp, false, false, time.Minute, never},
		{"other door", TakeoverSame, at("", office), otherDoor, false, false, time.Minute, never},
		{"nobody in particular", TakeoverSame, Info{Name: "n"}, Info{Name: "n"}, false, false, time.Minute, never},
		{"always", TakeoverAlways, at("k", office), at("", home), true, false, 0, 0},
		{"never", TakeoverNever, at("k", office), at("k", office), false, false, time.Minute, never},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub(Config{Takeover: c.rule, MaxStreams: 1}, nil)
				c.old.ID, c.newcomer.ID = "old", "new"
				old, err := h.Publish(c.old)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var sending sync.WaitGroup
				defer sending.Wait()
				defer cancel()
				track := &media.Track{Codec: media.Opus}
				if !c.fresh {
					old.Audio.Write(media.Frame{Track: track})
				}
				if c.alive {
					sending.Go(func() {
						for ctx.Err() == nil {
							old.Audio.Write(media.Frame{Track: track})
							time.Sleep(50 * time.Millisecond)
						}
					})
				}
				time.Sleep(c.silent)
				asked := time.Now()
				s, err := h.Claim(ctx, c.newcomer)
				took := time.Since(asked)
				if c.after == never {
					if !errors.Is(err, ErrNameInUse) || old.Err() != nil || took > quietFor+2*quietTick {
						t.Fatalf("Claim: %v after %v, the old source: %v; want it refused and the old one alive", err, took, old.Err())
					}
					if got, _ := h.SourceByID("old"); got != old || h.Takeovers() != 0 {
						t.Error("the old source has lost its id")
					}
					return
				}
				if err != nil || took < c.after || took > c.after+quietTick {
					t.Fatalf("Claim: %v after %v, want the name after %v", err, took, c.after)
				}
				if !errors.Is(old.Err(), ErrReplaced) {
					t.Errorf("the old source ended with %v, want ErrReplaced", old.Err())
				}
				old.Close(nil) // its publisher notices later
				byName, _ := h.Source("n")
				byID, _ := h.SourceByID("new")
				if _, ok := h.SourceByID("old"); byName != s || byID != s || ok {
					t.Error("the hub does not have the newcomer alone")
				}
				if n := h.Takeovers(); n != 1 {
					t.Errorf("%d takeovers counted, want 1", n)
				}
			})
		})
	}
}

// TestTakeoverOnlyOfTheName: what else is wrong with a newcomer does not cost the publisher its stream.
func TestTakeoverOnlyOfTheName(t *testing.T) {
	h := NewHub(Config{Takeover: TakeoverAlways, MaxStreams: 2}, nil)
	n, err := h.Publish(Info{Name: "n", ID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Publish(Info{Name: "m", ID: "2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Claim(t.Context(), Info{Name: "n", ID: "2"}); !errors.Is(err, ErrIDInUse) {
		t.Errorf("another one's id: %v, want ErrIDInUse", err)
	}
	if _, err := h.Claim(t.Context(), Info{Name: "x", ID: "3"}); !errors.Is(err, load.ErrFull) {
		t.Errorf("a third name: %v, want ErrFull", err)
	}
	if n.Err() != nil {
		t.Fatalf("the stream has ended: %v", n.Err())
	}
	if _, err := h.Claim(t.Context(), Info{Name: "n", ID: "1"}); err != nil || n.Err() == nil {
		t.Errorf("its own id again: %v; the old source: %v", err, n.Err())
	}
}

// TestTakeoverGivenUp: a newcomer that goes while it waits leaves everything as it was.
func TestTakeoverGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(DefaultConfig(), nil)
		info := Info{Name: "n", ID: "1", Publisher: Publisher{Address: netip.MustParseAddr("192.0.2.1")}}
		old, err := h.Publish(info)
		if err != nil {
			t.Fatal(err)
		}
		gone := errors.New("gone")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 120*time.Millisecond, gone)
		defer cancel()
		info.ID = "2"
		if _, err := h.Claim(ctx, info); !errors.Is(err, ErrNameInUse) || !errors.Is(err, gone) || old.Err() != nil {
			t.Errorf("Claim: %v; the old source: %v", err, old.Err())
		}
	})
}

// TestTakeoverEnding: who has sent a file faster than it plays, and left, may send the next one, which is heard after it.
func TestTakeoverEnding(t *testing.T) {
	for _, rest := range []time.Duration{5 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			h := NewHub(DefaultConfig(), nil)
			info := Info{Name: "n", ID: "1", Publisher: Publisher{Address: netip.MustParseAddr("192.0.2.1")}}
			old, err := h.Publish(info)
			if err != nil {
				t.Fatal(err)
			}
			old.SetEnding()
			var playing sync.WaitGroup
			defer playing.Wait()
			playing.Go(func() {
				for end := time.Now().Add(rest); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
					old.Audio.Write(media.Frame{Track: &media.Track{Codec: media.AAC}})
				}
				old.Close(nil)
			})
			info.ID = "2"
			asked := time.Now()
			_, err = h.Claim(t.Context(), info)
			took := time.Since(asked)
			switch {
			case rest < endsWithin && (err != nil || took < rest || took > rest+2*quietTick || h.Takeovers() > 0):
				t.Errorf("Claim: %v after %v, %d takeovers; want the name after %v", err, took, h.Takeovers(), rest)
			case rest > endsWithin && (!errors.Is(err, ErrNameInUse) || took > endsWithin+2*quietTick):
				t.Errorf("Claim: %v after %v, want it refused after %v", err, took, endsWithin)
			}
		})
	}
}

// What is printed of a publisher does not tell its credential.
func TestPublisherIsPrinted(t *testing.T) {
	p := Publisher{Credential: "secret", Address: netip.MustParseAddr("192.0.2.1")}
	if got := fmt.Sprintf("%v %+v %#v", p, Info{Publisher: p}, p); strings.Contains(got, "secret") {
		t.Errorf("printed: %s", got)
	}
}
