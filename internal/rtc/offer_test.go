package rtc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"transponder/internal/media"
)

// captured returns an offer of a browser, as captured.
func captured(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".sdp")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// chromium is the offer of the Web SDK in Chromium.
func chromium(t testing.TB) string {
	t.Helper()
	return captured(t, "chromium")
}

// without removes the lines that match.
func without(sdp, pattern string) string {
	return regexp.MustCompile(`(?m)^(`+pattern+`)\r\n`).ReplaceAllString(sdp, "")
}

func TestParseOffer(t *testing.T) {
	offer := chromium(t)
	audioOnly, _, _ := strings.Cut(offer, "m=video")
	audioOnly = strings.Replace(audioOnly, "BUNDLE 0 1", "BUNDLE 0", 1)
	_, video, _ := strings.Cut(offer, "m=video")
	head, _, _ := strings.Cut(offer, "m=audio")
	videoOnly := strings.Replace(head, "BUNDLE 0 1", "BUNDLE 1", 1) + "m=video" + video
	tests := []struct {
		name         string
		offer        string
		audio, video string // codec/payload type/rtx type/twcc id
		err          error
	}{
		{"Chromium", offer, "opus/111/0/3", "H264/102/103/3", nil},
		{"audio only", audioOnly, "opus/111/0/3", "", nil},
		{"video only", videoOnly, "", "H264/102/103/3", nil},
		{"line feeds only", strings.ReplaceAll(offer, "\r\n", "\n"), "opus/111/0/3", "H264/102/103/3", nil},
		{"blank lines", strings.ReplaceAll(offer, "\r\n", "\r\n\r\n"), "opus/111/0/3", "H264/102/103/3", nil},
		{"without the first H.264, its rtx left behind", without(strings.ReplaceAll(offer, " 102 ", " "), `a=(rtpmap|fmtp|rtcp-fb):102 .*`),
			"opus/111/0/3", "H264/108/109/3", nil},
		{"without feedback lines", without(offer, `a=rtcp-fb:.*`), "opus/111/0/3", "H264/102/103/3", nil},
		{"without fmtp lines", without(offer, `a=fmtp:.*`), "opus/111/0/3", "H264/102/0/3", nil},
		{"packetization mode 0 only", strings.ReplaceAll(offer, "packetization-mode=1", "packetization-mode=0"), "opus/111/0/3", "H264/102/103/3", nil},
		{"mode 1 behind mode 0", strings.Replace(offer, "packetization-mode=1", "packetization-mode=0", 1), "opus/111/0/3", "H264/108/109/3", nil},
		{"without Opus", without(offer, `a=rtpmap:111 .*`), "PCMU/0/0/3", "H264/102/103/3", nil},
		{"G.711 by number", without(offer, `a=rtpmap:(111|0|8) .*`), "PCMU/0/0/3", "H264/102/103/3", nil},
		{"without transport-cc", without(offer, `a=extmap:3 .*`), "opus/111/0/0", "H264/102/103/0", nil},
		{"without H.264", without(offer, `a=rtpmap:\d+ H264.*`), "opus/111/0/3", "VP8/96/97/3", nil},
		{"VP9 of 8 bits only", without(offer, `a=rtpmap:\d+ (H264|VP8|AV1).*`), "opus/111/0/3", "VP9/98/99/3", nil},
		{"AV1 only", without(offer, `a=rtpmap:\d+ (H264|VP8|VP9).*`), "opus/111/0/3", "AV1/45/46/3", nil},
		{"HEVC", strings.ReplaceAll(without(offer, `a=rtpmap:\d+ (H264|VP8|VP9).*`), " AV1/90000", " H265/90000"), "opus/111/0/3", "H265/45/46/3", nil},
		{"no known video", without(offer, `a=rtpmap:\d+ (H264|VP8|VP9|AV1).*`), "", "", ErrNoCommonCodecs},
		{"without known audio", without(strings.Replace(offer, " 0 8 13 ", " 13 ", 1), `a=rtpmap:(111|0|8) .*`), "", "", ErrNoCommonCodecs},
		{"audio not sent", strings.Replace(offer, "a=sendonly", "a=inactive", 1), "", "H264/102/103/3", nil},
		{"nothing sent", strings.ReplaceAll(offer, "a=sendonly", "a=recvonly"), "", "", ErrBadOffer},
		{"without ICE", without(offer, `a=ice-ufrag:.*`), "", "", ErrBadOffer},
		{"without fingerprint", without(offer, `a=fingerprint:.*`), "", "", ErrBadOffer},
		{"not bundled", strings.Replace(offer, "BUNDLE 0 1", "BUNDLE 0", 1), "opus/111/0/3", "H264/102/103/3", nil},
		{"in two bundles", strings.Replace(offer, "BUNDLE 0 1", "BUNDLE 0\r\na=group:BUNDLE 1", 1), "opus/111/0/3", "H264/102/103/3", nil},
		{"other groups", strings.Replace(offer, "BUNDLE 0 1", "LS 0 1\r\na=group:BUNDLE 7\r\na=group:BUNDLE 0 1", 1), "opus/111/0/3", "H264/102/103/3", nil},
		{"bundle-only", bundleOnly(offer), "opus/111/0/3", "H264/102/103/3", nil},
		{"bundle-only in no bundle", strings.Replace(bundleOnly(offer), "BUNDLE 0 1", "BUNDLE 0", 1), "", "", ErrBadOffer},
		{"disabled", strings.Replace(bundleOnly(offer), "a=bundle-only", "a=x", 1), "opus/111/0/3", "", nil},
		{"a name twice", strings.Replace(offer, "a=mid:1", "a=mid:0", 1), "", "", ErrBadOffer},
		{"no names", without(offer, `a=mid:\d`), "opus/111/0/3", "H264/102/103/3", nil},
		{"direction for all", strings.Replace(without(offer, `a=sendonly`), "t=0 0", "t=0 0\r\na=recvonly", 1), "", "", ErrBadOffer},
		{"empty", "", "", "", ErrBadOffer},
		{"no SDP", "hello\nm=\n", "", "", ErrBadOffer},
		{"too many sections", offer + strings.Repeat("m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n", maxSections), "", "", ErrBadOffer},
		{"too long", strings.Repeat("a=x\n", maxOffer), "", "", ErrBadOffer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseOffer(tt.offer)
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if got := describe(d.Section(media.Audio)); got != tt.audio {
				t.Errorf("audio %s, want %s", got, tt.audio)
			}
			if got := describe(d.Section(media.Video)); got != tt.video {
				t.Errorf("video %s, want %s", got, tt.video)
			}
		})
	}
}

