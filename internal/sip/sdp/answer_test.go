package sdp

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"transponder/internal/media"
)

func TestAnswer(t *testing.T) {
	all := func(l *Local) { l.Audio.Codecs = []Codec{PCMU, PCMA, Opus, G722, SpeexWide, Events} }
	encrypted := func(l *Local) { withKeys(l, SRTPRequired, AES128SHA80) }
	tests := []struct {
		name, offer string
		local       func(*Local)
		want        []string
	}{
		{"poly", peers["poly"], nil, []string{
			"audio 30000 RTP/AVP sendrecv 0=PCMU/8000 119=telephone-event/8000",
			"video 30002 RTP/AVP recvonly 109=H264/90000",
			"application 0 UDP/BFCP inactive *",
			"application 0 RTP/AVP inactive 100",
		}},
		{"the offerer's first codec", peers["poly"], all, []string{"audio 30000 RTP/AVP sendrecv 9=G722/8000 119=telephone-event/8000"}},
		{"cisco with its camera off", peers["cisco"], nil, []string{
			"audio 30000 RTP/AVP sendrecv 114=opus/48000/2 101=telephone-event/8000",
			"video 30002 RTP/AVP inactive 100=H264/90000",
		}},
		{"slides before the camera", peers["room with slides"], nil, []string{
			"audio 30000 RTP/AVP sendrecv 0=PCMU/8000",
			"video 0 RTP/AVP inactive 97",
			"video 30002 RTP/AVP recvonly 97=H264/90000",
			"application 0 UDP/BFCP inactive *",
			"application 0 RTP/AVP inactive 99",
		}},
		{"webex", peers["webex"], encrypted, []string{
			"audio 30000 RTP/SAVP sendrecv 101=opus/48000/2 102=telephone-event/8000",
			"video 30002 RTP/SAVP recvonly 97=H264/90000",
			"video 0 RTP/SAVP inactive 97",
			"application 0 UDP/TLS/BFCP inactive *",
		}},
		{"baresip, the same number for sound and picture", peers["baresip"], encrypted, []string{
			"audio 30000 RTP/SAVP sendrecv 96=opus/48000/2 101=telephone-event/8000",
			"video 30002 RTP/SAVP recvonly 96=H264/90000",
		}},
		{"asterisk", peers["asterisk"], nil, []string{"audio 30000 RTP/AVP sendrecv 8=PCMA/8000 101=telephone-event/8000", "video 0 RTP/AVP inactive 97"}},
		{"linphone without VP8", peers["linphone"], nil, []string{
			"audio 30000 RTP/AVP sendrecv 96=opus/48000/2 101=telephone-event/48000",
			"video 0 RTP/AVP inactive 96",
		}},
		{"linphone with VP8", peers["linphone"], func(l *Local) { l.Video.Codecs = []Codec{H264, VP8} }, []string{
			"audio 30000 RTP/AVP sendrecv 96=opus/48000/2 101=telephone-event/48000",
			"video 30002 RTP/AVP recvonly 96=VP8/90000",
		}},
		{"wideband Speex", "m=audio 1 RTP/AVP 97\na=rtpmap:97 SPEEX/16000/1\n", all, []string{"audio 30000 RTP/AVP sendrecv 97=speex/16000"}},
		{"old phone, on hold", peers["old phone, on hold"], nil, []string{"audio 30000 RTP/AVP recvonly 0=PCMU/8000"}},
		{"inactive", "m=audio 1 RTP/AVP 0\na=inactive\n", nil, []string{"audio 30000 RTP/AVP inactive 0=PCMU/8000"}},
		{"sendonly for the session", "a=sendonly\nm=audio 1 RTP/AVP 0\n", nil, []string{"audio 30000 RTP/AVP recvonly 0=PCMU/8000"}},
		{"PCMA alone", "m=audio 1 RTP/AVP 8\n", nil, []string{"audio 30000 RTP/AVP sendrecv 8=PCMA/8000"}},
		{"profile exactly as offered", "m=audio 1 RTP/AVPF 8\n", nil, []string{"audio 30000 RTP/AVPF sendrecv 8=PCMA/8000"}},
		{"H.264 before VP8", "m=video 1 RTP/AVP 96 97\na=rtpmap:96 VP8/90000\na=rtpmap:97 H264/90000\n", func(l *Local) { l.Video.Codecs = []Codec{VP8, H264} }, []string{
			"video 30002 RTP/AVP recvonly 97=H264/90000",
		}},
		{"interleaved H.264 before mode 0", "m=video 1 RTP/AVP 96 97\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=2\na=rtpmap:97 H264/90000\n", nil, []string{
			"video 30002 RTP/AVP recvonly 97=H264/90000",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLocal()
			if test.local != nil {
				test.local(l)
			}
			answer, err := l.Answer(parse(t, test.offer), nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range test.want {
				if got := summary(answer.Media[i]); got != want {
					t.Errorf("section %d\ngot  %s\nwant %s", i, got, want)
				}
			}
		})
	}
}

func TestAnswerRefuses(t *testing.T) {
	tests := []struct {
		name, offer string
		srtp        SRTP
		want        string
	}{
		{"codecs", "m=audio 1 RTP/AVP 18 3\na=rtpmap:18 G729/8000\n", SRTPOff, "audio: none of its codecs is ours: G729/8000, type 3"},
		{"stereo G.711", "m=audio 1 RTP/AVP 96\na=rtpmap:96 PCMU/8000/2\n", SRTPOff, "none of its codecs is ours"},
		{"DTLS", "m=audio 1 UDP/TLS/RTP/SAVPF 0\n", SRTPOff, "protocol UDP/TLS/RTP/SAVPF is not supported"},
		{"T.38", "m=image 1 udptl t38\n", SRTPOff, "image: it is not wanted"},
		{"all refused", "m=audio 0 RTP/AVP 0\n", SRTPOff, "audio: the offer has port 0"},
		{"IPv6", "c=IN IP6 2001:db8::1\nm=audio 1 RTP/AVP 0\n", SRTPOff, "of another family"},
		{"SRTP is off", "m=audio 1 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "\n", SRTPOff, "SRTP, which is off"},
		{"no SRTP", "m=audio 1 RTP/AVP 0\n", SRTPRequired, "no a=crypto line with a suite of ours"},
		{"other suite", "m=audio 1 RTP/SAVP 0\na=crypto:1 AEAD_AES_256_GCM inline:" + key44 + "\n", SRTPRequired, "no a=crypto line with a suite of ours"},
		{"no keys", "m=audio 1 RTP/SAVP 0\n", SRTPOptional, "no a=crypto line with a suite of ours"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLocal()
			if test.srtp != SRTPOff {
				withKeys(l, test.srtp, AES128SHA80)
			}
			_, err := l.Answer(parse(t, test.offer), nil)
			if !errors.Is(err, ErrNotAcceptable) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

// The answer to H.264 repeats profile and mode, and nothing that describes the offerer alone.
func TestAnswerParameters(t *testing.T) {
	answer, err := newLocal().Answer(parse(t, peers["cisco"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := answer.Media[1].Types[0]
	want := Type{Number: 100, Codec: H264, Params: "profile-level-id=640C16;packetization-mode=1", PLI: true, FIR: true}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The phone's own tag is repeated, with our key.
func TestAnswerCrypto(t *testing.T) {
	answer, err := withKeys(newLocal(), SRTPOptional, AES256SHA80, AES128SHA80).Answer(parse(t, peers["webex"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	text := answer.SDP()
	const want = "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr\r\n"
	if strings.Count(text, "a=crypto") != 2 || strings.Count(text, want) != 2 {
		t.Errorf("each of two sections should have %s:\n%s", want, text)
	}
}

// A new offer in a call gets an answer of its own; the same offer gets the same answer.
func TestAnswerInCall(t *testing.T) {
	l := newLocal()
	answer := func(offer string, last *Session) *Session {
		t.Helper()
		s, err := l.Answer(parse(t, offer), last)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := answer("m=audio 1 RTP/AVP 0\n", nil)
	if again := answer("m=audio 1 RTP/AVP 0\n", first); again.SDP() != first.SDP() {
		t.Errorf("the same offer got another answer:\n%s", again.SDP())
	}
	hold := answer("m=audio 1 RTP/AVP 8\na=sendonly\n", first)
	if got := summary(hold.Media[0]); hold.Version != "2" || got != "audio 30000 RTP/AVP recvonly 8=PCMA/8000" {
		t.Errorf("version %s: %s", hold.Version, got)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, text := range peers {
		f.Add(text, uint8(0))
		f.Add(text, uint8(7))
	}
	f.Fuzz(func(t *testing.T, text string, options uint8) {
		offer, err := Parse(text)
		if err != nil {
			return
		}
		l := withKeys(newLocal(), SRTP(options%3), AES128SHA80, AES256GCM)
		l.Video.Direction = Direction(options >> 2 & 3)
		l.RTCPMux = options&16 != 0
		_, _ = Choose(l.Offer(nil), offer) // whatever a peer answers, nothing panics
		answer, err := l.Answer(offer, nil)
		if err != nil {
			return
		}
		checkAnswer(t, offer, answer)
		if next := l.Offer(answer); len(next.Media) < len(answer.Media) || next.used(media.Audio) == nil || next.used(media.Video) == nil {
			t.Fatalf("the next offer of ours is\n%s", next.SDP())
		}
		ours, err := Choose(answer, offer)
		if err != nil {
			t.Fatalf("we do not agree with our own answer: %v", err)
		}
		theirs, err := Choose(offer, answer)
		if err != nil {
			t.Fatalf("the offerer does not agree with the answer: %v", err)
		}
		checkFlows(t, ours.Audio, theirs.Audio)
		checkFlows(t, ours.Video, theirs.Video)
	})
}

// checkAnswer checks what RFC 3264, 6, demands of each answer.
func checkAnswer(t *testing.T, offer, answer *Session) {
	t.Helper()
	if len(answer.Media) != len(offer.Media) {
		t.Fatalf("%d sections answer %d", len(answer.Media), len(offer.Media))
	}
	used := map[media.Kind]int{}
	for i := range answer.Media {
		m, o := &answer.Media[i], &offer.Media[i]
		if m.Name != o.Name || m.Proto != o.Proto {
			t.Fatalf("section %d: %s %s answers %s %s", i, m.Name, m.Proto, o.Name, o.Proto)
		}
		if m.Port == 0 {
			if m.formats() != o.formats() {
				t.Fatalf("section %d: formats %q refuse %q", i, m.formats(), o.formats())
			}
			continue
		}
		used[m.Kind()]++
		if o.Port == 0 || used[m.Kind()] > 1 {
			t.Fatalf("section %d is used", i)
		}
		if extra := m.Direction &^ o.Direction.Reverse(); extra != 0 {
			t.Fatalf("section %d: %s answers %s", i, m.Direction, o.Direction)
		}
		for _, answered := range m.Types {
			if offered := o.find(answered.Number); offered == nil || offered.Codec != answered.Codec || answered.PLI && !offered.PLI {
				t.Fatalf("section %d: %+v was not offered", i, answered)
			}
		}
		for _, c := range m.Crypto {
			if !slices.ContainsFunc(o.Crypto, func(p Crypto) bool { return p.Tag == c.Tag && p.Suite == c.Suite }) {
				t.Fatalf("section %d: %s was not offered", i, c)
			}
		}
	}
}

// checkFlows checks that both sides of a call see the same agreement.
func checkFlows(t *testing.T, ours, theirs *Flow) {
	t.Helper()
	if (ours == nil) != (theirs == nil) {
		t.Fatalf("one side has a flow: %v, %v", ours, theirs)
	}
	if ours == nil {
		return
	}
	if ours.Direction != theirs.Direction.Reverse() {
		t.Fatalf("directions %s and %s", ours.Direction, theirs.Direction)
	}
	if ours.Receive[theirs.Send.Number] != theirs.Send.Codec || theirs.Receive[ours.Send.Number] != ours.Send.Codec {
		t.Fatalf("sent is %v and %v, but received %v and %v", theirs.Send, ours.Send, ours.Receive, theirs.Receive)
	}
	if !reflect.DeepEqual(ours.Encrypt, theirs.Decrypt) || !reflect.DeepEqual(ours.Decrypt, theirs.Encrypt) {
		t.Fatal("the two sides have different keys")
	}
}
