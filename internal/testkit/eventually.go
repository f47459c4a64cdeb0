package testkit

import (
	"testing"
	"time"
)

// maxPoll is the longest pause between two polls of Eventually.
const maxPoll = 10 * time.Millisecond

// Eventually polls notYet until it returns "". After limit it fails the test with the text that notYet returned last: what the
// test still waits for.
func Eventually(t testing.TB, limit time.Duration, notYet func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, maxPoll) {
		waitsFor := notYet()
		if waitsFor == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", limit, waitsFor)
		}
		time.Sleep(pause)
	}
}
