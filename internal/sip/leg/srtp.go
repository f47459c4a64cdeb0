package leg

import (
	"errors"
	"fmt"

	"github.com/pion/srtp/v3"

	"transponder/internal/sip/sdp"
)

// profiles are the suites that can be used.
var profiles = map[sdp.Suite]srtp.ProtectionProfile{
	sdp.AES128SHA80: srtp.ProtectionProfileAes128CmHmacSha1_80,
	sdp.AES128SHA32: srtp.ProtectionProfileAes128CmHmacSha1_32,
	sdp.AES256SHA80: srtp.ProtectionProfileAes256CmHmacSha1_80,
	sdp.AES128GCM:   srtp.ProtectionProfileAeadAes128Gcm,
	sdp.AES256GCM:   srtp.ProtectionProfileAeadAes256Gcm,
}

// replayWindow is how many packets back a packet may be late. A key frame can have hundreds.
const replayWindow = 1024

// errKey is the error of a key that cannot be used. It does not wrap the cause, which might show the key.
var errKey = errors.New("the SRTP key cannot be used")

// newContext makes a context for a key: for one direction, and for one goroutine at a time. It is nil for a nil key.
func newContext(key *sdp.Crypto) (*srtp.Context, error) {
	if key == nil {
		return nil, nil
	}
	profile, ok := profiles[key.Suite]
	if !ok {
		return nil, fmt.Errorf("%w: its suite is unknown", errKey)
	}
	master, salt := key.Keys()
	c, err := srtp.CreateContext(master, salt, profile, srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(64))
	if err != nil {
		return nil, fmt.Errorf("%w with suite %s", errKey, key.Suite)
	}
	return c, nil
}

// sameKey says whether a context can go on.
func sameKey(a, b *sdp.Crypto) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SameKey(*b)
}
