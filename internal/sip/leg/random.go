package leg

import (
	"crypto/rand"
	"encoding/binary"
)

// random32 returns a random number that a stranger cannot guess.
func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:])
}

// uniform returns a random number from 0 to before n, which is small.
func uniform(n int) int { return int(uint64(random32()) * uint64(n) >> 32) }
