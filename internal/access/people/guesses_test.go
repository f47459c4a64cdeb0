package people

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/guard"
)

// hashTime is how long a hash takes in these tests, which is like on a busy machine.
const hashTime = 250 * time.Millisecond

// guess tries a password once.
func guess(t *testing.T, l *guesses, from, name, password string, right bool) (ok bool, wait time.Duration) {
	t.Helper()
	return l.try(t.Context(), netip.MustParseAddr(from), name, name+password, func() bool {
		time.Sleep(hashTime)
		return right
	})
}

// Sixty clients guess as fast as they can, from one address or from many, for the user or for others. A client that knows the password
// waits for a second at most.
func TestGuessersHoldNobodyUp(t *testing.T) {
	for name, tt := range map[string]struct {
		from, user func(i int) string
		most       time.Duration
	}{
		"one address":            {func(int) string { return "203.0.113.9" }, func(int) string { return "ann" }, time.Second},
		"one address, all names": {func(int) string { return "203.0.113.9" }, strconv.Itoa, time.Second},
		"many addresses":         {func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }, func(int) string { return "ann" }, time.Second},
		"behind the same proxy":  {func(int) string { return "127.0.0.1" }, strconv.Itoa, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newGuesses(guard.DefaultSharesConfig())
				over := make(chan struct{})
				var guessers sync.WaitGroup
				for i := range 60 {
					guessers.Go(func() {
						for n := 0; ; n++ {
							select {
							case <-over:
								return
							default:
							}
							if _, wait := guess(t, l, tt.from(i), tt.user(i), fmt.Sprint(i, n), false); wait > 0 {
								time.Sleep(10 * time.Millisecond) // whatever wait the server demands
							}
						}
					})
				}
				time.Sleep(10 * time.Second) // by then each of them has been wrong once
				from := "198.51.100.1"
				if name == "behind the same proxy" {
					from = "127.0.0.1"
				}
				begun := time.Now()
				for {
					ok, wait := guess(t, l, from, "ann", "right", true)
					if ok {
						break
					}
					if wait <= 0 || time.Since(begun) > time.Minute {
						t.Fatalf("the right password: %v, %v", ok, wait)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if took := time.Since(begun); took > tt.most {
					t.Errorf("the right password took %v, want %v at most", took, tt.most)
				}
				close(over)
				guessers.Wait()
			})
		})
	}
}

// Pauses grow with each wrong password for an account from an address. They end with the right password, after which there are none.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGuesses(guard.DefaultSharesConfig())
		const from = "203.0.113.9"
		var pauses []time.Duration
		for n := 0; len(pauses) < 8; n++ {
			_, wait := guess(t, l, from, "ann", strconv.Itoa(n), false)
			if wait == 0 {
				continue
			}
			if len(pauses) == 0 && n != freeTries+1 {
				t.Errorf("the first pause is after %d tries", n)
			}
			pauses = append(pauses, wait)
			time.Sleep(wait)
		}
		want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(pauses, want) {
			t.Errorf("pauses = %v, want %v", pauses, want)
		}
		if ok, _ := guess(t, l, from, "ann", "right", true); !ok {
			t.Error("the right password does not count after the pause")
		}
		for n := range 20 {
			if _, wait := guess(t, l, from, "ann", strconv.Itoa(n), false); wait > 0 {
				t.Fatalf("who has known the password is held up after %d mistakes", n)
			}
		}
	})
}

// An address that guesses for many users is refused for a while. Other addresses are not.
func TestBlockedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGuesses(guard.DefaultSharesConfig())
		for n := range maxWrong {
			if _, wait := guess(t, l, "203.0.113.9", strconv.Itoa(n), "x", false); wait > 0 {
				t.Fatalf("blocked after %d", n)
			}
		}
		if _, wait := guess(t, l, "203.0.113.9", "ann", "right", true); wait != blockedFor {
			t.Errorf("after %d wrong passwords the pause is %v, want %v", maxWrong, wait, blockedFor)
		}
		if ok, _ := guess(t, l, "203.0.113.10", "ann", "right", true); !ok {
			t.Error("another address is blocked, too")
		}
		time.Sleep(blockedFor)
		if ok, _ := guess(t, l, "203.0.113.9", "ann", "right", true); !ok {
			t.Error("the address is blocked for ever")
		}
		for n := range 2 * maxAccounts {
			l.mu.Lock()
			l.of(account{block(netip.MustParseAddr("203.0.113.9")), strconv.Itoa(n)})
			l.mu.Unlock()
		}
		if len(l.tries) > maxAccounts {
			t.Errorf("%d accounts are remembered, want %d at most", len(l.tries), maxAccounts)
		}
	})
}

