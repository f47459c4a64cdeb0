package token

import (
	"crypto/sha256"
	"encoding/hex"

	"transponder/internal/state"
)

// buckets are the records of this package in the state.
type buckets struct {
	keys        *state.Bucket[keyRecord]
	revocations *state.Bucket[Revocation]
	used        *state.Bucket[usedRecord] // tokens that may be used once, and were
	signing     *state.Bucket[signerRecord]
	fetched     *state.Bucket[fetchedRecord] // keys of token_jwks_url
}

func newBuckets(k state.Keeper) buckets {
	return buckets{
		keys: state.NewBucket[keyRecord](k, "keys", 1), revocations: state.NewBucket[Revocation](k, "revocations", 1),
		used: state.NewBucket[usedRecord](k, "used", 1), signing: state.NewBucket[signerRecord](k, "signing", 1),
		fetched: state.NewBucket[fetchedRecord](k, "fetched", 1),
	}
}

// recordKey makes the key of a record from any text.
func recordKey(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
