package sound

import (
	"bytes"
	"runtime"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

const (
	// maxConceal is how much a decoder may make up in a row for a loss: 80 ms. Beyond that it only drones.
	maxConceal = 80 * sampleRate / 1000

	// maxComfort is the same after a packet that says that nothing will be sent for a while, as its encoder found only
	// background noise (Opus DTX). The decoder then goes on with such noise; the encoder describes it anew every 400 ms.
	maxComfort = 500 * sampleRate / 1000

	// dtxSize is the longest of such packets: nothing but a header (RFC 6716, 3.1).
	dtxSize = 2

	// maxError is the error of lip sync, 60 ms, that is removed at once, by silence or a cut; smaller ones are stretched
	// away. It is what EBU R37 allows sound to be late.
	maxError = 60 * sampleRate / 1000

	// A step between two packets' timestamps counts as a loss or an overlap, not as jitter of a clock, from three quarters
	// of a packet on, within these bounds.
	minStep = 4 * sampleRate / 1000
	maxStep = 20 * sampleRate / 1000

	// maxAhead is how far ahead of the clock a packet's timestamp may be. Publishers that begin with a burst are ahead by that, and those
	// whose slow link has recovered by up to a minute. No door lets any be further ahead; it bounds what one could do.
	maxAhead = 70 * time.Second
)

// aligner puts each packet's sound where its timestamp says, and fills what is missing.
type aligner struct {
	tape *tape
	open func(*media.Track) (decoder, error)

	dec     decoder      // nil before the first packet, and for a track that cannot be decoded
	track   *media.Track // that dec is for
	room    int          // samples that dec may make of a packet
	scratch *scratch     // nil between calls

	heard     bool            // a packet has come
	next      media.Timestamp // where the last packet ended, by its own time
	length    int             // of the last packet, in samples
	concealed int             // samples that dec made up in a row
	dtx       bool            // the last packet said that nothing will be sent for a while
	joint     bool            // the next sound does not continue what is on the tape
	drift     drift
	stats     Stats // the counters of samples and of decode errors
}

// scratch is where a packet is decoded to. It is of use during a call only, so the renditions share a few: each with its own would
// take a hundred kilobytes, nearly all of them for packets longer than anybody sends.
type scratch struct {
	pcm  []float32
	wide []float32 // pcm, stretched
}

// scratches are those that nobody needs now: as many as can be in use at a time, with those in C.
var scratches = make(chan *scratch, 4*runtime.GOMAXPROCS(0))

// borrow takes a scratch that has room for what dec makes.
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

// packet adds one packet's sound; now is the time on the stream's clock. Its error is the tape's: a packet that cannot be
// decoded counts and is as good as lost.
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

// follows says whether the packet continues what is on the tape, so that stretching is all it takes to be in time.
func (a *aligner) follows(short int64, at media.Timestamp) bool {
	if a.joint || short > maxError || short < -maxError {
		return false
	}
	step := max(minStep, min(maxStep, int64(a.length)*3/4))
	jump := toSamples(at.Sub(a.next))
	return short > -step && short < step || jump > -step && jump < step
}

// place writes a packet's sound, which the tape is so many samples short of, or has gone past.
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

// stretched returns pcm with so many samples more.
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

// makeUp puts n samples where nothing came so far.
func (a *aligner) makeUp(n int64) error {
	a.borrow()
	defer a.giveBack()
	return a.fill(n, nil)
}

// fill puts n samples where nothing came: what the decoder makes up, as long as that sounds like something, then silence.
// next is the packet after the gap, nil while that has not come.
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
	case made && next != nil && n < minStep: // concealing goes by 2.5 ms; drift corrects the rest
		return nil
	case made && next == nil && a.concealed < a.mayConceal(): // it goes on with the rest later
		return nil
	}
	a.joint = true
	a.stats.Silence += n
	return a.tape.silence(n)
}

// mayConceal returns how much the decoder may make up in a row, in samples.
func (a *aligner) mayConceal() int {
	if a.dtx {
		return maxComfort
	}
	return maxConceal
}

// conceal lets the decoder make up some of n samples and returns how many it made; none after silence.
func (a *aligner) conceal(n int64, next []byte) (int, error) {
	c, able := a.dec.(concealer)
	if !able || a.joint || !a.heard {
		return 0, nil
	}
	// What next knows of its predecessor is of use only if it comes to lie directly before next.
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

// use makes the decoder fit the track. The tape runs on if there is none for it.
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
