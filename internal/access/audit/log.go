package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/state"
)

const (
	logName  = "audit"
	keep     = 10_000 // lines in the state
	MaxFound = 1000   // lines in one answer
	page     = 500    // lines that Find reads at a time

	maxQueue   = 4096                   // lines that wait for Run
	maxBatch   = 512                    // lines in one write
	gatherTime = 200 * time.Millisecond // lines that come within this time are written together: each write waits for the disk

	sumTime = 10 * time.Second // refusals within this time are one line
	maxSums = 1000             // such lines at a time; further clients are summed together

	// A client may ask the same thing without end, such as whether there is a stream. So many of the answers that allow an action have a line
	// of their own within sumTime; the others are summed as refusals are.
	maxAlike = 20

	lastWrite = 2 * time.Second // for what is left when the server stops
	complain  = time.Minute     // between two log lines about lost lines
)

// Config says where lines are written besides the state.
type Config struct {
	File string // audit_log: JSON lines; "": no file
	Node string // of this server among others; "": it is alone
}

// Log is the audit log. All methods may be called from any goroutine.
type Log struct {
	cfg  Config
	kept state.Logger
	log  *slog.Logger

	mu    sync.Mutex
	sums  map[sumKey]*Line // guarded by mu; since their first line
	alike map[sumKey]*run  // guarded by mu; lines that allowed something

	written, dropped, failed atomic.Int64
	file                     *os.File  // owned by Run; nil: none
	complained               time.Time // owned by Run
	said                     int64     // owned by Run; dropped lines that the log tells of

	queue  chan Line
	flush  chan chan struct{} // Find asks Run to write what it has
	reopen chan *os.File      // of Reload for Run
	done   chan struct{}      // closed when Run has ended
}

// sumKey tells refusals apart that are not summed together. It has nothing that a client could change with each request.
type sumKey struct {
	who    Who
	from   string // network of the client
	via    string
	do     string
	object string // the user that somebody claims to be
	ok     bool   // he was allowed to
	rest   bool   // the sum of all clients for whom there was no room
}

// run counts lines that are alike.
type run struct {
	since time.Time
	lines int
}

// Stats are counts since the server was started.
type Stats struct {
	Written int64 // lines
	Dropped int64 // lines that came faster than they could be written
	Failed  int64 // lines that the state or the file did not take
}

// New opens the file. Run must run, or nothing is written.
func New(cfg Config, kept state.Logger, log *slog.Logger) (*Log, error) {
	l := &Log{
		cfg: cfg, kept: kept, log: log, sums: map[sumKey]*Line{}, alike: map[sumKey]*run{},
		queue: make(chan Line, maxQueue), flush: make(chan chan struct{}), reopen: make(chan *os.File, 1),
		done: make(chan struct{}),
	}
	var err error
	l.file, err = l.openFile()
	return l, err
}

// Reload opens the file again, after it was moved away. If that fails, the lines go on into the file that is open.
func (l *Log) Reload() error {
	f, err := l.openFile()
	if f == nil {
		return err
	}
	select {
	case old := <-l.reopen: // Run has not come to it yet
		old.Close()
	default:
	}
	select {
	case l.reopen <- f:
		return nil
	default: // somebody else has just opened it
		return f.Close()
	}
}

// openFile opens the file; nil: there is none.
func (l *Log) openFile() (*os.File, error) {
	if l.cfg.File == "" {
		return nil, nil
	}
	f, err := os.OpenFile(l.cfg.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit_log: %w", err)
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		l.log.Warn("other users of this machine can read the audit log: chmod 600", "file", l.cfg.File)
	}
	return f, nil
}

// Stats returns the counts.
func (l *Log) Stats() Stats { return Stats{l.written.Load(), l.dropped.Load(), l.failed.Load()} }

// Note takes a line. It does not wait: if there is no room, the line is counted as dropped.
func (l *Log) Note(line Line) {
	if l == nil {
		return
	}
	line.cut()
	line.At = line.At.UTC().Truncate(time.Millisecond)
	line.Node = l.cfg.Node
	if !line.OK || actions[line.Do] && !l.mayStandAlone(line) {
		l.sum(line)
		return
	}
	l.enqueue(line)
}

// actions are what a client is allowed at a door. All else that is written down has changed something, and has a line of its own.
var actions = map[string]bool{"publish": true, "play": true, "push": true, "read": true, "control": true}

// mayStandAlone says whether a line that allows an action is written by itself.
func (l *Log) mayStandAlone(line Line) bool {
	key := sumKey{who: line.Who, from: network(line.From), via: line.Via, do: line.Do, ok: true}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.alike[key]
	if r == nil && len(l.alike) >= maxSums {
		maps.DeleteFunc(l.alike, func(_ sumKey, r *run) bool { return now.Sub(r.since) >= sumTime })
		if len(l.alike) >= maxSums {
			return false
		}
	}
	if r == nil || now.Sub(r.since) >= sumTime {
		r = &run{since: now}
		l.alike[key] = r
	}
	r.lines++
	return r.lines <= maxAlike
}

func (l *Log) enqueue(line Line) {
	select {
	case l.queue <- line:
	default:
		l.dropped.Add(1)
	}
}

// sum adds a line to those that are alike of the same client. The first of them gives the line its time, its stream and its reason.
func (l *Log) sum(line Line) {
	key := sumKey{who: line.Who, from: network(line.From), via: line.Via, do: line.Do, object: line.Object, ok: line.OK}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sums[key]
	if s == nil && len(l.sums) >= maxSums {
		key = sumKey{via: line.Via, do: line.Do, ok: line.OK, rest: true}
		if s = l.sums[key]; s == nil {
			line.From, line.Who, line.Stream, line.Object, line.Why = "", Who{Kind: line.Who.Kind}, "", "", "many clients"
		}
	}
	if s == nil {
		if len(l.sums) >= 2*maxSums { // doors and actions are few; this is for callers that are not
			l.dropped.Add(1)
			return
		}
		l.sums[key] = &line
		s = &line
	}
	s.Count++
}

