package sip

import (
	"fmt"
	"strings"
	"unicode"

	"transponder/internal/sip/dialog"
)

// party is the person in the field From or To of a peer's message.
type party struct {
	user, host string
	name       string // display name
}

// partyOf reads the value of From or To. What cannot be shown to people is left out.
func partyOf(value string) party {
	uri := dialog.ParseAddress(value).URI
	p := party{user: shown(userOf(uri)), host: shown(hostOf(uri))}
	if open := strings.LastIndexByte(value, '<'); open > 0 {
		name := strings.TrimSpace(value[:open])
		if quoted, ok := strings.CutPrefix(name, `"`); ok {
			name = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(strings.TrimSuffix(quoted, `"`))
		}
		p.name = shown(name)
	}
	return p
}

// shown returns a text of a peer without what cannot be shown.
func shown(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return fmt.Sprintf("%.100s", text)
}

// beside returns the party for somebody of a domain: the user, or user@host for another domain.
func (p party) beside(domain string) string {
	switch {
	case p.user == "":
		return p.host
	case domain == "" || strings.EqualFold(p.host, domain):
		return p.user
	}
	return p.user + "@" + p.host
}
