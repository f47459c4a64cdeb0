package transponder

import (
	"time"

	"transponder/internal/stream"
)

const (
	// watchEvery is the time between two samples.
	watchEvery = time.Second

	// deadAfter is the time without a sign of life, of the server or of the source, after which a push is degraded.
	deadAfter = 5 * time.Second
	// slowFor is how long a push stays degraded after the last dropped frame.
	slowFor = 10 * time.Second
	// A source that sends no key frame for deafFor, although it was asked deafAsks times, does not react to requests for key frames. That is
	// three intervals of the hub. A source that is not asked is not judged.
	deafFor  = 6 * time.Second
	deafAsks = 3

	// quietFor is how long a server that usually answers pings may be silent. After that it is perhaps not slow, but gone.
	quietFor = 2 * time.Second
	// lagReserve is an allowance for delay that is not measured: the time to send a picture, and the time between two measurements.
	lagReserve = time.Second
	// minLag is how old pictures may always get in the queue, however late the server is already.
	minLag = time.Second
)

// sample holds the figures by which a link and its source are judged, at one moment.
type sample struct {
	at          time.Time
	frames      int64 // of the source, of all kinds
	pictures    int64 // of the source
	keys, asked int64 // key frames that came, and requests for them
	dropped     int64
	skipped     int64 // pictures that the encoder left out
	sent        int64
	tcp         tcpState
	received    int64         // bytes, of any kind
	lag, maxLag time.Duration // how old the oldest data is that the server has not got
	unanswered  time.Time     // when the oldest ping without an answer was sent; zero: there is none
	answers     bool          // the server is known to answer pings
	throttled   bool          // writing waits for room

	kinds     [2]kindSample // audio, video of the source
	unheard   bool          // the push does not send the source's sound
	keyless   int64         // pictures of the source that came before any key frame
	reordered int64         // pictures of the source whose order is not known
}

// kindSample holds the figures of one kind of media of the source.
type kindSample struct {
	frames, unusable int64
	missing          bool
}

// alive reports whether the kind has come, and still comes at its usual pace.
func (k kindSample) alive() bool { return k.frames > 0 && !k.missing }

// health judges a link and its source by which figures change and which do not. It has no clock of its own.
type health struct {
	media, picture, key, drop lastChange
	asked                     int64     // key frames, when the last one came
	dropped                   time.Time // the last frame
	wasSlow                   bool      // the last result was that the server is slow
	skip                      lastChange
	skipped                   time.Time // the last picture
	kinds                     [2]kindHealth
	keyless                   recent
	reordered                 recent

	taken lastChange // by the kernel of the server
	heard lastChange // from the server
}

// ofServer returns what is known of the server alone.
func (h *health) ofServer() health {
	return health{drop: h.drop, dropped: h.dropped, wasSlow: h.wasSlow, taken: h.taken, heard: h.heard}
}

// lastChange is a number and when it last changed.
type lastChange struct {
	value int64
	since time.Time
}

// note takes the present value. It reports whether the value has changed, and for how long it has been the same.
func (s *lastChange) note(at time.Time, value int64) (changed bool, unchanged time.Duration) {
	if s.since.IsZero() || s.value != value {
		changed = !s.since.IsZero()
		s.value, s.since = value, at
	}
	return changed, at.Sub(s.since)
}

// recent counts something that is wrong, and knows when the count last grew.
type recent struct {
	value lastChange
	at    time.Time
}

// note takes the present count and reports whether it has grown within the given time.
func (r *recent) note(at time.Time, value int64, within time.Duration) bool {
	if changed, _ := r.value.note(at, value); changed {
		r.at = at
	}
	return !r.at.IsZero() && at.Sub(r.at) < within
}

// kindHealth judges one kind of media of the source by its last few seconds.
type kindHealth struct {
	past  [deadAfter / watchEvery]kindSample
	count int // of samples so far
}

// leastUnusable is how many frames of a kind must be unusable within deadAfter to be reported.
const leastUnusable = 3

// useless reports whether at least half of the frames that come cannot be used.
func (k *kindHealth) useless(s kindSample) bool {
	at := k.count % len(k.past)
	before, known := k.past[at], k.count >= len(k.past)
	if k.count == len(k.past)-1 { // early, for a push that begins like that
		before, known = k.past[0], true
	}
	k.past[at] = s
	k.count++
	lost := s.unusable - before.unusable
	return known && lost >= leastUnusable && lost >= s.frames-before.frames
}

