package transponder

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture"
)

// grey makes a key frame of one shade of grey.
func grey(t *testing.T, level uint8) media.Frame {
	t.Helper()
	if !libav.Enabled {
		t.Skip("no codecs in this build")
	}
	m := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range m.Pix {
		m.Pix[i] = level
	}
	m.Set(20, 20, color.Gray{255 - level})
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.png"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := picture.NewStills(dir).Frame("a.png", 128, 96)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// show is the holder of a push in a synctest bubble, with all frames that it read.
type show struct {
	t       *testing.T
	hub     *stream.Hub
	h       *holder
	changes []string
	prepare func(*holder) // before it reads; nil: nothing

	mu     sync.Mutex
	frames []media.Frame // guarded by mu
	late   time.Duration // guarded by mu; the most that a frame was behind the clock
	err    error         // guarded by mu
	ended  time.Time     // guarded by mu
	joined chan struct{}
}

// publisher writes 25 pictures a second, with a key frame every second, and AAC.
type publisher struct {
	*stream.Source
	t        *testing.T
	video    media.Frame
	audio    *media.Track
	repeater *media.H264Repeater
	pictures int
	sounds   int64
	begun    media.Timestamp
	shown    media.Timestamp // of the last picture
	only     media.Kind      // what it writes; none: both
}

// newShow reads a publisher for two seconds. Then the publisher leaves.
func newShow(t *testing.T, grace time.Duration, slate *media.Frame) *show {
	s, first := beginShow(t, grace, slate)
	first.Close(nil)
	return s
}

// beginShow reads a publisher for two seconds.
func beginShow(t *testing.T, grace time.Duration, slate *media.Frame) (*show, *publisher) {
	s := &show{t: t, hub: stream.NewHub(stream.DefaultConfig(), nil), joined: make(chan struct{})}
	first := s.publish(40)
	s.watch(first, func(cfg *holderConfig) {
		cfg.grace = grace
		if slate != nil {
			cfg.slate = func(int, int) (media.Frame, error) { return *slate, nil }
		}
	})
	first.write(2 * time.Second)
	return s, first
}

// watch reads a publisher until the test ends.
func (s *show) watch(first *publisher, change func(*holderConfig)) {
	t := s.t
	cfg := holderConfig{
		hub: s.hub, log: slog.New(slog.DiscardHandler),
		sound: func(s *stream.Source) (*stream.Feed, func(), error) {
			return sameAudio{}.Feed(s, media.AudioFormat{})
		},
		changed: func(src *stream.Source) {
			if src == nil {
				s.changes = append(s.changes, "held")
			} else {
				s.changes = append(s.changes, "back with "+src.Info().Provider)
			}
		},
	}
	change(&cfg)
	s.h = newHolder(cfg, first.Source)
	if s.prepare != nil {
		s.prepare(s.h)
	}
	s.h.wake()
	if err := s.h.addSound(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() {
		cancel(errTerminated)
		<-s.joined
		s.h.Close()
		first.Close(nil)
	})
	go s.read(ctx)
}

func (s *show) read(ctx context.Context) {
	defer close(s.joined)
	frames := make([]media.Frame, 64)
	for {
		n, err := s.h.Read(ctx, frames)
		now := s.h.Now()
		s.mu.Lock()
		for _, f := range frames[:n] {
			s.frames = append(s.frames, f)
			s.late = max(s.late, now.Sub(f.Time))
		}
		if err != nil {
			s.err, s.ended = err, time.Now()
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// publish takes the name of the stream and is live at once. It takes the name over from its own dead connection, if there is one.
func (s *show) publish(level uint8) *publisher {
	s.t.Helper()
	provider := "WebRTC"
	if level > 40 {
		provider = "RTMP"
	}
	src, err := s.hub.Claim(s.t.Context(), stream.Info{
		Name: "s", ID: "s", Provider: provider, HasVideo: true, HasAudio: true, AskKeyFrame: func() {}, Publisher: stream.Publisher{Credential: "a token"},
	})
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

// write writes pictures and sound of the same times for a duration, in real time.
func (p *publisher) write(d time.Duration) {
	p.t.Helper()
	if p.pictures == 0 && p.sounds == 0 {
		p.begun = p.Now()
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(40 * time.Millisecond) {
		if p.only != media.Audio {
			p.picture()
		}
		p.sound()
	}
}

// picture writes the next picture.
func (p *publisher) picture() {
	f := p.video
	f.Time = p.Now()
	p.shown = f.Time
	if p.pictures%25 == 0 {
		p.repeater.Follow(f.Data)
	} else {
		var err error
		if f.Data, err = p.repeater.Next(); err != nil {
			p.t.Fatal(err)
		}
		f.Key = false
	}
	p.pictures++
	p.Video.Write(f)
}

// resume leaves out the sound of the time in which the publisher sent nothing.
func (p *publisher) resume() {
	for p.begun.Add(media.Samples(p.sounds*1024, 48000)) < p.Now().Add(-40*time.Millisecond) {
		p.sounds++
	}
}

// sound writes the sound up to now.
func (p *publisher) sound() {
	for {
		at := p.begun.Add(media.Samples(p.sounds*1024, 48000))
		if at > p.Now() {
			return
		}
		p.Audio.Write(media.Frame{Track: p.audio, Time: at, Key: true, Data: []byte{byte(p.sounds)}})
		p.sounds++
	}
}

// wait lets time pass.
func (s *show) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// failure returns why reading has ended, nil before the end.
func (s *show) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *show) got() []media.Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.frames)
}

// check checks all frames that were read: time only grows, neither kind pauses, and key frames come at the expected interval.
func (s *show) check() {
	s.t.Helper()
	last := map[media.Kind]media.Timestamp{}
	var key media.Timestamp
	for i, f := range s.got() {
		kind := f.Kind()
		before, seen := last[kind]
		last[kind] = f.Time
		if !seen {
			continue
		}
		most := bridgePause + 45*time.Millisecond
		if kind == media.Audio {
			most = 35 * time.Millisecond
		}
		if gap := f.Time.Sub(before); gap <= 0 || gap > most {
			s.t.Errorf("frame %d: %v at %v after one at %v", i, kind, time.Duration(f.Time), time.Duration(before))
		}
		if kind == media.Video && f.Key {
			if gap := f.Time.Sub(key); gap > bridgeKeys+bridgePause {
				s.t.Errorf("frame %d: a key frame %v after the last", i, gap)
			}
			key = f.Time
		}
	}
	if gap := last[media.Video].Sub(last[media.Audio]); gap.Abs() > 130*time.Millisecond {
		s.t.Errorf("at the end pictures are %v before the sound", gap)
	}
	if s.late > bridgePause+25*time.Millisecond {
		s.t.Errorf("a frame was %v late", s.late)
	}
}

// decode decodes the pictures with FFmpeg and returns a hash of each.
func (s *show) decode() []string {
	s.t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		s.t.Skip("no ffmpeg")
	}
	var b bytes.Buffer
	nalu := func(n []byte) {
		b.Write([]byte{0, 0, 0, 1})
		b.Write(n)
	}
	var track *media.Track
	for _, f := range s.got() {
		if f.Kind() != media.Video {
			continue
		}
		nalu([]byte{9, 0xf0})
		if f.Track != track {
			track = f.Track
			sps, pps, err := media.H264ParameterSets(track.Config)
			if err != nil {
				s.t.Fatal(err)
			}
			nalu(sps[0])
			nalu(pps[0])
		}
		for unit := f.Data; len(unit) > 0; {
			size := binary.BigEndian.Uint32(unit)
			nalu(unit[4 : 4+size])
			unit = unit[4+size:]
		}
	}
	cmd := exec.Command("ffmpeg", "-v", "info", "-nostats", "-xerror", "-f", "h264", "-i", "-", "-vsync", "passthrough", "-f", "framemd5", "-")
	cmd.Stdin = &b
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if text := stderr.String(); err != nil || strings.Contains(text, "concealing") || strings.Contains(text, "error") {
		s.t.Errorf("ffmpeg: %v: %s", err, text)
	}
	var sums []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			sums = append(sums, strings.TrimSpace(line[strings.LastIndex(line, ",")+1:]))
		}
	}
	return sums
}

