package media

import "errors"

// ErrAACStereo means that StereoAAC cannot convert a packet of this form.
var ErrAACStereo = errors.New("not AAC of one channel that stereo can be made of")

// The beginning of individual_channel_stream (ISO/IEC 14496-3, tables 4.6 and 4.50).
const (
	eightShort      = 2 // EIGHT_SHORT_SEQUENCE
	sectionBits     = 5 // of the length of a section
	sectionBitsEach = 3 // of the length of a section in short windows
)

// StereoAAC appends to dst a stereo packet that sounds on both channels exactly like the mono packet. A decoder for stereo needs no special
// configuration for it.
//
// The channel becomes the middle of a middle/side pair, and the side is silent. The coded data of the channel is copied unchanged; only the
// fields around it are new (ISO/IEC 14496-3, tables 4.4 and 4.5).
//
// The channel must end with the packet, since its end cannot be found otherwise: no fill elements may follow. The packet must have no noise
// substitution and no TNS, which decoders apply after they have made left and right of middle and side. The encoder must be configured for
// this, because StereoAAC could not detect it without reading every code word.
func StereoAAC(dst, mono []byte) ([]byte, error) {
	if len(mono) < 4 || mono[len(mono)-1] == 0 {
		return dst, ErrAACStereo
	}
	end := 8 * len(mono)
	for bitsOf(mono, end-1, 1) == 0 { // byte_alignment
		end--
	}
	end -= 3
	if bitsOf(mono, end, 3) != elementEnd || bitsOf(mono, 0, 3) != elementSCE {
		return dst, ErrAACStereo
	}
	const tag, gain, info = 3, 7, 15 // the positions of these fields
	if bitsOf(mono, info, 1) != 0 {  // ics_reserved_bit
		return dst, ErrAACStereo
	}
	lengthBits, groups, channel := sectionBits, 1, info+11
	bands := int(bitsOf(mono, info+4, 6))
	if bitsOf(mono, info+1, 2) == eightShort {
		lengthBits, channel = sectionBitsEach, info+15
		bands = int(bitsOf(mono, info+4, 4))
		for at := info + 8; at < channel; at++ { // scale_factor_grouping: each 0 begins a group
			groups += int(1 - bitsOf(mono, at, 1))
		}
	} else if bitsOf(mono, info+10, 1) != 0 { // predictor_data_present
		return dst, ErrAACStereo
	}
	if channel+3 > end { // a channel without bands still has three bits
		return dst, ErrAACStereo
	}

	w := bitWriter{b: dst}
	w.bits(elementCPE, 3)
	w.bits(bitsOf(mono, tag, 4), 4)
	w.bits(1, 1) // common_window: one ics_info for both channels
	w.copy(mono, info, channel)
	w.bits(2, 2) // ms_mask_present: all bands are middle and side
	w.bits(bitsOf(mono, gain, 8), 8)
	w.copy(mono, channel, end)
	w.bits(bitsOf(mono, gain, 8), 8)
	for range groups {
		silentSection(&w, bands, lengthBits)
	}
	w.bits(0, 3) // no pulse data, no TNS, no gain control
	w.bits(elementEnd, 3)
	w.align(0)
	return w.b, nil
}

// silentSection writes section_data (ISO/IEC 14496-3, table 4.52) for bands without a spectrum.
func silentSection(w *bitWriter, bands, lengthBits int) {
	if bands == 0 {
		return
	}
	w.bits(0, 4) // ZERO_HCB
	most := 1<<lengthBits - 1
	for ; bands >= most; bands -= most {
		w.bits(uint32(most), lengthBits)
	}
	w.bits(uint32(bands), lengthBits)
}

// bitsOf reads n bits; bits after the end are 0.
func bitsOf(b []byte, at, n int) (v uint32) {
	for ; n > 0; n-- {
		v <<= 1
		if at < 8*len(b) {
			v |= uint32(b[at/8]>>(7-at%8)) & 1
		}
		at++
	}
	return v
}
