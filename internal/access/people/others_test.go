package people

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/state"
	"transponder/internal/testkit/village"
)

// newHouse makes the People of one of several servers.
func newHouse(t *testing.T, h *village.House, change ...func(*Config, *Parts)) *desk {
	t.Helper()
	return newDesk(t, func(c *Config, p *Parts) {
		p.Keeper = h
		for _, f := range change {
			f(c, p)
		}
	})
}

// isOver says whether a lease has ended.
func isOver(l *access.Lease) bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}

// What another server changes of a user holds here, and ends what he has begun here. His tokens are the other server's task.
func TestUserOfAnotherServer(t *testing.T) {
	v, ctx := village.New(), t.Context()
	there, here := v.House(), v.House()
	a, b := newHouse(t, there), newHouse(t, here)
	a.mustCreate(t, NewUser{Name: "otto", Password: "ottos-password", Role: access.Operator})
	if _, err := b.Login(ctx, basic("otto", "ottos-password")); err == nil {
		t.Error("a user of whom nobody has told logs in")
	}
	here.Hear(ctx)
	secret, who, err := b.Start(ctx, basic("otto", "ottos-password"), "browser")
	if err != nil {
		t.Fatal(err)
	}
	lease := b.leases.Hold(who)
	there.Hear(ctx)
	if p, err := a.Session(ctx, access.Credential{Session: secret}); err != nil || p.Subject != "otto" {
		t.Errorf("the session at the other server: %v, %v", p, err)
	}
	if u, _ := a.User("otto"); u.LastLogin.IsZero() {
		t.Error("the other server does not know when he has logged in")
	}

	role := access.Viewer
	if _, err := a.Update(ctx, "otto", Change{Role: &role}); err != nil {
		t.Fatal(err)
	}
	if isOver(lease) {
		t.Fatal("what he has begun here has ended before anybody has told")
	}
	here.Hear(ctx)
	b.tellLosses(ctx)
	if !isOver(lease) || !errors.Is(lease.Err(), access.ErrRevoked) {
		t.Errorf("what he has begun here after he has lost rights: %v", lease.Err())
	}
	if u, _ := b.User("otto"); u.Role != role {
		t.Errorf("his role here is %s", u.Role)
	}
	if _, err := b.Session(ctx, access.Credential{Session: secret}); err != nil {
		t.Errorf("a session ends with another role: %v", err)
	}
	password := "another-password"
	if _, err := a.Update(ctx, "otto", Change{Password: &password}); err != nil {
		t.Fatal(err)
	}
	here.Hear(ctx)
	if _, err := b.Session(ctx, access.Credential{Session: secret}); err == nil {
		t.Error("a session goes on here after a new password there")
	}
	if _, err := b.Login(ctx, basic("otto", "ottos-password")); err == nil {
		t.Error("the old password is good here")
	}
	if _, err := b.Login(ctx, basic("otto", password)); err != nil {
		t.Errorf("the new password here: %v", err)
	}
	if err := a.Remove(ctx, "otto"); err != nil {
		t.Fatal(err)
	}
	here.Hear(ctx)
	b.tellLosses(ctx)
	if _, err := b.Login(ctx, basic("otto", password)); err == nil {
		t.Error("a removed user logs in here")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if want := []string{"otto false", "otto false", "otto true"}; !slices.Equal(b.lost, want) {
		t.Errorf("Lost was told %q, want %q", b.lost, want)
	}
}

// Who else has changed a user is found out: the later of two is refused.
func TestUserChangedAtTwoServers(t *testing.T) {
	v, ctx := village.New(), t.Context()
	there, here := v.House(), v.House()
	a, b := newHouse(t, there), newHouse(t, here)
	a.mustCreate(t, NewUser{Name: "otto", Password: "ottos-password", Role: access.Operator})
	if _, _, err := b.Create(ctx, NewUser{Name: "otto", Password: "password-of-b", Role: access.Administrator}); !errors.Is(err, ErrUserExists) {
		t.Errorf("the same user is made at two servers: %v", err)
	}
	here.Hear(ctx)
	viewer, admin := access.Viewer, access.Administrator
	if _, err := a.Update(ctx, "otto", Change{Role: &viewer}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Update(ctx, "otto", Change{Role: &admin}); !errors.Is(err, ErrChanged) {
		t.Errorf("a change of what another server has just changed: %v, want ErrChanged", err)
	}
	if u, _ := b.User("otto"); u.Role != viewer {
		t.Errorf("his role here is %s, though the change was refused", u.Role)
	}
	if _, err := b.Update(ctx, "otto", Change{Role: &admin}); err != nil {
		t.Errorf("the second try: %v", err)
	}
	there.Hear(ctx)
	if u, _ := a.User("otto"); u.Role != admin {
		t.Errorf("his role there is %s", u.Role)
	}
}

// A session that has ended at one server is not brought back by its use at another one.
func TestSessionEndsEverywhere(t *testing.T) {
	v, ctx := village.New(), t.Context()
	there, here := v.House(), v.House()
	a, b := newHouse(t, there), newHouse(t, here)
	a.mustCreate(t, NewUser{Name: "vera", Password: "veras-password", Role: access.Viewer})
	secret, _, err := a.Start(ctx, basic("vera", "veras-password"), "browser")
	if err != nil {
		t.Fatal(err)
	}
	here.Hear(ctx)
	shown := access.Credential{Session: secret}
	who, err := b.Session(ctx, shown)
	if err != nil {
		t.Fatal(err)
	}
	lease := b.leases.Hold(who)
	if err := a.End(ctx, shown); err != nil {
		t.Fatal(err)
	}
	b.People.mu.Lock()
	b.sessions[keyOf(secret)].saved = time.Now().Add(-2 * seenTime)
	b.People.mu.Unlock()
	if _, err := b.Session(ctx, shown); err != nil {
		t.Errorf("nobody has told: %v", err)
	}
	if _, err := there.Get(ctx, "sessions", keyOf(secret)); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the use of an ended session has brought it back: %v", err)
	}
	here.Hear(ctx)
	if _, err := b.Session(ctx, shown); err == nil || !isOver(lease) {
		t.Errorf("after the news the session is good: %v; what was begun has ended: %v", err == nil, isOver(lease))
	}
}

// While servers cannot reach each other people log in and out, and nothing else changes. All hear of it when they can again.
func TestServersApart(t *testing.T) {
	v, ctx := village.New(), t.Context()
	there, here := v.House(), v.House()
	a, b := newHouse(t, there), newHouse(t, here)
	a.mustCreate(t, NewUser{Name: "vera", Password: "veras-password", Role: access.Viewer})
	secret, who, err := a.Start(ctx, basic("vera", "veras-password"), "browser")
	if err != nil {
		t.Fatal(err)
	}
	here.Hear(ctx)
	v.Part()
	role := access.Administrator
	for what, err := range map[string]error{
		"create":    failure2(b.Create(ctx, NewUser{Name: "new", Role: access.Viewer})),
		"update":    failure(b.Update(ctx, "vera", Change{Role: &role})),
		"remove":    b.Remove(ctx, "vera"),
		"password":  b.ChangePassword(ctx, basic("vera", "veras-password"), "another-password"),
		"terminate": b.Terminate(ctx, who.ID),
	} {
		if !errors.Is(err, state.ErrAway) {
			t.Errorf("%s: %v, want ErrAway", what, err)
		}
	}
	if u, err := b.User("vera"); err != nil || u.Role != access.Viewer || len(b.Users()) != len(a.Users()) {
		t.Errorf("after refused changes: %+v, %v, %d users", u, err, len(b.Users()))
	}
	if _, err := b.Session(ctx, access.Credential{Session: secret}); err != nil {
		t.Errorf("a session that was to be ended: %v", err)
	}
	late, _, err := b.Start(ctx, basic("vera", "veras-password"), "browser")
	if err != nil {
		t.Fatalf("a login: %v", err)
	}
	if err := b.End(ctx, access.Credential{Session: secret}); err != nil {
		t.Errorf("a logout: %v", err)
	}
	v.Meet()
	r, err := here.Get(ctx, "sessions", keyOf(secret))
	if err != nil {
		t.Fatal(err)
	}
	b.takeSessions(ctx, []string{r.Key}) // as when all are read anew
	if _, err := b.Session(ctx, access.Credential{Session: secret}); err == nil {
		t.Error("a session that has ended here came back from the others")
	}
	b.payOwed(ctx)
	there.Hear(ctx)
	if _, err := a.Session(ctx, access.Credential{Session: secret}); err == nil {
		t.Error("a session that has ended apart goes on at the other server")
	}
	if _, err := a.Session(ctx, access.Credential{Session: late}); err != nil {
		t.Errorf("a session that has begun apart: %v", err)
	}
	if len(b.owed) != 0 {
		t.Errorf("what was owed is still owed: %v", b.owed)
	}
}

func failure[A any](_ A, err error) error          { return err }
func failure2[A, B any](_ A, _ B, err error) error { return err }

// One of several servers makes the first administrator, also if they start in the same moment. One that does not know the others makes none.
func TestOneFirstAdministrator(t *testing.T) {
	v, ctx := village.New(), t.Context()
	dir := t.TempDir()
	made := func(c *Config, p *Parts) { c.Password = "the-admins-password"; p.Dir = dir }
	stranger := v.Stranger()
	apart := newHouse(t, stranger, made)
	if n := len(apart.Users()); n != 0 {
		t.Errorf("a server that does not know the others has made %d users", n)
	}
	first, last := v.House(), v.House()
	a, b := newHouse(t, first, made), newHouse(t, last, made) // the second one has not heard of the first one's administrator
	if len(a.Users()) != 1 || len(b.Users()) != 0 {
		t.Errorf("the servers have made %d and %d administrators", len(a.Users()), len(b.Users()))
	}
	if !strings.Contains(b.logged.String(), "made at another server") {
		t.Errorf("the log does not say who has made him: %s", b.logged)
	}
	role := access.Administrator
	if _, _, err := a.Create(ctx, NewUser{Name: "ann", Password: "anns-password", Role: role}); err != nil {
		t.Fatal(err)
	}
	if err := a.Remove(ctx, "admin"); err != nil {
		t.Fatal(err)
	}
	stranger.Arrive()
	if err := apart.makeFirst(ctx); err != nil { // before it has heard of anybody
		t.Fatal(err)
	}
	stranger.Hear(ctx)
	if users := apart.Users(); len(users) != 1 || users[0].Name != "ann" {
		t.Errorf("the users of a server that has come late: %+v", users)
	}
}

// The password in the file of one server is gone when the first administrator logs in at another one.
func TestInitialPasswordIsForgotten(t *testing.T) {
	v, ctx := village.New(), t.Context()
	there, here := v.House(), v.House()
	dir := t.TempDir()
	newHouse(t, there, func(_ *Config, p *Parts) { p.Dir = dir })
	b := newHouse(t, here, func(c *Config, p *Parts) { c.Password = "not-used-by-anybody"; p.Dir = t.TempDir() })
	here.Hear(ctx)
	text, err := os.ReadFile(filepath.Join(dir, initialFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Login(ctx, basic("admin", strings.TrimSpace(string(text)))); err != nil {
		t.Fatal(err)
	}
	there.Hear(ctx)
	if _, err := os.Stat(filepath.Join(dir, initialFile)); !isGone(err) {
		t.Errorf("the file with his password is still there: %v", err)
	}
}

// A server leaves the sessions alone of users whom only the file of another one has.
func TestSessionOfAUserInAnotherFile(t *testing.T) {
	v, ctx := village.New(), t.Context()
	there, here := v.House(), v.House()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("otto:"+hash(t, "ottos-password")+":operator\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := newHouse(t, there, func(c *Config, _ *Parts) { c.UsersFile = file }), newHouse(t, here)
	secret, _, err := a.Start(ctx, basic("otto", "ottos-password"), "browser")
	if err != nil {
		t.Fatal(err)
	}
	here.Hear(ctx)
	if _, err := b.Session(ctx, access.Credential{Session: secret}); err == nil {
		t.Error("a session of a user whom this server does not know is good here")
	}
	b.sweep(ctx)
	there.Hear(ctx)
	if _, err := a.Session(ctx, access.Credential{Session: secret}); err != nil {
		t.Errorf("another server has ended his session: %v", err)
	}
}
