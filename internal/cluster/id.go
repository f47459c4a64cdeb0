package cluster

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"transponder/internal/state"
	"transponder/internal/stream"
)

// A push's id has 26 digits of base 32: 8 of the stream, 8 of the target, and 10 that are random. So the id tells where the record lies, and one
// create of the record decides who has the push.
const (
	hashDigits   = 8
	randomDigits = 10
	idDigits     = 2*hashDigits + randomDigits

	// saltSize is the length of the key of the hashes in ids: without the key, nobody can guess streams and targets from ids.
	saltSize = 32
)

// hash returns 8 digits that stand for a text of some kind.
func hash(salt []byte, kind, text string) string {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(kind + "\x00" + text))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)))[:hashDigits]
}

// StreamHash returns the digits that stand for a stream in ids and keys, "" as long as the salt is not known.
func (c *Claims) StreamHash(name string) string { return c.hash("stream", name) }

func (c *Claims) hash(kind, text string) string {
	salt := c.salt.Load()
	if salt == nil {
		return ""
	}
	return hash(*salt, kind, text)
}

func (c *Claims) newID(name, target string) string {
	return c.StreamHash(name) + c.hash("target", target) + stream.NewID()[:randomDigits]
}

// placeOf returns the key of the record of a push.
func placeOf(id string) (string, error) {
	if len(id) != idDigits || strings.ContainsFunc(id, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'v') }) {
		return "", fmt.Errorf("%q is not an id of a push", id)
	}
	return id[:hashDigits] + "." + id[hashDigits:2*hashDigits], nil
}

const (
	saltKey   = "salt"
	saltPlace = "meta/salt"
)

type saltRecord struct {
	Version int    `json:"v"`
	Sealed  string `json:"sealed"`
}

// Salt returns the key of the hashes in ids. It makes one if there is none, and stores it sealed. If the stored one cannot be opened, it fails
// with state.ErrSealed, or makes a new one if replace is set. A store that takes no writes gets a salt that ends with the process.
func Salt(ctx context.Context, keeper state.Keeper, sealer state.Sealer, replace bool) ([]byte, error) {
	for {
		expect := uint64(0)
		old, err := keeper.Get(ctx, metaBucket, saltKey)
		switch {
		case err == nil:
			salt, err := openSalt(old.Value, sealer)
			if err == nil || !replace {
				return salt, err
			}
			expect = old.Revision
		case errors.Is(err, state.ErrDamaged):
			expect = state.Any
		case !errors.Is(err, state.ErrNotFound):
			return nil, fmt.Errorf("read the salt of ids: %w", err)
		}
		salt := make([]byte, saltSize)
		rand.Read(salt) // never fails
		value, err := sealSalt(salt, sealer)
		if err != nil {
			return nil, err
		}
		_, err = keeper.Put(ctx, metaBucket, saltKey, value, expect)
		var full *state.WriteError
		switch {
		case err == nil, errors.As(err, &full):
			return salt, nil
		case !errors.Is(err, state.ErrConflict): // with ErrConflict another process has just made one
			return nil, fmt.Errorf("write the salt of ids: %w", err)
		}
	}
}

// keepSalt stores a salt again if the keeper has forgotten it: records that were written with it could not be found with another one.
func keepSalt(ctx context.Context, keeper state.Keeper, sealer state.Sealer, salt []byte) error {
	if _, err := keeper.Get(ctx, metaBucket, saltKey); !errors.Is(err, state.ErrNotFound) {
		return err
	}
	value, err := sealSalt(salt, sealer)
	if err != nil {
		return err
	}
	if _, err := keeper.Put(ctx, metaBucket, saltKey, value, 0); err != nil && !errors.Is(err, state.ErrConflict) {
		return fmt.Errorf("write the salt of ids: %w", err)
	}
	return nil
}

func sealSalt(salt []byte, sealer state.Sealer) ([]byte, error) {
	sealed, err := sealer.Seal(saltPlace, salt)
	if err != nil {
		return nil, err
	}
	return json.Marshal(saltRecord{1, sealed})
}

func openSalt(value []byte, sealer state.Sealer) ([]byte, error) {
	var r saltRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("%w: the salt of ids: %w", state.ErrSealed, err)
	}
	salt, err := sealer.Open(saltPlace, r.Sealed)
	if err == nil && len(salt) != saltSize {
		err = state.ErrSealed
	}
	if err != nil {
		return nil, fmt.Errorf("the salt of ids: %w", err)
	}
	return salt, nil
}
