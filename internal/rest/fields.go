package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"transponder/internal/transponder"
)

// fields are the members of the object in a request. A method takes each of them by its name. The first value that cannot be used
// sets err; the methods then return zero values. The caller takes all fields, then looks at err.
//
// Clients fill requests from text fields and check boxes. So a number or a boolean may be a string, and an empty string means that
// the field is absent. Null means the same.
type fields struct {
	body   []byte             // of the whole request
	pushes transponder.Filter // which pushes the request asks for
	err    error

	path string // of the object within the request, "" or "options."
	raw  map[string]json.RawMessage
}

// parseFields reads an object. An empty body counts as an empty object. Errors name the place in the body.
func parseFields(body []byte) (*fields, error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // PowerShell sends a byte order mark first
	if len(bytes.TrimSpace(body)) == 0 {
		return &fields{}, nil
	}
	if !utf8.Valid(body) {
		return nil, refusal{http.StatusBadRequest, "the body is not UTF-8"}
	}
	f := &fields{}
	if err := json.Unmarshal(body, &f.raw); err != nil {
		return nil, explain(body, err)
	}
	if len(f.raw) > maxMembers {
		return nil, refusal{http.StatusBadRequest, fmt.Sprintf("the body has more than %d members", maxMembers)}
	}
	return f, nil
}

// maxMembers is far more than any request needs.
const maxMembers = 1000

// take removes a field and returns its value, nil if there is none.
func (f *fields) take(name string) json.RawMessage {
	v, ok := f.raw[name]
	if !ok {
		return nil
	}
	delete(f.raw, name)
	if string(v) == "null" {
		return nil
	}
	return v
}

// rest returns the names of the fields that were not taken.
func (f *fields) rest() []string { return slices.Sorted(maps.Keys(f.raw)) }

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = &transponder.RequestError{Field: f.path + name, Reason: fmt.Sprintf(format, args...)}
	}
}

// text returns a field that is a string. A number or a boolean is returned as it is spelled.
func (f *fields) text(name string) string {
	v := f.take(name)
	if v == nil {
		return ""
	}
	s, ok := scalar(v)
	if !ok {
		f.fail(name, "it must be a string, not %s", kind(v))
	}
	return s
}

// required is text for a field that must not be absent.
func (f *fields) required(name string) string {
	s := f.text(name)
	if s == "" {
		f.fail(name, "it is missing")
	}
	return s
}

// boolean returns a field that is a boolean, nil if it is absent.
func (f *fields) boolean(name string) *bool {
	v := f.take(name)
	if v == nil {
		return nil
	}
	s, ok := scalar(v)
	s = strings.ToLower(strings.TrimSpace(s))
	b := s == "true"
	switch {
	case ok && s == "":
		return nil
	case ok && (b || s == "false"):
		return &b
	}
	f.fail(name, "it must be true or false, not %s", shown(v))
	return nil
}

// flag returns a field that is a boolean, or absent if the request does not have it.
func (f *fields) flag(name string, absent bool) bool {
	if wish := f.boolean(name); wish != nil {
		return *wish
	}
	return absent
}

// number returns a field that is a number, 0 if it is absent.
func (f *fields) number(name string) float64 {
	v := f.take(name)
	if v == nil {
		return 0
	}
	s, ok := scalar(v)
	s = strings.TrimSpace(s)
	if ok && s == "" {
		return 0
	}
	// Only numbers as JSON spells them: strconv would also read "inf" and "0x10".
	if ok && json.Valid([]byte(s)) {
		if n, err := strconv.ParseFloat(s, 64); err == nil {
			return n
		}
	}
	f.fail(name, "it must be a number, not %s", shown(v))
	return 0
}

// integer returns a field that is a whole number, 0 if it is absent.
func (f *fields) integer(name string) int {
	n := f.number(name)
	if n != math.Trunc(n) || math.Abs(n) > math.MaxInt32 {
		f.fail(name, "it must be a whole number, not %v", n)
		return 0
	}
	return int(n)
}

// texts returns a field that is a list of strings, nil if it is absent.
func (f *fields) texts(name string) []string {
	v := f.take(name)
	if v == nil {
		return nil
	}
	var elements []json.RawMessage
	if json.Unmarshal(v, &elements) != nil {
		f.fail(name, "it must be a list of strings, not %s", kind(v))
		return nil
	}
	list := make([]string, 0, len(elements))
	for _, e := range elements {
		s, ok := scalar(e)
		if !ok {
			f.fail(name, "it must hold strings only, not %s", kind(e))
			return nil
		}
		list = append(list, s)
	}
	return list
}

// object returns the members of a field that is an object, none if it is absent. The result has an err of its own.
func (f *fields) object(name string) *fields {
	o := &fields{path: f.path + name + "."}
	v := f.take(name)
	if v != nil && json.Unmarshal(v, &o.raw) != nil {
		f.fail(name, "it must be an object, not %s", kind(v))
	}
	if len(o.raw) > maxMembers {
		f.fail(name, "it has more than %d members", maxMembers)
		o.raw = nil
	}
	return o
}

// scalar returns the content of a string, or a number or a boolean as it is spelled.
func scalar(v json.RawMessage) (s string, ok bool) {
	switch v[0] {
	case '{', '[', 'n':
		return "", false
	case '"':
		return s, json.Unmarshal(v, &s) == nil
	default:
		return string(v), true
	}
}

// kind names the kind of a value.
func kind(v json.RawMessage) string {
	switch v[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// shown returns a short value as it was sent, and the kind of a longer one.
func shown(v json.RawMessage) string {
	if s, ok := scalar(v); ok && len(s) <= 20 {
		return string(v)
	}
	return kind(v)
}
