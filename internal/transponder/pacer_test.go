package transponder

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// arrival is a frame: when the publisher sends it, and its time.
type arrival struct{ at, time time.Duration }

// every makes a frame each 20 ms between two times.
func every(from, to time.Duration) (list []arrival) {
	for t := from; t < to; t += 20 * time.Millisecond {
		list = append(list, arrival{t, t})
	}
	return list
}

// late delays each frame of a list, and keeps their order.
func late(list []arrival, by func(i int) time.Duration) []arrival {
	var last time.Duration
	for i := range list {
		last = max(last, list[i].at+by(i))
		list[i].at = last
	}
	return list
}

// paced is the output of a buffer.
type paced struct {
	at, time []time.Duration
	stats    bufferStats
	delay    time.Duration // the longest that was reported
	end      error
}

// pace sends the arrivals through a buffer. send is called for each read and takes as long as a destination would.
func pace(t *testing.T, cfg BufferConfig, list []arrival, send func(now time.Duration)) (out paced) {
	t.Helper()
	cause := errors.New("the publisher left")
	synctest.Test(t, func(t *testing.T) {
		src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		reader := src.NewReader(stream.ReaderConfig{Audio: src.Audio})
		defer reader.Close()
		b := newFrameBuffer(cfg, reader)
		start := time.Now()
		go func() {
			for _, a := range list {
				time.Sleep(a.at - time.Since(start))
				src.Audio.Write(media.Frame{Track: realAudio, Time: media.Timestamp(a.time), Key: true, Data: []byte{1}})
			}
			src.Close(cause)
		}()
		frames := make([]media.Frame, 16)
		for {
			n, err := b.Read(t.Context(), frames)
			out.delay = max(out.delay, b.Stats().Delay)
			if err != nil {
				out.stats, out.end = b.Stats(), err
				return
			}
			for _, f := range frames[:n] {
				out.at = append(out.at, time.Since(start))
				out.time = append(out.time, time.Duration(f.Time))
			}
			if send != nil {
				send(time.Since(start))
			}
		}
	})
	if !errors.Is(out.end, cause) {
		t.Errorf("the end is %v, want %v", out.end, cause)
	}
	times := make([]time.Duration, len(list))
	for i, a := range list {
		times[i] = a.time
	}
	if !slices.Equal(out.time, times) {
		t.Errorf("%d frames came out, want all %d in their order", len(out.time), len(times))
	}
	return out
}

// gap returns the longest time between two frames that were returned between two times.
func (p paced) gap(from, to time.Duration) (longest time.Duration) {
	for i := 1; i < len(p.at); i++ {
		if p.at[i-1] >= from && p.at[i] <= to {
			longest = max(longest, p.at[i]-p.at[i-1])
		}
	}
	return longest
}

// lag returns the largest delay between the time of a frame and its output.
func (p paced) lag() (most time.Duration) {
	for i, at := range p.at {
		most = max(most, at-p.time[i])
	}
	return most
}

func testBuffer() BufferConfig {
	cfg := DefaultBufferConfig()
	cfg.Enabled = true
	return cfg
}

func TestBuffer(t *testing.T) {
	const ms, second = time.Millisecond, time.Second
	random := rand.New(rand.NewPCG(1, 2))
	stop := func(from, until time.Duration, list []arrival) []arrival { // nothing comes in between, all of it then
		return late(list, func(i int) time.Duration {
			if at := list[i].at; at >= from && at < until {
				return until - at
			}
			return 0
		})
	}
	tests := []struct {
		name       string
		list       []arrival
		allowed    int           // bufferings
		gap        time.Duration // at most between two frames after the first second
		lag        time.Duration // at most of a frame
		least      time.Duration // lag, at least
		bufferings int
		bypassed   bool
	}{
		{"an even stream is late by the start size", every(0, 10*second), -1, 60 * ms, 350 * ms, 300 * ms, 0, false},
		{"jitter below the start size is smoothed", late(every(0, 20*second), func(int) time.Duration {
			return time.Duration(random.Int64N(int64(200 * ms)))
		}), -1, 60 * ms, 550 * ms, 300 * ms, 0, false},
		{"a stop shorter than the start size is not seen", stop(3*second, 3200*ms, every(0, 6*second)), -1, 60 * ms,
			350 * ms, 300 * ms, 0, false},
		{"a longer one empties the buffer, which then holds what came late", stop(3*second, 4*second, every(0, 6*second)), -1,
			760 * ms, 1050 * ms, 1000 * ms, 1, false},
		{"what is more than the buffer goes at once", stop(3*second, 8*second, every(0, 12*second)), -1, 4760 * ms, 5050 * ms,
			2 * second, 1, false},
		{"one buffering is allowed", stop(6*second, 8*second, stop(3*second, 4*second, every(0, 12*second))), 1, 1060 * ms,
			2 * second, 1 * second, 2, true},
		{"none is allowed", stop(3*second, 4*second, every(0, 6*second)), 0, 760 * ms, 1 * second, 1 * second, 1, true},
		{"a time that jumps ahead", append(every(0, 3*second), late(every(7*second, 10*second), func(int) time.Duration {
			return -4 * second
		})...), -1, 360 * ms, 350 * ms, 300 * ms, 0, false},
		{"an end before there is enough", every(0, 100*ms), -1, 0, 130 * ms, 80 * ms, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testBuffer()
			cfg.MaxBufferings = tt.allowed
			out := pace(t, cfg, tt.list, nil)
			if got := out.gap(time.Second, time.Hour); got > tt.gap {
				t.Errorf("%v between two frames, want at most %v", got, tt.gap)
			}
			if got := out.lag(); got > tt.lag || got < tt.least {
				t.Errorf("frames are late by %v, want %v to %v", got, tt.least, tt.lag)
			}
			if out.stats.Bufferings != tt.bufferings || out.stats.Bypassed != tt.bypassed || out.stats.Delay != 0 {
				t.Errorf("%+v, want %d bufferings, bypassed: %v, nothing held", out.stats, tt.bufferings, tt.bypassed)
			}
			if out.delay > cfg.MaxSize {
				t.Errorf("%v were held, want at most %v", out.delay, cfg.MaxSize)
			}
			last := tt.list[len(tt.list)-1].at
			if drained := out.at[len(out.at)-1] - last; drained > cfg.MaxSize+cfg.PollingTime {
				t.Errorf("the last frame came %v after the source's end, want at most %v", drained, cfg.MaxSize)
			}
		})
	}
}

