package rtc

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// sink turns one publisher's media into frames of its stream.
type sink struct {
	p *Publication

	clock   clock
	audio   *media.Track // nil before the first packet
	video   h264Frames
	coded   codedFrames // of other codecs
	bFrames bFrameDetector
	mixed   bool // it was wrong, and said

	rotation int          // of the pictures that come
	angle    int          // of shown; the rotation as of its first key frame
	plain    *media.Track // that shown is made of
	shown    *media.Track // of the last picture

	lastAudio, lastVideo atomic.Int64 // media.Timestamp of the last sign of each
	jumps                atomic.Int64 // of the clock
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

// bFrameDetector notices pictures that are not shown in the order in which they are sent. RTP says when each is shown and not when it is
// decoded, so that their times cannot be told.
type bFrameDetector struct {
	last           uint32 // RTP time
	pictures, back int    // of the present window; back are those before their predecessor
}

// A window of pictures has B-frames in it when so many go back: a clock that is set anew does so once.
const (
	orderWindow = 64
	orderBack   = 4
	orderReach  = 2 * 90000 // in RTP time: 2 s. A step farther back means another clock
)

// outOfOrder takes a picture's RTP time and says whether it goes back, as others before it.
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

// rotated returns a frame's track with the rotation of its pictures. A phone that is turned shows with the next key frame, which
// is asked for: readers begin anew with a track.
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

// time places a frame on the stream's clock.
func (s *sink) time(codec media.Codec, rtpTime uint32, now media.Timestamp) media.Timestamp {
	s.clock.start(codec.Kind(), codec.ClockRate())
	t := s.clock.time(codec.Kind(), rtpTime, now)
	s.jumps.Store(s.clock.jumps())
	return t
}

// audioTrack describes what RTP carries of a codec: Opus is always declared as 48 kHz stereo (RFC 7587, 7), whatever its
// packets hold.
func audioTrack(codec media.Codec) *media.Track {
	t := &media.Track{Codec: codec, SampleRate: codec.ClockRate(), Channels: 1}
	if codec == media.Opus {
		t.Channels = 2
	}
	return t
}

// Clock implements Sink.
func (s *sink) Clock(kind media.Kind, ntp uint64, rtpTime uint32) { s.clock.report(kind, ntp, rtpTime) }

// Lost implements Sink. The gap shows in the frames' times; packets do come.
func (s *sink) Lost(kind media.Kind) { s.last(kind).Store(int64(s.p.source.Now())) }

// Closed implements Sink.
func (s *sink) Closed(cause error) { s.p.closed <- ended(cause) }

// touch counts both tracks as heard of now.
func (s *sink) touch() {
	now := int64(s.p.source.Now())
	s.lastAudio.Store(now)
	s.lastVideo.Store(now)
}

// heard returns when something of a track last came.
func (s *sink) heard(k media.Kind) media.Timestamp { return media.Timestamp(s.last(k).Load()) }

func (s *sink) last(k media.Kind) *atomic.Int64 {
	if k == media.Video {
		return &s.lastVideo
	}
	return &s.lastAudio
}

// h264Frames makes frames of access units: parameter sets go into the track, the rest stays. Nothing goes out before the
// first key frame with its parameter sets.
type h264Frames struct {
	sets  media.H264Sets
	track *media.Track
}

// frame returns the unit as a frame without time. It is not ok where the unit holds no picture, and where no decoder could
// begin with it or, after new parameter sets, go on with it: needKey says that a key frame would help.
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
		f.track, _ = f.sets.Track() // nil without
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
