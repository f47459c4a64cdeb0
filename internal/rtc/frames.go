package rtc

import (
	"bytes"
	"log/slog"
	"sync/atomic"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// Frames writes the media of one sender to a stream, as frames with times of the stream's clock. One goroutine at a time may
// use it; any goroutine may call Jumps, touch and heard.
type Frames struct {
	src *stream.Source
	log *slog.Logger

	clock   clock
	audio   *media.Track // nil before the first packet
	video   h264Frames
	coded   codedFrames // for other codecs
	bFrames bFrameDetector
	mixed   bool // B-frames were found, and logged

	rotation int          // of the pictures that come now
	angle    int          // of shown: the rotation at its first key frame
	plain    *media.Track // without the rotation; shown is made from it
	shown    *media.Track // of the last picture

	lastAudio, lastVideo atomic.Int64 // media.Timestamp of the last media, or loss, of each
	jumps                atomic.Int64 // of the sender's RTP clocks
}

var _ MediaSink = (*Frames)(nil)

// NewFrames makes the frames of a source.
func NewFrames(src *stream.Source, log *slog.Logger) *Frames { return &Frames{src: src, log: log} }

// Video implements MediaSink.
func (f *Frames) Video(codec media.Codec, unit []byte, rtpTime uint32, key bool) {
	now := f.src.Now()
	f.lastVideo.Store(int64(now))
	var frame media.Frame
	var ok, needKey bool
	if codec == media.H264 {
		frame, ok, needKey = f.video.frame(unit, key)
	} else {
		frame, ok, needKey = f.coded.frame(codec, unit, key)
	}
	if needKey {
		f.src.Video.Fault(stream.FaultKeyFrame)
		f.src.RequestKeyFrame()
	}
	if !ok {
		return
	}
	if f.bFrames.outOfOrder(rtpTime) {
		f.src.Video.Fault(stream.FaultOrder)
		if !f.mixed {
			f.mixed = true
			f.log.Warn("publisher sends B-frames, which RTP has no order for: pictures will jerk", "stream", f.src.Info().Name)
		}
	}
	frame.Track = f.rotated(frame)
	frame.Time = f.time(codec, rtpTime, now)
	f.src.Video.Write(frame)
}

// Rotated implements MediaSink.
func (f *Frames) Rotated(degrees int) { f.rotation = degrees }

// rotated returns a frame's track with the rotation. A new rotation takes effect at the next key frame, for which rotated
// asks: readers start over with a new track.
func (f *Frames) rotated(frame media.Frame) *media.Track {
	switch {
	case frame.Track != f.plain, frame.Key && f.angle != f.rotation:
		f.plain, f.angle, f.shown = frame.Track, f.rotation, frame.Track
		if f.angle != 0 {
			t := *frame.Track
			t.Rotation = f.angle
			f.shown = &t
		}
	case f.angle != f.rotation:
		f.src.RequestKeyFrame()
	}
	return f.shown
}

// Audio implements MediaSink.
func (f *Frames) Audio(codec media.Codec, payload []byte, rtpTime uint32) {
	now := f.src.Now()
	f.lastAudio.Store(int64(now))
	if f.audio == nil || f.audio.Codec != codec {
		f.audio = audioTrack(codec)
	}
	f.src.Audio.Write(media.Frame{
		Track: f.audio,
		Time:  f.time(codec, rtpTime, now),
		Key:   true,
		Data:  bytes.Clone(payload),
	})
}

// time returns the time of a frame on the stream's clock.
func (f *Frames) time(codec media.Codec, rtpTime uint32, now media.Timestamp) media.Timestamp {
	f.clock.start(codec.Kind(), codec.ClockRate())
	t := f.clock.time(codec.Kind(), rtpTime, now)
	f.jumps.Store(f.clock.jumps())
	return t
}

// audioTrack describes a codec of sound. Opus is always declared as 48 kHz stereo (RFC 7587, 7), whatever the packets hold. The
// RTP clock of G.722 has half of the sampling rate (RFC 3551, 4.5.2).
func audioTrack(codec media.Codec) *media.Track {
	t := &media.Track{Codec: codec, SampleRate: codec.ClockRate(), Channels: 1}
	switch codec {
	case media.Opus:
		t.Channels = 2
	case media.G722:
		t.SampleRate = 16000
	}
	return t
}

// Clock implements MediaSink.
func (f *Frames) Clock(kind media.Kind, ntp uint64, rtpTime uint32) {
	f.clock.report(kind, ntp, rtpTime)
}

// Lost implements MediaSink. Readers see the gap in the frames' times. For ActivityTimeout a loss counts like media: packets
// do come.
func (f *Frames) Lost(kind media.Kind) { f.last(kind).Store(int64(f.src.Now())) }

// Restarted notes that the next frame of a kind begins a new sequence of RTP times, which says nothing about the time since
// the frame before. The next frame gets its time by its arrival. Times still never go back.
func (f *Frames) Restarted(kind media.Kind) { f.clock.restart(kind) }

// Jumps returns how often the RTP clocks of the sender have jumped.
func (f *Frames) Jumps() int64 { return f.jumps.Load() }

// touch restarts ActivityTimeout for both tracks.
func (f *Frames) touch() {
	now := int64(f.src.Now())
	f.lastAudio.Store(now)
	f.lastVideo.Store(now)
}

// heard returns when media of a kind, or a loss, last came.
func (f *Frames) heard(k media.Kind) media.Timestamp { return media.Timestamp(f.last(k).Load()) }

func (f *Frames) last(k media.Kind) *atomic.Int64 {
	if k == media.Video {
		return &f.lastVideo
	}
	return &f.lastAudio
}
