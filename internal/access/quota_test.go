package access

import (
	"errors"
	"sync"
	"testing"
)

func TestQuotas(t *testing.T) {
	q := NewQuotas()
	q.AppLimits = func(app string) Limits {
		if app == "acme" {
			return Limits{Publishers: 3}
		}
		return Limits{}
	}
	ann := &Principal{Kind: Token, Subject: "ann", App: "acme", Limits: Limits{Publishers: 2, Players: 1}}
	bob := &Principal{Kind: Token, Subject: "bob", App: "acme"}
	take := func(p *Principal, a Action, full string) func() {
		t.Helper()
		release, err := q.Take(p, a)
		var f *Full
		if full == "" && err != nil || full != "" && (!errors.As(err, &f) || f.Of != full) {
			t.Fatalf("%v %s: %v, want %q", p, a, err, full)
		}
		return release
	}
	first := take(ann, Publish, "")
	take(ann, Publish, "")
	take(ann, Publish, "publishers") // hers
	take(bob, Publish, "")
	take(bob, Publish, "publishers") // of the application
	take(ann, Play, "")
	take(ann, Play, "players")
	take(ann, Push, "")
	first()
	first()                          // gives nothing back a second time
	take(ann, Publish, "")           //
	take(bob, Publish, "publishers") // the refused tries have taken no place, and kept none
	take(Whole(Local), Publish, "")
	take(nil, Publish, "")
	if got := q.Refused(); got["publishers"] != 3 || got["players"] != 1 || len(got) != 2 {
		t.Errorf("refused: %v", got)
	}
	var none *Quotas
	if _, err := none.Take(ann, Publish); err != nil {
		t.Error(err)
	}
}

func TestQuotasForgetPrincipals(t *testing.T) {
	q := NewQuotas()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			release, err := q.Take(&Principal{Kind: Token, Subject: "ann", Limits: Limits{Pushes: 100}}, Push)
			if err != nil {
				t.Error(err)
				return
			}
			release()
		})
	}
	wg.Wait()
	if len(q.counts) != 0 {
		t.Errorf("left: %v", q.counts)
	}
}

// Whoever makes credentials with his own shares his limits with them.
func TestQuotasAreShared(t *testing.T) {
	q := NewQuotas()
	one := Limits{Publishers: 1}
	maker := &Principal{Kind: Key, ID: "k1", Limits: one}
	free := &Principal{Kind: Key, ID: "k2"}
	var children []*Principal
	for _, by := range []*Principal{maker, free} {
		makers, err := MakersBy(by)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			children = append(children, &Principal{Kind: Key, ID: by.ID + string(rune('a'+i)), Limits: one, Makers: makers})
		}
	}
	release, err := q.Take(children[0], Publish)
	if err != nil {
		t.Fatal(err)
	}
	var full *Full
	for _, p := range []*Principal{children[1], children[2], maker} {
		if _, err := q.Take(p, Publish); !errors.As(err, &full) {
			t.Errorf("%v publishes too: %v", p, err)
		}
		if _, err := q.Take(p, Play); err != nil {
			t.Errorf("%v does not play: %v", p, err)
		}
	}
	release()
	if release, err = q.Take(maker, Publish); err != nil {
		t.Error(err)
	}
	if _, err := q.Take(children[1], Publish); !errors.As(err, &full) {
		t.Errorf("a child publishes besides its maker: %v", err)
	}
	release()
	for _, p := range children[3:] { // their maker has no limit
		if _, err := q.Take(p, Publish); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
}

// A chain of credentials has an end, and names its first maker.
func TestMakersBy(t *testing.T) {
	p := &Principal{Kind: User, Subject: "ann"}
	for i := range maxMakers {
		makers, err := MakersBy(p)
		if err != nil || len(makers) != i+1 {
			t.Fatalf("%d: %v, %v", i, makers, err)
		}
		p = &Principal{Kind: Key, ID: string(rune('a' + i)), Makers: makers}
		if p.Root() != "user::ann" {
			t.Errorf("the first maker is %q", p.Root())
		}
	}
	if _, err := MakersBy(p); !errors.Is(err, ErrChain) {
		t.Errorf("the chain has no end: %v", err)
	}
	if makers, err := MakersBy(Whole(Local)); makers != nil || err != nil {
		t.Errorf("somebody here is named: %v, %v", makers, err)
	}
}
