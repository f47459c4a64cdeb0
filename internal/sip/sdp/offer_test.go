package sdp

import (
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
)

// newLocal returns our side of a call with sound and a picture, as the default settings have it.
func newLocal() *Local {
	return &Local{
		ID: 7, Address: "192.0.2.1",
		Audio: LocalMedia{Port: 30000, Direction: SendRecv, Codecs: []Codec{PCMU, PCMA, Opus, Events}, PacketTime: 20 * time.Millisecond},
		Video: LocalMedia{Port: 30002, Direction: RecvOnly, Codecs: []Codec{H264}, Bandwidth: 2048000},
	}
}

// withKeys gives the local side keys for these suites. The same suite always has the same key.
func withKeys(l *Local, srtp SRTP, suites ...Suite) *Local {
	l.SRTP = srtp
	for i, suite := range suites {
		key, salt := suite.lengths()
		c := Crypto{Tag: string('1' + rune(i)), Suite: suite, secret: &secret{[]byte(strings.Repeat("k", key+salt))}}
		l.Audio.Crypto = append(l.Audio.Crypto, c)
		l.Video.Crypto = append(l.Video.Crypto, c)
	}
	return l
}

func TestOffer(t *testing.T) {
	want := lines(`v=0
o=- 7 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=audio 30000 RTP/AVP 0 8 111 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:111 opus/48000/2
a=fmtp:111 useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=sendrecv
m=video 30002 RTP/AVP 97 98
b=AS:2048
b=TIAS:2048000
a=rtpmap:97 H264/90000
a=fmtp:97 profile-level-id=42e01f;packetization-mode=1
a=rtpmap:98 H264/90000
a=fmtp:98 profile-level-id=42e01f
a=rtcp-fb:* nack pli
a=rtcp-fb:* ccm fir
a=recvonly
`)
	if got := newLocal().Offer(nil).SDP(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// lines ends lines as SDP does.
func lines(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

func TestOfferOptions(t *testing.T) {
	tests := map[string]struct {
		local func(*Local)
		want  []string
	}{
		"sound alone":  {func(l *Local) { l.Video.Port = 0 }, []string{"m=audio 30000 RTP/AVP 0 8 111 101"}},
		"Opus first":   {func(l *Local) { l.Audio.Codecs = []Codec{Opus, PCMU, Events, EventsWide} }, []string{"RTP/AVP 111 0 101 110", "a=rtpmap:110 telephone-event/48000"}},
		"all codecs":   {func(l *Local) { l.Audio.Codecs = []Codec{G722, SpeexWide, Speex} }, []string{"RTP/AVP 9 112 113", "a=rtpmap:9 G722/8000", "a=rtpmap:112 speex/16000"}},
		"High profile": {func(l *Local) { l.Video.HighProfile = true }, []string{"RTP/AVP 97 98 99", "a=fmtp:99 profile-level-id=64001f;packetization-mode=1"}},
		"VP8":          {func(l *Local) { l.Video.Codecs = []Codec{H264, VP8} }, []string{"RTP/AVP 97 98 100", "a=rtpmap:100 VP8/90000"}},
		"IPv6":         {func(l *Local) { l.Address = "2001:db8::1" }, []string{"o=- 7 1 IN IP6 2001:db8::1", "c=IN IP6 2001:db8::1"}},
		"RTCP mux":     {func(l *Local) { l.RTCPMux = true }, []string{"a=rtcp-mux"}},
		"SRTP required": {func(l *Local) { withKeys(l, SRTPRequired, AES128SHA80, AES256GCM) }, []string{
			"m=audio 30000 RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:a2tr", "a=crypto:2 AEAD_AES_256_GCM inline:a2tr",
		}},
		"SRTP optional": {func(l *Local) { withKeys(l, SRTPOptional, AES128SHA80) }, []string{"m=audio 30000 RTP/AVP", "a=crypto:1 AES"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLocal()
			test.local(l)
			text := l.Offer(nil).SDP()
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("the offer lacks %q:\n%s", want, text)
				}
			}
			if l.SRTP == SRTPOff && strings.Contains(text, "crypto") {
				t.Errorf("the offer has keys:\n%s", text)
			}
		})
	}
}

func TestOfferWithoutCodecs(t *testing.T) {
	l := newLocal()
	l.Video.Codecs = nil
	if s := l.Offer(nil); len(s.Media) != 1 || s.Media[0].Kind() != media.Audio {
		t.Errorf("got\n%s", s.SDP())
	}
}

// An offer in a call has the sections of the description before, in their order.
func TestOfferInCall(t *testing.T) {
	l := newLocal()
	last, err := l.Answer(parse(t, peers["room with slides"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	next := l.Offer(last)
	want := []string{"audio 30000", "video 0", "video 30002", "application 0", "application 0"}
	for i, m := range next.Media {
		if !strings.HasPrefix(summary(m), want[i]) {
			t.Errorf("section %d is %s, want %s", i, summary(m), want[i])
		}
	}
	if len(next.Media) != len(want) {
		t.Errorf("the offer has %d sections, want %d", len(next.Media), len(want))
	}
	if next.Version != "2" {
		t.Errorf("version is %s, want 2", next.Version)
	}

	l.Video.Port = 0
	if m := l.Offer(next).Media[2]; m.Port != 0 || m.Kind() != media.Video {
		t.Errorf("a picture that is no longer wanted: %s", summary(m))
	}
}

func TestVersion(t *testing.T) {
	l := newLocal()
	first := l.Offer(nil)
	same := l.Offer(first)
	if same.Version != "1" || same.SDP() != first.SDP() {
		t.Errorf("nothing has changed, but the version is %s", same.Version)
	}
	l.Audio.Direction = SendOnly
	hold := l.Again(same)
	if hold.Version != "2" || hold.ID != "7" || hold.Media[0].Direction != SendOnly {
		t.Errorf("hold: version %s of %s, %s", hold.Version, hold.ID, summary(hold.Media[0]))
	}
	if same.Media[0].Direction != SendRecv {
		t.Error("the description before has changed")
	}
	l.Audio.Direction = SendRecv
	if back := l.Again(hold); back.Version != "3" {
		t.Errorf("after the hold the version is %s, want 3", back.Version)
	}
}
