package sound

import (
	"fmt"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
)

// lengthDecoder decodes every packet to 20 ms of a sound that begins at once, so that looking whether it is silence is short.
type lengthDecoder struct{}

func (lengthDecoder) Decode(pcm []float32, _ []byte) (int, error) {
	clear(pcm[:channels*960])
	pcm[0] = 1
	return 960, nil
}
func (lengthDecoder) Delay() int { return 0 }
func (lengthDecoder) Close()     {}

// A show of twelve hours whose microphone's clock is 100 ppm off: what was captured together leaves on the RTMP side within the
// 40 ms that nobody hears, from the first minute to the last, and time only grows.
func TestTwelveHourShow(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector: make unit runs it without")
	}
	for _, ppm := range []float64{100, -100} {
		t.Run(fmt.Sprintf("%+.0f ppm", ppm), func(t *testing.T) {
			t.Parallel()
			show(t, ppm)
		})
	}
}

// show is one whose microphone's clock is so much faster than ours.
func show(t *testing.T, ppm float64) {
	mux := &flv.Muxer{}
	var wire [2]int64 // the last time on the wire of sound and pictures, in ms
	send := func(f media.Frame) int64 {
		tags, err := mux.Append(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		ms := int64(tags[len(tags)-1].Time)
		i := 0
		if f.Kind() == media.Video {
			i = 1
		}
		if f.Time > 0 && ms <= wire[i] {
			t.Fatalf("%v after %d ms there is %d ms", f.Kind(), wire[i], ms)
		}
		wire[i] = ms
		return ms
	}
	picture := &media.Track{Codec: media.H264, Config: []byte{1}}
	aac := &media.Track{Codec: media.AAC, Config: []byte{0x11, 0x90}}

	// A frame of the tape is sent at the time of its first sample.
	frames := int64(0)
	a := newAligner(newTape(0, 1024, func([]float32, bool) error {
		send(media.Frame{Track: aac, Time: media.Timestamp(media.Samples(1024*frames, sampleRate)), Key: true, Data: []byte{0}})
		frames++
		return nil
	}), func(*media.Track) (decoder, error) { return lengthDecoder{}, nil })

	send(media.Frame{Track: picture, Key: true, Data: []byte{0}})
	var worst time.Duration
	for captured := time.Duration(0); captured < 12*time.Hour; captured += 20 * time.Millisecond {
		// The door has laid the packet on the stream's clock, as its sender's reports say.
		at := media.Timestamp(captured) - media.Timestamp(float64(captured)*ppm/1e6)
		if err := a.packet(media.Frame{Track: fakeTrack, Time: at, Data: []byte{1}}, at); err != nil {
			t.Fatal(err)
		}
		if captured%(40*time.Millisecond) != 0 || captured == 0 {
			continue
		}
		shown := send(media.Frame{Track: picture, Time: at, Data: []byte{0}})
		heard := a.tape.end().Add(-20 * time.Millisecond) // where the packet's sound was put
		worst = max(worst, heard.Sub(media.Timestamp(shown)*media.Timestamp(time.Millisecond)).Abs())
	}
	t.Logf("sound and picture are up to %v apart; %d samples added, %d taken away", worst, a.stats.Inserted, a.stats.Removed)
	if worst > 40*time.Millisecond {
		t.Errorf("sound and picture are up to %v apart, want at most 40 ms", worst)
	}
	if hours := time.Duration(wire[1]) * time.Millisecond; hours < 11*time.Hour+59*time.Minute {
		t.Errorf("the show ends after %v", hours)
	}
}
