package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"transponder/internal/access"
	"transponder/internal/state"
)

var (
	// ErrNoApp means that there is no such app.
	ErrNoApp = errors.New("there is no such app")
	// ErrAppExists means that the name or the key belongs to another app.
	ErrAppExists = errors.New("an app with this name or key exists already")
	// ErrAppFile means that the app is set in apps_file, and can only be changed there.
	ErrAppFile = errors.New("the app is set in apps_file: change it there")
	// ErrTooManyApps means that there is no room for another app.
	ErrTooManyApps = fmt.Errorf("there are %d apps already", maxApps)
)

const (
	bucket  = "apps"
	maxApps = 1000

	readTimeout = 30 * time.Second
)

// Apps are the apps that there are: those built in, those in the state, and those in apps_file, the later before the earlier. All methods may
// be called from any goroutine.
type Apps struct {
	file   string
	keeper state.Keeper
	sealer state.Sealer
	log    *slog.Logger

	writing sync.Mutex // held while an app is changed, and while Reload reads the file; before mu
	seen    fileStamp  // guarded by writing; of the file when it was read

	mu     sync.RWMutex
	noUser bool            // guarded by mu; apps must not have a username
	stored map[string]*App // guarded by mu; by name; each App is immutable
	filed  map[string]*App // guarded by mu; by name
	byKey  map[string]*App // guarded by mu; all apps
}

// NewApps reads the apps. It fails if apps_file cannot be used. An app in the state that cannot be read is left out, and logged.
func NewApps(ctx context.Context, file string, keeper state.Keeper, sealer state.Sealer, log *slog.Logger) (*Apps, error) {
	a := &Apps{file: file, keeper: keeper, sealer: sealer, log: log, stored: map[string]*App{}}
	// A server that is asked to stop while it starts begins nevertheless, and then stops in order.
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	records, err := keeper.List(reading, bucket, "")
	if err != nil {
		return nil, fmt.Errorf("read the apps: %w", err)
	}
	for _, r := range records {
		app, err := a.decode(r)
		if err != nil {
			log.Error("an app in the state cannot be used", "app", r.Key, "err", err)
			continue
		}
		a.stored[app.Name] = app
	}
	if err := a.Reload(); err != nil {
		return nil, err
	}
	if shared, ok := keeper.(state.Shared); ok {
		shared.Follow(bucket, a.take)
	}
	return a, nil
}

// take takes over apps that another server has changed.
func (a *Apps) take(ctx context.Context, names []string) {
	a.writing.Lock() // a write of this server under way is older or newer, and ends first
	defer a.writing.Unlock()
	for _, name := range names {
		var app *App
		r, err := a.keeper.Get(ctx, bucket, name)
		if err == nil {
			app, err = a.decode(r)
		}
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			a.log.Error("an app that another server has changed cannot be used", "app", name, "err", err)
			continue
		}
		a.mu.Lock()
		if app == nil {
			delete(a.stored, name)
		} else if err = a.checkUser(app); err == nil {
			a.stored[name] = app
		} else {
			a.log.Error("an app that another server has changed cannot be used", "app", name, "err", err)
		}
		a.index()
		a.mu.Unlock()
	}
}

