package people

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/guard"
	"transponder/internal/state"
)

func TestMain(m *testing.M) {
	hashCost = bcrypt.MinCost
	m.Run()
}

// desk is a People with what stands around it.
type desk struct {
	*People
	keeper state.Keeper
	leases *access.Leases
	logged *bytes.Buffer

	mu    sync.Mutex
	lines []audit.Line // guarded by mu
	lost  []string     // guarded by mu
}

// newDesk makes a People. change changes what it is made of.
func newDesk(t *testing.T, change func(*Config, *Parts)) *desk {
	t.Helper()
	d, err := openDesk(t, change)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func openDesk(t *testing.T, change func(*Config, *Parts)) (*desk, error) {
	t.Helper()
	d := &desk{leases: access.NewLeases(), logged: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(d.logged, nil))
	cfg, parts := Config{}, Parts{
		Keeper: memory(t), Shares: guard.DefaultSharesConfig(), Leases: d.leases,
		Record: func(l audit.Line) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.lines = append(d.lines, l)
		},
		Lost: func(_ context.Context, l Loss) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.lost = append(d.lost, fmt.Sprint(l.Name, " ", l.Removed))
		},
	}
	if change != nil {
		change(&cfg, &parts)
	}
	d.keeper = parts.Keeper
	var err error
	d.People, err = New(t.Context(), cfg, parts, log)
	return d, err
}

const elsewhere = "203.0.113.9"

func basic(name, password string) access.Credential {
	return access.Credential{Door: "rest", Peer: netip.MustParseAddr(elsewhere), Name: name, Password: password}
}

