package people

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/guard"
	"transponder/internal/state"
)

// Config says where users come from.
type Config struct {
	UsersFile    string        // rest_users_file: lines name:hash:role:patterns; "": none
	Password     access.Secret // admin_password: of the first administrator; "": the server makes one
	PasswordFile string        // admin_password_file: holds Password
	KeepPushes   bool          // rtmp_push_outlives_user: a push goes on when the user who has started it may not push any more
}

// Validate reports values that cannot work. It reads no file.
func (c Config) Validate() error {
	if c.Password != "" && c.PasswordFile != "" {
		return errors.New("admin_password and admin_password_file exclude each other")
	}
	if c.Password != "" {
		if err := checkPassword(firstAdmin, string(c.Password)); err != nil {
			return fmt.Errorf("admin_%w", err) // the error begins with "password: "
		}
	}
	return nil
}

// Parts are what People needs of others.
type Parts struct {
	Keeper   state.Keeper
	Dir      string             // of the state, for the first administrator's password; "": nothing outlives the process
	Terminal bool               // somebody reads what the server prints: the first administrator's password is not written to a file
	Shares   guard.SharesConfig // says which addresses are proxies
	Leases   *access.Leases     // nil: nobody's sessions end with his rights
	Record   func(audit.Line)   // nil: nothing is written down
	// Lost is told when a user has less rights than before, or another password: what he has given to others in his name must go, too. It may be
	// nil.
	Lost func(ctx context.Context, l Loss)
}

// Loss is a user who has lost rights, or got another password.
type Loss struct {
	Name      string
	Removed   bool // he is no user any more
	Elsewhere bool // another server has changed him: it takes back his tokens and keys, and this one ends what he has begun here
}

// People has the users and their sessions. All methods may be called from any goroutine.
type People struct {
	cfg     Config
	parts   Parts
	log     *slog.Logger
	shared  state.Shared // the Keeper, if several servers have their users in common; nil: this server is alone
	key     [32]byte     // of the hashes in known
	guesses *guesses
	users   *state.Bucket[userRecord]
	open    *state.Bucket[sessionRecord]
	visits  *state.Bucket[visitRecord]

	changing chan struct{} // holds a token while a user is changed: whether he is the last administrator must stay true meanwhile

	mu       sync.Mutex
	kept     map[string]*user             // guarded by mu; of the state
	listed   map[string]*user             // guarded by mu; of the file
	known    map[string][sha256.Size]byte // guarded by mu; the last right password of each user, as a keyed hash, since bcrypt is slow
	last     map[string]visitRecord       // guarded by mu; the last login of each user
	sessions map[string]*session          // guarded by mu; by the hash of the secret
	first    string                       // guarded by mu; the first administrator's password, until somebody reads it

	losses []Loss          // guarded by mu; that Lost was not told of
	owed   map[string]bool // guarded by mu; keys of sessions that have ended, and that the other servers still have

	telling sync.Mutex // held while Lost is told; taken before mu

	counts struct{ right, wrong, tooMany atomic.Int64 } // of passwords that were checked

	watched fileState // owned by Run, and by New before
	founded bool      // owned by Run, and by New before; makeFirst has run

	resetWaits bool // owned by Run, and by New before; a new password of an administrator cannot be taken up yet

	wake chan struct{} // holds a token while Run has something to do
}

