package rtmpserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg1audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// errBadFrame means a message that cannot be used; the stream goes on without it.
var errBadFrame = errors.New("unusable frame")

// ingest turns a publisher's messages into frames of its source. It belongs to one goroutine.
type ingest struct {
	src   *stream.Source
	clock clock

	video, audio         *media.Track
	lastVideo, lastAudio media.Timestamp
}

// take writes a message to the source. It fails with errBadFrame for a message that is to be passed over, with ErrCodec
// for a stream that cannot be taken at all. lead is how far the publisher is ahead of the stream's clock.
func (in *ingest) take(m rtmp.Message, now media.Timestamp) (lead time.Duration, err error) {
	switch m.Type {
	case flv.TypeVideo:
		err = in.takeVideo(m, now)
	case flv.TypeAudio:
		err = in.takeAudio(m, now)
	}
	if errors.Is(err, flv.ErrUnsupported) {
		return 0, fmt.Errorf("%w: %w", ErrCodec, err)
	}
	if !in.clock.started {
		return 0, err
	}
	return in.clock.at.Sub(now), err
}

func (in *ingest) takeVideo(m rtmp.Message, now media.Timestamp) error {
	v, err := flv.ParseVideo(m.Payload)
	switch {
	case err != nil:
		return badFrame(err)
	case v.Packet == flv.Config:
		return in.configureVideo(v)
	case v.Packet == flv.Nothing:
		return nil
	case in.video == nil || in.video.Codec != v.Codec:
		return fmt.Errorf("%w: video before its configuration", errBadFrame)
	}
	if v.Codec == media.H264 {
		return in.takeH264(v, m.Time, now)
	}
	if len(v.Payload) == 0 {
		return nil
	}
	in.examine(&v)
	in.writeVideo(v, in.clock.timestamp(m.Time, now))
	return nil
}

// takeH264 writes an access unit without what media.Frame does not hold.
func (in *ingest) takeH264(v flv.Video, ms uint32, now media.Timestamp) error {
	unit, err := readUnit(v.Payload)
	if err != nil {
		return err
	}
	if len(unit.sps) > 0 && len(unit.pps) > 0 {
		// Sets that differ from the configuration's belong to a new sequence; unreadable ones change nothing.
		if t, err := media.NewH264Track(unit.sps[0], unit.pps...); err == nil {
			in.setVideo(t)
		}
	}
	at := in.clock.timestamp(ms, now)
	if len(unit.data) == 0 {
		return nil // parameter sets only
	}
	v.Key, v.Payload = v.Key || unit.idr, unit.data
	in.writeVideo(v, at)
	return nil
}

func (in *ingest) writeVideo(v flv.Video, at media.Timestamp) {
	in.lastVideo = after(in.lastVideo, at)
	in.src.Video.Write(media.Frame{
		Track: in.video,
		Time:  in.lastVideo,
		Delay: max(0, time.Duration(v.DelayMS)*time.Millisecond),
		Key:   v.Key,
		Data:  v.Payload,
	})
}

func (in *ingest) configureVideo(v flv.Video) error {
	if v.Codec != media.H264 {
		return in.configureEnhanced(v)
	}
	t, err := media.ParseH264Config(v.Payload)
	if err != nil {
		return badFrame(err)
	}
	in.setVideo(t)
	return nil
}

// setVideo changes the track if t says anything new.
func (in *ingest) setVideo(t *media.Track) {
	if in.video == nil || in.video.Codec != t.Codec || !sameSets(in.video.Config, t.Config) {
		in.video = t
	}
}

// sameSets says whether two configurations hold the same parameter sets, whatever else they say.
func sameSets(a, b []byte) bool {
	spsA, ppsA, errA := media.H264ParameterSets(a)
	spsB, ppsB, errB := media.H264ParameterSets(b)
	return errA == nil && errB == nil && equalSets(spsA, spsB) && equalSets(ppsA, ppsB)
}

