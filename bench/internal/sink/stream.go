package sink

import (
	"fmt"
	"math"
	"sync"

	"transponder/bench/internal/mono"
	"transponder/bench/internal/source"
	"transponder/bench/internal/stats"
	"transponder/bench/internal/wire"
)

const frameMS = 1000.0 / 30 // the load generator's frame time

// Stream is one stream's report, over all its connections.
type Stream struct {
	Key             string `json:"key"`
	Publisher       int    `json:"publisher"` // number of the publisher, from the marks; -1 before the first mark
	Publishes       int    `json:"publishes"`
	Live            bool   `json:"live"`
	CleanEnds       int    `json:"clean_ends"`
	PublishNS       int64  `json:"publish_ns"`
	FirstVideoNS    int64  `json:"first_video_ns"`
	FirstIsKey      bool   `json:"first_video_is_key"`
	FirstAudioNS    int64  `json:"first_audio_ns"`
	VideoMessages   int    `json:"video_messages"`
	AudioMessages   int    `json:"audio_messages"`
	VideoBytes      int64  `json:"video_bytes"`
	AudioBytes      int64  `json:"audio_bytes"`
	VideoHeaders    int    `json:"video_sequence_headers"`
	AudioHeaders    int    `json:"audio_sequence_headers"`
	VideoCodec      string `json:"video_codec"`
	AudioCodec      string `json:"audio_codec"`
	AudioConfig     string `json:"audio_config"`
	Metadata        int    `json:"metadata_messages"`
	BeforeHeader    int    `json:"media_before_sequence_header"`
	MalformedFrames int    `json:"malformed_frames"`
	KeyFlagWrong    int    `json:"key_flag_wrong"`
	ForeignMarks    int    `json:"marks_of_another_stream"`
	DumpError       string `json:"dump_error,omitempty"`
	Window          Window `json:"window"`
}

// Window is the part of a stream's report that covers the window.
type Window struct {
	Frames        int        `json:"frames"`
	FramesLost    int        `json:"frames_lost"`
	Duplicates    int        `json:"frames_duplicated"`
	Reordered     int        `json:"frames_reordered"`
	Unmarked      int        `json:"messages_without_mark"`
	AudioMessages int        `json:"audio_messages"`
	TSBackwards   int        `json:"timestamps_backwards"`
	KeyFrames     int        `json:"keyframes"`
	MaxKeyGap     int        `json:"max_keyframe_gap_frames"`
	LatencyMS     stats.Dist `json:"latency_ms"`
	LatencyHeadMS stats.Dist `json:"latency_head_ms"`
	TSErrorMS     stats.Dist `json:"video_ts_error_ms"`
	LeadMS        stats.Dist `json:"video_minus_audio_ts_ms"`
}

// stream keeps a stream's record.
type stream struct {
	key     string
	onFirst func()

	mu         sync.Mutex // guards all that follows
	record     Stream     // without its Window
	lengthSize int        // of a NAL unit, by the sequence header
	sinceKey   int        // frames
	lastVideo  int64      // RTMP time; -1 at the start of a publication
	lastAudio  int64
	lastSeq    int64
	prev       source.Mark // the frame before, and its arrival; 0 at the start of a publication
	prevAt     int64
	dump       *flvDump
	win        window
}

// window holds what ResetWindow forgets.
type window struct {
	counts               Window // without distributions and loss
	marked               bool
	firstSeq, lastSeq    int64 // of marks
	sinceFirst, received int   // frames from the first mark on; the same up to the last mark
	latency, latencyHead []float64
	lead                 []float64
	offsets              []float64 // RTMP time less the source's
}

func newStream(key string, onFirst func()) *stream {
	return &stream{key: key, onFirst: onFirst, record: Stream{Key: key, Publisher: -1}}
}

// begin starts a publication.
func (st *stream) begin(now int64, dump *flvDump) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.record.Publishes++
	st.record.Live = true
	if st.record.PublishNS == 0 {
		st.record.PublishNS = now
	}
	st.record.VideoHeaders, st.record.AudioHeaders = 0, 0
	st.lastVideo, st.lastAudio, st.lastSeq, st.prevAt = -1, -1, -1, 0
	st.dump = dump
}

// Close implements wire.Publication.
func (st *stream) Close(clean bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.record.Live = false
	if clean {
		st.record.CleanEnds++
	}
	if st.dump != nil {
		if err := st.dump.close(); err != nil {
			st.record.DumpError = err.Error()
		}
		st.dump = nil
	}
}

// Message implements wire.Publication.
func (st *stream) Message(m wire.Message) {
	if st.take(m, mono.Now()) && st.onFirst != nil {
		st.onFirst()
	}
}

// take processes a message. It returns true if the message is the stream's first coded video frame.
func (st *stream) take(m wire.Message, now int64) (first bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	before := st.record.FirstVideoNS
	note := ""
	switch m.Type {
	case wire.TypeVideo:
		note = st.video(m, now)
	case wire.TypeAudio:
		st.audio(m, now)
	case wire.TypeDataAMF0, wire.TypeDataAMF3:
		st.record.Metadata++
		return false
	default:
		return false
	}
	if st.dump != nil {
		st.dump.tag(m, now, note)
	}
	return before == 0 && st.record.FirstVideoNS != 0
}

