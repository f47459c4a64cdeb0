package sound

import (
	"bytes"
	"runtime"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

const (
	// maxConceal is how much sound in a row a decoder may invent for a loss: 80 ms. After that it only hums.
	maxConceal = 80 * sampleRate / 1000

	// maxComfort is the same after an Opus DTX packet, which says that the encoder heard only background noise and will
	// pause. The decoder then continues with such noise; the encoder describes the noise again every 400 ms.
	maxComfort = 500 * sampleRate / 1000

	// dtxSize is the largest DTX packet: a header and no sound (RFC 6716, 3.1).
	dtxSize = 2

	// maxError is the largest error of lip sync, 60 ms, that is removed by stretching. Larger ones are removed at once, by
	// silence or by a cut. EBU R37 allows sound to be 60 ms late.
	maxError = 60 * sampleRate / 1000

	// A step between two timestamps is a loss or an overlap, not jitter, if it is at least three quarters of a packet;
	// minStep and maxStep bound these three quarters.
	minStep = 4 * sampleRate / 1000
	maxStep = 20 * sampleRate / 1000

	// maxAhead is how far ahead of the stream's clock a timestamp may be. A publisher that begins with a burst is ahead, and
	// one whose slow link recovers can be ahead by a minute. The doors allow no more; maxAhead bounds the damage if one did.
	maxAhead = 70 * time.Second
)

// aligner puts the sound of each packet where its timestamp says, and fills the gaps.
type aligner struct {
	tape *tape
	open func(*media.Track) (decoder, error)

	dec     decoder      // nil before the first packet, and for a track that cannot be decoded
	track   *media.Track // the track that dec was opened for, or for which there is no decoder
	room    int          // the most samples of one packet
	scratch *scratch     // borrowed during a call, else nil

	heard     bool            // a packet has come
	next      media.Timestamp // the end of the last packet, by its timestamp
	length    int             // of the last packet, in samples
	concealed int             // samples in a row that the decoder has invented
	dtx       bool            // the last packet was DTX
	joint     bool            // the next sound does not continue the sound at the end of the tape
	drift     drift
	stats     Stats // the counters of samples and of decode errors
}

// scratch holds decoded samples during a call. Renditions share them: one scratch for each would cost a hundred kilobytes,
// most of it for packets longer than anybody sends.
type scratch struct {
	pcm  []float32
	wide []float32 // pcm after stretching
}

// scratches holds the free ones: at most as many as can be in use at a time, calls into C included.
var scratches = make(chan *scratch, 4*runtime.GOMAXPROCS(0))

// borrow takes a scratch with room for one packet of dec.
func (a *aligner) borrow() {
	var s *scratch
	select {
	case s = <-scratches:
	default:
		s = new(scratch)
	}
	if len(s.pcm) < channels*a.room {
		s.pcm = make([]float32, channels*a.room)
		s.wide = make([]float32, channels*(a.room+a.room/100+1))
	}
	a.scratch = s
}

func (a *aligner) giveBack() {
	select {
	case scratches <- a.scratch:
	default:
	}
	a.scratch = nil
}

func newAligner(t *tape, open func(*media.Track) (decoder, error)) *aligner {
	return &aligner{tape: t, open: open, joint: true}
}

func (a *aligner) close() {
	if a.dec != nil {
		a.dec.Close()
	}
}

// packet adds the sound of one packet. now is the time on the stream's clock. Its error is that of the tape: a packet that
// cannot be decoded is counted and treated as lost.
func (a *aligner) packet(f media.Frame, now media.Timestamp) error {
	if a.use(f.Track); a.dec == nil {
		return nil
	}
	a.borrow()
	defer a.giveBack()
	at := min(f.Time, now.Add(maxAhead)).Add(-media.Samples(int64(a.dec.Delay()), sampleRate))
	short := a.tape.until(at)
	switch {
	case a.follows(short, at):
	case short > 0:
		if err := a.fill(short, f.Data); err != nil {
			return err
		}
	default:
		a.joint = true
	}
	n, err := a.dec.Decode(a.scratch.pcm, f.Data)
	if err != nil {
		a.stats.DecodeErrors++
		return nil
	}
	a.heard, a.dtx = true, f.Track.Codec == media.Opus && len(f.Data) <= dtxSize
	a.next, a.length = at.Add(media.Samples(int64(n), sampleRate)), n
	return a.place(a.scratch.pcm[:channels*n], a.tape.until(at))
}

// follows reports whether the packet continues the sound at the end of the tape. Then stretching is enough to keep it in time.
func (a *aligner) follows(short int64, at media.Timestamp) bool {
	if a.joint || short > maxError || short < -maxError {
		return false
	}
	step := max(minStep, min(maxStep, int64(a.length)*3/4))
	jump := toSamples(at.Sub(a.next))
	return short > -step && short < step || jump > -step && jump < step
}

// place writes the sound of a packet. short is how many samples are missing between the end of the tape and the packet; it is
// negative if they overlap.
func (a *aligner) place(pcm []float32, short int64) error {
	n := len(pcm) / channels
	if n == 0 {
		return nil
	}
	a.concealed = 0
	if !a.joint {
		return a.tape.write(a.stretched(pcm, a.drift.correct(short, n)))
	}
	a.drift.aligned()
	if short < 0 {
		cut := int(min(-short, int64(n)))
		a.stats.Trimmed += int64(cut)
		pcm = pcm[channels*cut:]
	}
	if len(pcm) == 0 {
		return nil
	}
	a.joint = false
	return a.tape.splice(pcm)
}

// stretched returns pcm with more samples added, or removed if more is negative.
func (a *aligner) stretched(pcm []float32, more int) []float32 {
	n := len(pcm) / channels
	if more == 0 || n < 2 || n+more < 2 {
		return pcm
	}
	if more > 0 {
		a.stats.Inserted += int64(more)
	} else {
		a.stats.Removed -= int64(more)
	}
	out := a.scratch.wide[:channels*(n+more)]
	stretch(out, pcm)
	return out
}

// makeUp adds n samples for packets that have not come.
func (a *aligner) makeUp(n int64) error {
	a.borrow()
	defer a.giveBack()
	return a.fill(n, nil)
}

// fill adds n samples: first what the decoder can invent, then silence. next is the packet after the gap, nil if it has not
// come.
func (a *aligner) fill(n int64, next []byte) error {
	made := false
	for n > 0 {
		k, err := a.conceal(n, next)
		if err != nil {
			return err
		}
		if k == 0 {
			break
		}
		made = true
		n -= int64(k)
	}
	switch {
	case n <= 0:
		return nil
	case made && next != nil && n < minStep: // concealing goes in steps of 2.5 ms; drift corrects the rest
		return nil
	case made && next == nil && a.concealed < a.mayConceal(): // the next call continues
		return nil
	}
	a.joint = true
	a.stats.Silence += n
	return a.tape.silence(n)
}

// mayConceal returns how many samples in a row the decoder may invent.
func (a *aligner) mayConceal() int {
	if a.dtx {
		return maxComfort
	}
	return maxConceal
}

// conceal lets the decoder invent up to n samples and returns how many it made. After silence it makes none.
func (a *aligner) conceal(n int64, next []byte) (int, error) {
	c, able := a.dec.(concealer)
	if !able || a.joint || !a.heard {
		return 0, nil
	}
	// The next packet may hold a copy of the one before it (in-band FEC). The copy fits only directly before that next packet.
	if most := int64(min(a.mayConceal()-a.concealed, libav.MaxOpusSamples)); n > most {
		n, next = most, nil
	}
	if n <= 0 {
		return 0, nil
	}
	var k int
	var err error
	if next != nil {
		k, err = c.Recover(a.scratch.pcm, int(n), next)
	} else {
		k, err = c.Conceal(a.scratch.pcm, int(n))
	}
	if err != nil || k == 0 {
		return 0, nil // silence will do
	}
	a.concealed += k
	a.stats.Concealed += int64(k)
	return k, a.tape.write(a.scratch.pcm[:channels*k])
}

// use opens a decoder for the track if it differs from the last one. If there is no decoder, the tape runs on without.
func (a *aligner) use(t *media.Track) {
	if t == a.track || a.track != nil && sameForm(t, a.track) {
		return
	}
	a.close()
	a.dec, a.track, a.joint = nil, t, true
	dec, err := a.open(t)
	if err != nil {
		a.stats.DecodeErrors++
		return
	}
	a.dec, a.room = dec, libav.MaxSamples
	if t.Codec == media.Opus {
		a.room = libav.MaxOpusSamples
	}
}

func sameForm(a, b *media.Track) bool {
	return a.Codec == b.Codec && a.SampleRate == b.SampleRate && a.Channels == b.Channels && bytes.Equal(a.Config, b.Config)
}
