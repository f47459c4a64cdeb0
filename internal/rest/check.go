package rest

import (
	"cmp"
	"context"
	"net/http"
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
	// maxChecks is how many checks run at once. A check holds a request and a few connections for up to half a minute.
	maxChecks = 8
	// checkEvery and checkBurst say how often one caller may check. A person who mends an address checks a few times a minute.
	checkEvery = 5 * time.Second
	checkBurst = 6
	// maxCheckers bounds the callers that are remembered. Past it, those that have been quiet are forgotten.
	maxCheckers = 1000
)

var errChecks = refusal{http.StatusServiceUnavailable, "too many checks are running: try again later"}

// checkBody is what a check has found out.
type checkBody struct {
	OK       bool          `json:"ok"` // no step has failed
	Target   string        `json:"target"`
	Platform string        `json:"platform,omitempty"` // a preset of destinations
	Steps    []stepBody    `json:"steps"`
	Findings []findingBody `json:"findings"` // what about the stream breaks the rules of the platform
}

type stepBody struct {
	Step    string `json:"step"`
	Result  string `json:"result"`
	Ms      int64  `json:"ms"`
	Address string `json:"address,omitempty"`
	Reason  string `json:"reason,omitempty"` // of a failure, as of a push
	Info    string `json:"info"`
}

type findingBody struct {
	Code string `json:"code"`
	Info string `json:"info"`
}

func newCheckBody(c transponder.Checked) checkBody {
	b := checkBody{OK: c.OK(), Target: c.Target, Platform: c.Platform, Steps: []stepBody{}, Findings: findingBodies(c.Findings)}
	for _, s := range c.Steps {
		b.Steps = append(b.Steps, stepBody{string(s.Step), string(s.Result), s.Took.Milliseconds(), s.Address, string(s.Reason), s.Detail})
	}
	return b
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

func (s *Server) checkPush(ctx context.Context, f *fields) (any, error) {
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
	if wait := s.checks.allow(checkerOf(req.By, credential), time.Now()); wait > 0 {
		return nil, &access.TooMany{Wait: wait}
	}
	ctx, release, err := s.checks.running.enter(ctx, credential.Peer)
	if err != nil {
		return nil, err
	}
	defer release()
	checked, err := s.parts.Checker.Check(ctx, req)
	if err != nil {
		return nil, err
	}
	note(ctx, func(l *audit.Line) { l.Target = checked.Target })
	if isStranger(ctx) {
		checked = checked.ForStrangers()
	}
	return newCheckBody(checked), nil
}

// mayCheck decides whether the sender of the request may check a destination: he may push the stream there or, if the request names none, some
// stream.
func (s *Server) mayCheck(ctx context.Context, req transponder.CheckRequest) error {
	o := transponder.PushObject(req.StreamName, req.URL)
	if o.Destination != "" {
		note(ctx, func(l *audit.Line) { l.Target = req.URL })
	}
	if req.StreamName == "" {
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

// allow returns 0 if a caller may check now, otherwise how long he has to wait.
func (c *checks) allow(who string, now time.Time) time.Duration {
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
	if l.AllowN(now, 1) {
		return 0
	}
	return time.Duration((1 - l.TokensAt(now)) * float64(checkEvery))
}
