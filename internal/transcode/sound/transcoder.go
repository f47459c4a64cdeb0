package sound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/aac"
	"transponder/internal/transcode/libav"
)

// Config says what sound is made into, unless something else is asked for, and how.
type Config struct {
	Codec media.Codec // AAC, PCMA, PCMU or Speex
	Copy  bool        // G.711 and Speex stay what they are, whatever Codec says

	RateBPS    int // of AAC, in bit/s
	SampleRate int // of AAC, in Hz
	Channels   int // of AAC

	// FastAAC makes AAC by package aac, at a fraction of what FFmpeg's encoder costs.
	FastAAC bool

	// MonoAsStereo has FFmpeg's encoder code one channel only of sound that is the same on both, at little more than half the cost. What
	// goes out is stereo all the same. Package aac always does that.
	MonoAsStereo bool

	// AddSilence gives sources without sound a silent track. Without it, nothing is sent before a first packet came.
	AddSilence bool

	// Hold is how long sound that is due may be late before something else is put in its place. It grows for a source whose
	// packets keep coming later than that, up to MaxHold.
	Hold, MaxHold time.Duration

	// FirstPacket bounds the wait for the first packet of a source that is to have audio. Only then is it known whether the
	// source sends what is asked for, which needs no encoder.
	FirstPacket time.Duration
}