func (d *desk) mustCreate(t *testing.T, n NewUser) {
	t.Helper()
	if _, _, err := d.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

func TestRoles(t *testing.T) {
	d := newDesk(t, nil)
	for _, u := range []NewUser{
		{Name: "vera", Password: "password-1", Role: access.Viewer},
		{Name: "otto", Password: "password-2", Role: access.Operator, Streams: []string{"acme/*"}},
		{Name: "ann", Password: "password-3", Role: access.Administrator},
	} {
		d.mustCreate(t, u)
	}
	mine, other := access.Object{Stream: "acme/1"}, access.Object{Stream: "other/1"}
	for _, tt := range []struct {
		name, password string
		do             access.Action
		to             access.Object
		want           bool
	}{
		{"vera", "password-1", access.Read, other, true},
		{"vera", "password-1", access.Control, other, false},
		{"vera", "password-1", access.Publish, other, false},
		{"vera", "password-1", access.Play, other, false},
		{"vera", "password-1", access.Push, access.Object{Stream: "x", Destination: "youtube"}, false},
		{"otto", "password-2", access.Control, mine, true},
		{"otto", "password-2", access.Control, other, false},
		{"otto", "password-2", access.Publish, mine, true},
		{"otto", "password-2", access.Push, access.Object{Stream: "acme/1", Destination: "youtube"}, true},
		{"otto", "password-2", access.Push, access.Object{Stream: "acme/1", URL: "rtmp://example.com:1935/live/x"}, false},
		{"otto", "password-2", access.Admin, mine, false},
		{"ann", "password-3", access.Admin, access.Object{}, true},
		{"ann", "password-3", access.Push, access.Object{Stream: "x", URL: "rtmp://example.com:1935/live/x"}, true},
	} {
		p, err := d.Login(t.Context(), basic(tt.name, tt.password))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := access.Decide(p, tt.do, tt.to) == nil; got != tt.want {
			t.Errorf("%s may %s %+v: %v, want %v", tt.name, tt.do, tt.to, got, tt.want)
		}
		if p.Kind != access.User || p.Identity() != "user::"+tt.name {
			t.Errorf("%s is %s", tt.name, p)
		}
	}
}

func TestLogin(t *testing.T) {
	d := newDesk(t, nil)
	d.mustCreate(t, NewUser{Name: "ann", Password: "right-password", Role: access.Administrator})
	for _, tt := range []struct {
		name, password string
		ok             bool
		line           audit.Line // what is written down
	}{
		{"ann", "right-password", true, audit.Line{Do: "login", OK: true, Who: audit.Who{Kind: "user", Subject: "ann"}}},
		{"ann", "right-password", true, audit.Line{}}, // known: nothing is written down again
		{"ann", "wrong", false, audit.Line{Do: "login", Object: "ann", Why: "wrong name or password", Who: audit.Who{Kind: "anonymous"}}},
		{"ann", "", false, audit.Line{Do: "login", Object: "ann", Why: "wrong name or password", Who: audit.Who{Kind: "anonymous"}}},
		{"right-password", "ann", false, audit.Line{Do: "login", Why: "wrong name or password", Who: audit.Who{Kind: "anonymous"}}},
		{"", "", false, audit.Line{Do: "login", Why: "wrong name or password", Who: audit.Who{Kind: "anonymous"}}},
	} {
		d.lines = nil
		_, err := d.Login(t.Context(), basic(tt.name, tt.password))
		var bad *access.BadCredential
		if tt.ok != (err == nil) || err != nil && (!errors.As(err, &bad) || bad.Detail != "") {
			t.Errorf("%s %s: %v", tt.name, tt.password, err)
		}
		var got audit.Line
		if len(d.lines) > 0 {
			got = d.lines[0]
		}
		if tt.line.Do != "" {
			tt.line.At, tt.line.Via, tt.line.From = got.At, "rest", elsewhere
		}
		if got != tt.line || len(d.lines) > 1 {
			t.Errorf("%s %s is written down as %+v, want %+v", tt.name, tt.password, d.lines, tt.line)
		}
	}
	d.lines = nil
	for range 2 {
		if _, _, err := d.Start(t.Context(), basic("ann", "right-password"), "browser"); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.lines) != 2 || d.lines[1].Do != "login" || d.lines[1].Who.Subject != "ann" {
		t.Errorf("two logins of pages are written down as %+v", d.lines)
	}
	var many *access.TooMany
	for range freeTries {
		_, err := d.Login(t.Context(), basic("bob", "x"))
		if errors.As(err, &many) {
			t.Fatal("refused too soon")
		}
	}
	d.Login(t.Context(), basic("bob", "y"))
	if _, err := d.Login(t.Context(), basic("bob", "z")); !errors.As(err, &many) || many.Wait <= 0 {
		t.Errorf("after %d wrong tries: %v", freeTries+1, err)
	}
}

func TestBadUsers(t *testing.T) {
	d := newDesk(t, nil)
	d.mustCreate(t, NewUser{Name: "ann", Password: "right-password", Role: access.Administrator})
	for _, tt := range []struct {
		user NewUser
		want string
	}{
		{NewUser{Name: "", Role: access.Viewer}, "name: it is missing"},
		{NewUser{Name: "a:b", Role: access.Viewer}, `name: it must not hold the character ':'`},
		{NewUser{Name: "a\nb", Role: access.Viewer}, `name: it must not hold the character '\n'`},
		{NewUser{Name: "a\u202eb", Role: access.Viewer}, `name: it must not hold the character '\u202e'`},
		{NewUser{Name: " a", Role: access.Viewer}, "name: it begins or ends with a space"},
		{NewUser{Name: "#a", Role: access.Viewer}, "name: it begins with #"},
		{NewUser{Name: "a\xff", Role: access.Viewer}, "name: it is not UTF-8"},
		{NewUser{Name: strings.Repeat("a", 65), Role: access.Viewer}, "name: it is longer than 64 bytes"},
		{NewUser{Name: "bob", Role: "root"}, "role: it must be viewer, operator or admin"},
		{NewUser{Name: "bob"}, "role: it must be viewer, operator or admin"},
		{NewUser{Name: "bob", Role: access.Viewer, Password: "short"}, "password: it must have at least 8 bytes"},
		{NewUser{Name: "bob", Role: access.Viewer, Password: strings.Repeat("x", 73)}, "password: it must have at most 72 bytes"},
		{NewUser{Name: "bobbobbob", Role: access.Viewer, Password: "bobbobbob"}, "password: it must not be the name"},
		{NewUser{Name: "bob", Role: access.Viewer, Streams: []string{""}}, "streams: each must have 1 to 255 bytes of UTF-8; * stands for any run of characters"},
		{NewUser{Name: "ann", Role: access.Viewer}, "there is a user with this name already"},
	} {
		if _, _, err := d.Create(t.Context(), tt.user); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: %v, want %s", tt.user, err, tt.want)
		}
	}
	if n := len(d.Users()); n != 1 {
		t.Errorf("there are %d users", n)
	}
}

