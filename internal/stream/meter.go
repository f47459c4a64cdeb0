package stream

import "time"

// Meter measures how much passes a place, over whole seconds. The zero Meter is ready; its user guards it.
type Meter struct {
	since         time.Time
	frames, bytes int

	rateBPS int64
	fps     float64
}

// Count notes one frame of so many bytes.
func (m *Meter) Count(now time.Time, size int) {
	if m.since.IsZero() {
		m.since = now
	}
	m.roll(now)
	m.frames++
	m.bytes += size
}

// Rates returns bits and frames per second over the last whole second or, where nothing came since, the time up to now.
func (m *Meter) Rates(now time.Time) (rateBPS int64, fps float64) {
	m.roll(now)
	return m.rateBPS, m.fps
}

// roll turns the running window into rates once a second has passed.
func (m *Meter) roll(now time.Time) {
	d := now.Sub(m.since)
	if m.since.IsZero() || d < time.Second {
		return
	}
	m.rateBPS = int64(float64(m.bytes) * 8 / d.Seconds())
	m.fps = float64(m.frames) / d.Seconds()
	m.since, m.frames, m.bytes = now, 0, 0
}