func pictures(frames []media.Frame) []media.Frame {
	return slices.DeleteFunc(slices.Clone(frames), func(f media.Frame) bool { return f.Kind() != media.Video })
}

// A publisher leaves. The push goes on with the last picture, and then with the publisher that returns.
func TestHold(t *testing.T) {
	var s *show
	synctest.Test(t, func(t *testing.T) {
		s = newShow(t, time.Minute, nil)
		s.wait(10 * time.Second)
		if n := len(pictures(s.got())); n < 50+95 || n > 50+101 {
			t.Errorf("%d pictures in 2 s of a publisher and 10 s without", n)
		}
		p := s.publish(200)
		s.wait(300 * time.Millisecond) // nothing comes yet
		before := len(s.got())
		p.write(3 * time.Second)
		synctest.Wait()
		i := slices.IndexFunc(s.got(), func(f media.Frame) bool { return f.Track == p.video.Track })
		if i < before-1 || !s.got()[i].Key {
			t.Errorf("frame %d of %d is the first picture of who came back, key %v", i, before, s.got()[i].Key)
		}
		for _, f := range pictures(s.got()[i:]) {
			if f.Track != p.video.Track {
				t.Fatal("the last picture is still repeated after the publisher is back")
			}
		}
		if want := []string{"held", "back with RTMP"}; !slices.Equal(s.changes, want) {
			t.Errorf("changes %q, want %q", s.changes, want)
		}
		if s.h.Source() != p.Source {
			t.Error("Source is not who came back")
		}
		p.Close(nil)
	})
	s.check()
	// The pictures of the source all show the same, and so do the repeated ones.
	sums := s.decode()
	if n := len(pictures(s.got())); len(sums) != n {
		t.Fatalf("%d pictures of %d frames", len(sums), n)
	}
	if sums = slices.Compact(sums); len(sums) != 2 {
		t.Errorf("%d different pictures, want one of each publisher", len(sums))
	}
}

