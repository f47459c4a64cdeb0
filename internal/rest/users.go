package rest

import (
	"bytes"
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

// users are the people and programs that may use the API. bcrypt is slow on purpose, and clients ask every few seconds. So the last
// right password of each user is remembered, as a keyed hash.
type users struct {
	key    [32]byte
	logins *logins

	mu     sync.Mutex
	hashes map[string][]byte            // guarded by mu
	decoy  []byte                       // guarded by mu; compared with for unknown names, so that the time of the answer does not tell which names exist
	known  map[string][sha256.Size]byte // guarded by mu
}

func newUsers(shares guard.SharesConfig) *users {
	u := &users{logins: newLogins(shares)}
	_, _ = rand.Read(u.key[:]) // never fails
	return u
}

// parse reads lines of "name:bcrypt hash", which replace all earlier ones. Empty lines and lines that begin with # are skipped. If there
// is an error, nothing changes.
func (u *users) parse(text string) error {
	hashes, decoy := map[string][]byte{}, []byte(nil)
	n := 0
	text = strings.TrimPrefix(text, "\ufeff") // editors on Windows write a byte order mark first
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); name == "" || err != nil {
			return fmt.Errorf("line %d is not \"name:bcrypt hash\"", n)
		}
		if _, twice := hashes[name]; twice {
			return fmt.Errorf("line %d: %q is there twice", n, name)
		}
		hashes[name], decoy = []byte(hash), []byte(hash)
	}
	if len(hashes) == 0 {
		return errors.New("holds no user")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hashes, u.decoy, u.known = hashes, decoy, map[string][sha256.Size]byte{}
	return nil
}

// admit says whether a password that comes from an address is that of the user. This takes a while the first time. If wait is not 0,
// the password was not checked, since there were too many tries; the next try may come after that time.
func (u *users) admit(ctx context.Context, from netip.Addr, name, password string) (ok bool, wait time.Duration) {
	mac := hmac.New(sha256.New, u.key[:])
	mac.Write([]byte(password))
	sum := [sha256.Size]byte(mac.Sum(nil))
	u.mu.Lock()
	last, used := u.known[name]
	hash, exists := u.hashes[name]
	if !exists {
		hash = u.decoy
	}
	u.mu.Unlock()
	if used && hmac.Equal(last[:], sum[:]) {
		return true, 0
	}

	ok, wait = u.logins.try(ctx, from, name, name+"\x00"+string(sum[:]), func() bool {
		return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && exists
	})
	if ok {
		u.mu.Lock()
		if bytes.Equal(hash, u.hashes[name]) { // otherwise the file was read again meanwhile
			u.known[name] = sum
		}
		u.mu.Unlock()
	}
	return ok, wait
}
