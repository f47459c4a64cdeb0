package wcs

import (
	"maps"
	"slices"
	"sync"

	"transponder/internal/stream"
)

// stage knows who publishes and who plays each stream over this door.
type stage struct {
	mu         sync.Mutex
	publishers map[*stream.Source]*publisher           // guarded by mu
	audience   map[*stream.Source]map[*player]struct{} // guarded by mu; no set is empty
	players    map[string]*player                      // guarded by mu; by media session id
}

func newStage() stage {
	return stage{
		publishers: map[*stream.Source]*publisher{},
		audience:   map[*stream.Source]map[*player]struct{}{},
		players:    map[string]*player{},
	}
}

func (st *stage) addPublisher(p *publisher) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.publishers[p.media.Source()] = p
}

func (st *stage) dropPublisher(p *publisher) {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.publishers, p.media.Source())
}

// publisher returns who publishes the stream, nil if that is not done over this door.
func (st *stage) publisher(src *stream.Source) *publisher {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.publishers[src]
}

// addPlayer reports false if the id is another player's.
func (st *stage) addPlayer(p *player) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.players[p.id] != nil {
		return false
	}
	st.players[p.id] = p
	if st.audience[p.src] == nil {
		st.audience[p.src] = map[*player]struct{}{}
	}
	st.audience[p.src][p] = struct{}{}
	return true
}

func (st *stage) dropPlayer(p *player) {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.players, p.id)
	delete(st.audience[p.src], p)
	if len(st.audience[p.src]) == 0 {
		delete(st.audience, p.src)
	}
}

// player returns the player of that id, nil if there is none.
func (st *stage) player(id string) *player {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.players[id]
}

// watching returns who plays the stream.
func (st *stage) watching(src *stream.Source) []*player {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Collect(maps.Keys(st.audience[src]))
}

// all returns every player.
func (st *stage) all() []*player {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Collect(maps.Values(st.players))
}
