package metrics

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"transponder/internal/access/audit"
	"transponder/internal/access/people"
	"transponder/internal/access/token"
	"transponder/internal/certificate"
	"transponder/internal/cluster"
	"transponder/internal/guard"
	"transponder/internal/hook"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/trace"
	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/sound"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
)

// Parts has the functions that return the figures of the parts of the server. Any goroutine may call them. Nil ones are left out.
type Parts struct {
	Streams     func() []*stream.Source
	Takeovers   func() int64                             // of publishers by newer ones
	Promotions  func() int64                             // of spare publishers
	Standbys    func() int                               // spare publishers
	Switches    func() map[transponder.SwitchCause]int64 // of pushes, from one source to another
	Pushes      func() []transponder.Info
	Resumes     func() transponder.ResumeStats
	PushFigures func() transponder.Figures         // of all pushes, those that are over included
	Limits      func() map[string]int              // how many publishers, players and pushes there may be; 0: any number
	Publishers  func() map[string]int              // over WebRTC, by receiver
	Sessions    func() []rtc.PublisherStats        // of those publishers
	Datagrams   func() map[string]int64            // datagrams of the media port that were lost, by reason
	Restarts    func() map[string]rtc.RestartStats // of ICE, by door
	Panics      func() map[string]int64            // of parts that have no field for it below, by part
	Stuck       func() int64                       // WebRTC connections that could not be closed
	Players     func() int                         // over WebRTC
	WebSockets  func() WebSocketStats
	RTMP        func() RTMPStats
	Calls       func() sip.Stats
	Hooks       func() transponder.HookStats
	Backends    func() []hook.Stats
	Sound       func() sound.Stats
	SourceSound func(*stream.Source) (sound.Stats, bool) // false: nothing is made of the source's sound
	SoundFiles  func() soundfile.Stats
	Pictures    func() (renditions int, sum picture.Stats)
	Thumbnails  func() picture.ThumbnailStats // nil: there are none
	Load        func() load.Stats
	Refusals    func() map[guard.Refused]int64

	// Reader returns a function that says whether whoever sends a request with this context may read about a stream: nil if he may read
	// everything. If it is nil, everybody may.
	Reader func(context.Context) func(stream string) bool

	Certificates func() certificate.Stats
	State        func() state.Stats
	Drain        func() (left time.Duration, draining bool)
	Cluster      func() cluster.Stats
	Router       func() cluster.RouterStats
	Relays       func() cluster.RelayStats
	Events       func() cluster.EventsStats
	Past         func() cluster.PastStats
	Shared       func() cluster.SharedStats
	EndsWaiting  func() int
	Claims       func() cluster.ClaimStats
	Tokens       func() token.Stats
	Leases       func() int
	OverLimit    func() map[string]int64 // clients refused for the limits of their token, key or application
	Audit        func() audit.Stats
	People       func() people.Stats
	Traces       func() trace.Stats
}

// New makes the handler for /metrics. It shows the figures of the parts, of the process and of the Go runtime.
func New(parts Parts) (http.Handler, error) {
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collector{parts},
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	whole := promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	if parts.Reader == nil {
		return whole, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if reads := parts.Reader(req.Context()); reads != nil {
			promhttp.HandlerFor(ofStreams{r, reads}, promhttp.HandlerOpts{}).ServeHTTP(w, req)
			return
		}
		whole.ServeHTTP(w, req)
	}), nil
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("transponder_"+name, help, labels, nil)
}