// A publisher sends nothing for a while: its network changes. It is still connected, and the push goes on with the last picture until it sends
// again. It may also leave for good meanwhile.
func TestHoldWhileTheSourceIsSilent(t *testing.T) {
	var s *show
	synctest.Test(t, func(t *testing.T) {
		var p *publisher
		s, p = beginShow(t, 10*time.Second, nil)
		for range 2 {
			s.wait(6 * time.Second)
			p.resume()
			p.write(2 * time.Second)
		}
		s.wait(5 * time.Second)
		if want := []string{"held", "back with WebRTC", "held", "back with WebRTC", "held"}; !slices.Equal(s.changes, want) {
			t.Errorf("changes %q, want %q", s.changes, want)
		}
		p.Close(nil)
		s.wait(9 * time.Second)
		if s.failure() != nil {
			t.Errorf("ended with %v while it waits for the publisher", s.failure())
		}
		s.wait(2 * time.Second)
		if s.failure() == nil {
			t.Error("has not ended after the wait")
		}
	})
	s.t = t
	last := map[media.Kind]media.Timestamp{}
	for _, f := range s.got() { // but for the moment until the silence is noticed, nothing pauses
		if gap := f.Time.Sub(last[f.Kind()]); last[f.Kind()] != 0 && (gap <= 0 || gap > stillAfter+lookEvery+bridgePause) {
			t.Errorf("%v at %v after one at %v", f.Kind(), time.Duration(f.Time), time.Duration(last[f.Kind()]))
		}
		last[f.Kind()] = f.Time
	}
	s.decode()
}

