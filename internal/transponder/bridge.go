package transponder

import (
	"time"

	"transponder/internal/media"
)

const (
	// bridgePause is the time between two repeated pictures. Players that judge by pictures whether a stream is live need them about this
	// often, and they cost a few hundred bit/s. Each picture comes with the silence of that time.
	bridgePause = 100 * time.Millisecond
	// bridgeKeys is the time between key frames: YouTube, Facebook and Twitch ask for it, and HLS cuts segments at key frames.
	bridgeKeys = 2 * time.Second
	// maxSilence is the most silence that is made up at once. If nothing was sent for longer, the time of the sound jumps.
	maxSilence = time.Second
	// opusFrame is the duration of opusSilence.
	opusFrame = 20 * time.Millisecond
)

// opusSilence is a CELT frame of silence at full bandwidth (RFC 6716, 3.1: configuration 31).
var opusSilence = []byte{0xf8, 0xff, 0xfe}

// bridge makes up frames while a stream has no publisher, or no pictures: it repeats the last picture, or shows a still, and adds silence.
// The times follow the frames that were sent before. Pictures and sound are each made up until the publisher, or the next one, sends them. A
// bridge has no clock, does no I/O, and belongs to one goroutine.
type bridge struct {
	silenceOnly bool // pictures are not repeated, so none is kept

	// The latest frames that were sent. They share their data with the other readers of the stream.
	last      media.Frame     // picture
	reference media.Frame     // picture that other pictures may refer to
	key       media.Frame     // key frame
	sound     media.Frame     // without its data
	shown     media.Timestamp // the latest presentation time of a picture

	pictures, sounds bool // which of the two are made up now
	lastKey          media.Timestamp
	wantKey          bool                // the next picture must be a key frame
	repeater         *media.H264Repeater // nil: only key frames can be repeated
	silence          []byte              // data of a silent frame; nil: none is known for the codec
	length           time.Duration       // of a silent frame
	soundEnd         media.Timestamp     // end of the sound that was sent or made up
}

// sent notes a frame of the publisher. Its kind of media is not made up any more.
func (b *bridge) sent(f media.Frame) {
	if f.Kind() == media.Audio {
		b.sound, b.sounds = f, false
		b.sound.Data = nil
		return
	}
	b.pictures, b.wantKey = false, false
	b.shown = max(b.shown, f.Time.Add(f.Delay))
	if b.silenceOnly {
		f.Data = nil
		b.last = f
		return
	}
	b.last = f
	if f.Key {
		b.key, b.lastKey = f, f.Time
	}
	if f.Track.Codec == media.H264 && media.H264Reference(f.Data) {
		b.reference = f
	}
}

// admit makes a frame of the publisher follow the frames that were sent before. It returns false if the frame must not be sent. Pictures
// begin with a key frame, sound begins where the silence ends, and times of one kind only grow. The time of f is on the bridge's clock.
func (b *bridge) admit(f media.Frame) (media.Frame, bool) {
	if f.Kind() == media.Audio {
		if f.Time < b.soundEnd.Add(-b.length/2) {
			return f, false
		}
		if b.sound.Track != nil {
			f.Time = max(f.Time, b.sound.Time+1)
		}
		return f, true
	}
	switch {
	case b.pictures && !f.Key:
		return f, false
	case b.pictures:
		f.Time = b.after(f.Time, f.Delay)
	case b.last.Track != nil:
		f.Time = max(f.Time, b.last.Time+1)
	}
	return f, true
}

// join ends the silence at the first sound of the publisher, which may be earlier than the end of the silence that was sent. It writes the
// silence that is missing up to that sound to dst and returns the number of frames.
func (b *bridge) join(at media.Timestamp, dst []media.Frame) int {
	if !b.sounds {
		return 0
	}
	b.sounds = false
	return b.silent(at.Add(-b.length/2), dst)
}

// silent writes silence up to a time to dst and returns the number of frames.
func (b *bridge) silent(until media.Timestamp, dst []media.Frame) int {
	n := 0
	for ; n < len(dst) && b.soundEnd <= until; n++ {
		b.sound.Time, b.sound.Data = b.soundEnd, b.silence
		dst[n] = b.sound
		b.soundEnd = b.soundEnd.Add(b.length)
	}
	return n
}

// after returns the time of a picture that is due at t and presented a delay later: t, or later where earlier pictures demand it.
func (b *bridge) after(t media.Timestamp, delay time.Duration) media.Timestamp {
	return max(t, b.last.Time.Add(time.Millisecond), b.shown.Add(time.Millisecond-delay))
}

// heard returns the end of the sound that was sent or made up, and the length of a frame of it. There may have been none.
func (b *bridge) heard() (end media.Timestamp, frame time.Duration, any bool) {
	frame = opusFrame
	switch {
	case b.sounds:
		return b.soundEnd, b.length, true
	case b.sound.Track == nil:
		return 0, frame, false
	case b.sound.Track.Codec == media.AAC && b.sound.Track.SampleRate > 0:
		frame = media.Samples(1024, b.sound.Track.SampleRate)
	}
	return b.sound.Time.Add(frame), frame, true
}

