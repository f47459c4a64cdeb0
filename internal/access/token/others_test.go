package token

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/state"
	"transponder/internal/testkit/village"
)

// newHouse makes the Tokens of one of several servers.
func newHouse(t *testing.T, h *village.House) (*Tokens, *access.Leases) {
	t.Helper()
	leases := access.NewLeases()
	tokens, err := New(t.Context(), DefaultConfig(), Parts{Keeper: h, Sealer: newMemory(), Leases: leases}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return tokens, leases
}

func isOver(l *access.Lease) bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}

var reading = []access.Grant{{Actions: []access.Action{access.Read}, Streams: []string{"*"}}}

// A key is good at all servers, and gone at all. What is written of its use does not bring it back.
func TestKeyOfAnotherServer(t *testing.T) {
	v, ctx := village.New(), t.Context()
	there, here := v.House(), v.House()
	a, _ := newHouse(t, there)
	b, leases := newHouse(t, here)
	key, text, err := a.CreateKey(ctx, access.Whole(access.Local), KeyRequest{Label: "encoder", Grants: reading})
	if err != nil {
		t.Fatal(err)
	}
	here.Hear(ctx)
	shown := access.Credential{Token: string(text), Peer: netip.MustParseAddr("203.0.113.9")}
	who, err := b.Verify(ctx, shown)
	if err != nil {
		t.Fatalf("a key of another server: %v", err)
	}
	lease := leases.Hold(who)
	b.saveUses(ctx)
	there.Hear(ctx)
	if keys := a.Keys(access.Whole(access.Local)); len(keys) != 1 || keys[0].LastFrom != shown.Peer || keys[0].LastUsed.IsZero() {
		t.Errorf("the other server knows of its use: %+v", keys)
	}
	if _, err := b.Verify(ctx, access.Credential{Token: string(text), Peer: netip.MustParseAddr("203.0.113.10")}); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveKey(ctx, access.Whole(access.Local), key.ID); err != nil {
		t.Fatal(err)
	}
	b.saveUses(ctx)
	if _, err := there.Get(ctx, "keys", key.ID); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the use of a removed key has brought it back: %v", err)
	}
	here.Hear(ctx)
	if _, err := b.Verify(ctx, shown); err == nil {
		t.Error("a key that another server has removed is good")
	}
	if !isOver(lease) {
		t.Error("what was begun with it goes on")
	}
}

// One key signs the tokens of all servers, also if two make it in the same moment. A revocation holds at all.
func TestTokenOfAnotherServer(t *testing.T) {
	v, ctx := village.New(), t.Context()
	there, here := v.House(), v.House()
	a, _ := newHouse(t, there)
	b, leases := newHouse(t, here)
	ofA, err := a.Create(ctx, access.Whole(access.Local), Request{Grants: reading, Subject: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	ofB, err := b.Create(ctx, access.Whole(access.Local), Request{Grants: reading, Subject: "bob"}) // it has not heard that there is a key
	if err != nil {
		t.Fatal(err)
	}
	there.Hear(ctx)
	here.Hear(ctx)
	for what, tokens := range map[string]*Tokens{"a": a, "b": b} {
		for of, made := range map[string]Minted{"a": ofA, "b": ofB} {
			if _, err := tokens.Verify(ctx, shows(string(made.Token))); err != nil {
				t.Errorf("a token that %s has made, at %s: %v", of, what, err)
			}
		}
	}
	who, err := b.Verify(ctx, shows(string(ofA.Token)))
	if err != nil {
		t.Fatal(err)
	}
	lease := leases.Hold(who)
	if err := a.Revoke(ctx, nil, Revocation{JTI: ofA.ID}); err != nil {
		t.Fatal(err)
	}
	here.Hear(ctx)
	if _, err := b.Verify(ctx, shows(string(ofA.Token))); err == nil || !isOver(lease) {
		t.Errorf("a token that another server has revoked is good: %v; its session has ended: %v", err == nil, isOver(lease))
	}
	if _, err := b.Verify(ctx, shows(string(ofB.Token))); err != nil {
		t.Errorf("another token: %v", err)
	}
	if n := len(b.Revocations()); n != 1 {
		t.Errorf("%d revocations, want 1", n)
	}
}

// A token for one use is used once, at whichever server. Apart from each other, servers take it, and tell later.
func TestOnceOfServers(t *testing.T) {
	v, ctx := village.New(), t.Context()
	there, here := v.House(), v.House()
	a, _ := newHouse(t, there)
	b, _ := newHouse(t, here)
	make := func() access.Credential {
		t.Helper()
		made, err := a.Create(ctx, access.Whole(access.Local), Request{Grants: reading, Subject: "ann", Once: true, For: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		here.Hear(ctx)
		return shows(string(made.Token))
	}
	first, second := make(), make()
	if _, err := a.Verify(ctx, first); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(ctx, first); err == nil {
		t.Error("a token for one use is good at a second server, which has not heard of the first use")
	}
	v.Part()
	if _, err := a.Verify(ctx, second); err != nil {
		t.Errorf("apart from the others: %v", err)
	}
	v.Meet()
	a.saveSpent(ctx)
	here.Hear(ctx)
	if _, err := b.Verify(ctx, second); err == nil {
		t.Error("a token that was used apart is good at another server")
	}
}

// Nothing is taken away at one server alone.
func TestTokensApart(t *testing.T) {
	v, ctx := village.New(), t.Context()
	house := v.House()
	a, leases := newHouse(t, house)
	key, text, err := a.CreateKey(ctx, access.Whole(access.Local), KeyRequest{Grants: reading})
	if err != nil {
		t.Fatal(err)
	}
	who, err := a.Verify(ctx, shows(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	lease := leases.Hold(who)
	v.Part()
	_, _, created := a.CreateKey(ctx, access.Whole(access.Local), KeyRequest{Grants: reading})
	for what, err := range map[string]error{
		"remove": a.RemoveKey(ctx, access.Whole(access.Local), key.ID), "revoke": a.Revoke(ctx, nil, Revocation{Sub: "ann"}), "create": created,
	} {
		if !errors.Is(err, state.ErrAway) {
			t.Errorf("%s: %v, want ErrAway", what, err)
		}
	}
	if _, err := a.Verify(ctx, shows(string(text))); err != nil || isOver(lease) || len(a.Revocations()) != 0 || len(a.Keys(access.Whole(access.Local))) != 1 {
		t.Errorf("after refused changes: %v, ended %v, %d revocations", err, isOver(lease), len(a.Revocations()))
	}
	a.saveUses(ctx)
	v.Meet()
	a.saveUses(ctx)
	if r, err := house.Get(ctx, "keys", key.ID); err != nil || r.Revision < 2 {
		t.Errorf("the use of the key was not written later: revision %d, %v", r.Revision, err)
	}
	if err := a.RemoveKey(ctx, access.Whole(access.Local), "nothing"); !errors.Is(err, ErrNoKey) {
		t.Errorf("a key that does not exist: %v", err)
	}
	if err := a.RemoveKey(ctx, access.Whole(access.Local), key.ID); err != nil || !isOver(lease) {
		t.Errorf("the removal later: %v, ended %v", err, isOver(lease))
	}
}
