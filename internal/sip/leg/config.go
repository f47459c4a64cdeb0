package leg

import (
	"errors"
	"fmt"
	"time"

	"transponder/internal/limits"
)

// Config says how the media of calls is moved.
type Config struct {
	// PortFrom and PortTo are the range of the ports: RTP has an even one, and RTCP the odd one after it. A call needs a pair for its sound
	// and a pair for its picture.
	PortFrom, PortTo int

	// FirstPacket limits the wait for the first packet of an answered call, and Activity the time without packets after that. 0: for ever.
	FirstPacket, Activity time.Duration

	// Learn is how long after a new agreement a phone may turn out to send from another address than the SDP names. The phone's SIP messages
	// must come from the address, or the phone must have sent from another port of it before.
	Learn time.Duration
	// LearnAny allows any address within that time. A stranger who guesses the port then takes the call over.
	LearnAny bool
	// Strict allows only the address that the SDP names.
	Strict bool

	Tone        time.Duration // the length of a digit that we send
	KeyFrameGap time.Duration // the least time between two requests for a key frame to one phone
}

// The ranges of a Config's numbers.
var (
	PortRange        = limits.Of(1024, 65535)
	FirstPacketRange = limits.Of(0, 10*time.Minute)
	ActivityRange    = limits.Of(0, 24*time.Hour)
	LearnRange       = limits.Of(0, time.Minute)
	ToneRange        = limits.Of(40*time.Millisecond, 500*time.Millisecond) // shorter ones are not heard by old gateways
	KeyFrameGapRange = limits.Of(100*time.Millisecond, time.Minute)
)

// DefaultConfig suits phones on the Internet and in a LAN.
func DefaultConfig() Config {
	return Config{
		PortFrom: 30000, PortTo: 35000,
		FirstPacket: 15 * time.Second, Activity: time.Minute,
		Learn: 3 * time.Second,
		Tone:  100 * time.Millisecond, KeyFrameGap: time.Second,
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	errs := []error{
		PortRange.Check("first media port of calls", c.PortFrom),
		PortRange.Check("last media port of calls", c.PortTo),
		FirstPacketRange.Check("limit for the first packet of a call", c.FirstPacket),
		ActivityRange.Check("limit for a call without packets", c.Activity),
		LearnRange.Check("time to learn the address of a phone", c.Learn),
		ToneRange.Check("length of a digit", c.Tone),
		KeyFrameGapRange.Check("pause between requests for a key frame", c.KeyFrameGap),
	}
	if first := evenPort(c.PortFrom); c.PortTo < first+3 {
		errs = append(errs, fmt.Errorf("port_from=%d and port_to=%d have no room for a call with sound and picture, which takes four ports", c.PortFrom, c.PortTo))
	}
	if c.Strict && c.LearnAny {
		errs = append(errs, errors.New("the address of a phone is either learned from anybody or never learned"))
	}
	return errors.Join(errs...)
}
