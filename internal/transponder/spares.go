package transponder

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

const (
	// spareEvery is how often a holder looks whether another source must be sent.
	spareEvery = 50 * time.Millisecond
	// spareRetry is the pause after which a source is tried again that could not be read: the machine has no room to transcode it, for example.
	spareRetry = 5 * time.Second
)

// spares are the sources that a push may send, and the rules by which one of them is chosen. The owner of the holder owns them, except wanted.
type spares struct {
	names []string      // of the streams, the main one first
	after time.Duration // a source that sends nothing for so long is stalled

	manual  bool
	next    *spare // the source that is sent when the present one fails; nil: none is read
	planned time.Time
	looked  time.Time
	fed     map[*stream.Source]time.Time // since when a source is fed and misses nothing
	failed  map[*stream.Source]time.Time // when a source could not be read

	// slip is how much later the sound is by its times than by the number of its frames. Where sources meet, frames of sound do not fit exactly. A
	// receiver that counts frames would be more and more out of step, so each change makes up for the ones before.
	slip    time.Duration
	joining bool            // the sound of the new source has not come yet
	joint   media.Timestamp // the end of the sound before
	frame   time.Duration   // the length of a frame of sound

	mu     sync.Mutex
	wanted string // guarded by mu; see rules
}

func newSpares(names []string, after time.Duration, manual bool) *spares {
	return &spares{
		names: names, after: after, manual: manual,
		fed: map[*stream.Source]time.Time{}, failed: map[*stream.Source]time.Time{},
	}
}

// joined notes the first sound after a change.
func (s *spares) joined(f media.Frame) {
	if s == nil || !s.joining || f.Kind() != media.Audio || f.Time < s.joint.Add(-s.frame/2-s.slip) {
		return
	}
	s.joining = false
	if s.slip += f.Time.Sub(s.joint); s.slip.Abs() > s.frame { // there is a gap, which no receiver can count away
		s.slip = 0
	}
}

// want makes the holder send a stream. "": the rules decide again.
func (s *spares) want(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = name
}

func (s *spares) rules() rules {
	s.mu.Lock()
	defer s.mu.Unlock()
	return rules{manual: s.manual, wanted: s.wanted}
}

// sources returns the sources that the hub has now, in the order of preference.
func (s *spares) sources(hub *stream.Hub) []*stream.Source {
	var all []*stream.Source
	for _, name := range s.names {
		all = append(all, hub.All(name)...)
	}
	return slices.DeleteFunc(all, func(src *stream.Source) bool { return src.Info().IsRelay() })
}

// another reports whether a source is live that could be sent in place of src. Any goroutine may call it.
func (s *spares) another(hub *stream.Hub, src *stream.Source) bool {
	return slices.ContainsFunc(s.sources(hub), func(x *stream.Source) bool { return x != src && x.IsLive() && x.Err() == nil })
}

// live reports whether a stream is live, and may be sent. Any goroutine may call it.
func (s *spares) live(hub *stream.Hub, name string) bool {
	return slices.ContainsFunc(hub.All(name), func(x *stream.Source) bool { return x.IsLive() && x.Err() == nil })
}

// firstSource returns the source with which a push begins: that of the first of its streams that is live, or else is published. A stream of
// another server is pushed by that server.
func firstSource(hub *stream.Hub, req Request) (first *stream.Source, found bool) {
	for _, name := range req.names() {
		src, ok := hub.Source(name)
		switch {
		case !ok, src.Info().IsRelay():
		case src.IsLive():
			return src, true
		case first == nil:
			first = src
		}
	}
	return first, first != nil
}

// candidates returns the sources that may be sent, and the index of the present one, -1 if it is not among them.
func (s *spares) candidates(hub *stream.Hub, present *stream.Source, now time.Time) (all []candidate, at int) {
	at = -1
	fed := make(map[*stream.Source]time.Time, len(s.fed))
	for _, src := range s.sources(hub) {
		if src == present {
			at = len(all)
		} else if failed, ok := s.failed[src]; ok && now.Sub(failed) < spareRetry {
			continue
		}
		c := candidate{src: src, name: src.Info().Name, gone: src.Err() != nil}
		st := src.Stats()
		c.fed = src.IsLive() && !c.gone && st.Video.Frames+st.Audio.Frames > 0 && src.Quiet(now) < s.after
		c.missing = src.HasVideo() && st.Video.Missing || src.HasAudio() && st.Audio.Missing
		if c.well() {
			if c.since = s.fed[src]; c.since.IsZero() {
				c.since = now
			}
			fed[src] = c.since
		}
		all = append(all, c)
	}
	s.fed = fed
	for src := range s.failed {
		if src.Err() != nil {
			delete(s.failed, src)
		}
	}
	return all, at
}