// Sections without a common group have a transport each, unless their equal user names show that the line with the group
// was lost.
func TestApartOrNot(t *testing.T) {
	offer := chromium(t)
	at := strings.LastIndex(offer, "a=ice-ufrag:")
	other := offer[:at] + strings.Replace(offer[at:], "a=ice-ufrag:", "a=ice-ufrag:other", 1)
	for _, tt := range []struct {
		name, offer string
		want        bool
	}{
		{"one group", offer, false},
		{"one group, a user name each", other, false},
		{"no group, one user name", without(offer, `a=group:.*`), false},
		{"no group, a user name each", without(other, `a=group:.*`), true},
		{"a group each", strings.Replace(other, "BUNDLE 0 1", "BUNDLE 0\r\na=group:BUNDLE 1", 1), true},
		{"one of them in a group", strings.Replace(other, "BUNDLE 0 1", "BUNDLE 1", 1), true},
	} {
		d, err := ParseOffer(tt.offer)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if d.Unbundled != tt.want {
			t.Errorf("%s: apart %v, want %v", tt.name, d.Unbundled, tt.want)
		}
	}
}

func describe(s *Section) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%s/%d/%d/%d", s.Codec, s.PayloadType, s.RTXType, s.TWCC)
}

// bundleOnly makes all sections except the first bundle-only, without lines of ICE and DTLS.
func bundleOnly(offer string) string {
	head, sections := splitSections(offer)
	lines := append(head, sections[0]...)
	for _, s := range sections[1:] {
		lines = append(lines, strings.Replace(s[0], " 9 ", " 0 ", 1), "a=bundle-only")
		for _, line := range s[1:] {
			switch key, _ := attribute(line); key {
			case "ice-ufrag", "ice-pwd", "fingerprint", "setup", "candidate", "end-of-candidates":
			default:
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// The ICE and DTLS lines of the tagged section count for all sections, whatever the others say, even if the tagged section
// is not used.
func TestTransportOfBundle(t *testing.T) {
	const head = "v=0\nt=0 0\n"
	own := func(name string) string {
		return strings.ReplaceAll("a=ice-ufrag:X\na=ice-pwd:pX\na=fingerprint:sha-256 X\na=setup:active\na=candidate:X 1 udp 1 192.0.2.1 9 typ host\n", "X", name)
	}
	const audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=rtpmap:111 opus/48000/2\na=mid:a\n"
	const video = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=mid:v\n"
	const data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:d\na=sctp-port:5000\n"
	only := func(section string) string { return strings.Replace(section, " 9 ", " 0 ", 1) + "a=bundle-only\n" }
	tests := []struct {
		name, offer string
		group       string // of the answer
		ufrag       string
		ports       string // of the answer's sections
	}{
		{"each its own", "a=group:BUNDLE a v\n" + audio + own("1") + video + own("2"), "a v", "1", "9 9"},
		{"the second is tagged", "a=group:BUNDLE v a\n" + audio + own("1") + video + own("2"), "v a", "2", "9 9"},
		{"the others say nothing", "a=group:BUNDLE a v\n" + audio + own("1") + only(video), "a v", "1", "9 9"},
		{"for all", "a=group:BUNDLE a v\n" + own("0") + audio + only(video), "a v", "0", "9 9"},
		{"the tagged section says nothing", "a=group:BUNDLE a v\n" + audio + video + own("2"), "a v", "2", "9 9"},
		{"the tagged section receives", "a=group:BUNDLE a v\n" + audio + "a=recvonly\n" + own("1") + only(video), "a v", "1", "9 9"},
		{"another one receives", "a=group:BUNDLE a v\n" + audio + own("1") + only(video) + "a=inactive\n", "a v", "1", "9 9"},
		{"the tagged section is for data", "a=group:BUNDLE d a v\n" + data + own("3") + only(audio) + only(video), "d a v", "3", "9 9 9"},
		{"another one is for data", "a=group:BUNDLE a v d\n" + audio + own("1") + only(video) + only(data), "a v", "1", "9 9 0"},
		{"the first is disabled", "a=group:BUNDLE a v\n" + strings.Replace(audio, " 9 ", " 0 ", 1) + video + own("2"), "v", "2", "0 9"},
		{"alone in its bundle", "a=group:BUNDLE a\n" + audio + own("1") + video + own("2") + "a=inactive\n", "a", "1", "9 0"},
		{"outside the bundle", "a=group:BUNDLE v\n" + audio + own("1") + video + own("2") + "a=inactive\n", "", "1", "9 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseOffer(head + tt.offer)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range d.Used() {
				if s.Ufrag != tt.ufrag || s.Pwd != "p"+tt.ufrag || s.Fingerprint != "sha-256 "+tt.ufrag || s.Setup != "active" ||
					len(s.Candidates) != 1 || !strings.HasPrefix(s.Candidates[0], tt.ufrag+" ") {
					t.Errorf("the transport of %s is %+v, want that of %q", s.Kind, s, tt.ufrag)
				}
			}
			answer := Answer{Offer: d, TransportCC: true, Rotation: true}.SDP(Transport{Ufrag: "u", Pwd: "p", Fingerprint: "sha-256 AA:BB", Setup: "passive", Candidates: []string{"x"}})
			head, sections := splitSections(answer)
			group := ""
			for _, line := range head {
				if g, ok := strings.CutPrefix(line, "a=group:BUNDLE "); ok {
					group = g
				}
			}
			var ports []string
			for _, s := range sections {
				port := strings.Fields(s[0])[1]
				ports = append(ports, port)
				for _, want := range []string{"a=ice-ufrag:u", "a=fingerprint:sha-256 AA:BB", "a=setup:passive", "a=candidate:x"} {
					if slices.Contains(s, want) != (port == "9") {
						t.Errorf("port %s, and %q in the section: %v", port, want, slices.Contains(s, want))
					}
				}
			}
			if group != tt.group || strings.Join(ports, " ") != tt.ports {
				t.Errorf("group %q and ports %q, want %q and %q:\n%s", group, ports, tt.group, tt.ports, answer)
			}
		})
	}
}

// A section that is kept because the bundle needs it is inactive, and repeats a format of the offer.
func TestKeptSection(t *testing.T) {
	d, err := ParsePlay(strings.ReplaceAll(bundleOnly(chromium(t)), "sendonly", "recvonly"), baseline)
	if err != nil {
		t.Fatal(err)
	}
	_, sections := splitSections(Answer{Offer: d, TransportCC: true, Rotation: true}.SDP(Transport{Ufrag: "u", Setup: "active", Candidates: []string{"x"}}))
	for _, want := range []string{
		"m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=inactive", "a=mid:0", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1",
	} {
		if !slices.Contains(sections[0], want) {
			t.Errorf("no %q in %q", want, sections[0])
		}
	}
	if d.Section(media.Audio) != nil || d.Section(media.Video) == nil {
		t.Errorf("sound is used where the stream has none")
	}
}

// Left says why a section that sends is not used, for offers that are to be used as a whole or not at all.
func TestLeft(t *testing.T) {
	offer := chromium(t)
	_, video, _ := strings.Cut(offer, "m=video")
	video = "m=video" + strings.Replace(video, "a=mid:1", "a=mid:2", 1)
	for _, tt := range []struct{ name, offer, want string }{
		{"whole", offer, ""},
		{"data", offer + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n", ""},
		{"not sent", offer + strings.Replace(video, "a=sendonly", "a=recvonly", 1), ""},
		{"disabled", offer + strings.Replace(video, " 9 ", " 0 ", 1), ""},
		{"two of a kind", offer + video, "two sections of video"},
		{"another protocol", strings.Replace(offer, "m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio 9 RTP/AVP", 1), "RTP/AVP"},
	} {
		d, err := ParseOffer(tt.offer)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := d.Left; got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: %q is left, want %q", tt.name, got, tt.want)
		}
	}
}

// TestOfferIsBounded: the cost of an offer of a quarter of a megabyte does not grow with the square of the length.
func TestOfferIsBounded(t *testing.T) {
	const head, half = "a=ice-ufrag:a\na=ice-pwd:b\na=fingerprint:sha-256 AA\n", 120 << 10
	fill := func(line string) string { return strings.Repeat(line, half/len(line)) }
	var types strings.Builder
	for i := 0; types.Len() < half; i++ {
		fmt.Fprintf(&types, " %d", i)
	}
	for name, offer := range map[string]string{
		"feedback of all types":    "m=video 9 UDP/TLS/RTP/SAVPF" + types.String() + "\n" + head + "a=rtpmap:1 VP8/90000\n" + fill("a=rtcp-fb:* x\n"),
		"one type again and again": "m=video 9 UDP/TLS/RTP/SAVPF" + fill(" 1") + "\n" + head + "a=rtpmap:1 VP9/90000\na=fmtp:1 " + fill("x;") + "\n",
		"types of many spellings":  "m=video 9 UDP/TLS/RTP/SAVPF" + fill(" 01 001 0001 1") + "\n" + head + "a=rtpmap:1 VP8/90000\n" + fill("a=rtcp-fb:* x\n"),
		"candidates":               "m=video 9 UDP/TLS/RTP/SAVPF 1\n" + head + "a=rtpmap:1 VP8/90000\n" + fill("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\n"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d, err := ParseOffer(offer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := len(d.Section(media.Video).Candidates); n > maxCandidates {
			t.Errorf("%s: %d candidates", name, n)
		}
		Answer{Offer: d, TransportCC: true, Rotation: true}.SDP(Transport{Candidates: []string{"x"}})
		runtime.ReadMemStats(&after)
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 20 {
			t.Errorf("%s: it takes %d MB", name, mb)
		}
	}
}

// TestAnswer checks that the answer has what the Web SDK needs.
func TestAnswer(t *testing.T) {
	offer := chromium(t) + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n"
	d, err := ParseOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	answer := Answer{Offer: d, TransportCC: true, Rotation: true}.SDP(Transport{
		Ufrag: "u", Pwd: "p", Fingerprint: "sha-256 AA:BB", Setup: "active",
		Candidates: []string{"1 1 udp 1 192.0.2.1 31001 typ host"},
	})
	const want = `v=0
o=- 0 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=msid-semantic: WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 1 192.0.2.1 31001 typ host
a=end-of-candidates
a=ice-ufrag:u
a=ice-pwd:p
a=fingerprint:sha-256 AA:BB
a=setup:active
a=mid:0
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
m=video 9 UDP/TLS/RTP/SAVPF 102 103
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 1 192.0.2.1 31001 typ host
a=end-of-candidates
a=ice-ufrag:u
a=ice-pwd:p
a=fingerprint:sha-256 AA:BB
a=setup:active
a=mid:1
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:13 urn:3gpp:video-orientation
a=rtpmap:102 H264/90000
a=rtcp-fb:102 transport-cc
a=rtcp-fb:102 goog-remb
a=rtcp-fb:102 nack
a=rtcp-fb:102 nack pli
a=rtcp-fb:102 ccm fir
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
a=rtpmap:103 rtx/90000
a=fmtp:103 apt=102
m=application 0 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=inactive
a=mid:2
`
	if got := strings.ReplaceAll(answer, "\r\n", "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzParseOffer: no text of an offer, to send, to receive or of a call, can add a line to the answer.
func FuzzParseOffer(f *testing.F) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=ice-ufrag:a\rb\r\na=ice-pwd:c\r\na=fingerprint:sha-256 AA\r\na=mid:x\r\n")
	f.Fuzz(func(t *testing.T, offer string) {
		for _, parse := range []func(string) (*ParsedOffer, error){
			ParseOffer,
			func(s string) (*ParsedOffer, error) { return ParsePlay(s, baseline, &media.Track{Codec: media.Opus}) },
			func(s string) (*ParsedOffer, error) { return ParseCall(s, Terms{Prefer: []media.Codec{media.PCMU}}) },
		} {
			d, err := parse(offer)
			if err != nil {
				continue
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(Answer{Offer: d, TransportCC: true, Rotation: true}.SDP(Transport{Candidates: []string{"x"}}), "\r\n"), "\r\n") {
				if len(line) < 3 || line[1] != '=' || strings.ContainsAny(line, "\r\n") {
					t.Fatalf("bad line %q", line)
				}
			}
			for _, s := range d.Used() {
				for _, c := range s.Candidates {
					if !UsableCandidate(c) {
						t.Fatalf("candidate %q", c)
					}
				}
			}
		}
	})
}
