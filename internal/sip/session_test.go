package sip

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"transponder/internal/sip/sdp"
)

var ourAddress = netip.MustParseAddr("192.0.2.9")

// newSession makes the session of a call with sound and pictures.
func newSession(t testing.TB, change func(*Config), secure bool) *session {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	local, err := cfg.newLocal(wants{audio: true, video: true}, ourAddress, 30000, 30002, secure)
	if err != nil {
		t.Fatal(err)
	}
	return &session{local: local}
}

// What is offered follows the settings.
func TestOffer(t *testing.T) {
	tests := []struct {
		name         string
		change       func(*Config)
		secure       bool
		audio, video string // the m-lines
		key          bool
	}{
		{"default", nil, false, "RTP/AVP 0 8 111 101", "RTP/AVP 97 98", false},
		{"everything", func(c *Config) { c.Exclude, c.VP8, c.HighProfile = nil, true, true }, false,
			"RTP/AVP 0 8 111 9 112 113 101", "RTP/AVP 97 98 99 100", false},
		{"Opus first", func(c *Config) { c.OpusFirst = true }, false, "RTP/AVP 111 0 8 101", "RTP/AVP 97 98", false},
		{"names of Web Call Server", func(c *Config) { c.Exclude = []string{"ALAW", "opus", "g722", "speex", "g729", "mpv"} }, false,
			"RTP/AVP 0 101", "RTP/AVP 97 98", false},
		{"wideband Speex only", func(c *Config) { c.Exclude = []string{"opus", "g722", "speex16"} }, false, "RTP/AVP 0 8 113 101", "RTP/AVP 97 98", false},
		{"no pictures", func(c *Config) { c.Exclude = append(c.Exclude, "h264") }, false, "RTP/AVP 0 8 111 101", "", false},
		{"keys over TLS", func(c *Config) { c.SRTP = SRTPOptional }, true, "RTP/AVP 0 8 111 101", "RTP/AVP 97 98", true},
		{"no keys in the open", func(c *Config) { c.SRTP = SRTPOptional }, false, "RTP/AVP 0 8 111 101", "RTP/AVP 97 98", false},
		{"keys in the open", func(c *Config) { c.SRTP, c.SRTPWithoutTLS = SRTPRequired, true }, false, "RTP/SAVP 0 8 111 101", "RTP/SAVP 97 98", true},
	}
	for _, tt := range tests {
		offer := string(newSession(t, tt.change, tt.secure).offer())
		if !strings.Contains(offer, "m=audio 30000 "+tt.audio+"\r\n") {
			t.Errorf("%s: the offer is\n%s\nwant %s", tt.name, offer, tt.audio)
		}
		if tt.video == "" && strings.Contains(offer, "m=video") || !strings.Contains(offer, "m=video 30002 "+tt.video+"\r\n") && tt.video != "" {
			t.Errorf("%s: the offer is\n%s\nwant %s", tt.name, offer, tt.video)
		}
		if strings.Contains(offer, "a=crypto:") != tt.key || !strings.Contains(offer, "c=IN IP4 192.0.2.9") {
			t.Errorf("%s: the offer is\n%s\nwant keys: %v", tt.name, offer, tt.key)
		}
	}
	cfg := DefaultConfig()
	cfg.SRTP = SRTPRequired
	if _, err := cfg.newLocal(wants{audio: true}, ourAddress, 30000, 0, false); !errors.Is(err, ErrPolicy) {
		t.Errorf("keys are demanded without TLS: %v", err)
	}
	cfg = DefaultConfig()
	cfg.ExcludePushed = []string{"opus", "pcmu"}
	local, err := cfg.newLocal(wants{audio: true, pushed: true}, ourAddress, 30000, 0, false)
	if err != nil || len(local.Audio.Codecs) != 5 {
		t.Errorf("a call that is pushed has the codecs %v, %v", local.Audio.Codecs, err)
	}
}

// A hold changes the directions alone, and each change has a higher version. What the phone refuses counts in the versions, too.
func TestHoldInSDP(t *testing.T) {
	s := newSession(t, nil, false)
	s.offer()
	a, err := s.answered([]byte("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\nm=video 0 RTP/AVP 97\r\n"), false)
	if err != nil || a.Video != nil || peerHolds(s.local, a) {
		t.Fatalf("%+v, %v", a, err)
	}
	s.hold(true, false)
	held := string(s.again())
	if !strings.Contains(held, "m=audio 30000 RTP/AVP 0 8 111 101") || !strings.Contains(held, "a=sendonly") || version(held) != 2 {
		t.Errorf("on hold we offer\n%s", held)
	}
	s.refused()
	s.hold(false, false)
	back := string(s.again())
	if strings.Contains(back, "a=sendonly") || version(back) != 3 {
		t.Errorf("after a refusal we offer\n%s", back)
	}
}

func TestPeerHolds(t *testing.T) {
	local := newSession(t, nil, false).local
	ours := local
	ours.Audio.Direction = sdp.SendOnly
	flow := func(d sdp.Direction) *sdp.Flow { return &sdp.Flow{Direction: d} }
	tests := []struct {
		name  string
		local sdp.Local
		a     sdp.Agreement
		want  bool
	}{
		{"both speak", local, sdp.Agreement{Audio: flow(sdp.SendRecv)}, false},
		{"music on hold", local, sdp.Agreement{Audio: flow(sdp.RecvOnly)}, true},
		{"nobody", local, sdp.Agreement{Audio: flow(sdp.Inactive)}, true},
		{"we hold", ours, sdp.Agreement{Audio: flow(sdp.SendOnly)}, false},
		{"both hold", ours, sdp.Agreement{Audio: flow(sdp.Inactive)}, true},
		{"pictures", local, sdp.Agreement{Video: flow(sdp.RecvOnly)}, false},
		{"no pictures now", local, sdp.Agreement{Video: flow(sdp.Inactive)}, true},
	}
	for _, tt := range tests {
		if got := peerHolds(tt.local, tt.a); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// An offer or an answer that cannot be taken leaves the session as it was.
func FuzzSession(f *testing.F) {
	f.Add("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n", true)
	f.Add("m=video 1 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", false)
	f.Fuzz(func(t *testing.T, text string, offer bool) {
		s := newSession(t, nil, false)
		s.offer()
		before := *s
		if offer {
			answer, a, err := s.answer([]byte(text))
			if err == nil && (len(answer) == 0 || a.Audio == nil && a.Video == nil) {
				t.Errorf("an answer without media: %q", answer)
			}
			if err == nil {
				return
			}
		} else if _, err := s.answered([]byte(text), false); err == nil {
			return
		}
		if s.ours != before.ours || s.active != before.active || s.offered != before.offered {
			t.Error("the session has changed")
		}
	})
}
