package rtc

import (
	"github.com/pion/rtp/codecs"
)

// vp8Parts turns packets of VP8 (RFC 7741) into frames.
type vp8Parts struct {
	packet codecs.VP8Packet // reused
	begun  bool
}

func (d *vp8Parts) begin() { d.begun = false }

func (d *vp8Parts) starts(p []byte) bool {
	_, err := d.packet.Unmarshal(p)
	return err == nil && d.packet.S == 1 && d.packet.PID == 0
}

func (d *vp8Parts) add(unit, p []byte) ([]byte, bool) {
	payload, err := d.packet.Unmarshal(p)
	if err != nil || !d.begun && (d.packet.S != 1 || d.packet.PID != 0) {
		return unit, false
	}
	d.begun = true
	return append(unit, payload...), true
}

func (d *vp8Parts) whole() bool { return d.begun }

// isKey reads the frame tag (RFC 6386, 9.1).
func (d *vp8Parts) isKey(unit []byte) bool { return unit[0]&1 == 0 }

func (d *vp8Parts) refers([]byte) bool { return true }

// vp8Size reads the picture size of a key frame (RFC 6386, 9.1).
func vp8Size(unit []byte) (width, height int, ok bool) {
	if len(unit) < 10 || unit[3] != 0x9d || unit[4] != 0x01 || unit[5] != 0x2a {
		return 0, 0, false
	}
	width = (int(unit[7])<<8 | int(unit[6])) & 0x3fff
	height = (int(unit[9])<<8 | int(unit[8])) & 0x3fff
	return width, height, width > 0 && height > 0
}

// vp9Parts turns packets of VP9 (RFC 9628) into frames of one spatial layer: a receiver of RTMP cannot use more. Browsers
// send one layer unless a page asks for more. Of several it takes the lowest, which does not refer to the others.
type vp9Parts struct {
	packet     codecs.VP9Packet // reused
	begun, end bool
	key        bool
}

func (d *vp9Parts) begin() { d.begun, d.end, d.key = false, false, false }

// read parses the descriptor of a packet. Unmarshal keeps fields of the packet before, so they are cleared first.
func (d *vp9Parts) read(p []byte) ([]byte, bool) {
	d.packet = codecs.VP9Packet{}
	payload, err := d.packet.Unmarshal(p)
	return payload, err == nil
}

func (d *vp9Parts) starts(p []byte) bool {
	_, ok := d.read(p)
	return ok && d.packet.B && d.packet.SID == 0
}

func (d *vp9Parts) add(unit, p []byte) ([]byte, bool) {
	payload, ok := d.read(p)
	switch {
	case !ok:
		return unit, false
	case d.packet.SID != 0:
		return unit, true
	case !d.begun && !d.packet.B, d.begun && d.packet.B:
		return unit, false
	case !d.begun:
		d.begun, d.key = true, !d.packet.P
	}
	d.end = d.packet.E
	return append(unit, payload...), true
}

func (d *vp9Parts) whole() bool { return d.begun && d.end }

func (d *vp9Parts) isKey([]byte) bool { return d.key }

func (d *vp9Parts) refers([]byte) bool { return true }
