package phone

import (
	"fmt"
	"math"
	"time"
)

// Judge says what is wrong with the packets of sound that a peer sends: the sequence numbers rise by one and the RTP time by the duration
// of a packet, with one SSRC, in a steady rhythm. PerPacket is the duration in RTP ticks. Telephone events, of type events, do not advance
// the RTP time. Most is the longest pause that is allowed between two packets. nil is nothing.
func Judge(packets []Packet, events uint8, perPacket uint32, most time.Duration) error {
	if len(packets) < 2 {
		return fmt.Errorf("there are %d packets", len(packets))
	}
	last := packets[0]
	for _, p := range packets[1:] {
		switch {
		case p.SSRC != last.SSRC:
			return fmt.Errorf("the SSRC changes from %x to %x", last.SSRC, p.SSRC)
		case p.Seq != last.Seq+1:
			return fmt.Errorf("sequence number %d follows %d", p.Seq, last.Seq)
		case p.Type != events && last.Type != events && p.Time-last.Time != perPacket:
			return fmt.Errorf("RTP time %d follows %d, want a step of %d", p.Time, last.Time, perPacket)
		case p.At.Sub(last.At) > most:
			return fmt.Errorf("a pause of %v before sequence number %d", p.At.Sub(last.At), p.Seq)
		}
		last = p
	}
	return nil
}

// Gap returns the longest pause between two packets.
func Gap(packets []Packet) (longest time.Duration) {
	for i := 1; i < len(packets); i++ {
		longest = max(longest, packets[i].At.Sub(packets[i-1].At))
	}
	return longest
}

// PCM decodes the packets of PCMU and PCMA.
func PCM(packets []Packet) (pcm []float64) {
	for _, p := range packets {
		decode := DecodeULaw
		switch p.Type {
		case 8:
			decode = DecodeALaw
		case 0:
		default:
			continue
		}
		for _, b := range p.Payload {
			pcm = append(pcm, decode(b))
		}
	}
	return pcm
}

// Pitch returns the frequency of a tone by its zero crossings, and its level: the root mean square times the root of 2, which is the
// amplitude of a sine. The frequency is 0 for silence.
func Pitch(pcm []float64, rate int) (hz, level float64) {
	var sum, first, last float64
	crossings := -1
	for i, x := range pcm {
		sum += x * x
		if i == 0 || pcm[i-1] >= 0 || x < 0 {
			continue
		}
		at := float64(i) - x/(x-pcm[i-1]) // where the line between the samples is zero
		if crossings++; crossings == 0 {
			first = at
		}
		last = at
	}
	level = math.Sqrt(2 * sum / float64(max(len(pcm), 1)))
	if crossings < 1 || level < 0.001 {
		return 0, level
	}
	return float64(crossings) * float64(rate) / (last - first), level
}
