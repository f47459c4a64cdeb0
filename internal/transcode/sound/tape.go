package sound

import (
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

const (
	sampleRate = libav.SampleRate
	channels   = libav.Channels

	// fade is the length of a cross-fade in samples, 5 ms: long enough not to click, short enough not to be heard.
	fade = sampleRate / 200

	// inaudible is the amplitude up to which sound counts as silence, which needs no encoding: a little more than the
	// smallest step of 16 bits. The decoded packets of a muted microphone are at or below it, and hardly ever zero.
	inaudible = 1.25 / 32768
)

// tape joins samples end to end and cuts them into frames. Time on the tape is its start, on the stream's clock, plus the
// number of samples written.
type tape struct {
	start media.Timestamp
	n     int64 // samples written
	put   func(frame []float32, silent bool) error

	buf   []float32 // the last fade samples of the previous frame, then the frame that is being filled
	size  int       // samples in a frame
	fill  int       // samples in that frame so far
	quiet int64     // samples of silence, all 0, at the end of the tape
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

// end returns the time of the next sample.
func (t *tape) end() media.Timestamp { return t.start.Add(media.Samples(t.n, sampleRate)) }

// until returns how many samples are missing from the end of the tape to a time. It is negative if the tape is past that
// time.
func (t *tape) until(at media.Timestamp) int64 { return toSamples(at.Sub(t.end())) }

// toSamples is the inverse of media.Samples, rounded to the nearest sample.
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

// silent reports whether the tape ends in silence. Then a joint needs no fade out.
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

// splice appends samples that do not continue the sound at the end of the tape. The end is played backwards, because a
// turning point is not heard as a step, and fades out while pcm fades in. splice changes pcm.
func (t *tape) splice(pcm []float32) error {
	t.lead(pcm)
	return t.write(pcm)
}

// silence appends n samples of silence, after a fade out.
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

// zeros appends n samples of 0. It goes frame by frame, so that put learns of each frame whether it is silent.
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

// append copies n samples, or zeros if pcm is nil, and hands each full frame to put.
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