// What a user has begun ends when he gets another password or role, and when he is removed. So do his sessions, except that a role changes
// within a session.
func TestLoss(t *testing.T) {
	viewer, password := access.Viewer, "another-password"
	for name, tt := range map[string]struct {
		change  func(*desk) error
		session bool   // he still has his session
		login   bool   // his password is still right
		told    string // what Lost is told
	}{
		"role": {func(d *desk) error { _, err := d.Update(t.Context(), "bob", Change{Role: &viewer}); return err }, true, true, "bob false"},
		"streams": {func(d *desk) error {
			_, err := d.Update(t.Context(), "bob", Change{Streams: []string{"a"}})
			return err
		}, true, true, "bob false"},
		"password": {func(d *desk) error { _, err := d.Update(t.Context(), "bob", Change{Password: &password}); return err }, false, false, "bob false"},
		"removed":  {func(d *desk) error { return d.Remove(t.Context(), "bob") }, false, false, "bob true"},
		"nothing":  {func(d *desk) error { _, err := d.Update(t.Context(), "bob", Change{}); return err }, true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, nil)
			d.mustCreate(t, NewUser{Name: "ann", Password: "right-password", Role: access.Administrator})
			d.mustCreate(t, NewUser{Name: "bob", Password: "right-password", Role: access.Operator})
			secret, p, err := d.Start(t.Context(), basic("bob", "right-password"), "browser")
			if err != nil {
				t.Fatal(err)
			}
			other, err := d.Login(t.Context(), basic("ann", "right-password"))
			if err != nil {
				t.Fatal(err)
			}
			lease, kept := d.leases.Hold(p), d.leases.Hold(other)
			if err := tt.change(d); err != nil {
				t.Fatal(err)
			}
			select {
			case <-lease.Done():
				if tt.told == "" || lease.Err() != access.ErrRevoked {
					t.Errorf("the lease has ended: %v", lease.Err())
				}
			default:
				if tt.told != "" {
					t.Error("the lease goes on")
				}
			}
			select {
			case <-kept.Done():
				t.Error("somebody else's lease has ended")
			default:
			}
			if _, err := d.Session(t.Context(), access.Credential{Session: secret}); (err == nil) != tt.session {
				t.Errorf("the session: %v", err)
			}
			if _, err := d.Login(t.Context(), basic("bob", "right-password")); (err == nil) != tt.login {
				t.Errorf("the login: %v", err)
			}
			if got := strings.Join(d.lost, ","); got != tt.told {
				t.Errorf("told %q, want %q", got, tt.told)
			}
		})
	}
}

