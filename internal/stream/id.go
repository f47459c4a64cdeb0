package stream

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// NewID returns an id that nobody can guess, in the shape of the contract's media session ids: 128 random bits as 26 characters
// of 0-9a-v.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}
