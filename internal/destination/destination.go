package destination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"transponder/internal/access"
	"transponder/internal/state"
)

var (
	// ErrNotFound means that there is no destination with that name.
	ErrNotFound = errors.New("no such destination")
	// ErrExists means that there is a destination with that name already.
	ErrExists = errors.New("a destination with this name exists already")
	// ErrTooMany means that there is no room for another destination.
	ErrTooMany = fmt.Errorf("there are %d destinations already", maxDestinations)
)

// maxDestinations is how many destinations there may be.
const maxDestinations = 10_000

// scheme is what the URL of a push begins with if it names a destination.
const scheme = "destination://"

// Parse returns the name in destination://NAME. ok is false for other URLs, and for those that cannot be a name.
func Parse(rtmpURL string) (name string, ok bool) {
	if len(rtmpURL) <= len(scheme) || !strings.EqualFold(rtmpURL[:len(scheme)], scheme) {
		return "", false
	}
	return strings.TrimSuffix(rtmpURL[len(scheme):], "/"), rtmpURL[len(scheme):] != "/"
}

// Destination is an address with a name.
type Destination struct {
	Name         string
	URL          access.Secret // with the stream key; "" in lists
	Target       string        // the URL without secrets
	KeySet       bool          // the URL can be read; false: its key is gone
	FullURL      *bool         // the last part of the URL is the name to publish under; nil: as in the settings
	FlashVersion string        // "": as in the settings
	// Options are for pushes that have none of their own, in the form of REST. nil: none.
	Options json.RawMessage
	Streams []string // patterns of the streams that may be pushed there
	App     string   // the application whose members may use it; "": everybody who has the grant
	Preset  string   // the platform; "": unknown
	Label   string   // for people

	Created, Changed time.Time
}

// MayBeUsedBy reports whether the destination belongs to the application of a principal. It says nothing of grants. Principals without an
// application, such as administrators, may use all.
func (d Destination) MayBeUsedBy(p *access.Principal) bool {
	return p == nil || d.App == "" || p.App == "" || p.App == d.App
}

// Validate reports the first field that cannot be used, as a *FieldError. It does not judge the URL.
func (d Destination) Validate() error {
	switch {
	case !validName(d.Name):
		return &FieldError{"name", "it must be 1 to 64 letters a to z, digits, dots, dashes and underscores, and begin with a letter or a digit"}
	case len(d.Streams) == 0:
		return &FieldError{"streams", "without a pattern no stream could be pushed there; * stands for all"}
	case len(d.Streams) > 100 || slices.ContainsFunc(d.Streams, func(s string) bool { return s == "" || len(s) > 255 }):
		return &FieldError{"streams", "it must hold at most 100 patterns of 1 to 255 bytes"}
	case strings.Contains(string(d.URL), "***"):
		return &FieldError{"rtmpUrl", "*** stands for a secret in answers; give the address itself, or leave it out to keep it"}
	case len(d.App) > 255 || len(d.Label) > 255 || len(d.FlashVersion) > 255:
		return &FieldError{"app, label, rtmpFlashVersion", "they must be at most 255 bytes long"}
	}
	if _, known := PresetByID(d.Preset); d.Preset != "" && !known {
		return &FieldError{"preset", "there is no such preset; GET destination/presets lists them"}
	}
	return nil
}

// FieldError means that a field cannot be used.
type FieldError struct{ Field, Reason string }

// Error names the field and the reason.
func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

func validName(s string) bool {
	const first = "abcdefghijklmnopqrstuvwxyz0123456789"
	return s != "" && len(s) <= 64 && strings.ContainsRune(first, rune(s[0])) && strings.Trim(s, first+"._-") == ""
}

// record is a destination in the state.
type record struct {
	Sealed       string          `json:"url"`
	Target       string          `json:"target"`
	FullURL      *bool           `json:"fullUrl,omitempty"`
	FlashVersion string          `json:"flashVersion,omitempty"`
	Options      json.RawMessage `json:"options,omitempty"`
	Streams      []string        `json:"streams"`
	App          string          `json:"app,omitempty"`
	Preset       string          `json:"preset,omitempty"`
	Label        string          `json:"label,omitempty"`
	Created      time.Time       `json:"created"`
}

// Store keeps the destinations. Any goroutine may call its methods.
type Store struct {
	records *state.Bucket[record]
	sealer  Sealer
}

// Sealer seals the addresses. *state.Keys is one.
type Sealer interface {
	state.Sealer
	// Current reports whether the newest key has sealed a secret.
	Current(sealed string) bool
}

// New makes a Store over a keeper of records.
func New(keeper state.Keeper, sealer Sealer) *Store {
	return &Store{state.NewBucket[record](keeper, "destinations", 1), sealer}
}