// begin starts to make up pictures and sound. slate is a key frame to show; if it has no track, the last picture stays.
func (b *bridge) begin(slate media.Frame) {
	if b.sound.Track != nil && !b.sounds {
		b.beginSilence()
	}
	if b.last.Track != nil && !b.pictures {
		b.beginPictures(slate)
	}
}

// show shows a still from a time on: the publisher sends no pictures.
func (b *bridge) show(still media.Frame, now media.Timestamp) {
	if b.last.Track == nil {
		b.last = media.Frame{Track: still.Track, Time: now.Add(-bridgePause)}
	}
	b.beginPictures(still)
}

func (b *bridge) beginSilence() {
	b.silence, b.length = nil, 0
	switch t := b.sound.Track; t.Codec {
	case media.AAC:
		b.silence, b.length, _ = media.SilentAAC(t.Config) // if it fails there is no sound, which players survive
	case media.Opus:
		b.silence, b.length = opusSilence, opusFrame
	}
	b.sounds = b.silence != nil
	b.soundEnd = b.sound.Time.Add(b.length)
}

// changeSilence continues with the silence of another codec.
func (b *bridge) changeSilence(t *media.Track) {
	if b.sound.Track == nil || b.sound.Track.Codec == t.Codec {
		return
	}
	b.sound.Track = t
	if b.sounds {
		b.beginSilence()
	}
}

// replace shows a slate in place of a repeated picture that cannot be sent any more.
func (b *bridge) replace(slate media.Frame) {
	if b.pictures && slate.Track != nil && b.key.Track.Codec != slate.Track.Codec {
		b.beginPictures(slate)
	}
}

// beginPictures chooses the picture to repeat: the last one if the codec allows that, or a key frame.
func (b *bridge) beginPictures(slate media.Frame) {
	follow := !b.wantKey && slate.Track == nil
	b.pictures, b.repeater, b.wantKey = true, nil, true
	if b.silenceOnly {
		return
	}
	if slate.Track != nil {
		b.key = slate
	}
	if b.key.Track.Codec != media.H264 {
		return
	}
	repeater, err := media.NewH264Repeater(b.key.Track.Config)
	if err != nil {
		return
	}
	b.repeater = repeater
	// If pictures are not presented in the order in which they are sent, it is unknown which was presented last. The key frame is used then.
	if follow && b.last.Delay == 0 && b.follow() == nil {
		b.wantKey = false
	}
}

// follow makes the last picture the one that is repeated.
func (b *bridge) follow() error {
	if b.reference.Track != b.last.Track {
		return media.ErrH264Repeat
	}
	if err := b.repeater.Follow(b.reference.Data); err != nil {
		return err
	}
	if b.last.Time == b.reference.Time {
		return nil
	}
	return b.repeater.Follow(b.last.Data)
}

// active reports whether anything is made up now.
func (b *bridge) active() bool { return b.pictures || b.sounds }

// restart makes the next picture a key frame, for a new connection.
func (b *bridge) restart() { b.wantKey = true }

// next writes the frames that are due now to dst, which has room for some, and returns their number.
func (b *bridge) next(now media.Timestamp, dst []media.Frame) int {
	n := 0
	if b.pictures && now >= b.last.Time.Add(bridgePause) {
		if f, ok := b.picture(now); ok {
			dst[n] = f
			n++
		}
	}
	if !b.sounds {
		return n
	}
	if now.Sub(b.soundEnd) > maxSilence {
		b.soundEnd = now
	}
	return n + b.silent(now, dst[n:])
}

// untilNext returns the time until the next frame is due.
func (b *bridge) untilNext(now media.Timestamp) time.Duration {
	if !b.pictures {
		return bridgePause
	}
	return min(max(b.last.Time.Add(bridgePause).Sub(now), time.Millisecond), bridgePause)
}

// picture makes one picture. If that is impossible it returns false, and only the time of the next try changes.
func (b *bridge) picture(now media.Timestamp) (media.Frame, bool) {
	f := b.key
	f.Time = b.after(now, f.Delay)
	b.last.Time = f.Time
	if b.silenceOnly {
		return f, false
	}
	if b.wantKey || f.Time.Sub(b.lastKey) >= bridgeKeys {
		if !b.again() {
			return f, false
		}
		b.wantKey, b.lastKey = false, f.Time
	} else {
		if b.repeater == nil {
			return f, false
		}
		data, err := b.repeater.Next()
		if err != nil {
			return f, false
		}
		f.Key, f.Data = false, data
	}
	b.shown = f.Time.Add(f.Delay)
	return f, true
}

// again reports whether the key frame can be sent once more. If so, that key frame is repeated from then on.
func (b *bridge) again() bool {
	if b.key.Track.Codec != media.H264 {
		return true
	}
	if !media.H264IDR(b.key.Data) {
		return false
	}
	if b.repeater != nil && b.repeater.Follow(b.key.Data) != nil {
		b.repeater = nil
	}
	return true
}
