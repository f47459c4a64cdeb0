package media

import (
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// Elements of a raw_data_block (ISO/IEC 14496-3, table 4.85).
const (
	elementSCE = 0
	elementCPE = 1
	elementLFE = 3
	elementEnd = 7
)

// elements lists the elements of a block for each channel configuration (ISO/IEC 14496-3, table 1.19).
var elements = [...][]uint32{
	1: {elementSCE},
	2: {elementCPE},
	3: {elementSCE, elementCPE},
	4: {elementSCE, elementCPE, elementSCE},
	5: {elementSCE, elementCPE, elementCPE},
	6: {elementSCE, elementCPE, elementCPE, elementLFE},
	7: {elementSCE, elementCPE, elementCPE, elementCPE, elementLFE},
}

// mostWithSBR is the highest sampling rate that SBR may double. Up to this rate decoders may assume SBR.
const mostWithSBR = 24000

// noSBR is the end of an AudioSpecificConfig that says that there is no SBR (ISO/IEC 14496-3, 1.6.6.2).
var noSBR = []byte{0x56, 0xe5, 0x00}

// AACConfig makes the AudioSpecificConfig of AAC-LC.
func AACConfig(sampleRate, channels int) ([]byte, error) {
	c := mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: sampleRate, ChannelConfig: uint8(channels)}
	b, err := c.Marshal()
	if err != nil {
		return nil, fmt.Errorf("make AudioSpecificConfig: %w", err)
	}
	if sampleRate <= mostWithSBR {
		b = append(b, noSBR...)
	}
	return b, nil
}

// IsADTS reports whether bytes begin with an ADTS header. No AAC packet begins with the same bits: the first element would be the end.
func IsADTS(b []byte) bool { return len(b) > 1 && b[0] == 0xff && b[1]&0xf6 == 0xf0 }

// ErrADTS means that bytes are not an ADTS header that this package can use.
var ErrADTS = errors.New("not a usable ADTS header")

// ADTSHeader is the header of an AAC frame that contains its configuration.
type ADTSHeader struct {
	Begin, End int // of the packet, counted from the first byte of the header

	profile, rate, channels uint8 // the numbers of an AudioSpecificConfig
}

// ReadADTS reads the header at the beginning of bytes (ISO/IEC 14496-3, table 1.A.5). The packet may be longer than the bytes. ReadADTS fails
// with ErrADTS.
func ReadADTS(b []byte) (ADTSHeader, error) {
	const size, checksum = 7, 2
	if len(b) < size || !IsADTS(b) {
		return ADTSHeader{}, fmt.Errorf("%w: %d bytes", ErrADTS, len(b))
	}
	h := ADTSHeader{
		Begin: size, End: int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5),
		profile: b[2]>>6 + 1, rate: b[2] >> 2 & 0x0f, channels: b[2]&1<<2 | b[3]>>6,
	}
	if b[1]&1 == 0 {
		h.Begin += checksum
	}
	switch {
	case h.End <= h.Begin:
		return ADTSHeader{}, fmt.Errorf("%w: a frame of %d bytes", ErrADTS, h.End)
	case b[6]&3 != 0:
		return ADTSHeader{}, fmt.Errorf("%w: several packets behind one header", ErrADTS)
	case h.rate > 12 || h.channels == 0:
		return ADTSHeader{}, fmt.Errorf("%w: sampling rate %d, channels %d", ErrADTS, h.rate, h.channels)
	}
	return h, nil
}

// Config returns the AudioSpecificConfig of the header (ISO/IEC 14496-3, 1.6.2.1).
func (h ADTSHeader) Config() []byte {
	return []byte{h.profile<<3 | h.rate>>1, h.rate<<7 | h.channels<<3}
}

// SilentAAC makes a packet of silence for a decoder with that AudioSpecificConfig, and returns its duration. The packet has no spectrum, so it
// is the same for every sampling rate.
func SilentAAC(config []byte) (packet []byte, length time.Duration, err error) {
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(config); err != nil {
		return nil, 0, fmt.Errorf("read AudioSpecificConfig: %w", err)
	}
	if c.Type != mpeg4audio.ObjectTypeAACLC || int(c.ChannelConfig) >= len(elements) || c.ChannelConfig == 0 || c.SampleRate <= 0 {
		return nil, 0, fmt.Errorf("no silence for AAC of type %d with channel configuration %d", c.Type, c.ChannelConfig)
	}
	samples := int64(1024)
	if c.FrameLengthFlag {
		samples = 960
	}
	var w bitWriter
	seen := map[uint32]uint32{}
	for _, e := range elements[c.ChannelConfig] {
		w.bits(e, 3)
		w.bits(seen[e], 4) // element_instance_tag
		seen[e]++
		if e == elementCPE {
			w.bits(0, 1) // common_window
			silentChannel(&w)
		}
		silentChannel(&w)
	}
	w.bits(elementEnd, 3)
	w.align(0)
	return w.b, Samples(samples, c.SampleRate), nil
}

// silentChannel writes an individual_channel_stream (ISO/IEC 14496-3, table 4.50) that ends before its first band.
func silentChannel(w *bitWriter) {
	w.bits(140, 8) // global_gain: any value, since nothing is scaled
	w.bits(0, 1)   // ics_reserved_bit
	w.bits(0, 2)   // window_sequence: ONLY_LONG_SEQUENCE
	w.bits(0, 1)   // window_shape
	w.bits(0, 6)   // max_sfb: no band
	w.bits(0, 1)   // predictor_data_present
	w.bits(0, 3)   // no pulse data, no TNS, no gain control
}
