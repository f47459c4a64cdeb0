package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"transponder/internal/limits"
	"transponder/internal/load"
)

var (
	// ErrNameInUse means that another publisher has the name.
	ErrNameInUse = errors.New("stream name is already in use")
	// ErrIDInUse means that another publisher has the id.
	ErrIDInUse = errors.New("media session id is already in use")
	// ErrName means that a stream cannot have that name.
	ErrName = errors.New("bad stream name")
)

// tick is how often Run looks for key frames to ask for, and so the most that a delayed request is late.
const tick = 100 * time.Millisecond

// Config is how a hub treats its publishers.
type Config struct {
	// KeyFrameInterval is how often a key frame is asked for while a reader wants that (ReaderConfig.KeyFrames), if the publisher does
	// not send key frames as often by itself.
	KeyFrameInterval time.Duration
	// KeyFrameGap is the least time between two requests to one publisher.
	KeyFrameGap time.Duration
	// MaxStreams is how many streams there may be at a time; 0: any number.
	MaxStreams int
	// Takeover says who may take over the name of another publisher.
	Takeover Takeover
	// Standby lets a name have a second publisher, its spare: one that might take over the name, while the first one sends. The spare gets the
	// name when the first publisher leaves, or has sent nothing for StandbyAfter.
	Standby      bool
	StandbyAfter time.Duration
}

// The ranges of a Config's numbers.
var (
	KeyFrameIntervalRange = limits.Of(0, 24*time.Hour) // 0: no key frame is asked for because of its age
	KeyFrameGapRange      = limits.Of(0, 24*time.Hour)
	MaxStreamsRange       = limits.Of(0, 1_000_000)
	StandbyAfterRange     = limits.Of(200*time.Millisecond, time.Hour)
)

// DefaultConfig asks for key frames every 2 s, as YouTube, Facebook and Twitch want them, and at most once a second. A publisher may
// replace itself.
func DefaultConfig() Config {
	return Config{
		KeyFrameInterval: 2 * time.Second, KeyFrameGap: time.Second, Takeover: TakeoverSame, StandbyAfter: 2 * time.Second,
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	errs := []error{
		KeyFrameIntervalRange.Check("key frame interval", c.KeyFrameInterval),
		KeyFrameGapRange.Check("key frame gap", c.KeyFrameGap),
		MaxStreamsRange.Check("number of streams", c.MaxStreams),
		StandbyAfterRange.Check("time after which a spare publisher gets the name", c.StandbyAfter),
	}
	switch c.Takeover {
	case TakeoverSame, TakeoverAlways, TakeoverNever:
	default:
		errs = append(errs, fmt.Errorf("publish_takeover must be same, always or never, not %q", c.Takeover))
	}
	return errors.Join(errs...)
}

// Hub holds the live streams by name. All methods may be called from any goroutine.
type Hub struct {
	cfg  Config
	gate *load.Gate // nil: there is always room

	names Names // nil: this process is alone; set before the first publisher

	refusal atomic.Pointer[error] // of new streams; nil: there is none

	mu      sync.Mutex           // taken before the lock of the gate
	taking  map[string]*Source   // guarded by mu; of names that Names is asked for
	byName  map[string]*Source   // guarded by mu
	byID    map[string]*Source   // guarded by mu; with the spares
	spares  map[string]*Source   // guarded by mu; the sources that get a name when the one that has it ends
	private map[*Source]struct{} // guarded by mu; the sources without a public name
	added   chan struct{}        // guarded by mu; closed and replaced when a name is taken

	maxStreams int // guarded by mu; Config.MaxStreams, or what SetMaxStreams has set

	takeovers  atomic.Int64
	promotions atomic.Int64
}

// NewHub makes an empty hub. gate decides whether the machine has room for another stream; nil: it always has.
func NewHub(cfg Config, gate *load.Gate) *Hub {
	return &Hub{
		cfg: cfg, gate: gate, added: make(chan struct{}), maxStreams: cfg.MaxStreams,
		taking: map[string]*Source{}, byName: map[string]*Source{}, byID: map[string]*Source{}, spares: map[string]*Source{},
		private: map[*Source]struct{}{},
	}
}

// Publish reserves a name and an id and returns the source for the publisher to write to. The name is free again when the source is
// closed. It fails with ErrName, ErrNameInUse, ErrIDInUse or load.ErrFull.
//
// Publish asks no other process. If Names finds out that another process has the name, the source ends with ErrNameInUse.
func (h *Hub) Publish(info Info) (*Source, error) {
	s, _, err := h.reserve(info, false, false)
	if err == nil && h.named(info) {
		h.names.Keep(info)
	}
	return s, err
}

// publish is Publish, but it asks Names, and with replace it replaces the publisher that has the name, if the rules allow that now. If they may
// allow it later, it returns that publisher's source as old, with ErrNameInUse.
func (h *Hub) publish(ctx context.Context, info Info, replace bool) (s, old *Source, err error) {
	s, old, err = h.reserve(info, replace, h.named(info))
	switch {
	case err != nil || !h.named(info) || s.spare: // a spare has the name through the publisher before it
		return s, old, err
	case old != nil: // the name was this process's already
		h.names.Keep(info)
		return s, old, nil
	}
	err = h.names.Take(ctx, info)
	relay, err := h.taken(s, err)
	if relay != nil {
		relay.Close(ErrReplaced)
	}
	if err != nil {
		return nil, nil, err
	}
	return s, nil, nil
}

// taken ends the wait for Names. If s gets the name, the relay that had it until now is returned.
func (h *Hub) taken(s *Source, refused error) (relay *Source, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.taking, s.info.Name)
	if refused != nil {
		return nil, refused
	}
	if relay = h.byName[s.info.Name]; relay != nil {
		delete(h.byID, relay.info.ID)
	}
	h.enter(s)
	return relay, nil
}

