package transponder

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// spareShow is a push of the stream "s" with the backup stream "b", in a bubble.
type spareShow struct {
	*show
	switches []string
}

// newSpareShow reads a publisher of "s". The publisher of "b" sends, too.
func newSpareShow(t *testing.T, manual bool, change func(*holderConfig)) (s *spareShow, main, backup *publisher) {
	s = &spareShow{show: &show{t: t, hub: stream.NewHub(stream.DefaultConfig(), nil), joined: make(chan struct{})}}
	main, backup = s.as("s", 40), s.as("b", 200)
	s.begin(main, manual, change)
	return s, main, backup
}

// begin reads a publisher until the test ends.
func (s *spareShow) begin(main *publisher, manual bool, change func(*holderConfig)) {
	s.prepare = func(h *holder) { h.useSpares(newSpares([]string{"s", "b"}, time.Second, manual)) }
	s.watch(main, func(cfg *holderConfig) {
		cfg.switched = func(src *stream.Source, why SwitchCause) {
			s.switches = append(s.switches, src.Info().Name+" "+string(why))
		}
		if change != nil {
			change(cfg)
		}
	})
}

// as publishes under a name.
func (s *spareShow) as(name string, level uint8) *publisher {
	s.t.Helper()
	src, err := s.hub.Publish(stream.Info{Name: name, ID: name, HasVideo: true, HasAudio: true, AskKeyFrame: func() {}})
	if err != nil {
		s.t.Fatal(err)
	}
	p := &publisher{Source: src, t: s.t, video: grey(s.t, level), audio: &media.Track{
		Codec: media.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2,
	}}
	if p.repeater, err = media.NewH264Repeater(p.video.Track.Config); err != nil {
		s.t.Fatal(err)
	}
	src.SetLive()
	return p
}

