package stream

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
)

// TestSpeed: who sends more than he may for five seconds is ended. A burst, and a little too much, are not.
func TestSpeed(t *testing.T) {
	const most = 800_000 // bits per second, 10 kB in each tenth of a second
	for _, c := range []struct {
		name  string
		most  int64
		bytes func(second int) int // in each tenth of a second
		ends  bool
	}{
		{"as allowed", most, func(int) int { return 10_000 }, false},
		{"a little more", most, func(int) int { return 10_900 }, false},
		{"twice as much", most, func(int) int { return 20_000 }, true},
		{"bursts", most, func(second int) int { return map[bool]int{true: 40_000, false: 5000}[second%4 == 0] }, false},
		{"no limit", 0, func(int) int { return 1 << 20 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub(DefaultConfig(), nil)
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				defer running.Wait()
				defer cancel()
				running.Go(func() { _ = h.Run(ctx) })
				s, err := h.Publish(Info{Name: "n", ID: "1", Publisher: Publisher{MaxRateBPS: c.most}})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				for i := 0; i < 200 && s.Err() == nil; i++ {
					s.Audio.Write(media.Frame{Track: &media.Track{Codec: media.AAC}, Data: make([]byte, c.bytes(i/10))})
					time.Sleep(100 * time.Millisecond)
				}
				if ended := errors.Is(s.Err(), ErrRate); ended != c.ends {
					t.Errorf("the stream has ended: %v (%v), want %v", ended, s.Err(), c.ends)
				}
				if took := time.Since(began); c.ends && (took < speedingFor || took > speedingFor+3*time.Second) {
					t.Errorf("it ended after %v", took)
				}
				s.Close(nil)
			})
		})
	}
}
