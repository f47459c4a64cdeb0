package phone

import (
	"math"
	"sync"
	"time"
)

// Sound is a Source of sound: 20 ms in a packet. A test sets the fields before it plays.
type Sound struct {
	Type    uint8
	Events  uint8 // the payload type of telephone events
	SSRC    uint32
	Seq     uint16 // of the next packet
	Start   uint32 // RTP time of the beginning
	Clock   int    // RTP ticks in a second; 0: 8000
	Payload func(n int) []byte

	mu   sync.Mutex
	n    int    // guarded by mu; packets of 20 ms so far
	keys string // guarded by mu; digits to press
	held int    // guarded by mu; packets of the digit that is pressed
}

// packetTime is the sound in a packet.
const packetTime = 20 * time.Millisecond

// Tone is the payload of a tone in PCMU, or in PCMA: half of full scale, on while it lasts.
func Tone(hz float64, alaw bool, on func(at time.Duration) bool) func(n int) []byte {
	encode := EncodeULaw
	if alaw {
		encode = EncodeALaw
	}
	return func(n int) []byte {
		b := make([]byte, 160)
		for i := range b {
			at := n*160 + i
			x := 0.0
			if on == nil || on(time.Duration(at)*time.Second/8000) {
				x = 0.5 * math.Sin(2*math.Pi*hz*float64(at)/8000)
			}
			b[i] = encode(x)
		}
		return b
	}
}

// Press sends digits as telephone events (RFC 4733), 100 ms each, with pauses of 40 ms.
func (s *Sound) Press(keys string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys += keys
}

func (s *Sound) clock() int {
	if s.Clock == 0 {
		return 8000
	}
	return s.Clock
}

// RTPTime implements Source.
func (s *Sound) RTPTime(at time.Duration) (ssrc, rtpTime uint32) {
	return s.SSRC, s.Start + uint32(at*time.Duration(s.clock())/time.Second)
}

// Next implements Source.
func (s *Sound) Next(at time.Duration, _ bool) ([]Packet, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n
	s.n++
	_, rtpTime := s.RTPTime(at)
	if s.keys != "" {
		return s.event(rtpTime), at + packetTime
	}
	p := Packet{Type: s.Type, Marker: n == 0, Seq: s.Seq, Time: rtpTime, SSRC: s.SSRC, Payload: s.Payload(n)}
	s.Seq++
	return []Packet{p}, at + packetTime
}

// event makes the packets of the digit that is pressed: five while it lasts, its end three times, and none in the pause.
// The caller holds mu.
func (s *Sound) event(rtpTime uint32) (packets []Packet) {
	const lasts, pause = 5, 2
	s.held++
	duration := uint16(s.held * s.clock() / 50)
	begin := rtpTime - uint32((s.held-1)*s.clock()/50)
	code, _ := eventOf(s.keys[0])
	payload := []byte{code, 10, byte(duration >> 8), byte(duration)}
	p := Packet{Type: s.Events, Marker: s.held == 1, Time: begin, SSRC: s.SSRC, Payload: payload}
	copies := 1
	if s.held == lasts {
		payload[1] |= endBit
		copies = 3
	}
	if s.held > lasts {
		copies = 0
	}
	for range copies {
		p.Seq = s.Seq
		s.Seq++
		packets = append(packets, p)
	}
	if s.held == lasts+pause {
		s.keys, s.held = s.keys[1:], 0
	}
	return packets
}
