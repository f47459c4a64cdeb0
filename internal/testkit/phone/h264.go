package phone

import (
	"encoding/binary"
	"fmt"
)

// Received is a picture of H.264 that came.
type Received struct {
	Time   uint32
	NALs   [][]byte
	Single bool // all its packets are single NAL units: mode 0
}

// Pictures puts the H.264 of a payload type together (RFC 6184, mode 1). A fault is a packet that breaks the rules; after a lost packet
// the rest of the picture is left out.
func Pictures(packets []Packet, kind uint8) (pictures []Received, err error) {
	var fragment []byte
	for _, p := range packets {
		if p.Type != kind {
			continue
		}
		if len(p.Payload) < 2 {
			return pictures, fmt.Errorf("a packet of %d bytes", len(p.Payload))
		}
		if len(pictures) == 0 || pictures[len(pictures)-1].Time != p.Time {
			pictures = append(pictures, Received{Time: p.Time, Single: true})
		}
		now := &pictures[len(pictures)-1]
		switch t := p.Payload[0] & 0x1f; {
		case t >= 1 && t <= 23:
			now.NALs = append(now.NALs, p.Payload)
		case t == 24: // STAP-A
			now.Single = false
			for rest := p.Payload[1:]; len(rest) > 2; {
				n := int(binary.BigEndian.Uint16(rest))
				if n == 0 || n > len(rest)-2 {
					return pictures, fmt.Errorf("a STAP-A with a unit of %d of %d bytes", n, len(rest)-2)
				}
				now.NALs = append(now.NALs, rest[2:2+n])
				rest = rest[2+n:]
			}
		case t == 28: // FU-A
			now.Single = false
			if p.Payload[1]&0x80 != 0 {
				fragment = []byte{p.Payload[0]&0xe0 | p.Payload[1]&0x1f}
			}
			if fragment == nil {
				continue
			}
			fragment = append(fragment, p.Payload[2:]...)
			if p.Payload[1]&0x40 != 0 {
				now.NALs, fragment = append(now.NALs, fragment), nil
			}
		default:
			return pictures, fmt.Errorf("a packet of type %d", t)
		}
	}
	return pictures, nil
}