// stamp checks that a track's time does not run backwards.
func (st *stream) stamp(last *int64, ts uint32) {
	if int64(ts) < *last {
		st.win.counts.TSBackwards++
	}
	*last = int64(ts)
}

func (st *stream) audio(m wire.Message, now int64) {
	r := &st.record
	tag, ok := parseAudioTag(m.Payload)
	if !ok {
		return
	}
	r.AudioCodec = tag.codec
	if tag.noHeader {
		r.AudioHeaders = 1
	}
	if tag.header {
		r.AudioHeaders++
		r.AudioConfig = describeAudioConfig(tag.codec, tag.body)
		return
	}
	if r.FirstAudioNS == 0 {
		r.FirstAudioNS = now
	}
	if r.AudioHeaders == 0 {
		r.BeforeHeader++
	}
	r.AudioMessages++
	st.win.counts.AudioMessages++
	r.AudioBytes += int64(len(m.Payload))
	st.stamp(&st.lastAudio, m.Timestamp)
}

// video processes a video message, and returns the text for the dump about the frame.
func (st *stream) video(m wire.Message, now int64) string {
	r, w := &st.record, &st.win
	tag, codec, ok := parseVideoTag(m.Payload)
	if codec != "" {
		r.VideoCodec = codec
	}
	if !ok {
		return ""
	}
	if tag.header {
		r.VideoHeaders++
		st.lengthSize = 4
		if len(tag.body) > 4 {
			st.lengthSize = int(tag.body[4]&3) + 1
		}
		return "header"
	}
	if r.VideoHeaders == 0 {
		r.BeforeHeader++
	}
	if r.FirstVideoNS == 0 {
		r.FirstVideoNS, r.FirstIsKey = now, tag.key
	}
	r.VideoMessages++
	r.VideoBytes += int64(len(m.Payload))
	w.counts.Frames++
	st.stamp(&st.lastVideo, m.Timestamp)
	if st.lastAudio >= 0 {
		w.lead = append(w.lead, float64(int64(m.Timestamp)-st.lastAudio))
	}
	unit := st.scan(tag)
	if w.marked || unit.marked {
		w.sinceFirst++
	}
	if !unit.marked {
		w.counts.Unmarked++
		return "unmarked"
	}
	st.account(unit.mark, m.Timestamp, now)
	w.received = w.sinceFirst
	return fmt.Sprintf("%d %d %t", unit.mark.Seq, unit.mark.First, unit.idr)
}

// scan walks the NAL units of a frame and keeps count of key frames.
func (st *stream) scan(tag videoTag) unit {
	u, ok := scanUnit(tag.body, st.lengthSize)
	if !ok {
		st.record.MalformedFrames++
	}
	if u.idr != tag.key {
		st.record.KeyFlagWrong++
	}
	if u.idr {
		st.win.counts.KeyFrames++
		st.sinceKey = 0
	}
	st.sinceKey++
	st.win.counts.MaxKeyGap = max(st.win.counts.MaxKeyGap, st.sinceKey)
	return u
}

// account enters a marked frame.
func (st *stream) account(mark source.Mark, ts uint32, now int64) {
	w := &st.win
	if st.record.Publisher < 0 {
		st.record.Publisher = int(mark.Stream)
	}
	if int(mark.Stream) != st.record.Publisher {
		st.record.ForeignMarks++
		return
	}
	seq := int64(mark.Seq)
	switch {
	case st.lastSeq >= 0 && seq == st.lastSeq:
		w.counts.Duplicates++
		return
	case seq < st.lastSeq:
		w.counts.Reordered++
	}
	st.lastSeq = max(st.lastSeq, seq)
	if !w.marked {
		w.marked, w.firstSeq, w.lastSeq = true, seq, seq
	}
	w.lastSeq = max(w.lastSeq, seq)
	w.latencyHead = append(w.latencyHead, float64(now-mark.First)/1e6)
	// The mark tells when the last packet of the previous frame was sent.
	if st.prevAt != 0 && st.prev.Seq+1 == mark.Seq && mark.PrevLast != 0 {
		w.latency = append(w.latency, float64(st.prevAt-mark.PrevLast)/1e6)
	}
	st.prev, st.prevAt = mark, now
	w.offsets = append(w.offsets, float64(ts)-float64(seq)*frameMS)
}

// report must be called with the lock held.
func (st *stream) report() Stream {
	r := st.record
	r.Window = st.win.report()
	return r
}

func (w *window) report() Window {
	r := w.counts
	if w.marked {
		// Some servers remove SEI from all frames except key frames. Frames that come between two marks count as those that should come.
		r.FramesLost = max(0, int(w.lastSeq-w.firstSeq)+1-(w.received-r.Duplicates))
	}
	r.LatencyMS, r.LatencyHeadMS = stats.Summarise(w.latency), stats.Summarise(w.latencyHead)
	r.TSErrorMS, r.LeadMS = stats.Summarise(w.tsErrors()), stats.Summarise(w.lead)
	return r
}

// tsErrors returns how far each timestamp is from the source's clock, minus the mean difference.
func (w *window) tsErrors() []float64 {
	mean := 0.0
	for _, v := range w.offsets {
		mean += v / float64(len(w.offsets))
	}
	var out []float64
	for _, v := range w.offsets {
		out = append(out, math.Abs(v-mean))
	}
	return out
}
