//go:build e2e

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
)

// cost is what a kind of work took.
type cost struct {
	what  string
	each  []time.Duration // of each piece
	wall  time.Duration
	cores time.Duration // of processor, of the NATS servers
	paper float64       // pieces a second of the plan for 100 000 streams; 0: it has none
}

func (c cost) String() string {
	slices.Sort(c.each)
	n := len(c.each)
	line := fmt.Sprintf("%-44s %6d in %6.2f s: %7.0f/s, p50 %6.2f ms, p99 %6.2f ms, %6.1f µs of NATS each", c.what, n, c.wall.Seconds(),
		float64(n)/c.wall.Seconds(), ms(c.each[n/2]), ms(c.each[n*99/100]), float64(c.cores.Microseconds())/float64(n))
	if c.paper > 0 {
		line += fmt.Sprintf("; the plan needs %.0f/s: %.1f times that, and %.2f cores", c.paper, float64(n)/c.wall.Seconds()/c.paper,
			c.paper*c.cores.Seconds()/float64(n))
	}
	return line
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// processor returns the processor time of a process, and its resident memory in bytes.
func processor(t *testing.T, pid int) (used time.Duration, resident int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	for _, w := range words[11:13] { // user and system time, in ticks of 10 ms
		ticks, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		used += time.Duration(ticks) * 10 * time.Millisecond
	}
	pages, err := strconv.ParseInt(words[21], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return used, pages * int64(os.Getpagesize())
}

// load runs n pieces of work with some workers, and measures each piece and the NATS servers.
func load(t *testing.T, servers natskit.Cluster, what string, n, workers int, paper float64, work func(ctx context.Context, i int) error) cost {
	t.Helper()
	total := func() (used time.Duration) {
		for _, s := range servers {
			own, _ := processor(t, s.PID())
			used += own
		}
		return used
	}
	c := cost{what: what, each: make([]time.Duration, n), paper: paper}
	before, begun := total(), time.Now()
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				at := time.Now()
				if err := work(t.Context(), i); err != nil && failed.Add(1) <= 3 {
					t.Errorf("%s, %d: %v", what, i, err)
				}
				c.each[i] = time.Since(at)
			}
		})
	}
	wg.Wait()
	c.wall, c.cores = time.Since(begun), total()-before
	t.Log(c)
	return c
}