// both writes the media of some publishers for a duration.
func both(d time.Duration, publishers ...*publisher) {
	for _, p := range publishers {
		if p.pictures == 0 && p.sounds == 0 {
			p.begun = p.Now()
		}
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(40 * time.Millisecond) {
		for _, p := range publishers {
			if p.only != media.Audio {
				p.picture()
			}
			p.sound()
		}
	}
	synctest.Wait()
}

// checkSpliced checks that the times of all frames grow, that pictures of one source begin with a key frame, and that no kind pauses longer
// than it may.
func (s *spareShow) checkSpliced(pictures, sounds time.Duration) {
	s.t.Helper()
	last := map[media.Kind]media.Frame{}
	for i, f := range s.got() {
		before, seen := last[f.Kind()]
		last[f.Kind()] = f
		if !seen {
			continue
		}
		most := pictures
		if f.Kind() == media.Audio {
			most = sounds
		} else if f.Track != before.Track && !f.Key {
			s.t.Errorf("frame %d: another source begins without a key frame", i)
		}
		if gap := f.Time.Sub(before.Time); gap <= 0 || gap > most {
			s.t.Errorf("frame %d: %v at %v after one at %v", i, f.Kind(), time.Duration(f.Time), time.Duration(before.Time))
		}
	}
}

func (s *spareShow) wantSwitches(want ...string) {
	s.t.Helper()
	if !slices.Equal(s.switches, want) {
		s.t.Errorf("changes %q, want %q", s.switches, want)
	}
}

// The main source stalls, and the backup covers the time of the stall. When the main source sends again, the push returns to it.
func TestSpareCoversAStall(t *testing.T) {
	var s *spareShow
	synctest.Test(t, func(t *testing.T) {
		var main, backup *publisher
		s, main, backup = newSpareShow(t, false, nil)
		both(3500*time.Millisecond, main, backup)
		for range 3 {
			both(1500*time.Millisecond, backup) // the stall
			if s.h.Source() != backup.Source {
				t.Fatal("the backup is not sent")
			}
			main.resume()
			both(6*time.Second, main, backup)
			if s.h.Source() != main.Source {
				t.Fatal("the main source is not sent again")
			}
		}
		s.wantSwitches("b stalled", "s return", "b stalled", "s return", "b stalled", "s return")
		if len(s.changes) > 0 {
			t.Errorf("the push held: %q", s.changes)
		}
		backup.Close(nil)
	})
	s.t = t
	s.checkSpliced(80*time.Millisecond, 45*time.Millisecond)
	s.decode()
}

// The main source ends.
func TestSpareOfALostSource(t *testing.T) {
	for _, buffer := range []bool{false, true} {
		var s *spareShow
		synctest.Test(t, func(t *testing.T) {
			var main, backup *publisher
			s, main, backup = newSpareShow(t, false, func(cfg *holderConfig) {
				cfg.buffer = DefaultBufferConfig()
				cfg.buffer.Enabled = buffer
			})
			both(3500*time.Millisecond, main, backup)
			main.Close(nil)
			both(2*time.Second, backup)
			s.wantSwitches("b lost")
			main = s.as("s", 40)
			both(8*time.Second, main, backup)
			s.wantSwitches("b lost", "s return")
			backup.Close(nil)
			both(time.Second, main)
			if len(s.changes) > 0 || s.failure() != nil {
				t.Errorf("the push held: %q, %v", s.changes, s.failure())
			}
			main.Close(nil)
			s.wait(time.Second)
			if s.failure() == nil {
				t.Error("the push goes on without any source")
			}
		})
		s.t = t
		s.checkSpliced(90*time.Millisecond, 45*time.Millisecond)
		s.decode()
	}
}

// Somebody chooses the source. With "manual" the push stays where it is until somebody chooses again, or the source fails.
func TestSpareByHand(t *testing.T) {
	for _, manual := range []bool{false, true} {
		var s *spareShow
		synctest.Test(t, func(t *testing.T) {
			var main, backup *publisher
			s, main, backup = newSpareShow(t, manual, nil)
			both(2*time.Second, main, backup)
			for range 10 {
				s.h.spares.want("b")
				both(1500*time.Millisecond, main, backup)
				s.h.spares.want("s")
				both(1500*time.Millisecond, main, backup)
			}
			if n := len(s.switches); n != 20 {
				t.Errorf("%d changes in 30 s, want 20: %q", n, s.switches)
			}
			s.h.spares.want("b")
			both(1500*time.Millisecond, main, backup)
			s.h.spares.want("")
			both(6*time.Second, main, backup)
			if back := s.h.Source() == main.Source; back == manual {
				t.Errorf("manual %v: the push has returned: %v", manual, back)
			}
			backup.Close(nil)
			main.Close(nil)
		})
		s.t = t
		s.checkSpliced(90*time.Millisecond, 45*time.Millisecond)
		s.decode()
	}
}

// The lips stay in step: pictures and sound of one moment of a source get the same time, whatever was sent before.
func TestSpareKeepsLipsInStep(t *testing.T) {
	var s *spareShow
	synctest.Test(t, func(t *testing.T) {
		var main, backup *publisher
		s, main, backup = newSpareShow(t, true, nil)
		both(2*time.Second, main, backup)
		for i := range 20 {
			present := []*publisher{backup, main}[i%2]
			present.begun = present.begun.Add(5 * time.Millisecond) // so that their frames of sound do not fit
			both(40*time.Millisecond, main, backup)
			s.h.spares.want([]string{"b", "s"}[i%2])
			both(1500*time.Millisecond, main, backup)
			shift := present.Created().Sub(s.h.clock.Load().Created())
			at := map[media.Kind]media.Timestamp{}
			for _, f := range s.got() {
				at[f.Kind()] = f.Time
			}
			// The latest picture and sound of the source, as the source has them.
			picture, sound := media.Timestamp(present.shown), present.begun.Add(media.Samples((present.sounds-1)*1024, 48000))
			lips := at[media.Video].Sub(picture) - at[media.Audio].Sub(sound)
			if slip := s.slip(); slip.Abs() > 12*time.Millisecond {
				t.Errorf("change %d: a receiver that counts frames of sound is %v off", i, slip)
			}
			if lips.Abs() > time.Millisecond || at[media.Video] != picture.Add(shift) {
				t.Errorf("change %d: pictures come at %v and sound at %v: %v apart", i, at[media.Video], at[media.Audio], lips)
			}
		}
		backup.Close(nil)
		main.Close(nil)
	})
}

// slip returns how much later the sound that was read is by its times than by the number of its frames.
func (s *spareShow) slip() time.Duration {
	var first, last media.Timestamp
	n := int64(-1)
	for _, f := range s.got() {
		if f.Kind() == media.Audio {
			if n++; n == 0 {
				first = f.Time
			}
			last = f.Time
		}
	}
	return last.Sub(first) - media.Samples(1024*n, 48000)
}

// A backup without pictures: its sound is heard, and the last picture stays. A backup that has not sent a key frame yet: a picture and silence
// are sent until it comes.
func TestSpareThatIsNotWhole(t *testing.T) {
	t.Run("sound alone", func(t *testing.T) {
		var s *spareShow
		synctest.Test(t, func(t *testing.T) {
			var main, backup *publisher
			s, main, backup = newSpareShow(t, false, nil)
			backup.only = media.Audio
			both(5*time.Second, main, backup)
			both(3*time.Second, backup)
			s.wantSwitches("b stalled")
			if got := s.got(); len(pictures(got[len(got)-60:])) < 5 {
				t.Error("the last picture is not repeated")
			}
			backup.Close(nil)
			main.Close(nil)
		})
		s.t = t
		s.checkSpliced(1200*time.Millisecond, 45*time.Millisecond)
		s.decode()
	})
	t.Run("no key frame yet", func(t *testing.T) {
		var s *spareShow
		synctest.Test(t, func(t *testing.T) {
			var main, backup *publisher
			s, main, backup = newSpareShow(t, false, nil)
			both(3*time.Second, main)
			main.Close(nil)
			backup.pictures = 1
			backup.repeater.Follow(backup.video.Data)
			both(2*time.Second, backup)
			s.wantSwitches("b lost")
			if want := []string{"held", "back with "}; !slices.Equal(s.changes, want) {
				t.Errorf("the push: %q, want %q", s.changes, want)
			}
			backup.Close(nil)
		})
		s.t = t
		s.checkSpliced(150*time.Millisecond, 45*time.Millisecond)
		s.decode()
	})
}

// A push without a spare that sends anything stays with its source, as it would without backups.
func TestSpareThatSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, main, backup := newSpareShow(t, false, nil)
		both(3*time.Second, main)
		s.wait(5 * time.Second)
		s.wantSwitches()
		both(2*time.Second, main)
		if s.h.Source() != main.Source || s.failure() != nil {
			t.Errorf("sends %q, %v", s.h.Source().Info().Name, s.failure())
		}
		backup.Close(nil)
		main.Close(nil)
	})
}

