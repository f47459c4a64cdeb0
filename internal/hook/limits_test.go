package hook

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/access"
	"transponder/internal/guard"
)

// TestFinalAnswersArePrompt holds that an event that was refused does not hold up the next ones by tries.
func TestFinalAnswersArePrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		b.answer = func(w http.ResponseWriter, r received) bool {
			if r.method == Connect {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		h := inBubble(t, b, func(c *Config, _ *App) { c.EventRetries = 5 })
		s := h.connected(t)
		s.Established(nil)
		s.Tell(StreamStatusEvent, Stream{}, nil)
		time.Sleep(time.Hour)
		if got := b.methods(); len(got) != 3 {
			t.Errorf("the backend got %v", got)
		}
	})
}

// TestWaitingIsBounded holds that only so many requests wait for a backend that hangs, that others have no answer at once, and that this is
// no sign of a dead backend.
func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		release := make(chan struct{})
		b.answer = func(_ http.ResponseWriter, r received) bool {
			if r.method == PublishStream {
				<-release
			}
			return false
		}
		b.config = map[string]any{"publishStream": map[string]string{"restOnError": "FAIL"}}
		h := inBubble(t, b, nil)
		s := h.connected(t)
		var wg sync.WaitGroup
		ask := func() error {
			_, err := s.Ask(t.Context(), PublishStream, Stream{})
			return err
		}
		for range mostUnderWay + mostWaiting {
			wg.Go(func() {
				if err := ask(); err != nil {
					t.Errorf("a request that may wait: %v", err)
				}
			})
		}
		synctest.Wait()
		if st := h.Stats()[0]; st.UnderWay != mostUnderWay || st.Waiting != mostWaiting {
			t.Errorf("%d under way and %d waiting", st.UnderWay, st.Waiting)
		}
		begun := time.Now()
		for range breakAfter + 1 {
			if err := ask(); !errors.Is(err, errBusy) {
				t.Errorf("one request too many: %v", err)
			}
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %v", took)
		}
		if got := h.Unreachable(); len(got) > 0 {
			t.Errorf("unreachable: %v", got)
		}
		close(release)
		wg.Wait()
	})
}

// TestShareOfConnects holds that one address has only its share of the connects that wait.
func TestShareOfConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		release := make(chan struct{})
		b.answer = func(http.ResponseWriter, received) bool { <-release; return false }
		h := inBubble(t, b, nil)
		known := &access.Principal{Kind: access.Token, Subject: "u"} // the rate of strangers does not count
		const share = (maxConnects + 4) / 5
		var wg sync.WaitGroup
		for range share {
			wg.Go(func() {
				s, _ := h.Open(page)
				_, _, _ = s.Connect(t.Context(), known, Connection{})
			})
		}
		synctest.Wait()
		begun := time.Now()
		s, _ := h.Open(page)
		var refused *Refused
		if _, _, err := s.Connect(t.Context(), known, Connection{}); !errors.As(err, &refused) || time.Since(begun) > 0 {
			t.Errorf("one more from the same address: %v after %v", err, time.Since(begun))
		}
		close(release)
		wg.Wait()
	})
}

// TestOnErrorOfApp holds that the word of the application comes after that of the backend, and before the settings.
func TestOnErrorOfApp(t *testing.T) {
	for _, tt := range []struct {
		app, setting OnError
		backend      string
		want         bool
	}{
		{Fail, Log, "", true}, {Log, Fail, "", false}, {Fail, Log, "LOG", false}, {Log, Log, "FAIL", true}, {"", Fail, "", true},
	} {
		b := newServer(t)
		b.answer = func(w http.ResponseWriter, r received) bool {
			if r.method == PublishStream {
				w.WriteHeader(http.StatusForbidden)
			}
			return r.method == PublishStream
		}
		b.config = map[string]any{"publishStream": map[string]string{"restOnError": tt.backend}}
		h := run(t, b, func(c *Config, app *App) { c.OnError, app.OnError = tt.setting, tt.app })
		if _, err := h.connected(t).Ask(t.Context(), PublishStream, Stream{}); (err != nil) != tt.want {
			t.Errorf("app %q, setting %q, backend %q: %v", tt.app, tt.setting, tt.backend, err)
		}
	}
}

// TestHashOrUser holds that the hash and a username do not both want the header Authorization.
func TestHashOrUser(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	cfg := DefaultConfig()
	cfg.SendHash, cfg.Secret = true, "secret"
	k := newKeeper()
	apps := newApps(t, k, "")
	app := App{Name: "a", Key: "a", URL: "http://127.0.0.1/", Username: "u", Password: "p"}
	make := func() error {
		_, err := New(cfg, Parts{Apps: apps, Refusals: guard.NewRefusals(log)}, log)
		return err
	}
	if err := make(); err != nil {
		t.Fatal(err)
	}
	var bad *AppError
	if _, err := apps.Create(t.Context(), app); !errors.As(err, &bad) || bad.Field != "username" {
		t.Errorf("an app with a username: %v", err)
	}
	apps = newApps(t, k, "")
	if _, err := apps.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if err := make(); err == nil || !strings.Contains(err.Error(), "rest_hook_send_hash") {
		t.Errorf("the start with such an app: %v", err)
	}
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"rest_on_error":                          func(c *Config) { c.OnError = "fail" },
		"rest_hook_secret_key":                   func(c *Config) { c.SendHash = true },
		"rest_request_timeout":                   func(c *Config) { c.Timeout = -1 },
		"rest_max_connections":                   func(c *Config) { c.MaxConnections = 0 },
		"rest_event_retries":                     func(c *Config) { c.EventRetries = -1 },
		"streaming_sessions_keep_alive_interval": func(c *Config) { c.KeepAliveInterval = 0 },
		"rest_hook_cert_file":                    func(c *Config) { c.CertFile = "x" },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %s", err, want)
		}
	}
}

// TestEventsOfManySessions holds that no event is lost because many sessions have one at the same time.
func TestEventsOfManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		b.answer = func(_ http.ResponseWriter, r received) bool {
			if r.method == ConnectionStatusEvent {
				time.Sleep(time.Second)
			}
			return false
		}
		h := inBubble(t, b, nil)
		const sessions = mostUnderWay + mostWaiting + 100
		for range sessions {
			s := &Session{hooks: h.Hooks, client: Client{AppKey: DefaultApp, SessionID: "s"}}
			s.Established(nil)
		}
		time.Sleep(time.Minute)
		if got := len(b.received()); got != sessions {
			t.Errorf("the backend got %d of %d events", got, sessions)
		}
		if lost := h.Stats()[0].LostEvents; lost != 0 {
			t.Errorf("%d events lost", lost)
		}
	})
}
