package sdp

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

// Answers to the offer of newLocal.
func TestChoose(t *testing.T) {
	const sipp = `v=0
o=user1 53655765 2353687637 IN IP4 192.0.2.20
s=-
c=IN IP4 192.0.2.20
t=0 0
m=audio 27200 RTP/AVP 0
m=video 27202 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=sendonly
`
	tests := []struct {
		name, answer     string
		audio, video     string // payload type and codec that we send, and the direction
		received, events string // payload types that the peer may send in the section of video, else of audio
	}{
		{
			name: "own number for H.264", answer: sipp,
			audio: "0=PCMU/8000 sendrecv", video: "96=H264/90000 recvonly", received: "96=H264/90000 97=H264/90000 98=H264/90000",
		},
		{
			name: "several codecs", answer: "m=audio 1 RTP/AVP 8 0 101\na=rtpmap:101 telephone-event/8000\n",
			audio: "8=PCMA/8000 sendrecv", received: "0=PCMU/8000 8=PCMA/8000 13=CN/8000 101=telephone-event/8000", events: "101=telephone-event/8000",
		},
		{
			name: "Opus without channels, other numbers", answer: "m=audio 1 RTP/AVP 96 97\na=rtpmap:96 opus/48000\na=rtpmap:97 telephone-event/8000\n",
			audio: "96=opus/48000/2 sendrecv", events: "97=telephone-event/8000",
			received: "13=CN/8000 96=opus/48000/2 97=telephone-event/8000 101=telephone-event/8000 111=opus/48000/2",
		},
		{
			name: "our number for another codec", answer: "m=audio 1 RTP/AVP 101 111\na=rtpmap:101 opus/48000/2\na=rtpmap:111 telephone-event/8000\n",
			audio: "101=opus/48000/2 sendrecv", events: "111=telephone-event/8000",
			received: "13=CN/8000 101=telephone-event/8000 111=opus/48000/2",
		},
		{
			name: "dynamic comfort noise", answer: "m=audio 1 RTP/AVP 0 105\na=rtpmap:105 CN/16000\na=inactive\n",
			audio: "0=PCMU/8000 inactive", received: "0=PCMU/8000 13=CN/8000 105=CN/16000",
		},
		{
			name: "no picture", answer: "m=audio 1 RTP/AVP 0\na=recvonly\nm=video 0 RTP/AVP 97\n",
			audio: "0=PCMU/8000 sendonly", received: "0=PCMU/8000 13=CN/8000",
		},
		{
			name: "High profile that was not offered", answer: "m=audio 0 RTP/AVP 0\nm=video 1 RTP/AVP 97\na=rtpmap:97 H264/90000\na=fmtp:97 profile-level-id=64001f\n",
			video: "97=H264/90000 recvonly", received: "97=H264/90000 98=H264/90000",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := Choose(newLocal().Offer(nil), parse(t, test.answer))
			if err != nil {
				t.Fatal(err)
			}
			check := func(what, got, want string) {
				t.Helper()
				if got != want {
					t.Errorf("%s: got %q, want %q", what, got, want)
				}
			}
			check("audio", flowSummary(a.Audio), test.audio)
			check("video", flowSummary(a.Video), test.video)
			f := a.Audio
			if a.Video != nil {
				f = a.Video
			}
			check("received", receiveSummary(f), test.received)
			if f.Events != nil {
				check("events", typeSummary(*f.Events), test.events)
			} else {
				check("events", "", test.events)
			}
		})
	}
}

func typeSummary(t Type) string { return summary(Media{Types: []Type{t}})[len("0  inactive "):] }

func flowSummary(f *Flow) string {
	if f == nil {
		return ""
	}
	return typeSummary(f.Send) + " " + f.Direction.String()
}

func receiveSummary(f *Flow) string {
	var all []string
	for number := range uint8(128) {
		if c, ok := f.Receive[number]; ok {
			all = append(all, typeSummary(Type{Number: number, Codec: c}))
		}
	}
	return strings.Join(all, " ")
}

