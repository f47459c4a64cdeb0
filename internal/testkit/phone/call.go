package phone

import (
	"fmt"
	"strings"
)

// Call is an answered call.
type Call struct {
	*Dialog
	Invite  *Message  // that came, or nil
	Offered []Section // the sections of the peer's last SDP

	Audio, Video           *Stream // nil: refused
	AudioType, VideoType   uint8   // as agreed
	Events                 uint8   // 0: not agreed
	AudioCodec, VideoCodec string  // as in "PCMU/8000"
}

// Plan says how a call is answered.
type Plan struct {
	Audio, Video *Stream  // nil: the section is refused
	AudioCodecs  []string // the first that is offered is taken; nil: PCMU, PCMA
	Address      string   // of the SDP; "": 127.0.0.1
	Rewrite      func(sdp string) string
	Before       []Reply // responses before the 200; nil: 180
	Headers      []string
}

// Answer takes the next INVITE, answers it, and waits for the ACK. Media goes to the address of the offer.
func (p *Phone) Answer(plan Plan) *Call {
	p.t.Helper()
	invite := p.Await("INVITE")
	if plan.Before == nil {
		plan.Before = []Reply{{Code: 180}}
	}
	for _, before := range plan.Before {
		p.Reply(invite, before)
	}
	c := p.Accept(invite, plan)
	c.Await("ACK")
	return c
}

// Accept answers an INVITE that was taken with 200. The ACK is not awaited.
func (p *Phone) Accept(invite *Message, plan Plan) *Call {
	p.t.Helper()
	c := &Call{Dialog: p.Answering(invite), Invite: invite, Offered: ReadSDP(invite.Body), Audio: plan.Audio, Video: plan.Video}
	sdp := c.answer(plan)
	if plan.Rewrite != nil {
		sdp = plan.Rewrite(sdp)
	}
	p.Reply(invite, Reply{Code: 200, SDP: sdp, Headers: plan.Headers})
	return c
}

// answer writes the SDP that answers the peer's offer, and sends media to where the offer says.
func (c *Call) answer(plan Plan) string {
	c.Phone.t.Helper()
	var sections []string
	taken := map[string]bool{}
	for _, offered := range c.Offered {
		text := fmt.Sprintf("m=%s 0 %s %s\r\n", offered.Kind, offered.Proto, strings.Join(offered.Formats, " "))
		switch {
		case taken[offered.Kind] || offered.Port == 0:
		case offered.Kind == "audio" && plan.Audio != nil:
			text = c.takeAudio(offered, plan)
		case offered.Kind == "video" && plan.Video != nil:
			text = c.takeVideo(offered, plan)
		}
		taken[offered.Kind] = true
		sections = append(sections, text)
	}
	address := plan.Address
	if address == "" {
		address = "127.0.0.1"
	}
	return Describe(address, 1, sections...)
}

func (c *Call) takeAudio(offered Section, plan Plan) string {
	c.Phone.t.Helper()
	codecs := plan.AudioCodecs
	if codecs == nil {
		codecs = []string{"PCMU/8000", "PCMA/8000"}
	}
	for _, codec := range codecs {
		number, ok := offered.Type(codec)
		if !ok {
			continue
		}
		c.AudioType, c.AudioCodec = number, codec
		formats, lines := fmt.Sprintf("%s %d", offered.Proto, number), []string{fmt.Sprintf("a=rtpmap:%d %s", number, codec)}
		if events, ok := offered.Type("telephone-event/8000"); ok {
			c.Events = events
			formats += fmt.Sprint(" ", events)
			lines = append(lines, fmt.Sprintf("a=rtpmap:%d telephone-event/8000", events), fmt.Sprintf("a=fmtp:%d 0-16", events))
		}
		lines = append(lines, "a="+reverse(offered.Direction()))
		plan.Audio.SendTo(offered)
		return plan.Audio.Section("audio", formats, lines...)
	}
	c.Phone.t.Fatalf("none of %v is offered in %v %v", codecs, offered.Formats, offered.Lines)
	return ""
}

func (c *Call) takeVideo(offered Section, plan Plan) string {
	c.Phone.t.Helper()
	number, ok := offered.Type("H264/90000")
	if !ok {
		c.Phone.t.Fatalf("H.264 is not offered in %v %v", offered.Formats, offered.Lines)
	}
	c.VideoType, c.VideoCodec = number, "H264/90000"
	lines := []string{fmt.Sprintf("a=rtpmap:%d H264/90000", number)}
	for _, params := range offered.Attribute("fmtp") {
		if strings.HasPrefix(params, fmt.Sprint(number, " ")) {
			lines = append(lines, "a=fmtp:"+params)
		}
	}
	lines = append(lines, fmt.Sprintf("a=rtcp-fb:%d nack pli", number), "a="+reverse(offered.Direction()))
	plan.Video.SendTo(offered)
	return plan.Video.Section("video", fmt.Sprintf("%s %d", offered.Proto, number), lines...)
}

// reverse returns a direction as the other side sees it.
func reverse(direction string) string {
	switch direction {
	case "sendonly":
		return "recvonly"
	case "recvonly":
		return "sendonly"
	}
	return direction
}
