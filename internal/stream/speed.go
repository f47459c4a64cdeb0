package stream

import (
	"errors"
	"time"
)

// ErrRate is the cause of the end of a source whose publisher has sent more than Publisher.MaxRateBPS for speedingFor. Encoders exceed their
// rate for a moment, with a key frame or after a pause of the network; so a tenth more is allowed, and only a rate that lasts counts.
var ErrRate = errors.New("the publisher sends more bits per second than its credential allows")

// speedingFor is how long a publisher may send more than it may.
const speedingFor = 5 * time.Second

// speed watches how much a publisher sends.
type speed struct {
	looked time.Time // when the bytes were counted last
	bytes  int64
	over   time.Duration // for how long the publisher has sent too much
}

// speeding reports whether the publisher must end because it sends too much.
func (s *Source) speeding(now time.Time) bool {
	most := s.info.Publisher.MaxRateBPS
	since := now.Sub(s.speed.looked)
	if most == 0 || since < time.Second {
		return false
	}
	bytes := s.Video.Stats().Bytes + s.Audio.Stats().Bytes
	first := s.speed.looked.IsZero()
	sent := bytes - s.speed.bytes
	s.speed.looked, s.speed.bytes = now, bytes
	if first || float64(sent*8) <= 1.1*float64(most)*since.Seconds() {
		s.speed.over = 0
		return false
	}
	s.speed.over += since
	return s.speed.over >= speedingFor
}
