package hook

import (
	"encoding/json"
	"slices"
	"strings"
)

// rule is how one method is handled in a session, as the backend has said in restClientConfig in the answer to connect.
type rule struct {
	onError       OnError // "": not said
	disabled      bool    // DISABLE: the hook is not sent
	overwrite     []string
	restExclude   []string // members that the backend does not get
	clientExclude []string // members that the page does not get
}

// maxRules and maxFields bound what a session keeps of restClientConfig. The methods of the contract are about 50.
const (
	maxRules  = 100
	maxFields = 100
)

// parseRules reads restClientConfig. Whatever is not as it should be is as if it were not there: the vendor's backends send members of many
// versions.
func parseRules(config json.RawMessage) map[Method]rule {
	var methods map[Method]map[string]json.RawMessage
	if json.Unmarshal(config, &methods) != nil {
		// One method of the wrong type must not undo the others.
		var raw map[Method]json.RawMessage
		if json.Unmarshal(config, &raw) != nil {
			return nil
		}
		methods = map[Method]map[string]json.RawMessage{}
		for name, text := range raw {
			var members map[string]json.RawMessage
			if json.Unmarshal(text, &members) == nil {
				methods[name] = members
			}
		}
	}
	rules := map[Method]rule{}
	for name, members := range methods {
		if members == nil || len(rules) >= maxRules && !slices.Contains(Methods, name) {
			continue
		}
		r := rule{restExclude: words(members["restExclude"]), clientExclude: words(members["clientExclude"])}
		switch strings.ToUpper(word(members["restOnError"])) {
		case string(Log):
			r.onError = Log
		case string(Fail):
			r.onError = Fail
		}
		switch strings.ToUpper(word(members["restPolicy"])) {
		case "DISABLE", "DISABLED": // pages of the contract have both spellings
			r.disabled = true
		case "OVERWRITE":
			r.overwrite = words(members["restOverwrite"])
		}
		rules[name] = r
	}
	return rules
}

// word returns a string without the spaces around it, "" for all other values.
func word(text json.RawMessage) string {
	var s string
	_ = json.Unmarshal(text, &s)
	return strings.TrimSpace(s)
}

// words returns a list of names: a string with commas, or an array of strings.
func words(text json.RawMessage) []string {
	var list []string
	var s string
	switch {
	case json.Unmarshal(text, &s) == nil:
		list = strings.Split(s, ",")
	case json.Unmarshal(text, &list) != nil:
		return nil
	}
	var names []string
	for _, name := range list {
		if name = strings.TrimSpace(name); name != "" && len(names) < maxFields {
			names = append(names, name)
		}
	}
	return names
}

// overwritable are the members that a backend may change.
var overwritable = map[Method][]string{
	Connect: {
		"custom", "keepAlive",
		"sipLogin", "sipAuthenticationName", "sipPassword", "sipDomain", "sipOutboundProxy", "sipProxy", "sipPort", "sipRegisterRequired",
	},
	PublishStream: {"name", "rtmpUrl", "record", "bitrate", "minBitrate", "maxBitrate"},
	PlayStream:    {"name", "width", "height", "bitrate", "quality"},
}

// changes returns the members of an answer that the rule takes over: those that may be overwritten and that differ from what was sent. A
// member that was not sent because of restExclude counts as different.
func (r rule) changes(m Method, sent, answer Object) Object {
	changed := Object{}
	for _, name := range r.overwrite {
		value, ok := answer[name]
		if !ok || !slices.Contains(overwritable[m], name) || sameJSON(sent[name], value) {
			continue
		}
		changed[name] = value
	}
	return changed
}

// sameJSON says whether two values are the same, whatever their spelling.
func sameJSON(a, b json.RawMessage) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	if s, ok := y.(string); ok && s == "" && x == nil {
		return true // PHP makes an empty string of null
	}
	return equal(x, y)
}

func equal(x, y any) bool {
	switch x := x.(type) {
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name := range x {
			other, there := y[name]
			if !there || !equal(x[name], other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := y.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	}
	return x == y
}
