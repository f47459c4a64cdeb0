package rtmp

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"transponder/internal/amf"
)

// The bits of Enhanced RTMP v2 that we set: capsEx says that a request to reconnect is understood, a codec's mask that it is
// passed on without being decoded.
const (
	capReconnect  = 0x01
	maskForwarded = 0x04
)

// fourCCs are the codecs that a peer said it takes, in fourCcList of version 1 or in the maps of version 2; "*" for all.
type fourCCs []string

// parseFourCCs reads them from the objects of a connect or its answer.
func parseFourCCs(objects ...any) (offered fourCCs) {
	for _, object := range objects {
		o, _ := amf.AsObject(object)
		for _, p := range o {
			switch p.Name {
			case "fourCcList":
				list, _ := p.Value.(amf.StrictArray)
				for _, v := range list {
					if s, ok := v.(string); ok {
						offered = append(offered, s)
					}
				}
			case "videoFourCcInfoMap", "audioFourCcInfoMap":
				codecs, _ := amf.AsObject(p.Value)
				for _, c := range codecs {
					if mask, _ := c.Value.(float64); mask > 0 {
						offered = append(offered, c.Name)
					}
				}
			}
		}
	}
	return offered
}

// has says whether a codec is among them.
func (f fourCCs) has(fourCC string) bool {
	return slices.Contains(f, fourCC) || slices.Contains(f, "*")
}

// properties offers codecs.
func (f fourCCs) properties() amf.Object {
	if len(f) == 0 {
		return nil
	}
	var list amf.StrictArray
	var video, audio amf.Object
	for _, fourCC := range f {
		list = append(list, fourCC)
		p := amf.Property{Name: fourCC, Value: float64(maskForwarded)}
		if slices.Contains(sounds, fourCC) {
			audio = append(audio, p)
		} else {
			video = append(video, p)
		}
	}
	o := amf.Object{{Name: "fourCcList", Value: list}}
	if video != nil {
		o = append(o, amf.Property{Name: "videoFourCcInfoMap", Value: video})
	}
	if audio != nil {
		o = append(o, amf.Property{Name: "audioFourCcInfoMap", Value: audio})
	}
	return o
}

// sounds are the fourCCs of audio that we name; all others are of video.
var sounds = []string{"Opus", "mp4a", ".mp3"}

// acceptedCodecs are what a ServerConn's publishers may send.
var acceptedCodecs = fourCCs{"avc1", "hvc1", "av01", "vp09", "mp4a", "Opus", ".mp3"}

// Resolve returns the tcUrl to connect to next, given the present one: absolute, and not checked in any way.
func (e *ReconnectError) Resolve(tcURL string) (string, error) {
	switch {
	case e.TCURL == "":
		return tcURL, nil
	case strings.Contains(e.TCURL, "://"):
		return e.TCURL, nil
	}
	base, err := url.Parse(tcURL)
	if err != nil {
		return "", fmt.Errorf("%w: the present address is not one to resolve against", ErrProtocol)
	}
	next, err := base.Parse(e.TCURL) // its error would show the address
	if err != nil || next.Host == "" {
		return "", fmt.Errorf("%w: the peer asks for a reconnect to no address", ErrProtocol)
	}
	return next.String(), nil
}
