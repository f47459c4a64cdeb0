//go:build cgo

package libav

import (
	"math"
	"time"

	"transponder/internal/media"
)

const (
	// assumedFPS is the frame rate of a source that does not tell its own, until it is measured.
	assumedFPS = 30
	// slack is how far, in frames, a picture may be from its place on the grid of a constant frame rate before a picture is
	// dropped or repeated. It is more than a half, so that pictures that come just between two places do not alternate.
	slack = 0.75
	// maxRepeat is the longest gap, in seconds, that is filled by repeated pictures. After a longer gap the grid starts
	// again.
	maxRepeat = 1.0
)

// pace decides which pictures are encoded, at which time, and which of them are key frames.
type pace struct {
	constant     float64 // the constant frame rate, or 0
	keyFrames    int
	keyFrameTime time.Duration

	begun   bool
	origin  media.Timestamp // of the grid
	slot    int64           // the next place of the grid
	last    media.Timestamp // time of the last encoded picture
	period  float64         // seconds between pictures, averaged
	steady  float64         // frame rate by period, changed only when it is off by a twentieth
	nominal float64         // frame rate for which the encoder was opened

	wantKey  bool
	lastKey  media.Timestamp
	sinceKey int
}

func newPace(cfg VideoConfig) pace {
	return pace{constant: cfg.FPS, keyFrames: cfg.KeyFrameInterval, keyFrameTime: cfg.KeyFrameTime, nominal: assumedFPS}
}

// picture reports whether the picture at that time is encoded, and how often the one before is encoded again first.
func (p *pace) picture(at media.Timestamp) (repeats int, shown bool) {
	if !p.begun {
		p.begun = true
		p.origin, p.last = at, at
		return 0, true
	}
	if p.constant == 0 {
		if at <= p.last {
			return 0, false
		}
		p.measure(at.Sub(p.last).Seconds())
		p.last = at
		return 0, true
	}
	ahead := at.Sub(p.origin).Seconds()*p.constant - float64(p.slot)
	switch {
	case ahead < -slack:
		return 0, false
	case ahead > maxRepeat*p.constant+slack:
		p.slot += int64(math.Round(ahead))
		return 0, true
	default:
		return int(math.Ceil(max(ahead-slack, 0))), true
	}
}

// measure averages the time between pictures.
func (p *pace) measure(seconds float64) {
	seconds = min(max(seconds, 1.0/MaxFPS), 1)
	if p.period == 0 {
		p.period, p.steady = 1/p.nominal, p.nominal
	}
	p.period += (seconds - p.period) / 16
	if math.Abs(p.period*p.steady-1) > 0.05 {
		p.steady = 1 / p.period
	}
}

// fps returns the frame rate.
func (p *pace) fps() float64 {
	switch {
	case p.constant > 0:
		return p.constant
	case p.steady > 0:
		return p.steady
	default:
		return p.nominal
	}
}

// begin starts a new encoder, with a key frame, and returns its frame rate. claimed is what the source says, or 0.
func (p *pace) begin(claimed float64) (num, den int) {
	p.wantKey = true
	switch {
	case p.constant > 0:
		p.nominal = p.constant
	case p.steady > 0:
		p.nominal = max(math.Round(p.steady), 1)
	case claimed >= 1 && claimed <= MaxFPS:
		p.nominal = claimed
	}
	return rational(p.nominal)
}

// next returns the time of the next picture to encode, and whether it is a key frame.
func (p *pace) next() (at media.Timestamp, key bool) {
	at = p.last
	if p.constant > 0 {
		at = p.origin.Add(time.Duration(math.Round(float64(p.slot) / p.constant * 1e9)))
		p.slot++
	}
	key = p.wantKey || p.due(at)
	p.sinceKey++
	if key {
		p.wantKey, p.lastKey, p.sinceKey = false, at, 1
	}
	return at, key
}

// due reports whether the next picture is a key frame. A picture that is only a little early is.
func (p *pace) due(at media.Timestamp) bool {
	if p.keyFrames > 0 {
		return p.sinceKey >= p.keyFrames
	}
	return at.Sub(p.lastKey) >= p.keyFrameTime-10*time.Millisecond
}

// rational returns a frame rate as a fraction; the NTSC rates exactly.
func rational(fps float64) (num, den int) {
	if r := math.Round(fps * 1.001); r > 0 && math.Abs(fps-r/1.001) < 0.01 && math.Abs(fps-r) > 0.01 {
		return int(r) * 1000, 1001
	}
	return int(math.Round(fps * 1000)), 1000
}
