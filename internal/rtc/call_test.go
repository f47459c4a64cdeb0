package rtc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"transponder/internal/media"
)

func TestParseCall(t *testing.T) {
	offer := captured(t, "chromium-call")
	video := func(direction string) string {
		sound, pictures, _ := strings.Cut(offer, "m=video")
		return sound + "m=video" + strings.Replace(pictures, "a=sendrecv", "a="+direction, 1)
	}
	apart := strings.Replace(offer, "a=group:BUNDLE 0 1", "a=group:BUNDLE 0\r\na=group:BUNDLE 1", 1)
	tests := []struct {
		name         string
		offer        string
		terms        Terms
		audio, video string // codec/payload type/rtx type/twcc id, and directions
		err          error
	}{
		{"the house order", offer, Terms{}, "opus/111/0/3 both", "H264/102/103/3 both", nil},
		{"G.711 at the other side", offer, Terms{Prefer: []media.Codec{media.PCMU, media.PCMA}}, "PCMU/0/0/3 both", "H264/102/103/3 both", nil},
		{"the first of what the other side has", offer, Terms{Prefer: []media.Codec{media.PCMA, media.PCMU}}, "PCMA/8/0/3 both", "H264/102/103/3 both", nil},
		{"VP8 at the other side", offer, Terms{Prefer: []media.Codec{media.VP8}}, "opus/111/0/3 both", "VP8/96/97/3 both", nil},
		{"what the browser lacks", offer, Terms{Prefer: []media.Codec{media.AAC, media.PCMU, media.VP9}}, "PCMU/0/0/3 both", "H264/102/103/3 both", nil},
		{"no pictures at the other side", offer, Terms{Kinds: []media.Kind{media.Audio}}, "opus/111/0/3 both", "", nil},
		{"no camera", video("recvonly"), Terms{}, "opus/111/0/3 both", "H264/102/103/3 receives", nil},
		{"no screen", video("sendonly"), Terms{}, "opus/111/0/3 both", "H264/102/103/3 sends", nil},
		{"inactive", video("inactive"), Terms{}, "opus/111/0/3 both", "", nil},
		{"without H.264", without(offer, `a=rtpmap:\d+ H264.*`), Terms{}, "opus/111/0/3 both", "VP8/96/97/3 both", nil},
		{"what nothing can be made into", without(offer, `a=rtpmap:\d+ (H264|VP8)/.*`), Terms{}, "", "", ErrNoCommonCodecs},
		{"two transports", apart, Terms{}, "", "", ErrBadOffer},
		{"no SDP", "hello", Terms{}, "", "", ErrBadOffer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := ParseCall(tt.offer, tt.terms)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			for kind, want := range map[media.Kind]string{media.Audio: tt.audio, media.Video: tt.video} {
				got := ""
				if s := o.Section(kind); s != nil {
					got = describe(s) + " " + directions(s)
				}
				if got != want {
					t.Errorf("%v: %q, want %q", kind, got, want)
				}
			}
		})
	}
}

func directions(s *Section) string {
	switch {
	case s.Sends && s.Receives:
		return "both"
	case s.Sends:
		return "sends"
	default:
		return "receives"
	}
}

