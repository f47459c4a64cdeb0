package hook

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"transponder/internal/access"
)

// The apps that clients name by default.
const (
	DefaultApp     = "defaultApp"        // of the Web SDK, WHIP and WHEP
	RTMPApp        = "flashStreamingApp" // of RTMP clients
	RoomApp        = "roomApp"           // of pages with the SDK's rooms
	ClickToCallApp = "clickToCallApp"
)

// Policy says what the clients of an app need.
type Policy string

const (
	PolicyOpen  Policy = "open"       // what the mode of access demands; the backend is asked too, if there is one
	PolicyToken Policy = "token"      // a valid credential
	PolicyHook  Policy = "hook"       // the yes of the backend
	PolicyBoth  Policy = "token+hook" // both
)

// App is one application: which backend is asked for the clients that name it, and what they may do.
type App struct {
	Name string // for the operator
	Key  string // what clients send as appKey

	URL      string   // of the backend; "": there is none
	Methods  []Method // the hooks that are sent
	Username string   // HTTP Basic for the backend
	Password access.Secret

	Auth    Policy         // "": PolicyHook with a URL, otherwise PolicyOpen
	OnError OnError        // "": as the settings say
	Grants  []access.Grant // of a client whom the backend has admitted; nil: defaultGrants
	Limits  access.Limits  // of all clients together

	Owner, MainClass, CallbackClass string // kept for scripts that set them; nothing here uses them

	Source Source
}

// Source says where an app comes from.
type Source string

const (
	BuiltIn   Source = "built in"
	FromState Source = "state"
	FromFile  Source = "file" // apps_file
)

// builtIn are the apps that exist without being made.
func builtIn() []App {
	var apps []App
	for _, name := range []string{DefaultApp, RTMPApp, RoomApp, ClickToCallApp} {
		apps = append(apps, App{Name: name, Key: name, Methods: DefaultMethods(), Source: BuiltIn})
	}
	return apps
}

// defaultGrants are what a client may do whom a backend has admitted, unless the app says otherwise: publish and play everything, and push to
// every public address. Destinations are not among them, since an administrator wrote them: the backend names one in its answer.
var defaultGrants = []access.Grant{
	{Actions: []access.Action{access.Publish, access.Play}, Streams: []string{"*"}},
	{Actions: []access.Action{access.Push}, Streams: []string{"*"}, URLs: []string{"*"}},
}

// Policy returns what the clients of the app need.
func (a *App) Policy() Policy {
	switch {
	case a.Auth != "":
		return a.Auth
	case a.URL != "":
		return PolicyHook
	}
	return PolicyOpen
}

// GrantsOfHook returns what a client may do whom the backend has admitted.
func (a *App) GrantsOfHook() []access.Grant {
	if a.Grants == nil {
		return defaultGrants
	}
	return a.Grants
}

// Sends says whether a hook is sent.
func (a *App) Sends(m Method) bool { return a.URL != "" && slices.Contains(a.Methods, m) }

// LogValue keeps the URL, which may hold secrets, out of logs.
func (a *App) LogValue() slog.Value { return slog.StringValue(a.Key) }

var (
	nameShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	keyShape  = regexp.MustCompile(`^[!-~]{1,128}$`)
)

// AppError means that an app cannot be as it is asked for. Field is the member of the request.
type AppError struct{ Field, Reason string }

// Error is the text for the operator.
func (e *AppError) Error() string { return e.Field + ": " + e.Reason }

const maxURL = 2048

// Validate reports what cannot work in an app. It does not repeat the URL, which may hold a password.
func (a *App) Validate() error {
	var errs []error
	fault := func(field, format string, args ...any) {
		errs = append(errs, &AppError{field, fmt.Sprintf(format, args...)})
	}
	if !nameShape.MatchString(a.Name) {
		fault("name", "it must have 1 to 64 letters, digits, dots, dashes and underscores, and begin with a letter or a digit")
	}
	if !keyShape.MatchString(a.Key) {
		fault("key", "it must have 1 to 128 ASCII characters without spaces")
	}
	if a.URL != "" {
		u, err := url.Parse(a.URL)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(a.URL) > maxURL:
			fault("url", "it must look like https://server/path")
		case u.User != nil:
			fault("url", "it must not hold a user and a password: give username and password")
		case u.RawQuery != "" || u.Fragment != "":
			fault("url", "it must not have a query: the name of the method is added to the path")
		}
	}
	for _, m := range a.Methods {
		if !slices.Contains(Methods, m) && !slices.Contains(unsent, m) {
			fault("methods", "there is no method %q; there are %s", short(string(m)), join(Methods))
		}
	}
	switch a.Auth {
	case "", PolicyOpen, PolicyToken:
	case PolicyHook, PolicyBoth:
		if a.URL == "" {
			fault("auth", "%s needs a url", a.Auth)
		}
	default:
		fault("auth", "it must be open, token, hook or token+hook, not %q", short(string(a.Auth)))
	}
	if a.OnError != "" && a.OnError != Log && a.OnError != Fail {
		fault("onError", "it must be LOG or FAIL, not %q", short(string(a.OnError)))
	}
	if strings.Contains(a.Username, ":") {
		fault("username", "it must not contain a colon")
	}
	if a.Username == "" && a.Password != "" {
		fault("password", "there is no username for it")
	}
	for _, g := range a.Grants {
		if err := g.Validate(); err != nil {
			fault("grants", "%v", err)
		}
		for _, action := range g.Actions {
			if action == access.Admin {
				fault("grants", "a backend cannot make administrators")
			}
		}
	}
	if l := a.Limits; l.Publishers < 0 || l.Players < 0 || l.Pushes < 0 || l.BitrateKbps < 0 {
		fault("limits", "a limit cannot be below 0")
	}
	for _, text := range []string{a.Username, string(a.Password), a.Owner, a.MainClass, a.CallbackClass} {
		if len(text) > 256 {
			fault("app", "a text is longer than 256 bytes")
			break
		}
	}
	return errors.Join(errs...)
}

// travelsInTheOpen says whether hooks go unencrypted over networks that others may see.
func (a *App) travelsInTheOpen() bool {
	u, err := url.Parse(a.URL)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast()
	}
	return host != "localhost" && strings.Contains(host, ".") && !strings.HasSuffix(host, ".local") && !strings.HasSuffix(host, ".internal")
}

func join(methods []Method) string {
	words := make([]string, len(methods))
	for i, m := range methods {
		words[i] = string(m)
	}
	return strings.Join(words, ", ")
}

// short cuts texts that others sent, so that they do not fill logs and answers.
func short(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