var (
	streams           = desc("streams", "Streams by state.", "state")
	streamFrames      = desc("stream_frames_total", "Frames received from the publisher.", "stream", "kind")
	streamBytes       = desc("stream_bytes_total", "Bytes of frames received from the publisher.", "stream", "kind")
	streamKeyFrames   = desc("stream_key_frames_total", "Key frames received from the publisher.", "stream")
	streamKeyInterval = desc("stream_key_frame_interval_seconds", "Time between the last two key frames.", "stream")
	streamKeyRequests = desc("stream_key_frame_requests_total", "Requests for a key frame to the publisher.", "stream")
	streamFaults      = desc("stream_faults_total", "Media of the publisher that could not be used as it was, by what is wrong with it.", "stream", "kind", "fault")
	promotions        = desc("standby_promotions_total", "Spare publishers that got the name of the publisher before.")
	standbys          = desc("standby_publishers", "Spare publishers of streams that have another one.")
	takeovers         = desc("takeovers_total", "Publishers that were replaced by a newer one with the same name.")
	streamDrift       = desc("stream_clock_drift_ratio", "How much faster the clock of the publisher's sound is than that of the server; below 0: slower.", "stream")
	streamHold        = desc("stream_sound_hold_seconds", "How late sound may come at present before silence takes its place.", "stream")
	streamReaders     = desc("stream_readers", "Readers of the stream: pushes, players and transcoders.", "stream", "kind")

	onBackup        = desc("pushes_on_backup", "Pushes that send one of their backup streams.")
	sourceSwitches  = desc("push_source_switches_total", "Changes of pushes from one of their streams to another.", "cause")
	pushes          = desc("pushes", "Pushes by state.", "state")
	pushesUnkept    = desc("pushes_not_durable", "Pushes that would not outlive the server, because the state folder does not take their records.")
	pushResumes     = desc("push_resumes_total", "Pushes that have outlived the process before, by what became of them: live again, expired, ended otherwise or failed before they were live again.", "result")
	pushResumeTime  = desc("push_resume_seconds_total", "Time from the return of the publisher to live, of all pushes that are live again.")
	pushSent        = desc("push_sent_bytes_total", "Bytes sent.", "push", "stream")
	pushAcked       = desc("push_acked_bytes_total", "Bytes that the destination has acknowledged.", "push", "stream")
	pushFrames      = desc("push_frames_total", "Frames sent.", "push", "stream", "kind")
	pushDropped     = desc("push_dropped_frames_total", "Frames that a push has left out, by cause: too late or no room in the queue (full), because the destination was too slow; or not encoded in time (transcoder).", "push", "stream", "cause")
	pushLostBytes   = desc("push_dropped_bytes_total", "Bytes of the frames that were left out because the destination was too slow.", "push", "stream")
	pushLostTime    = desc("push_dropped_seconds_total", "Time that is missing in the media because of these frames.", "push", "stream", "kind")
	pushReconnects  = desc("push_reconnects_total", "Attempts to connect after the first.", "push", "stream")
	pushInfo        = desc("push_info", "The host to which a push goes, and the name of its destination if it has one. The value is always 1.", "push", "stream", "host", "destination")
	pushState       = desc("push_state", "The state in which a push is, and the reason. The value is always 1.", "push", "stream", "state", "reason")
	pushLiveAfter   = desc("push_live_after_seconds", "Time from the request for the push to the first time that it was live.", "push", "stream")
	pushRoundTrip   = desc("push_round_trip_seconds", "Round trip time of TCP between the server and the destination.", "push", "stream")
	pushResent      = desc("push_retransmitted_segments_total", "TCP segments that were sent again, because the way to the destination lost them.", "push", "stream")
	pushAVOffset    = desc("push_av_offset_seconds", "Time of the last sound sent minus that of the last picture sent, on the clock of the destination. Above 0: the sound is ahead.", "push", "stream")
	pushQueueBytes  = desc("push_queue_bytes", "Bytes that the destination has not received yet, as far as that is known.", "push", "stream")
	pushesEnded     = desc("pushes_ended_total", "Pushes that are over, by the last state and the reason.", "state", "reason")
	pushesLiveAfter = desc("pushes_live_after_seconds", "Time from the request for a push to the first time that it was live.")
	pushesDelay     = desc("pushes_delay_seconds", "Age of the oldest media that a destination has not received yet. Each push that is connected is asked once a second.")
	limit           = desc("limit", "How many there may be on this server. Left out if there may be any number.", "of")
	addressUp       = desc("push_address_up", "Whether an address of a push with several takes the stream. Address 1 is rtmpUrl, 2 the first of options.backupUrls.", "push", "stream", "address")
	addressSent     = desc("push_address_sent_bytes_total", "Bytes sent to an address of a push with several.", "push", "stream", "address")
	addressTries    = desc("push_address_connects_total", "Connections to an address of a push with several, also failed ones.", "push", "stream", "address")
	pushQueue       = desc("push_queue_seconds", "Age of the oldest media that the destination has not received yet, as far as that is known.", "push", "stream")

	renditions     = desc("renditions", "Renditions that are made of streams at present, each once for all its readers.", "kind")
	soundFrames    = desc("sound_frames_total", "Encoded frames of sound: full (all channels), mono (one channel for both), or silent (repeated without encoding).", "coded")
	soundChanges   = desc("sound_encoder_changes_total", "Changes between encoding both channels and encoding one for both.")
	soundErrors    = desc("sound_errors_total", "Packets of sound that could not be decoded.")
	soundSilence   = desc("sound_silence_seconds_total", "Silence that was put in the place of missing sound.")
	soundPackets   = desc("sound_packets_total", "Packets of sound that renditions have read from streams and written.", "direction")
	soundCorrected = desc("sound_corrected_seconds_total", "Sound that was made up, left out, or changed to follow the publisher's clock.", "how")
	soundFilesKept = desc("sound_files_kept", "Sound files that are encoded, or being encoded, each once for each format.")
	soundFileMade  = desc("sound_file_packets_total", "Packets encoded from sound files.")
	soundFiles     = desc("sound_files_playing", "Pushes that play a sound file.")
	soundFileBytes = desc("sound_file_bytes", "Bytes of the encoded sound files that are kept, at most.")
	soundFileFails = desc("sound_file_errors_total", "Sound files that could not be read or encoded to the end.")
	soundStarved   = desc("sound_file_starved_packets_total", "Packets of silence sent because those of a sound file were not ready.")

	pictures        = desc("pictures_transcoded_total", "Pictures encoded.")
	picturesDropped = desc("pictures_dropped_total", "Pictures that were not encoded because the machine was too slow.")
	picturesDamaged = desc("pictures_damaged_total", "Pictures that could not be decoded.")
	thumbnails      = desc("snapshots_total", "Pictures of streams that were asked for by REST, by outcome: made, shared with somebody else who asked in the same second, failed or refused.", "outcome")
	transcoderLost  = desc("transcoder_restarts_total", "Processes for transcoding that were started in place of lost ones.")
	transcoderCores = desc("transcoder_cores", "Processor cores that transcoding of pictures uses.")

	hookEvents  = desc("push_hook_events_total", "Events for the web hook, by outcome.", "outcome")
	hookRetries = desc("push_hook_retries_total", "Attempts to deliver an event to the web hook after the first.")

	loadCores   = desc("load_cores", "Processor cores that this server uses, its child processes included.")
	loadAllowed = desc("load_allowed_cores", "Processor cores that this server may use before it refuses new streams. 0: any number.")
	loadStream  = desc("load_stream_cores", "Processor cores that a stream needs, as measured on this machine.")
	loadRefused = desc("load_refused_total", "Publishers, pushes and players that were refused because the processors are busy.")

	turnedAway         = desc("turned_away_total", "Requests and connections that were refused, by door and reason.", "door", "reason")
	publisherPackets   = desc("publisher_packets_total", "RTP packets that came from the publisher.", "stream")
	publisherBytes     = desc("publisher_bytes_total", "Bytes of the payloads of these packets.", "stream")
	publisherFaults    = desc("publisher_packet_faults_total", "RTP packets that were given up as lost, came after that, or came twice.", "stream", "fault")
	publisherNACKs     = desc("publisher_nacks_total", "RTP packets that the publisher was asked to send again.", "stream")
	publisherPLIs      = desc("publisher_plis_total", "Requests for a key frame that were sent to the publisher because pictures were missing.", "stream")
	publisherBroken    = desc("publisher_broken_pictures_total", "Pictures that did not arrive whole and were left out.", "stream")
	publisherJumps     = desc("publisher_clock_jumps_total", "Jumps of the publisher's RTP clocks.", "stream")
	publisherJitter    = desc("publisher_jitter_seconds", "Variation of the time that packets take from the publisher (RFC 3550).", "stream")
	publisherRoundTrip = desc("publisher_round_trip_seconds", "Round trip time between the server and the publisher.", "stream")

	publishers = desc("publishers", "Publishers over WebRTC, by the receiver that serves them.", "receiver")
	datagrams  = desc("media_datagrams_lost_total", "Datagrams of WebRTC that belonged to nobody, found no room, or could not be sent.", "reason")
	restarts   = desc("ice_restarts_total", "ICE restarts that WebRTC clients asked for, by the door and how they ended.", "door", "result")
	panics     = desc("session_panics_total", "Sessions, requests and pushes that ended because of a bug of this server, by the part of the server.", "part")
	stuck      = desc("peers_given_up_total", "WebRTC connections that could not be closed. They hold memory until the server ends.")
	players    = desc("players", "Players over WebRTC.")

	webSockets          = desc("websockets", "Open signalling connections.")
	webSocketsKept      = desc("websocket_sessions_kept", "Web SDK sessions that wait for their browser to connect again.")
	webSocketPublishers = desc("websocket_publishers", "Streams that Web SDK sessions publish, those that still connect included.")
	webSocketPlayers    = desc("websocket_players", "Players of Web SDK sessions.")
	webSocketsAccepted  = desc("websockets_accepted_total", "Signalling connections that were accepted.")
	webSocketsClosed    = desc("websockets_closed_total", "Signalling connections that the server closed because the browser sent too much, took too little, or answered no pings.", "reason")
	webSocketMessages   = desc("websocket_messages_total", "Signalling messages.", "direction")
	webSocketIgnored    = desc("websocket_messages_ignored_total", "Signalling messages that were received and are not part of the protocol.")
	webSocketPublishes  = desc("websocket_publishes_total", "Publishers of Web SDK sessions that reached PUBLISHING, or ended in FAILED while their session went on.", "outcome")
	webSocketPlays      = desc("websocket_plays_total", "Players of Web SDK sessions that reached PLAYING, or ended in FAILED while their session and their publisher went on.", "outcome")
	webSocketCalls      = desc("websocket_calls", "Calls of Web SDK sessions, those that ring included.")
	webSocketCallsBegun = desc("websocket_calls_total", "Calls that Web SDK sessions have made or that rang there.", "direction")
	webSocketCallEnds   = desc("websocket_call_outcomes_total", "Calls of Web SDK sessions that were established, and those that ended in FAILED or were refused. A call may be both.", "outcome")

	rtmpConnections = desc("rtmp_connections", "Open connections to the RTMP server.")
	rtmpPublishers  = desc("rtmp_publishers", "Publishers of the RTMP server.")
	rtmpPlayers     = desc("rtmp_players", "Players of the RTMP server.")
	rtmpOpened      = desc("rtmp_connections_total", "Connections to the RTMP server that were accepted, or rejected because there were too many.", "outcome")
	rtmpRefused     = desc("rtmp_refused_total", "Requests to publish or to play that the RTMP server refused.")
	rtmpStrangers   = desc("rtmp_strangers_total", "Connections to the RTMP server that did not speak RTMP, or not in time.")
	rtmpBadMessages = desc("rtmp_bad_messages_total", "Audio and video messages of RTMP publishers that could not be used.")
	rtmpClockJumps  = desc("rtmp_clock_jumps_total", "Jumps of the clocks of RTMP publishers, counted when the stream ends.")
	rtmpSlowPlayers = desc("rtmp_slow_players_total", "Times that an RTMP player was too slow and lost frames, counted when it ends.")
	rtmpDropped     = desc("rtmp_player_dropped_frames_total", "Frames that slow RTMP players lost, counted when a player ends.")
)

