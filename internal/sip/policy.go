package sip

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"transponder/internal/access"
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

// callee judges the user part of a callee, or the host if there is no user part. It judges every form in which a PBX may read the callee, so
// that neither 0-0-49 nor 0%20049 slips through a rule about 0049.
func (p policy) callee(a address) error {
	forms := calleeForms(a)
	switch {
	case p.denied != nil && slices.ContainsFunc(forms, p.denied.MatchString):
		return fmt.Errorf("%w: sip_denied_callees matches", ErrPolicy)
	case p.allowed != nil && slices.ContainsFunc(forms, func(form string) bool { return !p.allowed.MatchString(form) }):
		return fmt.Errorf("%w: sip_allowed_callees does not match", ErrPolicy)
	}
	return nil
}

// calleeForms returns a callee as it is written, without parameters, and as it is dialled if it is a number.
func calleeForms(a address) []string {
	name := a.user
	if name == "" {
		name = a.host
	} else if plain, err := url.PathUnescape(name); err == nil {
		name = plain
	}
	forms := []string{name}
	bare, _, _ := strings.Cut(name, ";") // parameters of a number (RFC 3966, 3) are not dialled
	if bare != name {
		forms = append(forms, bare)
	}
	if !strings.ContainsFunc(bare, unicode.IsLetter) {
		forms = append(forms, strings.Map(dialled, bare))
	}
	return forms
}

// dialled drops what stands between digits for people to read (RFC 3966, 5.1.1), and whatever else cannot be dialled: a PBX may drop that,
// too.
func dialled(r rune) rune {
	switch {
	case '0' <= r && r <= '9', r == '+', r == '*', r == '#':
		return r
	case unicode.IsDigit(r): // another script: the digits of a script stand in a row, 0 first
		zero := r
		for unicode.IsDigit(zero-1) && r-zero < 9 {
			zero--
		}
		return '0' + r - zero
	}
	return -1
}

// mayReachInside reports whether a client may name a SIP server in a private network, or on this machine. Others could find out by calls what is
// there, as by pushes.
func mayReachInside(by *access.Principal) bool {
	return by == nil || by.Kind == access.Local || by.IsAdmin()
}

// errInside refuses a server in a private network.
var errInside = fmt.Errorf("%w: servers in private networks are for administrators, clients on this machine, and those that the settings name", ErrPolicy)

// inside judges the address of the server that gets the first request of a route.
func (c *Calls) inside(r route, addr netip.Addr) error {
	if !r.public || !transponder.IsInside(addr) || len(c.cfg.AllowedHosts) > 0 { // which lists where everybody may call
		return nil
	}
	for _, named := range []string{c.cfg.Domain, c.cfg.OutboundProxy, c.cfg.Account.Domain} {
		named, _, _ = strings.Cut(named, ";")
		if host, _, problem := splitHostPort(named); problem == "" && host != "" && strings.EqualFold(host, hostOf(r.hop)) {
			return nil
		}
	}
	return errInside
}

// host judges an address of a host by the rules for the targets of pushes.
func (p policy) host(host string, addr netip.AddrPort) error {
	if err := p.targets.Check(host, addr); err != nil {
		return fmt.Errorf("%w: the address is forbidden", ErrPolicy)
	}
	return nil
}
