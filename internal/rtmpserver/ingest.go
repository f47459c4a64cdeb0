package rtmpserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg1audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

var (
	// errBadFrame means that a message cannot be used. The stream continues without it.
	errBadFrame = errors.New("unusable frame")
	errNoConfig = errors.New("the decoder configuration is missing")
	errLate     = errors.New("it is too late: silence was put in its place")
)

// ingest turns the messages of a publisher into frames of its source. It is for one goroutine.
type ingest struct {
	src   *stream.Source
	clock clock

	video, audio         *media.Track
	lastVideo, lastAudio media.Timestamp

	form media.NALForm // of the pictures
	h264 media.H264Sets
	h265 media.H265Sets

	gap gap
}

func newIngest(src *stream.Source) ingest { return ingest{src: src, form: media.NALLengths4} }

// take writes a message to the source. It fails with errBadFrame if the message cannot be used, and with errCodec if the stream cannot be
// used at all. wait is how long to wait before the next message is read.
func (in *ingest) take(m rtmp.Message, now media.Timestamp) (wait time.Duration, err error) {
	in.clock.mayRead = 0
	feed := in.src.Video
	switch m.Type {
	case flv.TypeVideo:
		err = in.takeVideo(m, now)
	case flv.TypeAudio:
		feed = in.src.Audio
		err = in.takeAudio(m, now)
	}
	if err != nil {
		feed.Fault(fault(err))
	}
	// A stream is useful without its sound. It is refused if the first picture has an unknown codec: encoders show that to their users.
	if errors.Is(err, flv.ErrUnsupported) {
		if m.Type == flv.TypeVideo && in.video == nil {
			return 0, fmt.Errorf("%w: %w", errCodec, err)
		}
		err = fmt.Errorf("%w: %w", errBadFrame, err)
	}
	return in.clock.mayRead, err
}

// pass counts a message that belongs to another stream on the same connection.
func (in *ingest) pass(m rtmp.Message) {
	switch m.Type {
	case flv.TypeVideo:
		in.src.Video.Fault(stream.FaultTrack)
	case flv.TypeAudio:
		in.src.Audio.Fault(stream.FaultTrack)
	}
}

// fault returns how a message that cannot be used is counted.
func fault(err error) stream.Fault {
	switch {
	case errors.Is(err, flv.ErrUnsupported):
		return stream.FaultCodec
	case errors.Is(err, flv.ErrTrack):
		return stream.FaultTrack
	case errors.Is(err, errNoConfig):
		return stream.FaultConfig
	case errors.Is(err, errLate):
		return stream.FaultLate
	default:
		return stream.FaultForm
	}
}

func (in *ingest) takeVideo(m rtmp.Message, now media.Timestamp) error {
	v, err := flv.ParseVideo(m.Payload)
	switch {
	case err != nil:
		return badFrame(err)
	case v.Packet == flv.Config:
		return in.configureVideo(v)
	case v.Packet == flv.Nothing || len(v.Payload) == 0:
		return nil
	}
	if v.Codec == media.H264 || v.Codec == media.H265 {
		if v.Payload, in.form, err = media.NALUnits(v.Payload, in.form); err != nil {
			return badFrame(err)
		}
	}
	if v.Codec == media.H264 {
		return in.takeH264(v, m.Time, now)
	}
	in.examine(&v)
	if in.video == nil || in.video.Codec != v.Codec {
		return fmt.Errorf("%w: %w", errBadFrame, errNoConfig)
	}
	in.writeVideo(v, m.Time, now)
	return nil
}

// takeH264 writes an access unit, without the NAL units that media.Frame does not hold. Parameter sets that differ from those of the
// configuration begin a new sequence; unreadable ones change nothing.
func (in *ingest) takeH264(v flv.Video, ms uint32, now media.Timestamp) error {
	unit := readUnit(v.Payload)
	if len(unit.sps) > 0 {
		in.h264.Add(unit.sps[0])
	}
	for _, pps := range unit.pps {
		in.h264.Add(pps)
	}
	if in.h264.Changed() {
		if t, err := in.h264.Track(); err == nil {
			in.video = t
		}
	}
	if len(unit.data) == 0 {
		in.clock.timestamp(media.Video, ms, now)
		return nil // parameter sets only
	}
	if in.video == nil || in.video.Codec != media.H264 {
		return fmt.Errorf("%w: %w", errBadFrame, errNoConfig)
	}
	v.Key, v.Payload = v.Key || unit.idr, unit.data
	in.writeVideo(v, ms, now)
	return nil
}

func (in *ingest) writeVideo(v flv.Video, ms uint32, now media.Timestamp) {
	in.lastVideo = after(in.lastVideo, in.clock.timestamp(media.Video, ms, now))
	in.src.Video.Write(media.Frame{
		Track: in.video,
		Time:  in.lastVideo,
		Delay: max(0, time.Duration(v.DelayMS)*time.Millisecond),
		Key:   v.Key,
		Data:  v.Payload,
	})
	in.fillSound(now)
}

// configureVideo begins a sequence. If the configuration cannot be read, the publisher may still send parameter sets with its pictures.
func (in *ingest) configureVideo(v flv.Video) error {
	if len(v.Payload) == 0 {
		return nil
	}
	var t *media.Track
	var err error
	switch v.Codec {
	case media.H264:
		if t, in.form, err = media.ParseH264Config(v.Payload); err != nil {
			return badFrame(err)
		}
		in.h264.Load(t.Config)
	case media.H265:
		if t, in.form, err = media.ParseH265Config(v.Payload); err != nil {
			return badFrame(err)
		}
		in.h265.Load(t.Config)
	default: // the key frames of AV1 and VP9 have the picture size
		t = &media.Track{Codec: v.Codec, Config: v.Payload}
	}
	in.setVideo(t)
	in.src.Video.Announce(in.video)
	return nil
}