// Whoever loses his rights after he was identified, and before his session begins, loses the session at once.
func TestLossBeforeTheLease(t *testing.T) {
	d := newDesk(t, nil)
	viewer := access.Viewer
	for _, name := range []string{"ann", "bob", "tom"} {
		d.mustCreate(t, NewUser{Name: name, Password: "right-password", Role: access.Administrator})
	}
	who := func(name string) *access.Principal {
		t.Helper()
		p, err := d.Login(t.Context(), basic(name, "right-password"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ann, bob, tom := who("ann"), who("bob"), who("tom")
	_, page, err := d.Start(t.Context(), basic("tom", "right-password"), "browser")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Update(t.Context(), "ann", Change{Role: &viewer}); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	if err := d.Terminate(t.Context(), page.ID); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		p    *access.Principal
		want error
	}{"another role": {ann, access.ErrRevoked}, "removed": {bob, access.ErrRevoked}, "nothing": {tom, nil}, "session": {page, access.ErrRevoked}, "somebody else": {access.Nobody(), nil}} {
		if err := d.leases.Hold(tt.p).Err(); err != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// Long names of many strangers need little memory.
func TestLongNames(t *testing.T) {
	d := newDesk(t, nil)
	long := strings.Repeat("x", 50_000)
	for _, name := range []string{long, long + "y"} {
		if _, err := d.Login(t.Context(), basic(name, "password")); err == nil {
			t.Fatal("a stranger is let in")
		}
	}
	if n := len(d.guesses.tries); n != 3 { // and the address
		t.Errorf("%d accounts are remembered", n)
	}
	for who := range d.guesses.tries {
		if len(who.name) > maxPattern {
			t.Errorf("a name of %d bytes is remembered", len(who.name))
		}
	}
}

func TestLastAdmin(t *testing.T) {
	d := newDesk(t, nil)
	d.mustCreate(t, NewUser{Name: "ann", Password: "right-password", Role: access.Administrator})
	d.mustCreate(t, NewUser{Name: "tom", Password: "right-password", Role: access.Administrator, Streams: []string{"acme/*"}})
	viewer := access.Viewer
	for what, err := range map[string]error{
		"remove":  d.Remove(t.Context(), "ann"),
		"role":    second(d.Update(t.Context(), "ann", Change{Role: &viewer})),
		"streams": second(d.Update(t.Context(), "ann", Change{Streams: []string{"acme/*"}})),
	} {
		if !errors.Is(err, ErrLastAdmin) {
			t.Errorf("%s: %v", what, err)
		}
	}
	d.mustCreate(t, NewUser{Name: "eve", Password: "right-password", Role: access.Administrator})
	if err := d.Remove(t.Context(), "ann"); err != nil {
		t.Error(err)
	}
	if err := d.Remove(t.Context(), "nobody"); !errors.Is(err, ErrNoUser) {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

// Two administrators who remove each other at the same time: one of them stays.
func TestLastAdminRace(t *testing.T) {
	d := newDesk(t, nil)
	d.mustCreate(t, NewUser{Name: "ann", Password: "right-password", Role: access.Administrator})
	d.mustCreate(t, NewUser{Name: "eve", Password: "right-password", Role: access.Administrator})
	var wg sync.WaitGroup
	for _, name := range []string{"ann", "eve"} {
		wg.Go(func() { _ = d.Remove(t.Context(), name) })
	}
	wg.Wait()
	if users := d.Users(); len(users) != 1 {
		t.Errorf("the users left are %+v", users)
	}
}

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		d.mustCreate(t, NewUser{Name: "ann", Password: "right-password", Role: access.Administrator})
		start := func() string {
			t.Helper()
			secret, _, err := d.Start(t.Context(), basic("ann", "right-password"), strings.Repeat("b", 300))
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
		valid := func(secret string) bool {
			_, err := d.Session(t.Context(), access.Credential{Session: secret})
			return err == nil
		}
		idle, used := start(), start()
		for range 13 {
			time.Sleep(time.Hour)
			if !valid(used) {
				t.Fatal("a session that is used has ended")
			}
		}
		if valid(idle) {
			t.Error("a session goes on that nobody has used for 13 hours")
		}
		for range 7 * 24 {
			time.Sleep(time.Hour)
			valid(used)
		}
		if valid(used) {
			t.Error("a session goes on for more than 7 days")
		}
		d.sweep(t.Context())
		if n := len(d.lines); n < 2 || d.lines[n-1].Do != "logout" || d.lines[n-1].Who.Subject != "ann" || d.lines[n-1].Why == "" {
			t.Errorf("the ends of the sessions are written down as %+v", d.lines)
		}
		if left, _ := d.keeper.List(t.Context(), "sessions", ""); len(left) > 0 {
			t.Errorf("%d sessions are left in the state", len(left))
		}

		var secrets []string
		for range maxOfUser + 1 {
			secrets = append(secrets, start())
			time.Sleep(time.Minute)
		}
		if valid(secrets[0]) || !valid(secrets[1]) || len(d.Sessions()) != maxOfUser {
			t.Errorf("after %d logins there are %d sessions; the first is valid: %v", maxOfUser+1, len(d.Sessions()), valid(secrets[0]))
		}
		list := d.Sessions()
		if s := list[0]; s.User != "ann" || s.Role != access.Administrator || s.Address != elsewhere || len(s.UserAgent) != maxUserAgent || time.Until(s.Expires) > sessionIdle {
			t.Errorf("the newest session is %+v", s)
		}
		for _, s := range list {
			if slices.Contains(secrets, s.ID) {
				t.Error("a list has the secret of a session")
			}
		}

		// Whoever ends a session ends what was begun with it, and nothing else.
		p, _ := d.Session(t.Context(), access.Credential{Session: secrets[1]})
		q, _ := d.Session(t.Context(), access.Credential{Session: secrets[2]})
		lease, kept := d.leases.Hold(p), d.leases.Hold(q)
		if err := d.Terminate(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		if lease.Err() != access.ErrRevoked || kept.Err() != nil || valid(secrets[1]) || !valid(secrets[2]) {
			t.Errorf("after a session was ended: its lease %v, another's %v", lease.Err(), kept.Err())
		}
		if err := d.End(t.Context(), access.Credential{Session: secrets[2]}); err != nil || valid(secrets[2]) {
			t.Errorf("log out: %v", err)
		}
		for what, err := range map[string]error{
			"again":   d.End(t.Context(), access.Credential{Session: secrets[2]}),
			"nothing": d.End(t.Context(), access.Credential{}),
			"id":      d.Terminate(t.Context(), p.ID),
			"no id":   d.Terminate(t.Context(), ""),
		} {
			if !errors.Is(err, ErrNoSession) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// Users, sessions, and the addresses of those who have logged in outlive the process. The state has no secret of a session.
func TestRestart(t *testing.T) {
	d := newDesk(t, nil)
	d.mustCreate(t, NewUser{Name: "ann", Password: "right-password", Role: access.Operator, Streams: []string{"a", "b*"}})
	secret, _, err := d.Start(t.Context(), basic("ann", "right-password"), "browser")
	if err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"users", "sessions", "visits"} {
		list, err := d.keeper.List(t.Context(), bucket, "")
		if err != nil || len(list) != 1 {
			t.Fatalf("%s has %d records, %v", bucket, len(list), err)
		}
		for _, r := range list {
			if strings.Contains(r.Key+string(r.Value), secret) || strings.Contains(string(r.Value), "right-password") {
				t.Errorf("%s has a secret: %s", bucket, r.Value)
			}
		}
	}
	again := newDesk(t, func(_ *Config, p *Parts) { p.Keeper = d.keeper })
	if p, err := again.Session(t.Context(), access.Credential{Session: secret}); err != nil || p.Subject != "ann" {
		t.Errorf("the session after a restart: %v, %v", p, err)
	}
	before, after := d.Users(), again.Users()
	if len(after) != 1 || after[0].LastLogin.IsZero() || fmt.Sprint(strip(before[0])) != fmt.Sprint(strip(after[0])) {
		t.Errorf("the users are %+v, were %+v", after, before)
	}
	if !again.guesses.isHome(account{block(netip.MustParseAddr(elsewhere)), "ann"}, time.Now()) {
		t.Error("the address of the login is forgotten")
	}
}

// strip leaves out how exactly the state knows times.
func strip(u User) User {
	u.Created, u.LastLogin = u.Created.Truncate(time.Millisecond).UTC(), u.LastLogin.Truncate(time.Millisecond).UTC()
	return u
}

func TestFirstRun(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		change func(*Config, *Parts)
		shown  bool // a person is told
		file   bool // the password is in the file
		users  int
		preset string
	}{
		"nobody reads":     {func(_ *Config, p *Parts) { p.Dir = t.TempDir() }, false, true, 1, ""},
		"terminal":         {func(_ *Config, p *Parts) { p.Dir, p.Terminal = t.TempDir(), true }, true, false, 1, ""},
		"nothing outlives": {func(*Config, *Parts) {}, false, false, 0, ""},
		"memory, terminal": {func(_ *Config, p *Parts) { p.Terminal = true }, true, false, 1, ""},
		"preset":           {func(c *Config, p *Parts) { p.Dir, c.Password = t.TempDir(), "from-the-settings" }, false, false, 1, "from-the-settings"},
		"preset in a file": {func(c *Config, p *Parts) {
			p.Dir, p.Terminal = t.TempDir(), true
			c.PasswordFile = write(t, filepath.Join(dir, "preset"), "from-the-file\r\nmore\n")
		}, false, false, 1, "from-the-file"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, tt.change)
			if n := len(d.Users()); n != tt.users {
				t.Errorf("there are %d users", n)
			}
			user, password, shown := d.First()
			if shown != tt.shown {
				t.Errorf("shown: %v", shown)
			}
			if _, again, twice := d.First(); twice || again != "" {
				t.Error("shown twice")
			}
			file := filepath.Join(d.parts.Dir, initialFile)
			if tt.file {
				info, err := os.Stat(file)
				if err != nil || info.Mode().Perm() != 0o600 {
					t.Fatalf("the file: %v, %v", info, err)
				}
				text, _ := os.ReadFile(file)
				user, password = firstAdmin, strings.TrimSpace(string(text))
				if !strings.Contains(d.logged.String(), file) {
					t.Errorf("the log does not name the file: %s", d.logged)
				}
			} else if _, err := os.Stat(file); d.parts.Dir != "" && !isGone(err) {
				t.Errorf("there is a file with the password: %v", err)
			}
			if tt.preset != "" {
				user, password = firstAdmin, tt.preset
			}
			if password == "" {
				return
			}
			if strings.Contains(d.logged.String(), password) {
				t.Errorf("the log has the password: %s", d.logged)
			}
			p, err := d.Login(t.Context(), basic(user, password))
			if err != nil || !p.IsAdmin() {
				t.Errorf("the login: %v, %v", p, err)
			}
			if _, err := os.Stat(file); tt.file && !isGone(err) {
				t.Errorf("the file is there after the login: %v", err)
			}
			again := newDesk(t, func(c *Config, p *Parts) {
				tt.change(c, p)
				p.Keeper = d.keeper
			})
			if _, _, shown := again.First(); shown {
				t.Error("the second start makes an administrator, too")
			}
		})
	}
}

func TestBadPresets(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		want string
	}{
		"short":    {Config{Password: "short"}, "admin_password: it must have at least 8 bytes"},
		"two":      {Config{Password: "long-enough", PasswordFile: "x"}, "admin_password and admin_password_file exclude each other"},
		"good":     {Config{Password: "long-enough"}, "<nil>"},
		"none":     {Config{}, "<nil>"},
		"the name": {Config{Password: "admin"}, "admin_password: it must have at least 8 bytes"},
	} {
		if err := tt.cfg.Validate(); fmt.Sprint(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	_, err := openDesk(t, func(c *Config, _ *Parts) { c.PasswordFile = write(t, filepath.Join(t.TempDir(), "f"), "\n") })
	if err == nil || !strings.Contains(err.Error(), "admin_password_file") {
		t.Errorf("an empty file: %v", err)
	}
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := newDesk(t, func(_ *Config, p *Parts) { p.Dir = dir })
		d.mustCreate(t, NewUser{Name: "bob", Password: "right-password", Role: access.Viewer})
		secret, p, err := d.Start(t.Context(), basic("bob", "right-password"), "browser")
		if err != nil {
			t.Fatal(err)
		}
		lease := d.leases.Hold(p)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()

		if err := LeaveReset(dir, "bob", "another-password"); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, resetFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info, err)
		}
		time.Sleep(watchTime)
		synctest.Wait()
		who, err := d.Login(t.Context(), basic("bob", "another-password"))
		if err != nil || !who.IsAdmin() {
			t.Errorf("after the reset: %v, %v", who, err)
		}
		if _, err := d.Session(t.Context(), access.Credential{Session: secret}); err == nil {
			t.Error("the old session goes on")
		}
		if lease.Err() != access.ErrRevoked {
			t.Error("the old lease goes on")
		}
		if left, _ := os.ReadDir(dir); len(left) > 1 { // the initial password
			t.Errorf("left in the folder: %v", left)
		}

		// A server that is started later takes it up, too, and makes the user if there is none. It cannot read rubbish, and says so once.
		if err := LeaveReset(dir, firstAdmin, "a-third-password"); err != nil {
			t.Fatal(err)
		}
		later := newDesk(t, func(_ *Config, p *Parts) { p.Dir = dir })
		if _, err := later.Login(t.Context(), basic(firstAdmin, "a-third-password")); err != nil {
			t.Error(err)
		}
		write(t, filepath.Join(dir, resetFile), "rubbish")
		time.Sleep(3 * watchTime)
		synctest.Wait()
		if n := strings.Count(d.logged.String(), "was not taken up"); n != 1 {
			t.Errorf("said %d times: %s", n, d.logged)
		}
		cancel()
		<-ended
	})
}

// memory returns a state that ends with the test.
func memory(t *testing.T) *state.Store {
	t.Helper()
	s, err := state.Memory(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func hash(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

// The file of users is read again when it has changed. A broken file changes nothing. Whoever is no longer in it loses his rights.
func TestUsersFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := hash(t, "password one"), hash(t, "password two")
		file := write(t, filepath.Join(t.TempDir(), "users"), "ann:"+one+"\nbob:"+two+":viewer:acme/*, x\n")
		d := newDesk(t, func(c *Config, _ *Parts) { c.UsersFile = file })
		d.mustCreate(t, NewUser{Name: "tom", Password: "right-password", Role: access.Viewer})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		p, err := d.Login(t.Context(), basic("bob", "password two"))
		if err != nil || access.Decide(p, access.Read, access.Object{Stream: "acme/1"}) != nil || access.Decide(p, access.Read, access.Object{Stream: "y"}) == nil {
			t.Fatalf("bob is %+v, %v", p, err)
		}
		lease := d.leases.Hold(p)
		secret, _, err := d.Start(t.Context(), basic("ann", "password one"), "browser")
		if err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"update": second(d.Update(t.Context(), "bob", Change{})), "remove": d.Remove(t.Context(), "bob"),
		} {
			if !errors.Is(err, ErrInFile) {
				t.Errorf("%s a user of the file: %v", what, err)
			}
		}
		if _, _, err := d.Create(t.Context(), NewUser{Name: "bob", Role: access.Viewer}); !errors.Is(err, ErrUserExists) {
			t.Errorf("create a user of the file: %v", err)
		}

		write(t, file, "ann:"+one+"\nbroken\n")
		time.Sleep(watchTime)
		synctest.Wait()
		if _, err := d.Login(t.Context(), basic("bob", "password two")); err != nil || lease.Err() != nil {
			t.Errorf("after a broken file: %v, %v", err, lease.Err())
		}
		if logged := d.logged.String(); !strings.Contains(logged, "line 2") || strings.Contains(logged, one) {
			t.Errorf("the log says %s", logged)
		}

		write(t, file, "ann:"+two+":viewer\n")
		time.Sleep(watchTime)
		synctest.Wait()
		if _, err := d.Login(t.Context(), basic("bob", "password two")); err == nil || lease.Err() != access.ErrRevoked {
			t.Errorf("after he was removed: %v, %v", err, lease.Err())
		}
		if _, err := d.Session(t.Context(), access.Credential{Session: secret}); err == nil {
			t.Error("a session goes on after the password has changed")
		}
		var names []string
		for _, u := range d.Users() {
			names = append(names, fmt.Sprintf("%s/%s/%s", u.Name, u.Role, u.Source))
		}
		if got := strings.Join(names, " "); got != "ann/viewer/file tom/viewer/state" {
			t.Errorf("the users are %s", got)
		}
		cancel()
		<-ended
	})
}

// A server does not start without the file that the settings name.
func TestNoUsersFile(t *testing.T) {
	for name, text := range map[string]string{"missing": "", "empty": "# nobody\n", "broken": "ann:secret\n"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "users")
			if text != "" {
				write(t, file, text)
			}
			_, err := openDesk(t, func(c *Config, _ *Parts) { c.UsersFile = file })
			if err == nil || !strings.Contains(err.Error(), "rest_users_file") || strings.Contains(err.Error(), "secret") {
				t.Errorf("error = %v", err)
			}
		})
	}
}

