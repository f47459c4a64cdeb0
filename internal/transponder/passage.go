package transponder

import "time"

// mark is a byte count and the time at which it was reached.
type mark struct {
	at    time.Time
	bytes int64
}

// marks keeps the latest marks, oldest first.
type marks struct {
	every, keep time.Duration // the least time between two marks, and how long a mark is kept
	list        []mark
}

func (m *marks) add(now time.Time, bytes int64) {
	if n := len(m.list); n > 0 && now.Sub(m.list[n-1].at) < m.every {
		return
	}
	old := 0
	for len(m.list)-old > 1 && now.Sub(m.list[old].at) > m.keep {
		old++
	}
	m.list = append(m.list[:copy(m.list, m.list[old:])], mark{now, bytes})
}

// passage is a point on the way of the bytes to the server: our kernel, or the server.
type passage struct {
	known   bool
	reached mark          // how many bytes have passed this point, and when we learned that
	step    int64         // by how much the count grew the last time
	lag     time.Duration // how old the last of these bytes was
	past    marks
}

func (s *passage) set(now time.Time, bytes int64, lag time.Duration) {
	s.step = bytes - s.reached.bytes
	s.known, s.reached, s.lag = true, mark{now, bytes}, lag
}

// shift lets everything that was learned have happened so much later, but not after now.
func (s *passage) shift(d time.Duration, now time.Time) {
	shift := func(m *mark) {
		if m.at = m.at.Add(d); m.at.After(now) {
			m.at = now
		}
	}
	shift(&s.reached)
	for i := range s.past.list {
		shift(&s.past.list[i])
	}
}

// rate returns how many bytes a second have passed in the last seconds. It returns false while that is unknown.
func (s *passage) rate(now time.Time) (float64, bool) {
	if len(s.past.list) == 0 {
		return 0, false
	}
	from := s.past.list[0]
	took := s.reached.at.Sub(from.at)
	if took < 500*time.Millisecond {
		return 0, now.Sub(from.at) > 2*time.Second
	}
	rate := float64(s.reached.bytes-from.bytes) / took.Seconds()
	if quiet := now.Sub(s.reached.at); quiet > time.Second+2*lasts(s.step, rate) { // the next news is overdue
		rate = float64(s.reached.bytes-from.bytes) / now.Sub(from.at).Seconds()
	}
	return rate, true
}

// lasts returns how long bytes take at a rate in bytes a second, 0 if the rate is unknown.
func lasts(bytes int64, rate float64) time.Duration {
	if bytes <= 0 || rate < 1 {
		return 0
	}
	return time.Duration(float64(bytes) / rate * float64(time.Second))
}
