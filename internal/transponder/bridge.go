package transponder

import (
	"time"

	"transponder/internal/media"
)

const (
	// bridgePause is the time between two repeated pictures: often enough for players that measure liveness by pictures, at a few
	// hundred bit/s. The silence of that time comes with each.
	bridgePause = 100 * time.Millisecond
	// bridgeKeys is the time between key frames, as YouTube, Facebook and Twitch want them and HLS cuts by them.
	bridgeKeys = 2 * time.Second
	// maxSilence is how much silence is made up at once. After a longer pause of whoever sends, time jumps.
	maxSilence = time.Second
	// opusFrame is how long opusSilence lasts.
	opusFrame = 20 * time.Millisecond
)

// opusSilence is a CELT frame without energy, at full bandwidth (RFC 6716, 3.1: configuration 31).
var opusSilence = []byte{0xf8, 0xff, 0xfe}

// bridge makes a stream go on without its publisher: the last picture or a slate, and silence, on the clock of what was sent
// before. Each kind of media is bridged until the next publisher's own is there. It has no clock of its own, does no I/O, and is
// for one goroutine.
type bridge struct {
	silenceOnly bool // no picture is kept to be repeated

	// What was sent. The frames share their data with the stream's other readers.
	last      media.Frame // picture
	reference media.Frame // picture that others may refer to
	key       media.Frame // key frame
	sound     media.Frame
	shown     media.Timestamp // the latest time that a picture is presented

	pictures, sounds bool // that are bridged
	lastKey          media.Timestamp
	wantKey          bool                // the next picture is to be a key frame
	repeater         *media.H264Repeater // nil: there are key frames only
	silence          []byte              // nil: none is known for the codec
	length           time.Duration       // of silence
	soundEnd         media.Timestamp
}

// sent takes note of a frame of the publisher's. What it brings is not bridged any more.
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

// admit fits a frame of the publisher's, whose time is on the bridge's clock, to what was sent before it; false means that it is
// not to be sent. Pictures begin with a key frame, sound where the silence ends; times of a kind only grow.
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

// join ends the silence where the publisher's sound begins, which may be earlier than the silence that was sent already. It writes
// what silence is missing up to there to dst and returns how many frames that is.
func (b *bridge) join(at media.Timestamp, dst []media.Frame) int {
	if !b.sounds {
		return 0
	}
	b.sounds = false
	return b.silent(at.Add(-b.length/2), dst)
}

// silent writes silence up to a time.
func (b *bridge) silent(until media.Timestamp, dst []media.Frame) int {
	n := 0
	for ; n < len(dst) && b.soundEnd <= until; n++ {
		b.sound.Time, b.sound.Data = b.soundEnd, b.silence
		dst[n] = b.sound
		b.soundEnd = b.soundEnd.Add(b.length)
	}
	return n
}

// after returns t, or the time from which on a picture may be sent that is presented so much later.
func (b *bridge) after(t media.Timestamp, delay time.Duration) media.Timestamp {
	return max(t, b.last.Time.Add(time.Millisecond), b.shown.Add(time.Millisecond-delay))
}

// begin bridges what is not bridged yet. slate is a key frame to be shown; without a track, the last picture stays.
func (b *bridge) begin(slate media.Frame) {
	if b.sound.Track != nil && !b.sounds {
		b.beginSilence()
	}
	if b.last.Track != nil && !b.pictures {
		b.beginPictures(slate)
	}
}

func (b *bridge) beginSilence() {
	b.silence, b.length = nil, 0
	switch t := b.sound.Track; t.Codec {
	case media.AAC:
		b.silence, b.length, _ = media.SilentAAC(t.Config) // without it there is no sound, which players survive
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

// replace goes on with a slate where a picture is repeated that cannot be sent any more.
func (b *bridge) replace(slate media.Frame) {
	if b.pictures && slate.Track != nil && b.key.Track.Codec != slate.Track.Codec {
		b.beginPictures(slate)
	}
}

// beginPictures chooses between the last picture, which is repeated if the codec allows it, and a key frame.
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
	// Pictures that are not shown in the order in which they are sent do not tell which is the last: the key frame does.
	if follow && b.last.Delay == 0 && b.follow() == nil {
		b.wantKey = false
	}
}

// follow makes the last picture the one to be repeated.
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

// active says whether anything is bridged.
func (b *bridge) active() bool { return b.pictures || b.sounds }

// restart begins pictures anew with a key frame, for a new connection.
func (b *bridge) restart() { b.wantKey = true }

// next writes what is due at a time to dst, which has room for some frames, and returns how many that are.
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

// pause returns how long it is until more is due.
func (b *bridge) pause(now media.Timestamp) time.Duration {
	if !b.pictures {
		return bridgePause
	}
	return min(max(b.last.Time.Add(bridgePause).Sub(now), time.Millisecond), bridgePause)
}

// picture makes one picture. None may be possible: then nothing but the time of the next try changes.
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

// again says whether the key frame can be sent once more, and if so makes it what is repeated from then on.
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
