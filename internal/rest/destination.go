package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/destination"
	"transponder/internal/state"
	"transponder/internal/transponder"
)

// Destinations keeps the addresses that have names. destination.Store is one.
type Destinations interface {
	Find(ctx context.Context, name string) (destination.Destination, error)
	List(ctx context.Context) ([]destination.Destination, error)
	Create(ctx context.Context, d destination.Destination) error
	Update(ctx context.Context, name string, change func(*destination.Destination) error) error
	Remove(ctx context.Context, name string) error
}

// destinationBody is a destination in an answer. It never has the address itself. Those who may push there, but are no administrators, get the
// first members only.
type destinationBody struct {
	Name    string   `json:"name"`
	Label   string   `json:"label,omitempty"`
	Preset  string   `json:"preset,omitempty"`
	Streams []string `json:"streams"`
	App     string   `json:"app,omitempty"`
	UsedBy  int      `json:"usedBy"` // pushes that go there now

	Target       string          `json:"target,omitempty"` // the address without its secrets
	KeySet       *bool           `json:"keySet,omitempty"` // false: the address cannot be read, and must be given anew
	FullURL      *bool           `json:"rtmpTransponderFullUrl,omitempty"`
	FlashVersion string          `json:"rtmpFlashVersion,omitempty"`
	Options      json.RawMessage `json:"options,omitempty"`   // of pushes that have none of their own
	CreatedAt    int64           `json:"createdAt,omitempty"` // ms since 1970
	ChangedAt    int64           `json:"changedAt,omitempty"` // ms since 1970
}

func (s *Server) destinationRoutes() {
	if s.parts.Destinations == nil {
		return
	}
	s.method("/destination/create", access.Admin, s.createDestination, http.MethodPost)
	s.method("/destination/update", access.Admin, s.updateDestination, http.MethodPost)
	s.method("/destination/remove", access.Admin, s.removeDestination, http.MethodPost)
	s.list("/destination/find", someone, s.findDestination, http.MethodPost)
	s.list("/destination/find_all", someone, s.findDestinations, http.MethodGet, http.MethodPost)
	s.read("/destination/presets", someone, func(w http.ResponseWriter, _ *http.Request) error {
		s.answer(w, http.StatusOK, destination.Presets())
		return nil
	})
}

var errNoDestination = refusal{http.StatusNotFound, "Destination not found"}

// destinationError returns the error for the caller.
func destinationError(err error) error {
	var field *destination.FieldError
	var full *state.WriteError
	switch {
	case errors.As(err, &field):
		return &transponder.RequestError{Field: field.Field, Reason: field.Reason}
	case errors.Is(err, destination.ErrNotFound):
		return errNoDestination
	case errors.Is(err, destination.ErrExists):
		return refusal{http.StatusConflict, err.Error()}
	case errors.Is(err, destination.ErrTooMany):
		return refusal{http.StatusServiceUnavailable, err.Error()}
	case errors.As(err, &full):
		return refusal{http.StatusInsufficientStorage, full.Error()}
	}
	return err
}

func (s *Server) createDestination(ctx context.Context, f *fields) (any, error) {
	d := destination.Destination{Name: f.required("name"), Streams: []string{"*"}}
	if err := s.fillDestination(&d, f); err != nil {
		return nil, err
	}
	note(ctx, func(l *audit.Line) { l.Object = d.Name })
	if err := s.parts.Destinations.Create(ctx, d); err != nil {
		return nil, destinationError(err)
	}
	return s.oneDestination(ctx, d.Name)
}

func (s *Server) updateDestination(ctx context.Context, f *fields) (any, error) {
	name := f.required("name")
	note(ctx, func(l *audit.Line) { l.Object = name })
	members := f.raw
	err := s.parts.Destinations.Update(ctx, name, func(d *destination.Destination) error {
		f.raw = maps.Clone(members) // reading takes members away, and a second try after a conflict must see the same
		return s.fillDestination(d, f)
	})
	if err != nil {
		return nil, destinationError(err)
	}
	return s.oneDestination(ctx, name)
}

// fillDestination changes a destination as a request says. Members that are absent change nothing.
func (s *Server) fillDestination(d *destination.Destination, f *fields) error {
	url, server, key, backup := f.text("rtmpUrl"), f.text("server"), f.text("key"), f.flag("backup", false)
	if full := f.boolean("rtmpTransponderFullUrl"); full != nil {
		d.FullURL = full
	}
	for name, field := range map[string]*string{
		"preset": &d.Preset, "app": &d.App, "label": &d.Label, "rtmpFlashVersion": &d.FlashVersion,
	} {
		if _, given := f.raw[name]; given {
			*field = f.text(name)
		}
	}
	if streams := f.texts("streams"); streams != nil {
		d.Streams = streams
	}
	if options := f.object("options"); options.present() {
		o, err := parseOptions(options)
		if err == nil {
			err = cmp.Or(o.Validate(), namedOnly(o.BackupURLs))
		}
		if err == nil && len(o.BackupStreams) > 0 {
			// Whoever starts a push needs the right to push each of its streams. Nobody would ask for it here.
			err = &transponder.RequestError{Field: "options.backupStreams", Reason: "a destination cannot name streams"}
		}
		if err != nil {
			return err
		}
		if d.Options, err = json.Marshal(newOptionsBody(o)); err != nil {
			return err
		}
	}
	if f.err != nil {
		return f.err
	}
	p, _ := destination.PresetByID(d.Preset)
	if backup {
		switch {
		case url != "" || server != "" || key == "":
			return &transponder.RequestError{Field: "backup", Reason: "it stands for the backup server of a preset: give key and preset with it, and no address"}
		case p.Backup == "":
			return &transponder.RequestError{Field: "backup", Reason: fmt.Sprintf("the preset %q has no backup server", d.Preset)}
		}
		server = p.Backup
	}
	if key != "" || server != "" {
		full := true
		if url != "" {
			return &transponder.RequestError{Field: "rtmpUrl", Reason: "it has the key in it; give either rtmpUrl, or key and server"}
		}
		if server == "" {
			server = p.Server
		}
		if server == "" || key == "" {
			return &transponder.RequestError{Field: "server, key", Reason: "give both, or key and a preset that has a common server"}
		}
		url, d.FullURL = strings.TrimSuffix(server, "/")+"/"+key, &full
	}
	if url == "" {
		return nil
	}
	target, err := s.parts.DescribeTarget(url, d.FullURL)
	if err != nil {
		return err
	}
	d.URL, d.Target = access.Secret(url), target
	return nil
}

