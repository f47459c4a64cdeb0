package wcs

import (
	"maps"
	"slices"
	"sync"

	"transponder/internal/stream"
)

// participants holds the publishers and the players of all sessions, by stream.
type participants struct {
	mu          sync.Mutex
	publishers  map[*stream.Source]*publisher           // guarded by mu
	players     map[*stream.Source]map[*player]struct{} // guarded by mu; no set is empty
	playersByID map[string]*player                      // guarded by mu; by media session id
}

func newParticipants() participants {
	return participants{
		publishers:  map[*stream.Source]*publisher{},
		players:     map[*stream.Source]map[*player]struct{}{},
		playersByID: map[string]*player{},
	}
}

func (a *participants) addPublisher(p *publisher) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.publishers[p.media.Source()] = p
}

func (a *participants) dropPublisher(p *publisher) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.publishers, p.media.Source())
}

// publisher returns the publisher of the stream, nil if the stream is not published by a session.
func (a *participants) publisher(src *stream.Source) *publisher {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.publishers[src]
}

// addPlayer returns false if another player has the id.
func (a *participants) addPlayer(p *player) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.playersByID[p.id] != nil {
		return false
	}
	a.playersByID[p.id] = p
	a.join(p, p.src.Load())
	return true
}

// join adds a player to those of a stream. The caller holds mu.
func (a *participants) join(p *player, src *stream.Source) {
	if a.players[src] == nil {
		a.players[src] = map[*player]struct{}{}
	}
	a.players[src][p] = struct{}{}
	p.src.Store(src)
}

// leave removes a player from those of its stream. The caller holds mu.
func (a *participants) leave(p *player) {
	src := p.src.Load()
	delete(a.players[src], p)
	if len(a.players[src]) == 0 {
		delete(a.players, src)
	}
}

// movePlayer notes that a player goes on with another stream.
func (a *participants) movePlayer(p *player, next *stream.Source) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leave(p)
	a.join(p, next)
}

func (a *participants) dropPlayer(p *player) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.playersByID, p.id)
	a.leave(p)
}

// player returns the player with the id, nil if there is none.
func (a *participants) player(id string) *player {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.playersByID[id]
}

// playersOf returns the players of the stream.
func (a *participants) playersOf(src *stream.Source) []*player {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.players[src]))
}

// allPlayers returns the players of all streams.
func (a *participants) allPlayers() []*player {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.playersByID))
}
