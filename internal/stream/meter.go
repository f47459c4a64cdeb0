package stream

import "time"

// Meter measures frames and bits per second. The zero Meter is ready to use. It is not safe for concurrent use.
type Meter struct {
	since         time.Time
	frames, bytes int

	rateBPS int64
	fps     float64
}

// Count adds one frame of size bytes.
func (m *Meter) Count(now time.Time, size int) {
	if m.since.IsZero() {
		m.since = now
	}
	m.roll(now)
	m.frames++
	m.bytes += size
}

// Rates returns bits and frames per second over the last whole second, or over the time up to now if nothing came since.
func (m *Meter) Rates(now time.Time) (rateBPS int64, fps float64) {
	m.roll(now)
	return m.rateBPS, m.fps
}

// roll turns the window into rates when a second has passed.
func (m *Meter) roll(now time.Time) {
	d := now.Sub(m.since)
	if m.since.IsZero() || d < time.Second {
		return
	}
	m.rateBPS = int64(float64(m.bytes) * 8 / d.Seconds())
	m.fps = float64(m.frames) / d.Seconds()
	m.since, m.frames, m.bytes = now, 0, 0
}
