//go:build cgo

package sound

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/sound/soundtest"
)

// silenceForms are frames of a tone, three seconds in every form that silence is known for.
func silenceForms(t *testing.T) map[string][]media.Frame {
	forms := map[string][]media.Frame{}
	for _, f := range soundtest.Forms {
		forms[f.Name] = encodeFrames(t, f.Format, soundtest.ToneOf(f.Format, liveHz, 3*time.Second))
	}
	voip := []string{"-application", "voip", "-af", "pan=mono|c0=c0", "-b:a", "16k"}
	for d, args := range map[float64][]string{2.5: nil, 10: nil, 20: nil, 60: nil, 120: nil, 40: voip, 60.0001: voip} {
		length := ms(math.Floor(2*d) / 2)
		args = append(slices.Clone(args), "-frame_duration", fmt.Sprint(length.Seconds()*1000))
		var frames []media.Frame
		for i, p := range soundtest.Opus(t, soundtest.Tone(liveHz, soundtest.ToneLevel, 3*time.Second), args...) {
			at := media.Timestamp(time.Duration(i) * length)
			frames = append(frames, media.Frame{Track: &media.Track{Codec: media.Opus}, Time: at, Key: true, Data: p})
		}
		forms[fmt.Sprintf("Opus %v", args)] = frames
	}
	return forms
}

// A second that is silenced is silent and as long as it was; what surrounds it is heard.
func TestSilence(t *testing.T) {
	for name, frames := range silenceForms(t) {
		t.Run(name, func(t *testing.T) {
			from, to := media.Timestamp(ms(1000)), media.Timestamp(ms(2000))
			var out []media.Frame
			for _, f := range frames {
				g := f
				if f.Time >= from && f.Time < to {
					var ok bool
					if g, ok = Silence(f); !ok || g.Track != f.Track || g.Time != f.Time {
						t.Fatalf("silence of %x: %v", f.Data, ok)
					}
				}
				out = append(out, g)
			}
			pcm := decodeFrames(t, out)
			if got, want := len(pcm), len(decodeFrames(t, frames)); got != want {
				t.Errorf("%d samples, want %d", got, want)
			}
			for _, part := range []struct{ from, to, low, high float64 }{
				{200, 900, 0.45, 0.55}, {1200, 1950, 0, 0.002}, {2300, 2800, 0.4, 0.6},
			} {
				window := soundtest.Between(out, pcm, media.Timestamp(ms(part.from)), media.Timestamp(ms(part.to)))
				got := soundtest.Level(window, 0, liveHz)
				if part.high < 0.01 {
					got = float64(peak(window))
				}
				if got < part.low || got > part.high {
					t.Errorf("level from %v ms on is %.4f, want %v to %v", part.from, got, part.low, part.high)
				}
			}
		})
	}
}

func peak(pcm []float32) (p float32) {
	for _, x := range pcm {
		p = max(p, x, -x)
	}
	return p
}

// Several frames of Speex in a packet become as many of silence.
func TestSilenceOfJoinedSpeex(t *testing.T) {
	frames := encodeFrames(t, soundtest.Forms[5].Format, soundtest.ToneOf(soundtest.Forms[5].Format, liveHz, time.Second))
	var joined []media.Frame
	for i := 0; i+3 <= len(frames); i += 3 {
		f := frames[i]
		f.Data = JoinSpeex(frames[i].Data, frames[i+1].Data, frames[i+2].Data)
		if n, _ := SpeexFrames(f.Data); n != 3 {
			t.Fatalf("three frames joined are %d", n)
		}
		joined = append(joined, f)
	}
	if got := soundtest.Level(decodeFrames(t, joined)[channels*9600:][:channels*28800], 0, liveHz); math.Abs(got-soundtest.ToneLevel) > 0.06 {
		t.Errorf("level of joined packets is %.3f", got)
	}
	silent, ok := Silence(joined[3])
	if n, _ := SpeexFrames(silent.Data); !ok || n != 3 {
		t.Errorf("silence of three frames has %d, %v", n, ok)
	}
}

func TestNoSilence(t *testing.T) {
	for name, f := range map[string]media.Frame{
		"MP3":             {Track: &media.Track{Codec: media.MP3}, Data: []byte{1}},
		"AAC without":     {Track: &media.Track{Codec: media.AAC}, Data: []byte{1}},
		"empty Opus":      {Track: &media.Track{Codec: media.Opus}},
		"no frame count":  {Track: &media.Track{Codec: media.Opus}, Data: []byte{0xff}},
		"endless Opus":    {Track: &media.Track{Codec: media.Opus}, Data: []byte{0xff, 0x3f}},
		"long G.711":      {Track: &media.Track{Codec: media.PCMA}, Data: make([]byte, maxSamples+1)},
		"bad Speex":       {Track: &media.Track{Codec: media.Speex}, Data: []byte{0x78}},
		"long Speex":      {Track: &media.Track{Codec: media.Speex}, Data: make([]byte, 1000)},
		"shortened Speex": {Track: &media.Track{Codec: media.Speex}, Data: SilentSpeex(media.Speex)[:20]},
	} {
		if g, ok := Silence(f); ok || len(g.Data) != len(f.Data) {
			t.Errorf("%s: %x, want no silence", name, g.Data)
		}
	}
}
