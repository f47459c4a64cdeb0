package certificate

import (
	"strings"
	"testing"
)

// The log says why the authority gave no certificate for a name: not what it said about another, nor what the library met and overcame.
func TestAuthoritySaid(t *testing.T) {
	const (
		nonce     = `{"type":"urn:ietf:params:acme:error:badNonce","detail":"JWS has an invalid anti-replay nonce","status":400}`
		refused   = `{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"policy forbids it","status":400}`
		order     = `{"status":"invalid","identifiers":[{"type":"dns","value":"a.example"}]}`
		connect   = `{"status":"invalid","identifier":{"type":"dns","value":"a.example"},"challenges":[{"type":"http-01","error":{"type":"urn:ietf:params:acme:error:connection","detail":"Connection refused"}},{"type":"dns-01"}]}`
		elsewhere = `{"status":"invalid","identifier":{"type":"dns","value":"b.example"},"challenges":[{"type":"tls-alpn-01","error":{"type":"urn:ietf:params:acme:error:dns","detail":"no such name"}}]}`
	)
	for _, tt := range []struct {
		name  string
		heard []string
		want  string // of a.example
	}{
		{"nothing", []string{order, "no JSON", ""}, ""},
		{"a challenge", []string{order, connect, order}, "Connection refused"},
		{"a nonce of the past after it", []string{connect, nonce}, "Connection refused"},
		{"a nonce of the past before it", []string{nonce, connect}, "Connection refused"},
		{"another name after it", []string{connect, elsewhere}, "Connection refused"},
		{"another name alone", []string{elsewhere}, ""},
		{"a refusal without challenges", []string{nonce, refused, nonce}, "policy forbids it"},
		{"the last of two", []string{connect, strings.Replace(connect, "Connection refused", "Timeout", 1)}, "Timeout"},
	} {
		var w transport
		for _, body := range tt.heard {
			w.note([]byte(body))
		}
		if got := w.said("a.example"); got != tt.want {
			t.Errorf("%s: the authority said %q, want %q", tt.name, got, tt.want)
		}
		if got := w.said("a.example"); got != "" {
			t.Errorf("%s: %q is said again", tt.name, got)
		}
	}
}
