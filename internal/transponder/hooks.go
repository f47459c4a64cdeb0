package transponder

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// HookConfig is where events are posted.
type HookConfig struct {
	URL    string // http or https; empty: events are not posted (push_hook_url)
	Secret string // signs the posts; empty: they are not signed (push_hook_secret)

	Timeout time.Duration // for one try
}

// DefaultHookConfig returns a config that posts nothing.
func DefaultHookConfig() HookConfig { return HookConfig{Timeout: 5 * time.Second} }

// Validate reports every value that cannot work. It does not repeat the URL, which may contain a password.
func (c HookConfig) Validate() error {
	var errs []error
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		errs = append(errs, errors.New("push_hook_url: it must look like https://server/path"))
	}
	if c.URL == "" && c.Secret != "" {
		errs = append(errs, errors.New("push_hook_secret: there is no push_hook_url to sign for"))
	}
	return errors.Join(append(errs, TimeoutRange.Check("push hooks: timeout", c.Timeout))...)
}

// LogValue keeps the secrets out of logs.
func (c HookConfig) LogValue() slog.Value {
	return slog.GroupValue(slog.Bool("set", c.URL != ""), slog.Bool("signed", c.Secret != ""))
}

const (
	// hookLanes is how many events are posted at once. All events of one push use the same lane, one after another.
	hookLanes = 8
	// hookQueue is how many events may wait in a lane. If there are more, the oldest is dropped.
	hookQueue = 256
	// hookGoodbye is how long posting the last events may take when the server stops. Each gets one try.
	hookGoodbye = 2 * time.Second
	// hookAnswer is how much of an answer is read, so that the connection can be used again.
	hookAnswer = 64 << 10
)

// hookPauses are the pauses between the tries of one event.
var hookPauses = [...]time.Duration{time.Second, 4 * time.Second, 16 * time.Second}

// HookStats counts events by their result.
type HookStats struct {
	Delivered int64 // answered with 2xx
	Retried   int64 // tries after the first
	Dead      int64 // not delivered
}

// Hooks posts each event of a journal to a URL. It only reads the journal, so a slow or dead receiver delays no push. The receiver sees lost
// events as a gap in the numbers, and can read them from the journal.
type Hooks struct {
	cfg     HookConfig
	journal *Journal
	marks   HookMarks // nil: what a process has not posted is not posted by the next
	log     *slog.Logger
	client  http.Client

	posted posted

	delivered, retried, dead atomic.Int64

	lanes [hookLanes]chan Event // sent to by Run only
}

// NewHooks makes a Hooks for a valid config with a URL. marks may be nil.
func NewHooks(cfg HookConfig, journal *Journal, marks HookMarks, log *slog.Logger) *Hooks {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = hookLanes
	h := &Hooks{cfg: cfg, journal: journal, marks: marks, log: log, client: http.Client{
		Transport: transport,
		// A redirected POST would become a GET. The setting must be corrected instead.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for i := range h.lanes {
		h.lanes[i] = make(chan Event, hookQueue)
	}
	return h
}

// Stats returns the counts so far.
func (h *Hooks) Stats() HookStats {
	return HookStats{Delivered: h.delivered.Load(), Retried: h.retried.Load(), Dead: h.dead.Load()}
}

// Run posts events until ctx ends, and then the events that are left, within a short time. It runs once. Stop it after the pushes, so that it
// reports their ends.
func (h *Hooks) Run(ctx context.Context) error {
	defer h.client.CloseIdleConnections()
	// This context outlives ctx by the time for the last events.
	sending, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)

	var left atomic.Int64
	var wg sync.WaitGroup
	for _, lane := range h.lanes {
		wg.Go(func() {
			for e := range lane {
				if sending.Err() != nil {
					left.Add(1)
					continue
				}
				if h.post(ctx, sending, e) {
					h.posted.done(e.Number)
				} else {
					left.Add(1)
				}
			}
		})
	}
	after := h.first(ctx)
	h.posted.begin(after)
	marking, marked := context.WithCancel(context.WithoutCancel(ctx))
	defer marked()
	var marks sync.WaitGroup
	if h.marks != nil {
		marks.Go(func() { h.saveMarks(marking) })
	}
	h.distribute(ctx, after)
	limit := time.AfterFunc(hookGoodbye, func() { cancel(context.Cause(ctx)) })
	defer limit.Stop()
	for _, lane := range h.lanes {
		close(lane)
	}
	wg.Wait()
	marked()
	marks.Wait()
	switch n := left.Load(); {
	case n > 0 && h.marks != nil:
		h.log.Warn("push events wait for the next start of the server, or for another server, to be delivered", "events", n)
	case n > 0:
		h.dead.Add(n)
		h.log.Warn("push events not delivered before the server stopped", "events", n)
	}
	return context.Cause(ctx)
}