// collector asks the parts for their figures at each scrape. The series change with the streams, so it describes none of them in
// advance, as an unchecked collector of Prometheus.
type collector struct{ parts Parts }

// Describe describes nothing.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect asks the parts for their figures.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := sink{out}
	c.media(s)
	c.outgoing(s)
	c.doors(s)
	c.server(s)
	s.transcoding(c.parts)
}

// media collects the figures of publishers, players and their streams.
func (c collector) media(s sink) {
	if c.parts.Streams != nil {
		s.streams(c.parts.Streams(), c.parts.SourceSound)
	}
	if c.parts.Takeovers != nil {
		s.counter(takeovers, c.parts.Takeovers())
	}
	if c.parts.Promotions != nil {
		s.counter(promotions, c.parts.Promotions())
		s.gauge(standbys, float64(c.parts.Standbys()))
	}
	if c.parts.Publishers != nil {
		for name, n := range c.parts.Publishers() {
			s.gauge(publishers, float64(n), name)
		}
	}
	if c.parts.Sessions != nil {
		for _, st := range c.parts.Sessions() {
			s.publisher(st)
		}
	}
	if c.parts.Datagrams != nil {
		for reason, n := range c.parts.Datagrams() {
			s.counter(datagrams, n, reason)
		}
	}
	if c.parts.Restarts != nil {
		for door, st := range c.parts.Restarts() {
			s.counter(restarts, st.Done, door, "done")
			s.counter(restarts, st.Limited, door, "limited")
			s.counter(restarts, st.Refused, door, "refused")
		}
	}
	if c.parts.Stuck != nil {
		s.counter(stuck, c.parts.Stuck())
	}
	if c.parts.Players != nil {
		s.gauge(players, float64(c.parts.Players()))
	}
	if c.parts.Calls != nil {
		s.calls(c.parts.Calls())
	}
}

