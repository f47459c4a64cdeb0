package stream

import (
	"context"
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
)

// playSteps takes steps with a reader of a new stream, and returns the times of all frames that were read in the end, and its figures. Each step
// writes one frame of 100 bytes, 100 ms after the one before, or reads some: K is a key frame, p another picture, a is sound, ! calls
// Hurry, and a digit reads so many frames.
func playSteps(t *testing.T, cfg ReaderConfig, steps string) (got []int64, st ReaderStats) {
	t.Helper()
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
	defer s.Close(nil)
	cfg.Video, cfg.Audio = s.Video, s.Audio
	r := s.NewReader(cfg)
	defer r.Close()
	ms := 0
	for _, step := range steps {
		switch step {
		case 'K', 'p':
			s.Video.Write(video(ms, step == 'K', 100))
		case 'a':
			s.Audio.Write(audio(ms, 100))
		case '!':
			r.Hurry()
			continue
		default:
			frames := make([]media.Frame, step-'0')
			n, _ := r.TryRead(frames)
			for _, f := range frames[:n] {
				got = append(got, f.Time.Milliseconds())
			}
			continue
		}
		ms += 100
	}
	return append(got, read(t, r)...), r.Stats()
}

func TestReaderGivesUpWholeGroups(t *testing.T) {
	tests := []struct {
		name     string
		maxBytes int
		steps    string
		want     []int64 // times of all that is read
		dropped  int64
		lost     time.Duration
		drops    int64
	}{
		{"all fits", 1000, "KppKpp", []int64{0, 100, 200, 300, 400, 500}, 0, 0, 0},
		{"the newest group goes whole", 500, "KppKpp", []int64{0, 100, 200}, 3, 200 * time.Millisecond, 1},
		{"its sound stays in order", 700, "KaaKapapK9K", []int64{0, 100, 200, 400, 600, 800, 900}, 3, 500 * time.Millisecond, 1},
		{"up to the next key frame that fits", 500, "KppKppppKp", []int64{0, 100, 200, 800, 900}, 5, 500 * time.Millisecond, 1},
		{"a key frame that does not fit leaves the group before whole", 400, "KpKpKp", []int64{0, 100, 200, 300}, 2, 100 * time.Millisecond, 1},
		{"a lone group is cut, so that there is always something to send", 300, "Kpppp", []int64{0, 100, 200}, 2, 100 * time.Millisecond, 1},
		{"a group whose head is sent is cut, not holed", 300, "K1pppp", []int64{0, 100, 200, 300}, 1, 0, 1},
		{"the rest of a sent group counts as older", 400, "Kpp1KppKp", []int64{0, 100, 200, 600, 700}, 3, 300 * time.Millisecond, 1},
		{"a group that began after a loss can be lost as well", 300, "KpKpKpp9Kp", []int64{0, 100, 700, 800}, 5, 500 * time.Millisecond, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, st := playSteps(t, ReaderConfig{MaxBytes: tt.maxBytes}, tt.steps)
			if !slices.Equal(got, tt.want) {
				t.Errorf("read %v, want %v", got, tt.want)
			}
			if st.DroppedFrames != tt.dropped || st.DroppedBytes != 100*tt.dropped || st.DroppedTime != tt.lost || st.Drops != tt.drops {
				t.Errorf("dropped %d frames, %d bytes, %v, %d times; want %d, %d, %v, %d", st.DroppedFrames, st.DroppedBytes,
					st.DroppedTime, st.Drops, tt.dropped, 100*tt.dropped, tt.lost, tt.drops)
			}
			if st.DroppedLate != 0 {
				t.Errorf("%d frames were dropped as late, but the queue was full", st.DroppedLate)
			}
		})
	}
}

