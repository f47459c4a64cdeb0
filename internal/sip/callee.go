package sip

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxText limits a callee and the fields of an account. The longest phone numbers and addresses are far shorter.
const maxText = 255

// parseCallee reads a callee: a user, user@host, or a URI. The error is what the caller can correct.
func parseCallee(text, domain string) (address, string) {
	if problem := unusable(text); problem != "" {
		return address{}, problem
	}
	var a address
	rest, isURI := text, false
	for _, scheme := range []string{"sip:", "sips:"} {
		if len(text) >= len(scheme) && strings.EqualFold(text[:len(scheme)], scheme) {
			rest, isURI, a.secure = text[len(scheme):], true, len(scheme) == len("sips:")
		}
	}
	user, hostPart, hasHost := strings.Cut(rest, "@")
	switch {
	case !hasHost && isURI:
		user, hostPart = "", rest
	case !hasHost && domain == "":
		return a, "it is no URI, and the account has no domain (sipDomain)"
	case !hasHost:
		hostPart = domain
	}
	if problem := a.setUser(user, !isURI); problem != "" {
		return a, problem
	}
	return a, a.setHost(hostPart)
}

// unusable says why a text cannot stand in a message, "" if it can. A line end would begin a header field of the writer's choice.
func unusable(text string) string {
	switch {
	case text == "":
		return "it is missing"
	case len(text) > maxText:
		return "it is longer than " + strconv.Itoa(maxText) + " bytes"
	case !utf8.ValidString(text):
		return "it is not UTF-8"
	case !plain(text):
		return "it holds a line end or another control character"
	case strings.ContainsAny(text, `<>?"\ `):
		return `it holds one of < > ? " \ or a space`
	}
	return ""
}

// plain reports whether a text is short, and has no line end and no other control character.
func plain(text string) bool {
	return len(text) <= maxText && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// quoted returns a display name as From has it, "" for none. The caller has checked for control characters.
func quoted(name string) string {
	if name == "" {
		return ""
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" `
}
