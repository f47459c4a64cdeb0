package phone

import "math"

// The laws of G.711 (ITU-T G.711), by their definition and without tables.

// EncodeULaw encodes a sample from -1 to 1 as PCMU.
func EncodeULaw(x float64) byte {
	const bias, clip = 132, 32635
	v := int(math.Round(x * 32768))
	sign := byte(0)
	if v < 0 {
		sign, v = 0x80, -v
	}
	v = min(v, clip) + bias
	exponent := 7
	for mask := 0x4000; exponent > 0 && v&mask == 0; mask >>= 1 {
		exponent--
	}
	return ^(sign | byte(exponent)<<4 | byte(v>>(exponent+3))&0x0f)
}

// DecodeULaw decodes PCMU.
func DecodeULaw(b byte) float64 {
	b = ^b
	v := (int(b&0x0f)<<3+132)<<(b>>4&7) - 132
	if b&0x80 != 0 {
		v = -v
	}
	return float64(v) / 32768
}

// EncodeALaw encodes a sample from -1 to 1 as PCMA.
func EncodeALaw(x float64) byte {
	v := min(int(math.Round(x*32768)), 32767) >> 3
	mask := byte(0xd5)
	if v < 0 {
		mask, v = 0x55, -v-1
	}
	segment := 0
	for end := 0x1f; v > end && segment < 7; end = end<<1 | 1 {
		segment++
	}
	return (byte(segment)<<4 | byte(v>>max(segment, 1))&0x0f) ^ mask
}

// DecodeALaw decodes PCMA.
func DecodeALaw(b byte) float64 {
	b ^= 0x55
	v := int(b&0x0f)<<4 + 8
	if segment := b >> 4 & 7; segment > 0 {
		v = (v + 0x100) << (segment - 1)
	}
	if b&0x80 == 0 {
		v = -v
	}
	return float64(v) / 32768
}