// network returns the block of addresses that counts as one client.
func network(from string) string {
	a, err := netip.ParseAddr(from)
	if err != nil {
		return ""
	}
	if a.Is6() {
		if p, err := a.Prefix(56); err == nil {
			return p.String()
		}
	}
	return from
}

// whole returns a sum as it is written. A sum of one is a line about itself.
func (l *Line) whole() Line {
	line := *l
	if line.Count == 1 {
		line.Count = 0
	}
	return line
}

// pending returns the sums that are not written yet, the newest first.
func (l *Log) pending() []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []Line
	for _, s := range l.sums {
		lines = append(lines, s.whole())
	}
	slices.SortFunc(lines, func(a, b Line) int { return b.At.Compare(a.At) })
	return lines
}

// due takes the sums out that are older than sumTime, or all.
func (l *Log) due(all bool) []Line {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []Line
	for key, s := range l.sums {
		if !all && now.Sub(s.At) < sumTime {
			continue
		}
		lines = append(lines, s.whole())
		delete(l.sums, key)
	}
	return lines
}

// Run writes the lines until ctx ends, and then those that are left.
func (l *Log) Run(ctx context.Context) error {
	defer close(l.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.end(ctx)
			return context.Cause(ctx)
		case line := <-l.queue:
			l.gather(ctx, line)
		case f := <-l.reopen:
			l.swap(f)
		case written := <-l.flush:
			l.writeAll(ctx, nil)
			close(written)
		case <-tick.C:
			if lines := l.due(false); len(lines) > 0 {
				l.writeAll(ctx, lines)
			}
			l.complain()
		}
	}
}

// gather waits a little for more lines, and writes them together.
func (l *Log) gather(ctx context.Context, first Line) {
	lines := []Line{first}
	wait := time.NewTimer(gatherTime)
	defer wait.Stop()
	for len(lines) < maxBatch {
		select {
		case line := <-l.queue:
			lines = append(lines, line)
			continue
		case <-wait.C:
		case <-ctx.Done():
		case written := <-l.flush:
			l.writeAll(ctx, lines)
			close(written)
			return
		}
		break
	}
	l.write(ctx, lines)
}

// writeAll writes lines, and those that wait in the queue.
func (l *Log) writeAll(ctx context.Context, lines []Line) {
	for {
		select {
		case line := <-l.queue:
			lines = append(lines, line)
			if len(lines) < maxBatch {
				continue
			}
			l.write(ctx, lines)
			lines = nil
			continue
		default:
		}
		l.write(ctx, lines)
		return
	}
}

// write writes lines into the state and the file.
func (l *Log) write(ctx context.Context, lines []Line) {
	if len(lines) == 0 {
		return
	}
	values := make([][]byte, 0, len(lines))
	var text []byte
	for _, line := range lines {
		value, err := json.Marshal(line)
		if err != nil { // a time out of range
			l.failed.Add(1)
			continue
		}
		values = append(values, value)
		text = append(append(text, value...), '\n')
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
	defer cancel()
	err := l.kept.Append(limit, logName, keep, values...)
	if l.file != nil {
		_, bad := l.file.Write(text)
		err = errors.Join(err, bad)
	}
	if err != nil {
		l.failed.Add(int64(len(values)))
		if now := time.Now(); now.Sub(l.complained) >= complain {
			l.complained = now
			l.log.Error("lines of the audit log are lost", "err", err)
		}
		return
	}
	l.written.Add(int64(len(values)))
}

// complain logs that lines were dropped.
func (l *Log) complain() {
	n := l.dropped.Load()
	if n == l.said {
		return
	}
	if now := time.Now(); now.Sub(l.complained) >= complain {
		l.log.Warn("lines of the audit log came faster than they could be written", "dropped", n-l.said)
		l.complained, l.said = now, n
	}
}

// end writes what is left, and closes the file.
func (l *Log) end(ctx context.Context) {
	l.writeAll(ctx, l.due(true))
	for {
		if l.file != nil {
			if err := l.file.Close(); err != nil {
				l.log.Error("audit log not closed", "err", err)
			}
		}
		select {
		case l.file = <-l.reopen:
			continue
		default:
			l.file = nil
			return
		}
	}
}

// swap goes on in a file that Reload has opened.
func (l *Log) swap(f *os.File) {
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			l.log.Error("audit log not closed", "err", err)
		}
	}
	l.file = f
}

// Find returns lines, the newest first. It has every line whose Note was called before. Refusals that are still being summed have no ID.
func (l *Log) Find(ctx context.Context, q Query) ([]Line, error) {
	written := make(chan struct{})
	select {
	case l.flush <- written:
		<-written
	case <-l.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if q.Limit <= 0 || q.Limit > MaxFound {
		q.Limit = MaxFound
	}
	var found []Line
	if q.Before == 0 {
		for _, line := range l.pending() {
			if q.matches(line) && len(found) < q.Limit {
				found = append(found, line)
			}
		}
	}
	for before := q.Before; ; {
		lines, err := l.kept.Lines(ctx, logName, before, page)
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		for _, raw := range lines {
			var line Line
			if json.Unmarshal(raw.Value, &line) != nil {
				continue // a later version wrote it
			}
			line.ID = raw.ID
			if q.matches(line) {
				found = append(found, line)
			}
			if len(found) >= q.Limit {
				return found, nil
			}
			before = raw.ID
		}
		if len(lines) < page {
			return found, nil
		}
	}
}