func TestHoldWithSlate(t *testing.T) {
	slate := grey(t, 90)
	var s *show
	synctest.Test(t, func(t *testing.T) {
		s = newShow(t, time.Minute, &slate)
		s.wait(5 * time.Second)
		p := s.publish(200)
		p.write(2 * time.Second) // the first key frame is too early to be read
		p.Close(nil)
	})
	s.check()
	shown := pictures(s.got())
	if f := shown[50]; f.Track != slate.Track || !f.Key {
		t.Errorf("the hold begins with %+v, want the slate's key frame", f.Track)
	}
	sums := s.decode()
	if n := len(sums); n != len(shown) {
		t.Fatalf("%d pictures of %d frames", n, len(shown))
	}
	if sums = slices.Compact(sums); len(sums) != 3 {
		t.Errorf("%d different pictures, want the publishers' and the slate", len(sums))
	}
}

// The stream ends if nobody comes within the grace time, which begins again with each loss.
func TestHoldEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShow(t, 5*time.Second, nil)
		for range 3 {
			s.wait(4 * time.Second)
			p := s.publish(200)
			p.write(2 * time.Second)
			p.Close(nil)
		}
		s.wait(3 * time.Second)
		idle := s.publish(200) // is live and sends nothing
		s.wait(4 * time.Second)
		if s.err != nil {
			t.Errorf("ended with %v while a publisher was connected", s.err)
		}
		lost := time.Now()
		idle.Close(errors.New("gone"))
		s.wait(time.Second)
		s.check()
		if s.err == nil || s.err.Error() != "gone" || s.ended.Sub(lost) > bridgePause {
			t.Errorf("ended with %v after %v", s.err, s.ended.Sub(lost))
		}
		want := []string{"held", "back with RTMP", "held", "back with RTMP", "held", "back with RTMP", "held"}
		if !slices.Equal(s.changes, want) {
			t.Errorf("changes %q, want %q", s.changes, want)
		}
	})
}

func TestHoldGrace(t *testing.T) {
	for _, grace := range []time.Duration{0, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newShow(t, grace, nil)
			lost := time.Now()
			s.wait(10 * time.Second)
			if after := s.ended.Sub(lost); !errors.Is(s.err, stream.ErrClosed) || after < grace-50*time.Millisecond || after > grace+bridgePause {
				t.Errorf("grace %v: ended with %v after %v", grace, s.err, after)
			}
		})
	}
}

func TestHoldNotAfterTermination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShow(t, time.Minute, nil)
		p := s.publish(200)
		p.write(time.Second)
		p.Close(stream.ErrTerminated)
		s.wait(time.Second)
		if !errors.Is(s.err, stream.ErrTerminated) {
			t.Errorf("ended with %v, want ErrTerminated", s.err)
		}
	})
}

// A publisher that has only reserved the name, or returns without a camera, does not end the frames that are made up.
func TestHoldHalfBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShow(t, time.Minute, nil)
		reserved, err := s.hub.Publish(stream.Info{Name: "s", ID: "s", HasVideo: true, HasAudio: true})
		if err != nil {
			t.Fatal(err)
		}
		s.wait(2 * time.Second)
		reserved.Close(nil)
		s.wait(time.Second)
		src, err := s.hub.Publish(stream.Info{Name: "s", ID: "s", Provider: "SIP", HasAudio: true})
		if err != nil {
			t.Fatal(err)
		}
		src.SetLive()
		for i := range int64(100) {
			s.wait(time.Until(src.Created().Add(media.Samples(i*1024, 48000))))
			src.Audio.Write(media.Frame{Track: realAudio, Time: src.Now(), Key: true, Data: []byte{1}})
		}
		synctest.Wait()
		s.check()
		if want := []string{"held", "back with SIP"}; !slices.Equal(s.changes, want) {
			t.Errorf("changes %q, want %q", s.changes, want)
		}
		src.Close(nil)
	})
}

