package wcs

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"transponder/internal/access"
)

// hidden stands for a secret.
const hidden = "***"

// secretWords are parts of the names of members that hold secrets.
var secretWords = []string{"token", "secret", "pass", "key", "auth", "jwt"}

// redact returns a value of a page without its secrets, for others than the page and its application.
func redact(value json.RawMessage) json.RawMessage {
	if len(value) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	if word, ok := v.(string); ok && access.LooksLikeToken(word) {
		v = hidden
	}
	hideSecrets(v)
	clean, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return clean
}

// hideSecrets replaces the secrets in objects, in place.
func hideSecrets(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if isSecret(name) {
				v[name] = hidden
				continue
			}
			hideSecrets(member)
		}
	case []any:
		for _, element := range v {
			hideSecrets(element)
		}
	}
}

func isSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}

// withoutKey returns the member custom of a page without a stored key in it. A key is for this server alone: a backend that saw one could use
// it. A JWT may be the backend's own.
func withoutKey(custom json.RawMessage) json.RawMessage {
	token := tokenIn(custom)
	if !strings.HasPrefix(token, access.KeyPrefix) {
		return custom
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(custom, &object) != nil {
		return json.RawMessage(`"` + hidden + `"`)
	}
	for name := range object {
		if strings.EqualFold(name, "token") { // the decoder takes every spelling
			object[name] = json.RawMessage(`"` + hidden + `"`)
		}
	}
	clean, err := json.Marshal(object)
	if err != nil {
		return nil
	}
	return clean
}
