package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
)

// A kind that stops counts as missing within 5 s; one that is slow by nature never does.
func TestMissing(t *testing.T) {
	const ms = time.Millisecond
	camera := func(from, to time.Duration) (at []time.Duration) {
		for ; from < to; from += 40 * ms {
			at = append(at, from)
		}
		return at
	}
	every := func(pause time.Duration, n int) (at []time.Duration) {
		for i := range n {
			at = append(at, time.Duration(i)*pause)
		}
		return at
	}
	screen := func() (at []time.Duration) { // two minutes of typing now and then, then it goes on like that
		for i := range 30 {
			at = append(at, camera(time.Duration(i)*30*time.Second, time.Duration(i)*30*time.Second+2*time.Second)...)
		}
		return at
	}
	tests := []struct {
		name   string
		frames []time.Duration
		most   int           // times that it goes missing before the last frame
		end    time.Duration // from the last frame on until it is missing
	}{
		{"a camera stops", camera(0, 10*time.Second), 0, 4 * time.Second},
		{"a camera stops twice", append(camera(0, 10*time.Second), camera(40*time.Second, 50*time.Second)...), 1, 4 * time.Second},
		{"a picture every 3 s", every(3*time.Second, 60), 0, 6 * time.Second},
		{"a picture every 10 s", every(10*time.Second, 60), 0, 20 * time.Second},
		{"a picture a second", every(time.Second, 60), 0, 4 * time.Second},
		{"a screen that is sent when it changes", screen(), 3, 56 * time.Second},
		{"a few pictures", every(40*ms, 5), 0, 15 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
				defer s.Close(nil)
				s.SetLive()
				begin, missing, times := time.Now(), false, 0
				look := func(until time.Time) {
					for time.Now().Before(until) {
						<-time.After(min(time.Until(until), 500*ms))
						now := s.Stats().Video.Missing
						if now && !missing {
							times++
						}
						missing = now
					}
				}
				for _, at := range tt.frames {
					look(begin.Add(at))
					s.Video.Write(media.Frame{Track: videoTrack, Time: media.Timestamp(at), Key: true})
				}
				if times > tt.most {
					t.Errorf("it was missing %d times, want at most %d", times, tt.most)
				}
				last := time.Now()
				look(last.Add(tt.end - 600*ms))
				if missing {
					t.Errorf("missing %v after the last frame, want %v", time.Since(last), tt.end)
				}
				look(last.Add(tt.end + 600*ms))
				if !missing {
					t.Errorf("not missing %v after the last frame, want %v", time.Since(last), tt.end)
				}
			})
		})
	}
}

// A kind of media that never came is missing if the publisher has said that it would send that kind.
func TestMissingFromTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
		defer s.Close(nil)
		s.Video.Expect()
		<-time.After(time.Minute)
		if s.Stats().Video.Missing {
			t.Error("pictures are missing before the publisher is connected")
		}
		s.SetLive()
		<-time.After(3 * time.Second)
		if s.Stats().Video.Missing {
			t.Error("pictures are missing after 3 s")
		}
		<-time.After(2 * time.Second)
		if st := s.Stats(); !st.Video.Missing || st.Audio.Missing {
			t.Errorf("missing: pictures %v, sound %v; want only the pictures, which were announced", st.Video.Missing, st.Audio.Missing)
		}
		s.Audio.Announce(audioTrack)
		if s.Audio.Track() != nil || s.Audio.Announced() != audioTrack || !s.Stats().Audio.Missing {
			t.Error("sound that was announced does not count")
		}
	})
}

// A publisher that takes back what it announced does not miss it; what comes all the same counts.
func TestTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a", HasVideo: true, HasAudio: true})
		defer s.Close(nil)
		s.Video.Announce(&media.Track{Codec: media.H264})
		s.Audio.Expect()
		s.SetLive()
		s.NoVideo()
		if s.HasVideo() || !s.HasAudio() || s.Video.Announced() != nil {
			t.Errorf("pictures %v, announced %v; sound %v", s.HasVideo(), s.Video.Announced(), s.HasAudio())
		}
		<-time.After(time.Minute)
		if st := s.Stats(); st.Video.Missing || !st.Audio.Missing {
			t.Errorf("missing: pictures %v, sound %v; want only the sound", st.Video.Missing, st.Audio.Missing)
		}
		s.NoAudio()
		if s.HasAudio() || s.Stats().Audio.Missing {
			t.Error("the sound is still expected")
		}
		s.Video.Write(media.Frame{Track: &media.Track{Codec: media.H264}, Key: true, Data: []byte{1}})
		if s.Stats().Video.Frames != 1 {
			t.Error("a picture that came all the same is not counted")
		}
		<-time.After(time.Minute)
		if !s.Stats().Video.Missing {
			t.Error("pictures that came all the same are not missed")
		}
		s.NoVideo()
		if s.Stats().Video.Missing {
			t.Error("pictures are missed that were taken back")
		}
	})
}
