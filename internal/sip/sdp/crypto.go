package sdp

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
)

// Suite is a cipher of SRTP, by its name in SDP.
type Suite string

// The suites that can be used (RFC 4568, 6.2; RFC 6188; RFC 7714).
const (
	AES128SHA80 Suite = "AES_CM_128_HMAC_SHA1_80"
	AES128SHA32 Suite = "AES_CM_128_HMAC_SHA1_32"
	AES256SHA80 Suite = "AES_256_CM_HMAC_SHA1_80"
	AES128GCM   Suite = "AEAD_AES_128_GCM"
	AES256GCM   Suite = "AEAD_AES_256_GCM"
)

// lengths returns the length of the master key and of the master salt in bytes, 0 for a suite that we do not know.
func (s Suite) lengths() (key, salt int) {
	switch s {
	case AES128SHA80, AES128SHA32:
		return 16, 14
	case AES256SHA80:
		return 32, 14
	case AES128GCM:
		return 16, 12
	case AES256GCM:
		return 32, 12
	default:
		return 0, 0
	}
}

// Crypto is the value of an a=crypto line (RFC 4568): the key with which the owner of the section encrypts what the owner sends. It prints
// without the key.
type Crypto struct {
	Tag   string // one to nine digits; an answer repeats the tag that it accepts
	Suite Suite
	// secret is a pointer so that not even %v of a struct that holds a Crypto in an unexported field shows the key.
	secret *secret
}

// secret is a master key with its master salt behind it.
type secret struct{ bytes []byte }

// NewCrypto makes a random key. It fails for a suite that cannot be used.
func NewCrypto(tag string, suite Suite) (Crypto, error) {
	key, salt := suite.lengths()
	if key == 0 {
		return Crypto{}, fmt.Errorf("SRTP suite %q is unknown", suite)
	}
	s := &secret{make([]byte, key+salt)}
	_, _ = rand.Read(s.bytes) // never fails
	return Crypto{Tag: tag, Suite: suite, secret: s}, nil
}

// Keys returns the master key and the master salt. The caller does not change them. Both are nil in the zero Crypto.
func (c Crypto) Keys() (key, salt []byte) {
	if c.secret == nil {
		return nil, nil
	}
	n, _ := c.Suite.lengths()
	return c.secret.bytes[:n], c.secret.bytes[n:]
}

// SameKey says whether both have the same suite and key. A context of SRTP must then go on: a new one would begin with a rollover counter
// of 0 again.
func (c Crypto) SameKey(other Crypto) bool {
	key, salt := c.Keys()
	otherKey, otherSalt := other.Keys()
	return c.Suite == other.Suite && bytes.Equal(key, otherKey) && bytes.Equal(salt, otherSalt)
}

// String returns the line without the key.
func (c Crypto) String() string { return c.Tag + " " + string(c.Suite) + " inline:***" }

// GoString is String, for %#v.
func (c Crypto) GoString() string { return c.String() }

// LogValue is String, for logs.
func (c Crypto) LogValue() slog.Value { return slog.StringValue(c.String()) }

// value returns the value of the a=crypto line, with the key.
func (c Crypto) value() string {
	key, salt := c.Keys()
	return c.Tag + " " + string(c.Suite) + " inline:" + base64.StdEncoding.EncodeToString(append(bytes.Clone(key), salt...))
}

// parseCrypto reads the value of an a=crypto line. ok is false if the line cannot be used: its suite is unknown, it has several keys or a
// key with an index (MKI), or it demands something of the session that we do not do (RFC 4568, 6.3). WSH, the size of the window against
// replays, demands nothing.
func parseCrypto(value string) (c Crypto, ok bool) {
	f := strings.Fields(value)
	if len(f) < 3 || len(f[0]) > 9 || strings.Trim(f[0], "0123456789") != "" {
		return Crypto{}, false
	}
	for _, demand := range f[3:] {
		if !strings.HasPrefix(demand, "WSH=") && !strings.HasPrefix(demand, "-") {
			return Crypto{}, false
		}
	}
	method, inline, _ := strings.Cut(f[2], ":")
	inline, lifetime, _ := strings.Cut(inline, "|")
	if !strings.EqualFold(method, "inline") || strings.Contains(lifetime, ":") || strings.Contains(lifetime, ";") {
		return Crypto{}, false
	}
	c = Crypto{Tag: f[0], Suite: Suite(strings.ToUpper(f[1]))}
	key, salt := c.Suite.lengths()
	keys, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(inline, "=")) // some leave the = out
	if err != nil || key == 0 || len(keys) != key+salt {
		return Crypto{}, false
	}
	c.secret = &secret{keys}
	return c, true
}

// Redact returns the lines of an SDP without secrets: keys of SDES and of other ways, and the password of ICE. It takes lines apart as
// Parse does, so that no key which Parse would find stays.
func Redact(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Map(cleaned, text)) {
		line = strings.TrimSpace(line)
		letter, value, _ := strings.Cut(line, "=")
		key, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(value)), ":")
		switch {
		case line == "":
			continue
		case letter == "k":
			line = "k=***"
		case letter == "a" && (key == "crypto" || key == "key-mgmt" || key == "ice-pwd"):
			line = "a=" + key + ":***"
		case strings.Contains(strings.ToLower(line), "inline:"):
			line = "***"
		}
		b.WriteString(line + "\r\n")
	}
	return b.String()
}
