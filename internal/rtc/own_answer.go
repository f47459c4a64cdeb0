package rtc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"transponder/internal/media"
)

// parseAnswer reads the client's answer to an offer of ours. Of the codecs that the client accepts, it chooses the one that
// the client names first, which the client will send. It ignores the same lines as ParseOffer, and fails with ErrBadAnswer or
// ErrNoCommonCodecs.
func parseAnswer(text string, own *OwnOffer) (*ParsedOffer, error) {
	o, err := reading{sends: true, receives: true, bad: ErrBadAnswer, rank: own.rank, wanted: own.wanted}.parse(text)
	if err != nil {
		return nil, err
	}
	if err := own.match(o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadAnswer, err)
	}
	return o, nil
}

// rank gives all codecs of the offer the same rank, so that the client's first one counts.
func (o *OwnOffer) rank(f *format, k media.Kind) (media.Codec, int) {
	codec, _ := f.rank(k)
	if o.codec(codec) == nil {
		return media.CodecNone, 0
	}
	return codec, 1
}

// codec returns how we offer a codec, nil if we do not.
func (o *OwnOffer) codec(c media.Codec) *Section {
	for _, s := range o.Sections {
		if i := slices.IndexFunc(s.Codecs, func(own *Section) bool { return own.Codec == c }); i >= 0 {
			return s.Codecs[i]
		}
	}
	return nil
}

// wanted names the codecs that are offered.
func (o *OwnOffer) wanted(k media.Kind) string {
	var names []string
	for _, s := range o.Sections {
		for _, c := range s.Codecs {
			if s.Kind == k {
				names = append(names, c.Codec.String())
			}
		}
	}
	return strings.Join(names, " or ")
}

// answerTo returns what this side would have answered if the client had offered what it has answered to the offer: the same media over the same transport.
// sdp is the offer as it was written. The client offers once more when it restarts ICE.
func (o *OwnOffer) answerTo(client *ParsedOffer, sdp string) string {
	head, sections := splitSections(sdp)
	i := ICE{}.read(sections[0])
	t := Transport{Ufrag: i.Ufrag, Pwd: i.Pwd, Candidates: i.Candidates, Setup: "passive"}
	for _, l := range append(head, sections[0]...) {
		if key, value := attribute(l); key == "fingerprint" {
			t.Fingerprint = value
		}
		_, _ = fmt.Sscanf(l, "o=- %d ", &t.ID)
	}
	if client.Used()[0].Setup == "passive" {
		t.Setup = "active"
	}
	sent := map[media.Kind]Sending{}
	for _, s := range o.Sections {
		sent[s.Kind] = s.Sent
	}
	return Answer{Offer: client, TransportCC: true, Both: true, Sent: sent}.SDP(t)
}

// match says why an answer does not fit the offer. It takes away a payload type of retransmissions that was not offered.
func (o *OwnOffer) match(answer *ParsedOffer) error {
	if len(answer.Sections) != len(o.Sections) {
		return fmt.Errorf("it has %d sections, and the offer has %d", len(answer.Sections), len(o.Sections))
	}
	for i, s := range answer.Sections {
		own := o.Sections[i]
		if s.Media != own.Kind.String() || s.MID != own.MID {
			return fmt.Errorf("section %d is %s with a=mid:%s, and the offer has %s with a=mid:%s", i+1, s.Media, s.MID, own.Kind, own.MID)
		}
		if s.Codec == media.CodecNone {
			continue
		}
		offered := o.codec(s.Codec)
		if s.PayloadType != offered.PayloadType {
			return fmt.Errorf("%v has payload type %d, and the offer has %d", s.Codec, s.PayloadType, offered.PayloadType)
		}
		if s.RTXType != offered.RTXType {
			s.RTXType = 0
		}
	}
	if answer.Unbundled {
		return errors.New("audio and video are not bundled")
	}
	return nil
}