// outgoing collects the figures of pushes, and what is told of them.
func (c collector) outgoing(s sink) {
	if c.parts.Switches != nil {
		for cause, n := range c.parts.Switches() {
			s.counter(sourceSwitches, n, string(cause))
		}
	}
	if c.parts.Pushes != nil {
		s.pushes(c.parts.Pushes())
	}
	if c.parts.Resumes != nil {
		s.resumes(c.parts.Resumes())
	}
	if c.parts.PushFigures != nil {
		s.pushFigures(c.parts.PushFigures())
	}
	if c.parts.Hooks != nil {
		st := c.parts.Hooks()
		s.counter(hookEvents, st.Delivered, "delivered")
		s.counter(hookEvents, st.Dead, "dead")
		s.counter(hookRetries, st.Retried)
	}
	if c.parts.Backends != nil {
		s.backends(c.parts.Backends())
	}
}

// doors collects the figures of the doors, and who comes through them.
func (c collector) doors(s sink) {
	if c.parts.Certificates != nil {
		s.certificates(c.parts.Certificates())
	}
	if c.parts.WebSockets != nil {
		s.webSockets(c.parts.WebSockets())
	}
	if c.parts.RTMP != nil {
		s.rtmp(c.parts.RTMP())
	}
	if c.parts.Refusals != nil {
		for what, n := range c.parts.Refusals() {
			s.counter(turnedAway, n, what.Door, what.Why)
		}
	}
	if c.parts.Audit != nil {
		s.audit(c.parts.Audit())
	}
	if c.parts.People != nil {
		s.people(c.parts.People())
	}
	if c.parts.Traces != nil {
		s.traces(c.parts.Traces())
	}
	if c.parts.Tokens != nil {
		s.tokens(c.parts.Tokens())
	}
	if c.parts.Leases != nil {
		s.gauge(leases, float64(c.parts.Leases()))
	}
	if c.parts.OverLimit != nil {
		for of, n := range c.parts.OverLimit() {
			s.counter(overLimit, n, of)
		}
	}
}

