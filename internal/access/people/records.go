package people

import (
	"net/netip"
	"time"

	"transponder/internal/access"
)

// The records of the state. Times are ms since 1970.

// userRecord is a user. His name is the key.
type userRecord struct {
	Hash    string      `json:"hash"` // bcrypt
	Role    access.Role `json:"role"`
	Streams []string    `json:"streams"`
	Created int64       `json:"created"`
}

func recordOf(u *user) userRecord {
	return userRecord{Hash: string(u.hash), Role: u.role, Streams: u.streams, Created: u.created.UnixMilli()}
}

func (r userRecord) user(name string, revision uint64) *user {
	return &user{revision: revision, name: name, hash: []byte(r.Hash), role: r.Role, streams: r.Streams, source: FromState, created: time.UnixMilli(r.Created)}
}

// visitRecord says when and from where a user has logged in. His name is the key.
type visitRecord struct {
	At     int64            `json:"at"`
	Places map[string]int64 `json:"places"` // by network
}

func (r visitRecord) at() time.Time {
	if r.At == 0 {
		return time.Time{}
	}
	return time.UnixMilli(r.At)
}

func (r visitRecord) places() places {
	p := places{}
	for network, at := range r.Places {
		if prefix, err := netip.ParsePrefix(network); err == nil && len(p) < maxPlaces {
			p[prefix] = time.UnixMilli(at)
		}
	}
	return p
}

// sessionRecord is a session of a page. The hash of its secret is the key.
type sessionRecord struct {
	User      string `json:"user"`
	Stamp     string `json:"stamp"` // of the password
	Created   int64  `json:"created"`
	LastSeen  int64  `json:"lastSeen"`
	Address   string `json:"address"`
	UserAgent string `json:"userAgent"`
}

func (r sessionRecord) session(key string, revision uint64) *session {
	seen := time.UnixMilli(r.LastSeen)
	return &session{
		key: key, user: r.User, stamp: r.Stamp, created: time.UnixMilli(r.Created), address: r.Address, userAgent: r.UserAgent, seen: seen, saved: seen,
		revision: revision,
	}
}