// namedOnly refuses backup addresses that are no destinations: the options of a destination are kept as they are, and an address may hold a
// stream key.
func namedOnly(urls []string) error {
	for i, url := range urls {
		if _, ok := destination.Parse(url); !ok {
			return &transponder.RequestError{
				Field:  fmt.Sprintf("options.backupUrls[%d]", i),
				Reason: "a destination keeps addresses with keys apart: make a destination of it, and give destination://NAME",
			}
		}
	}
	return nil
}

func (s *Server) removeDestination(ctx context.Context, f *fields) (any, error) {
	name := f.required("name")
	if f.err != nil {
		return nil, f.err
	}
	note(ctx, func(l *audit.Line) { l.Object = name })
	return nil, destinationError(s.parts.Destinations.Remove(ctx, name))
}

func (s *Server) findDestination(ctx context.Context, f *fields) (any, error) {
	name := f.required("name")
	if f.err != nil {
		return nil, f.err
	}
	d, err := s.parts.Destinations.Find(ctx, name)
	if err != nil {
		return nil, destinationError(err)
	}
	body := s.destinationBody(ctx, d)
	if body == nil {
		return nil, errNoDestination
	}
	return []destinationBody{*body}, nil
}

func (s *Server) findDestinations(ctx context.Context, _ *fields) (any, error) {
	all, err := s.parts.Destinations.List(ctx)
	if err != nil {
		return nil, err
	}
	var list []destinationBody
	for _, d := range all {
		if body := s.destinationBody(ctx, d); body != nil {
			list = append(list, *body)
		}
	}
	if len(list) == 0 {
		return nil, errNoDestination
	}
	return list, nil
}

func (s *Server) oneDestination(ctx context.Context, name string) (any, error) {
	d, err := s.parts.Destinations.Find(ctx, name)
	if err != nil {
		return nil, destinationError(err)
	}
	return s.destinationBody(ctx, d), nil
}

// destinationBody returns a destination as the sender of the request may see it: nil if he may not push there, nor is an administrator. Whoever may
// push there is told the options, because those of his own request replace them.
func (s *Server) destinationBody(ctx context.Context, d destination.Destination) *destinationBody {
	p := principalOf(ctx)
	b := destinationBody{Name: d.Name, Label: d.Label, Preset: d.Preset, Streams: d.Streams, App: d.App}
	switch {
	case p.IsAdmin():
		b.Target, b.KeySet, b.FullURL, b.FlashVersion = d.Target, &d.KeySet, d.FullURL, d.FlashVersion
		b.Options = d.Options
		b.CreatedAt, b.ChangedAt = milliseconds(d.Created), milliseconds(d.Changed)
	case !d.MayBeUsedBy(p) || !mayPushTo(p, d.Name):
		return nil
	default:
		b.Options = toldOptions(d.Options)
	}
	reads := s.mayRead(ctx)
	used, err := s.parts.Pushes.Find(ctx, transponder.Filter{URL: "destination://" + d.Name})
	if err != nil {
		s.log.Warn("the pushes to a destination cannot be counted", "err", err)
	}
	for _, push := range used {
		if reads(push.SourceName) {
			b.UsedBy++
		}
	}
	return &b
}

// toldOptions returns the options of a destination for those who are no administrators: nothing if they name other destinations, which these people
// may not use; an empty object if there are none, because that is another thing.
func toldOptions(options json.RawMessage) json.RawMessage {
	if len(options) == 0 {
		return json.RawMessage("{}")
	}
	if o, err := ParseOptions(options); err != nil || len(o.BackupURLs) > 0 {
		return nil
	}
	return options
}

// mayPushTo says whether a principal may push some stream to a destination.
func mayPushTo(p *access.Principal, name string) bool {
	return slices.ContainsFunc(p.Grants, func(g access.Grant) bool {
		one := &access.Principal{Kind: p.Kind, Grants: []access.Grant{g}}
		return access.Has(one, access.Push) && slices.ContainsFunc(g.Destinations, func(pattern string) bool { return access.Match(pattern, name) })
	})
}