// New reads the users. If there are none, it makes the first administrator. It fails if the file of users cannot be read.
func New(ctx context.Context, cfg Config, parts Parts, log *slog.Logger) (*People, error) {
	p := &People{
		cfg: cfg, parts: parts, log: log, guesses: newGuesses(parts.Shares), changing: make(chan struct{}, 1),
		wake:  make(chan struct{}, 1),
		users: state.NewBucket[userRecord](parts.Keeper, "users", 1), open: state.NewBucket[sessionRecord](parts.Keeper, "sessions", 1),
		visits: state.NewBucket[visitRecord](parts.Keeper, "visits", 1),
		known:  map[string][sha256.Size]byte{}, last: map[string]visitRecord{}, sessions: map[string]*session{}, owed: map[string]bool{},
	}
	p.shared, _ = parts.Keeper.(state.Shared)
	_, _ = rand.Read(p.key[:]) // never fails
	if parts.Leases != nil {
		parts.Leases.AddCheck(p.stillHas)
	}
	p.watched = stateOf(cfg.UsersFile)
	if err := p.readFile(); err != nil {
		return nil, err
	}
	all := p.readState(ctx)
	p.takeReset(ctx)
	p.followOthers()
	if !all {
		return p, nil // there are users, though none may be left whose record can be read
	}
	if p.shared != nil && !isClosed(p.shared.Known()) {
		_, err := p.preset()
		return p, err // Run makes him, if the other servers have no users
	}
	if err := p.makeFirst(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Reload reads the file of users again. If that fails, the users stay as they were. Run then looks for the rest at once.
func (p *People) Reload() error {
	defer p.rouse()
	return p.readFile()
}

// rouse makes Run look around.
func (p *People) rouse() {
	select {
	case p.wake <- struct{}{}:
	default: // it will
	}
}

// readFile reads the file of users, if the settings name one.
func (p *People) readFile() error {
	if p.cfg.UsersFile == "" {
		return nil
	}
	text, err := os.ReadFile(p.cfg.UsersFile)
	if err != nil {
		return fmt.Errorf("read rest_users_file: %w", err)
	}
	users, err := parseFile(string(text))
	if err != nil {
		return fmt.Errorf("rest_users_file %s: %w", p.cfg.UsersFile, err)
	}
	if info, err := os.Stat(p.cfg.UsersFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		p.log.Warn("everybody on this machine can read the hashes of the passwords: chmod 600", "file", p.cfg.UsersFile)
	}
	p.mu.Lock()
	before := p.listed
	p.listed = users
	p.mu.Unlock()
	for name, old := range before {
		if now := p.find(name); now == nil || !old.sameRights(now) {
			p.lost(Loss{Name: name, Removed: now == nil})
		}
	}
	return nil
}

// sameRights says whether a user has the password and the rights that he had.
func (u *user) sameRights(now *user) bool {
	return string(u.hash) == string(now.hash) && u.role == now.role && slices.Equal(u.streams, now.streams)
}

// lost ends what a user has begun, after he has lost rights or got another password.
func (p *People) lost(l Loss) {
	name := l.Name
	p.mu.Lock()
	delete(p.known, name)
	p.mu.Unlock()
	if p.parts.Leases != nil {
		p.parts.Leases.End(func(who *access.Principal) bool {
			return who != nil && who.Kind == access.User && who.Subject == name
		}, access.ErrRevoked)
	}
	p.mu.Lock()
	p.losses = append(p.losses, l)
	p.mu.Unlock()
	p.rouse()
}

// stillHas returns access.ErrRevoked for a user who has lost rights, or his session, since he was identified.
func (p *People) stillHas(who *access.Principal) error {
	if who == nil || who.Kind != access.User {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.lookup(who.Subject)
	if u == nil || !reflect.DeepEqual(who.Grants, u.role.Grants(u.streams)) {
		return access.ErrRevoked
	}
	if who.ID == "" {
		return nil
	}
	for _, s := range p.sessions {
		if s.id() == who.ID && s.user == who.Subject {
			return nil
		}
	}
	return access.ErrRevoked
}

// tellLosses tells Parts.Lost who has lost rights. When it returns, Lost has returned for every loss before the call, whoever told of it.
func (p *People) tellLosses(ctx context.Context) {
	p.telling.Lock()
	defer p.telling.Unlock()
	p.mu.Lock()
	losses := p.losses
	p.losses = nil
	p.mu.Unlock()
	if p.parts.Lost == nil {
		return
	}
	for _, l := range losses {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		p.parts.Lost(limit, l)
		cancel()
	}
}

// find returns a user; nil: there is no such user.
func (p *People) find(name string) *user {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lookup(name)
}

// lookup is find for callers that hold mu.
func (p *People) lookup(name string) *user {
	if u := p.listed[name]; u != nil {
		return u
	}
	return p.kept[name]
}

// decoy returns a hash to compare with for a name that no user has. It costs what the hashes of the users cost. The caller holds mu.
func (p *People) decoy() []byte {
	for _, users := range []map[string]*user{p.listed, p.kept} {
		for _, u := range users {
			return u.hash
		}
	}
	return decoy
}

// Login returns the principal whose name and password a credential has. This takes a while the first time.
func (p *People) Login(ctx context.Context, c access.Credential) (*access.Principal, error) {
	u, known, err := p.check(ctx, c)
	if err != nil {
		return nil, err
	}
	if !known { // programs send their password with every request
		p.record(c, u, audit.Line{Do: "login", OK: true})
	}
	return u.principal(""), nil
}

// check finds the user of a name and a password. known says that the password was not checked, because it was right before. The error is a
// *access.BadCredential or a *access.TooMany.
func (p *People) check(ctx context.Context, c access.Credential) (_ *user, known bool, _ error) {
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write([]byte(c.Password))
	sum := [sha256.Size]byte(mac.Sum(nil))
	p.mu.Lock()
	u := p.lookup(c.Name)
	last, used := p.known[c.Name]
	visit := p.last[c.Name]
	hash := p.decoy()
	p.mu.Unlock()
	if u != nil {
		hash = u.hash
		if used && hmac.Equal(last[:], sum[:]) {
			if time.Since(visit.at()) > visitTime {
				p.visited(ctx, u, c)
			}
			return u, true, nil
		}
	}
	name := accountName(c.Name)
	ok, wait := p.guesses.try(ctx, c.Peer, name, name+"\x00"+string(sum[:]), func() bool {
		return isRight(hash, c.Password) && u != nil
	})
	switch {
	case wait > 0:
		p.counts.tooMany.Add(1)
		p.record(c, u, audit.Line{Do: "login", Why: "too many tries"})
		return nil, false, &access.TooMany{Wait: wait}
	case !ok:
		p.counts.wrong.Add(1)
		p.record(c, u, audit.Line{Do: "login", Why: "wrong name or password"})
		return nil, false, &access.BadCredential{}
	}
	p.mu.Lock()
	if p.lookup(c.Name) == u { // otherwise he was changed meanwhile
		p.known[c.Name] = sum
	}
	p.mu.Unlock()
	p.counts.right.Add(1)
	p.visited(ctx, u, c)
	return u, false, nil
}

// accountName returns the name by which tries are counted. Clients send names of any length, and many names are remembered.
func accountName(name string) string {
	if len(name) <= maxPattern {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return secretAccount + "long " + string(sum[:])
}

// Wrong counts a credential that proved nothing and is no password, such as a token. Passwords of the address are checked as before. The error is a *access.TooMany if the address of the
// client has had too many of them, otherwise a *access.BadCredential. Call it only after a wrong credential: nobody can guess a token, so the
// owner of a right one never waits.
func (p *People) Wrong(c access.Credential) error {
	wait := p.guesses.wrong(c.Peer)
	p.record(c, nil, audit.Line{Do: "token", Why: "wrong token"})
	if wait > 0 {
		return &access.TooMany{Wait: wait}
	}
	return &access.BadCredential{}
}

// Before says whether a secret may be compared that people have chosen, and could guess, such as whip_token. account names the secret. The error
// is a *access.TooMany if too many wrong credentials have come from the address, unless the secret was right from there before.
func (p *People) Before(c access.Credential, account string) error {
	if wait := p.guesses.before(c.Peer, secretAccount+account); wait > 0 {
		return &access.TooMany{Wait: wait}
	}
	return nil
}

// Right notes that such a secret was right.
func (p *People) Right(c access.Credential, account string) {
	p.guesses.visit(secretAccount+account, block(c.Peer), time.Now())
}

// secretAccount begins the names of secrets among the names of users.
const secretAccount = "\x00"

// record writes a line of the audit log. u is the user that the line is about; nil: nobody that we know. The names of unknown users are not
// written down: people type passwords where the name belongs.
func (p *People) record(c access.Credential, u *user, line audit.Line) {
	if p.parts.Record == nil {
		return
	}
	line.At, line.Via, line.Origin = time.Now(), c.Door, c.Origin
	line.Who = audit.Who{Kind: string(access.Anonymous)}
	if c.Peer.IsValid() {
		line.From = c.Peer.String()
	}
	if u != nil && line.OK {
		line.Who = audit.Who{Kind: string(access.User), Subject: u.name}
	} else if u != nil {
		line.Object = u.name // somebody pretends to be him
	}
	p.parts.Record(line)
}

// Stats are figures of users and their logins.
type Stats struct {
	Users                 map[access.Role]int
	Sessions              int
	Right, Wrong, TooMany int64 // passwords that were checked, and those that were not because there were too many
}

// Stats returns the figures.
func (p *People) Stats() Stats {
	st := Stats{
		Users:    map[access.Role]int{access.Viewer: 0, access.Operator: 0, access.Administrator: 0},
		Sessions: len(p.Sessions()), Right: p.counts.right.Load(), Wrong: p.counts.wrong.Load(), TooMany: p.counts.tooMany.Load(),
	}
	for _, u := range p.Users() {
		st.Users[u.Role]++
	}
	return st
}

// Users returns all users by name.
func (p *People) Users() []User {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []User
	for _, users := range []map[string]*user{p.listed, p.kept} {
		for name, u := range users {
			if p.lookup(name) == u {
				list = append(list, p.describe(u))
			}
		}
	}
	slices.SortFunc(list, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// describe returns what others may know of a user. The caller holds mu.
func (p *People) describe(u *user) User {
	return User{Name: u.name, Role: u.role, Streams: u.streams, Source: u.source, Created: u.created, LastLogin: p.last[u.name].at()}
}

// User returns a user, or ErrNoUser.
func (p *People) User(name string) (User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.lookup(name)
	if u == nil {
		return User{}, ErrNoUser
	}
	return p.describe(u), nil
}

// NewUser is a user that is to be made.
type NewUser struct {
	Name     string
	Password string // "": one is made
	Role     access.Role
	Streams  []string // nil: all
}

// Create makes a user. password is the one that was made for him, "" if he was given one.
func (p *People) Create(ctx context.Context, n NewUser) (_ User, password string, err error) {
	if n.Streams == nil {
		n.Streams = []string{"*"}
	}
	if n.Password == "" {
		n.Password = NewPassword()
		password = n.Password
	}
	if err := checkName(n.Name); err != nil {
		return User{}, "", err
	}
	for _, err := range []error{checkPassword(n.Name, n.Password), checkRole(n.Role), checkStreams(n.Streams)} {
		if err != nil {
			return User{}, "", err
		}
	}
	hash, err := hashOf(n.Password, password != "")
	if err != nil {
		return User{}, "", fmt.Errorf("hash the password: %w", err)
	}
	u := &user{name: n.Name, hash: hash, role: n.Role, streams: n.Streams, source: FromState, created: time.Now()}
	err = p.change(ctx, func() error {
		p.mu.Lock()
		exists, many := p.lookup(n.Name) != nil, len(p.kept) >= maxUsers
		p.mu.Unlock()
		switch {
		case exists:
			return ErrUserExists
		case many:
			return ErrTooManyUsers
		}
		err := p.keep(ctx, u)
		if errors.Is(err, state.ErrConflict) {
			return ErrUserExists // another server has just made him
		}
		return err
	})
	if err != nil {
		return User{}, "", err
	}
	described, err := p.User(n.Name)
	return described, password, err
}

// Change is what is to be changed of a user. nil: it stays.
type Change struct {
	Password *string
	Role     *access.Role
	Streams  []string
}

// Update changes a user of the state. If anything has changed, his sessions at the doors end: he begins them again with the rights that he has
// now. His pushes go on if he may still push their streams.
func (p *People) Update(ctx context.Context, name string, c Change) (User, error) {
	if err := c.check(name); err != nil {
		return User{}, err
	}
	var hash []byte
	if c.Password != nil {
		var err error
		if hash, err = hashOf(*c.Password, false); err != nil {
			return User{}, fmt.Errorf("hash the password: %w", err)
		}
	}
	err := p.change(ctx, func() error {
		u, err := p.ours(name)
		if err != nil {
			return err
		}
		next := *u
		if hash != nil {
			next.hash = hash
		}
		if c.Role != nil {
			next.role = *c.Role
		}
		if c.Streams != nil {
			next.streams = c.Streams
		}
		if u.isWhole() && !next.isWhole() && !p.hasAdminBeside(name) {
			return ErrLastAdmin
		}
		if u.sameRights(&next) {
			return nil
		}
		if err := p.keepChanged(ctx, &next); err != nil {
			return err
		}
		if hash != nil {
			p.endSessions(ctx, func(s *session) bool { return s.user == name })
			p.forgetInitial(name)
		}
		p.lost(Loss{Name: name})
		return nil
	})
	if err != nil {
		return User{}, err
	}
	return p.User(name)
}

// ChangePassword gives a user another password, if the credential has his name and his present password. Wrong ones count as tries to log in. All
// his sessions end, as in Update.
func (p *People) ChangePassword(ctx context.Context, c access.Credential, password string) error {
	if err := checkPassword(c.Name, password); err != nil {
		return &RequestError{"newPassword", strings.TrimPrefix(err.Error(), "password: ")}
	}
	if c.Password == password {
		return &RequestError{"newPassword", "it is the present password"}
	}
	if _, _, err := p.check(ctx, c); err != nil {
		return err
	}
	_, err := p.Update(ctx, c.Name, Change{Password: &password})
	return err
}

func (c Change) check(name string) error {
	if c.Password != nil {
		if err := checkPassword(name, *c.Password); err != nil {
			return err
		}
	}
	if c.Role != nil {
		if err := checkRole(*c.Role); err != nil {
			return err
		}
	}
	return checkStreams(c.Streams)
}

// Remove removes a user of the state, and ends what he has begun.
func (p *People) Remove(ctx context.Context, name string) error {
	return p.change(ctx, func() error {
		u, err := p.ours(name)
		if err != nil {
			return err
		}
		if u.isWhole() && !p.hasAdminBeside(name) {
			return ErrLastAdmin
		}
		if err := p.users.Delete(ctx, name, state.Any); err != nil {
			return fmt.Errorf("remove user: %w", err)
		}
		p.mu.Lock()
		delete(p.kept, name)
		delete(p.last, name)
		p.mu.Unlock()
		p.guesses.forgetUser(name)
		if err := p.visits.Delete(ctx, name, state.Any); err != nil {
			p.log.Warn("the last login of a removed user stays in the state", "err", err)
		}
		p.endSessions(ctx, func(s *session) bool { return s.user == name })
		p.forgetInitial(name)
		p.lost(Loss{Name: name, Removed: true})
		return nil
	})
}

// ours returns a user that the state has.
func (p *People) ours(name string) (*user, error) {
	u := p.find(name)
	switch {
	case u == nil:
		return nil, ErrNoUser
	case u.source == FromFile:
		return nil, ErrInFile
	}
	return u, nil
}

// hasAdminBeside says whether somebody besides the user may do everything.
func (p *People) hasAdminBeside(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, users := range []map[string]*user{p.listed, p.kept} {
		for other, u := range users {
			if other != name && p.lookup(other) == u && u.isWhole() {
				return true
			}
		}
	}
	return false
}

// change runs f while nobody else changes users.
func (p *People) change(ctx context.Context, f func() error) error {
	select {
	case p.changing <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := f()
	<-p.changing
	p.tellLosses(ctx)
	return err
}

// keep writes a user into the state. The caller is within change.
func (p *People) keep(ctx context.Context, u *user) error {
	expect := uint64(state.Any)
	if p.shared != nil {
		expect = u.revision // other servers change users, too
	}
	revision, err := p.users.Put(ctx, u.name, recordOf(u), expect)
	if err != nil {
		return fmt.Errorf("write user: %w", err)
	}
	u.revision = revision
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.kept[u.name]; p.shared == nil || now == nil || now.revision < revision {
		p.kept[u.name] = u
		delete(p.known, u.name)
	}
	return nil
}

// keepChanged is keep for a user who is there already. It fails with ErrChanged if another server was faster.
func (p *People) keepChanged(ctx context.Context, u *user) error {
	err := p.keep(ctx, u)
	if errors.Is(err, state.ErrConflict) {
		p.takeUser(ctx, u.name)
		return ErrChanged
	}
	return err
}

// readState reads users, logins and sessions from the state. It says whether it could read all users.
func (p *People) readState(ctx context.Context) bool {
	users, err := p.users.List(ctx, "")
	if err != nil {
		p.log.Error("not all users could be read", "read", len(users), "err", err)
	}
	kept := make(map[string]*user, len(users))
	for _, r := range users {
		kept[r.Key] = r.Value.user(r.Key, r.Revision)
	}
	visits, bad := p.visits.List(ctx, "")
	if bad != nil {
		p.log.Warn("not all logins could be read", "read", len(visits), "err", bad)
	}
	p.mu.Lock()
	p.kept = kept
	for _, v := range visits {
		p.last[v.Key] = v.Value
	}
	p.mu.Unlock()
	for _, v := range visits {
		p.guesses.recall(v.Key, v.Value.places())
	}
	p.readSessions(ctx)
	return err == nil
}

// fileState tells whether a file has changed.
type fileState struct {
	size int64
	at   time.Time
}

func stateOf(file string) fileState {
	info, err := os.Stat(file)
	if file == "" || err != nil {
		return fileState{}
	}
	return fileState{info.Size(), info.ModTime()}
}

// watchTime is how often Run looks for changes.
const watchTime = 10 * time.Second

// writeTimeout is how long a write to the state may take that no request waits for.
const writeTimeout = 5 * time.Second

// Run reads the file of users again when it has changed, takes up a new password that the operator has left, and ends sessions that nobody
// uses, until ctx ends.
func (p *People) Run(ctx context.Context) error {
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	var known <-chan struct{} // nil: nothing is to be done when the users are known
	if p.shared != nil && !p.founded {
		known = p.shared.Known()
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-known:
			known = nil
			p.parts.Terminal = false // what the server prints at its start was printed
			if err := p.makeFirst(ctx); err != nil {
				p.log.Error("the first administrator could not be made", "err", err)
			}
		case <-p.wake:
			p.tellLosses(ctx)
			p.takeReset(ctx)
			p.payOwed(ctx)
		case <-tick.C:
			p.watch()
			p.takeReset(ctx)
			p.sweep(ctx)
			p.payOwed(ctx)
		}
	}
}

// watch reads the file of users again if it has changed.
func (p *People) watch() {
	now := stateOf(p.cfg.UsersFile)
	if now == p.watched {
		return
	}
	p.watched = now
	if err := p.readFile(); err != nil {
		p.log.Error("the users stay as they were", "err", err)
		return
	}
	p.log.Info("users read again", "file", p.cfg.UsersFile)
}

// isGone says whether a file does not exist.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
