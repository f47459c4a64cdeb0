package phone

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/pion/srtp/v3"
)

// keys are the keys of SDES (RFC 4568) in both directions; nil: plain RTP.
type keys struct{ seal, unseal *srtp.Context }

// Protect encrypts the stream with the values of two a=crypto lines: ours and the peer's.
func (s *Stream) Protect(ours, theirs string) {
	s.t.Helper()
	seal, err := cryptoContext(ours)
	if err != nil {
		s.t.Fatal(err)
	}
	unseal, err := cryptoContext(theirs)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = &keys{seal, unseal}
}

func cryptoContext(line string) (*srtp.Context, error) {
	words := strings.Fields(line)
	if len(words) < 3 {
		return nil, fmt.Errorf("%q is no crypto line", line)
	}
	profile, ok := map[string]srtp.ProtectionProfile{
		"AES_CM_128_HMAC_SHA1_80": srtp.ProtectionProfileAes128CmHmacSha1_80,
		"AES_CM_128_HMAC_SHA1_32": srtp.ProtectionProfileAes128CmHmacSha1_32,
		"AEAD_AES_256_GCM":        srtp.ProtectionProfileAeadAes256Gcm,
	}[words[1]]
	if !ok {
		return nil, fmt.Errorf("the suite %s is not known", words[1])
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(words[2], "inline:"), "|")
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	size, err := profile.KeyLen()
	if err != nil {
		return nil, err
	}
	if len(key) <= size {
		return nil, fmt.Errorf("the key has %d bytes", len(key))
	}
	return srtp.CreateContext(key[:size], key[size:], profile)
}

func (k *keys) sealPacket(b []byte) []byte {
	if k == nil {
		return b
	}
	out, err := k.seal.EncryptRTP(nil, b, nil)
	if err != nil {
		return nil
	}
	return out
}

func (k *keys) sealControl(b []byte) []byte {
	if k == nil {
		return b
	}
	out, err := k.seal.EncryptRTCP(nil, b, nil)
	if err != nil {
		return nil
	}
	return out
}

func (k *keys) open(b []byte, control bool) ([]byte, error) {
	switch {
	case k == nil:
		return b, nil
	case control:
		return k.unseal.DecryptRTCP(nil, b, nil)
	default:
		return k.unseal.DecryptRTP(nil, b, nil)
	}
}
