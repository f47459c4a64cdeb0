package leg

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip/sdp"
	"transponder/internal/testkit"
)

// newKey makes a key, and a context of the phone for it.
func newKey(t *testing.T, suite sdp.Suite) (*sdp.Crypto, *srtp.Context) {
	t.Helper()
	key, err := sdp.NewCrypto("1", suite)
	if err != nil {
		t.Fatal(err)
	}
	return &key, contextOf(t, &key)
}

func contextOf(t *testing.T, key *sdp.Crypto) *srtp.Context {
	t.Helper()
	profile := map[sdp.Suite]srtp.ProtectionProfile{ // RFC 4568, 6.2; RFC 6188, 3; RFC 7714, 14.2: by the numbers of RFC 5764 and RFC 7714
		sdp.AES128SHA80: 1, sdp.AES128SHA32: 2, sdp.AES256SHA80: 9, sdp.AES128GCM: 7, sdp.AES256GCM: 8,
	}[key.Suite]
	if key.Suite == sdp.AES256SHA80 {
		profile = srtp.ProtectionProfileAes256CmHmacSha1_80
	}
	master, salt := key.Keys()
	c, err := srtp.CreateContext(master, salt, profile)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sealed sends a packet that is encrypted with a key of the phone.
func (s *socket) sealed(t *testing.T, c *srtp.Context, number uint8, payload ...byte) {
	t.Helper()
	b, err := c.EncryptRTP(nil, s.packet(number, false, payload), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.send(b)
	s.time += 160
}

// TestSRTP: both directions, for every suite, RTCP too. Packets without a key, with another key, and packets that come again are refused.
func TestSRTP(t *testing.T) {
	for _, suite := range []sdp.Suite{sdp.AES128SHA80, sdp.AES128SHA32, sdp.AES256SHA80, sdp.AES128GCM, sdp.AES256GCM} {
		t.Run(string(suite), func(t *testing.T) {
			p := newLine(t)
			ours, rx := newKey(t, suite)
			theirs, tx := newKey(t, suite)
			_, wrong := newKey(t, suite)
			sound := p.soundFlow()
			sound.Encrypt, sound.Decrypt = ours, theirs
			p.agree(sound, nil)
			p.leg.Start()
			p.publish()
			r := p.reader()
			p.audio.rtp(0, false, 'x')
			p.audio.sealed(t, wrong, 0, 'x')
			p.audio.seq -= 2
			p.audio.sealed(t, tx, 0, 'a')
			p.received(t, media.Audio, 1)
			p.audio.seq--
			p.audio.sealed(t, contextOf(t, theirs), 0, 'a') // again
			p.refused(t, media.Audio, Refused{SRTP: 3})
			p.audio.sealed(t, tx, 0, 'b')
			if got := frames(t, r, 2); string(got[0].Data) != "a" || string(got[1].Data) != "b" {
				t.Errorf("got %q, %q", got[0].Data, got[1].Data)
			}
			report := marshal(t, &rtcp.SenderReport{SSRC: p.audio.ssrc, NTPTime: 1, RTPTime: p.audio.time})
			p.audioRTCP.send(report) // in clear
			p.refused(t, media.Audio, Refused{SRTP: 4})
			b, err := tx.EncryptRTCP(nil, report, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.audioRTCP.send(b)
			testkit.Eventually(t, 10*time.Second, func() string {
				p.leg.mu.Lock()
				defer p.leg.mu.Unlock()
				if p.leg.audio.rtcpFrom != p.audioRTCP.addr() {
					return "the report was not taken"
				}
				return ""
			})
			p.pass(10 * time.Second)
			plain, err := rx.DecryptRTP(nil, p.audio.read(), nil)
			if x, e := rtc.ParsePacket(plain); err != nil || e != nil || x.Payload[0] != 0xff {
				t.Errorf("the phone got % x: %v, %v", plain, err, e)
			}
			b, err = rx.DecryptRTCP(nil, p.audioRTCP.read(), nil)
			if err != nil || b[1] != 200 {
				t.Errorf("the phone got the report % x: %v", b, err)
			}
		})
	}
}

// TestSRTPKeyChange: with the same key in a new agreement the rollover counter goes on, with a new key it begins anew.
func TestSRTPKeyChange(t *testing.T) {
	p := newLine(t)
	ours, rx := newKey(t, sdp.AES128SHA80)
	theirs, tx := newKey(t, sdp.AES128SHA80)
	sound := p.soundFlow()
	sound.Encrypt, sound.Decrypt = ours, theirs
	p.agree(sound, nil)
	p.audio.seq = 65534
	n := int64(0)
	send := func(c *srtp.Context) {
		t.Helper()
		for range 3 {
			p.audio.sealed(t, c, 0, 'a')
			n++
			p.received(t, media.Audio, n)
		}
	}
	send(tx) // the numbers wrap, so the counter is 1
	p.leg.audio.out.mu.Lock()
	p.leg.audio.out.sequence = 65534
	p.leg.audio.out.mu.Unlock()
	heard := func(c *srtp.Context) {
		t.Helper()
		p.pass(100 * time.Millisecond)
		got := 0
		for b := p.audio.read(); b != nil; b = p.audio.read() {
			if _, err := c.DecryptRTP(nil, b, nil); err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != 5 {
			t.Errorf("the phone heard %d packets", got)
		}
	}
	heard(rx)
	again := *sound
	sameOurs, sameTheirs := *ours, *theirs
	again.Encrypt, again.Decrypt = &sameOurs, &sameTheirs
	p.agree(&again, nil)
	send(tx)
	heard(rx)
	changed := again
	changed.Encrypt, rx = newKey(t, sdp.AES256GCM)
	changed.Decrypt, tx = newKey(t, sdp.AES256GCM)
	p.agree(&changed, nil)
	send(tx)
	heard(rx)
	changed.Encrypt, changed.Decrypt = nil, nil
	p.agree(&changed, nil)
	p.audio.rtp(0, false, 'a')
	p.received(t, media.Audio, n+1)
}

// TestKeysAreSecret: no key gets into the log or an error, not even one that cannot be used.
func TestKeysAreSecret(t *testing.T) {
	var log bytes.Buffer
	legs, clock := newLegs(t, testConfig(), Parts{})
	legs.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := newLineOf(t, legs, clock)
	key, _ := newKey(t, sdp.AES128SHA80)
	bad := *key
	bad.Suite = "ROT13"
	sound := p.soundFlow()
	sound.Encrypt, sound.Decrypt = &bad, &bad
	p.agree(sound, nil)
	p.audio.rtp(0, false, 'a')
	p.refused(t, media.Audio, Refused{SRTP: 1})
	p.pass(10 * time.Second)
	if b := p.audio.read(); b != nil || p.audioRTCP.read() != nil {
		t.Errorf("something was sent without the key: % x", b)
	}
	master, _ := key.Keys()
	if s := log.String(); !strings.Contains(s, "SRTP key cannot be used") || strings.Contains(s, string(master)) || strings.Contains(s, fmt.Sprintf("%x", master)) {
		t.Errorf("log: %s", s)
	}
}
