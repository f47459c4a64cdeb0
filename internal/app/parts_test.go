package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder notes in which order parts end.
type recorder struct {
	mu    sync.Mutex
	ended []string
}

func (r *recorder) part(name string, slow time.Duration) part {
	return part{name, func(ctx context.Context) error {
		<-ctx.Done()
		<-time.After(slow)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = append(r.ended, name)
		return context.Cause(ctx)
	}}
}

func TestRunAllStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := runAll(ctx, slog.New(slog.DiscardHandler), []part{r.part("a", 0), r.part("b", time.Second), r.part("c", 0)}, 5*time.Second)
		if err != nil {
			t.Errorf("runAll = %v, want nil after being asked to stop", err)
		}
		if want := []string{"c", "b", "a"}; !slices.Equal(r.ended, want) {
			t.Errorf("ended in order %v, want %v", r.ended, want)
		}
	})
}

func TestRunAllEndsWithAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		broken := errors.New("broken")
		failing := part{"failing", func(context.Context) error { return broken }}
		err := runAll(t.Context(), slog.New(slog.DiscardHandler), []part{r.part("a", 0), failing, r.part("c", 0)}, 5*time.Second)
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "failing") {
			t.Errorf("runAll = %v, want the failing part's error with its name", err)
		}
		if want := []string{"c", "a"}; !slices.Equal(r.ended, want) {
			t.Errorf("ended %v, want %v", r.ended, want)
		}
	})
}

func TestRunAllNamesWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := runAll(ctx, slog.New(slog.DiscardHandler), []part{r.part("a", 0), r.part("hangs", time.Hour)}, 5*time.Second)
		if err == nil || !strings.Contains(err.Error(), "hangs did not stop") {
			t.Errorf("runAll = %v, want the hanging part named", err)
		}
		synctest.Wait()
		<-time.After(2 * time.Hour)
	})
}
