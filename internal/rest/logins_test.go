package rest

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
func guess(t *testing.T, l *logins, from, name, password string, right bool) (ok bool, wait time.Duration) {
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
				l := newLogins(guard.DefaultSharesConfig())
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
		l := newLogins(guard.DefaultSharesConfig())
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
		l := newLogins(guard.DefaultSharesConfig())
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
			l.of(account{guard.Block(netip.MustParseAddr("203.0.113.9")), strconv.Itoa(n)})
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
		l := newLogins(guard.DefaultSharesConfig())
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

// A client that has guessed too often is told when to try again. Handlers besides the API are protected too, except from this machine.
func TestTooManyTries(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Auth, cfg.UsersFile = true, usersFile(t, "ann", "secret")
	refusals := guard.NewRefusals(slog.New(slog.DiscardHandler))
	h, err := New(cfg, Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Refusals: refusals, Shares: guard.DefaultSharesConfig()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	figures := h.Protect("metrics", false, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func(h http.Handler, peer, password, forwarded string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/rest-api/push/find_all", nil)
		r.RemoteAddr, r.Host = peer, "localhost"
		if password != "" {
			r.SetBasicAuth("ann", password)
		}
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for i := range freeTries + 1 {
		if got := ask(h, "203.0.113.9:1", "wrong"+strconv.Itoa(i), ""); got.Code != http.StatusUnauthorized {
			t.Fatalf("try %d is answered %d", i, got.Code)
		}
	}
	if got := ask(h, "203.0.113.9:1", "wrong", ""); got.Code != http.StatusTooManyRequests || got.Header().Get("Retry-After") != "1" {
		t.Errorf("one try more is answered %d, Retry-After %q", got.Code, got.Header().Get("Retry-After"))
	}
	if got := refusals.Counts()[guard.Refused{Door: "rest", Why: guard.WhyPassword}]; got != freeTries+1 {
		t.Errorf("%d wrong passwords are counted", got)
	}
	for _, tt := range []struct {
		peer, password, forwarded string
		want                      int
	}{
		{"127.0.0.1:1", "", "", 200},
		{"127.0.0.1:1", "", "203.0.113.1", 401}, // a proxy on this machine
		{"203.0.113.1:1", "", "", 401},
		{"203.0.113.1:1", "secret", "", 200},
	} {
		if got := ask(figures, tt.peer, tt.password, tt.forwarded).Code; got != tt.want {
			t.Errorf("figures for %s with %q: %d, want %d", tt.peer, tt.password, got, tt.want)
		}
	}
}
