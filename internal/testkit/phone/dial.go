package phone

import (
	"net/netip"
)

// Offer writes an SDP with everything a common phone has: PCMU, PCMA, telephone events, and H.264 in mode 1. A stream that is nil is not
// offered.
func Offer(audio, video *Stream) string {
	var sections []string
	if audio != nil {
		sections = append(sections, audio.Section("audio", "RTP/AVP 0 8 101",
			"a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", "a=sendrecv"))
	}
	if video != nil {
		sections = append(sections, video.Section("video", "RTP/AVP 96",
			"a=rtpmap:96 H264/90000", "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1", "a=rtcp-fb:* nack pli", "a=sendrecv"))
	}
	return Describe("127.0.0.1", 1, sections...)
}

// Dial calls an address and waits until the call is answered. The offer is Offer's.
func (p *Phone) Dial(target string, peer netip.AddrPort, audio, video *Stream, headers ...string) *Call {
	p.t.Helper()
	d := p.Calling(target, peer)
	answer := d.Request("INVITE", "", Offer(audio, video), headers...)
	if answer.Code != 200 {
		p.t.Fatalf("the INVITE to %s was answered with %d", target, answer.Code)
	}
	d.Confirm(answer, "")
	c := &Call{Dialog: d, Offered: ReadSDP(answer.Body)}
	if s, ok := Of(c.Offered, "audio"); ok {
		c.Audio, c.AudioCodec = audio, "PCMU/8000"
		if c.AudioType, ok = s.Type(c.AudioCodec); !ok {
			c.AudioCodec = "PCMA/8000"
			c.AudioType, _ = s.Type(c.AudioCodec)
		}
		c.Events, _ = s.Type("telephone-event/8000")
		audio.SendTo(s)
	}
	if s, ok := Of(c.Offered, "video"); ok {
		c.Video, c.VideoCodec = video, "H264/90000"
		c.VideoType, _ = s.Type(c.VideoCodec)
		video.SendTo(s)
	}
	return c
}
