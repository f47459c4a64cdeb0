package sip

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"transponder/internal/transponder"
)

// policy decides where calls may go. Without one, a stranger who can start calls makes the owner of the account pay for calls to premium numbers.
type policy struct {
	allowed, denied *regexp.Regexp // nil: all, none
	targets         transponder.TargetPolicy
}

func newPolicy(cfg Config) (policy, error) {
	p := policy{targets: cfg.Targets}
	var err error
	if cfg.AllowedCallees != "" {
		if p.allowed, err = regexp.Compile(cfg.AllowedCallees); err != nil {
			return p, fmt.Errorf("sip_allowed_callees: %w", err)
		}
	}
	if cfg.DeniedCallees != "" {
		if p.denied, err = regexp.Compile(cfg.DeniedCallees); err != nil {
			return p, fmt.Errorf("sip_denied_callees: %w", err)
		}
	}
	return p, nil
}

// callee judges the user part of a callee, or the host if there is no user part. A number is judged both as it is written and without the
// separators that a PBX leaves out, so that 0-0-49 does not slip through a rule about 0049.
func (p policy) callee(a address) error {
	name := a.user
	if name == "" {
		name = a.host
	} else if plain, err := url.PathUnescape(name); err == nil {
		name = plain
	}
	digits := strings.NewReplacer("-", "", ".", "", "(", "", ")", "").Replace(name)
	matches := func(r *regexp.Regexp) bool { return r.MatchString(name) || r.MatchString(digits) }
	switch {
	case p.denied != nil && matches(p.denied):
		return fmt.Errorf("%w: sip_denied_callees matches", ErrPolicy)
	case p.allowed != nil && !(p.allowed.MatchString(name) && p.allowed.MatchString(digits)):
		return fmt.Errorf("%w: sip_allowed_callees does not match", ErrPolicy)
	}
	return nil
}

// host judges an address of a host by the rules for the targets of pushes.
func (p policy) host(host string, addr netip.AddrPort) error {
	if err := p.targets.Check(host, addr); err != nil {
		return fmt.Errorf("%w: the address is forbidden", ErrPolicy)
	}
	return nil
}
