// Package source reads the two looped sources and cuts them into RTP payloads.
package source

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// H.264 NAL unit types used here.
const (
	nalSlice = 1
	nalIDR   = 5
	nalSPS   = 7
	nalPPS   = 8
	nalAUD   = 9
	nalSTAPA = 24
	nalFUA   = 28
)

// Frame is one video access unit as RTP payloads. The first payload is made
// per send, because it holds the mark: Head has the NAL units that go in it beside the
// mark (SPS and PPS in a key frame, otherwise none). All streams share Rest.
type Frame struct {
	Key  bool
	Head [][]byte
	Rest [][]byte
}

// LoadH264 reads an Annex B file with one slice a picture.
func LoadH264(path string, maxPayload int) ([]Frame, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var (
		frames []Frame
		head   [][]byte
	)
	for _, nal := range splitAnnexB(raw) {
		switch nal[0] & 0x1f {
		case nalSPS, nalPPS:
			head = append(head, nal)
		case nalSlice, nalIDR:
			if len(nal) > 1 && nal[1]&0x80 == 0 { // first_mb_in_slice != 0
				return nil, errors.New("more than one slice in a picture")
			}
			f := Frame{Key: nal[0]&0x1f == nalIDR, Rest: fragment(nal, maxPayload)}
			if f.Key {
				f.Head = head
			}
			head = nil
			frames = append(frames, f)
		case seiNAL, nalAUD:
		default:
			return nil, fmt.Errorf("unexpected NAL unit type %d", nal[0]&0x1f)
		}
	}
	if len(frames) == 0 || !frames[0].Key || len(frames[0].Head) < 2 {
		return nil, errors.New("must begin with SPS, PPS and an IDR picture")
	}
	return frames, nil
}

// HeadPayload appends the first RTP payload of the frame: the mark alone, or
// an aggregation packet (STAP-A) of SPS, PPS and the mark.
func (f *Frame) HeadPayload(b []byte, m Mark) []byte {
	if len(f.Head) == 0 {
		return AppendMark(b, m)
	}
	b = append(b, nalSTAPA|3<<5)
	for _, nal := range f.Head {
		b = append(b, byte(len(nal)>>8), byte(len(nal)))
		b = append(b, nal...)
	}
	b = append(b, byte(markNALLen>>8), byte(markNALLen))
	return AppendMark(b, m)
}

func splitAnnexB(b []byte) [][]byte {
	var nals [][]byte
	start := -1
	for i := 0; i+3 <= len(b); {
		if b[i+2] > 1 {
			i += 3
			continue
		}
		if b[i] == 0 && b[i+1] == 0 && b[i+2] == 1 {
			if start >= 0 {
				nals = append(nals, bytes.TrimRight(b[start:i], "\x00"))
			}
			start = i + 3
			i += 3
			continue
		}
		i++
	}
	if start >= 0 && start < len(b) {
		nals = append(nals, bytes.TrimRight(b[start:], "\x00"))
	}
	return nals
}

func fragment(nal []byte, maxPayload int) [][]byte {
	if len(nal) <= maxPayload {
		return [][]byte{nal}
	}
	const headerLen = 2
	body := nal[1:]
	room := maxPayload - headerLen
	count := (len(body) + room - 1) / room
	out := make([][]byte, 0, count)
	for i := range count {
		part := body[i*len(body)/count : (i+1)*len(body)/count]
		fu := nal[0] & 0x1f
		if i == 0 {
			fu |= 0x80
		}
		if i == count-1 {
			fu |= 0x40
		}
		p := make([]byte, 0, headerLen+len(part))
		p = append(p, nal[0]&0xe0|nalFUA, fu)
		out = append(out, append(p, part...))
	}
	return out
}