// The backup is lost, and then the main source stalls: with a hold, pictures and silence come as soon as the silence is a fault, and the main source
// ends the hold.
func TestHoldWithoutASpare(t *testing.T) {
	var s *spareShow
	synctest.Test(t, func(t *testing.T) {
		var main, backup *publisher
		s, main, backup = newSpareShow(t, false, func(cfg *holderConfig) { cfg.grace = time.Minute })
		both(3*time.Second, main, backup)
		backup.Close(nil)
		both(time.Second, main)
		s.wait(5 * time.Second)
		both(3*time.Second, main)
	})
	s.t = t
	s.wantSwitches()
	s.checkSpliced(time.Second+lookEvery+bridgePause, time.Second+lookEvery+bridgePause)
}

// A push whose stream nobody publishes begins with a backup stream. It goes on with the main one over the same connection, and events, answers and
// counters tell of it.
func TestPushBeginsWithABackup(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	req := Request{StreamName: "s", URL: server.URL("live"), Options: Options{BackupStreams: []string{"b"}}}
	if _, err := b.Start(t.Context(), req); !errors.Is(err, ErrStreamNotFound) {
		t.Errorf("a push without any stream: %v, want ErrStreamNotFound", err)
	}
	backup := b.source("b")
	info := b.start(req)
	if info.SourceName != "s" || info.Active != "b" || info.StreamName != "rtmp_s" {
		t.Errorf("the push is %+v", info)
	}
	state := func() Info { return b.Find(Filter{ID: info.ID})[0] }
	backup.live(t, server)
	b.wait("the push to be live", func() bool { backup.write(1, 20); return state().State == Live })
	main := b.source("s")
	b.wait("the main stream", func() bool {
		backup.write(1, 20)
		main.write(1, 20)
		time.Sleep(10 * time.Millisecond)
		return state().Active == "s"
	})
	ready := time.Now().Add(500 * time.Millisecond)
	b.wait("the backup to be ready", func() bool {
		backup.write(1, 20)
		main.write(1, 20)
		return time.Now().After(ready)
	})
	main.Close(nil)
	b.wait("the backup", func() bool { backup.write(1, 20); i := state(); return i.Active == "b" && i.State == Live })
	if got := state(); got.Attempts != 1 || got.State != Live {
		t.Errorf("the push is %+v", got)
	}
	b.wait("the events", func() bool { // the last one comes a moment after the change
		var active []string
		for _, e := range b.storyOf(info.ID) {
			if e.From == e.To && e.To.up() {
				active = append(active, e.Active)
			}
		}
		return slices.Equal(active, []string{"s", "b"})
	})
	if got := b.Switches(); got[SwitchReturn] != 1 || got[SwitchLost] != 1 {
		t.Errorf("changes %v", got)
	}
	backup.Close(nil)
	if end := b.end(); end.State != Ended || end.Reason != ReasonSourceLost {
		t.Errorf("ended as %v, %s", end.State, end.Reason)
	}
}

