package transponder

import (
	"context"
	"errors"
	"sync"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
)

const (
	// cardFor is how long a check sends the test card.
	cardFor = 2 * time.Second
	// cardText is what the test card says: whoever sees it on a channel should know what it is.
	cardText = "Test by Transponder"
)

// errNoCard means that this server cannot make a test card: it was built without codecs.
var errNoCard = errors.New("no test card can be made")

// card returns what makes the pictures and the silence of the test card. The frames begin at time 0.
func (c *check) card() (*bridge, error) {
	picture, err := c.parts.Stills.Card(cardText, standInWidth, standInHeight)
	if err != nil {
		return nil, errors.Join(errNoCard, err)
	}
	sound := &media.Track{Codec: media.AAC, SampleRate: 48000, Channels: 2}
	if sound.Config, err = media.AACConfig(sound.SampleRate, sound.Channels); err != nil {
		return nil, err
	}
	b := &bridge{sound: media.Frame{Track: sound, Key: true}}
	b.show(picture, 0)
	b.beginSilence()
	return b, nil
}

// sendCard sends the test card, and reads what the server says meanwhile. It closes the connection.
func (c *check) sendCard(ctx context.Context, at connection) error {
	defer at.conn.Close()
	card, err := c.card()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cardFor+stepTimeout)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, func() { at.conn.SetDeadline(time.Now()) })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		err := c.panics.Run(c.log, "check panicked", at.client.Serve)
		end(liveError(err))
	})
	err = play(ctx, at, card)
	stop()
	if half, ok := at.conn.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
		at.conn.SetReadDeadline(time.Now().Add(goodbyeWait)) // see goodbye
	} else {
		at.conn.Close()
	}
	wg.Wait()
	end(nil)
	return err
}

// play sends the test card as time goes by, then says goodbye.
func play(ctx context.Context, at connection, card *bridge) error {
	mux := &flv.Muxer{Metadata: flv.MetadataTag, FrameRate: func() float64 { return float64(time.Second / bridgePause) }}
	timer := time.NewTimer(0)
	defer timer.Stop()
	begun := time.Now()
	frames, tags := make([]media.Frame, 64), []flv.Tag(nil)
	for now := time.Duration(0); now < cardFor; now = time.Since(begun) {
		tags = tags[:0]
		for _, f := range frames[:card.next(media.Timestamp(now), frames)] {
			var err error
			if tags, err = mux.Append(tags, f); err != nil {
				return err
			}
		}
		if len(tags) > 0 {
			if err := at.client.WriteTags(tags); err != nil {
				return writeError(ctx, err)
			}
		}
		timer.Reset(card.untilNext(media.Timestamp(time.Since(begun))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return at.client.Unpublish()
}
