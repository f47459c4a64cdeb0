package transponder

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// standingIn is the change of a holder that shows a still, and counts how often it was asked for.
func standingIn(still media.Frame, sizes *[][2]int) func(*holderConfig) {
	return func(cfg *holderConfig) {
		cfg.standIn = func(width, height int) (media.Frame, error) {
			*sizes = append(*sizes, [2]int{width, height})
			return still, nil
		}
	}
}

// shows returns how many pictures of a track came from a frame on, and the number of the first.
func (s *show) shows(track *media.Track, from int) (n, first int) {
	first = -1
	for i, f := range s.got() {
		if i < from || f.Track != track {
			continue
		}
		if n++; first < 0 {
			first = i
		}
	}
	return n, first
}

// A stream without pictures gets a still beside its sound. The still leaves when pictures come, and comes back after they have left.
func TestStandIn(t *testing.T) {
	still := grey(t, 120)
	var s *show
	synctest.Test(t, func(t *testing.T) {
		s = newStage(t)
		var sizes [][2]int
		p := s.publish(40)
		p.only = media.Audio
		p.NoVideo()
		s.watch(p, standingIn(still, &sizes))
		p.write(5 * time.Second)
		if n, first := s.shows(still.Track, 0); n < 48 || n > 51 || first > 2 || !s.got()[first].Key {
			t.Errorf("%d stills in 5 s, the first is frame %d", n, first)
		}

		p.only = media.KindNone // the phone switches its camera on
		p.write(4 * time.Second)
		before := len(s.got())
		n, first := s.shows(p.video.Track, 0)
		if late, _ := s.shows(still.Track, first); n < 99 || late > 0 || !s.got()[first].Key {
			t.Errorf("%d pictures in 4 s from a key frame, and %d stills after the first", n, late)
		}

		p.only = media.Audio // and off, which is said in a new SDP
		p.NoVideo()
		p.write(5 * time.Second)
		if n, _ := s.shows(still.Track, before); n < 25 || n > 31 {
			t.Errorf("%d stills in the 5 s after the pictures", n)
		}
		if want := [][2]int{{0, 0}, {still.Track.Width, still.Track.Height}}; !slices.Equal(sizes, want) {
			t.Errorf("stills of %v, want %v", sizes, want)
		}
		if len(s.changes) > 0 {
			t.Errorf("a hold took place: %q", s.changes)
		}
		p.Close(nil)
	})
	s.checkSteady(still.Track)
	if sums := slices.Compact(s.decode()); len(sums) != 3 {
		t.Errorf("%d different pictures in a row, want still, picture, still", len(sums))
	}
}

// newStage makes a show that reads nobody yet.
func newStage(t *testing.T) *show {
	return &show{t: t, hub: stream.NewHub(stream.DefaultConfig(), nil), joined: make(chan struct{})}
}

// checkSteady checks what YouTube demands of a still: a steady rate, and key frames at most 4 s apart; and that the sound has no gaps.
func (s *show) checkSteady(still *media.Track) {
	s.t.Helper()
	var last, key media.Frame
	var sound media.Timestamp
	for i, f := range s.got() {
		switch {
		case f.Kind() == media.Audio:
			if gap := f.Time.Sub(sound); sound > 0 && (gap <= 0 || gap > 25*time.Millisecond) {
				s.t.Errorf("frame %d: sound at %v after %v", i, f.Time, sound)
			}
			sound = f.Time
			continue
		case last.Track == nil:
		case f.Time <= last.Time:
			s.t.Errorf("frame %d: a picture at %v after one at %v", i, f.Time, last.Time)
		case f.Track == still && last.Track == still && (f.Time.Sub(last.Time)-bridgePause).Abs() > 20*time.Millisecond:
			s.t.Errorf("frame %d: a still %v after the one before", i, f.Time.Sub(last.Time))
		case f.Track != last.Track && !f.Key:
			s.t.Errorf("frame %d: the picture changes without a key frame", i)
		}
		if key.Track != nil && f.Key && f.Time.Sub(key.Time) > 4*time.Second {
			s.t.Errorf("frame %d: a key frame %v after the one before", i, f.Time.Sub(key.Time))
		}
		if f.Key {
			key = f
		}
		if last = f; sound > 0 && f.Time.Sub(sound).Abs() > 130*time.Millisecond {
			s.t.Errorf("frame %d: a picture %v from the sound", i, f.Time.Sub(sound))
		}
	}
}

