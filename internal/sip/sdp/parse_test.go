package sdp

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// peers are descriptions as phones, room systems, PBXs and carriers send them, each cut down to the lines that matter.
var peers = map[string]string{
	"poly": `v=0
o=- 1557220921 1557220921 IN IP4 192.0.2.15
s=Polycom IP Phone
c=IN IP4 192.0.2.15
b=AS:1024
t=0 0
m=audio 16386 RTP/AVP 103 101 9 102 0 8 18 119
a=rtpmap:103 SIRENLPR/48000/1
a=fmtp:103 bitrate=64000
a=rtpmap:101 G7221/32000
a=fmtp:101 bitrate=48000
a=rtpmap:9 G722/8000
a=rtpmap:102 G7221/16000
a=fmtp:102 bitrate=32000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:18 G729/8000
a=fmtp:18 annexb=no
a=rtpmap:119 telephone-event/8000
a=fmtp:119 0-15
a=sendrecv
m=video 16388 RTP/AVP 109 110 111 96 34
b=TIAS:1024000
a=rtpmap:109 H264/90000
a=fmtp:109 profile-level-id=64001f; packetization-mode=1; max-mbps=108000; max-fs=3600
a=rtpmap:110 H264/90000
a=fmtp:110 profile-level-id=42801f; max-mbps=108000
a=rtpmap:111 H264/90000
a=fmtp:111 profile-level-id=42801f; packetization-mode=1
a=rtpmap:96 H263-1998/90000
a=fmtp:96 CIF=1;QCIF=1
a=rtpmap:34 H263/90000
a=rtcp-fb:* ccm fir tmmbr
a=rtcp-fb:* ccm fir
a=rtcp-fb:* nack pli
a=x-polycom-thing:yes
a=sendrecv
m=application 5070 UDP/BFCP *
a=floorctrl:c-s
a=setup:active
m=application 16390 RTP/AVP 100
a=rtpmap:100 H224/4800
`,
	"cisco": `v=0
o=Cisco-SIPUA 24325 0 IN IP4 192.0.2.66
s=SIP Call
b=AS:4064
t=0 0
m=audio 17538 RTP/AVP 114 9 0 8 101
c=IN IP4 192.0.2.66
a=rtpmap:114 opus/48000
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendrecv
m=video 25466 RTP/AVP 100 126 97
c=IN IP4 192.0.2.66
b=TIAS:4000000
a=rtpmap:100 H264/90000
a=fmtp:100 profile-level-id=640C16;packetization-mode=1;max-mbps=108000;max-fs=3600;max-rcmd-nalu-size=32000;level-asymmetry-allowed=1
a=imageattr:100 recv [x=800,y=480,q=0.60]
a=rtpmap:126 H264/90000
a=fmtp:126 profile-level-id=428016;packetization-mode=1
a=rtpmap:97 H264/90000
a=fmtp:97 profile-level-id=428016;packetization-mode=0
a=rtcp-fb:* nack pli
a=rtcp-fb:* ccm fir
a=recvonly
`,
	"room with slides": `v=0
o=tandberg 3 1 IN IP4 192.0.2.90
s=-
c=IN IP4 192.0.2.90
t=0 0
m=audio 2326 RTP/AVP 107 0
a=rtpmap:107 MP4A-LATM/90000
m=video 2330 RTP/AVP 97
a=rtpmap:97 H264/90000
a=fmtp:97 profile-level-id=42e016;packetization-mode=1
a=content:slides
a=label:12
m=video 2328 RTP/AVP 97
a=rtpmap:97 H264/90000
a=fmtp:97 profile-level-id=42e016
a=content:main
m=application 5070 UDP/BFCP *
m=application 2332 RTP/AVP 99
a=rtpmap:99 H224/4800
`,
	"webex": `v=0
o=linus 0 1 IN IP4 192.0.2.130
s=-
c=IN IP4 192.0.2.130
b=TIAS:4384000
t=0 0
a=cisco-mari:v1
m=audio 54630 RTP/SAVP 101 9 8 0 102
b=TIAS:64000
a=rtpmap:101 opus/48000/2
a=fmtp:101 maxplaybackrate=48000;maxaveragebitrate=64000;stereo=1
a=rtpmap:102 telephone-event/8000
a=fmtp:102 0-15
a=crypto:1 AEAD_AES_256_GCM inline:` + key44 + `
a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:` + key30 + `|2^48
a=sendrecv
m=video 54632 RTP/SAVP 97
a=rtpmap:97 H264/90000
a=fmtp:97 packetization-mode=1;profile-level-id=428014;sprop-parameter-sets=Z0KAFNoFB+Q=,aM4G4g==
a=rtcp-fb:* nack pli
a=content:main
a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:` + key30 + `
m=video 0 RTP/SAVP 97
a=content:slides
m=application 0 UDP/TLS/BFCP *
`,
	"baresip": "v=0\r\no=- 2208988800 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=tool:baresip 1.0.0\r\n" +
		"m=audio 20050 RTP/SAVP 96 9 0 8 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 stereo=1;sprop-stereo=1\r\na=rtpmap:9 G722/8000\r\n" +
		"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:20051\r\n" +
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "\r\na=minptime:10\r\na=ptime:20\r\na=sendrecv\r\na=label:1\r\na=rtcp-rsize\r\n" +
		"m=video 20060 RTP/SAVP 96 97\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=0;profile-level-id=42001f\r\n" +
		"a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=1;profile-level-id=42001f\r\na=rtcp:20061\r\na=rtcp-fb:* nack pli\r\n" +
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "\r\na=sendrecv\r\n",
	"linphone": `v=0
o=bob 1201 512 IN IP4 192.0.2.7
s=Talk
c=IN IP4 192.0.2.7
t=0 0
a=rtcp-xr:rcvr-rtt=all:10000
m=audio 7078 RTP/AVP 96 97 98 0 8 18 101 99
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:97 speex/16000
a=fmtp:97 vbr=on
a=rtpmap:98 speex/8000
a=rtpmap:18 G729/8000
a=rtpmap:101 telephone-event/48000
a=rtpmap:99 telephone-event/8000
m=video 9078 RTP/AVP 96
a=rtpmap:96 VP8/90000
a=rtcp-fb:* trr-int 1000
a=rtcp-fb:* ccm tmmbr
`,
	"asterisk": `v=0
o=- 1742013 1742015 IN IP4 203.0.113.5
s=Asterisk
c=IN IP4 203.0.113.5
t=0 0
m=audio 12884 RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:30
a=maxptime:150
a=sendrecv
m=video 0 RTP/AVP 97
`,
	"carrier, on hold": "o=Sonus_UAC 123 -5 IN IP4 198.51.100.9\ns=\nm=audio 30200/1 RTP/AVP 18 13 100\nb=AS:80\na=sendonly\nc=IN IP4 198.51.100.10\n" +
		"a=rtpmap:100 telephone-event/8000\na=ptime:40\nzzz\ny=1\nm=image 0 udptl t38",
	"old phone, on hold": "v=0\no=John Doe 1 2 IN IP4 192.0.2.8\ns=call\nc=IN IP4 0.0.0.0\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
	"IPv6, name and RTCP": "v=0\no=- 1 1 IN IP6 2001:db8::1\ns=-\nc=IN IP6 2001:db8::1\nt=0 0\na=inactive\n" +
		"m=audio 49170 RTP/AVPF 0\na=rtcp:53020 IN IP6 2001:db8::2\na=rtcp-mux\n" + // the a=rtcp line as in RFC 3605, 2.1
		"m=video 51372 RTP/AVP 31\nc=IN IP4 media.example.com\na=sendrecv\n",
}

