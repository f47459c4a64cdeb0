package access

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Kind says how a principal has shown who he is.
type Kind string

const (
	Local       Kind = "local"       // he is on this machine, and no page and no proxy stands between
	User        Kind = "user"        // a name and a password, or the session of a page after it
	Token       Kind = "token"       // a JWT
	Key         Kind = "key"         // a stored key, tpk_…
	Certificate Kind = "certificate" // a client certificate
	Hook        Kind = "hook"        // an application backend has admitted him
	Setting     Kind = "setting"     // whip_token, whep_token, or disable_rest_auth=true in the settings
	Anonymous   Kind = "anonymous"   // he has shown nothing
)

// Action is what a principal wants to do. Control includes Read. Admin includes all others.
type Action string

const (
	Publish Action = "publish" // begin a stream
	Play    Action = "play"    // receive a stream, ask whether there is one, take a snapshot
	Push    Action = "push"    // start a push; mute it, play a file in it and end it, if the principal has started it
	Read    Action = "read"    // lists, events, history, metrics, without secrets
	Control Action = "control" // end and change what others have begun
	Admin   Action = "admin"   // users, keys, destinations, apps, the audit log, and lists with their secrets
)

// Actions are all actions.
var Actions = []Action{Publish, Play, Push, Read, Control, Admin}

// Grant allows actions on streams. A list that is empty allows nothing; a pattern * allows all.
type Grant struct {
	Actions []Action `json:"actions"`
	Streams []string `json:"streams,omitempty"` // patterns of names
	// For Push: names of destinations, and patterns of normalized URLs. Push without both allows nothing.
	Destinations []string `json:"destinations,omitempty"`
	URLs         []string `json:"urls,omitempty"`
	// Replace lets the principal take over a name from a live publisher of the same principal.
	Replace bool `json:"replace,omitempty"`
}

// Limits is how much one principal may have at a time. 0: no limit.
type Limits struct {
	Publishers  int `json:"publishers,omitempty"`
	Players     int `json:"players,omitempty"`
	Pushes      int `json:"pushes,omitempty"`
	BitrateKbps int `json:"bitrateKbps,omitempty"` // of one publisher
}

// Principal is somebody who may do what his grants say. It is immutable after it was made. A nil Principal is anonymous and has no grants.
type Principal struct {
	Kind    Kind
	Subject string // the name of the user, the sub of the token, the owner of the key; "": none
	App     string // the application that he belongs to; "": none
	ID      string // jti of the token, id of the key; "": none
	KeyID   string // kid of the key that signed the token
	Issued  time.Time
	Expires time.Time // the credential begins nothing after that; zero: it always does
	Until   time.Time // his sessions end then; zero: never
	Grants  []Grant
	Limits  Limits
	Makers  []Maker // who has made the credential, the first of a chain first; none: an administrator here, or somebody outside
	Stream  string  // of a stored key: the name of the stream that he publishes, whatever name he gives; "": the name he gives
}

// Identity names the principal for comparisons: two with the same identity are the same. It is "" if nothing tells him from others who have
// shown the same, as for somebody who is local or anonymous, or who has a token that all publishers share (whip_token).
func (p *Principal) Identity() string {
	switch {
	case p == nil, p.Kind == Local, p.Kind == Anonymous, p.Kind == Hook, p.Kind == Setting:
		return ""
	case p.Kind == Key, p.Subject == "" && p.ID != "": // two keys of one owner are two encoders
		return string(p.Kind) + "#" + appName(p.App) + ":" + p.ID
	case p.Subject != "":
		return string(p.Kind) + ":" + appName(p.App) + ":" + p.Subject
	}
	return ""
}

// appName returns the name of an application without a colon, so that no application and subject look like another pair.
func appName(app string) string {
	if strings.ContainsAny(app, ":%") {
		return url.QueryEscape(app)
	}
	return app
}

// String names the principal for logs.
func (p *Principal) String() string {
	if p == nil {
		return string(Anonymous)
	}
	if id := p.Identity(); id != "" {
		return id
	}
	return string(p.Kind)
}

// LogValue names the principal for logs in any form: its grants do not belong there.
func (p *Principal) LogValue() slog.Value { return slog.StringValue(p.String()) }

// everything allows all actions on all streams.
var everything = []Grant{{Actions: []Action{Admin}, Streams: []string{"*"}}}

// Whole returns a principal that may do everything, such as somebody on this machine.
func Whole(kind Kind) *Principal { return &Principal{Kind: kind, Grants: everything} }

// Nobody is the anonymous principal without grants.
func Nobody() *Principal { return &Principal{Kind: Anonymous} }

// MayTakeOver says whether a grant lets the principal take over the name of a stream from a publisher that has the same identity.
func (p *Principal) MayTakeOver(stream string) bool {
	if p == nil || p.Identity() == "" {
		return false
	}
	for _, g := range p.Grants {
		if g.Replace && g.has(Publish) && matchAny(g.Streams, stream) {
			return true
		}
	}
	return false
}

// MayEvict says whether the principal may take the name of a stream from whoever publishes it: he may end what others have begun. He must be known,
// so that the next publisher can be told from him.
func (p *Principal) MayEvict(stream string) bool {
	return p.Identity() != "" && Decide(p, Control, Object{Stream: stream}) == nil
}

// IsAdmin says whether the principal may do everything with everything.
func (p *Principal) IsAdmin() bool { return Decide(p, Admin, Object{}) == nil }

func (g Grant) has(a Action) bool {
	for _, have := range g.Actions {
		if have == a || have == Admin || have == Control && a == Read {
			return true
		}
	}
	return false // an unknown action allows nothing
}

const (
	maxPatterns = 256 // in one list of a grant
	maxPattern  = 512 // bytes
)

// Validate reports what cannot be used in a grant.
func (g Grant) Validate() error {
	for _, a := range g.Actions {
		if !slices.Contains(Actions, a) {
			return fmt.Errorf("unknown action %q: there are publish, play, push, read, control and admin", short(string(a)))
		}
	}
	for _, list := range []struct {
		name     string
		patterns []string
	}{{"streams", g.Streams}, {"destinations", g.Destinations}, {"urls", g.URLs}} {
		if len(list.patterns) > maxPatterns {
			return fmt.Errorf("%s has more than %d patterns", list.name, maxPatterns)
		}
		for _, p := range list.patterns {
			if p == "" || len(p) > maxPattern {
				return fmt.Errorf("%s: a pattern must have 1 to %d bytes", list.name, maxPattern)
			}
		}
	}
	for _, u := range g.URLs {
		scheme, host, _ := splitURL(u)
		if u != "*" && (scheme != "rtmp" && scheme != "rtmps" || host == "") {
			return fmt.Errorf("urls: %q must look like rtmps://host:443/app/*", short(u))
		}
		if strings.Contains(host, "@") {
			return errors.New("urls: a pattern has no user and no password: they are never compared")
		}
	}
	return nil
}

func short(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
