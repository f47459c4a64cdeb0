package people

import (
	"crypto/rand"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// letters are the 32 characters of passwords that we make. l and o are left out, and so are 0 and 1: people mistake them for each other.
const letters = "abcdefghijkmnpqrstuvwxyz23456789"

// NewPassword makes a password of 100 random bits: twenty characters in groups of five.
func NewPassword() string {
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[int(r)%len(letters)]) // 256 is a multiple of 32
	}
	return b.String()
}

// hashCost is the work of a hash. Tests lower it.
var hashCost = bcrypt.DefaultCost

// hashOf returns the bcrypt hash of a password that checkPassword accepts.
func hashOf(password string) ([]byte, error) {
	return bcrypt.GenerateFromPassword([]byte(password), hashCost)
}

// decoy is the hash of a password that nobody knows. It is compared with for unknown names, so that the time of the answer does not tell
// which names exist.
var decoy = []byte("$2a$10$DwIVT767jDK0WYxyVFyPgOI4JBWGIISLOZLkPnmCHujSTKOzru0DG")
