package wcs

import (
	"context"
	"math"
	"time"
)

// videoRate is the object of inboundVideoRate and outboundVideoRate.
type videoRate struct {
	MediaSessionID string `json:"mediaSessionId"`
	VideoRate      int64  `json:"videoRate"` // bit/s
}

// everySecond calls f once a second until ctx ends. The SDK counts bytes from one message to the next and takes the sum for a rate per
// second, so the messages must come once a second.
func everySecond(ctx context.Context, f func(now time.Time)) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			f(now)
		}
	}
}

// rateMeter turns a count of bytes into a rate.
type rateMeter struct {
	bytes int64
	at    time.Time
}

// rate returns the bits per second since the last call.
func (m *rateMeter) rate(now time.Time, bytes int64) int64 {
	d, elapsed := bytes-m.bytes, now.Sub(m.at).Seconds()
	m.bytes, m.at = bytes, now
	if elapsed <= 0 {
		return 0
	}
	return int64(math.Round(float64(d) * 8 / elapsed))
}