// named reports whether the name of a stream is one that Names must know of.
func (h *Hub) named(info Info) bool { return h.names != nil && !info.IsRelay() }

// reserve makes a source and gives it the name, or with take only the right to ask for the name.
func (h *Hub) reserve(info Info, replace, take bool) (s, old *Source, err error) {
	if err := CheckName(info.Name); err != nil {
		return nil, nil, err
	}
	s = newSource(h, info)
	h.mu.Lock()
	defer func() {
		h.mu.Unlock()
		if err == nil && old != nil {
			h.takeovers.Add(1)
			old.Close(ErrReplaced)
		}
	}()
	if other := h.taking[info.Name]; other != nil {
		if !replace {
			other = nil
		}
		return nil, other, ErrNameInUse
	}
	if old = h.byName[info.Name]; old != nil {
		if replace && h.mayStandBy(old, info) {
			old, err = h.standBy(s)
			if err != nil {
				return nil, old, err
			}
			return s, old, nil
		}
		c := refused
		switch {
		case info.IsRelay():
		case old.info.IsRelay():
			c = atOnce
		case replace:
			c = h.cfg.Takeover.over(old.info, info)
		}
		switch {
		case c == refused:
			return nil, nil, ErrNameInUse
		case c == whenDead && !old.dead(time.Now()):
			return nil, old, ErrNameInUse
		}
	}
	if other := h.byID[info.ID]; other != nil && other != old {
		return nil, nil, ErrIDInUse
	}
	if take && old != nil && old.info.IsRelay() {
		old = nil // another process has the name: the relay stays until Names has decided
	}
	if old == nil { // else the newcomer takes the place of the old publisher
		if err := h.admit(); err != nil {
			return nil, nil, err
		}
		if take {
			h.taking[info.Name] = s
			return s, nil, nil
		}
	} else {
		delete(h.byID, old.info.ID)
	}
	h.enter(s)
	return s, old, nil
}

// enter lets others see a source. The caller holds mu.
func (h *Hub) enter(s *Source) {
	h.byName[s.info.Name] = s
	h.byID[s.info.ID] = s
	close(h.added)
	h.added = make(chan struct{})
}

// Refuse lets every new stream fail with an error, nil: no longer. A publisher who takes the place of another one is let in all the same.
func (h *Hub) Refuse(err error) {
	if err == nil {
		h.refusal.Store(nil)
		return
	}
	h.refusal.Store(&err)
}

// SetMaxStreams changes Config.MaxStreams. Streams beyond the new limit stay.
func (h *Hub) SetMaxStreams(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.maxStreams = n
}

// admit says whether there is room for another stream. The caller holds mu.
func (h *Hub) admit() error {
	if refusal := h.refusal.Load(); refusal != nil {
		return *refusal
	}
	if h.maxStreams > 0 && len(h.byName)+len(h.taking)+len(h.spares)+len(h.private) >= h.maxStreams {
		return fmt.Errorf("%w: it takes %d streams", load.ErrFull, h.maxStreams)
	}
	return h.gate.Admit(load.Stream)
}