func equalSets(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (in *ingest) takeAudio(m rtmp.Message, now media.Timestamp) error {
	a, err := flv.ParseAudio(m.Payload)
	if err != nil {
		return badFrame(err)
	}
	if a.Packet == flv.Nothing {
		return nil
	}
	if err := in.configureAudio(a); err != nil || a.Packet == flv.Config {
		return err
	}
	in.lastAudio = after(in.lastAudio, in.clock.timestamp(m.Time, now))
	in.src.Audio.Write(media.Frame{Track: in.audio, Time: in.lastAudio, Key: true, Data: a.Payload})
	return nil
}

// configureAudio sees to the track that an audio message belongs to.
func (in *ingest) configureAudio(a flv.Audio) error {
	t := media.Track{Codec: a.Codec, SampleRate: a.SampleRate, Channels: a.Channels}
	switch {
	case a.Codec == media.AAC && a.Packet == flv.Config:
		var c mpeg4audio.AudioSpecificConfig
		if err := c.Unmarshal(a.Payload); err != nil {
			return badFrame(err)
		}
		t.Config, t.SampleRate, t.Channels = a.Payload, c.SampleRate, channels(c.ChannelConfig)
	case a.Codec == media.AAC:
		if in.audio == nil || in.audio.Codec != media.AAC {
			return fmt.Errorf("%w: AAC before its configuration", errBadFrame)
		}
		return nil
	case a.Codec == media.Opus:
		if in.audio != nil && in.audio.Codec == media.Opus && a.Packet == flv.Frame {
			return nil
		}
		t.SampleRate, t.Channels = 48000, 2
		if a.Packet == flv.Config && len(a.Payload) > 9 { // RFC 7845, 5.1
			t.Channels = int(a.Payload[9])
		}
	case a.Codec == media.MP3:
		var h mpeg1audio.FrameHeader
		if err := h.Unmarshal(a.Payload); err != nil {
			return badFrame(err)
		}
		t.SampleRate, t.Channels = h.SampleRate, 2
		if h.ChannelMode == mpeg1audio.ChannelModeMono {
			t.Channels = 1
		}
	}
	if old := in.audio; old == nil || old.Codec != t.Codec || old.SampleRate != t.SampleRate ||
		old.Channels != t.Channels || !bytes.Equal(old.Config, t.Config) {
		in.audio = &t
	}
	return nil
}

// channels returns how many channels an AAC channel configuration means (ISO/IEC 14496-3, table 1.19).
func channels(config uint8) int {
	switch config {
	case 0:
		return 2 // described elsewhere; nearly always this
	case 7:
		return 8
	default:
		return int(config)
	}
}

// badFrame lets the unsupported through and makes all other faults of a message ones to pass over.
func badFrame(err error) error {
	if errors.Is(err, flv.ErrUnsupported) {
		return err
	}
	return fmt.Errorf("%w: %w", errBadFrame, err)
}

// after returns at, or the least time after last if at is not later.
func after(last, at media.Timestamp) media.Timestamp { return max(at, last.Add(time.Millisecond)) }

// unit is an access unit as the hub wants it, and the parameter sets that were in it.
type unit struct {
	data     []byte // NAL units with 4-byte lengths
	idr      bool
	sps, pps [][]byte
}

// readUnit checks an access unit and takes out what media.Frame does not hold: parameter sets, delimiters, filler. A unit
// without them, the usual one, is used as it is.
func readUnit(b []byte) (unit, error) {
	var u unit
	clean := true
	kept := 0
	for rest := b; len(rest) > 0; {
		nal, after, err := nextNAL(rest)
		if err != nil {
			return unit{}, err
		}
		switch {
		case len(nal) == 0:
			clean = false
		case !u.note(nal):
			clean = false
		default:
			kept += 4 + len(nal)
		}
		rest = after
	}
	if clean {
		u.data = b
		return u, nil
	}
	u.data = make([]byte, 0, kept)
	for rest := b; len(rest) > 0; {
		nal, after, _ := nextNAL(rest) // was checked above
		if len(nal) > 0 && keeps(nal) {
			u.data = append(u.data, rest[:4+len(nal)]...)
		}
		rest = after
	}
	return u, nil
}

// nextNAL returns the first NAL unit of b and what follows it.
func nextNAL(b []byte) (nal, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: NAL unit ends early", errBadFrame)
	}
	size := int64(binary.BigEndian.Uint32(b))
	if size > int64(len(b)-4) {
		return nil, nil, fmt.Errorf("%w: NAL unit ends early", errBadFrame)
	}
	return b[4 : 4+size], b[4+size:], nil
}

// note learns from a NAL unit and says whether it stays in the frame.
func (u *unit) note(nal []byte) bool {
	switch h264.NALUType(nal[0] & 0x1f) {
	case h264.NALUTypeIDR:
		u.idr = true
	case h264.NALUTypeSPS:
		u.sps = append(u.sps, nal)
	case h264.NALUTypePPS:
		u.pps = append(u.pps, nal)
	}
	return keeps(nal)
}

// keeps says whether a NAL unit stays in a frame.
func keeps(nal []byte) bool {
	switch h264.NALUType(nal[0] & 0x1f) {
	case h264.NALUTypeSPS, h264.NALUTypePPS, h264.NALUTypeAccessUnitDelimiter, h264.NALUTypeFillerData,
		h264.NALUTypeEndOfSequence, h264.NALUTypeEndOfStream:
		return false
	default:
		return true
	}
}