// setVideo changes the track if t differs from it.
func (in *ingest) setVideo(t *media.Track) {
	if in.video == nil || in.video.Codec != t.Codec || !sameConfig(in.video, t) {
		in.video = t
	}
}

// sameConfig reports whether two configurations of a codec are the same. For H.264 this means the same parameter sets.
func sameConfig(a, b *media.Track) bool {
	if bytes.Equal(a.Config, b.Config) {
		return true
	}
	spsA, ppsA, errA := media.H264ParameterSets(a.Config)
	spsB, ppsB, errB := media.H264ParameterSets(b.Config)
	return a.Codec == media.H264 && errA == nil && errB == nil &&
		slices.EqualFunc(spsA, spsB, bytes.Equal) && slices.EqualFunc(ppsA, ppsB, bytes.Equal)
}

func (in *ingest) takeAudio(m rtmp.Message, now media.Timestamp) error {
	a, err := flv.ParseAudio(m.Payload)
	if err != nil {
		return badFrame(err)
	}
	if a.Packet == flv.Nothing {
		return nil
	}
	in.gap.heard = now
	if a.Codec == media.AAC && media.IsADTS(a.Payload) {
		return in.takeADTS(a, m.Time, now)
	}
	if err := in.configureAudio(a); err != nil || a.Packet == flv.Config {
		return err
	}
	return in.writeAudio(a.Payload, in.clock.timestamp(media.Audio, m.Time, now))
}

// takeADTS writes AAC with ADTS headers, which have the configuration in them. A message may have several frames. A publisher may also send
// a header without a frame as the configuration.
func (in *ingest) takeADTS(a flv.Audio, ms uint32, now media.Timestamp) error {
	at := in.clock.timestamp(media.Audio, ms, now)
	for b := a.Payload; len(b) > 0; {
		header, err := media.ReadADTS(b)
		if err != nil {
			return badFrame(err)
		}
		if err := in.configureAudio(flv.Audio{Packet: flv.Config, Codec: media.AAC, Payload: header.Config()}); err != nil {
			return err
		}
		if a.Packet == flv.Config {
			return nil
		}
		if header.End > len(b) {
			return fmt.Errorf("%w: ADTS frame ends early", errBadFrame)
		}
		if err := in.writeAudio(b[header.Begin:header.End], at); err != nil {
			return err
		}
		at = at.Add(media.Samples(1024, in.audio.SampleRate))
		b = b[header.End:]
	}
	return nil
}

func (in *ingest) writeAudio(packet []byte, at media.Timestamp) error {
	if in.gap.open {
		if at <= in.lastAudio {
			return fmt.Errorf("%w: %w", errBadFrame, errLate)
		}
		in.silence(at.Add(-in.gap.length))
		in.gap.open = false
	}
	in.lastAudio = after(in.lastAudio, at)
	in.src.Audio.Write(media.Frame{Track: in.audio, Time: in.lastAudio, Key: true, Data: packet})
	return nil
}

// configureAudio changes the track if an audio message needs another one.
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
			return fmt.Errorf("%w: %w", errBadFrame, errNoConfig)
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
		in.src.Audio.Announce(in.audio)
	}
	return nil
}

// channels returns how many channels an AAC channel configuration means (ISO/IEC 14496-3, table 1.19).
func channels(config uint8) int {
	switch config {
	case 0:
		return 2 // the configuration describes the channels elsewhere; nearly always there are two
	case 7:
		return 8
	default:
		return int(config)
	}
}

// badFrame returns flv.ErrUnsupported as it is, and wraps all other errors in errBadFrame.
func badFrame(err error) error {
	if errors.Is(err, flv.ErrUnsupported) {
		return err
	}
	return fmt.Errorf("%w: %w", errBadFrame, err)
}

// after returns at, but at least a millisecond more than last.
func after(last, at media.Timestamp) media.Timestamp { return max(at, last.Add(time.Millisecond)) }

// unit is an access unit as the hub wants it, with the parameter sets that were removed from it.
type unit struct {
	data     []byte // NAL units with 4-byte lengths
	idr      bool
	sps, pps [][]byte
}

// readUnit removes from an access unit with 4-byte lengths what media.Frame does not hold: parameter sets, delimiters, filler. Most units
// have none of these, and are used as they are.
func readUnit(b []byte) unit {
	var u unit
	kept := 0
	for nal := range media.EachNAL(b) {
		if u.note(nal) {
			kept += 4 + len(nal)
		}
	}
	if kept == len(b) {
		u.data = b
		return u
	}
	u.data = make([]byte, 0, kept)
	for nal := range media.EachNAL(b) {
		if keeps(nal) {
			u.data = binary.BigEndian.AppendUint32(u.data, uint32(len(nal)))
			u.data = append(u.data, nal...)
		}
	}
	return u
}

// note notes what a NAL unit is, and says whether it stays in the frame.
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

// keeps reports whether a NAL unit stays in a frame.
func keeps(nal []byte) bool {
	switch h264.NALUType(nal[0] & 0x1f) {
	case h264.NALUTypeSPS, h264.NALUTypePPS, h264.NALUTypeAccessUnitDelimiter, h264.NALUTypeFillerData,
		h264.NALUTypeEndOfSequence, h264.NALUTypeEndOfStream:
		return false
	default:
		return true
	}
}