// Reload reads apps_file again. If that fails, the apps stay as they were.
func (a *Apps) Reload() error {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.seen = stamp(a.file) // before it is read, so that no change is overlooked
	filed := map[string]*App{}
	if a.file != "" {
		var err error
		if filed, err = readFile(a.file); err != nil {
			return fmt.Errorf("apps_file: %w", err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, app := range filed {
		if err := a.checkUser(app); err != nil {
			return fmt.Errorf("apps_file: app %s: %w", app.Name, err)
		}
	}
	a.filed = filed
	a.index()
	for _, app := range a.byKey {
		if app.travelsInTheOpen() {
			a.log.Warn("hooks of an app go over plain HTTP to an address that is not private: anybody between can read and change them; use https", "app", app.Key)
		}
	}
	return nil
}

// forbidUsers refuses apps with a username from now on: the hash of each hook takes the header that the username needs. It fails if there is
// one.
func (a *Apps) forbidUsers() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noUser = true
	for _, app := range a.byKey {
		if err := a.checkUser(app); err != nil {
			return fmt.Errorf("app %s: %w", app.Name, err)
		}
	}
	return nil
}

// checkUser refuses an app whose username cannot be sent. The caller holds mu.
func (a *Apps) checkUser(app *App) error {
	if a.noUser && app.Username != "" {
		return &AppError{"username", "with rest_hook_send_hash=true, the hash takes the place of the username in the header Authorization: use one of the two"}
	}
	return nil
}

// watchInterval is how often apps_file is looked at.
const watchInterval = 10 * time.Second

// watch reads apps_file again when it has changed, until ctx ends.
func (a *Apps) watch(ctx context.Context) {
	if a.file == "" {
		return
	}
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		a.writing.Lock()
		same := stamp(a.file) == a.seen
		a.writing.Unlock()
		if same {
			continue
		}
		if err := a.Reload(); err != nil {
			a.log.Error("apps_file has changed and cannot be used: the apps stay as they were", "err", err)
			continue
		}
		a.log.Info("apps_file read again")
	}
}

// fileStamp tells whether a file has changed.
type fileStamp struct {
	changed time.Time
	size    int64
}

func stamp(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.ModTime(), info.Size()}
}

// index makes byKey. The caller holds mu.
func (a *Apps) index() {
	all := map[string]*App{} // by name
	for _, app := range builtIn() {
		all[app.Name] = &app
	}
	maps.Copy(all, a.stored)
	maps.Copy(all, a.filed)
	a.byKey = make(map[string]*App, len(all))
	rank := map[Source]int{BuiltIn: 0, FromState: 1, FromFile: 2}
	for _, app := range all {
		if other := a.byKey[app.Key]; other == nil || rank[app.Source] > rank[other.Source] {
			a.byKey[app.Key] = app
		}
	}
}

// Find returns the app that has a key.
func (a *Apps) Find(key string) (*App, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	app, ok := a.byKey[key]
	return app, ok
}

// ByName returns the app that has a name.
func (a *Apps) ByName(name string) (*App, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byName(name)
}

// byName is ByName for a caller that holds mu.
func (a *Apps) byName(name string) (*App, bool) {
	for _, app := range a.byKey {
		if app.Name == name {
			return app, true
		}
	}
	return nil, false
}

// List returns all apps, by name.
func (a *Apps) List() []*App {
	a.mu.RLock()
	apps := slices.Collect(maps.Values(a.byKey))
	a.mu.RUnlock()
	slices.SortFunc(apps, func(x, y *App) int { return cmp.Compare(x.Name, y.Name) })
	return apps
}

// Limits returns the limits of the app that has a key, for access.Quotas.
func (a *Apps) Limits(key string) access.Limits {
	if app, ok := a.Find(key); ok {
		return app.Limits
	}
	return access.Limits{}
}

// Create adds an app. An app that is built in can be created over.
func (a *Apps) Create(ctx context.Context, app App) (*App, error) {
	return a.write(ctx, app.Name, func(old *App) (App, error) {
		if old != nil && old.Source != BuiltIn {
			return App{}, ErrAppExists
		}
		if app.Methods == nil {
			app.Methods = DefaultMethods()
		}
		return app, nil
	})
}

// Update changes an app. change gets the app as it is and returns what it shall be; its name stays.
func (a *Apps) Update(ctx context.Context, name string, change func(App) (App, error)) (*App, error) {
	return a.write(ctx, name, func(old *App) (App, error) {
		if old == nil {
			return App{}, ErrNoApp
		}
		app := *old
		app.Methods, app.Grants = slices.Clone(old.Methods), slices.Clone(old.Grants)
		return change(app)
	})
}