func TestReaderHurries(t *testing.T) {
	tests := []struct {
		name, steps string
		want        []int64
	}{
		{"the newest group is left, with its sound", "KapKpaKapa!", []int64{600, 700, 800, 900}},
		{"more comes", "KpKp!ppKp", []int64{200, 300, 400, 500, 600, 700}},
		{"a group whose head is read is thrown away whole", "Kpp1!ppKp", []int64{0, 500, 600}},
		{"sound alone is thrown away", "aaa!aa", []int64{300, 400}},
		{"nothing is queued", "!Kp", []int64{0, 100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, st := playSteps(t, ReaderConfig{}, tt.steps)
			if !slices.Equal(got, tt.want) || st.DroppedFrames != 0 {
				t.Errorf("read %v, want %v; %d frames count as dropped", got, tt.want, st.DroppedFrames)
			}
		})
	}
}

// TestQueueShrinks: a reader that was behind takes no more memory than another once it is not.
func TestQueueShrinks(t *testing.T) {
	var q ring
	for i := range 1000 {
		q.put(video(i, true, 1))
	}
	frames := make([]media.Frame, 999)
	if q.take(frames); len(q.frames) < 1000 {
		t.Errorf("room for %d frames while one is queued, want no less than 1000", len(q.frames))
	}
	if q.take(frames); q.n != 0 || len(q.frames) > maxRing {
		t.Errorf("%d frames and room for %d, want none and at most %d", q.n, len(q.frames), maxRing)
	}
	q.put(video(1000, true, 1))
	if n := q.take(frames); n != 1 || frames[0].Time.Milliseconds() != 1000 {
		t.Errorf("%d frames, the first of %v, want the one that was put", n, frames[0].Time)
	}
}

// Ten readers, one of which reads nothing: the others get every frame.
func TestStalledReaderDisturbsNobody(t *testing.T) {
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
	defer s.Close(nil)
	readers := make([]*Reader, 10)
	for i := range readers {
		readers[i] = s.NewReader(ReaderConfig{Video: s.Video, Audio: s.Audio, MaxBytes: 100_000})
		defer readers[i].Close()
	}
	const seconds = 60
	got := make([]int, len(readers))
	for ms := 0; ms < seconds*1000; ms += 20 {
		s.Video.Write(video(ms, ms%2000 == 0, 1000))
		s.Audio.Write(audio(ms, 100))
		for i, r := range readers[1:] {
			got[i+1] += len(read(t, r))
		}
	}
	for i, n := range got[1:] {
		if n != seconds*100 || readers[i+1].Stats().DroppedFrames != 0 {
			t.Errorf("reader %d got %d frames, want %d", i+1, n, seconds*100)
		}
	}
	st := readers[0].Stats()
	if st.QueuedBytes > 100_000*audioAllowance || st.DroppedFrames+int64(st.QueuedFrames) != seconds*100 || st.DroppedFrames == 0 {
		t.Errorf("the stalled reader: %+v", st)
	}
}

// Frames without bytes and at one time reach no other bound.
func TestReaderBoundsFrames(t *testing.T) {
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a"})
	defer s.Close(nil)
	r := s.NewReader(ReaderConfig{Video: s.Video, Audio: s.Audio})
	defer r.Close()
	for i := range 5 * MaxFrames {
		s.Video.Write(video(0, i == 0, 0))
		s.Audio.Write(audio(0, 0))
	}
	if st := r.Stats(); st.QueuedFrames != audioAllowance*MaxFrames || st.DroppedFrames != (10-audioAllowance)*MaxFrames {
		t.Errorf("%+v, want %d frames queued, the others dropped", st, audioAllowance*MaxFrames)
	}
}

// written is a frame as the fuzzed publisher sent it.
type written struct {
	media.Frame
	kept bool
}

