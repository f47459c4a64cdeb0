package rtc

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// sink turns the media of one session into frames of its stream.
type sink struct {
	p *Publication

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

func newSink(p *Publication) *sink { return &sink{p: p} }

// Connected implements Sink.
func (s *sink) Connected() {
	s.p.source.SetLive()
	close(s.p.connected)
}

// Video implements Sink.
func (s *sink) Video(codec media.Codec, unit []byte, rtpTime uint32, key bool) {
	now := s.p.source.Now()
	s.lastVideo.Store(int64(now))
	var frame media.Frame
	var ok, needKey bool
	if codec == media.H264 {
		frame, ok, needKey = s.video.frame(unit, key)
	} else {
		frame, ok, needKey = s.coded.frame(codec, unit, key)
	}
	if needKey {
		s.p.source.Video.Fault(stream.FaultKeyFrame)
		s.p.source.RequestKeyFrame()
	}
	if !ok {
		return
	}
	if s.bFrames.outOfOrder(rtpTime) {
		s.p.source.Video.Fault(stream.FaultOrder)
		if !s.mixed {
			s.mixed = true
			s.p.in.log.Warn("publisher sends B-frames, which WebRTC has no order for: pictures will jerk", "stream", s.p.source.Info().Name)
		}
	}
	frame.Track = s.rotated(frame)
	frame.Time = s.time(codec, rtpTime, now)
	s.p.source.Video.Write(frame)
}

// bFrameDetector detects B-frames: pictures that are not shown in the order in which they are sent. RTP tells when a
// picture is shown, but not when it is decoded, so the decoding times stay unknown.
type bFrameDetector struct {
	last           uint32 // RTP time
	pictures, back int    // in this window; back counts the pictures that are shown before the one sent before them
}

// A window of orderWindow pictures has B-frames if orderBack of them go back. When the sender's clock jumps, one does.
const (
	orderWindow = 64
	orderBack   = 4
	orderReach  = 2 * 90000 // in RTP time: 2 s. A step farther back means another clock
)

// outOfOrder notes the RTP time of a picture. It returns true if this picture goes back, and enough pictures before it did.
func (d *bFrameDetector) outOfOrder(rtpTime uint32) bool {
	step := int32(rtpTime - d.last)
	d.last = rtpTime
	if d.pictures++; d.pictures > orderWindow {
		d.pictures, d.back = 0, 0
	}
	if step >= 0 || step < -orderReach {
		return false
	}
	d.back++
	return d.back >= orderBack
}

// Rotated implements Sink.
func (s *sink) Rotated(degrees int) { s.rotation = degrees }

// rotated returns a frame's track with the rotation. A new rotation takes effect at the next key frame, for which rotated
// asks: readers start over with a new track.
func (s *sink) rotated(f media.Frame) *media.Track {
	switch {
	case f.Track != s.plain, f.Key && s.angle != s.rotation:
		s.plain, s.angle, s.shown = f.Track, s.rotation, f.Track
		if s.angle != 0 {
			t := *f.Track
			t.Rotation = s.angle
			s.shown = &t
		}
	case s.angle != s.rotation:
		s.p.source.RequestKeyFrame()
	}
	return s.shown
}

// Audio implements Sink.
func (s *sink) Audio(codec media.Codec, payload []byte, rtpTime uint32) {
	now := s.p.source.Now()
	s.lastAudio.Store(int64(now))
	if s.audio == nil || s.audio.Codec != codec {
		s.audio = audioTrack(codec)
	}
	s.p.source.Audio.Write(media.Frame{
		Track: s.audio,
		Time:  s.time(codec, rtpTime, now),
		Key:   true,
		Data:  bytes.Clone(payload),
	})
}

// time returns the time of a frame on the stream's clock.
func (s *sink) time(codec media.Codec, rtpTime uint32, now media.Timestamp) media.Timestamp {
	s.clock.start(codec.Kind(), codec.ClockRate())
	t := s.clock.time(codec.Kind(), rtpTime, now)
	s.jumps.Store(s.clock.jumps())
	return t
}

// audioTrack describes a codec of sound. Opus is always declared as 48 kHz stereo (RFC 7587, 7), whatever the packets hold.
func audioTrack(codec media.Codec) *media.Track {
	t := &media.Track{Codec: codec, SampleRate: codec.ClockRate(), Channels: 1}
	if codec == media.Opus {
		t.Channels = 2
	}
	return t
}

// Clock implements Sink.
func (s *sink) Clock(kind media.Kind, ntp uint64, rtpTime uint32) { s.clock.report(kind, ntp, rtpTime) }

// Lost implements Sink. Readers see the gap in the frames' times. For ActivityTimeout a loss counts like media: packets do
// come.
func (s *sink) Lost(kind media.Kind) { s.last(kind).Store(int64(s.p.source.Now())) }

// Closed implements Sink.
func (s *sink) Closed(cause error) { s.p.closed <- ended(cause) }

// touch restarts ActivityTimeout for both tracks.
func (s *sink) touch() {
	now := int64(s.p.source.Now())
	s.lastAudio.Store(now)
	s.lastVideo.Store(now)
}

// heard returns when media of a kind, or a loss, last came.
func (s *sink) heard(k media.Kind) media.Timestamp { return media.Timestamp(s.last(k).Load()) }

func (s *sink) last(k media.Kind) *atomic.Int64 {
	if k == media.Video {
		return &s.lastVideo
	}
	return &s.lastAudio
}

// h264Frames makes frames from access units of H.264. Parameter sets go into the track, and not into the frame. There is no
// frame before the first key frame with its parameter sets.
type h264Frames struct {
	sets  media.H264Sets
	track *media.Track
}

// frame returns a unit as a frame without a time. It is not ok if the unit holds no picture, or if decoders cannot start
// with it or, after new parameter sets, go on with it; then needKey says that a key frame is needed.
func (f *h264Frames) frame(unit []byte, key bool) (_ media.Frame, ok, needKey bool) {
	size := 0
	picture := false
	for nal := range media.EachNAL(unit) {
		switch t := nal[0] & nalTypeMask; {
		case t == nalSPS, t == nalPPS:
			f.sets.Add(nal)
		case t != nalAUD && t != nalFiller:
			size += 4 + len(nal)
			picture = picture || t >= nalSlice && t <= nalIDR
		}
	}
	if !picture {
		return media.Frame{}, false, false
	}
	if key && (f.sets.Changed() || f.track == nil) {
		f.track, _ = f.sets.Track() // nil without parameter sets
	}
	if f.track == nil || !key && f.sets.Changed() {
		return media.Frame{}, false, true
	}
	data := make([]byte, 0, size)
	for nal := range media.EachNAL(unit) {
		switch nal[0] & nalTypeMask {
		case nalSPS, nalPPS, nalAUD, nalFiller:
		default:
			data = binary.BigEndian.AppendUint32(data, uint32(len(nal)))
			data = append(data, nal...)
		}
	}
	return media.Frame{Track: f.track, Key: key, Data: data}, true, false
}
