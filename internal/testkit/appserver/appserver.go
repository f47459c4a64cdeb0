// Package appserver is the application server of a customer, for tests. It answers each hook by its own body, as the vendor's samples do.
package appserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"transponder/internal/guard"
	"transponder/internal/hook"
	"transponder/internal/state"
	"transponder/internal/testkit"
)

// Call is a hook that was received.
type Call struct {
	Method hook.Method
	Body   map[string]any
}

// Text returns a member of the body that is a string.
func (c Call) Text(name string) string {
	s, _ := c.Body[name].(string)
	return s
}

// Backend is an HTTP server that takes hooks.
type Backend struct {
	// Answer changes the answer to a hook, or returns a status other than 200. nil: the answer is the body. It is set before use.
	Answer func(c Call, answer map[string]any) (status int)

	server *httptest.Server

	mu    sync.Mutex
	calls []Call // guarded by mu
}

// Start starts a backend, which runs until the test ends.
func Start(t testing.TB) *Backend {
	b := &Backend{}
	b.server = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.server.Close)
	return b
}

// URL returns the address of the app. The names of hooks are added to it.
func (b *Backend) URL() string { return b.server.URL + "/apps/test" }

// Stop ends the backend: nobody answers any more.
func (b *Backend) Stop() {
	b.server.CloseClientConnections()
	b.server.Close()
}

func (b *Backend) serve(w http.ResponseWriter, r *http.Request) {
	c := Call{Method: hook.Method(path.Base(r.URL.Path))}
	text, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(text, &c.Body) != nil {
		http.Error(w, "no JSON object", http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	b.calls = append(b.calls, c)
	b.mu.Unlock()
	answer, status := maps.Clone(c.Body), http.StatusOK
	if b.Answer != nil {
		status = b.Answer(c, answer)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// Rules is a restClientConfig for Answer.
func Rules(method hook.Method, rules map[string]any) map[string]any {
	return map[string]any{string(method): rules}
}

// Calls returns the hooks that were received, oldest first.
func (b *Backend) Calls() []Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// Wait waits until as many hooks were received as are named, and checks that they are these. A name is a method, with a colon and the status
// if the body has one.
func (b *Backend) Wait(t testing.TB, want ...string) []Call {
	t.Helper()
	const limit = 10 * time.Second
	testkit.Eventually(t, limit, func() string {
		if n := len(b.Calls()); n < len(want) {
			return fmt.Sprintf("the backend got %v, want %v", Names(b.Calls()), want)
		}
		return ""
	})
	calls := b.Calls()
	if got := Names(calls); !slices.Equal(got, want) {
		t.Errorf("the backend got %v, want %v", got, want)
	}
	return calls
}

// Names returns the names of hooks, as Wait takes them.
func Names(calls []Call) []string {
	names := make([]string, len(calls))
	for i, c := range calls {
		names[i] = string(c.Method)
		if status := c.Text("status"); status != "" {
			names[i] += ":" + status
		}
	}
	return names
}

// Hooks returns hooks whose default app has this backend, unless change makes another app of it.
func (b *Backend) Hooks(t testing.TB, change func(*hook.Config, *hook.App)) *hook.Hooks {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	cfg, app := hook.DefaultConfig(), hook.App{Name: hook.DefaultApp, Key: hook.DefaultApp, URL: b.URL()}
	if change != nil {
		change(&cfg, &app)
	}
	store, err := state.Memory(ctx, log)
	if err != nil {
		t.Fatal(err)
	}
	apps, err := hook.NewApps(ctx, "", store, store.Sealer(), log)
	if err == nil {
		_, err = apps.Create(ctx, app)
	}
	if err != nil {
		t.Fatal(err)
	}
	h, err := hook.New(cfg, hook.Parts{Apps: apps, Refusals: guard.NewRefusals(log), Shares: guard.DefaultSharesConfig()}, log)
	if err != nil {
		t.Fatal(err)
	}
	var ran sync.WaitGroup
	ran.Go(func() { _ = h.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		ran.Wait()
		_ = store.Close()
	})
	return h
}
