package rtc

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// playout sends the frames of one source after another to a client, in the codecs that were agreed on and on one clock. The
// goroutine that plays uses it; any goroutine may call wantKeyFrame and Stats.
type playout struct {
	transcode TranscodeFunc
	events    playoutEvents
	outlet    MediaOutlet
	epoch     time.Time // the clock of the playout was zero then; RTP times follow that clock

	source       *stream.Source // plays now
	again        bool           // source is not the first one
	shift        time.Duration  // from the clock of source to the clock of the playout
	joined       bool           // a frame of source was sent
	video, audio *sendTrack     // nil: not sent
	releases     []func()       // of the transcoded feeds
	reader       *stream.Reader
	spread       Spread

	shown   atomic.Pointer[stream.Feed] // the feed of the pictures
	seen    atomic.Pointer[[2]*media.Track]
	dropped atomic.Int64
}

// playoutEvents takes the events of a playout. The goroutine that plays calls the methods.
type playoutEvents interface {
	// begun reports that the first frame of a source is about to be sent.
	begun()
	// unplayable reports a kind of media that cannot be sent to the client. If it returns nil, the playout goes on without
	// that kind until the next source; otherwise the playout fails with the error.
	unplayable(kind media.Kind, cause error) error
}

// sendTrack is one track that is sent.
type sendTrack struct {
	kind  media.Kind
	codec media.Codec
	feed  *stream.Feed // nil: there is nothing to send
	cut   Packetizer
	clock *RTPClock
}

// transcodedVideo are the codecs that pictures can be transcoded to. Browsers must have both (RFC 7742, 5). Some have only
// the second one until they have downloaded the first.
var transcodedVideo = []media.Codec{media.H264, media.VP8}

// canMake says whether media can be transcoded to a codec that WebRTC has.
func canMake(c media.Codec) bool {
	return c.Kind() == media.Audio || slices.Contains(transcodedVideo, c)
}

func newPlayout(epoch time.Time, transcode TranscodeFunc, events playoutEvents) *playout {
	return &playout{epoch: epoch, transcode: transcode, events: events}
}

// newStreamID returns an id for the stream that is sent.
func newStreamID() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return fmt.Sprintf("%x", random)
}

// open makes a track for each section that receives.
func (p *playout) open(offer *ParsedOffer) {
	for _, s := range offer.Used() {
		if !s.Receives {
			continue
		}
		var origin [4]byte
		_, _ = rand.Read(origin[:]) // never fails
		t := &sendTrack{
			kind: s.Kind, codec: s.Codec, cut: NewPacketizer(PacketizerConfig{Codec: s.Codec}),
			clock: NewRTPClock(s.Codec, binary.BigEndian.Uint32(origin[:])),
		}
		if s.Kind == media.Video {
			p.video = t
		} else {
			p.audio = t
		}
	}
}

// join goes on with another source. What the new source sends may be unknown yet; it is assumed to send what was agreed on,
// until its first frame tells.
func (p *playout) join(next *stream.Source) error {
	p.again = p.source != nil
	p.source, p.shift, p.joined = next, next.Created().Sub(p.epoch), false
	for _, t := range []*sendTrack{p.video, p.audio} {
		if t == nil {
			continue
		}
		if err := p.feed(t); err != nil {
			return err
		}
	}
	return nil
}

// feed gives a track its feed of the source: the source's own, or a transcoded one if the source's codec is another.
func (p *playout) feed(t *sendTrack) error {
	t.feed = p.source.Video
	if t.kind == media.Audio {
		t.feed = p.source.Audio
	}
	if now := t.feed.Track(); now != nil && now.Codec != t.codec {
		feed, release, err := p.transcode(p.source, t.codec)
		if err != nil {
			return p.drop(t, err)
		}
		t.feed = feed
		p.releases = append(p.releases, release)
	}
	if t.kind == media.Video {
		p.shown.Store(t.feed)
	}
	return nil
}

// drop stops a track until the next source, unless the cause ends the playout.
func (p *playout) drop(t *sendTrack, cause error) error {
	t.feed = nil
	if t.kind == media.Video {
		p.shown.Store(nil)
	}
	return p.events.unplayable(t.kind, cause)
}

// rest releases the source. Nobody is asked for key frames until the next source.
func (p *playout) rest() {
	p.shown.Store(nil)
	p.releaseFeeds()
}

// releaseFeeds releases the transcoded feeds.
func (p *playout) releaseFeeds() {
	for _, f := range p.releases {
		f()
	}
	p.releases = nil
}

// wantKeyFrame asks for a key frame of the pictures that are sent.
func (p *playout) wantKeyFrame() {
	if feed := p.shown.Load(); feed != nil {
		feed.RequestKeyFrame()
	}
}

// Stats returns the figures of what is sent.
func (p *playout) Stats() PlayStats {
	st := p.outlet.Stats()
	st.Dropped = p.dropped.Load()
	if seen := p.seen.Load(); seen != nil {
		st.Video, st.Audio = seen[0], seen[1]
	}
	return st
}