// A publisher that may send pictures and returns with sound alone ends the hold. That the picture stands still is still reported.
func TestHoldBackWithoutPictures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShow(t, time.Minute, nil)
		src, err := s.hub.Publish(stream.Info{Name: "s", ID: "s", Provider: "RTMP", HasVideo: true, HasAudio: true})
		if err != nil {
			t.Fatal(err)
		}
		src.SetLive()
		for i := range int64(250) {
			s.wait(time.Until(src.Created().Add(media.Samples(i*1024, 48000))))
			src.Audio.Write(media.Frame{Track: realAudio, Time: src.Now(), Key: true, Data: []byte{1}})
		}
		synctest.Wait()
		s.check()
		if want := []string{"held", "back with RTMP"}; !slices.Equal(s.changes, want) || !s.h.blind.Load() {
			t.Errorf("changes %q, want %q; the picture stands: %v", s.changes, want, s.h.blind.Load())
		}
		src.Close(nil)
		s.wait(time.Second)
		if s.h.blind.Load() {
			t.Error("the picture of a hold is told as the publisher's fault")
		}
	})
}

// A new connection begins with a key frame, whatever is read at that time.
func TestHoldRestart(t *testing.T) {
	slate := grey(t, 90)
	last := grey(t, 40)
	for name, show := range map[string]media.Frame{"last picture": {}, "slate": slate} {
		var b bridge
		b.sent(last)
		b.begin(show)
		frames := make([]media.Frame, 4)
		var keys []bool
		for i := range 4 {
			if i == 2 {
				b.restart()
			}
			if n := b.next(media.Timestamp(i+1)*media.Timestamp(bridgePause), frames); n != 1 {
				t.Fatalf("%s: %d frames, want a picture", name, n)
			}
			keys = append(keys, frames[0].Key)
		}
		if want := []bool{show.Track != nil, false, true, false}; !slices.Equal(keys, want) {
			t.Errorf("%s: key frames %v, want %v", name, keys, want)
		}
	}
	var b bridge
	b.sent(last)
	b.restart() // the connection is new when the publisher goes
	b.begin(media.Frame{})
	frames := make([]media.Frame, 4)
	if b.next(media.Timestamp(time.Second), frames); !frames[0].Key {
		t.Error("a new connection begins with a picture that is none")
	}
}

// If the last picture cannot be repeated, the last key frame is.
func TestBridgeByKeyFrames(t *testing.T) {
	key := grey(t, 40)
	delayed := media.Frame{Track: key.Track, Time: 1e9, Delay: 80 * time.Millisecond, Data: []byte{0, 0, 0, 2, 0x41, 0x9a}}
	hevc := media.Frame{Track: &media.Track{Codec: media.H265}, Key: true, Data: []byte{0, 0, 0, 1, 0x26}}
	tests := []struct {
		name   string
		sent   []media.Frame
		keys   int // in 4 s
		others int
	}{
		{"B-frames", []media.Frame{key, delayed}, 2, 38},
		{"H.265", []media.Frame{hevc}, 2, 0},
		{"unreadable slice", []media.Frame{key, {Track: key.Track, Time: 1e9, Data: []byte{0, 0, 0, 1, 0x41}}}, 2, 38},
		{"no key frame to repeat", []media.Frame{{Track: key.Track, Key: true, Data: []byte{0, 0, 0, 1, 0x41}}}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bridge
			for _, f := range tt.sent {
				b.sent(f)
			}
			b.begin(media.Frame{})
			shown := b.shown
			keys, others := 0, 0
			frames := make([]media.Frame, 1)
			for at := time.Second + bridgePause; at <= 5*time.Second; at += bridgePause {
				if b.next(media.Timestamp(at), frames) == 0 {
					continue
				}
				if frames[0].Key {
					keys++
				} else {
					others++
				}
				if at := frames[0].Time.Add(frames[0].Delay); at <= shown {
					t.Errorf("a picture for %d after one for %d", at, shown)
				} else {
					shown = at
				}
			}
			if keys != tt.keys || others != tt.others {
				t.Errorf("%d key frames and %d others, want %d and %d", keys, others, tt.keys, tt.others)
			}
		})
	}
}

