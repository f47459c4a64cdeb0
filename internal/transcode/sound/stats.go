package sound

import (
	"slices"
	"sync"
	"time"

	"transponder/internal/stream"
)

// Stats are the figures of one source's renditions, or sums over many. Samples are per channel at 48 kHz.
type Stats struct {
	Renditions int // running now

	PacketsIn    int64 // read from the source
	FramesOut    int64 // frames written
	FramesMade   int64 // frames written that were encoded, not passed on
	FramesReused int64 // frames made by repeating a silent packet
	FramesMono   int64 // stereo frames made by encoding one channel
	Changes      int64 // from encoding one channel to both, or back
	DecodeErrors int64 // packets, or whole tracks, that could not be decoded

	Concealed int64 // samples that the decoder invented or recovered for lost packets
	Silence   int64 // samples of silence added where nothing came
	Trimmed   int64 // samples left out because they came too late or overlapped
	Inserted  int64 // samples added because the source's clock is slower than ours
	Removed   int64 // samples removed because the source's clock is faster than ours

	DriftPPM float64       // how much faster than ours the source's clock is, averaged over ten seconds; of one rendition only
	Hold     time.Duration // how late a packet may come now; of one rendition only
}

// add adds the counters of b.
func (s *Stats) add(b Stats) {
	s.Renditions += b.Renditions
	s.PacketsIn += b.PacketsIn
	s.FramesOut += b.FramesOut
	s.FramesMade += b.FramesMade
	s.FramesReused += b.FramesReused
	s.FramesMono += b.FramesMono
	s.Changes += b.Changes
	s.DecodeErrors += b.DecodeErrors
	s.Concealed += b.Concealed
	s.Silence += b.Silence
	s.Trimmed += b.Trimmed
	s.Inserted += b.Inserted
	s.Removed += b.Removed
}

// meter holds the latest figures of a rendition, for other goroutines.
type meter struct {
	mu    sync.Mutex
	stats Stats // guarded by mu
}

func (m *meter) set(st Stats) {
	m.mu.Lock()
	m.stats = st
	m.mu.Unlock()
}

func (m *meter) get() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// SourceStats returns the figures of a source's renditions, and false if it has none. DriftPPM and Hold are those of the
// oldest one.
func (a *Transcoder) SourceStats(s *stream.Source) (Stats, bool) {
	a.mu.Lock()
	meters := slices.Clone(a.live[s])
	a.mu.Unlock()
	if len(meters) == 0 {
		return Stats{}, false
	}
	sum := meters[0].get()
	for _, m := range meters[1:] {
		sum.add(m.get())
	}
	return sum, true
}

// Stats returns the sums over all renditions since the start.
func (a *Transcoder) Stats() Stats {
	a.mu.Lock()
	sum := a.ended
	meters := make([]*meter, 0, len(a.live))
	for _, m := range a.live {
		meters = append(meters, m...)
	}
	a.mu.Unlock()
	for _, m := range meters {
		sum.add(m.get())
	}
	return sum
}

// begin registers a rendition of a source and returns its meter. end is called when the rendition has ended.
func (a *Transcoder) begin(s *stream.Source) (m *meter, end func()) {
	m = &meter{stats: Stats{Renditions: 1}}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live[s] = append(a.live[s], m)
	return m, func() {
		st := m.get()
		st.Renditions = 0
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.live[s] = slices.DeleteFunc(a.live[s], func(x *meter) bool { return x == m }); len(a.live[s]) == 0 {
			delete(a.live, s)
		}
		a.ended.add(st)
	}
}

// Panics returns how many renditions have ended because of a bug of this server.
func (a *Transcoder) Panics() int64 { return a.panics.Load() }
