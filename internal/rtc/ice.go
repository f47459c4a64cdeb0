package rtc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// ICE is what one end of a transport says of itself: the ICE user name and password, and candidates.
type ICE struct {
	MID        string // of the section whose transport it is; empty: the transport of all sections
	Ufrag, Pwd string
	Candidates []string // values of a=candidate lines
}

var (
	// ErrNoRestart means that a session cannot restart ICE, or not with what the client sent.
	ErrNoRestart = errors.New("ICE cannot be restarted")
	// ErrManyRestarts means that a client restarts ICE more often than a session may.
	ErrManyRestarts = errors.New("ICE was restarted too often: wait a second")
)

// ICERestarter is a session that can restart ICE (RFC 8445, 9): sessions that receive, and sessions that send.
type ICERestarter interface {
	// RestartICE takes the client's new user name and password, for each transport that the session has, and returns ours. The DTLS
	// connection and the media go on. ctx bounds the making of our part only.
	RestartICE(ctx context.Context, client []ICE) ([]ICE, error)
}

// The lengths of user names and passwords (RFC 8839, 5.4).
const (
	minUfrag = 4
	minPwd   = 22
	maxICE   = 256
)

// ParseICE reads the user names, passwords and candidates of SDP, or of a fragment of SDP (RFC 8840, 9). The list has an element for each
// section, or one for the whole text if it has no sections. What stands before the sections holds for all of them.
func ParseICE(text string) ([]ICE, error) {
	head, sections := splitSections(text)
	session := ICE{}.read(head)
	if len(sections) == 0 {
		sections = [][]string{nil}
	}
	var list []ICE
	for _, lines := range sections {
		i := session.read(lines)
		if i.Ufrag == "" && i.Pwd == "" {
			continue // refused, or bundled with another section
		}
		if !isICEWord(i.Ufrag, minUfrag) || !isICEWord(i.Pwd, minPwd) {
			return nil, fmt.Errorf("%w: an ICE user name has %d to %d characters, and a password %d to %d", ErrBadOffer, minUfrag, maxICE, minPwd, maxICE)
		}
		list = append(list, i)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: it has no ICE user name and password", ErrBadOffer)
	}
	return list, nil
}

// read returns i with what the lines say.
func (i ICE) read(lines []string) ICE {
	i.Candidates = slices.Clip(i.Candidates)
	for _, line := range lines {
		switch key, value := attribute(line); key {
		case "mid":
			i.MID = word(value)
		case "ice-ufrag":
			i.Ufrag = word(value)
		case "ice-pwd":
			i.Pwd = word(value)
		case "candidate":
			if len(i.Candidates) < maxCandidates && UsableCandidate(value) {
				i.Candidates = append(i.Candidates, value)
			}
		}
	}
	return i
}

// isICEWord says whether s has letters, digits, + and / only, and a length that is allowed.
func isICEWord(s string, shortest int) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '+' && r != '/'
	}
	return len(s) >= shortest && len(s) <= maxICE && !strings.ContainsFunc(s, odd)
}

// WithICE returns the offer with another user name, password and candidates for all sections.
func (o *ParsedOffer) WithICE(i ICE) *ParsedOffer {
	again := *o
	again.Sections, again.Bundle = nil, nil // the copies are for one transport, whose sections need no group
	for _, s := range o.Sections {
		s := *s
		s.Ufrag, s.Pwd, s.Candidates = i.Ufrag, i.Pwd, i.Candidates
		again.Sections = append(again.Sections, &s)
	}
	return &again
}

// answerAgain returns an answer of ours with other user names, passwords and candidates. restarts tells how often that has happened:
// each version of an answer has a number (RFC 9429, 5.2.1).
func answerAgain(answer string, ours []ICE, restarts int) string {
	var b strings.Builder
	line := func(s string) {
		b.WriteString(s)
		b.WriteString("\r\n")
	}
	head, sections := splitSections(answer)
	for _, l := range head {
		if strings.HasPrefix(l, "o=") {
			l = strings.Replace(l, " 2 IN ", fmt.Sprintf(" %d IN ", 2+restarts), 1)
		}
		line(l)
	}
	for _, lines := range sections {
		was := ICE{}.read(lines)
		n := slices.IndexFunc(ours, func(i ICE) bool { return i.MID == "" || i.MID == was.MID })
		for _, l := range lines {
			switch key, _ := attribute(l); {
			case n < 0 || was.Ufrag == "": // a section that is refused
				line(l)
			case key == "candidate" || key == "end-of-candidates":
			case key == "ice-ufrag":
				line("a=ice-ufrag:" + ours[n].Ufrag)
			case key == "ice-pwd":
				line("a=ice-pwd:" + ours[n].Pwd)
				for _, c := range ours[n].Candidates {
					line("a=candidate:" + c)
				}
				line("a=end-of-candidates")
			default:
				line(l)
			}
		}
	}
	return b.String()
}