// If the destination accepts nothing for a while, the buffer does not wait for more: late frames are sent, and the delay stays the same.
func TestBufferAndSlowPeer(t *testing.T) {
	stalled := false
	out := pace(t, testBuffer(), every(0, 10*time.Second), func(now time.Duration) {
		if now > 3*time.Second && !stalled {
			stalled = true
			time.Sleep(1500 * time.Millisecond)
		}
	})
	if out.stats.Bufferings != 0 {
		t.Errorf("%d bufferings, want none", out.stats.Bufferings)
	}
	for i, at := range out.at {
		if lag := at - out.time[i]; at > 5*time.Second && lag > 350*time.Millisecond {
			t.Fatalf("a frame after the stall is late by %v, want 300 ms as before", lag)
		}
	}
}

// A Read that ends with its context loses no frames; a restart does.
func TestBufferEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close(nil)
		reader := src.NewReader(stream.ReaderConfig{Audio: src.Audio})
		defer reader.Close()
		b := newFrameBuffer(testBuffer(), reader)
		write := func(at time.Duration) {
			src.Audio.Write(media.Frame{Track: realAudio, Time: media.Timestamp(at), Key: true, Data: []byte{1}})
		}
		dst := make([]media.Frame, 8)
		read := func() (int, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return b.Read(ctx, dst)
		}
		expectNothing := func(what string) {
			t.Helper()
			if n, err := read(); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: Read = %d, %v, want the deadline", what, n, err)
			}
		}
		expectNothing("empty")
		write(0)
		expectNothing("not enough")
		write(time.Second)
		if n, err := read(); n != 1 || err != nil || dst[0].Time != 0 {
			t.Errorf("Read = %d, %v, want the first frame", n, err)
		}
		b.Restart()
		if st := b.Stats(); st.Delay != 0 {
			t.Errorf("%v are held after a restart", st.Delay)
		}
		write(2 * time.Second)
		expectNothing("restarted")
		write(3 * time.Second)
		if n, err := read(); n != 1 || err != nil || dst[0].Time != media.Timestamp(2*time.Second) {
			t.Errorf("Read = %d, %v, want the first frame after the restart", n, err)
		}
		if n, err := read(); n != 1 || err != nil {
			t.Errorf("Read = %d, %v, want the frame after it", n, err)
		}
		expectNothing("run empty")
		write(4 * time.Second)
		expectNothing("filling anew")
		if st := b.Stats(); st.Bufferings != 1 {
			t.Errorf("%d bufferings, want 1, although another Read waited for it", st.Bufferings)
		}
	})
}

// A publisher that sends too much does not make the buffer exceed its bounds on memory.
func TestPacerBoundsMemory(t *testing.T) {
	p := pacer{cfg: testBuffer()}
	now := time.Now()
	out := make([]media.Frame, 64)
	for i := range 200 {
		batch := make([]media.Frame, 64)
		for j := range batch {
			batch[j] = media.Frame{Track: realAudio, Time: media.Timestamp(i), Data: make([]byte, (i%2)*10_000)}
		}
		p.push(batch, false, now)
		for {
			n, _ := p.take(out, now)
			if n == 0 {
				break
			}
		}
		if p.bytes > stream.DefaultMaxBytes || len(p.queue) > stream.MaxFrames {
			t.Fatalf("%d frames, %d bytes held", len(p.queue), p.bytes)
		}
	}
	if p.phase != flowing || len(p.queue) == 0 {
		t.Errorf("%d frames held, phase %d; the bounds were not reached", len(p.queue), p.phase)
	}
}

func TestBufferConfig(t *testing.T) {
	tests := []struct {
		name   string
		change func(*BufferConfig)
		ok     bool
	}{
		{"defaults", func(*BufferConfig) {}, true},
		{"start is all", func(c *BufferConfig) { c.StartSize = c.MaxSize }, true},
		{"no start size", func(c *BufferConfig) { c.StartSize = 0 }, false},
		{"less than the start size", func(c *BufferConfig) { c.MaxSize = c.StartSize - 1 }, false},
		{"no polling time", func(c *BufferConfig) { c.PollingTime = 0 }, false},
		{"off: nothing counts", func(c *BufferConfig) { *c = BufferConfig{} }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testBuffer()
			tt.change(&cfg)
			if err := cfg.Validate(); (err == nil) != tt.ok {
				t.Errorf("Validate = %v, want ok: %v", err, tt.ok)
			}
		})
	}
}