// If many requests have the same password at the same time, it is checked once. The requests of a page that was just opened are such.
func TestSamePasswordAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGuesses(guard.DefaultSharesConfig())
		begun := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if ok, wait := guess(t, l, "203.0.113.9", "ann", "right", true); !ok {
					t.Errorf("refused, wait %v", wait)
				}
			})
		}
		wg.Wait()
		if took := time.Since(begun); took != hashTime {
			t.Errorf("it took %v, want that of one hash", took)
		}
	})
}

// Whoever has logged in from an address within thirty days is not locked out by a neighbour who guesses behind the same address. But the
// neighbour has to wait, too, after many tries.
func TestPausesAtHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGuesses(guard.DefaultSharesConfig())
		const home = "203.0.113.9"
		guess(t, l, home, "ann", "right", true)
		time.Sleep(rightFor - time.Hour)
		for n := range freeTriesAtHome + 1 {
			if _, wait := guess(t, l, home, "ann", strconv.Itoa(n), false); wait > 0 {
				t.Fatalf("held up after %d mistakes", n)
			}
		}
		if _, wait := guess(t, l, home, "ann", "x", false); wait != pauseAtHome {
			t.Errorf("after %d mistakes the pause is %v, want %v", freeTriesAtHome+1, wait, pauseAtHome)
		}
		time.Sleep(pauseAtHome)
		if ok, wait := guess(t, l, home, "ann", "right", true); !ok {
			t.Errorf("the owner is refused for %v", wait)
		}
		time.Sleep(rightFor)
		for n := range freeTries + 1 {
			guess(t, l, home, "ann", strconv.Itoa(n), false)
		}
		if _, wait := guess(t, l, home, "ann", "x", false); wait == 0 {
			t.Error("an address counts as home for ever")
		}
	})
}

// A user has few homes: the one that he left longest ago makes room.
func TestFewHomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGuesses(guard.DefaultSharesConfig())
		for n := range maxPlaces + 1 {
			guess(t, l, fmt.Sprintf("203.0.113.%d", n), "ann", "right", true)
		}
		p := l.visit("ann", block(netip.MustParseAddr("203.0.113.1")), time.Now())
		if _, first := p[block(netip.MustParseAddr("203.0.113.0"))]; first || len(p) != maxPlaces {
			t.Errorf("%d addresses are remembered, the first of them: %v; want %d without it", len(p), first, maxPlaces)
		}
	})
}

// Wrong tokens count for the address, but not for the addresses of proxies.
func TestWrongTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGuesses(guard.DefaultSharesConfig())
		for from, want := range map[string]time.Duration{"203.0.113.9": blockedFor, "2001:db8:0:1::1": blockedFor, "127.0.0.1": 0} {
			a := netip.MustParseAddr(from)
			for n := range maxWrong {
				if wait := l.wrong(a); wait > 0 {
					t.Fatalf("%s: refused after %d", from, n)
				}
			}
			if wait := l.wrong(a); wait != want {
				t.Errorf("%s: refused for %v, want %v", from, wait, want)
			}
		}
		// Another address of the same customer, and one of another.
		if wait := l.wrong(netip.MustParseAddr("2001:db8:0:2::1")); wait == 0 {
			t.Error("a neighbour in the same 56 bits is not refused")
		}
		if wait := l.wrong(netip.MustParseAddr("2001:db8:0:100::1")); wait != 0 {
			t.Error("another network is refused")
		}
	})
}

// A page of a stranger can have the browser of its visitor send tokens, and no passwords. The visitor still logs in, though he has never done so
// from there. A token of the settings, which people have chosen, could be guessed by such a page: it is not compared any more.
func TestTokensBlockNoPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGuesses(guard.DefaultSharesConfig())
		const from = "203.0.113.9"
		a := netip.MustParseAddr(from)
		for range 10 * maxWrong {
			l.wrong(a)
		}
		if ok, wait := guess(t, l, from, "ann", "right", true); !ok || wait != 0 {
			t.Errorf("the right password: %v, wait %v", ok, wait)
		}
		if l.before(a, secretAccount+"whip_token") == 0 {
			t.Error("a token of the settings is compared after so many wrong ones")
		}
		for n := range maxWrong { // and the other way round
			guess(t, l, "198.51.100.7", fmt.Sprint("user", n), "x", false)
		}
		if wait := l.wrong(netip.MustParseAddr("198.51.100.7")); wait != 0 {
			t.Errorf("wrong passwords shut out tokens for %v", wait)
		}
	})
}
