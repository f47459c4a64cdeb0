package rest

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/guard"
	"transponder/internal/transponder"
)

// Checker goes to a destination step by step. transponder.Registry is one.
type Checker interface {
	Check(ctx context.Context, req transponder.CheckRequest) (transponder.Checked, error)
}

const (
	// maxChecks is how many checks run at once. A check holds a request and a few connections for each address, for up to half a minute.
	maxChecks = 8
	// checkEvery and checkBurst say how often one caller may check an address. A person who mends an address checks a few times a minute. A request
	// has up to five addresses.
	checkEvery = 5 * time.Second
	checkBurst = 6
	// maxCheckers bounds the callers that are remembered. Past it, those that have been quiet are forgotten.
	maxCheckers = 1000
)

var errChecks = refusal{http.StatusServiceUnavailable, "too many checks are running: try again later"}

// checkBody is what a check has found out.
type checkBody struct {
	OK       bool          `json:"ok"` // no step has failed, at any address
	Target   string        `json:"target"`
	Platform string        `json:"platform,omitempty"` // a preset of destinations
	Steps    []stepBody    `json:"steps"`
	Findings []findingBody `json:"findings"`          // what about the stream breaks the rules of the platform
	Backups  []checkBody   `json:"backups,omitempty"` // one for each of options.backupUrls
}

type stepBody struct {
	Step    string `json:"step"`
	Result  string `json:"result"`
	Ms      int64  `json:"ms"`
	Address string `json:"address,omitempty"`
	Reason  string `json:"reason,omitempty"` // of a failure, as of a push
	Info    string `json:"info"`
	Backup  int    `json:"backup,omitempty"` // in a line: which of options.backupUrls the step is about, from 1
}

type findingBody struct {
	Code string `json:"code"`
	Info string `json:"info"`
}

func newCheckBody(c transponder.Checked) checkBody {
	b := checkBody{OK: c.OK(), Target: c.Target, Platform: c.Platform, Steps: []stepBody{}, Findings: findingBodies(c.Findings)}
	for _, s := range c.Steps {
		b.Steps = append(b.Steps, newStepBody(0, s))
	}
	for _, backup := range c.Backups {
		b.Backups = append(b.Backups, newCheckBody(backup))
	}
	return b
}

func newStepBody(backup int, s transponder.Checking) stepBody {
	return stepBody{string(s.Step), string(s.Result), s.Took.Milliseconds(), s.Address, string(s.Reason), s.Detail, backup}
}

func findingBodies(findings []transponder.Finding) []findingBody {
	bodies := []findingBody{}
	for _, f := range findings {
		bodies = append(bodies, findingBody{string(f.Code), f.Detail})
	}
	return bodies
}

// CheckJSON returns what a check has found out as the answer of /push/check.
func CheckJSON(c transponder.Checked) any { return newCheckBody(c) }

// StepJSON returns a step as a line of the answer of /push/check.
func StepJSON(backup int, s transponder.Checking) any { return newStepBody(backup, s) }

// checkRoute serves checks. A client that asks for lines gets each step as it comes, and the answer as the last line.
func (s *Server) checkRoute() {
	const path = "/push/check"
	s.handle(path, access.Push, []string{http.MethodPost}, func(w http.ResponseWriter, r *http.Request) {
		var out *lineWriter
		if wantsLines(r) {
			out = &lineWriter{w: w, conn: http.NewResponseController(w)}
		}
		answer, err := s.call(w, r, func(f *fields) (any, error) { return s.checkPush(r.Context(), f, out) })
		switch {
		case out == nil, !out.begun && err != nil:
			s.conclude(w, r, answer, err)
		case err != nil:
			status, message := outcome(err)
			s.log.Debug("check ended", "peer", r.RemoteAddr, "status", status)
			out.write(newErrorBody(r.URL.Path, status, message, time.Now()))
		default:
			out.write(answer)
		}
		s.recordRequest(r, err)
	})
}

