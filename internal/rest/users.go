package rest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"transponder/internal/guard"
)

// users are those who may use the API. bcrypt is slow on purpose, and clients ask every few seconds, so the last password
// that was right is remembered for each user, as a keyed hash.
type users struct {
	hashes map[string][]byte
	decoy  []byte // a hash to compare with for names that are not there, so that the time does not tell
	key    [32]byte

	logins *logins

	mu    sync.Mutex
	known map[string][sha256.Size]byte // guarded by mu
}

// parseUsers reads lines of "name:bcrypt hash". Empty lines and lines that begin with # are skipped.
func parseUsers(text string, shares guard.SharesConfig) (*users, error) {
	u := &users{logins: newLogins(shares), hashes: map[string][]byte{}, known: map[string][sha256.Size]byte{}}
	_, _ = rand.Read(u.key[:]) // never fails
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); name == "" || err != nil {
			return nil, fmt.Errorf("line %d is not \"name:bcrypt hash\"", n)
		}
		if _, twice := u.hashes[name]; twice {
			return nil, fmt.Errorf("line %d: %q is there twice", n, name)
		}
		u.hashes[name], u.decoy = []byte(hash), []byte(hash)
	}
	if len(u.hashes) == 0 {
		return nil, errors.New("holds no user")
	}
	return u, nil
}

// admit says whether the password that comes from an address is the user's. It takes a while the first time. If wait is not 0 nobody
// looked: there were too many tries, and the next may come after that time.
func (u *users) admit(ctx context.Context, from netip.Addr, name, password string) (ok bool, wait time.Duration) {
	mac := hmac.New(sha256.New, u.key[:])
	mac.Write([]byte(password))
	sum := [sha256.Size]byte(mac.Sum(nil))
	u.mu.Lock()
	last, used := u.known[name]
	u.mu.Unlock()
	if used && hmac.Equal(last[:], sum[:]) {
		return true, 0
	}

	hash, exists := u.hashes[name]
	if !exists {
		hash = u.decoy
	}
	ok, wait = u.logins.try(ctx, from, name, name+"\x00"+string(sum[:]), func() bool {
		return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && exists
	})
	if ok {
		u.mu.Lock()
		u.known[name] = sum
		u.mu.Unlock()
	}
	return ok, wait
}