func TestChooseDetails(t *testing.T) {
	offer := newLocal().Offer(nil)
	a, err := Choose(offer, parse(t, lines(`v=0
c=IN IP4 192.0.2.20
m=audio 4000 RTP/AVP 0
a=rtcp:4007 IN IP4 192.0.2.21
a=ptime:30
m=video 4002 RTP/AVP 97
b=AS:512
a=rtpmap:97 H264/90000
a=fmtp:97 packetization-mode=0;sprop-parameter-sets=Z0KAFNoFB+Q=,aM4G4g==
a=rtcp-fb:97 ccm fir
`)))
	if err != nil {
		t.Fatal(err)
	}
	got := *a.Audio
	if got.Address != "192.0.2.20" || got.Port != 4000 || got.RTCPAddress != "192.0.2.21" || got.RTCPPort != 4007 || got.PacketTime != 30*time.Millisecond {
		t.Errorf("audio: %+v", got)
	}
	v := *a.Video
	if v.RTCPAddress != "192.0.2.20" || v.RTCPPort != 4003 || v.Bandwidth != 512000 || v.PLI || !v.FIR || v.Send.Mode() != 0 || v.Send.ParameterSets() == "" {
		t.Errorf("video: %+v", v)
	}
}

func TestChooseRefuses(t *testing.T) {
	plain, encrypted := newLocal(), withKeys(newLocal(), SRTPRequired, AES128SHA80)
	tests := []struct {
		name, answer string
		local        *Local
		want         string
	}{
		{"refused and missing", "m=audio 0 RTP/AVP 0\n", plain, "audio: the peer refuses it; video: the peer refuses it"},
		{"G.729", "m=audio 1 RTP/AVP 18\na=rtpmap:18 G729/8000\n", plain, "none of the peer's codecs is ours: G729/8000"},
		{"digits alone", "m=audio 1 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n", plain, "none of the peer's codecs is ours"},
		{"other order", "m=video 1 RTP/AVP 97\na=rtpmap:97 H264/90000\nm=audio 1 RTP/AVP 0\n", plain, "audio: the peer has video in its place"},
		{"other family", "c=IN IP6 2001:db8::1\nm=audio 1 RTP/AVP 0\n", plain, "of another family"},
		{"SRTP refused", "m=audio 1 RTP/AVP 0\n", encrypted, "no keys for SRTP"},
		{"other tag", "m=audio 1 RTP/SAVP 0\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "\n", encrypted, "no keys for SRTP"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := Choose(test.local.Offer(nil), parse(t, test.answer))
			if !errors.Is(err, ErrNotAcceptable) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
			if a.Audio != nil || a.Video != nil {
				t.Errorf("got %+v with the error", a)
			}
		})
	}
}

func TestChooseRTCPMux(t *testing.T) {
	const answer = "c=IN IP4 192.0.2.20\nm=audio 4000 RTP/AVP 0\na=rtcp-mux\n"
	for _, mux := range []bool{false, true} {
		l := newLocal()
		l.RTCPMux = mux
		a, err := Choose(l.Offer(nil), parse(t, answer))
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{false: 4001, true: 4000}[mux]; a.Audio.RTCPPort != want {
			t.Errorf("offered %t: RTCP goes to port %d, want %d", mux, a.Audio.RTCPPort, want)
		}
	}
}

func TestChooseKeys(t *testing.T) {
	offer := withKeys(newLocal(), SRTPOptional, AES256GCM, AES128SHA80).Offer(nil)
	a, err := Choose(offer, parse(t, "m=audio 1 RTP/AVP 0\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:"+key30+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	key, salt := a.Audio.Encrypt.Keys()
	if string(key) != strings.Repeat("k", 16) || string(salt) != strings.Repeat("k", 14) {
		t.Errorf("our key is %q with salt %q", key, salt)
	}
	key, salt = a.Audio.Decrypt.Keys()
	if string(key) != "YS___semctl () {" || string(salt) != "\t220;}\n}\nunles" {
		t.Errorf("the peer's key is %q with salt %q", key, salt)
	}

	a, err = Choose(offer, parse(t, "m=audio 1 RTP/AVP 0\n"))
	if err != nil || a.Audio.Encrypt != nil || a.Audio.Decrypt != nil {
		t.Errorf("a peer that ignores the keys: %v, %v", a.Audio, err)
	}
}

// A peer that puts the call on hold changes the direction alone.
func TestChooseHold(t *testing.T) {
	l := newLocal()
	directions := map[string]Direction{}
	for _, line := range []string{"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive", "c=IN IP4 0.0.0.0"} {
		offer := parse(t, "c=IN IP4 192.0.2.20\nm=audio 4000 RTP/AVP 0\n"+line+"\n")
		answer, err := l.Answer(offer, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Choose(answer, offer)
		if err != nil {
			t.Fatal(err)
		}
		directions[line] = a.Audio.Direction
	}
	want := map[string]Direction{
		"a=sendrecv": SendRecv, "a=sendonly": RecvOnly, "a=recvonly": SendOnly, "a=inactive": Inactive, "c=IN IP4 0.0.0.0": RecvOnly,
	}
	if !maps.Equal(directions, want) {
		t.Errorf("got %v, want %v", directions, want)
	}
}