// judge returns for how long the server has taken nothing although there was something to take, and what is wrong, ReasonNone if all is
// well.
func (h *health) judge(s sample) (stuck time.Duration, reason Reason) {
	silent := h.silent(s)
	stuck = max(h.kernel(s), min(silent, deadAfter+(silent-deadAfter)/3)) // a ping may wait behind what a proxy holds
	_, noMedia := h.media.note(s.at, s.frames)
	_, noPicture := h.picture.note(s.at, s.pictures)
	keyless := h.keyless.note(s.at, s.keyless, deadAfter)
	deaf := h.deaf(s) && (noPicture < deadAfter || keyless)
	slow := h.slow(s)
	behind := h.behind(s)
	source := h.source(s)
	h.wasSlow = h.wasSlow && slow
	switch {
	case stuck >= deadAfter:
		return stuck, ReasonPeerStalled
	case noMedia >= deadAfter && !s.kinds[0].alive() && !s.kinds[1].alive() && source != ReasonUnusable:
		return stuck, ReasonNoMedia
	case slow && (silent < quietFor || h.wasSlow): // else the server may be gone: that is not known yet
		h.wasSlow = true
		return stuck, ReasonPeerSlow
	case behind:
		return stuck, ReasonTooSlow
	case deaf:
		return stuck, ReasonNoKeyFrame
	}
	return stuck, source
}

// source judges each kind of the source's media by itself, because a kind that comes would hide another that does not.
func (h *health) source(s sample) Reason {
	audio, video := s.kinds[0], s.kinds[1]
	noSound, noPictures := h.kinds[0].useless(audio), h.kinds[1].useless(video)
	mixed := h.reordered.note(s.at, s.reordered, slowFor)
	switch {
	case noSound || noPictures:
		return ReasonUnusable
	case video.missing && audio.alive():
		return ReasonNoVideo
	case audio.missing && video.alive() && !s.unheard:
		return ReasonNoAudio
	case mixed:
		return ReasonBFrames
	}
	return ReasonNone
}

// kernel returns for how long the server's kernel has acknowledged nothing. Where our kernel does not count acknowledged bytes, they are the
// bytes sent less the bytes queued. With TLS the queue holds more bytes than were handed to it, by a share that only grows, so a new
// maximum counts as progress.
func (h *health) kernel(s sample) time.Duration {
	taken := s.tcp.taken
	if taken == 0 {
		taken = s.sent - int64(s.tcp.queued)
	}
	if s.tcp.queued <= 0 || taken > h.taken.value || h.taken.since.IsZero() {
		h.taken = lastChange{max(taken, h.taken.value), s.at}
	}
	return s.at.Sub(h.taken.since)
}

// silent returns for how long the server has not answered a ping although it has answered all before. A proxy may take bytes that its
// server does not take. Missing acknowledgements prove nothing: servers may stop to acknowledge, and many never begin. While bytes are
// queued in the kernel, the ping waits behind them, and the kernel's figures decide.
func (h *health) silent(s sample) time.Duration {
	h.heard.note(s.at, s.received)
	if s.unanswered.IsZero() || !s.answers || s.tcp.queued > 0 {
		return 0
	}
	since := s.unanswered
	if h.heard.since.After(since) {
		since = h.heard.since
	}
	return max(0, s.at.Sub(since))
}

// progressed reports whether the server's kernel has taken bytes since the last sample, or has taken all there are.
func (h *health) progressed(s sample) bool { return s.tcp.queued >= 0 && h.taken.since.Equal(s.at) }

// slow reports whether frames are dropped, or were dropped and will be again: the server is more than half as late as it may get.
func (h *health) slow(s sample) bool {
	if changed, _ := h.drop.note(s.at, s.dropped); changed || !h.dropped.IsZero() && s.throttled && s.lag > s.maxLag/2 {
		h.dropped = s.at
	}
	return !h.dropped.IsZero() && s.at.Sub(h.dropped) < slowFor
}

// behind reports whether the encoder has left out pictures lately.
func (h *health) behind(s sample) bool {
	if changed, _ := h.skip.note(s.at, s.skipped); changed {
		h.skipped = s.at
	}
	return !h.skipped.IsZero() && s.at.Sub(h.skipped) < slowFor
}

// deaf reports whether the source does not react to requests for key frames.
func (h *health) deaf(s sample) bool {
	first := h.key.since.IsZero()
	came, without := h.key.note(s.at, s.keys)
	if first || came {
		h.asked = s.asked
	}
	return without >= deafFor && s.asked-h.asked >= deafAsks
}

func kindOf(f stream.FeedStats) kindSample {
	return kindSample{frames: f.Frames, unusable: f.Faults.Unusable(), missing: f.Missing}
}

// details has the reasons of Degraded in words.
var details = map[Reason]string{
	ReasonPeerStalled: "The server has stopped taking data.",
	ReasonPeerSlow:    "The server or the way to it is too slow: pictures are left out.",
	ReasonTooSlow:     "This server cannot transcode the pictures as fast as they come: some are left out.",
	ReasonNoMedia:     "The stream's publisher sends nothing.",
	ReasonNoKeyFrame:  "The stream's publisher sends no key frames although it is asked for them.",
	ReasonNoVideo:     "The stream's publisher sends sound and no pictures.",
	ReasonNoAudio:     "The stream's publisher sends pictures and no sound.",
	ReasonUnusable:    "The stream's publisher sends pictures or sound in a form that cannot be read.",
	ReasonBFrames:     "The stream's publisher sends B-frames over WebRTC, which does not tell when each is shown: the pictures jerk.",
}
