package testkit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// Unit is one access unit of H.264: NAL units without start codes.
type Unit struct {
	NALs [][]byte
	Key  bool
}

// The NAL unit types that are used here.
const (
	nalIDR  = 5
	nalSEI  = 6
	nalSTAP = 24
	nalFU   = 28
)

// The parameter sets of a 1280x720 constrained baseline stream, as x264 writes them.
var (
	SyntheticSPS = []byte{0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x19, 0x20}
	SyntheticPPS = []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
)

// SyntheticUnits makes a GOP of units with slices of the given size, the key frame four times as large. Their parameter
// sets are real, their pictures are not.
func SyntheticUnits(gop, size int) []Unit {
	units := make([]Unit, gop)
	for i := range units {
		slice := make([]byte, size)
		for k := range slice {
			slice[k] = byte(k%251 + 1) // not zero, so that there is no start code
		}
		slice[0] = 0x41
		units[i].NALs = [][]byte{slice}
		if i == 0 {
			key := bytes.Repeat(slice, 4)
			key[0] = 0x65
			units[i] = Unit{NALs: [][]byte{SyntheticSPS, SyntheticPPS, key}, Key: true}
		}
	}
	return units
}

// LoadUnits reads the access units of an Annex B file whose pictures have one slice each.
func LoadUnits(path string) ([]Unit, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var units []Unit
	var u Unit
	for _, nal := range bytes.Split(b, []byte{0, 0, 1}) {
		nal = bytes.TrimRight(nal, "\x00") // the first byte of a longer start code
		if len(nal) == 0 {
			continue
		}
		u.NALs = append(u.NALs, nal)
		if t := nal[0] & 0x1f; t >= 1 && t <= nalIDR {
			u.Key = t == nalIDR
			units = append(units, u)
			u = Unit{}
		}
	}
	if len(units) == 0 || !units[0].Key {
		return nil, fmt.Errorf("%s does not begin with an H.264 key frame", path)
	}
	return units, nil
}

// markUUID begins the SEI message that carries a frame's number (ITU-T H.264, D.1.7: user_data_unregistered).
var markUUID = [16]byte{'t', 'r', 'a', 'n', 0x2d, 's', 0x4e, 'p', 0xa7, 'o', 0x2d, 'n', 'd', 'e', 'r', '1'}

// NumberSEI returns an SEI NAL unit with a frame number, in hexadecimal so that no byte is zero. FrameNumber reads it.
func NumberSEI(number int64) []byte {
	b := append([]byte{nalSEI, 5, 32}, markUUID[:]...)
	b = fmt.Appendf(b, "%016x", number)
	return append(b, 0x80)
}

// FrameNumber returns the number that a publisher gave a frame, whatever the container of the NAL units.
func FrameNumber(data []byte) (number int64, ok bool) {
	i := bytes.Index(data, markUUID[:])
	if i < 0 || len(data) < i+32 {
		return 0, false
	}
	_, err := fmt.Sscanf(string(data[i+16:i+32]), "%016x", &number)
	return number, err == nil
}

// packetize makes the RTP payloads of a numbered unit (RFC 6184): a STAP-A for small NAL units, FU-A for larger ones.
func packetize(u Unit, number int64, most int) [][]byte {
	var out [][]byte
	stap := []byte{nalSTAP | 0x60}
	add := func(nal []byte) {
		stap = binary.BigEndian.AppendUint16(stap, uint16(len(nal)))
		stap = append(stap, nal...)
	}
	flush := func() {
		if len(stap) > 1 {
			out = append(out, stap)
			stap = []byte{nalSTAP | 0x60}
		}
	}
	marked := false
	for _, nal := range u.NALs {
		if t := nal[0] & 0x1f; !marked && t >= 1 && t <= nalIDR { // SEI stands before the first slice
			add(NumberSEI(number))
			marked = true
		}
		if len(stap)+2+len(nal) <= most {
			add(nal)
			continue
		}
		flush()
		out = append(out, fragments(nal, most)...)
	}
	flush()
	return out
}

// fragments splits a NAL unit into FU-A payloads (RFC 6184, 5.8).
func fragments(nal []byte, most int) [][]byte {
	const start, end = 0x80, 0x40
	var out [][]byte
	body := nal[1:]
	room := most - 2
	for at := 0; at < len(body); at += room {
		part := body[at:min(at+room, len(body))]
		header := nal[0] & 0x1f
		if at == 0 {
			header |= start
		}
		if at+room >= len(body) {
			header |= end
		}
		out = append(out, append([]byte{nal[0]&0xe0 | nalFU, header}, part...))
	}
	return out
}