// A secret that people have chosen is not compared for an address with too many wrong ones, unless it was right from there before.
func TestChosenSecrets(t *testing.T) {
	d := newDesk(t, nil)
	guesser := access.Credential{Door: "whip", Peer: netip.MustParseAddr(elsewhere)}
	owner := access.Credential{Door: "whip", Peer: netip.MustParseAddr("198.51.100.1")}
	d.Right(owner, "whip_token")
	var many *access.TooMany
	for _, c := range []access.Credential{guesser, owner} {
		for n := range maxWrong {
			if err := d.Before(c, "whip_token"); err != nil {
				t.Fatalf("%s: refused after %d: %v", c.Peer, n, err)
			}
			if err := d.Wrong(c); errors.As(err, &many) {
				t.Fatalf("%s: refused after %d: %v", c.Peer, n, err)
			}
		}
	}
	if err := d.Before(guesser, "whip_token"); !errors.As(err, &many) || many.Wait > blockedFor || many.Wait < blockedFor-time.Minute {
		t.Errorf("after %d wrong ones: %v", maxWrong, err)
	}
	if err := d.Before(owner, "whip_token"); err != nil {
		t.Errorf("where it was right: %v", err)
	}
	if err := d.Before(owner, "whep_token"); err == nil {
		t.Error("another secret may be compared")
	}
}

