package transponder

import (
	"time"

	"transponder/internal/stream"
)

const (
	watchEvery = time.Second

	// stillFor is after how long without a sign of life a push is degraded: the peer's, or the source's.
	stillFor = 5 * time.Second
	// slowFor is how long a push stays degraded after the last dropped frame.
	slowFor = 10 * time.Second
	// deafFor and deafAsks are when a source is taken not to hear requests for key frames: three of the hub's intervals, with
	// as many requests. One that sends none by itself and is asked for none is left alone.
	deafFor  = 6 * time.Second
	deafAsks = 3

	// quietFor is how long a server that answers may be silent before it is perhaps not slow, but gone.
	quietFor = 2 * time.Second
	// lagReserve is for what the delay of a picture has in it that nobody counts: the time to send it, and that it is looked at intervals.
	lagReserve = time.Second
	// minLag is how old pictures may get in the queue however late the peer is already.
	minLag = time.Second
)

// sample is what is looked at once a second.
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
	lag, maxLag time.Duration // how old the oldest is that the peer has not got
	unanswered  time.Time     // the oldest ping without an answer; zero: there is none
	answers     bool          // the peer is known to answer pings
	late        bool          // writing waits for room

	kinds     [2]kindSample // audio, video of the source
	unheard   bool          // the push does not send the source's sound
	keyless   int64         // pictures of the source that came before any key frame
	reordered int64         // pictures of the source whose order is not known
}

// kindSample is of one kind of the source's media.
type kindSample struct {
	frames, unusable int64
	missing          bool
}

// alive says whether the kind has come, and still comes at its own pace.
func (k kindSample) alive() bool { return k.frames > 0 && !k.missing }

// health judges a connection and its source by what moves and what does not. It has no clock of its own.
type health struct {
	media, picture, key, drop still
	asked                     int64     // key frames, when the last one came
	dropped                   time.Time // the last frame
	wasSlow                   bool      // the peer is slow, and was said to be
	skip                      still
	skipped                   time.Time // the last picture
	kinds                     [2]kindHealth
	keyless                   recent
	reordered                 recent

	taken still // by the peer's kernel
	heard still // of the peer
}

// still is a number and when it changed.
type still struct {
	value int64
	since time.Time
}

// note takes the number as it is now and says whether it changed, and for how long it has been the same.
func (s *still) note(at time.Time, value int64) (changed bool, unchanged time.Duration) {
	if s.since.IsZero() || s.value != value {
		changed = !s.since.IsZero()
		s.value, s.since = value, at
	}
	return changed, at.Sub(s.since)
}

// recent is a number that counts something wrong, and when it last grew.
type recent struct {
	value still
	at    time.Time
}

// note takes the number as it is now and says whether it grew within a time.
func (r *recent) note(at time.Time, value int64, within time.Duration) bool {
	if changed, _ := r.value.note(at, value); changed {
		r.at = at
	}
	return !r.at.IsZero() && at.Sub(r.at) < within
}

// kindHealth judges one kind of the source's media by the last few seconds.
type kindHealth struct {
	past  [stillFor / watchEvery]kindSample
	count int // of samples so far
}

// leastUnusable is how many frames of a kind must be unusable in stillFor to be worth a word.
const leastUnusable = 3

// useless says whether half of what comes, or more, cannot be used.
func (k *kindHealth) useless(s kindSample) bool {
	at := k.count % len(k.past)
	before, known := k.past[at], k.count >= len(k.past)
	if k.count == len(k.past)-1 { // soon enough for a push that begins like that
		before, known = k.past[0], true
	}
	k.past[at] = s
	k.count++
	lost := s.unusable - before.unusable
	return known && lost >= leastUnusable && lost >= s.frames-before.frames
}

// judge returns for how long the peer has taken nothing although there was something to take, and what is wrong, if anything.
func (h *health) judge(s sample) (stuck time.Duration, reason Reason) {
	silent := h.silent(s)
	stuck = max(h.kernel(s), min(silent, stillFor+(silent-stillFor)/3)) // a ping may lie behind what a proxy holds
	_, noMedia := h.media.note(s.at, s.frames)
	_, noPicture := h.picture.note(s.at, s.pictures)
	keyless := h.keyless.note(s.at, s.keyless, stillFor)
	deaf := h.deaf(s) && (noPicture < stillFor || keyless)
	slow := h.slow(s)
	behind := h.behind(s)
	source := h.source(s)
	h.wasSlow = h.wasSlow && slow
	switch {
	case stuck >= stillFor:
		return stuck, ReasonPeerStalled
	case noMedia >= stillFor && !s.kinds[0].alive() && !s.kinds[1].alive() && source != ReasonUnusable:
		return stuck, ReasonNoMedia
	case slow && (silent < quietFor || h.wasSlow): // else it is not known yet which
		h.wasSlow = true
		return stuck, ReasonPeerSlow
	case behind:
		return stuck, ReasonTooSlow
	case deaf:
		return stuck, ReasonNoKeyFrame
	}
	return stuck, source
}

// source looks at each kind of the source's media by itself: one that comes hides another that does not.
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

// kernel looks at the bytes that the peer's kernel has acknowledged. Where the kernel does not count them, what is left of the queue
// tells: with TLS that has more bytes than were handed to it, by a share that only grows, so progress is a new maximum.
func (h *health) kernel(s sample) time.Duration {
	taken := s.tcp.taken
	if taken == 0 {
		taken = s.sent - int64(s.tcp.queued)
	}
	if s.tcp.queued <= 0 || taken > h.taken.value || h.taken.since.IsZero() {
		h.taken = still{max(taken, h.taken.value), s.at}
	}
	return s.at.Sub(h.taken.since)
}

// silent returns for how long the peer has not answered a ping although it has always done so. A proxy may take bytes that its server
// does not. Nothing can be learned from acknowledgements that do not come: peers may stop to acknowledge, and many never begin. While
// bytes wait in the kernel, which the ping is behind, it is the kernel that tells.
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

// progressed says whether the peer's kernel has taken bytes since the sample before, or all there are.
func (h *health) progressed(s sample) bool { return s.tcp.queued >= 0 && h.taken.since.Equal(s.at) }

// slow says whether frames are dropped, or were and will be again: the peer is still half as late as it may get.
func (h *health) slow(s sample) bool {
	if changed, _ := h.drop.note(s.at, s.dropped); changed || !h.dropped.IsZero() && s.late && s.lag > s.maxLag/2 {
		h.dropped = s.at
	}
	return !h.dropped.IsZero() && s.at.Sub(h.dropped) < slowFor
}

func (h *health) behind(s sample) bool {
	if changed, _ := h.skip.note(s.at, s.skipped); changed {
		h.skipped = s.at
	}
	return !h.skipped.IsZero() && s.at.Sub(h.skipped) < slowFor
}

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

// details are the reasons of Degraded in words.
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
