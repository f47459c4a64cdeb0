package rtmpserver

import (
	"time"

	"transponder/internal/media"
)

const (
	// Silence is written if no sound has come for silentAfter, and if the pictures are ahead of the sound by as much. Encoders may
	// send sound in groups of packets, or later than the pictures.
	silentAfter = 2 * time.Second
	// silentLag is how far the silence stays behind the pictures. Sound that comes back within this time is not late.
	silentLag = 200 * time.Millisecond
	// maxSilence is the most silence that is written at once. After a longer pause of the pictures, the time of the sound jumps.
	maxSilence = 3 * time.Second
)

// gap is a gap in the sound of a stream. It is filled with silence, because players and servers that synchronize sound and pictures
// show nothing while one of them is missing.
type gap struct {
	open  bool            // silence is being written
	heard media.Timestamp // when the last message of sound arrived

	track  *media.Track // for which packet was made
	packet []byte       // a packet of silence; nil: there is none for this codec
	length time.Duration
}

// fillSound is called for each picture. If the sound has stopped, it writes silence up to the last picture. It does so only for AAC:
// sound in other codecs is always transcoded, and the transcoder writes silence of its own.
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
			g.packet, g.length, _ = media.SilentAAC(in.audio.Config) // nil if there is none
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
