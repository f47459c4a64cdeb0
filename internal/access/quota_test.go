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
