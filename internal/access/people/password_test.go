package people

import (
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// A password that we have made costs little to hash, since nobody can guess it, and one that a person has chosen costs what it must.
func TestCostOfPasswords(t *testing.T) {
	before := hashCost
	hashCost = bcrypt.DefaultCost
	defer func() { hashCost = before }()
	for made, want := range map[bool]int{true: madeCost, false: bcrypt.DefaultCost} {
		hash, err := hashOf("a long password", made)
		if err != nil {
			t.Fatal(err)
		}
		if cost, err := bcrypt.Cost(hash); err != nil || cost != want {
			t.Errorf("made by us %t: the cost is %d, want %d (%v)", made, cost, want, err)
		}
		if !isRight(hash, "a long password") || isRight(hash, "another password") {
			t.Errorf("made by us %t: the right password is wrong, or a wrong one right", made)
		}
	}
}