// TestLongScale does the work of many streams against three real NATS servers, and prints what each piece costs beside the plan for 100 000
// streams on 100 servers with 1.2 pushes each, half an hour long (what that needs a second is with each line).
func TestLongScale(t *testing.T) {
	const nodes, streams = 10, 1000
	servers := natskit.Three(t)
	var all []*Cluster
	for i := range nodes {
		c := newNode(t, servers.URL(), "node"+strconv.Itoa(i))
		c.start(t)
		all = append(all, c)
	}
	for _, c := range all {
		testkit.Eventually(t, 2*time.Minute, c.sees(nodes))
	}
	kept, err := all[0].JetStream().Stream(t.Context(), all[0].store.stream(pushesBucket))
	if err != nil {
		t.Fatal(err)
	}
	if n := kept.CachedInfo().Config.Replicas; n != 3 {
		t.Fatalf("records are kept %d times, want 3", n)
	}
	at := func(i int) *Cluster { return all[i%nodes] }
	info := func(i int) stream.Info {
		name := fmt.Sprintf("show-%d", i)
		return stream.Info{Name: name, ID: name, Provider: "WHIP"}
	}

	load(t, servers, "names taken", streams, 32, 55.6, func(ctx context.Context, i int) error {
		if err := at(i).Names().Take(ctx, info(i)); err != nil {
			return err
		}
		if owner, ok, err := at(i).Names().Find(ctx, info(i).Name); err != nil || !ok || owner != at(i).Self() {
			return fmt.Errorf("owner %v, %v, %w", owner, ok, err)
		}
		return nil
	})
	if held := func() (n int) {
		for _, c := range all {
			own, provisional := c.names.count()
			if n += own; provisional > 0 {
				t.Errorf("%d names of %s are provisional", provisional, c.Self().Node)
			}
		}
		return n
	}(); held != streams {
		t.Errorf("%d names are held, want %d", held, streams)
	}

	// Each push writes its record when it starts, when it is live and when it is over, some twice more.
	record := func(i, epoch int) []byte {
		body, err := json.Marshal(map[string]any{"v": 1, "id": i, "epoch": epoch, "owner": at(i).Self(), "filling": strings.Repeat("x", 500)})
		if err != nil {
			t.Error(err)
		}
		return body
	}
	key := func(i int) string { return fmt.Sprintf("%08d.%08d", i%streams, i) }
	const pushes = streams * 12 / 10
	revisions := make([]uint64, pushes)
	load(t, servers, "records made", pushes, 32, 66.7, func(ctx context.Context, i int) (err error) {
		revisions[i], err = at(i).Keeper().Put(ctx, pushesBucket, key(i), record(i, 1), 0)
		return err
	})
	load(t, servers, "records changed", 2*pushes, 32, 66.7*2+33*2+10, func(ctx context.Context, i int) (err error) {
		n := i % pushes
		if i >= pushes {
			return stale(at(n).Keeper().Put(ctx, pushesBucket, key(n), record(n, 3), revisions[n]-1)) // somebody else wrote meanwhile
		}
		revisions[n], err = at(n).Keeper().Put(ctx, pushesBucket, key(n), record(n, 2), revisions[n])
		return err
	})
	load(t, servers, "what waits of one stream", streams, 8, 55.6, func(ctx context.Context, i int) error {
		found, err := at(i).Keeper().List(ctx, pushesBucket, fmt.Sprintf("%08d.", i))
		if want := 1 + min(1, max(0, pushes-streams-i)); err == nil && len(found) != want {
			return fmt.Errorf("%d records, want %d", len(found), want)
		}
		return err
	})
	// All nodes want each push at once: one gets it.
	var won atomic.Int64
	const contested = 300
	load(t, servers, "claims, of which one of ten wins", contested*nodes, 4*nodes, 0, func(ctx context.Context, i int) error {
		n := i / nodes
		switch _, err := all[i%nodes].Keeper().Put(ctx, pushesBucket, key(n), record(n, 4), revisions[n]); {
		case err == nil:
			won.Add(1)
			return nil
		case errors.Is(err, state.ErrConflict):
			return nil
		default:
			return err
		}
	})
	if won.Load() != contested {
		t.Errorf("%d claims won, want %d", won.Load(), contested)
	}
	load(t, servers, "all records read", 5, 1, 0, func(ctx context.Context, i int) error {
		found, err := at(i).Keeper().List(ctx, pushesBucket, "")
		if err == nil && len(found) != pushes {
			return fmt.Errorf("%d records, want %d", len(found), pushes)
		}
		return err
	})
	for i, s := range servers {
		_, resident := processor(t, s.PID())
		t.Logf("NATS server %d: %.0f MB resident with %d names and %d records", i+1, float64(resident)/1e6, streams, pushes)
	}
	quiet := 10 * time.Second
	before := time.Duration(0)
	for _, s := range servers {
		own, _ := processor(t, s.PID())
		before -= own
	}
	pause(t, quiet)
	for _, s := range servers {
		own, _ := processor(t, s.PID())
		before += own
	}
	t.Logf("at rest: %d nodes with their leases cost the three servers %.4f cores (%d goroutines here)", nodes, before.Seconds()/quiet.Seconds(), runtime.NumGoroutine())
}

// stale wants the error of a write with an old revision.
func stale(_ uint64, err error) error {
	if errors.Is(err, state.ErrConflict) {
		return nil
	}
	return fmt.Errorf("a stale write: %w", err)
}

// pause lets time pass that is measured.
func pause(t *testing.T, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