func TestUseSource(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	main, backup := b.source("s"), b.source("b")
	info := b.start(Request{StreamName: "s", URL: server.URL("live"), Options: Options{BackupStreams: []string{"b", "c"}, Return: "manual"}})
	plain := b.start(Request{StreamName: "b", URL: server.URL("live")})
	for _, tt := range []struct {
		id, name string
		want     func(error) bool
	}{
		{"none", "b", func(err error) bool { return errors.Is(err, ErrNotFound) }},
		{info.ID, "x", func(err error) bool { return isRequestError(err, "streamName") }},
		{info.ID, "c", func(err error) bool { return errors.Is(err, ErrStreamNotFound) }},
		{plain.ID, "b", func(err error) bool { return isRequestError(err, "streamName") }},
		{info.ID, "", func(err error) bool { return err == nil }},
		{info.ID, "b", func(err error) bool { return err == nil }},
	} {
		if err := b.UseSource(tt.id, tt.name); !tt.want(err) {
			t.Errorf("UseSource(%q, %q) = %v", tt.id, tt.name, err)
		}
	}
	b.wait("the backup", func() bool {
		main.write(1, 20)
		backup.write(1, 20)
		time.Sleep(5 * time.Millisecond)
		return b.Find(Filter{ID: info.ID})[0].Active == "b"
	})
}

func TestBackupOptions(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.source("s")
	for _, tt := range []struct {
		options Options
		field   string
	}{
		{Options{BackupStreams: []string{"s"}}, "options.backupStreams"},
		{Options{BackupStreams: []string{"b", "b"}}, "options.backupStreams"},
		{Options{BackupStreams: []string{""}}, "options.backupStreams"},
		{Options{BackupStreams: []string{"rtmp://x"}}, "options.backupStreams"},
		{Options{BackupStreams: strings.Split("a b c d e f g h i", " ")}, "options.backupStreams"},
		{Options{BackupStreams: []string{"b"}, BackupAfter: time.Millisecond}, "options.backupAfterMs"},
		{Options{BackupStreams: []string{"b"}, Return: "never"}, "options.return"},
		{Options{Return: "manual"}, "options.return, backupAfterMs"},
	} {
		if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: "rtmp://127.0.0.1:1/live", Options: tt.options}); !isRequestError(err, tt.field) {
			t.Errorf("%+v: %v, want an error of %s", tt.options, err, tt.field)
		}
	}
}

// A push that may send a stream as its backup does not get that stream's name at this server.
func TestRingOverABackup(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	address := relayTo(t, b.runDoor().Addr())
	full := true
	main := b.source("s")
	ring := b.start(Request{
		StreamName: "s", URL: "rtmp://" + address + "/live/b", FullURL: &full, Options: Options{BackupStreams: []string{"b"}},
	})
	b.wait("the refusal", func() bool {
		main.write(1, 20)
		if src, taken := b.hub.Source("b"); taken {
			t.Fatalf("the name belongs to push %q", src.Info().Push)
		}
		i := b.Find(Filter{ID: ring.ID})[0]
		return i.State == Failed && i.Reason == ReasonKeyInUse
	})
}