// distribute puts the events of the journal after a number into the lanes until ctx has ended and no event is left.
func (h *Hooks) distribute(ctx context.Context, after uint64) {
	events := make([]Event, 64)
	for {
		n, missed, err := h.journal.Since(ctx, after, events)
		if err != nil {
			return
		}
		if missed > 0 {
			h.dead.Add(int64(missed))
			h.log.Warn("push events not delivered: they came too fast", "events", missed)
		}
		for _, e := range events[:n] {
			h.enqueue(e)
			after = e.Number
		}
	}
}

// enqueue never blocks: if the lane is full, its oldest event is dropped.
func (h *Hooks) enqueue(e Event) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(e.ID))
	lane := h.lanes[hash.Sum32()%hookLanes]
	h.posted.take(e.Number)
	for {
		select {
		case lane <- e:
			return
		default:
		}
		select {
		case oldest := <-lane:
			h.giveUp(oldest, 0, errQueueFull)
			h.posted.done(oldest.Number)
		default: // the lane has room again
		}
	}
}

var errQueueFull = errors.New("too many events wait")

// post tries to deliver an event. When ctx has ended there are no more pauses; the context sending limits the tries. It returns false if the event
// is neither delivered nor given up, because ctx has ended.
func (h *Hooks) post(ctx, sending context.Context, e Event) bool {
	body, err := json.Marshal(e)
	if err != nil {
		h.giveUp(e, 0, err)
		return true
	}
	for tries := 1; ; tries++ {
		err := h.try(sending, body)
		if err == nil {
			h.delivered.Add(1)
			return true
		}
		var refused hookStatus
		final := errors.As(err, &refused) && !refused.temporary()
		if final || tries > len(hookPauses) {
			h.giveUp(e, tries, err)
			return true
		}
		if !waitFor(ctx, hookPauses[tries-1]) {
			if h.marks != nil {
				return false
			}
			h.giveUp(e, tries, err)
			return true
		}
		h.retried.Add(1)
	}
}

// waitFor waits for d. It returns false if ctx ends before.
func waitFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// giveUp counts and logs an event that is not delivered.
func (h *Hooks) giveUp(e Event, tries int, err error) {
	h.dead.Add(1)
	h.log.Warn("push event not delivered", "event", e.Number, "push", e.ID, "stream", e.SourceName, "tries", tries, "err", err)
}

// hookStatus is an answer other than 2xx.
type hookStatus int

func (s hookStatus) Error() string { return "the hook answered " + strconv.Itoa(int(s)) }

// temporary reports whether the same request may succeed later.
func (s hookStatus) temporary() bool {
	return s >= 500 || s == http.StatusRequestTimeout || s == http.StatusTooManyRequests
}

// try posts an event once.
func (h *Hooks) try(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	r.Header.Set("Content-Type", "application/json;charset=UTF-8")
	r.Header.Set("User-Agent", "Transponder")
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("X-Transponder-Timestamp", timestamp)
	if h.cfg.Secret != "" {
		r.Header.Set("X-Transponder-Signature", "sha256="+signature(h.cfg.Secret, timestamp, body))
	}
	answer, err := h.client.Do(r)
	if err != nil {
		return withoutURL(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, hookAnswer))
	if answer.StatusCode/100 != 2 {
		return hookStatus(answer.StatusCode)
	}
	return nil
}

// signature returns the HMAC of the timestamp, a dot and the body, in hexadecimal digits. Each try has a new timestamp, so that a receiver may
// refuse old ones.
func signature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// withoutURL removes the address, which may contain secrets, from an error of the HTTP client.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