// server collects the figures of this server and its cluster.
func (c collector) server(s sink) {
	if c.parts.Panics != nil {
		for part, n := range c.parts.Panics() {
			s.counter(panics, n, part)
		}
	}
	if c.parts.Limits != nil {
		for of, n := range c.parts.Limits() {
			if n > 0 {
				s.gauge(limit, float64(n), of)
			}
		}
	}
	if c.parts.Load != nil {
		st := c.parts.Load()
		s.gauge(loadCores, st.Used)
		s.gauge(loadAllowed, st.Allowed)
		s.gauge(loadStream, st.Stream)
		s.counter(loadRefused, st.Refused)
	}
	if c.parts.Cluster != nil {
		s.cluster(c.parts.Cluster())
	}
	if c.parts.Router != nil {
		s.router(c.parts.Router())
		s.relays(c.parts.Relays())
		s.events(c.parts.Events())
		s.past(c.parts.Past())
		s.shared(c.parts.Shared())
		s.gauge(clusterEnds, float64(c.parts.EndsWaiting()))
	}
	if c.parts.Claims != nil {
		s.claims(c.parts.Claims())
	}
	if c.parts.State != nil {
		s.state(c.parts.State())
	}
	if c.parts.Drain != nil {
		s.node(c.parts.Drain())
	}
}

// sink takes the figures of one scrape.
type sink struct{ out chan<- prometheus.Metric }