// The answer of a call sends where the client receives, and receives where the client sends. What is not used is inactive.
func TestAnswerOfCall(t *testing.T) {
	offer := captured(t, "chromium-call")
	sound, pictures, _ := strings.Cut(offer, "m=video")
	offer = sound + "m=video" + strings.Replace(pictures, "a=sendrecv", "a=recvonly", 1)
	for _, tt := range []struct {
		terms Terms
		want  []string
	}{
		{Terms{}, []string{"a=sendrecv", "a=sendonly"}},
		{Terms{Kinds: []media.Kind{media.Audio}}, []string{"a=sendrecv", "a=inactive"}},
	} {
		o, err := ParseCall(offer, tt.terms)
		if err != nil {
			t.Fatal(err)
		}
		a := Answer{Offer: o, Both: true, Sent: map[media.Kind]Sending{media.Audio: {Stream: "s", SSRC: 1}, media.Video: {Stream: "s", SSRC: 2, RTXSSRC: 3}}}
		text := a.SDP(Transport{Candidates: []string{"x"}})
		var got []string
		for line := range strings.SplitSeq(text, "\r\n") {
			if slices.Contains([]string{"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"}, line) {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("directions %q, want %q", got, tt.want)
		}
		leavesRoom(t, text)
	}
}

// leavesRoom checks that no a=fmtp line stands right after a codec of pictures: the Web SDK, which limits the bit rate,
// breaks the line there.
func leavesRoom(t *testing.T, sdp string) {
	t.Helper()
	lines := strings.Split(sdp, "\r\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "a=rtpmap:") && (strings.HasSuffix(line, " H264/90000") || strings.HasSuffix(line, " VP8/90000")) &&
			(strings.HasPrefix(lines[i+1], "a=fmtp:") || strings.HasPrefix(lines[i+1], "a=rtpmap:")) {
			t.Errorf("%q follows %q", lines[i+1], line)
		}
	}
}

// ownOffer is an offer of ours with both kinds, as it is written after the session was opened.
func ownOffer(terms Terms) *OwnOffer {
	o := newOwnOffer(terms)
	for i, s := range o.Sections {
		s.MID = string(rune('0' + i))
		s.Sent = Sending{Stream: "s", SSRC: uint32(10 * (i + 1))}
		if s.Kind == media.Video {
			s.Sent.RTXSSRC = 21
		}
	}
	return o
}

func TestOwnOffer(t *testing.T) {
	text := ownOffer(Terms{Prefer: []media.Codec{media.PCMA}}).SDP(Transport{
		Ufrag: "u", Pwd: "p", Fingerprint: "sha-256 AA:BB", Setup: "actpass",
		Candidates: []string{"1 1 udp 1 192.0.2.1 31001 typ host"},
	})
	const want = `v=0
o=- 0 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=msid-semantic: WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 8 111 0
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 1 192.0.2.1 31001 typ host
a=end-of-candidates
a=ice-ufrag:u
a=ice-pwd:p
a=fingerprint:sha-256 AA:BB
a=setup:actpass
a=mid:0
a=sendrecv
a=msid:s audio
a=rtcp-mux
a=rtcp-rsize
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=rtpmap:8 PCMA/8000
a=rtcp-fb:8 transport-cc
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:0 PCMU/8000
a=rtcp-fb:0 transport-cc
a=ssrc:10 cname:s
m=video 9 UDP/TLS/RTP/SAVPF 102 103 96 97
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 1 192.0.2.1 31001 typ host
a=end-of-candidates
a=ice-ufrag:u
a=ice-pwd:p
a=fingerprint:sha-256 AA:BB
a=setup:actpass
a=mid:1
a=sendrecv
a=msid:s video
a=rtcp-mux
a=rtcp-rsize
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=rtpmap:102 H264/90000
a=rtcp-fb:102 transport-cc
a=rtcp-fb:102 goog-remb
a=rtcp-fb:102 nack
a=rtcp-fb:102 nack pli
a=rtcp-fb:102 ccm fir
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:103 rtx/90000
a=fmtp:103 apt=102
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 ccm fir
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=ssrc:20 cname:s
a=ssrc:21 cname:s
a=ssrc-group:FID 20 21
`
	if got := strings.ReplaceAll(text, "\r\n", "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	leavesRoom(t, text)
	if text := ownOffer(Terms{Kinds: []media.Kind{media.Audio}}).SDP(Transport{}); strings.Contains(text, "m=video") {
		t.Errorf("pictures are offered:\n%s", text)
	}
}

// FuzzParseAnswer: what is taken of an answer was offered, and can be used.
func FuzzParseAnswer(f *testing.F) {
	own := ownOffer(Terms{})
	f.Add(own.SDP(Transport{Ufrag: "u", Pwd: "p", Fingerprint: "sha-256 AA:BB", Setup: "active"}))
	f.Add("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=ice-ufrag:a\r\na=ice-pwd:c\r\na=fingerprint:sha-256 AA\r\n" +
		"m=video 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		o, err := parseAnswer(answer, own)
		if err != nil {
			if !errors.Is(err, ErrBadAnswer) && !errors.Is(err, ErrNoCommonCodecs) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if len(o.Used()) == 0 || len(o.Sections) != len(own.Sections) {
			t.Fatalf("%d of %d sections are used", len(o.Used()), len(o.Sections))
		}
		for _, s := range o.Used() {
			c := own.codec(s.Codec)
			if c == nil || c.PayloadType != s.PayloadType || s.RTXType != 0 && s.RTXType != c.RTXType || !s.Sends && !s.Receives || s.Ufrag == "" {
				t.Fatalf("%v was not offered so: %+v", s.Codec, s)
			}
		}
	})
}