// FFmpeg and libopus decode the silence, and it is silent.
func TestSilence(t *testing.T) {
	if !libav.Enabled {
		t.Skip("no codecs in this build")
	}
	stereo := &media.Track{Codec: media.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2}
	mono := &media.Track{Codec: media.AAC, Config: []byte{0x12, 0x08}, SampleRate: 44100, Channels: 1}
	surround := &media.Track{Codec: media.AAC, Config: []byte{0x11, 0xb0}, SampleRate: 48000, Channels: 6}
	for _, track := range []*media.Track{stereo, mono, surround, {Codec: media.Opus}} {
		var b bridge
		b.sent(media.Frame{Track: track})
		b.begin(media.Frame{})
		frames := make([]media.Frame, 20)
		n := b.next(media.Timestamp(300*time.Millisecond), frames)
		if n < 10 {
			t.Fatalf("%v: %d frames in 300 ms", track.Codec, n)
		}
		var dec interface {
			Decode([]float32, []byte) (int, error)
			Close()
		}
		var err error
		if track.Codec == media.Opus {
			dec, err = libav.NewOpusDecoder()
		} else {
			dec, err = libav.NewDecoder(track)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		pcm := make([]float32, libav.Channels*libav.MaxSamples)
		heard := 0
		for _, f := range frames[:n] {
			k, err := dec.Decode(pcm, f.Data)
			if err != nil {
				t.Fatalf("%v, %d channels: %v", track.Codec, track.Channels, err)
			}
			heard += k
			for _, x := range pcm[:libav.Channels*k] {
				if x > 1e-4 || x < -1e-4 {
					t.Fatalf("%v, %d channels: silence of %g", track.Codec, track.Channels, x)
				}
			}
		}
		if want := 48000 * n / 50; heard < want-3000 || heard > want+3000 {
			t.Errorf("%v, %d channels: %d samples in %d frames", track.Codec, track.Channels, heard, n)
		}
	}
}

// Sound with times before the end of the silence is left out: sound is sent from the end of the silence on.
func TestHoldLateSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShow(t, time.Minute, nil)
		s.wait(time.Second)
		p := s.publish(200)
		s.wait(200 * time.Millisecond)
		const late = 300 * time.Millisecond
		first := p.Now().Add(-late)
		for i := range int64(50) {
			at := first.Add(media.Samples(i*1024, 48000))
			s.wait(at.Add(late).Sub(p.Now()))
			p.Audio.Write(media.Frame{Track: p.audio, Time: at, Key: true, Data: []byte{1}})
		}
		synctest.Wait()
		heard := 0
		var last media.Timestamp
		for _, f := range s.got() {
			if f.Kind() != media.Audio {
				continue
			}
			if gap := f.Time.Sub(last); last != 0 && (gap <= 0 || gap > 35*time.Millisecond) {
				t.Errorf("sound at %v, %v after the last", time.Duration(f.Time), gap)
			}
			last = f.Time
			if f.Track == p.audio {
				heard++
			}
		}
		if heard < 30 || heard > 40 {
			t.Errorf("%d of 50 frames that are 300 ms late are heard, want those of the time after the silence", heard)
		}
		p.Close(nil)
	})
}