// Pictures that come back in the middle of a group are not sent before their key frame, which is asked for.
func TestStandInEndsWithKeyFrame(t *testing.T) {
	still := grey(t, 120)
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		var sizes [][2]int
		p := s.publish(40)
		s.watch(p, standingIn(still, &sizes))
		p.write(2200 * time.Millisecond) // the next key frame is the 76th picture
		p.only = media.Audio
		p.write(10 * time.Second)
		before, asked := len(s.got()), p.Stats().KeyRequests
		if n, _ := s.shows(still.Track, 0); n == 0 {
			t.Fatal("no still is shown for pictures that are missing")
		}
		p.only = media.KindNone
		p.write(2 * time.Second)
		if _, first := s.shows(p.video.Track, before); first < 0 || !s.got()[first].Key {
			t.Errorf("after the still, frame %d is the first picture of the stream", first)
		}
		if p.Stats().KeyRequests == asked {
			t.Error("no key frame was asked for")
		}
		p.Close(nil)
	})
}

// Pictures that were announced are waited for, a moment longer than they usually take, and no longer.
func TestStandInForAnnouncedPictures(t *testing.T) {
	still := grey(t, 120)
	for _, late := range []time.Duration{time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			var sizes [][2]int
			p := s.publish(40)
			s.watch(p, standingIn(still, &sizes))
			p.only = media.Audio
			p.write(min(late, 4*time.Second))
			p.only = media.KindNone
			p.write(time.Second)
			n, first := s.shows(still.Track, 0)
			if (n > 0) != (late > standInAfter) {
				t.Errorf("pictures after %v: %d stills", late, n)
			}
			if n > 0 && s.got()[first].Time < media.Timestamp(standInAfter) {
				t.Errorf("a still at %v", time.Duration(s.got()[first].Time))
			}
			p.Close(nil)
		})
	}
}

// A publisher without pictures who ends a hold gets a still in the place of the last picture of the publisher before.
func TestStandInAfterHold(t *testing.T) {
	still := grey(t, 120)
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		var sizes [][2]int
		p := s.publish(40)
		s.watch(p, func(cfg *holderConfig) {
			standingIn(still, &sizes)(cfg)
			cfg.grace = time.Minute
		})
		p.write(2 * time.Second)
		p.Close(nil)
		s.wait(3 * time.Second)
		if n, _ := s.shows(still.Track, 0); n > 0 {
			t.Errorf("%d stills during the hold, which repeats the last picture", n)
		}
		p = s.publish(200)
		p.NoVideo()
		p.only = media.Audio
		p.write(3 * time.Second)
		if n, _ := s.shows(still.Track, 0); n < 25 {
			t.Errorf("%d stills in 3 s of a publisher without pictures", n)
		}
		if want := []string{"held", "back with RTMP"}; !slices.Equal(s.changes, want) {
			t.Errorf("changes %q, want %q", s.changes, want)
		}
		p.Close(nil)
	})
}

// A still that cannot be made costs the picture, and not the push.
func TestStandInFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		p := s.publish(40)
		p.only = media.Audio
		p.NoVideo()
		tries := 0
		s.watch(p, func(cfg *holderConfig) {
			cfg.standIn = func(int, int) (media.Frame, error) {
				tries++
				return media.Frame{}, errors.New("no such file")
			}
		})
		p.write(2 * time.Second)
		if sounds := len(s.got()); sounds < 90 || tries != 1 {
			t.Errorf("%d sounds, %d tries", sounds, tries)
		}
		p.Close(nil)
	})
}