// FuzzReader writes and reads by the script and checks all that a reader promises.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x00\x04\x08\x05\x00\x04\x07\x00\x04\x04"), uint16(300), uint16(500))
	f.Add([]byte("\x00\x00\x01\x00\x05\x02\x03\xf4\xf4\xf4\x00\xff"), uint16(900), uint16(100))
	f.Add([]byte{0, 4, 4, 2, 2, 0, 4, 2, 4, 19, 4, 4, 0, 4, 2, 0, 4, 4, 255, 0, 4}, uint16(120), uint16(40000))
	f.Fuzz(func(t *testing.T, script []byte, maxBytes, maxMS uint16) {
		h := NewHub(DefaultConfig(), nil)
		s := publish(t, h, Info{Name: "a"})
		defer s.Close(nil)
		r := s.NewReader(ReaderConfig{
			Video: s.Video, Audio: s.Audio, MaxBytes: int(maxBytes) + 1, MaxDuration: time.Duration(maxMS+1) * time.Millisecond,
		})
		defer r.Close()
		all := play(t, s, r, script)
		check(t, all, r.Stats())
	})
}

// play runs a script: the low two bits of a byte say what happens (a key frame or another picture by the third, sound,
// or reading), the others how large. It returns the frames that the reader took part in, and whether each was read.
func play(t *testing.T, s *Source, r *Reader, script []byte) map[int64]*written {
	all := map[int64]*written{}
	var order []int64
	keyed := false
	readSome := func(n int) (got int) {
		frames := make([]media.Frame, n)
		got, _ = r.TryRead(frames)
		for _, f := range frames[:got] {
			ms := f.Time.Milliseconds()
			all[ms].kept = true
			order = append(order, ms)
		}
		return got
	}
	for i, op := range script {
		ms, size := i*10, 1+int(op>>3)*4
		var f media.Frame
		switch op & 3 {
		case 0, 1:
			f = video(ms, op&4 == 0, size)
			keyed = keyed || f.Key
			if !keyed { // before the first key frame nothing is owed
				s.Video.Write(f)
				continue
			}
		case 2:
			f = audio(ms, size)
		default:
			readSome(1 + int(op>>2))
			continue
		}
		all[int64(ms)] = &written{Frame: f}
		if f.Kind() == media.Video {
			s.Video.Write(f)
		} else {
			s.Audio.Write(f)
		}
		if st := r.Stats(); st.QueuedFrames > 1 && st.QueuedBytes > audioAllowance*r.cfg.MaxBytes {
			t.Fatalf("%d bytes are queued, bound %d", st.QueuedBytes, r.cfg.MaxBytes)
		}
	}
	for readSome(7) > 0 {
	}
	if !slices.IsSorted(order) {
		t.Fatalf("read out of order: %v", order)
	}
	return all
}

// check reports whether what was kept can be decoded and what was lost was counted.
func check(t *testing.T, all map[int64]*written, st ReaderStats) {
	times := make([]int64, 0, len(all))
	for ms := range all {
		times = append(times, ms)
	}
	slices.Sort(times)
	var frames, bytes int64
	gaps := map[media.Kind]*gap{media.Video: {}, media.Audio: {}}
	for _, ms := range times {
		w := all[ms]
		g := gaps[w.Kind()]
		if !w.kept {
			frames++
			bytes += int64(len(w.Data))
			g.lose(w.Time)
			continue
		}
		if w.Kind() == media.Video && g.open && !w.Key {
			t.Fatalf("the picture at %d ms was read, the one before it was not", ms)
		}
		g.end(w.Time)
	}
	if st.DroppedFrames != frames || st.DroppedBytes != bytes {
		t.Fatalf("counted %d frames, %d bytes as dropped, want %d, %d", st.DroppedFrames, st.DroppedBytes, frames, bytes)
	}
	if v, a := gaps[media.Video].total(), gaps[media.Audio].total(); st.DroppedTime != v || st.DroppedSound != a {
		t.Fatalf("counted %v and %v as missing, want %v and %v", st.DroppedTime, st.DroppedSound, v, a)
	}
	if (st.Drops > 0) != (frames > 0) || st.Drops > frames {
		t.Fatalf("counted %d drops of %d frames", st.Drops, frames)
	}
	if st.QueuedFrames != 0 || st.QueuedBytes != 0 {
		t.Fatalf("%d frames, %d bytes left in an empty queue", st.QueuedFrames, st.QueuedBytes)
	}
}