// Resolve returns a destination with its URL. It fails with ErrNotFound, and with state.ErrSealed if the key of the secrets is gone.
func (s *Store) Resolve(ctx context.Context, name string) (Destination, error) {
	item, err := s.item(ctx, name)
	if err != nil {
		return Destination{}, err
	}
	d := s.destination(item)
	url, err := s.sealer.Open(place(name), item.Value.Sealed)
	d.URL = access.Secret(url)
	return d, err
}

// Find returns a destination without its URL. It fails with ErrNotFound.
func (s *Store) Find(ctx context.Context, name string) (Destination, error) {
	item, err := s.item(ctx, name)
	if err != nil {
		return Destination{}, err
	}
	return s.destination(item), nil
}

// List returns all destinations by name, without their URLs.
func (s *Store) List(ctx context.Context) ([]Destination, error) {
	items, err := s.records.List(ctx, "")
	list := make([]Destination, 0, len(items))
	for _, item := range items {
		list = append(list, s.destination(item))
	}
	return list, err
}

// Create adds a destination. It fails with a *FieldError, ErrExists, ErrTooMany and *state.WriteError.
func (s *Store) Create(ctx context.Context, d Destination) error {
	if err := d.Validate(); err != nil {
		return err
	}
	all, err := s.records.List(ctx, "")
	if err == nil && len(all) >= maxDestinations {
		return ErrTooMany
	}
	r := recordOf(d)
	r.Created = time.Now().UTC()
	if err := s.put(ctx, d, r, 0); !errors.Is(err, state.ErrConflict) {
		return err
	}
	return ErrExists
}

// Update changes a destination. change gets it without its URL; what it puts there replaces the old URL, "" keeps that. It fails as Create
// does, with ErrNotFound, and with the error of change.
func (s *Store) Update(ctx context.Context, name string, change func(*Destination) error) error {
	for {
		item, err := s.item(ctx, name)
		if err != nil {
			return err
		}
		d := s.destination(item)
		if err := change(&d); err != nil {
			return err
		}
		d.Name = name
		if err := d.Validate(); err != nil {
			return err
		}
		r := recordOf(d)
		r.Created, r.Sealed = item.Value.Created, item.Value.Sealed
		// In the case of a conflict somebody else has changed it meanwhile.
		if err := s.put(ctx, d, r, item.Revision); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

// Remove removes a destination. Pushes that go there go on. It fails with ErrNotFound and *state.WriteError.
func (s *Store) Remove(ctx context.Context, name string) error {
	item, err := s.item(ctx, name)
	if err != nil {
		return err
	}
	err = s.records.Delete(ctx, name, item.Revision)
	if errors.Is(err, state.ErrConflict) {
		return s.Remove(ctx, name)
	}
	if errors.Is(err, state.ErrNotFound) {
		return ErrNotFound
	}
	return err
}

// Reseal seals the addresses with the newest key, where an older one has sealed them. Addresses that cannot be opened stay as they are.
func (s *Store) Reseal(ctx context.Context) error {
	items, err := s.records.List(ctx, "")
	errs := []error{err}
	for _, item := range items {
		if s.sealer.Current(item.Value.Sealed) {
			continue
		}
		url, err := s.sealer.Open(place(item.Key), item.Value.Sealed)
		if err != nil {
			continue
		}
		errs = append(errs, s.put(ctx, Destination{Name: item.Key, URL: access.Secret(url)}, item.Value, item.Revision))
	}
	return errors.Join(errs...)
}

func (s *Store) put(ctx context.Context, d Destination, r record, expect uint64) (err error) {
	if d.URL != "" {
		if r.Sealed, err = s.sealer.Seal(place(d.Name), []byte(d.URL)); err != nil {
			return err
		}
	}
	if r.Sealed == "" {
		return &FieldError{"rtmpUrl", "it is missing"}
	}
	_, err = s.records.Put(ctx, d.Name, r, expect)
	return err
}

func (s *Store) item(ctx context.Context, name string) (state.Item[record], error) {
	if !validName(name) {
		return state.Item[record]{}, ErrNotFound
	}
	item, err := s.records.Get(ctx, name)
	if errors.Is(err, state.ErrNotFound) {
		err = ErrNotFound
	}
	return item, err
}

// place names a destination to the sealer.
func place(name string) string { return "destination/" + name }

func (s *Store) destination(item state.Item[record]) Destination {
	r := item.Value
	_, err := s.sealer.Open(place(item.Key), r.Sealed)
	return Destination{
		Name: item.Key, KeySet: err == nil, Target: r.Target, FullURL: r.FullURL, FlashVersion: r.FlashVersion, Options: r.Options, Streams: r.Streams, App: r.App, Preset: r.Preset,
		Label: r.Label, Created: r.Created, Changed: item.Changed,
	}
}

func recordOf(d Destination) record {
	return record{
		Target: d.Target, FullURL: d.FullURL, FlashVersion: d.FlashVersion, Options: d.Options, Streams: d.Streams, App: d.App, Preset: d.Preset, Label: d.Label,
	}
}
