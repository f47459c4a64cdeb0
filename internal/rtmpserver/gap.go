package rtmpserver

import (
	"time"

	"transponder/internal/media"
)

const (
	// silentAfter is how long no sound comes before silence takes its place, and how far the pictures must be ahead of it by then:
	// an encoder may send its sound in bunches, or somewhat behind its pictures.
	silentAfter = 2 * time.Second
	// silentLag is how far the silence stays behind the pictures, so that it is not in the way of the sound when that comes back.
	silentLag = 200 * time.Millisecond
	// maxSilence is how much silence is made at once. After a longer pause of the pictures, time jumps.
	maxSilence = 3 * time.Second
)

// gap is where a stream's sound has stopped. Players and servers that put sound and pictures together wait for both, and show
// nothing while they wait.
type gap struct {
	open  bool            // silence is written
	heard media.Timestamp // when the last message of sound arrived

	track  *media.Track // that packet is for
	packet []byte       // of silence; nil: none is known
	length time.Duration
}

// fillSound writes silence up to the last picture where the sound has stopped. It is called with each picture, and does something
// for AAC only: other sound is never sent on as it is, and what is made of it has its own silence.
func (in *ingest) fillSound(now media.Timestamp) {
	g := &in.gap
	if in.audio == nil || in.lastAudio == 0 || now.Sub(g.heard) < silentAfter {
		return
	}
	if !g.open && in.lastVideo.Sub(in.lastAudio) < silentAfter {
		return
	}
	if g.track != in.audio {
		g.track, g.packet = in.audio, nil
		if in.audio.Codec == media.AAC {
			g.packet, g.length, _ = media.SilentAAC(in.audio.Config) // nil without
		}
	}
	if g.packet == nil {
		return
	}
	g.open = true
	in.silence(in.lastVideo.Add(-silentLag))
}

// silence writes silence up to a time.
func (in *ingest) silence(until media.Timestamp) {
	g := &in.gap
	in.lastAudio = max(in.lastAudio, until.Add(-maxSilence))
	for at := in.lastAudio.Add(g.length); at <= until; at = at.Add(g.length) {
		in.lastAudio = at
		in.src.Audio.Fill(media.Frame{Track: g.track, Time: at, Key: true, Data: g.packet})
	}
}