func TestReaderUsesAnotherVideo(t *testing.T) {
	publisherAsked, renditionAsked := 0, 0
	s := publish(t, NewHub(DefaultConfig(), nil), Info{Name: "a", AskKeyFrame: func() { publisherAsked++ }})
	defer s.Close(nil)
	feeds := make(chan *Feed, 1)
	small, release, err := s.Rendition("small", func() { renditionAsked++ }, func(ctx context.Context, out *Feed) error {
		feeds <- out
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	<-feeds

	r := s.NewReader(ReaderConfig{Video: s.Video, Audio: s.Audio, KeyFrames: true})
	defer r.Close()
	s.Video.Write(video(0, true, 1))
	s.Audio.Write(audio(10, 1))
	s.Video.Write(video(20, false, 1))
	r.UseVideo(small)
	small.Write(video(30, false, 1)) // leads nowhere
	s.Video.Write(video(40, true, 1))
	small.Write(video(50, true, 1))
	small.Write(video(60, false, 1))
	if got, want := read(t, r), []int64{10, 50, 60}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v: the sound, and the other feed's pictures from its key frame on", got, want)
	}
	if publisherAsked != 1 || renditionAsked != 1 {
		t.Errorf("publisher asked %d times, rendition %d times; want each once", publisherAsked, renditionAsked)
	}
	if n := s.keys.readers.Load(); n != 0 {
		t.Errorf("%d readers want the publisher's key frames at the interval, want none", n)
	}
	if d := r.Stats().DroppedFrames; d != 0 {
		t.Errorf("%d frames dropped, want none: they were not meant to be sent", d)
	}
}

// With a bound of 500 ms to how old pictures get, those before the newest key frame go. The steps are those of playSteps.
func TestReaderGivesUpTheOldest(t *testing.T) {
	tests := []struct {
		name    string
		steps   string
		want    []int64
		dropped int64
		lost    time.Duration
	}{
		{"all fits", "KppKpp", []int64{0, 100, 200, 300, 400, 500}, 0, 0},
		{"the older group goes whole", "KppKppp", []int64{300, 400, 500, 600}, 3, 300 * time.Millisecond},
		{"its rest goes", "Kpp2Kppppp", []int64{0, 100, 300, 400, 500, 600, 700, 800}, 1, 100 * time.Millisecond},
		{"sound stays", "KapKapp", []int64{100, 300, 400, 500, 600}, 2, 300 * time.Millisecond},
		{"all groups but the newest", "KpKpKpKp", []int64{400, 500, 600, 700}, 4, 400 * time.Millisecond},
		{"a lone group goes", "KpppppppKp", []int64{800, 900}, 8, 800 * time.Millisecond},
		{"so does the rest of one", "K1pppppppKp", []int64{0, 800, 900}, 7, 700 * time.Millisecond},
		{"a key frame makes room for itself", "KpppppKp", []int64{600, 700}, 6, 600 * time.Millisecond},
		{"sound has some grace", "aaaaaaaaaaaaaaaaaaaaaa", []int64{1600, 1700, 1800, 1900, 2000, 2100}, 16, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, st := playSteps(t, ReaderConfig{MaxLag: 500 * time.Millisecond}, tt.steps)
			if !slices.Equal(got, tt.want) {
				t.Errorf("read %v, want %v", got, tt.want)
			}
			if st.DroppedFrames != tt.dropped || st.DroppedBytes != 100*tt.dropped || st.DroppedTime != tt.lost {
				t.Errorf("dropped %d frames, %d bytes, %v; want %d, %v", st.DroppedFrames, st.DroppedBytes, st.DroppedTime, tt.dropped, tt.lost)
			}
			if st.DroppedLate != tt.dropped {
				t.Errorf("%d frames were dropped as late, want all %d", st.DroppedLate, tt.dropped)
			}
		})
	}
}
