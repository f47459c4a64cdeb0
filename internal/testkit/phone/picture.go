package phone

import (
	"slices"
	"sync"
	"time"

	"transponder/internal/testkit"
)

// Picture is a Source of H.264. A test sets the fields before it plays.
type Picture struct {
	Type   uint8
	SSRC   uint32
	Seq    uint16 // of the next packet
	Start  uint32 // RTP time of the beginning
	FPS    int
	Units  []testkit.Unit // repeated; a key frame leads
	Whole  bool           // sends each NAL unit in one packet: mode 0 (RFC 6184, 6.2)
	NoSets bool           // leaves out the parameter sets: they stand in the SDP
	Once   bool           // sends a key frame only at the beginning and on request, as real phones do
	First  int64          // the number of the first picture

	mu   sync.Mutex
	unit int     // guarded by mu; the next of Units
	sent []Shown // guarded by mu
}

// Shown is a picture that was sent.
type Shown struct {
	Number int64
	Key    bool
	At     time.Duration // since the start
	NALs   [][]byte      // with the number's SEI
}

// RTPTime implements Source.
func (s *Picture) RTPTime(at time.Duration) (ssrc, rtpTime uint32) {
	return s.SSRC, s.Start + uint32(at*90000/time.Second)
}

// Next implements Source.
func (s *Picture) Next(at time.Duration, keyFrame bool) (packets []Packet, again time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keyFrame {
		s.unit = 0
	}
	u := s.Units[s.unit]
	if s.unit++; s.unit == len(s.Units) {
		s.unit = 0
		if s.Once && len(s.Units) > 1 { // the unit after the key frame refers to it, and so can follow the last one
			s.unit = 1
		}
	}
	number := s.First + int64(len(s.sent))
	nals := s.nals(u, number)
	s.sent = append(s.sent, Shown{Number: number, Key: u.Key, At: at, NALs: nals})
	_, rtpTime := s.RTPTime(at)
	payloads := nals
	if !s.Whole {
		payloads = cut(nals)
	}
	for i, payload := range payloads {
		packets = append(packets, Packet{
			Type: s.Type, Marker: i == len(payloads)-1, Seq: s.Seq, Time: rtpTime, SSRC: s.SSRC, Payload: payload,
		})
		s.Seq++
	}
	return packets, at + time.Second/time.Duration(s.FPS)
}

// nals returns the NAL units of a picture, with an SEI that numbers it before the first slice.
func (s *Picture) nals(u testkit.Unit, number int64) (nals [][]byte) {
	numbered := false
	for _, nal := range u.NALs {
		kind := nal[0] & 0x1f
		if s.NoSets && (kind == 7 || kind == 8) {
			continue
		}
		if !numbered && kind >= 1 && kind <= 5 {
			nals = append(nals, testkit.NumberSEI(number))
			numbered = true
		}
		nals = append(nals, nal)
	}
	return nals
}

// cut makes packets of mode 1: single NAL units, and FU-A for those that are longer (RFC 6184, 5.8).
func cut(nals [][]byte) (payloads [][]byte) {
	const most = 1200
	for _, nal := range nals {
		if len(nal) <= most {
			payloads = append(payloads, nal)
			continue
		}
		rest := slices.Collect(slices.Chunk(nal[1:], most-2))
		for i, part := range rest {
			header := nal[0] & 0x1f
			if i == 0 {
				header |= 0x80
			}
			if i == len(rest)-1 {
				header |= 0x40
			}
			payloads = append(payloads, append([]byte{nal[0]&0xe0 | 28, header}, part...))
		}
	}
	return payloads
}

// Sent returns the pictures that were sent.
func (s *Picture) Sent() []Shown {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// Keys returns the numbers of the key frames that were sent.
func (s *Picture) Keys() (numbers []int64) {
	for _, shown := range s.Sent() {
		if shown.Key {
			numbers = append(numbers, shown.Number)
		}
	}
	return numbers
}
