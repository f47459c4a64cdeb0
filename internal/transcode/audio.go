package transcode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
)

// The bounds of AudioConfig.RateBPS: below, AAC-LC stereo is not worth hearing; above lies the most that a frame can hold.
const (
	minRateBPS = 32_000
	maxRateBPS = 512_000
)

// AudioConfig says how AAC is made.
type AudioConfig struct {
	RateBPS int // of the AAC, in bit/s

	// Hold is how long sound that is due may be late before something else is put in its place. It grows for a source whose
	// packets keep coming later than that, up to MaxHold.
	Hold, MaxHold time.Duration

	// FirstPacket bounds the wait for the first packet of a source that is to have audio. Only then is it known whether the
	// source sends AAC, which needs no encoder.
	FirstPacket time.Duration
}

// DefaultAudioConfig makes 128 kbit/s, as YouTube and Facebook want stereo. The hold outlasts the usual jitter of a mobile
// network.
func DefaultAudioConfig() AudioConfig {
	return AudioConfig{
		RateBPS:     128_000,
		Hold:        120 * time.Millisecond,
		MaxHold:     600 * time.Millisecond,
		FirstPacket: time.Second,
	}
}

// Validate reports every value that cannot work.
func (c AudioConfig) Validate() error {
	var errs []error
	if c.RateBPS < minRateBPS || c.RateBPS > maxRateBPS {
		errs = append(errs, fmt.Errorf("audio bit rate %d is not within %d and %d bit/s", c.RateBPS, minRateBPS, maxRateBPS))
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

// Audio makes AAC of the sound of any number of sources. All methods may be called from any goroutine.
type Audio struct {
	cfg AudioConfig
	log *slog.Logger

	newDecoder func(*media.Track) (decoder, error)
	newEncoder func(rateBPS int) (encoder, error)

	mu    sync.Mutex
	live  map[*stream.Source]*meter // guarded by mu
	ended AudioStats                // guarded by mu; of all that are over
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

// encoder turns frames of such PCM into AAC packets. See libav.Encoder.
type encoder interface {
	FrameSize() int
	Delay() int
	Config() []byte
	Encode(pcm []float32) ([]byte, error)
	Close()
}

// NewAudio returns an Audio that has nothing to do yet. cfg is valid.
func NewAudio(cfg AudioConfig, log *slog.Logger) *Audio {
	return &Audio{
		cfg: cfg,
		log: log,
		newDecoder: func(t *media.Track) (decoder, error) {
			if t.Codec == media.Opus {
				return libav.NewOpusDecoder()
			}
			return libav.NewDecoder(t)
		},
		newEncoder: func(rateBPS int) (encoder, error) { return libav.NewEncoder(rateBPS) },
		live:       map[*stream.Source]*meter{},
	}
}

// Feed returns a feed of the source's sound in a format, and what gives it back; release may be called once.
//
// A source that sends AAC gives its own feed. Any other gives a rendition, the same for all callers: AAC-LC, 48 kHz
// stereo, every frame with one and the same Track, at times that only the count of samples decides, and without end: what
// is lost or not sent becomes silence, up to the hold behind the source's clock. A source without audio is silent from
// the beginning, and any sound it sends later is heard.
//
// A source that is to have audio (stream.Info.HasAudio) but has sent none gives a rendition that waits for its first
// packet, at most AudioConfig.FirstPacket. If that is AAC the rendition passes the source's frames through as they are,
// whatever their form; else it is as above, silence included, from the time of the call. A door that does not know yet
// whether its publisher sends audio says HasAudio.
func (a *Audio) Feed(s *stream.Source, format media.AudioFormat) (feed *stream.Feed, release func(), err error) {
	if !libav.Enabled {
		return nil, nil, libav.ErrDisabled
	}
	if format.Codec != media.CodecNone && format.Codec != media.AAC {
		return nil, nil, fmt.Errorf("sound as %v: %w", format.Codec, libav.ErrUnsupported)
	}
	if t := s.Audio.Track(); t != nil && t.Codec == media.AAC {
		return s.Audio, func() {}, nil
	}
	return s.Rendition("aac", nil, func(ctx context.Context, out *stream.Feed) error {
		return a.render(ctx, s, out)
	})
}
