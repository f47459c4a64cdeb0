// Package limits has the type for the range of a value: a setting, or a member of a request. The part that uses the value owns the
// range. The part's Validate, the table of settings, and the texts of errors all read that one range.
package limits

import (
	"cmp"
	"fmt"
)

// Range holds the smallest and the largest value that is allowed.
type Range[T cmp.Ordered] struct{ Min, Max T }

// Of returns the range from least to most, both included.
func Of[T cmp.Ordered](least, most T) Range[T] { return Range[T]{least, most} }

// Contains reports whether v is in the range. NaN is in no range.
func (r Range[T]) Contains(v T) bool { return v >= r.Min && v <= r.Max }

// String returns the range in words: "from 1 to 64".
func (r Range[T]) String() string { return fmt.Sprintf("from %v to %v", r.Min, r.Max) }

// Check returns an error that begins with name if v is not in the range.
func (r Range[T]) Check(name string, v T) error {
	if r.Contains(v) {
		return nil
	}
	return fmt.Errorf("%s %v is not %v", name, v, r)
}