// choose changes to another source where the rules say so. It keeps the source ready that is sent when the present one fails.
func (h *holder) choose() {
	s := h.spares
	now := time.Now()
	if s == nil || now.Sub(s.looked) < spareEvery {
		return
	}
	s.looked = now
	var present *stream.Source
	if h.reader != nil {
		present = h.src
	}
	all, at := s.candidates(h.cfg.hub, present, now)
	rules := s.rules()
	next, why := rules.choose(now, all, at)
	ready := next
	if ready < 0 {
		ready = rules.spare(all, at)
	}
	h.prepare(all, ready, now)
	if present != nil && at < 0 {
		return // it has ended, and what it has left is still to be sent
	}
	if next < 0 || s.next == nil {
		s.planned = time.Time{}
		return
	}
	if s.planned.IsZero() {
		s.planned = now
	}
	if h.mayChange(why, now) {
		h.change(why)
	}
}

// prepare reads the source all[i], and no other beside the present one. i is -1 if there is none.
func (h *holder) prepare(all []candidate, i int, now time.Time) {
	s := h.spares
	if s.next != nil && (i < 0 || s.next.src != all[i].src || !h.takes(s.next)) {
		h.dropNext()
	}
	if i < 0 {
		return
	}
	if s.next == nil {
		next, err := h.open(all[i].src, now)
		if err != nil {
			s.failed[all[i].src] = now
			h.cfg.log.Warn("the next source cannot be read", "source", all[i].name, "err", err)
			return
		}
		s.next = next
	}
	s.next.drain(h.Now())
}

// takes reports whether the pictures of a spare can be sent in the form in which they are read.
func (h *holder) takes(s *spare) bool {
	c := s.codec()
	return s.releasePictures != nil || c == media.CodecNone || h.cfg.takes == nil || h.cfg.takes(c)
}

// dropNext stops reading the next source.
func (h *holder) dropNext() {
	if h.spares != nil && h.spares.next != nil {
		h.spares.next.close()
		h.spares.next = nil
	}
}

// open starts to read a source beside the present one.
func (h *holder) open(src *stream.Source, now time.Time) (*spare, error) {
	s := &spare{
		src: src, video: src.Video, shift: src.Created().Sub(h.clock.Load().Created()), keep: h.spares.after + spareReserve, begun: now,
	}
	pictures := h.cfg.pictures
	if t := src.Video.Track(); pictures == nil && t != nil && h.cfg.takes != nil && !h.cfg.takes(t.Codec) {
		pictures = h.cfg.converted
	}
	var err error
	if pictures != nil {
		if s.video, s.releasePictures, err = pictures(src); err != nil {
			return nil, err
		}
	}
	if s.sound, s.releaseSound, err = h.cfg.sound(src); err != nil {
		if s.releasePictures != nil {
			s.releasePictures()
		}
		return nil, err
	}
	s.reader = src.NewReader(stream.ReaderConfig{Video: s.video, Audio: s.sound, KeyFrames: true})
	return s, nil
}

// mayChange reports whether the next source is ready to be sent in place of the present one, and whether this is the moment.
func (h *holder) mayChange(why SwitchCause, now time.Time) bool {
	s := h.spares.next
	key := s.key(h.afterKey)
	if key < 0 {
		s.ask(now)
		return s.blind(now)
	}
	if h.held || why.urgent() || now.Sub(h.spares.planned) >= planFor {
		return true
	}
	f := s.frames[key]
	if f.Time.Sub(h.afterKey(f)).Abs() <= closeBy && h.reader.Stats().QueuedFrames < len(s.read) {
		return true
	}
	s.ask(now)
	return false
}