// ICEFragment returns the fragment of an answer that a client needs after an ICE restart (RFC 8840, 9): one section for each transport.
func ICEFragment(answer string) string {
	var b strings.Builder
	line := func(s string) {
		b.WriteString(s)
		b.WriteString("\r\n")
	}
	head, sections := splitSections(answer)
	bundled := ""
	for _, l := range head {
		switch key, value := attribute(l); key {
		case "ice-lite":
			line(l)
		case "group":
			line(l)
			if mids := strings.Fields(value); len(mids) > 1 && strings.EqualFold(mids[0], "BUNDLE") {
				bundled = mids[1]
			}
		}
	}
	line("a=ice-options:trickle")
	for _, lines := range sections {
		i := ICE{}.read(lines)
		if i.Ufrag == "" || bundled != "" && i.MID != bundled {
			continue
		}
		for _, l := range lines {
			switch key, _ := attribute(l); key {
			case "mid", "ice-ufrag", "ice-pwd", "candidate", "end-of-candidates":
				line(l)
			case "":
				if strings.HasPrefix(l, "m=") {
					line(l)
				}
			}
		}
	}
	return b.String()
}

const (
	// restartBurst is how many times a session may restart ICE at once. A phone at the edge of a Wi-Fi changes its network a few times in a
	// row, and our SDK restarts for each of three signs of a change.
	restartBurst = 10
	// restartPause is the time after which a session may restart ICE once more. Each restart costs new keys, and pion searches for candidates.
	restartPause = time.Second
)

// restarter restarts ICE for a publication or a playback, one restart at a time.
type restarter struct {
	turn  chan struct{} // has an entry while a restart is under way
	count int           // of restarts; owned by the restart that is under way
	spent time.Time     // when all restarts may be used again; owned by the restart that is under way
}

func newRestarter() restarter { return restarter{turn: make(chan struct{}, 1)} }

// spend uses one of the restarts that the session has. Restarts that fail count, too.
func (r *restarter) spend(now time.Time) error {
	if r.spent.Before(now) {
		r.spent = now
	}
	if r.spent.Sub(now) > (restartBurst-1)*restartPause {
		return ErrManyRestarts
	}
	r.spent = r.spent.Add(restartPause)
	return nil
}

// restart restarts ICE of a session. It returns our answer anew.
func (r *restarter) restart(ctx context.Context, session any, answer, offer string) (string, error) {
	client, err := ParseICE(offer)
	if err != nil {
		return "", err
	}
	s, ok := session.(ICERestarter)
	if !ok {
		return "", ErrNoRestart
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if err := r.spend(time.Now()); err != nil {
		return "", err
	}
	ours, err := s.RestartICE(ctx, client)
	if err != nil {
		return "", err
	}
	r.count++
	return answerAgain(answer, ours, r.count), nil
}

// part is a session of an offer that bundles nothing: it has the transport of one section.
type part[S any] struct {
	session S
	mid     string
}

// restartParts restarts ICE of all parts, or of none if the client has not sent what each of them needs.
func restartParts[S any](ctx context.Context, parts []part[S], client []ICE) (ours []ICE, err error) {
	restarts := make([]func() ([]ICE, error), len(parts))
	for k, p := range parts {
		n := slices.IndexFunc(client, func(i ICE) bool { return i.MID == "" || i.MID == p.mid })
		s, ok := any(p.session).(ICERestarter)
		if n < 0 || !ok {
			return nil, fmt.Errorf("%w: the section %q has a transport of its own, and needs an ICE user name", ErrNoRestart, p.mid)
		}
		restarts[k] = func() ([]ICE, error) { return s.RestartICE(ctx, client[n:n+1]) }
	}
	for k, restart := range restarts {
		i, err := restart()
		if err != nil {
			return nil, err
		}
		i[0].MID = parts[k].mid
		ours = append(ours, i[0])
	}
	return ours, nil
}

// RestartCounter counts the ICE restarts that the clients of a door have asked for. The zero value is ready.
type RestartCounter struct{ done, limited, refused atomic.Int64 }

// Count counts a restart by how it ended.
func (c *RestartCounter) Count(err error) {
	switch {
	case err == nil:
		c.done.Add(1)
	case errors.Is(err, ErrManyRestarts):
		c.limited.Add(1)
	default:
		c.refused.Add(1)
	}
}

// Stats returns what was counted.
func (c *RestartCounter) Stats() RestartStats {
	return RestartStats{Done: c.done.Load(), Limited: c.limited.Load(), Refused: c.refused.Load()}
}

// RestartStats are the figures of a RestartCounter.
type RestartStats struct {
	Done    int64 // restarts that were answered
	Limited int64 // refused, because the session had restarted too often
	Refused int64 // refused for another reason, or failed
}
