package sound

import (
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

const (
	sampleRate = libav.SampleRate
	channels   = libav.Channels

	// fade is how many samples a joint takes, 5 ms: long enough not to click, short enough not to be heard.
	fade = sampleRate / 200

	// inaudible is the level up to which sound is taken for silence, which costs no encoding: a little more than the least step of
	// 16 bits. A muted microphone's packets are decoded as that, or less, hardly ever as zeros.
	inaudible = 1.25 / 32768
)

// tape lays samples end to end from a start on the stream's clock and cuts them into frames. The number of samples so far
// is the only measure of time it has.
type tape struct {
	start media.Timestamp
	n     int64 // samples written
	put   func(frame []float32, silent bool) error

	buf   []float32 // the last fade samples of the frame before, then the frame being filled
	size  int       // samples in a frame
	fill  int       // samples of it that are there
	quiet int64     // samples of silence at the end of the tape, which are 0
}

func newTape(start media.Timestamp, frameSize int, put func(frame []float32, silent bool) error) *tape {
	return &tape{
		start: start,
		put:   put,
		buf:   make([]float32, channels*(fade+frameSize)),
		size:  frameSize,
		quiet: fade + int64(frameSize),
	}
}

// end returns the time at which the next sample will be heard.
func (t *tape) end() media.Timestamp { return t.start.Add(media.Samples(t.n, sampleRate)) }

// until returns how many samples are missing between the tape's end and a time; it is negative for a time that is past.
func (t *tape) until(at media.Timestamp) int64 { return toSamples(at.Sub(t.end())) }

// toSamples is the inverse of media.Samples, rounded to the nearest.
func toSamples(d time.Duration) int64 {
	whole, rest := d/time.Second, d%time.Second
	return int64(whole)*sampleRate + int64((rest*sampleRate+time.Second/2*sign(rest))/time.Second)
}

func sign(d time.Duration) time.Duration {
	if d < 0 {
		return -1
	}
	return 1
}

// silent says whether the tape ends in silence, so that a joint would have nothing to lead out of.
func (t *tape) silent() bool { return t.quiet >= fade }

// write appends samples.
func (t *tape) write(pcm []float32) error {
	n := len(pcm) / channels
	if !audible(pcm) {
		return t.zeros(int64(n))
	}
	t.quiet = 0
	return t.append(pcm, n)
}

func audible(pcm []float32) bool {
	for _, x := range pcm {
		if x > inaudible || x < -inaudible {
			return true
		}
	}
	return false
}

// splice appends samples that do not continue the tape's end: that end runs on backwards, as no step in level is heard at
// a turning point, and fades out while the new sound fades in. It changes pcm.
func (t *tape) splice(pcm []float32) error {
	t.lead(pcm)
	return t.write(pcm)
}

// silence appends n samples of silence, led into without a click.
func (t *tape) silence(n int64) error {
	if n > 0 && !t.silent() {
		var out [channels * fade]float32
		pcm := out[:channels*min(n, fade)]
		t.lead(pcm)
		if err := t.write(pcm); err != nil {
			return err
		}
		n -= int64(len(pcm) / channels)
	}
	return t.zeros(n)
}

// zeros appends n samples of 0, a frame at a time at most, so that each frame tells whether it is silent.
func (t *tape) zeros(n int64) error {
	for n > 0 {
		k := int(min(n, int64(t.size-t.fill)))
		t.quiet += int64(k)
		if err := t.append(nil, k); err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

// lead mixes the mirrored end of the tape into the beginning of pcm.
func (t *tape) lead(pcm []float32) {
	n := min(len(pcm)/channels, fade)
	last := channels * (fade + t.fill - 1)
	for i := range n {
		in := (float32(i) + 0.5) / float32(n)
		for c := range channels {
			old := t.buf[last-channels*i+c]
			pcm[channels*i+c] = pcm[channels*i+c]*in + old*(1-in)
		}
	}
}

// append copies n samples, zeros if pcm is nil, and hands over each frame that gets full.
func (t *tape) append(pcm []float32, n int) error {
	for n > 0 {
		k := min(n, t.size-t.fill)
		at := t.buf[channels*(fade+t.fill):][:channels*k]
		if pcm == nil {
			clear(at)
		} else {
			copy(at, pcm)
			pcm = pcm[channels*k:]
		}
		t.fill += k
		t.n += int64(k)
		n -= k
		if t.fill < t.size {
			continue
		}
		if err := t.put(t.buf[channels*fade:], t.quiet >= int64(t.size)); err != nil {
			return err
		}
		copy(t.buf, t.buf[channels*t.size:])
		t.fill = 0
	}
	return nil
}
