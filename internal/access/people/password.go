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

// hashCost is the work of the hash of a password that a person has chosen. Tests lower it.
var hashCost = bcrypt.DefaultCost

// madeCost is the work of the hash of a password from NewPassword. Work slows down those who try the likely passwords first. All passwords of
// 100 random bits are equally likely, and too many to be tried.
const madeCost = bcrypt.MinCost + 1

// hashOf returns the bcrypt hash of a password that checkPassword accepts.
func hashOf(password string, made bool) ([]byte, error) {
	cost := hashCost
	if made {
		cost = madeCost
	}
	return bcrypt.GenerateFromPassword([]byte(password), cost)
}

// isRight says whether a password fits a hash. A hash of little work takes as long as the decoy, so that the time does not tell that the
// password was made by us.
func isRight(hash []byte, password string) bool {
	right := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	if cost, err := bcrypt.Cost(hash); err == nil && cost == madeCost {
		_ = bcrypt.CompareHashAndPassword(decoy, []byte(password))
	}
	return right
}

// decoy is the hash of a password that nobody knows. It is compared with for unknown names, so that the time of the answer does not tell
// which names exist.
var decoy = []byte("$2a$10$DwIVT767jDK0WYxyVFyPgOI4JBWGIISLOZLkPnmCHujSTKOzru0DG")
