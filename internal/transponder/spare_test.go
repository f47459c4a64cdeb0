package transponder

import (
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
)

const ms = media.Timestamp(time.Millisecond)

// group makes pictures every 40 ms from a time on, the first of them a key frame, and sound every 20 ms. With bFrames each third picture is
// shown after the two that follow it.
func group(from media.Timestamp, pictures int, bFrames bool) []media.Frame {
	video, audio := &media.Track{Codec: media.H264}, &media.Track{Codec: media.AAC, SampleRate: 48000}
	var all []media.Frame
	for i := range pictures {
		at := from + media.Timestamp(i)*40*ms
		f := media.Frame{Track: video, Time: at, Key: i == 0}
		switch {
		case !bFrames:
		case i == 0:
			f.Delay = 40 * time.Millisecond
		case i%3 == 1:
			f.Delay = 120 * time.Millisecond
		}
		all = append(all, f, media.Frame{Track: audio, Time: at, Key: true}, media.Frame{Track: audio, Time: at + 20*ms, Key: true})
	}
	return all
}

func TestSplice(t *testing.T) {
	two := slices.Concat(group(0, 50, false), group(2000*ms, 25, false)) // groups of 2 s and 1 s
	for _, tt := range []struct {
		name         string
		frames       []media.Frame
		after, sound media.Timestamp
		first, moved int             // the first picture in frames, and how many get another time
		until        media.Timestamp // when the moved pictures end
	}{
		{"the first key frame follows", two, 0, 0, 0, 0, 0},
		{"a key frame follows soon", two, 1900 * ms, 1900 * ms, 50, 0, 0},
		{"the next key frame is far, so the one before follows", two, 1000 * ms, 1000 * ms, 0, 26, 1040 * ms},
		{"the last key frame is long ago", two, 2900 * ms, 2900 * ms, 50, 24, 2960 * ms},
		{"all pictures are old", two, 5000 * ms, 5000 * ms, 50, 25, 5025 * ms},
		{"B-frames", group(0, 50, true), 1000 * ms, 1000 * ms, 0, 26, 1040 * ms},
	} {
		s := &spare{frames: slices.Clone(tt.frames)}
		got := s.splice(func(media.Frame) media.Timestamp { return tt.after }, tt.sound)
		var sent []media.Frame
		for _, f := range got {
			if f.Kind() == media.Audio && f.Time < tt.sound {
				t.Errorf("%s: sound of %v", tt.name, f.Time)
			}
			if f.Kind() == media.Video {
				sent = append(sent, f)
			}
		}
		all := pictures(tt.frames)[tt.first:]
		if len(sent) != len(all) || !sent[0].Key {
			t.Errorf("%s: %d pictures, want %d from a key frame on", tt.name, len(sent), len(all))
			continue
		}
		shown := map[media.Timestamp]bool{}
		for i, f := range sent {
			if i > 0 && f.Time.Sub(sent[i-1].Time) < hurried || f.Time < tt.after && tt.moved > 0 || f.Delay < 0 {
				t.Errorf("%s: picture %d at %v", tt.name, i, time.Duration(f.Time))
			}
			if moved := f.Time != all[i].Time; moved != (i < tt.moved) || moved && f.Time >= tt.until {
				t.Errorf("%s: picture %d of %v gets %v", tt.name, i, time.Duration(all[i].Time), time.Duration(f.Time))
			}
			at := f.Time.Add(f.Delay)
			if shown[at] {
				t.Errorf("%s: two pictures are shown at %v", tt.name, time.Duration(at))
			}
			shown[at] = true
			for j := range i { // those that are shown in another order stay so
				was, is := all[j].Time.Add(all[j].Delay).Sub(all[i].Time.Add(all[i].Delay)), sent[j].Time.Add(sent[j].Delay).Sub(at)
				if was > 0 != (is > 0) {
					t.Errorf("%s: pictures %d and %d change their order", tt.name, j, i)
				}
			}
		}
	}
}

// A spare keeps what it needs to cover a stall, from a key frame on, and no more.
func TestSpareTrims(t *testing.T) {
	s := &spare{keep: 1500 * time.Millisecond}
	for i := range 10 {
		s.frames = append(s.frames, group(media.Timestamp(i)*1000*ms, 25, false)...)
	}
	s.trim(9900 * ms)
	if first := s.frames[0]; !first.Key || first.Time != 8000*ms {
		t.Errorf("keeps from %v on, want the key frame at 8 s", time.Duration(first.Time))
	}
	sounds := slices.DeleteFunc(slices.Clone(s.frames), func(f media.Frame) bool { return f.Kind() == media.Video })
	s.frames = sounds
	s.trim(9900 * ms)
	if first := s.frames[0]; first.Time < 8400*ms || first.Time > 8440*ms {
		t.Errorf("sound alone is kept from %v on, want the last 1.5 s", time.Duration(first.Time))
	}
}
