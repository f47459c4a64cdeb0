package wcs

import (
	"maps"
	"slices"
	"sync"

	"transponder/internal/stream"
)

// streamSet holds what one session publishes and plays, and counts the snapshots that are made for it. It runs the goroutines of
// all of them until the session closes it.
//
// Lock order: session.mu, then streamSet.mu, then participants.mu.
type streamSet struct {
	maxPublishers, maxPlayers int

	wg sync.WaitGroup

	mu         sync.Mutex
	closed     bool                  // guarded by mu
	asking     map[string]*asking    // guarded by mu; by media session id, as all of these
	publishers map[string]*publisher // guarded by mu
	players    map[string]*player    // guarded by mu
	snapshots  int                   // guarded by mu; being made
}

func newStreamSet(cfg Config) *streamSet {
	return &streamSet{
		maxPublishers: cfg.MaxPublishers,
		maxPlayers:    cfg.MaxPlayers,
		asking:        map[string]*asking{},
		publishers:    map[string]*publisher{},
		players:       map[string]*player{},
	}
}

// close lets nothing new begin. The caller ends what all returns.
func (set *streamSet) close() {
	set.mu.Lock()
	defer set.mu.Unlock()
	set.closed = true
}

// all returns the publishers and the players.
func (set *streamSet) all() (publishers []*publisher, players []*player) {
	set.mu.Lock()
	defer set.mu.Unlock()
	return slices.Collect(maps.Values(set.publishers)), slices.Collect(maps.Values(set.players))
}

// count returns how many publishers and players there are, those included about which somebody is asked.
func (set *streamSet) count() (publishers, players int) {
	set.mu.Lock()
	defer set.mu.Unlock()
	return set.counted()
}

// counted is count for a caller that holds mu.
func (set *streamSet) counted() (publishers, players int) {
	publishers, players = len(set.publishers), len(set.players)
	for _, a := range set.asking {
		if a.publishes {
			publishers++
		} else {
			players++
		}
	}
	return publishers, players
}

// start runs f in a goroutine. It returns false if the set is closed.
func (set *streamSet) start(f func()) bool {
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.closed {
		return false
	}
	set.wg.Go(f)
	return true
}

// reserve takes the media session id of a publisher or a player.
func (set *streamSet) reserve(a *asking) error {
	set.mu.Lock()
	defer set.mu.Unlock()
	publishers, players := set.counted()
	switch {
	case set.closed:
		return errDisconnected
	case set.inUse(a.id): // also while its stream ends, until the status has been sent
		return stream.ErrIDInUse
	case a.publishes && publishers >= set.maxPublishers, !a.publishes && players >= set.maxPlayers:
		return errTooMany
	}
	set.asking[a.id] = a
	return nil
}

// inUse says whether a publisher or a player has the id. The caller holds mu.
func (set *streamSet) inUse(id string) bool {
	_, publishes := set.publishers[id]
	_, plays := set.players[id]
	_, asks := set.asking[id]
	return publishes || plays || asks
}

// drop gives back what reserve took, unless a publisher or a player took its place.
func (set *streamSet) drop(a *asking) {
	set.mu.Lock()
	if set.asking[a.id] == a {
		delete(set.asking, a.id)
	}
	set.mu.Unlock()
	a.stop(nil)
}

// asked returns the publisher or the player with the id about which somebody is asked, nil if there is none.
func (set *streamSet) asked(id string, publishes bool) *asking {
	set.mu.Lock()
	defer set.mu.Unlock()
	if a := set.asking[id]; a != nil && a.publishes == publishes {
		return a
	}
	return nil
}

// addPublisher puts a publisher in the place that reserve took.
func (set *streamSet) addPublisher(p *publisher) {
	set.mu.Lock()
	defer set.mu.Unlock()
	delete(set.asking, p.id)
	set.publishers[p.id] = p
}

func (set *streamSet) dropPublisher(id string) {
	set.mu.Lock()
	defer set.mu.Unlock()
	delete(set.publishers, id)
}

// publisher returns the publisher with the id, nil if there is none.
func (set *streamSet) publisher(id string) *publisher {
	set.mu.Lock()
	defer set.mu.Unlock()
	return set.publishers[id]
}

// pushing returns the publisher of the stream that asked for a push to the URL, nil if there is none.
func (set *streamSet) pushing(name, url string) *publisher {
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, p := range set.publishers {
		if p.name == name && p.pushURL == url {
			return p
		}
	}
	return nil
}

// addPlayer puts a player in the place that reserve took, adds it to the participants, and runs it in a goroutine.
func (set *streamSet) addPlayer(p *player, all *participants, run func()) error {
	set.mu.Lock()
	defer set.mu.Unlock()
	switch {
	case set.closed:
		return errDisconnected
	case !all.addPlayer(p):
		return stream.ErrIDInUse
	}
	delete(set.asking, p.id)
	set.players[p.id] = p
	set.wg.Go(run)
	return nil
}

func (set *streamSet) dropPlayer(p *player) {
	set.mu.Lock()
	defer set.mu.Unlock()
	delete(set.players, p.id)
}

// player returns the player with the id, nil if there is none.
func (set *streamSet) player(id string) *player {
	set.mu.Lock()
	defer set.mu.Unlock()
	return set.players[id]
}

// startSnapshot runs f in a goroutine. It returns false if the set is closed, or if there are too many snapshots.
func (set *streamSet) startSnapshot(f func()) bool {
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.closed || set.snapshots >= maxSnapshots {
		return false
	}
	set.snapshots++
	set.wg.Go(func() {
		defer func() {
			set.mu.Lock()
			defer set.mu.Unlock()
			set.snapshots--
		}()
		f()
	})
	return true
}