// Keys of the right length: 30 bytes is the example of RFC 4568, 9.1.
const (
	key30 = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
	key44 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis="
)

func parse(t *testing.T, text string) *Session {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// summary says what was read of a section in one line.
func summary(m Media) string {
	var types []string
	for _, t := range m.Types {
		types = append(types, fmt.Sprintf("%d=%s", t.Number, t.Codec))
	}
	return strings.TrimSpace(fmt.Sprintf("%s %d %s %s %s%s", m.Name, m.Port, m.Proto, m.Direction, m.Formats, strings.Join(types, " ")))
}

func TestParse(t *testing.T) {
	tests := map[string][]string{
		"poly": {
			"audio 16386 RTP/AVP sendrecv 103=SIRENLPR/48000 101=G7221/32000 9=G722/8000 102=G7221/16000 0=PCMU/8000 8=PCMA/8000 18=G729/8000 119=telephone-event/8000",
			"video 16388 RTP/AVP sendrecv 109=H264/90000 110=H264/90000 111=H264/90000 96=H263-1998/90000 34=H263/90000",
			"application 5070 UDP/BFCP sendrecv *",
			"application 16390 RTP/AVP sendrecv 100=H224/4800",
		},
		"cisco": {
			"audio 17538 RTP/AVP sendrecv 114=opus/48000/2 9=G722/8000 0=PCMU/8000 8=PCMA/8000 101=telephone-event/8000",
			"video 25466 RTP/AVP recvonly 100=H264/90000 126=H264/90000 97=H264/90000",
		},
		"asterisk": {
			"audio 12884 RTP/AVP sendrecv 8=PCMA/8000 101=telephone-event/8000",
			"video 0 RTP/AVP inactive 97",
		},
		"carrier, on hold": {
			"audio 30200 RTP/AVP sendonly 18=/0 13=CN/8000 100=telephone-event/8000",
			"image 0 udptl inactive t38",
		},
		"old phone, on hold": {"audio 5004 RTP/AVP sendonly 0=PCMU/8000"},
		"IPv6, name and RTCP": {
			"audio 49170 RTP/AVPF inactive 0=PCMU/8000",
			"video 51372 RTP/AVP sendrecv 31=/0",
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range parse(t, peers[name]).Media {
				got = append(got, summary(m))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestParseDetails(t *testing.T) {
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	poly := parse(t, peers["poly"])
	check("version", poly.Version, "1557220921")
	check("address", poly.Media[1].Address, "192.0.2.15")
	check("bandwidth of the session", poly.Media[0].Bandwidth, 1024000)
	check("bandwidth of the section", poly.Media[1].Bandwidth, 1024000)
	check("mode", poly.Media[1].Types[0].Mode(), 1)
	check("absent mode", poly.Media[1].Types[1].Mode(), 0)
	check("PLI", poly.Media[1].Types[1].PLI, true)
	check("FIR", poly.Media[1].Types[4].FIR, true)

	cisco := parse(t, peers["cisco"])
	check("address of the section alone", cisco.Media[0].Address, "192.0.2.66")
	check("address of the session", cisco.Address, "")
	check("profile", cisco.Media[1].Types[0].Profile(), "64")
	check("bandwidth by TIAS", cisco.Media[1].Bandwidth, 4000000)

	room := parse(t, peers["room with slides"])
	check("slides", room.Media[1].Slides, true)
	check("main", room.Media[2].Slides, false)

	webex := parse(t, peers["webex"])
	check("keys", fmt.Sprint(webex.Media[0].Crypto), "[1 AEAD_AES_256_GCM inline:*** 2 AES_CM_128_HMAC_SHA1_80 inline:***]")
	check("parameter sets", webex.Media[1].Types[0].ParameterSets(), "Z0KAFNoFB+Q=,aM4G4g==")

	carrier := parse(t, peers["carrier, on hold"])
	check("ptime", carrier.Media[0].PacketTime, 40*time.Millisecond)
	check("address after a=", carrier.Media[0].Address, "198.51.100.10")
	check("negative version", carrier.Version, "-5")
	check("version after a name with blanks", parse(t, peers["old phone, on hold"]).Version, "2")

	odd := parse(t, "m=audio 5000 RTP/AVP\nm=video 65535 RTP/AVP 97\na=fmtp:97 packetization-mode=1\na=fmtp:97 profile-level-id=4d001f\n")
	check("section without formats", summary(odd.Media[0]), "audio 0 RTP/AVP inactive 0")
	check("parameters in two lines", odd.Media[1].Types[0].Params, "packetization-mode=1;profile-level-id=4d001f")
	_, port := odd.Media[1].rtcp(false)
	check("RTCP port after the last", port, 0)

	v6 := parse(t, peers["IPv6, name and RTCP"])
	check("RTCP address", v6.Media[0].RTCPAddress, "2001:db8::2")
	check("RTCP port", v6.Media[0].RTCPPort, 53020)
	check("RTCP on the port of RTP", v6.Media[0].RTCPMux, true)
	check("host name", v6.Media[1].Address, "media.example.com")
}

func TestParseLenient(t *testing.T) {
	const want = "audio 4000 RTP/AVP sendrecv 0=PCMU/8000"
	tests := map[string]string{
		"one line":               "m=audio 4000 RTP/AVP 0",
		"CR only":                "v=0\rc=IN IP4 192.0.2.1\rm=audio 4000 RTP/AVP 0\r",
		"NUL at the end":         "v=0\r\nm=audio 4000 RTP/AVP 0\r\n\x00",
		"empty lines":            "\r\n\r\nv=0\r\n\r\nm=audio 4000 RTP/AVP 0\r\n\r\n",
		"b= before c=":           "v=0\nb=AS:64\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n",
		"origin without fields":  "v=0\no=\nm=audio 4000 RTP/AVP 0\n",
		"huge origin":            "o=- " + strings.Repeat("9", 500) + " 1 IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n",
		"lines of no kind":       "hello\n=\na\na=\nm=audio 4000 RTP/AVP 0\na=:\na=rtpmap\na=rtpmap:\na=rtpmap:0\na=fmtp:0 \na=rtcp:\na=crypto:1\n",
		"types twice and others": "m=audio 4000 RTP/AVP 0 0 x 128 -1\n",
		"numbers out of range":   "m=audio 4000 RTP/AVP 0\na=ptime:-20\nb=AS:99999999999999999999\na=rtcp:70000\n",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if got := summary(parse(t, text).Media[0]); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestParseAddress(t *testing.T) {
	tests := map[string]string{
		"IN IP4 192.0.2.1":         "192.0.2.1",
		"IP4 192.0.2.1":            "192.0.2.1",
		"IN IP4 233.252.0.1/127/3": "233.252.0.1",
		"IN IP6 [2001:DB8::1]":     "2001:db8::1",
		"IN IP6 fe80::1%eth0":      "fe80::1",
		"IN IP4 phone-1.lan":       "phone-1.lan",
		"IN IP4":                   "",
		"IN IP4 300.1.2.3":         "",
		"IN IP4 a;b":               "",
		"":                         "",
	}
	for value, want := range tests {
		got, ok := parseAddress(value)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("c=%s: got %q, want %q", value, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"nothing":       {"", "no m-line"},
		"no sections":   {"v=0\r\ns=-\r\n", "no m-line"},
		"no protocol":   {"m=audio 4000\r\n", `m-line "audio 4000" has no protocol`},
		"long":          {strings.Repeat("a", maxText+1), "longer than 65536"},
		"many lines":    {strings.Repeat("a\r\n", maxLines+1), "more than 2000 lines"},
		"many sections": {strings.Repeat("m=audio 4000 RTP/AVP 0\r\n", maxSections+1), "more than 32 sections"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(test.text); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range peers {
		f.Add(text)
	}
	f.Add("m=audio 1 RTP/AVP 0\na=rtcp:1 IN IP4\nc=IN IP4 0.0.0.0\nb=AS:1\n")
	f.Fuzz(func(t *testing.T, text string) {
		first, err := Parse(text)
		if err != nil {
			return
		}
		checkRedacted(t, text)
		written := first.SDP()
		if limit := 40*len(text) + 500; len(written) > limit {
			t.Fatalf("%d bytes were written of %d read", len(written), len(text))
		}
		if len(written) > maxText {
			return
		}
		second, err := Parse(written)
		if err != nil {
			t.Fatalf("%v, of what was written:\n%s", err, written)
		}
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("read %+v\nwrote\n%s\nread %+v", first, written, second)
		}
	})
}

// checkRedacted checks that Redact leaves no key that Parse would find.
func checkRedacted(t *testing.T, text string) {
	t.Helper()
	s, err := Parse(Redact(text))
	if err != nil {
		return
	}
	for _, m := range s.Media {
		if len(m.Crypto) > 0 {
			t.Fatalf("a key is left: %s", Redact(text))
		}
	}
}
