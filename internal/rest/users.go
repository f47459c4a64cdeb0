package rest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// users are those who may use the API. bcrypt is slow on purpose, and clients ask every few seconds, so the last password
// that was right is remembered for each user, as a keyed hash.
type users struct {
	hashes map[string][]byte
	decoy  []byte // a hash to compare with for names that are not there, so that the time does not tell
	key    [32]byte

	// slow lets one bcrypt hash be computed at a time, so that guessing takes no more than one core.
	slow  sync.Mutex
	mu    sync.Mutex
	known map[string][sha256.Size]byte // guarded by mu
}

// parseUsers reads lines of "name:bcrypt hash". Empty lines and lines that begin with # are skipped.
func parseUsers(text string) (*users, error) {
	u := &users{hashes: map[string][]byte{}, known: map[string][sha256.Size]byte{}}
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

// admit says whether the password is the user's. It takes a while the first time.
func (u *users) admit(name, password string) bool {
	mac := hmac.New(sha256.New, u.key[:])
	mac.Write([]byte(password))
	sum := [sha256.Size]byte(mac.Sum(nil))
	u.mu.Lock()
	last, used := u.known[name]
	u.mu.Unlock()
	if used && hmac.Equal(last[:], sum[:]) {
		return true
	}

	hash, exists := u.hashes[name]
	if !exists {
		hash = u.decoy
	}
	u.slow.Lock()
	right := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	u.slow.Unlock()
	if !exists || !right {
		return false
	}
	u.mu.Lock()
	u.known[name] = sum
	u.mu.Unlock()
	return true
}