// cards notes what it makes.
type cards struct {
	slates
	made *[]string
}

func (c cards) Check(name string) error {
	if name == "missing.png" {
		return picture.ErrStill
	}
	return nil
}

func (c cards) Card(text string, width, height int) (media.Frame, error) {
	*c.made = append(*c.made, fmt.Sprintf("card %q %dx%d", text, width, height))
	return c.frame, nil
}

func (c cards) Frame(name string, width, height int) (media.Frame, error) {
	*c.made = append(*c.made, fmt.Sprintf("file %q %dx%d", name, width, height))
	return c.frame, nil
}

// The server gets the header and a key frame of the still with the first sound, then pictures at a steady rate.
func TestPushOfSoundWithPicture(t *testing.T) {
	still := grey(t, 120)
	for _, tt := range []struct {
		name    string
		title   string
		request Request
		want    string
	}{
		{"a card", "", Request{Options: Options{Picture: "card"}}, `card "s" 1280x720`},
		{"a card with a title", "Grace Hopper", Request{Options: Options{Picture: "card"}}, `card "Grace Hopper" 1280x720`},
		{"a file", "Grace Hopper", Request{Options: Options{Picture: "a.png"}}, `file "a.png" 1280x720`},
		{"a card of a given size", "", Request{Height: 360, Options: Options{Picture: "card"}}, `card "s" 640x360`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &farEnd{}
				hub := stream.NewHub(stream.DefaultConfig(), nil)
				src, err := hub.Publish(stream.Info{Name: "s", ID: "s", Title: tt.title, HasAudio: true})
				if err != nil {
					t.Fatal(err)
				}
				var made []string
				_, _, stop := pushSource(t, e, hub, src, func(p *Parts) {
					p.Stills, p.Video = cards{slates{still}, &made}, &fakeVideo{track: still.Track}
				}, nil, tt.request)
				defer stop()
				for range 5 * 50 {
					src.Audio.Write(media.Frame{Track: realAudio, Time: src.Now(), Key: true, Data: []byte{1}})
					time.Sleep(20 * time.Millisecond)
				}
				synctest.Wait()
				if !slices.Equal(made, []string{tt.want}) {
					t.Errorf("made %q, want %q", made, tt.want)
				}
				checkStillMessages(t, e.got())
			})
		})
	}
}

// checkStillMessages checks five seconds of a still and sound.
func checkStillMessages(t *testing.T, messages []rtmp.Message) {
	t.Helper()
	var video, keys, sounds, first int
	for i, m := range messages {
		switch {
		case m.Type == flv.TypeAudio && m.Payload[1] == 1:
			sounds++
		case m.Type == flv.TypeVideo && m.Payload[1] == 1:
			if video == 0 {
				first = i
				if m.Payload[0] != 0x17 || m.Time != 0 {
					t.Errorf("the first picture is %x at %d ms", m.Payload, m.Time)
				}
			}
			video++
			if m.Payload[0] == 0x17 {
				keys++
			}
		}
	}
	if video < 48 || video > 51 || keys != 3 || sounds < 235 || first > 6 {
		t.Errorf("%d pictures, %d key frames, %d sounds; the first picture is message %d", video, keys, sounds, first)
	}
}

// A picture that cannot be shown is refused before anything is sent.
func TestPictureIsChecked(t *testing.T) {
	b := newBench(t, nil)
	var made []string
	b.parts.Stills = cards{made: &made}
	b.source("s")
	_, err := b.Start(t.Context(), Request{StreamName: "s", URL: "rtmp://127.0.0.1/live", Options: Options{Picture: "missing.png"}})
	if bad := (*RequestError)(nil); !errors.As(err, &bad) || bad.Field != "options.picture" {
		t.Errorf("got %v", err)
	}
}
