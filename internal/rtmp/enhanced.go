package rtmp

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"transponder/internal/amf"
)

// The bits of Enhanced RTMP v2 that a client sets: in capsEx, that it understands a request to reconnect; in the mask of a codec, that frames
// are forwarded without being decoded.
const (
	capReconnect  = 0x01
	maskForwarded = 0x04
)

// fourCCs are the codecs that the other side accepts, from fourCcList of version 1 or the maps of version 2; "*" stands for all.
type fourCCs []string

// parseFourCCs reads the codecs from the objects of connect or of its answer.
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

// has reports whether a codec is among them.
func (f fourCCs) has(fourCC string) bool {
	return slices.Contains(f, fourCC) || slices.Contains(f, "*")
}

// properties returns the properties that offer the codecs.
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

// sounds are the fourCCs of audio that this package offers; all others are video.
var sounds = []string{"Opus", "mp4a", ".mp3"}

// acceptedCodecs are the codecs that the publishers of a ServerConn may send.
var acceptedCodecs = fourCCs{"avc1", "hvc1", "av01", "vp09", "mp4a", "Opus", ".mp3"}

// Resolve returns the tcUrl for the next connection, given the present one. It is absolute, and not checked.
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
	next, err := base.Parse(e.TCURL) // the error would contain the address
	if err != nil || next.Host == "" {
		return "", fmt.Errorf("%w: the peer asks for a reconnect to no address", ErrProtocol)
	}
	return next.String(), nil
}
