package rtc

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"transponder/internal/media"
)

// browserOffers are offers of browsers and OBS, and what is chosen of each, in the form of describe: codec/payload type/RTX
// type/TWCC id. They differ in the order of codecs, in numbers, in the lines before the first m-line, and in missing lines.
var browserOffers = []struct {
	file         string
	audio, video string
	feedback     string // of video, in the order of the answer
	orientation  uint8
	stereo       bool
}{
	// Safari puts H.264 first, High before Constrained Baseline, and has HEVC.
	{"safari-publish", "opus/111/0/3", "H264/96/97/3", chromiumFeedback, 13, false},
	{"safari-play", "opus/111/0/3", "H264/98/99/3", chromiumFeedback, 13, false},
	{"safari-ios-publish", "opus/111/0/3", "H264/96/97/3", chromiumFeedback, 13, false},
	{"safari-ios-play", "opus/111/0/3", "H264/98/99/3", chromiumFeedback, 13, false},
	{"edge-publish", "opus/111/0/3", "H264/102/122/3", chromiumFeedback, 13, false},
	{"edge-play", "opus/111/0/3", "H264/102/122/3", chromiumFeedback, 13, false},
	{"android-publish", "opus/111/0/3", "H264/100/101/3", chromiumFeedback, 13, false},
	{"android-play", "opus/111/0/3", "H264/100/101/3", chromiumFeedback, 13, false},
	// Many telephones have no encoder of H.264 that the browser would use.
	{"android-without-h264-publish", "opus/111/0/3", "VP8/96/97/3", chromiumFeedback, 13, false},
	// Firefox says the fingerprint once for all, sorts lines by name, so that fmtp and rtcp-fb come before rtpmap, and has no
	// transport-wide feedback for audio.
	{"firefox-publish", "opus/109/0/0", "H264/126/127/7", chromiumFeedback, 0, true},
	{"firefox-play", "opus/109/0/0", "H264/126/127/7", chromiumFeedback, 0, true},
	// With the bundle policy max-bundle the second section has port 0.
	{"firefox-max-bundle-publish", "opus/109/0/0", "VP8/120/124/7", chromiumFeedback, 0, true},
	{"firefox-max-bundle-play", "opus/109/0/0", "VP8/120/124/7", chromiumFeedback, 0, true},
	// OBS offers one codec, without RTX. The ICE lines are the last ones of the section.
	{"obs-publish", "opus/111/0/0", "H264/96/0/0", "goog-remb nack nack pli ccm fir", 0, true},
}

const chromiumFeedback = "transport-cc goog-remb nack nack pli ccm fir"

// baseline is the track that is played to browsers in this test.
var baseline = &media.Track{Codec: media.H264, Config: []byte{1, 0x42, 0xe0, 0x1f}}

func TestBrowserOffers(t *testing.T) {
	for _, tt := range browserOffers {
		t.Run(tt.file, func(t *testing.T) {
			offer := browserOffer(t, tt.file)
			plays := strings.HasSuffix(tt.file, "-play")
			sent := map[media.Kind]Sending{}
			d, err := ParseOffer(offer)
			if plays {
				if d, err = ParsePlay(offer, baseline, &media.Track{Codec: media.VP8}, &media.Track{Codec: media.Opus}); err == nil {
					for i, s := range d.Used() {
						sending := Sending{Stream: "s", SSRC: uint32(2*i + 1)}
						if s.RTXType != 0 {
							sending.RTXSSRC = sending.SSRC + 1
						}
						sent[s.Kind] = sending
					}
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			audio, video := d.Section(media.Audio), d.Section(media.Video)
			if got := describe(audio); got != tt.audio {
				t.Errorf("audio %s, want %s", got, tt.audio)
			}
			if got := describe(video); got != tt.video {
				t.Errorf("video %s, want %s", got, tt.video)
			}
			if video.Orientation != tt.orientation {
				t.Errorf("orientation %d, want %d", video.Orientation, tt.orientation)
			}
			answer := Answer{Offer: d, TransportCC: true, Rotation: true, Sent: sent}.SDP(Transport{Ufrag: "u", Pwd: "p", Fingerprint: "sha-256 AA:BB", Setup: "active", Candidates: []string{"x"}})
			head, sections := splitSections(answer)
			if !slices.Contains(head, "a=group:BUNDLE 0 1") {
				t.Errorf("no bundle of both in %q", head)
			}
			if len(sections) != 2 {
				t.Fatalf("%d sections, want 2:\n%s", len(sections), answer)
			}
			checkSection(t, sections[0], audio, plays, strings.Join(audio.Feedback(true), " "))
			checkSection(t, sections[1], video, plays, tt.feedback)
			if got := strings.Contains(answer, "stereo=1"); got != tt.stereo {
				t.Errorf("stereo = %v, want %v", got, tt.stereo)
			}
		})
	}
}

// checkSection checks that a section of an answer has everything that the offerer needs.
func checkSection(t *testing.T, lines []string, s *Section, plays bool, feedback string) {
	t.Helper()
	line := fmt.Sprintf("m=%s 9 UDP/TLS/RTP/SAVPF %d", s.Kind, s.PayloadType)
	if s.RTXType != 0 {
		line += fmt.Sprintf(" %d", s.RTXType)
	}
	if lines[0] != line {
		t.Errorf("m-line %q, want %q", lines[0], line)
	}
	direction := map[bool]string{false: "a=recvonly", true: "a=sendonly"}[plays]
	for _, want := range []string{direction, "a=mid:" + s.MID, "a=rtcp-mux", "a=setup:active", "a=end-of-candidates"} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s: no %q in %q", s.Kind, want, lines)
		}
	}
	// The Web SDK looks for the feedback right after the codec, with nothing between.
	at := slices.Index(lines, fmt.Sprintf("a=rtpmap:%d %s", s.PayloadType, s.answerMap()))
	if at < 0 {
		t.Fatalf("%s: no rtpmap in %q", s.Kind, lines)
	}
	var got []string
	for _, l := range lines[at+1:] {
		fb, ok := strings.CutPrefix(l, fmt.Sprintf("a=rtcp-fb:%d ", s.PayloadType))
		if !ok {
			break
		}
		got = append(got, fb)
	}
	if strings.Join(got, " ") != feedback {
		t.Errorf("%s: feedback after rtpmap %q, want %q", s.Kind, got, feedback)
	}
	if apt := fmt.Sprintf("a=fmtp:%d apt=%d", s.RTXType, s.PayloadType); s.RTXType != 0 && !slices.Contains(lines, apt) {
		t.Errorf("%s: no %q in %q", s.Kind, apt, lines)
	}
}

func browserOffer(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".sdp")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
