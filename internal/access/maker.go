package access

import (
	"errors"
	"slices"
	"time"
)

// Maker is somebody who has made a credential for another one. The credential ends with what its makers have shown, and shares their limits: a
// tenant who may have one publisher does not get a hundred by a hundred keys.
type Maker struct {
	Kind     Kind      `json:"kind"`
	Identity string    `json:"identity"` // see Principal.Identity
	ID       string    `json:"id,omitempty"`
	KeyID    string    `json:"kid,omitempty"`
	Subject  string    `json:"sub,omitempty"`
	Issued   time.Time `json:"iat,omitzero"`
	Limits   Limits    `json:"limits,omitzero"`
}

// maxMakers is how long a chain of credentials may be of which each was made with the one before.
const maxMakers = 8

// ErrChain means that a credential would be made with one that was made with one that …
var ErrChain = errors.New("this credential was made with one that was made with another one, and so on: make the new one with the first of them")

// MakersBy returns the makers of a credential that the principal makes: those of his own credential, and himself. He is left out if nothing tells
// him from others, such as somebody on this machine.
func MakersBy(p *Principal) ([]Maker, error) {
	if p == nil || p.Identity() == "" {
		return nil, nil
	}
	if len(p.Makers) >= maxMakers {
		return nil, ErrChain
	}
	return append(slices.Clone(p.Makers), Maker{p.Kind, p.Identity(), p.ID, p.KeyID, p.Subject, p.Issued, p.Limits}), nil
}

// Principal returns the maker as a principal, for questions about his credential. It has no grants.
func (m Maker) Principal() *Principal {
	return &Principal{Kind: m.Kind, Subject: m.Subject, ID: m.ID, KeyID: m.KeyID, Issued: m.Issued}
}

// Root returns the identity of whoever stands at the beginning of the chain: the first maker, or the principal himself. "": nobody in particular.
func (p *Principal) Root() string {
	if p != nil && len(p.Makers) > 0 {
		return p.Makers[0].Identity
	}
	return p.Identity()
}