func (a *Apps) write(ctx context.Context, name string, change func(old *App) (App, error)) (*App, error) {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.mu.RLock()
	old, _ := a.byName(name)
	count := len(a.stored)
	a.mu.RUnlock()
	if old != nil && old.Source == FromFile {
		return nil, ErrAppFile
	}
	app, err := change(old)
	if err != nil {
		return nil, err
	}
	app.Name, app.Source = name, FromState
	a.mu.RLock()
	err = errors.Join(app.Validate(), a.checkUser(&app))
	a.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	if other, taken := a.Find(app.Key); taken && other.Name != name {
		return nil, ErrAppExists
	}
	if count >= maxApps && (old == nil || old.Source == BuiltIn) {
		return nil, ErrTooManyApps
	}
	value, err := a.encode(&app)
	if err != nil {
		return nil, err
	}
	if _, err := a.keeper.Put(ctx, bucket, name, value, state.Any); err != nil {
		return nil, fmt.Errorf("keep the app: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stored[name] = &app
	a.index()
	if app.travelsInTheOpen() {
		a.log.Warn("hooks of an app go over plain HTTP to an address that is not private: anybody between can read and change them; use https", "app", app.Key)
	}
	return &app, nil
}

// Remove removes an app. A built-in app becomes what it was.
func (a *Apps) Remove(ctx context.Context, name string) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.mu.RLock()
	old, _ := a.byName(name)
	a.mu.RUnlock()
	switch {
	case old == nil, old.Source == BuiltIn:
		return ErrNoApp
	case old.Source == FromFile:
		return ErrAppFile
	}
	if err := a.keeper.Delete(ctx, bucket, name, state.Any); err != nil {
		return fmt.Errorf("remove the app: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.stored, name)
	a.index()
	return nil
}

// record is an App in the state.
type record struct {
	Version       int            `json:"v"`
	Name          string         `json:"name"`
	Key           string         `json:"key"`
	URL           string         `json:"url,omitempty"`
	Methods       []Method       `json:"methods"`
	Username      string         `json:"username,omitempty"`
	Password      string         `json:"password,omitempty"` // sealed
	Auth          Policy         `json:"auth,omitempty"`
	OnError       OnError        `json:"onError,omitempty"`
	Grants        []access.Grant `json:"grants"` // null: the default
	Limits        access.Limits  `json:"limits,omitzero"`
	Owner         string         `json:"owner,omitempty"`
	MainClass     string         `json:"mainClass,omitempty"`
	CallbackClass string         `json:"callbackClass,omitempty"`
}

const recordVersion = 1

func (a *Apps) encode(app *App) ([]byte, error) {
	r := record{
		Version: recordVersion, Name: app.Name, Key: app.Key, URL: app.URL, Methods: app.Methods, Username: app.Username, Auth: app.Auth,
		OnError: app.OnError, Grants: app.Grants, Limits: app.Limits, Owner: app.Owner, MainClass: app.MainClass, CallbackClass: app.CallbackClass,
	}
	if app.Password != "" {
		var err error
		if r.Password, err = a.sealer.Seal(sealContext(app.Name), []byte(app.Password)); err != nil {
			return nil, fmt.Errorf("seal the password of the app: %w", err)
		}
	}
	return json.Marshal(r)
}

func (a *Apps) decode(kept state.Record) (*App, error) {
	var r record
	if err := json.Unmarshal(kept.Value, &r); err != nil {
		return nil, err
	}
	app := &App{
		Name: kept.Key, Key: r.Key, URL: r.URL, Methods: r.Methods, Username: r.Username, Auth: r.Auth, OnError: r.OnError, Grants: r.Grants,
		Limits: r.Limits, Owner: r.Owner, MainClass: r.MainClass, CallbackClass: r.CallbackClass, Source: FromState,
	}
	if r.Password != "" {
		password, err := a.sealer.Open(sealContext(kept.Key), r.Password)
		if err != nil {
			return nil, fmt.Errorf("open the password: %w", err)
		}
		app.Password = access.Secret(password)
	}
	return app, app.Validate()
}

func sealContext(name string) string { return "app/" + name }