// afterKey returns the earliest time that a key frame can get after the pictures that were sent.
func (h *holder) afterKey(f media.Frame) media.Timestamp {
	if h.bridge.last.Track == nil {
		return f.Time
	}
	return h.bridge.after(0, f.Delay)
}

// change sends the next source from now on, in place of the present one.
func (h *holder) change(why SwitchCause) {
	s := h.spares.next
	h.spares.next, h.spares.planned = nil, time.Time{}
	from := h.src.Info().Name
	if why.urgent() {
		h.spares.want("") // what was asked for by hand has failed
	}
	b := h.bridge // with the frames that are sent before those of the next source
	rest := h.rest()
	if key := s.key(h.afterKey); key >= 0 && !why.urgent() {
		begin := s.frames[key].Time
		rest = slices.DeleteFunc(rest, func(f media.Frame) bool { return f.Time >= begin })
	}
	for _, f := range append(h.buffer.held(), rest...) {
		b.sent(f)
	}
	after := func(f media.Frame) media.Timestamp {
		if b.last.Track == nil {
			return f.Time
		}
		return b.after(0, f.Delay)
	}
	var sound media.Timestamp
	end, frame, any := b.heard()
	if any {
		sound = end.Add(-frame/2 - h.spares.slip)
	}
	early := s.splice(after, sound)
	h.spares.joining, h.spares.joint, h.spares.frame = any, end, frame
	buffer := h.buffer
	h.detach()
	q := &queue{reader: s.reader, shift: s.shift, early: append(rest, early...), sound: sound}
	h.mu.Lock()
	h.src, h.reader, h.video, h.queue = s.src, s.reader, s.video, q
	if h.buffer = buffer; buffer != nil {
		buffer.reader = q
	} else if h.cfg.buffer.Enabled {
		h.buffer = newFrameBuffer(h.cfg.buffer, q)
	}
	s.reader.SetMaxLag(h.maxLag)
	h.mu.Unlock()
	h.sound, h.releaseSound, h.releasePictures = s.sound, s.releaseSound, s.releasePictures
	h.heard, h.until, h.still = time.Time{}, time.Time{}, false
	h.stand = standIn{shown: h.stand.shown, pictureAt: time.Now()}
	if blind := !slices.ContainsFunc(early, func(f media.Frame) bool { return f.Kind() == media.Video }); blind && !h.held {
		h.bridge.begin(media.Frame{})
		h.blind.Store(h.bridge.pictures && s.src.HasVideo())
	}
	h.cfg.log.Info("push changes to another source", "from", from, "source", s.src.Info().Name, "provider", s.src.Info().Provider, "cause", why)
	if h.cfg.switched != nil {
		h.cfg.switched(s.src, why)
	}
}

// rest takes the frames of the present source that have come and are not sent yet. Those that the outgoing buffer holds stay there.
func (h *holder) rest() []media.Frame {
	if h.reader == nil {
		return nil
	}
	if h.buffer != nil {
		_ = h.buffer.fill(time.Now()) // an error means that the source has ended, and another one takes over
		return nil
	}
	var rest []media.Frame
	frames := make([]media.Frame, 64)
	for {
		n, _ := h.queue.TryRead(frames)
		if n == 0 {
			return rest
		}
		rest = append(rest, frames[:n]...)
	}
}

// replaceLost changes to the next source because the present one has ended. It returns false if no other is ready.
func (h *holder) replaceLost() bool {
	if h.spares == nil {
		return false
	}
	now := time.Now()
	all, at := h.spares.candidates(h.cfg.hub, nil, now)
	next := h.spares.rules().spare(all, at)
	h.prepare(all, next, now)
	if h.spares.next == nil || !h.mayChange(SwitchLost, now) {
		return false
	}
	h.change(SwitchLost)
	return true
}

// switchCounters count how often pushes have changed from one source to another, by cause. Any goroutine may use them.
type switchCounters [5]atomic.Int64 // in the order of SwitchCauses

func (c *switchCounters) note(why SwitchCause) {
	if i := slices.Index(SwitchCauses, why); i >= 0 {
		c[i].Add(1)
	}
}

func (c *switchCounters) all() map[SwitchCause]int64 {
	m := map[SwitchCause]int64{}
	for i, why := range SwitchCauses {
		m[why] = c[i].Load()
	}
	return m
}
