package leg

import (
	"context"
	"fmt"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/stream"
)

// maxQueue limits how late pictures are sent.
const maxQueue = time.Second

// showing is one stream that is played, in codecs that were agreed on. The goroutine of the player owns it.
type showing struct {
	player  *player
	src     *stream.Source
	sound   soundTerms
	picture pictureTerms

	reader   *stream.Reader
	cut      *rtc.SoundCutter
	packets  rtc.Packetizer // nil: no pictures are sent
	clock    *rtc.RTPClock  // of the pictures
	spread   rtc.Spread
	releases []func() // of the transcoded feeds

	soundMade, pictureMade bool // the feed is a transcoded one
}

// open begins to read the source's own feeds. The first frames tell whether they must be transcoded.
func (s *showing) open() {
	cfg := stream.ReaderConfig{MaxDuration: maxQueue}
	if s.sound.on {
		cfg.Audio = s.src.Audio
		s.cut = rtc.NewSoundCutter(s.sound.codec, s.sound.length)
	}
	if s.picture.on {
		// Some phones read no STAP-A packets, though packetization mode 1 has them.
		s.packets = rtc.NewPacketizer(rtc.PacketizerConfig{Codec: s.picture.codec, SingleNAL: s.picture.single, NoSTAPA: true})
	}
	if s.packets != nil {
		cfg.Video = s.src.Video
		s.player.shown.Store(s.src.Video)
		s.clock = rtc.NewRTPClock(s.picture.codec, s.player.nextPicture(s.picture.codec))
	}
	s.reader = s.src.NewReader(cfg)
}

// nextPicture returns the RTP time of a picture that is sent now, after the pictures of another stream.
func (p *player) nextPicture(codec media.Codec) uint32 {
	if p.pictureSent == 0 {
		return random32()
	}
	passed := max(p.now()-p.pictureSent, 10*time.Millisecond)
	return p.pictureAt + uint32(int64(passed)*int64(codec.ClockRate())/int64(time.Second))
}

func (s *showing) close() {
	s.reader.Close()
	s.player.shown.Store(nil)
	s.player.voice.silence()
	for _, release := range s.releases {
		release()
	}
}

// send sends a frame, or goes over to a transcoded feed if the phone cannot play the frame.
func (s *showing) send(ctx context.Context, f media.Frame) error {
	if f.Kind() == media.Audio {
		if f.Track.Codec != s.sound.codec {
			return s.transcodeSound()
		}
		s.speak(f)
		return nil
	}
	if s.packets == nil {
		return nil
	}
	// An RTP time says when a picture is shown, and phones decode pictures in the order in which they come. So B-frames cannot be sent.
	if f.Track.Codec != s.picture.codec || f.Delay != 0 && !s.pictureMade {
		s.transcodePicture()
		return nil
	}
	return s.show(ctx, f)
}

// speak gives a frame of sound to the voice.
func (s *showing) speak(f media.Frame) {
	for _, p := range s.cut.Cut(f) {
		length := usualLength
		if p.Units > 0 {
			length = media.Samples(p.Units, s.sound.clock)
		}
		s.player.voice.push(s.sound.codec, piece{payload: p.Payload, length: length, wall: s.src.Created().Add(time.Duration(p.Time))})
	}
}

// show sends a picture, a large one in bursts.
func (s *showing) show(ctx context.Context, f media.Frame) error {
	payloads := s.packets.Payloads(f)
	shownAt := f.Time.Add(f.Delay)
	p := outgoing{
		number: s.picture.number, time: s.clock.At(shownAt, 0), clock: s.picture.codec.ClockRate(),
		wall: s.src.Created().Add(time.Duration(shownAt)),
	}
	s.player.pictureAt, s.player.pictureSent = p.time, s.player.now()
	for i, payload := range payloads {
		if i > 0 && i%rtc.BurstSize == 0 {
			if err := s.spread.Pause(ctx, len(payloads)); err != nil {
				return err
			}
		}
		p.payload, p.marker = payload, i == len(payloads)-1
		s.player.pictures.write(p, s.player.now())
	}
	return nil
}

// transcodeSound goes over to sound in the phone's codec. Frames that were read before are left out.
func (s *showing) transcodeSound() error {
	if s.soundMade {
		return nil
	}
	feed, release, err := s.player.transcode(s.src, s.sound.codec)
	if err != nil {
		return fmt.Errorf("play the sound to the phone as %v: %w", s.sound.codec, err)
	}
	s.soundMade, s.releases = true, append(s.releases, release)
	s.reader.UseAudio(feed)
	return nil
}

// transcodePicture goes over to pictures in the phone's codec. If there is no room for that, the phone hears the stream and sees nothing.
func (s *showing) transcodePicture() {
	if s.pictureMade {
		return
	}
	feed, release, err := s.player.transcode(s.src, s.picture.codec)
	if err != nil {
		s.player.log.Warn("the phone gets no picture", "stream", s.src.Info().Name, "err", err)
		s.packets = nil
		s.player.shown.Store(nil)
		return
	}
	s.pictureMade, s.releases = true, append(s.releases, release)
	s.player.shown.Store(feed)
	s.reader.UseVideo(feed)
}
