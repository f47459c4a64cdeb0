package rtc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"transponder/internal/limits"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/stream"
)

// EgressConfig says how streams are played.
type EgressConfig struct {
	// ConnectTimeout limits the time from the answer to the end of the DTLS handshake.
	ConnectTimeout time.Duration
	// TrackTimeout limits the wait for the first frames of a new stream: they tell what the stream sends.
	TrackTimeout time.Duration
	// MaxPlayers limits how many clients play at a time; 0: no limit.
	MaxPlayers int
}

// trackTimeoutRange is the range of EgressConfig.TrackTimeout, which is no setting.
var trackTimeoutRange = limits.Of(0, time.Minute)

// DefaultEgressConfig waits as long for a connection as DefaultConfig, and 2 s for the first frames.
func DefaultEgressConfig() EgressConfig {
	return EgressConfig{ConnectTimeout: 12 * time.Second, TrackTimeout: 2 * time.Second}
}

// Validate reports every value that cannot work.
func (c EgressConfig) Validate() error {
	return errors.Join(
		ConnectTimeoutRange.Check("connect timeout", c.ConnectTimeout),
		trackTimeoutRange.Check("track timeout", c.TrackTimeout),
		MaxPlayersRange.Check("the limit of players", c.MaxPlayers),
	)
}

// TranscodeFunc returns a feed of the source in another codec, and the function that releases the feed.
type TranscodeFunc func(*stream.Source, media.Codec) (feed *stream.Feed, release func(), err error)

// EgressParts are the parts of the server that an Egress works with.
type EgressParts struct {
	Sender    Sender
	Transcode TranscodeFunc // makes Opus of other sound, and H.264 or VP8 of pictures that the client cannot play
	Gate      *load.Gate    // decides whether this machine has room for another player; nil: it always has
}

// Egress plays streams of the hub to WebRTC clients. The doors use it. All methods may be called from any goroutine.
type Egress struct {
	cfg   EgressConfig
	parts EgressParts
	log   *slog.Logger

	players    atomic.Int64
	maxPlayers atomic.Int64 // EgressConfig.MaxPlayers, or what SetMaxPlayers has set
}

// NewEgress makes an egress for a valid configuration.
func NewEgress(cfg EgressConfig, parts EgressParts, log *slog.Logger) *Egress {
	e := &Egress{cfg: cfg, parts: parts, log: log}
	e.SetMaxPlayers(cfg.MaxPlayers)
	return e
}

// SetMaxPlayers changes EgressConfig.MaxPlayers. Players beyond the new limit stay.
func (e *Egress) SetMaxPlayers(n int) { e.maxPlayers.Store(int64(n)) }

// Players returns how many clients play now.
func (e *Egress) Players() int { return int(e.players.Load()) }

// Play answers an offer to receive. The playback is not connected yet; the caller calls Run. Play fails with ErrBadOffer,
// ErrNoCommonCodecs, load.ErrFull or an error of the transcoder.
func (e *Egress) Play(ctx context.Context, offer Offer, src *stream.Source) (*Playback, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	p := newPlayback(e, src)
	if err := p.start(ctx, offer); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// enter counts another player, if there is room.
func (e *Egress) enter() error {
	n := e.players.Add(1)
	err := e.parts.Gate.Admit(load.Player)
	if most := e.maxPlayers.Load(); most > 0 && n > most {
		err = fmt.Errorf("%w: it takes %d players", load.ErrFull, most)
	}
	if err != nil {
		e.players.Add(-1)
	}
	return err
}
