package state

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// line makes a line of a file of keys.
func line(b byte) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune('a'+b)), keySize)))
}

func mustKeys(t *testing.T, text string) *Keys {
	t.Helper()
	k, err := parseKeys([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSeal(t *testing.T) {
	k := mustKeys(t, line(0))
	const secret = "canary-secret"
	sealed, err := k.Seal("destination/a", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.Seal("destination/a", []byte(secret))
	if err != nil || again == sealed {
		t.Errorf("the same text twice: %v", err)
	}
	if strings.Contains(sealed, secret) {
		t.Errorf("sealed: %s", sealed)
	}
	if got, err := k.Open("destination/a", sealed); err != nil || string(got) != secret {
		t.Errorf("opened %q, %v", got, err)
	}
	id, text, _ := strings.Cut(sealed, ".")
	for name, bad := range map[string]struct{ place, sealed string }{
		"another place":    {"destination/b", sealed},
		"another key":      {"destination/a", "k00000000." + text},
		"changed":          {"destination/a", id + "." + strings.ToLower(text[:20]) + text[20:]},
		"cut":              {"destination/a", sealed[:len(sealed)-4]},
		"too short":        {"destination/a", id + ".AAAA"},
		"empty":            {"destination/a", ""},
		"without a dot":    {"destination/a", id},
		"not base64":       {"destination/a", id + ".!!!"},
		"open text":        {"destination/a", secret},
		"loose last bits":  {"destination/a", sealed + "B"},
		"without the sign": {"destination/a", sealed[1:]},
	} {
		if got, err := k.Open(bad.place, bad.sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %q, %v", name, got, err)
		} else if strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error has what was sealed: %v", name, err)
		}
	}
}

// TestNewKey holds that a new first line seals, and that the old line opens what it has sealed until it is taken away.
func TestNewKey(t *testing.T) {
	old := mustKeys(t, line(0))
	sealed, err := old.Seal("p", []byte("s"))
	if err != nil {
		t.Fatal(err)
	}
	both := mustKeys(t, "# new\n"+line(1)+"\n\n# old\n"+line(0)+"\r\n")
	if got, err := both.Open("p", sealed); err != nil || string(got) != "s" {
		t.Errorf("the old line opens %q, %v", got, err)
	}
	fresh, err := both.Seal("p", []byte("s"))
	if err != nil || both.Current(sealed) || !both.Current(fresh) {
		t.Errorf("old is current: %t, new: %t, %v", both.Current(sealed), both.Current(fresh), err)
	}
	only := mustKeys(t, line(1))
	if _, err := only.Open("p", fresh); err != nil {
		t.Error(err)
	}
	if _, err := only.Open("p", sealed); !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "secrets_key_file") {
		t.Errorf("without the old line: %v", err)
	}
}

// TestKeyFile holds what Open does with files of keys.
func TestKeyFile(t *testing.T) {
	write := func(t *testing.T, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string // in the error; "": none
	}{
		"good":               {line(0) + "\n", 0o600, ""},
		"read only":          {line(0), 0o400, ""},
		"a group may read":   {line(0), 0o640, ""},
		"all may read":       {line(0), 0o604, "chmod 600"},
		"a group may write":  {line(0), 0o660, "chmod 600"},
		"empty":              {"", 0o600, "holds no key"},
		"only a comment":     {"# key\n", 0o600, "holds no key"},
		"too short":          {"AAAA\n", 0o600, "line 1: each line must be 32 random bytes"},
		"the second is none": {line(0) + "\nkey\n", 0o600, "line 2"},
		"a huge line":        {strings.Repeat("A", 1<<20), 0o600, "32 random bytes"},
	} {
		s, err := Open(t.Context(), Config{Dir: t.TempDir(), KeyFile: write(t, tt.text, tt.mode)}, slog.New(slog.DiscardHandler))
		switch {
		case err == nil:
			s.Close()
			if tt.want != "" {
				t.Errorf("%s: it was taken", name)
			}
		case tt.want == "" || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "secrets_key_file"):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	missing := filepath.Join(t.TempDir(), "made")
	open(t, Config{Dir: t.TempDir(), KeyFile: missing})
	if info, err := os.Stat(missing); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a key file that is missing: %v, %v", info, err)
	}
	if _, err := Open(t.Context(), Config{Dir: t.TempDir(), KeyFile: "/nowhere/key"}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a key file that cannot be made was no error")
	}
	open(t, Config{KeyFile: missing}) // a store in memory has keys, too
}

// TestLostKey holds that a server starts without the key of its secrets, and says so.
func TestLostKey(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"lost":    os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	} {
		dir := t.TempDir()
		s := open(t, Config{Dir: dir})
		sealed, err := s.Sealer().Seal("p", []byte("s"))
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if err := spoil(filepath.Join(dir, "key")); err != nil {
			t.Fatal(err)
		}
		s, l := openLogged(t, Config{Dir: dir})
		if _, err := s.Sealer().Open("p", sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(l.String(), "were sealed with another key") {
			t.Errorf("%s: the log says nothing of the key:\n%s", name, l)
		}
		s.Close()
		s, l = openLogged(t, Config{Dir: dir})
		if strings.Contains(l.String(), "another key") {
			t.Errorf("%s: said again at the next start:\n%s", name, l)
		}
		s.Close()
		if kept, _ := filepath.Glob(filepath.Join(dir, "key.damaged-*")); len(kept) != map[string]int{"damaged": 1}[name] {
			t.Errorf("%s: set aside: %q", name, kept)
		}
	}
}

// FuzzKeys holds that no file of keys and no sealed text makes trouble, and that what was sealed opens.
func FuzzKeys(f *testing.F) {
	f.Add([]byte(line(0)+"\n"+line(1)), "p", "k00000000.AAAA", []byte("s"))
	f.Add([]byte("#\n\n"), "", "", []byte{})
	f.Fuzz(func(t *testing.T, file []byte, place, sealed string, secret []byte) {
		k, err := parseKeys(file)
		if err != nil {
			return
		}
		if got, err := k.Open(place, sealed); err == nil {
			t.Fatalf("%q opens as %q", sealed, got)
		}
		mine, err := k.Seal(place, secret)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Open(place, mine); err != nil || string(got) != string(secret) {
			t.Fatalf("%q opens as %q, %v", mine, got, err)
		}
		if _, err := k.Open(place+"x", mine); err == nil {
			t.Fatal("it opens in another place")
		}
	})
}

// TestBucket is about records with versions.
func TestBucket(t *testing.T) {
	type user struct {
		Role  string `json:"role"`
		Since int    `json:"since,omitempty"`
	}
	s := open(t, Config{})
	ctx := t.Context()
	b := NewBucket[user](s, "users", 2)
	revision, err := b.Put(ctx, "anna", user{"admin", 7}, 0)
	if err != nil {
		t.Fatal(err)
	}
	item, err := b.Get(ctx, "anna")
	if err != nil || item.Value != (user{"admin", 7}) || item.Revision != revision || item.Key != "anna" {
		t.Errorf("got %+v, %v", item, err)
	}
	if _, err := b.Put(ctx, "anna", user{}, 0); !errors.Is(err, ErrConflict) {
		t.Errorf("create what is there: %v", err)
	}
	raw := func() string {
		t.Helper()
		r, err := s.Get(ctx, "users", "anna")
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Value)
	}
	if raw() != `{"role":"admin","since":7,"v":2}` {
		t.Errorf("stored %s", raw())
	}

	// A newer server has written members that this one does not know: they stay. Members that this one leaves out go.
	put(t, s, "users", "anna", `{"v":3,"min":2,"role":"viewer","since":9,"second":{"a":1}}`)
	if _, err := b.Put(ctx, "anna", user{Role: "admin"}, Any); err != nil {
		t.Fatal(err)
	}
	if raw() != `{"role":"admin","second":{"a":1},"v":2}` {
		t.Errorf("stored %s", raw())
	}

	// A record that this server must not use.
	put(t, s, "users", "anna", `{"v":3,"min":3,"role":"admin"}`)
	put(t, s, "users", "bert", `{"role":"viewer"}`)
	if _, err := b.Get(ctx, "anna"); !errors.Is(err, ErrNewer) {
		t.Errorf("get: %v", err)
	}
	if _, err := b.Put(ctx, "anna", user{}, Any); !errors.Is(err, ErrNewer) {
		t.Errorf("put: %v", err)
	}
	list, err := b.List(ctx, "")
	if err != nil || len(list) != 1 || list[0].Key != "bert" {
		t.Errorf("list %+v, %v", list, err)
	}
	put(t, s, "users", "carl", `{"role":7}`)
	if list, err := b.List(ctx, ""); err == nil || len(list) != 1 {
		t.Errorf("with a record that cannot be read: %+v, %v", list, err)
	}
	if err := b.Delete(ctx, "anna", Any); err != nil {
		t.Error(err)
	}
	if _, err := b.Get(ctx, "anna"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after delete: %v", err)
	}
	if _, err := b.Put(ctx, "dora", user{}, 3); !errors.Is(err, ErrConflict) {
		t.Errorf("update of nothing: %v", err)
	}
	if fmt.Sprint(keys(t, s, "users", "")) != "[bert carl]" {
		t.Errorf("records %q", keys(t, s, "users", ""))
	}
}
