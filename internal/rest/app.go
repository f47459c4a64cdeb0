package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/hook"
)

// Apps keeps the applications. hook.Apps is one.
type Apps interface {
	List() []*hook.App
	ByName(name string) (*hook.App, bool)
	Find(key string) (*hook.App, bool)
	Create(ctx context.Context, app hook.App) (*hook.App, error)
	Update(ctx context.Context, name string, change func(hook.App) (hook.App, error)) (*hook.App, error)
	Remove(ctx context.Context, name string) error
}

// appRoutes serves the methods of applications.
func (s *Server) appRoutes() {
	if s.parts.Apps == nil {
		return
	}
	s.list("/app/find_all", access.Admin, s.findAllApps, http.MethodGet, http.MethodPost)
	s.list("/app/find", access.Admin, s.findApp, http.MethodPost)
	s.method("/app/create", access.Admin, s.createApp, http.MethodPost)
	s.method("/app/update", access.Admin, s.updateApp, http.MethodPost)
	s.method("/app/remove", access.Admin, s.removeApp, http.MethodPost)
	s.list("/app/methods", access.Admin, s.appMethods, http.MethodGet, http.MethodPost)
}

// appBody is an application in answers. The password never comes back.
type appBody struct {
	Name          string         `json:"name"`
	Key           string         `json:"key"`
	URL           string         `json:"url"`
	Methods       []hook.Method  `json:"methods"`
	Username      string         `json:"username"`
	PasswordSet   bool           `json:"passwordSet"`
	Auth          hook.Policy    `json:"auth"`
	OnError       hook.OnError   `json:"onError,omitempty"`
	Grants        []access.Grant `json:"grants"`
	Limits        access.Limits  `json:"limits"`
	Owner         string         `json:"owner,omitempty"`
	MainClass     string         `json:"mainClass,omitempty"`
	CallbackClass string         `json:"callbackClass,omitempty"`
	Source        hook.Source    `json:"source"`
}

func newAppBody(a *hook.App) appBody {
	return appBody{
		Name: a.Name, Key: a.Key, URL: a.URL, Methods: append([]hook.Method{}, a.Methods...), Username: a.Username,
		PasswordSet: a.Password != "", Auth: a.Policy(), OnError: a.OnError, Grants: append([]access.Grant{}, a.GrantsOfHook()...),
		Limits: a.Limits, Owner: a.Owner, MainClass: a.MainClass, CallbackClass: a.CallbackClass, Source: a.Source,
	}
}

func (s *Server) findAllApps(context.Context, *fields) (any, error) {
	bodies := []appBody{}
	for _, a := range s.parts.Apps.List() {
		bodies = append(bodies, newAppBody(a))
	}
	return bodies, nil
}

// findApp finds an application by its name, by its key, or by both.
func (s *Server) findApp(_ context.Context, f *fields) (any, error) {
	name, key := f.text("name"), f.text("key")
	if f.err != nil {
		return nil, f.err
	}
	bodies := []appBody{}
	for _, a := range s.parts.Apps.List() {
		if (name == "" || a.Name == name) && (key == "" || a.Key == key) {
			bodies = append(bodies, newAppBody(a))
		}
	}
	if len(bodies) == 0 {
		return nil, errNoApp
	}
	return bodies, nil
}

func (s *Server) createApp(ctx context.Context, f *fields) (any, error) {
	app := hook.App{Name: f.required("name")}
	note(ctx, func(l *audit.Line) { l.Object = app.Name })
	app, err := f.changeApp(app)
	if err != nil {
		return nil, err
	}
	if app.Key == "" {
		app.Key = app.Name
	}
	made, err := s.parts.Apps.Create(ctx, app)
	if err != nil {
		return nil, appError(err)
	}
	return newAppBody(made), nil
}

func (s *Server) updateApp(ctx context.Context, f *fields) (any, error) {
	name := f.required("name")
	note(ctx, func(l *audit.Line) { l.Object = name })
	if f.err != nil {
		return nil, f.err
	}
	made, err := s.parts.Apps.Update(ctx, name, f.changeApp)
	if err != nil {
		return nil, appError(err)
	}
	return newAppBody(made), nil
}

func (s *Server) removeApp(ctx context.Context, f *fields) (any, error) {
	name := f.required("name")
	note(ctx, func(l *audit.Line) { l.Object = name })
	if f.err != nil {
		return nil, f.err
	}
	return nil, appError(s.parts.Apps.Remove(ctx, name))
}

var errNoApp = refusal{http.StatusNotFound, "App not found"}

// appError gives the errors of Apps the status of their answer.
func appError(err error) error {
	bad, isBad := errors.AsType[*hook.AppError](err)
	switch {
	case isBad:
		return refusal{http.StatusBadRequest, bad.Error()}
	case errors.Is(err, hook.ErrNoApp):
		return errNoApp
	case errors.Is(err, hook.ErrAppExists), errors.Is(err, hook.ErrAppFile):
		return refusal{http.StatusConflict, err.Error()}
	case errors.Is(err, hook.ErrTooManyApps):
		return refusal{http.StatusServiceUnavailable, err.Error()}
	}
	return err
}

// methodsBody is the answer to /app/methods.
type methodsBody struct {
	Methods []hook.Method `json:"methods"`
	Default []hook.Method `json:"default"`
}

func (s *Server) appMethods(context.Context, *fields) (any, error) {
	return methodsBody{hook.Methods, hook.DefaultMethods()}, nil
}

// changeApp returns the app with the members that the request has. Other than elsewhere, an empty string is not the same as an absent member:
// it removes what was set.
func (f *fields) changeApp(app hook.App) (hook.App, error) {
	before := app
	for name, to := range map[string]*string{
		"key": &app.Key, "url": &app.URL, "username": &app.Username, "password": (*string)(&app.Password), "auth": (*string)(&app.Auth),
		"onError": (*string)(&app.OnError), "owner": &app.Owner, "mainClass": &app.MainClass, "callbackClass": &app.CallbackClass,
	} {
		if f.has(name) {
			*to = f.text(name)
		}
	}
	if app.Key == "" {
		app.Key = before.Key
	}
	if f.has("methods") {
		app.Methods = []hook.Method{}
		for _, m := range f.texts("methods") {
			if m := hook.Method(m); !slices.Contains(app.Methods, m) {
				app.Methods = append(app.Methods, m)
			}
		}
	}
	decode(f, "grants", &app.Grants)
	decode(f, "limits", &app.Limits)
	f.take("passwordSet") // an app that was read may be sent back
	f.take("source")
	if app.Username == "" && app.Password == before.Password {
		app.Password = "" // there is no user any more that it belongs to
	}
	return app, f.err
}

// has says whether the request has a field that is not null.
func (f *fields) has(name string) bool {
	v, ok := f.raw[name]
	return ok && string(v) != "null"
}