func TestNewPassword(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		p := NewPassword()
		if len(p) != 23 || strings.Trim(p, letters+"-") != "" || seen[p] {
			t.Fatalf("made %q", p)
		}
		seen[p] = true
	}
}

func FuzzUsersFile(f *testing.F) {
	for _, text := range []string{
		"ann:$2y$05$1bhNGPbfAs1Lh5PODzHfTO1/l2Nae2JkBzP2iC3NeyF4GgjMsGIVO\n", "a:b", "\ufeff#x\n\n", ":", "a:$2y$05$1bhNGPbfAs1Lh5PODzHfTO1/l2Nae2JkBzP2iC3NeyF4GgjMsGIVO:viewer:a,b",
		"a:$2y$05$1bhNGPbfAs1Lh5PODzHfTO1/l2Nae2JkBzP2iC3NeyF4GgjMsGIVO:root", "a:$2y$05$1bhNGPbfAs1Lh5PODzHfTO1/l2Nae2JkBzP2iC3NeyF4GgjMsGIVO:operator:,",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		users, err := parseFile(text)
		if err != nil {
			if len(users) > 0 {
				t.Error("an error with users")
			}
			return
		}
		for name, u := range users {
			if name != u.name || name == "" || strings.Contains(name, ":") || len(u.streams) == 0 || u.role.Validate() != nil {
				t.Errorf("%q is %+v", name, u)
			}
		}
	})
}

