package leg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip/sdp"
	"transponder/internal/stream"
)

// errOwnStream means that a call was to hear itself.
var errOwnStream = errors.New("this is the stream of the call itself")

// player plays a stream to the phone: its pictures at once, its sound through the voice. One goroutine executes run; all other methods may
// be called from any goroutine.
type player struct {
	voice     *voice
	pictures  *out
	transcode rtc.TranscodeFunc
	now       func() time.Duration
	log       *slog.Logger

	pictureAt   uint32        // owned by run: RTP time of the last picture
	pictureSent time.Duration // owned by run: when it was sent; 0: none was

	shown   atomic.Pointer[stream.Feed] // the feed of the pictures; nil: none
	changed chan struct{}               // holds one token when the fields below have changed

	mu      sync.Mutex
	src     *stream.Source // guarded by mu; nil: nothing is played
	sound   soundTerms     // guarded by mu
	picture pictureTerms   // guarded by mu
}

// pictureTerms say how we send pictures. The zero value means that we send none.
type pictureTerms struct {
	on     bool
	number uint8
	codec  media.Codec
	single bool // H.264 in packetization mode 0
}

// newPictureTerms returns how a flow lets us send.
func newPictureTerms(f *sdp.Flow) pictureTerms {
	if f == nil || !f.Direction.Sends() {
		return pictureTerms{}
	}
	return pictureTerms{on: true, number: f.Send.Number, codec: f.Send.Codec.Media(), single: f.Send.Codec == sdp.H264 && f.Send.Mode() == 0}
}

// play sets what is played.
func (p *player) play(src *stream.Source) {
	p.mu.Lock()
	p.src = src
	p.mu.Unlock()
	p.touch()
}

// agree sets how media is sent.
func (p *player) agree(sound soundTerms, picture pictureTerms) {
	p.mu.Lock()
	same := sound.same(p.sound) && picture == p.picture
	p.sound, p.picture = sound, picture
	p.mu.Unlock()
	if !same {
		p.touch()
	}
}

func (p *player) touch() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// requestKeyFrame asks the played stream for a key frame, as the phone wishes.
func (p *player) requestKeyFrame() {
	if feed := p.shown.Load(); feed != nil {
		feed.RequestKeyFrame()
	}
}

// run plays until ctx ends. It calls ended each time that what is played ends by itself.
func (p *player) run(ctx context.Context, ended func(error)) {
	for ctx.Err() == nil {
		select {
		case <-p.changed: // what has changed is read now
		default:
		}
		p.mu.Lock()
		src, sound, picture := p.src, p.sound, p.picture
		p.mu.Unlock()
		if src == nil || !sound.on && !picture.on {
			select {
			case <-p.changed:
			case <-ctx.Done():
			}
			continue
		}
		if err := p.stream(ctx, src, sound, picture); err != nil && ctx.Err() == nil && p.over(src) {
			ended(err)
		}
	}
}

// over ends a source; it returns false if another one has replaced it.
func (p *player) over(src *stream.Source) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.src != src {
		return false
	}
	p.src = nil
	return true
}

// stream plays a source until it ends or something else is wanted; then the error is nil.
func (p *player) stream(ctx context.Context, src *stream.Source, sound soundTerms, picture pictureTerms) error {
	s := &showing{player: p, src: src, sound: sound, picture: picture}
	defer s.close()
	s.open()
	frames := make([]media.Frame, 16)
	for {
		n, err := s.reader.TryRead(frames)
		if err != nil {
			return fmt.Errorf("%w: %w", rtc.ErrSourceEnded, err)
		}
		for _, f := range frames[:n] {
			if err := s.send(ctx, f); err != nil {
				return err
			}
		}
		clear(frames[:n])
		if n > 0 {
			continue
		}
		select {
		case <-s.reader.Arrived():
		case <-p.changed:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
