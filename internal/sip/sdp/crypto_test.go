package sdp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParseCrypto(t *testing.T) {
	const gcm = "1 AEAD_AES_256_GCM inline:" + key44
	tests := map[string]struct {
		value string
		want  bool
	}{
		"RFC 4568":           {"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^20", true},
		"short tag":          {"2 AES_CM_128_HMAC_SHA1_32 inline:" + key30, true},
		"lower case":         {"1 aes_cm_128_hmac_sha1_80 INLINE:" + key30, true},
		"GCM":                {gcm, true},
		"no padding":         {strings.TrimRight(gcm, "="), true},
		"window":             {"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + " WSH=64 -X=1", true},
		"index of a key":     {"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^20|1:4", false},
		"index, no lifetime": {"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|1:4", false},
		"two keys":           {"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + ";inline:" + key30, false},
		"no encryption":      {"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + " UNENCRYPTED_SRTP", false},
		"unknown suite":      {"1 F8_128_HMAC_SHA1_80 inline:" + key30, false},
		"short key":          {"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30[:20], false},
		"no base64":          {"1 AES_CM_128_HMAC_SHA1_80 inline:!!!", false},
		"no tag":             {"AES_CM_128_HMAC_SHA1_80 inline:" + key30, false},
		"long tag":           {"1234567890 AES_CM_128_HMAC_SHA1_80 inline:" + key30, false},
	}
	for name, test := range tests {
		if c, ok := parseCrypto(test.value); ok != test.want {
			t.Errorf("%s: got %v, %t", name, c, ok)
		}
	}
}

// The example of RFC 4568, 9.1: the key is what Base64 makes of it.
func TestCryptoKeys(t *testing.T) {
	c, ok := parseCrypto("1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^20")
	key, salt := c.Keys()
	if !ok || string(key) != "YS___semctl () {" || string(salt) != "\t220;}\n}\nunles" {
		t.Errorf("key %q, salt %q", key, salt)
	}
}

func TestNewCrypto(t *testing.T) {
	for _, suite := range []Suite{AES128SHA80, AES128SHA32, AES256SHA80, AES128GCM, AES256GCM} {
		a, errA := NewCrypto("1", suite)
		b, errB := NewCrypto("1", suite)
		if errA != nil || errB != nil || a.SameKey(b) || !a.SameKey(a) {
			t.Errorf("%s: %v, %v; two keys are the same: %t", suite, errA, errB, a.SameKey(b))
		}
		if read, ok := parseCrypto(a.value()); !ok || !read.SameKey(a) {
			t.Errorf("%s: a key that was written is not read again", suite)
		}
	}
	if _, err := NewCrypto("1", "NULL"); err == nil {
		t.Error("an unknown suite has a key")
	}
}

// Nothing that prints a description prints a key.
func TestKeysAreNotPrinted(t *testing.T) {
	s := parse(t, peers["webex"])
	c := s.Media[0].Crypto[1]
	key, _ := c.Keys()
	inside := struct{ hidden Crypto }{c}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "crypto", c, "session", s, "inside", inside)
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %v %+v", c, c, c, c, s, s, s, inside, inside)
	for _, text := range []string{printed, log.String(), string(asJSON), Redact(peers["webex"]), Redact(s.SDP())} {
		for _, form := range []string{key30, string(key), fmt.Sprint(key[:4])[1:], fmt.Sprintf("%x", key), "WVNfX1"} {
			if strings.Contains(text, strings.TrimSuffix(form, "]")) {
				t.Errorf("%q is in %s", form, text)
			}
		}
	}
}

func TestRedact(t *testing.T) {
	tests := map[string]string{
		"a=crypto:1 X inline:secret":       "a=crypto:***",
		"A line with INLINE:secret":        "***",
		"a= cryp\x00to :1 X inline:secret": "***",
		"a=Crypto:1 secret":                "a=crypto:***",
		"a=ice-pwd:secret":                 "a=ice-pwd:***",
		"a=key-mgmt:mikey secret":          "a=key-mgmt:***",
		"k=clear:secret":                   "k=***",
		"a=rtpmap:0 PCMU/8000":             "a=rtpmap:0 PCMU/8000",
	}
	for line, want := range tests {
		if got := Redact("v=0\n" + line + "\r\n"); got != "v=0\r\n"+want+"\r\n" {
			t.Errorf("Redact(%q) = %q, want %q", line, got, want)
		}
	}
}