func TestParseFile(t *testing.T) {
	h := hash(t, "x")
	for _, tt := range []struct{ text, want string }{
		{"ann:" + h, "ann admin [*]"},
		{"\ufeff# people\r\n\r\n ann:" + h + ":viewer \r\n", "ann viewer [*]"},
		{"ann:" + h + ":operator:acme/*, b", "ann operator [acme/* b]"},
		{"ann:" + h + ":operator:a:b", "ann operator [a:b]"},
		{"ann:" + h + ":", `line 1 of "ann": the role must be viewer, operator or admin`},
		{"ann:" + h + "::a", `line 1 of "ann": the role must be viewer, operator or admin`},
		{"ann:" + h + ":Admin", `line 1 of "ann": the role must be viewer, operator or admin`},
		{"ann:" + h + ":admin:", `line 1 of "ann": there is no pattern after the last colon`},
		{"ann:" + h + "\nann:" + h, `line 2: "ann" is there twice`},
		{"ann", `line 1 is not "name:bcrypt hash"`},
		{"ann:{SHA}x", `line 1 is not "name:bcrypt hash"`},
		{":" + h, `line 1 is not "name:bcrypt hash"`},
		{"", "holds no user"},
	} {
		users, err := parseFile(tt.text)
		got := fmt.Sprint(err)
		for _, u := range users {
			got = fmt.Sprint(u.name, " ", u.role, " ", u.streams)
		}
		if got != tt.want {
			t.Errorf("%q is %s, want %s", strings.ReplaceAll(tt.text, h, "HASH"), strings.ReplaceAll(got, h, "HASH"), tt.want)
		}
	}
}
