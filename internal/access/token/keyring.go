package token

import (
	"errors"
	"slices"
	"sync"
)

var errNoKey = errors.New("no key has this kid")

// keyring has all keys that may have signed a token. All methods may be called from any goroutine.
type keyring struct {
	mu     sync.RWMutex
	secret *verifier  // token_secret; set once
	local  []verifier // guarded by mu; of this server
	file   []verifier // guarded by mu
	remote []verifier // guarded by mu
}

func (r *keyring) set(list *[]verifier, keys []verifier) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = keys
}

// len returns how many keys there are of each source.
func (r *keyring) len() (file, remote int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.file), len(r.remote)
}

// find returns the key that must have signed a token with this header. A key is only found for the algorithm of the key: the header does
// not choose. Without a kid, and for a kid that no key has, it is the one key that fits: for a kid, only among keys that have no kid.
func (r *keyring) find(alg, kid string) (verifier, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var fit []verifier
	consider := func(k verifier) {
		if k.alg == alg && (kid == "" || k.id == "") {
			fit = append(fit, k)
		}
	}
	// A key of this machine goes before one that comes from an address.
	for _, source := range [][]verifier{r.local, r.file, r.remote} {
		if i := slices.IndexFunc(source, func(k verifier) bool { return kid != "" && k.id == kid }); i >= 0 {
			if source[i].alg != alg {
				return verifier{}, errors.New("the key with this kid is for another algorithm")
			}
			return source[i], nil
		}
		for _, k := range source {
			consider(k)
		}
	}
	if r.secret != nil {
		consider(*r.secret)
	}
	switch len(fit) {
	case 0:
		return verifier{}, errNoKey
	case 1:
		return fit[0], nil
	}
	return verifier{}, errors.New("several keys fit, and the token does not say which one has signed it")
}