func (s sink) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s sink) counter(d *prometheus.Desc, value int64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

// samples shows a count of samples as seconds.
func (s sink) samples(d *prometheus.Desc, n int64, labels ...string) {
	s.seconds(d, float64(n)/sampleRate, labels...)
}

// seconds shows a time that only grows.
func (s sink) seconds(d *prometheus.Desc, value float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

// histogram shows durations. counts has how many lie within each bound and above the bound before, and may have those above all bounds.
func (s sink) histogram(d *prometheus.Desc, bounds []time.Duration, counts []int64, sum time.Duration) {
	s.out <- histogram(d, bounds, counts, sum)
}

func histogram(d *prometheus.Desc, bounds []time.Duration, counts []int64, sum time.Duration) prometheus.Metric {
	within := make(map[float64]uint64, len(bounds))
	var count uint64
	for i, n := range counts {
		count += uint64(n)
		if i < len(bounds) {
			within[bounds[i].Seconds()] = count
		}
	}
	return prometheus.MustNewConstHistogram(d, count, sum.Seconds(), within)
}

// sampleRate is that of the samples that package sound counts.
const sampleRate = 48000

func (s sink) transcoding(p Parts) {
	if p.Sound != nil {
		st := p.Sound()
		s.gauge(renditions, float64(st.Renditions), media.Audio.String())
		s.counter(soundFrames, st.FramesMade-st.FramesMono-st.FramesReused, "full")
		s.counter(soundFrames, st.FramesMono, "mono")
		s.counter(soundFrames, st.FramesReused, "silent")
		s.counter(soundChanges, st.Changes)
		s.counter(soundErrors, st.DecodeErrors)
		s.counter(soundPackets, st.PacketsIn, "in")
		s.counter(soundPackets, st.FramesOut, "out")
		s.samples(soundSilence, st.Silence)
		s.samples(soundCorrected, st.Concealed, "concealed")
		s.samples(soundCorrected, st.Trimmed, "trimmed")
		s.samples(soundCorrected, st.Inserted, "inserted")
		s.samples(soundCorrected, st.Removed, "removed")
	}
	if p.SoundFiles != nil {
		st := p.SoundFiles()
		s.gauge(soundFiles, float64(st.Players))
		s.gauge(soundFileBytes, float64(st.Bytes))
		s.gauge(soundFilesKept, float64(st.Files))
		s.counter(soundFileMade, st.Encoded)
		s.counter(soundFileFails, st.Errors)
		s.counter(soundStarved, st.Starved)
	}
	if p.Pictures != nil {
		n, st := p.Pictures()
		s.gauge(renditions, float64(n), media.Video.String())
		s.counter(pictures, st.Frames)
		s.counter(picturesDropped, st.Dropped)
		s.counter(picturesDamaged, st.Damaged)
		s.counter(transcoderLost, st.Restarts)
		s.gauge(transcoderCores, st.CPU)
	}
	if p.Thumbnails != nil {
		st := p.Thumbnails()
		s.counter(thumbnails, st.Made, "made")
		s.counter(thumbnails, st.Shared, "shared")
		s.counter(thumbnails, st.Failed, "failed")
		s.counter(thumbnails, st.Refused, "refused")
	}
}

func (s sink) streams(all []*stream.Source, madeOf func(*stream.Source) (sound.Stats, bool)) {
	var live, pending int
	for _, src := range all {
		name, st := src.Info().Name, src.Stats()
		if st.Live {
			live++
		} else {
			pending++
		}
		s.feed(name, media.Video, st.Video)
		s.feed(name, media.Audio, st.Audio)
		s.counter(streamKeyFrames, st.Video.KeyFrames, name)
		s.counter(streamKeyRequests, st.KeyRequests, name)
		s.gauge(streamKeyInterval, st.Video.KeyInterval.Seconds(), name)
		if madeOf == nil {
			continue
		}
		if made, ok := madeOf(src); ok {
			s.gauge(streamDrift, made.DriftPPM/1e6, name)
			s.gauge(streamHold, made.Hold.Seconds(), name)
		}
	}
	s.gauge(streams, float64(live), "live")
	s.gauge(streams, float64(pending), "pending")
}

func (s sink) feed(name string, kind media.Kind, st stream.FeedStats) {
	s.counter(streamFrames, st.Frames, name, kind.String())
	s.counter(streamBytes, st.Bytes, name, kind.String())
	s.gauge(streamReaders, float64(st.Readers), name, kind.String())
	for fault, n := range st.Faults {
		if n > 0 {
			s.counter(streamFaults, n, name, kind.String(), stream.Fault(fault).String())
		}
	}
}

func (s sink) pushes(all []transponder.Info) {
	var count [transponder.Failed + 1]int
	backup, unkept := 0, 0
	for _, p := range all {
		if p.NotKept {
			unkept++
		}
		if p.Active != p.SourceName {
			backup++
		}
		if int(p.State) < len(count) {
			count[p.State]++
		}
		s.counter(pushSent, p.BytesSent, p.ID, p.SourceName)
		s.counter(pushAcked, p.BytesAcked, p.ID, p.SourceName)
		s.counter(pushFrames, p.VideoFrames, p.ID, p.SourceName, media.Video.String())
		s.counter(pushFrames, p.AudioFrames, p.ID, p.SourceName, media.Audio.String())
		s.gauge(pushInfo, 1, p.ID, p.SourceName, host(p.Target), p.Destination)
		s.gauge(pushState, 1, p.ID, p.SourceName, lower(p.State), string(p.Reason))
		s.counter(pushDropped, p.DroppedLate, p.ID, p.SourceName, "late")
		s.counter(pushDropped, p.DroppedFrames-p.DroppedLate, p.ID, p.SourceName, "full")
		s.counter(pushDropped, p.TranscoderDropped, p.ID, p.SourceName, "transcoder")
		s.counter(pushLostBytes, p.DroppedBytes, p.ID, p.SourceName)
		s.seconds(pushLostTime, p.DroppedTime.Seconds(), p.ID, p.SourceName, media.Video.String())
		s.seconds(pushLostTime, p.DroppedSound.Seconds(), p.ID, p.SourceName, media.Audio.String())
		s.counter(pushReconnects, int64(max(0, p.Attempts-1)), p.ID, p.SourceName)
		s.gauge(pushQueue, p.QueuedTime.Seconds(), p.ID, p.SourceName)
		s.gauge(pushQueueBytes, float64(p.QueuedBytes), p.ID, p.SourceName)
		s.counter(pushResent, p.Resent, p.ID, p.SourceName)
		s.known(pushRoundTrip, p.RoundTrip, p.ID, p.SourceName)
		s.known(pushLiveAfter, p.LiveAfter, p.ID, p.SourceName)
		if p.AVKnown {
			s.gauge(pushAVOffset, p.AVOffset.Seconds(), p.ID, p.SourceName)
		}
		for i, a := range p.Addresses {
			number, up := strconv.Itoa(i+1), 0.0
			if a.Up() {
				up = 1
			}
			s.gauge(addressUp, up, p.ID, p.SourceName, number)
			s.counter(addressSent, a.BytesSent, p.ID, p.SourceName, number)
			s.counter(addressTries, int64(a.Attempts), p.ID, p.SourceName, number)
		}
	}
	s.gauge(onBackup, float64(backup))
	s.gauge(pushesUnkept, float64(unkept))
	for state, n := range count {
		s.gauge(pushes, float64(n), lower(transponder.State(state)))
	}
}

// pushFigures shows what has become of all pushes.
func (s sink) pushFigures(f transponder.Figures) {
	for end, n := range f.Ends {
		s.counter(pushesEnded, n, lower(end.State), string(end.Reason))
	}
	s.durations(pushesLiveAfter, f.LiveAfter)
	s.durations(pushesDelay, f.Delay)
}

// known shows a time, unless it is not known yet.
func (s sink) known(d *prometheus.Desc, t time.Duration, labels ...string) {
	if t > 0 {
		s.gauge(d, t.Seconds(), labels...)
	}
}

func lower(s transponder.State) string { return strings.ToLower(s.String()) }

// host returns the host and port of an address, and nothing else of it. An address that cannot be read has none.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

func (s sink) resumes(st transponder.ResumeStats) {
	for result, n := range map[string]int64{"live": st.Live, "expired": st.Expired, "ended": st.Ended, "failed": st.Failed} {
		s.counter(pushResumes, n, result)
	}
	s.seconds(pushResumeTime, st.Took.Seconds())
}
