package blackbox

import (
	"fmt"

	"transponder/bench/internal/sink"
	"transponder/bench/internal/stats"
)

// Report holds the figures of one run. They are about the window, unless a field says otherwise.
type Report struct {
	Label           string        `json:"label"`
	Streams         int           `json:"streams"`
	Outputs         int           `json:"outputs"`    // outputs that should come out: the number of streams times the pushes of each
	StreamsUp       int           `json:"streams_up"` // outputs of which there was video, ever
	WindowS         float64       `json:"window_s"`
	CPUCores        float64       `json:"server_cpu_cores"`
	CPUCoresStream  float64       `json:"server_cpu_cores_per_stream"`
	IdleCPUCores    float64       `json:"server_idle_cpu_cores"`
	PSSMB           float64       `json:"server_pss_mb"`
	PSSMaxMB        float64       `json:"server_pss_max_mb"`
	PSSIdleMB       float64       `json:"server_pss_idle_mb"`
	PSSMBStream     float64       `json:"server_pss_mb_per_stream"`
	PSSMBAdded      float64       `json:"server_pss_mb_added_per_stream"`
	RSSSeriesMB     []float64     `json:"server_rss_mb_over_time,omitempty"`
	RSSMB           float64       `json:"server_rss_mb"`
	Processes       int           `json:"server_processes"`
	Threads         int           `json:"server_threads"`
	HarnessCores    float64       `json:"harness_cpu_cores"`
	MachineCores    float64       `json:"machine_busy_cores"`
	ChildCores      float64       `json:"server_children_cpu_cores,omitempty"` // part of CPUCores
	BesideCores     float64       `json:"beside_cpu_cores,omitempty"`
	OthersCores     float64       `json:"others_busy_cores"`
	SocketOverflows int64         `json:"machine_udp_receive_buffer_errors"`
	FirstFrameMS    stats.Dist    `json:"answer_to_first_rtmp_frame_ms"` // of the whole run
	ConnectMS       stats.Dist    `json:"answer_to_connected_ms"`        // of the whole run
	FramesSent      int           `json:"frames_sent"`
	Sink            sink.Totals   `json:"sink"`
	VideoCodec      string        `json:"video_codec"`
	AudioCodec      string        `json:"audio_codec"`
	AudioConfig     string        `json:"audio_config"`
	SentKbps        float64       `json:"sent_kbps_per_stream"`
	PLI             int64         `json:"pli"`
	FIR             int64         `json:"fir"`
	NACKed          int64         `json:"nacked_packets"`
	LateP99MS       float64       `json:"generator_late_p99_ms_worst"`
	BurstP50MS      float64       `json:"generator_burst_p50_ms_mean"`
	Errors          []string      `json:"errors,omitempty"`
	SinkStreams     []sink.Stream `json:"sink_streams,omitempty"`
}

func (m *measurement) fillSink(s sink.Report) {
	r := m.report
	r.Sink, r.SinkStreams = s.Totals, s.Streams
	for _, err := range s.Errors {
		m.note(fmt.Errorf("sink: %s", err))
	}
	// Streams are matched by their marks, since a server may push them under other names.
	firstNS := map[int]int64{}
	for _, st := range s.Streams {
		if st.VideoMessages > 0 {
			r.StreamsUp++
			r.VideoCodec, r.AudioCodec, r.AudioConfig = st.VideoCodec, st.AudioCodec, st.AudioConfig
			firstNS[st.Publisher] = st.FirstVideoNS
		}
		m.note(faults(st))
	}
	var first []float64
	for _, p := range m.gen.Publishers() {
		if ns, ok := firstNS[p.Index()]; ok {
			first = append(first, float64(ns-p.Report().AnswerNS)/1e6)
		}
	}
	r.FirstFrameMS = stats.Summarise(first)
}

// faults returns things that no server should do.
func faults(st sink.Stream) error {
	if st.Publishes == 1 && st.DumpError == "" &&
		st.ForeignMarks+st.MalformedFrames+st.BeforeHeader+st.KeyFlagWrong == 0 {
		return nil
	}
	return fmt.Errorf("%s: published %d times, marks of another stream %d, malformed frames %d, media before its header %d, "+
		"wrong key flag %d %s", st.Key, st.Publishes, st.ForeignMarks, st.MalformedFrames, st.BeforeHeader, st.KeyFlagWrong,
		st.DumpError)
}

func (m *measurement) fillGenerator() {
	r := m.report
	var connect []float64
	var bytes, frames int64
	for _, p := range m.gen.Publishers() {
		g := p.Report()
		if g.ConnectedNS != 0 {
			connect = append(connect, float64(g.ConnectedNS-g.AnswerNS)/1e6)
		}
		r.FramesSent += g.WindowFrames
		r.PLI += g.PLI
		r.FIR += g.FIR
		r.NACKed += g.NACKed
		r.LateP99MS = max(r.LateP99MS, g.LateMS.P99)
		r.BurstP50MS += g.BurstMS.P50 / float64(r.Streams)
		bytes += g.Bytes
		frames += g.Frames
	}
	r.ConnectMS = stats.Summarise(connect)
	if frames > 0 {
		const framesPerSecond = 30
		r.SentKbps = float64(bytes) * 8 * framesPerSecond / float64(frames) / 1000
	}
}

func (m *measurement) publisherErrors() {
	for _, p := range m.gen.Publishers() {
		if e := p.Report().Error; e != "" {
			m.note(fmt.Errorf("%s: %s", p.Name(), e))
		}
	}
}