func (s *Server) checkPush(ctx context.Context, f *fields, out *lineWriter) (any, error) {
	req := transponder.CheckRequest{
		Request: transponder.Request{
			StreamName:       f.text("streamName"),
			URL:              f.required("rtmpUrl"),
			FullURL:          f.boolean("rtmpTransponderFullUrl"),
			FlashVersion:     f.text("rtmpFlashVersion"),
			Height:           f.integer("height"),
			Width:            f.integer("width"),
			KeyFrameInterval: f.integer("keyFrameInterval"),
			FPS:              f.number("fps"),
		},
		Publish: f.flag("publish", false),
	}
	options := f.object("options")
	if f.err != nil {
		return nil, f.err
	}
	var err error
	if req.Options, err = parseOptions(options); err != nil {
		return nil, err
	}
	req.By = principalOf(ctx)
	if err := s.mayCheck(ctx, req); err != nil {
		return nil, err
	}
	credential := credentialOf(ctx)
	if wait := s.checks.allow(checkerOf(req.By, credential), 1+len(req.Options.BackupURLs), time.Now()); wait > 0 {
		return nil, &access.TooMany{Wait: wait}
	}
	ctx, release, err := s.checks.running.enter(ctx, credential.Peer)
	if err != nil {
		return nil, err
	}
	defer release()
	stranger := isStranger(ctx)
	held := map[int]bool{} // addresses of which a stranger is told only how it ended
	if out != nil {
		req.Heard = func(backup int, step transponder.Checking) {
			if held[backup] = held[backup] || stranger && step.Hidden; !held[backup] {
				out.write(newStepBody(backup, step))
			}
		}
	}
	checked, err := s.parts.Checker.Check(ctx, req)
	if err != nil {
		return nil, err
	}
	note(ctx, func(l *audit.Line) { l.Target = checked.Target })
	if stranger {
		checked = checked.ForStrangers()
	}
	for backup, c := range append([]transponder.Checked{checked}, checked.Backups...) {
		if held[backup] {
			from := slices.IndexFunc(c.Steps, func(s transponder.Checking) bool { return s.Step == transponder.StepAddress })
			for _, step := range c.Steps[max(from, 0):] {
				out.write(newStepBody(backup, step))
			}
		}
	}
	return newCheckBody(checked), nil
}

// mayCheck decides whether the sender of the request may check a destination: he may push the stream to each address or, if the request names none,
// some stream.
func (s *Server) mayCheck(ctx context.Context, req transponder.CheckRequest) error {
	if transponder.PushObject(req.StreamName, req.URL).Destination != "" {
		note(ctx, func(l *audit.Line) { l.Target = req.URL })
	}
	for _, url := range append([]string{req.URL}, req.Options.BackupURLs...) {
		if err := s.mayCheckAddress(ctx, transponder.PushObject(req.StreamName, url)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) mayCheckAddress(ctx context.Context, o access.Object) error {
	if o.Stream == "" {
		p := principalOf(ctx)
		for _, g := range p.Grants {
			g.Streams = []string{"*"}
			if access.Decide(&access.Principal{Kind: p.Kind, Grants: []access.Grant{g}}, access.Push, o) == nil {
				return nil
			}
		}
	}
	return s.authorize(ctx, access.Push, o)
}

// checkerOf names a caller: himself, or his address if he has no name.
func checkerOf(p *access.Principal, c access.Credential) string {
	return cmp.Or(p.Identity(), guard.Block(c.Peer).String())
}

// checks bounds the checks: how many run at once, and how often each caller may ask.
type checks struct {
	running followers

	mu sync.Mutex
	by map[string]*rate.Limiter // guarded by mu
}

// allow returns 0 if a caller may check so many addresses now, otherwise how long he has to wait.
func (c *checks) allow(who string, addresses int, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.by[who]
	if l == nil {
		if len(c.by) >= maxCheckers {
			for other, limiter := range c.by {
				if limiter.TokensAt(now) >= checkBurst {
					delete(c.by, other)
				}
			}
			if len(c.by) >= maxCheckers {
				return checkEvery
			}
		}
		if c.by == nil {
			c.by = map[string]*rate.Limiter{}
		}
		l = rate.NewLimiter(rate.Every(checkEvery), checkBurst)
		c.by[who] = l
	}
	if l.AllowN(now, addresses) {
		return 0
	}
	return time.Duration((float64(addresses) - l.TokensAt(now)) * float64(checkEvery))
}
