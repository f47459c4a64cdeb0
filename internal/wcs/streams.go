package wcs

import (
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
	publishers map[string]*publisher // guarded by mu; by media session id; nil while the offer is being answered
	players    map[string]*player    // guarded by mu; by media session id, never nil
	snapshots  int                   // guarded by mu; being made
}

func newStreamSet(cfg Config) *streamSet {
	return &streamSet{
		maxPublishers: cfg.MaxPublishers,
		maxPlayers:    cfg.MaxPlayers,
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
	for _, p := range set.publishers {
		if p != nil {
			publishers = append(publishers, p)
		}
	}
	for _, p := range set.players {
		players = append(players, p)
	}
	return publishers, players
}

// count returns how many publishers and players there are, those whose offer is being answered included.
func (set *streamSet) count() (publishers, players int) {
	set.mu.Lock()
	defer set.mu.Unlock()
	return len(set.publishers), len(set.players)
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

// reserve takes a media session id for a publisher whose offer is not answered yet.
func (set *streamSet) reserve(id string) error {
	set.mu.Lock()
	defer set.mu.Unlock()
	switch {
	case set.closed:
		return errDisconnected
	case set.inUse(id): // also while its stream ends, until the status has been sent
		return stream.ErrIDInUse
	case len(set.publishers) >= set.maxPublishers:
		return errTooMany
	}
	set.publishers[id] = nil
	return nil
}

// inUse says whether a publisher or a player has the id. The caller holds mu.
func (set *streamSet) inUse(id string) bool {
	_, publishes := set.publishers[id]
	_, plays := set.players[id]
	return publishes || plays
}

// addPublisher puts a publisher in the place that reserve took.
func (set *streamSet) addPublisher(p *publisher) {
	set.mu.Lock()
	defer set.mu.Unlock()
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
		if p != nil && string(p.req.Name) == name && string(p.req.RTMPURL) == url {
			return p
		}
	}
	return nil
}

// addPlayer adds a player, here and to the participants, and runs it in a goroutine.
func (set *streamSet) addPlayer(p *player, all *participants, run func()) error {
	set.mu.Lock()
	defer set.mu.Unlock()
	switch {
	case set.closed:
		return errDisconnected
	case set.inUse(p.id):
		return stream.ErrIDInUse
	case len(set.players) >= set.maxPlayers:
		return errTooMany
	case !all.addPlayer(p):
		return stream.ErrIDInUse
	}
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