// The destination sees one RTMP session, in which time only grows, through a loss and a return.
func TestPushHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: server.URL("live"), Options: Options{OnSourceLoss: "hold"}})
	s.live(t, server)
	state := func() Info { return b.Find(Filter{ID: info.ID})[0] }
	s.Close(nil)
	sent := 0
	server.Wait(t, "the hold", func() bool {
		sent = len(server.Tags())
		return state().State == Holding
	})
	if got := state(); got.Reason != ReasonSourceLost {
		t.Errorf("held because of %q", got.Reason)
	}
	server.Wait(t, "what bridges it", func() bool { return len(server.Tags()) > sent+10 })
	back := b.source("s")
	back.video = realVideo(t)
	server.Wait(t, "the return", func() bool {
		back.write(10, 20)
		return state().State == Live
	})
	back.Close(stream.ErrTerminated)
	if end := b.end(); end.State != Ended || end.Reason != ReasonSourceLost {
		t.Errorf("ended as %s, %s", end.State, end.Reason)
	}
	if n := strings.Count("\n"+strings.Join(server.Calls(), "\n"), "\npublish("); n != 1 {
		t.Errorf("published %d times: %q", n, server.Calls())
	}
	last := map[bool]time.Duration{true: -1, false: -1}
	headers := 0
	for _, tag := range server.Tags() {
		if tag.Header {
			if tag.Video {
				headers++
			}
			continue
		}
		if tag.Time <= last[tag.Video] {
			t.Errorf("%s after %v", tag, last[tag.Video])
		}
		last[tag.Video] = tag.Time
	}
	if headers != 2 {
		t.Errorf("%d video headers, want one for each publisher", headers)
	}
}

// A newer connection of the publisher takes over the name while the old one hangs. The push goes on, on one clock, although it was not asked to
// hold. The sound never pauses; pictures pause until the first key frame of the new connection.
func TestTakenOver(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s, first := beginShow(t, grace, nil)
			time.Sleep(time.Second) // the connection hangs
			p := s.publish(200)
			if !errors.Is(first.Err(), stream.ErrReplaced) {
				t.Errorf("the old source ended with %v, want ErrReplaced", first.Err())
			}
			before := s.h.Now()
			s.wait(300 * time.Millisecond)
			p.write(2 * time.Second)
			p.Close(nil)
			s.wait(time.Millisecond)
			if want := []string{"held", "back with RTMP"}; !slices.Equal(s.changes[:2], want) {
				t.Errorf("changes %q, want %q", s.changes, want)
			}
			last := map[media.Kind]media.Timestamp{}
			newcomer := false
			for i, f := range s.got() {
				kind := f.Kind()
				gap := f.Time.Sub(last[kind])
				if i > 2 && (gap <= 0 || kind == media.Audio && f.Time > before && last[kind] > before && gap > 35*time.Millisecond) {
					t.Errorf("grace %v, frame %d: %v at %v, %v after the last", grace, i, kind, time.Duration(f.Time), gap)
				}
				last[kind] = f.Time
				if kind == media.Video && f.Track == p.video.Track {
					if !newcomer && !f.Key {
						t.Error("the newcomer does not begin with a key frame")
					}
					newcomer = true
				} else if newcomer && kind == media.Video && s.h.cfg.grace == 0 {
					t.Error("a picture that is not the newcomer's after its first")
				}
			}
			if !newcomer || last[media.Video] < before.Add(2*time.Second) || last[media.Audio] < before.Add(2*time.Second) {
				t.Errorf("grace %v: the last frames are at %v, the takeover was at %v", grace, last, time.Duration(before))
			}
			if grace == 0 && !errors.Is(s.err, stream.ErrClosed) {
				t.Errorf("after the newcomer's end: %v, want ErrClosed", s.err)
			}
		})
	}
}

// A newcomer that takes over the name and then sends nothing ends a push that need not hold, after a while.
func TestTakenOverByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := beginShow(t, 0, nil)
		src, err := s.hub.Claim(t.Context(), stream.Info{Name: "s", ID: "s", Publisher: stream.Publisher{Credential: "a token"}})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		s.wait(12 * time.Second)
		src.Close(errors.New("it never connected"))
		s.wait(takeoverGrace)
		if took := s.ended.Sub(begun); s.err == nil || took < 12*time.Second || took > takeoverGrace+time.Second {
			t.Errorf("the push ended with %v after %v, want it after %v", s.err, took, takeoverGrace)
		}
	})
}