// DefaultConfig makes AAC of 128 kbit/s, as YouTube and Facebook want stereo. The hold outlasts the usual jitter of a
// mobile network.
func DefaultConfig() Config {
	return Config{
		Codec:        media.AAC,
		RateBPS:      128_000,
		SampleRate:   sampleRate,
		Channels:     channels,
		FastAAC:      true,
		MonoAsStereo: true,
		AddSilence:   true,
		Hold:         120 * time.Millisecond,
		MaxHold:      600 * time.Millisecond,
		FirstPacket:  time.Second,
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Codec == media.CodecNone || c.RateBPS == 0 || c.SampleRate == 0 || c.Channels == 0 {
		errs = append(errs, errors.New("audio codec, bit rate, sample rate and channels: one of them is missing"))
	}
	for _, f := range []media.AudioFormat{
		{Codec: c.Codec}, {RateBPS: c.RateBPS}, {SampleRate: c.SampleRate}, {Channels: c.Channels},
	} {
		errs = append(errs, checkFormat(f))
	}
	if c.Hold < 0 {
		errs = append(errs, fmt.Errorf("audio hold %v is negative", c.Hold))
	}
	if c.MaxHold < c.Hold {
		errs = append(errs, fmt.Errorf("longest audio hold %v is shorter than the hold %v", c.MaxHold, c.Hold))
	}
	if c.FirstPacket < 0 {
		errs = append(errs, fmt.Errorf("wait for the first audio packet %v is negative", c.FirstPacket))
	}
	return errors.Join(errs...)
}

// Transcoder makes AAC, G.711 and Speex of the sound of any number of sources. All methods may be called from any goroutine.
type Transcoder struct {
	cfg Config
	log *slog.Logger

	newDecoder func(*media.Track) (decoder, error)
	newEncoder func(media.AudioFormat) (Encoder, error)

	mu    sync.Mutex
	live  map[*stream.Source][]*meter // guarded by mu
	ended Stats                       // guarded by mu; of all that are over
}

// decoder turns packets into interleaved stereo PCM at 48 kHz. See libav.Decoder.
type decoder interface {
	Decode(pcm []float32, packet []byte) (int, error)
	Delay() int
	Close()
}

// concealer is a decoder that can make up what is lost. See libav.OpusDecoder.
type concealer interface {
	Conceal(pcm []float32, n int) (int, error)
	Recover(pcm []float32, n int, next []byte) (int, error)
}

// Encoder turns frames of PCM, of the form that the encoder was opened for, into packets. See libav.Encoder.
type Encoder interface {
	FrameSize() int
	Delay() int
	Config() []byte
	Encode(pcm []float32) ([]byte, error)
	Close()
}

// New returns a Transcoder that has nothing to do yet. cfg is valid. The first call tries out the codecs for a few milliseconds.
func New(cfg Config, log *slog.Logger) *Transcoder {
	return newTranscoder(cfg, log, checks{fast: fastWorks, pairs: pairsWork})
}

// checks say what of the codecs does not work.
type checks struct{ fast, pairs func() error }

// newTranscoder leaves out what does not work.
func newTranscoder(cfg Config, log *slog.Logger, checks checks) *Transcoder {
	if cfg.FastAAC && libav.Enabled {
		if err := checks.fast(); err != nil {
			log.Warn("AAC is made by FFmpeg and will cost some times as much", "err", err)
			cfg.FastAAC = false
		}
	}
	if !cfg.FastAAC && cfg.MonoAsStereo && libav.Enabled {
		if err := checks.pairs(); err != nil {
			log.Warn("sound in mono will cost as much as stereo", "err", err)
			cfg.MonoAsStereo = false
		}
	}
	a := &Transcoder{
		cfg: cfg,
		log: log,
		newDecoder: func(t *media.Track) (decoder, error) {
			if t.Codec == media.Opus {
				return libav.NewOpusDecoder()
			}
			return libav.NewDecoder(t)
		},
		live: map[*stream.Source][]*meter{},
	}
	a.newEncoder = a.encoder
	return a
}

// encoder opens an encoder, of one channel where that is enough.
func (a *Transcoder) encoder(f media.AudioFormat) (Encoder, error) {
	if f.Codec != media.AAC || a.cfg.FastAAC || !a.cfg.MonoAsStereo || f.Channels != channels {
		return OpenEncoder(f, a.cfg.FastAAC)
	}
	open := func(f media.AudioFormat) (Encoder, error) { return libav.NewEncoder(f) }
	return newPairEncoder(f, open, func(err error) { a.log.Warn("sound in mono costs as much as stereo", "err", err) })
}

// OpenEncoder opens an encoder for a format. If fast is set, AAC is made by package aac, unless that fails its trial on this machine.
func OpenEncoder(f media.AudioFormat, fast bool) (Encoder, error) {
	if f.Codec == media.AAC && fast && fastWorks() == nil {
		return aac.New(f)
	}
	return libav.NewEncoder(f)
}

// Check says what is wrong with a format that is asked for.
func (a *Transcoder) Check(format media.AudioFormat) error {
	if err := checkFormat(format); err != nil {
		return err
	}
	want := a.want(format)
	if err := checkFormat(want.asked); err != nil {
		return err
	}
	if libav.Enabled && !libav.CanEncode(want.make.Codec) {
		return fmt.Errorf("this server has no encoder for %v", want.make.Codec)
	}
	return nil
}

// Feed returns a feed of the source's sound in a format, and what gives it back; release may be called once. Fields of the
// format that are zero are as the settings say; Check knows what is wrong with it.
//
// A source that sends what is asked for gives its own feed: the codec, and the bit rate, sampling rate and channels where the
// format, not the settings, says them. Any other gives a rendition, the same for all who ask for the same, every frame with
// one and the same Track, at times that only the count of samples decides, and without end: what is lost or not sent becomes
// silence, up to the hold behind the source's clock. A source without audio is silent from the beginning, and any sound it
// sends later is heard; with Config.AddSilence unset it gives nothing until then.
//
// A source that is to have audio (stream.Info.HasAudio) but has sent none gives a rendition that waits for its first packet,
// at most Config.FirstPacket. If that is what is asked for the rendition passes the source's frames through as they are;
// else it is as above, silence included, from the time of the call. A door that does not know yet whether its publisher
// sends audio says HasAudio.
func (a *Transcoder) Feed(s *stream.Source, format media.AudioFormat) (feed *stream.Feed, release func(), err error) {
	if !libav.Enabled {
		return nil, nil, libav.ErrDisabled
	}
	if err := a.Check(format); err != nil {
		return nil, nil, err
	}
	want := a.want(format)
	if t := s.Audio.Track(); t != nil && want.passes(t) {
		return s.Audio, func() {}, nil
	}
	return s.Rendition(want.key(), nil, func(ctx context.Context, out *stream.Feed) error {
		return a.render(ctx, s, want, out)
	})
}

// Expect describes the frames of Feed before the first of them came, as far as that can be told. A source that passes is described
// by its own track; what is made has no Config here.
func (a *Transcoder) Expect(s *stream.Source, format media.AudioFormat) *media.Track {
	want := a.want(format)
	if t := s.Audio.Track(); t != nil && want.passes(t) {
		return t
	}
	return &media.Track{Codec: want.make.Codec, SampleRate: want.make.SampleRate, Channels: want.make.Channels}
}

// wanted is what is asked for.
type wanted struct {
	asked media.AudioFormat // zero where any will do, but for the codec
	make  media.AudioFormat // of sound that does not pass
	any   bool              // all that RTMP has always had passes
}

// want puts the settings where the format says nothing.
func (a *Transcoder) want(f media.AudioFormat) wanted {
	w := wanted{asked: f, any: f == media.AudioFormat{} && a.cfg.Copy}
	w.asked.Codec = cmp.Or(f.Codec, a.cfg.Codec)
	w.make = w.asked
	if w.asked.Codec == media.AAC {
		w.make.RateBPS = cmp.Or(f.RateBPS, a.cfg.RateBPS)
		w.make.SampleRate = cmp.Or(f.SampleRate, a.cfg.SampleRate)
		w.make.Channels = cmp.Or(f.Channels, a.cfg.Channels)
	}
	w.make = complete(w.make)
	return w
}

// key tells renditions apart.
func (w wanted) key() string { return fmt.Sprintf("audio %+v", w) }

// passes says whether a track's sound is what is asked for already.
func (w wanted) passes(t *media.Track) bool {
	switch t.Codec {
	case media.PCMA, media.PCMU, media.Speex:
		plain := complete(media.AudioFormat{Codec: t.Codec})
		return (w.any || t.Codec == w.asked.Codec) &&
			(t.SampleRate == 0 || t.SampleRate == plain.SampleRate) && t.Channels <= plain.Channels
	case media.Opus:
		return w.asked.Codec == media.Opus
	case media.AAC:
		f := w.asked
		return w.any || f.Codec == media.AAC && f.RateBPS == 0 &&
			(f.SampleRate == 0 || f.SampleRate == t.SampleRate) && (f.Channels == 0 || f.Channels == t.Channels)
	}
	return false
}
