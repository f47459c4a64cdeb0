package destination

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"transponder/internal/access"
	"transponder/internal/state"
)

func newStore(t *testing.T) (*Store, *state.Store) {
	t.Helper()
	keeper, err := state.Memory(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keeper.Close() })
	return New(keeper, keeper.Sealer()), keeper
}

func TestStore(t *testing.T) {
	const canary = "canary-key"
	s, keeper := newStore(t)
	ctx := t.Context()
	full := true
	d := Destination{Name: "tube", URL: "rtmp://host/live2/" + canary, Target: "rtmp://host/live2/***", FullURL: &full, Streams: []string{"acme/*"}, App: "acme", Label: "Tube"}
	if err := s.Create(ctx, d); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(ctx, d); !errors.Is(err, ErrExists) {
		t.Errorf("create what is there: %v", err)
	}
	got, err := s.Resolve(ctx, "tube")
	if err != nil || got.URL != d.URL || !*got.FullURL || got.Streams[0] != "acme/*" || got.App != "acme" || got.Label != "Tube" || got.Created.IsZero() {
		t.Errorf("resolved %+v, %v", got, err)
	}
	list, err := s.List(ctx)
	if err != nil || len(list) != 1 || list[0].URL != "" || list[0].Target != d.Target {
		t.Errorf("list %+v, %v", list, err)
	}

	// What is not given stays, the key too.
	if err := s.Update(ctx, "tube", func(d *Destination) error { d.Label = "Other"; return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Resolve(ctx, "tube"); err != nil || got.URL != d.URL || got.Label != "Other" {
		t.Errorf("after an update %+v, %v", got, err)
	}
	if err := s.Update(ctx, "tube", func(d *Destination) error { d.URL = "rtmp://host/live2/***"; return nil }); err == nil {
		t.Error("the mask of a key became the key")
	}
	if err := s.Update(ctx, "none", func(*Destination) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Errorf("update of nothing: %v", err)
	}

	records, err := keeper.List(ctx, "destinations", "")
	if err != nil || len(records) != 1 || strings.Contains(string(records[0].Value), canary) {
		t.Errorf("the key lies open in the state: %s, %v", records[0].Value, err)
	}
	// A sealed address opens only under its own name.
	if _, err := keeper.Put(ctx, "destinations", "mine", records[0].Value, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(ctx, "mine"); !errors.Is(err, state.ErrSealed) {
		t.Errorf("an address that was copied to another name: %v", err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", got, got, got, got.URL), fmt.Sprint(slog.AnyValue(got.URL).Resolve())} {
		if strings.Contains(text, canary) {
			t.Errorf("a destination prints its key: %s", text)
		}
	}

	if err := s.Remove(ctx, "tube"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(ctx, "tube"); !errors.Is(err, ErrNotFound) {
		t.Errorf("remove what is gone: %v", err)
	}
	if _, err := s.Resolve(ctx, "tube"); !errors.Is(err, ErrNotFound) {
		t.Errorf("resolve what is gone: %v", err)
	}
}

// TestUpdates holds that no update of several at the same time is lost.
func TestUpdates(t *testing.T) {
	s, _ := newStore(t)
	if err := s.Create(t.Context(), Destination{Name: "a", URL: "rtmp://h/a", Streams: []string{"*"}}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := s.Update(t.Context(), "a", func(d *Destination) error { d.Streams = append(d.Streams, fmt.Sprint(i)); return nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if d, err := s.Find(t.Context(), "a"); err != nil || len(d.Streams) != 21 {
		t.Errorf("streams %q, %v", d.Streams, err)
	}
}

func TestValidate(t *testing.T) {
	good := Destination{Name: "a", URL: "rtmp://h/a", Streams: []string{"*"}}
	for name, change := range map[string]func(*Destination){
		"no name":        func(d *Destination) { d.Name = "" },
		"large name":     func(d *Destination) { d.Name = strings.Repeat("a", 65) },
		"upper case":     func(d *Destination) { d.Name = "Tube" },
		"a dot first":    func(d *Destination) { d.Name = ".tube" },
		"a slash":        func(d *Destination) { d.Name = "a/b" },
		"no streams":     func(d *Destination) { d.Streams = nil },
		"empty pattern":  func(d *Destination) { d.Streams = []string{""} },
		"no address":     func(d *Destination) { d.URL = "" },
		"masked address": func(d *Destination) { d.URL = "rtmp://h/***" },
		"strange preset": func(d *Destination) { d.Preset = "x" },
	} {
		s, _ := newStore(t)
		d := good
		change(&d)
		var bad *FieldError
		if err := s.Create(t.Context(), d); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, _ := newStore(t)
	good.Name, good.Preset = "0a._-z", "twitch"
	if err := s.Create(t.Context(), good); err != nil {
		t.Error(err)
	}
}

func TestMayBeUsedBy(t *testing.T) {
	for _, tt := range []struct {
		app string
		by  *access.Principal
		may bool
	}{
		{"", nil, true}, {"acme", nil, true}, {"acme", &access.Principal{}, true}, {"", &access.Principal{App: "beta"}, true},
		{"acme", &access.Principal{App: "acme"}, true}, {"acme", &access.Principal{App: "beta"}, false},
	} {
		if got := (Destination{App: tt.app}).MayBeUsedBy(tt.by); got != tt.may {
			t.Errorf("%q by %+v: %t", tt.app, tt.by, got)
		}
	}
}

func TestPresets(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Presets() {
		if !validName(p.ID) || seen[p.ID] || p.Name == "" || p.Codecs == nil {
			t.Errorf("preset %+v", p)
		}
		seen[p.ID] = true
		url, ok := p.URL("key")
		if ok != (p.Server != "") || ok && !strings.HasSuffix(url, "/key") {
			t.Errorf("%s: %q, %t", p.ID, url, ok)
		}
	}
}
