package dialog

import "strings"

// Address is the value of From, To, Contact, Route or Record-Route: a URI with parameters after it.
type Address struct {
	URI    string
	params []string
}

// ParseAddress reads both forms: <sip:a@b;lr>;tag=c, with or without a name before it, and sip:a@b;tag=c. Parameters after a URI without
// angle brackets belong to the Address, not to the URI (RFC 3261, 20).
func ParseAddress(value string) Address {
	parts := split(value, ';')
	first := parts[0]
	if open := indexOutsideQuotes(first, '<'); open >= 0 {
		first, _, _ = strings.Cut(first[open+1:], ">")
	}
	return Address{strings.TrimSpace(first), parts[1:]}
}

// Param returns the value of a parameter, "" if it is missing or has none.
func (a Address) Param(name string) string {
	value, _ := a.Lookup(name)
	return value
}

// Lookup returns the value of a parameter, and whether there is one of that name.
func (a Address) Lookup(name string) (value string, found bool) {
	for _, p := range a.params {
		key, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.Trim(strings.TrimSpace(value), `"`), true
		}
	}
	return "", false
}

// isLoose reports whether the URI of a route has the parameter lr (RFC 3261, 19.1.1).
func isLoose(uri string) bool {
	for _, p := range strings.Split(uri, ";")[1:] {
		name, _, _ := strings.Cut(p, "=")
		if strings.EqualFold(name, "lr") {
			return true
		}
	}
	return false
}

// split cuts s at each separator that is neither quoted nor within angle brackets. It returns at least one part.
func split(s string, separator byte) []string {
	var parts []string
	quoted, inside, from := false, false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case quoted:
		case s[i] == '<':
			inside = true
		case s[i] == '>':
			inside = false
		case s[i] == separator && !inside:
			parts = append(parts, strings.TrimSpace(s[from:i]))
			from = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[from:]))
}

func indexOutsideQuotes(s string, b byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == b && !quoted:
			return i
		}
	}
	return -1
}
