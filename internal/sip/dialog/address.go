package dialog

import "strings"

// address is the value of From, To, Contact, Route or Record-Route: a URI with parameters after it.
type address struct {
	uri    string
	params []string
}

// parseAddress reads both forms: <sip:a@b;lr>;tag=c, with or without a name before it, and sip:a@b;tag=c.
func parseAddress(value string) address {
	parts := split(value, ';')
	first := parts[0]
	if open := indexOutsideQuotes(first, '<'); open >= 0 {
		first, _, _ = strings.Cut(first[open+1:], ">")
	}
	return address{strings.TrimSpace(first), parts[1:]}
}

// param returns the value of a parameter, "" if it is missing.
func (a address) param(name string) string {
	for _, p := range a.params {
		key, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
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
