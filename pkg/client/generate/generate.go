// Package generate writes the Go code of package client that follows from api/openapi.yaml: one type for each schema, and one method for each
// operation. Its command, write, puts the code into the tree. A test of package rest compares the two.
package generate

import (
	"bytes"
	"fmt"
	"go/format"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// byHand are the operations that package client has in a form of its own.
var byHand = map[string]string{
	"followPushes":   "Events reads the stream of events",
	"specification":  "Specification returns text, not JSON",
	"downloadMedia":  "DownloadMedia returns the bytes of a file",
	"streamSnapshot": "StreamSnapshot returns the bytes of a picture",
	"uploadMedia":    "UploadMedia sends the bytes of a file",
}

// leftOut are the operations that package client does not have, each with the reason.
var leftOut = map[string]string{
	"logIn":                 "it answers with a cookie, which is for pages; programs show a token, a key or a password with each request",
	"logOut":                "it ends what logIn began",
	"injectStreamByOldPath": "injectStream does the same",
}

// Reasons returns the operations that are not generated, each with the reason.
func Reasons() map[string]string {
	all := map[string]string{}
	for _, m := range []map[string]string{byHand, leftOut} {
		for name, why := range m {
			all[name] = why
		}
	}
	return all
}

// handTypes are the schemas for which package client has a type of its own, or for which Go has one.
var handTypes = map[string]string{
	"Error": "Error", "Moment": "Moment", "LenientMoment": "Moment", "AnyValue": "json.RawMessage",
	"LenientString": "string", "LenientBoolean": "bool", "LenientNumber": "int64", "Patterns": "[]string", "Role": "string",
}

// sameAs are the fields that the document describes in words only.
var sameAs = map[string]string{
	"CheckPush.options":      "StartPushOptions",
	"NewDestination.options": "StartPushOptions",
	"Destination.options":    "PushOptions",
}

// zeroIsAbsent are the optional numbers and booleans of requests that mean the same if they are 0 or false as if they are absent. All others
// are pointers.
var zeroIsAbsent = map[string][]string{
	"StartPush":        {"width", "height", "keyFrameInterval", "fps"},
	"StartPushOptions": {"loop", "audioBitrate", "audioRate", "audioChannels", "bitrate", "simultaneous", "backupAfterMs"},
	"StartPushOptionsRestore": {
		"firstPauseMs", "factor", "maxPauseMs", "jitter", "healthyForMs",
	},
	"CheckPush":        {"width", "height", "keyFrameInterval", "fps", "publish"},
	"StartSound":       {"loop"},
	"TerminateStreams": {"all"},
	"StartCall":        {"sipPort", "sipRegisterRequired", "hasVideo"},
	"NewToken":         {"expiresIn", "until", "once"},
	"NewRevocation":    {"before"},
	"NewLogLevel":      {"forSeconds"},
	"NewKey":           {"expiresAt"},
	"NewDestination":   {"backup"},
	"Grant":            {"replace"},
	"AppGrant":         {"replace"},
	"Limits":           {"publishers", "players", "pushes", "bitrateKbps"},
	"AppLimits":        {"publishers", "players", "pushes", "bitrateKbps"},
}

// emptyCounts are the requests in which an empty string is something else than none.
var emptyCounts = []string{"NewApp", "NewDestination"}

// fractions are the numbers of requests that need not be whole.
var fractions = []string{"fps", "factor", "jitter"}

// initials are written in capitals in Go names. Some of them have a plural.
var (
	initials = []string{"dns", "fps", "gop", "http", "id", "jti", "ok", "os", "rtmp", "sdp", "sip", "tcp", "tls", "url"}
	plurals  = []string{"ids", "urls"}
)

// source is one file that is being written.
type source struct {
	bytes.Buffer
	doc  *yaml.Node
	sent []string          // the types that are parts of requests
	done map[string]bool   // the types that were written
	use  map[string]string // what a type is for
}

// Code returns the files of package client by name.
func Code(spec []byte) (map[string][]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(spec, &doc); err != nil {
		return nil, err
	}
	s := &source{doc: doc.Content[0], done: map[string]bool{}, use: map[string]string{}}
	s.findSent()
	methods, bodies := s.methods()
	s.types(bodies)
	files := map[string][]byte{}
	for name, text := range map[string]string{"methods.go": methods, "types.go": s.String()} {
		code, err := format.Source([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, text)
		}
		files[name] = code
	}
	return files, nil
}

const head = "// Code generated from api/openapi.yaml; DO NOT EDIT. Run: go generate ./pkg/client\n\npackage client\n\n"

// get returns the value below a path of keys, nil if there is none.
func get(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		var found *yaml.Node
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				found = n.Content[i+1]
			}
		}
		n = found
	}
	return n
}

// text returns a scalar, "" if there is none.
func text(n *yaml.Node, path ...string) string {
	if v := get(n, path...); v != nil {
		return strings.TrimSpace(v.Value)
	}
	return ""
}

// each calls f for the entries of a mapping, in their order.
func each(n *yaml.Node, f func(key string, value *yaml.Node)) {
	if n == nil {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i].Value, n.Content[i+1])
	}
}

// list returns the values of a sequence.
func list(n *yaml.Node) []string {
	var all []string
	if n != nil {
		for _, v := range n.Content {
			if v.Tag != "!!null" {
				all = append(all, v.Value)
			}
		}
	}
	return all
}

// resolve follows a $ref of a component, and returns its name.
func (s *source) resolve(n *yaml.Node) (_ *yaml.Node, name string) {
	ref := text(n, "$ref")
	if ref == "" {
		return n, ""
	}
	parts := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
	return get(s.doc, parts...), parts[len(parts)-1]
}

// bodyOf returns the schema of JSON of a request or an answer, nil if there is none.
func (s *source) bodyOf(n *yaml.Node) *yaml.Node {
	n, _ = s.resolve(n)
	return get(n, "content", "application/json", "schema")
}

// findSent finds the types that are parts of requests: what is optional in them is left out if it is not set.
func (s *source) findSent() {
	var visit func(n *yaml.Node)
	visit = func(n *yaml.Node) {
		if n == nil {
			return
		}
		if to, name := s.resolve(n); name != "" {
			if !slices.Contains(s.sent, name) {
				s.sent = append(s.sent, name)
				visit(to)
			}
			return
		}
		for _, child := range n.Content {
			visit(child)
		}
	}
	each(get(s.doc, "paths"), func(_ string, methods *yaml.Node) {
		each(methods, func(_ string, op *yaml.Node) { visit(get(op, "requestBody")) })
	})
}

// name returns a name of the document as a name of Go.
func name(of string) string {
	var words []string
	begin := 0
	for i := 1; i <= len(of); i++ {
		if i == len(of) || of[i] >= 'A' && of[i] <= 'Z' && (of[i-1] < 'A' || of[i-1] > 'Z') {
			words = append(words, of[begin:i])
			begin = i
		}
	}
	var b strings.Builder
	for _, w := range words {
		switch {
		case slices.Contains(plurals, strings.ToLower(w)):
			b.WriteString(strings.ToUpper(w[:len(w)-1]) + "s")
		case slices.Contains(initials, strings.ToLower(w)):
			b.WriteString(strings.ToUpper(w))
		default:
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}

// comment returns a description as a comment.
func comment(indent, text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(indent + "// " + line + "\n")
		}
	}
	return b.String()
}