// Private returns a source that only its maker knows, such as one side of a call. Nobody finds the source by a name or an id, and nobody
// takes it over. info.Name serves logs, and may be empty or the name of another stream. In all else the source is like others: it takes room,
// and it is asked for key frames. Private fails with load.ErrFull.
func (h *Hub) Private(info Info) (*Source, error) {
	s := newSource(h, info)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.admit(); err != nil {
		return nil, err
	}
	h.private[s] = struct{}{}
	return s, nil
}

// Len returns how many streams there are, with the spares and the private ones.
func (h *Hub) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.byName) + len(h.spares) + len(h.private)
}

// CheckName refuses names that do not fit into a URL, a log line or an API answer: empty ones, names over 255 bytes, not in UTF-8, or with
// control characters. It also refuses "://", which other servers read as an address.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > 255:
		return fmt.Errorf("%w: it is longer than 255 bytes", ErrName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: it is not UTF-8", ErrName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: it holds a control character", ErrName)
	case strings.Contains(name, "://"):
		return fmt.Errorf("%w: it holds \"://\"", ErrName)
	}
	return nil
}

// Source returns the stream with that name.
func (h *Hub) Source(name string) (*Source, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.byName[name]
	return s, ok
}

// All returns the sources of a name in the order in which they get it: the one that has the name now, then its spare.
func (h *Hub) All(name string) []*Source {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*Source
	for _, s := range []*Source{h.byName[name], h.spares[name]} {
		if s != nil {
			all = append(all, s)
		}
	}
	return all
}

// Await waits for a stream with that name and returns it, or the cause if ctx ends first. It fails at once with ErrName if no stream can
// have the name.
func (h *Hub) Await(ctx context.Context, name string) (*Source, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	for {
		added := h.Added()
		if s, ok := h.Source(name); ok {
			return s, nil
		}
		select {
		case <-added:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Added returns a channel that is closed when the next name is taken. To follow all streams, call Added before Sources: then none is
// missed.
func (h *Hub) Added() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.added
}

// SourceByID returns the stream with that media session id.
func (h *Hub) SourceByID(id string) (*Source, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.byID[id]
	return s, ok
}

// Sources returns all streams that have a name, oldest first.
func (h *Hub) Sources() []*Source {
	h.mu.Lock()
	all := make([]*Source, 0, len(h.byName))
	for _, s := range h.byName {
		all = append(all, s)
	}
	h.mu.Unlock()
	slices.SortFunc(all, func(a, b *Source) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.info.Name, b.info.Name))
	})
	return all
}

// remove frees the place of s, and its name and id. If the name has a spare, the spare gets it.
func (h *Hub) remove(s *Source) {
	h.mu.Lock()
	delete(h.private, s)
	if h.byID[s.info.ID] == s {
		delete(h.byID, s.info.ID)
	}
	name := s.info.Name
	had, spare := h.byName[name] == s, h.spares[name]
	switch {
	case spare == s:
		delete(h.spares, name)
	case had && spare != nil:
		h.promote(spare)
	case had:
		delete(h.byName, name)
	}
	h.mu.Unlock()
	switch {
	case !had || !h.named(s.info):
	case spare != nil:
		h.names.Keep(spare.info)
	default:
		h.names.Free(s.info)
	}
}

// Run asks publishers for key frames, and ends those that send more than they may, until ctx ends. It returns the cause.
func (h *Hub) Run(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-t.C:
			for _, s := range h.all() {
				s.keys.tick(now)
				if s.speeding(now) {
					s.Close(ErrRate)
				}
			}
			for _, s := range h.stalled(now) {
				s.Close(ErrReplaced)
			}
		}
	}
}

// all returns all sources, with the spares and the private ones.
func (h *Hub) all() []*Source {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.AppendSeq(slices.Collect(maps.Values(h.byName)), maps.Keys(h.private))
	return slices.AppendSeq(all, maps.Values(h.spares))
}

// Absent returns a source that stands for a publisher who is not here: for a reader that waits for the publisher of a name. It takes no room, no
// name, and no frames.
func (h *Hub) Absent(name string) *Source { return newSource(h, Info{Name: name}) }
