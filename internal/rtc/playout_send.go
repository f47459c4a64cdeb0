package rtc

import (
	"context"
	"fmt"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// play sends the frames of the source until it ends (ErrSourceEnded), closed says why the session has ended, or ctx ends.
func (p *playout) play(ctx context.Context, closed <-chan error) error {
	cfg := stream.ReaderConfig{MaxDuration: time.Second}
	if p.video != nil {
		cfg.Video = p.video.feed
	}
	if p.audio != nil {
		cfg.Audio = p.audio.feed
	}
	p.reader = p.source.NewReader(cfg)
	defer p.reader.Close()
	report := time.NewTicker(time.Second)
	defer report.Stop()
	frames := make([]media.Frame, 16)
	for {
		n, err := p.reader.TryRead(frames)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSourceEnded, err)
		}
		for _, f := range frames[:n] {
			if err := p.send(ctx, f); err != nil {
				return err
			}
		}
		clear(frames[:n])
		if n > 0 {
			continue
		}
		select {
		case <-p.reader.Arrived():
		case <-report.C:
			p.report(p.video)
			p.report(p.audio)
		case err := <-closed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// send sends one frame.
func (p *playout) send(ctx context.Context, f media.Frame) error {
	t := p.audio
	units := int64(0) // the frame's duration in RTP time, where the packet tells it
	if f.Kind() == media.Video {
		t = p.video
	} else {
		units = soundUnits(f)
	}
	if t == nil || t.feed == nil {
		return nil
	}
	if f.Track.Codec != t.codec || f.Kind() == media.Video && f.Delay != 0 && t.feed == p.source.Video {
		return p.replace(f, t)
	}
	p.see(f)
	first := !t.clock.Begun()
	at := t.clock.At(p.timeOf(f.Time.Add(f.Delay)), units)
	if err := p.write(ctx, t, t.cut.Payloads(f), at); err != nil {
		return err
	}
	if first { // so that sound and pictures are in sync from the start
		p.report(t)
	}
	return nil
}

// sourceGap is the least time between the last frame of one source and the first frame of the next.
const sourceGap = 20 * time.Millisecond

// timeOf returns a time of the source on the clock of the playout. The first frame of another source never
// goes back behind what was sent before, even if it comes at once or its publisher's clock is slow.
func (p *playout) timeOf(t media.Timestamp) media.Timestamp {
	if !p.joined {
		p.joined = true
		p.events.begun()
		for _, track := range []*sendTrack{p.video, p.audio} {
			if track != nil && track.clock.Begun() {
				p.shift += max(0, track.clock.last.Add(sourceGap).Sub(t.Add(p.shift)))
			}
		}
	}
	return t.Add(p.shift)
}

// write sends a frame, a large one in bursts.
func (p *playout) write(ctx context.Context, t *sendTrack, payloads [][]byte, at uint32) error {
	for size := len(payloads); len(payloads) > BurstSize; payloads = payloads[BurstSize:] {
		if err := p.outlet.Write(t.kind, payloads[:BurstSize], at, false); err != nil {
			return err
		}
		if err := p.spread.Pause(ctx, size); err != nil {
			return err
		}
	}
	return p.outlet.Write(t.kind, payloads, at, true)
}

// replace switches a track to a transcoded feed, because the client cannot play the source's own frames. The reason is a
// codec that was not agreed on, or B-frames: browsers show pictures in the order in which they come. Frames that were read
// before the switch are left out.
func (p *playout) replace(f media.Frame, t *sendTrack) error {
	transcodes := canMake(t.codec)
	if !transcodes && p.again { // the client would have to make a new offer
		return p.drop(t, fmt.Errorf("the publisher has come back with %v, which was not agreed on: %w", f.Track.Codec, ErrNoCommonCodecs))
	}
	if !transcodes || t.feed != p.source.Video && t.feed != p.source.Audio {
		p.dropped.Add(1)
		return nil
	}
	feed, release, err := p.transcode(p.source, t.codec)
	if err != nil {
		return p.drop(t, fmt.Errorf("transcode %v, which the client cannot play, to %v: %w", f.Track.Codec, t.codec, err))
	}
	p.releases = append(p.releases, release)
	t.feed = feed
	if t.kind == media.Audio {
		p.reader.UseAudio(feed)
		return nil
	}
	p.shown.Store(feed)
	p.reader.UseVideo(feed)
	return nil
}

// see notes the track of a frame that is sent, for Stats.
func (p *playout) see(f media.Frame) {
	var now [2]*media.Track
	if seen := p.seen.Load(); seen != nil {
		now = *seen
	}
	i := 0
	if f.Kind() == media.Audio {
		i = 1
	}
	if now[i] != f.Track {
		now[i] = f.Track
		p.seen.Store(&now)
	}
}

// report sends a sender report for a track. Its wall clock time is the time of sending: the round trip time can be told
// from a client's reply to it.
func (p *playout) report(t *sendTrack) {
	if t != nil && t.clock.Begun() {
		now := time.Since(p.epoch)
		p.outlet.Report(t.kind, p.epoch.Add(now), t.clock.Now(media.Timestamp(now)))
	}
}
