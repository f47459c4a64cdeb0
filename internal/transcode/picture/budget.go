package picture

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"time"

	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture/worker"
)

const (
	// sampleEvery is the time between two measurements.
	sampleEvery = time.Second
	// settlingTime is how long a rendition must have run before its measured cost counts instead of the predicted one.
	settlingTime = 5 * time.Second
	// promiseTime is how long room is kept for a rendition that was admitted and has not begun.
	promiseTime = 5 * time.Second
	// smoothing is the weight of one sample in an average.
	smoothing = 0.3
	// learning is the weight of one sample of a rendition in budget.factor, which stays between 1/maxFactor and maxFactor.
	learning  = 0.05
	maxFactor = 8
	// A child is killed if it uses, for overFor samples in a row, spareCores more than its threads need, or has more than
	// maxThreads threads: then it does something else than transcoding. Codecs and Go's runtime have a dozen threads beside
	// those that encode.
	overFor    = 3
	spareCores = 1
	maxThreads = 64
)

// decoding and encoding hold the time of one core, in milliseconds, that a million pixels took: talking heads and street scenes at
// 720p on a 2.1 GHz x86-64 server of 2022. Other machines differ by a factor that the budget learns; the proportions matter.
var (
	decoding = map[media.Codec]float64{media.H264: 2, media.H265: 3, media.VP8: 2.7, media.VP9: 4, media.AV1: 2.8}
	encoding = map[string]float64{
		"ultrafast": 3.2, "superfast": 4.8, "veryfast": 8, "faster": 10, "fast": 13, "medium": 16, "slow": 25,
		"slower": 50, "veryslow": 90, "placebo": 250,
	}
)

// encodingVP8 is the same for VP8, which has no presets.
const encodingVP8 = 6.6

// scaling is the same for scaling, per million pixels of the source.
const scaling = 0.7

// predict returns how many cores a rendition would use on the machine of these figures. For a source that has not sent
// anything yet it assumes 720p.
func predict(s *stream.Source, cfg libav.VideoConfig) float64 {
	const megapixel = 1e6
	st := s.Video.Stats()
	track := media.Track{Codec: media.H264, Width: 1280, Height: 720}
	if st.Track != nil && st.Track.Width > 0 && st.Track.Height > 0 {
		track = *st.Track
	}
	if track.Rotation%180 != 0 {
		track.Width, track.Height = track.Height, track.Width
	}
	fps := min(cmp.Or(st.FPS, 30), libav.MaxFPS)
	made := cmp.Or(cfg.FPS, fps)
	source := float64(track.Width*track.Height) / megapixel
	width, height := cfg.Size(track.Width, track.Height)
	making := encoding[cmp.Or(cfg.Preset, "superfast")]
	if cfg.Codec == media.VP8 {
		making = encodingVP8
	}
	ms := decoding[track.Codec]*source*fps + making*float64(width*height)/megapixel*made
	if width != track.Width || height != track.Height {
		ms += scaling * source * min(made, fps)
	}
	return ms / 1000
}

// cost is what one rendition uses of the machine.
type cost struct {
	began     time.Time
	predicted float64 // cores, see predict
	measured  float64 // cores, smoothed
	latest    float64 // cores, by the latest sample alone

	pid     int           // of the child that the latest sample measured
	used    time.Duration // processor time that the child had used by then
	at      time.Time     // of the latest sample
	dropped int64         // pictures dropped by then
	over    int           // samples in a row in which the child used too much
}

// sample measures a rendition and returns its cost. dropping says that pictures were dropped, so that the
// rendition needs more than it used. A child that uses too much for too long is killed.
func (r *rendition) sample(now time.Time) (c cost, dropping bool) {
	predicted := predict(r.source, r.cfg)
	r.mu.Lock()
	process := r.process
	r.mu.Unlock()
	var usage worker.Usage
	if process != nil {
		usage = process.Usage() // reads /proc, so mu is not held
	}
	c, dropping, tooMuch := r.count(now, predicted, process, usage)
	if tooMuch {
		r.log.Warn("the process that transcodes takes too much and is killed", "cores", c.latest, "threads", usage.Threads)
		process.Kill()
	}
	return c, dropping
}

// count adds a measurement of the child process to the cost of the rendition. tooMuch says that the child has used too much for too long.
func (r *rendition) count(now time.Time, predicted float64, process *worker.Process, usage worker.Usage) (c cost, dropping, tooMuch bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cost.predicted = predicted
	if process == nil || r.process != process { // none, or it was replaced while it was measured
		return r.cost, true, false
	}
	pid := process.PID()
	if passed := now.Sub(r.cost.at); pid == r.cost.pid && passed > 0 {
		r.cost.latest = max(usage.CPU-r.cost.used, 0).Seconds() / passed.Seconds()
		r.cost.measured += smoothing * (r.cost.latest - r.cost.measured)
		tooMuch = r.cost.exceeds(r.maxCores, usage.Threads)
	}
	r.cost.pid, r.cost.used, r.cost.at = pid, usage.CPU, now
	dropping = r.stats.Dropped > r.cost.dropped
	r.cost.dropped = r.stats.Dropped
	return r.cost, dropping, tooMuch
}

// exceeds counts the samples in a row in which a child used too much, and says whether these are too many.
func (c *cost) exceeds(maxCores float64, threads int) bool {
	if c.latest <= maxCores && threads <= maxThreads {
		c.over = 0
		return false
	}
	if c.over++; c.over < overFor {
		return false
	}
	c.over = 0
	return true
}

// budget decides whether the machine has room for another rendition.
type budget struct {
	share float64 // of the cores that may be in use; 0: no bound
	cores float64
	usage func(time.Time) float64 // cores in use since the last call
	whole bool                    // usage counts the whole machine, not only this process without its children

	mu       sync.Mutex               // held for arithmetic only; no other lock is taken under it
	used     float64                  // guarded by mu; cores in use, averaged
	factor   float64                  // guarded by mu; measured cost of renditions divided by the predicted cost
	promises map[renditionKey]promise // guarded by mu
}

// promise is the room kept for a rendition that was admitted and has not begun.
type promise struct {
	cores float64 // predicted
	until time.Time
}

func newBudget(share float64) *budget {
	b := &budget{share: share, cores: float64(runtime.GOMAXPROCS(0)), factor: 1, promises: map[renditionKey]promise{}}
	total := load.OwnTime // if this process may use only a part of the machine
	if _, err := load.MachineTime(); err == nil && runtime.GOMAXPROCS(0) >= runtime.NumCPU() {
		total, b.whole = load.MachineTime, true
	}
	b.usage = load.Rate(total)
	return b
}

// sample measures the machine and the renditions that run.
func (b *budget) sample(now time.Time, running []*rendition) {
	used := b.usage(now)
	var ratios []float64 // measured cost of a rendition divided by the predicted cost
	for _, r := range running {
		c, dropping := r.sample(now)
		if !b.whole {
			used += c.measured
		}
		if !dropping && c.predicted > 0 && c.measured > 0 && now.Sub(c.began) > settlingTime {
			ratios = append(ratios, c.measured/c.predicted)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ratio := range ratios {
		b.factor += learning * (ratio - b.factor)
		b.factor = min(max(b.factor, 1/maxFactor), maxFactor)
	}
	b.used += smoothing * (used - b.used)
}

// admit keeps room for a rendition, or fails with *BusyError.
func (b *budget) admit(key renditionKey, predicted float64, running []*rendition) error {
	if b.share == 0 {
		return nil
	}
	now := time.Now()
	costs := make([]cost, len(running))
	for i, r := range running {
		r.mu.Lock()
		costs[i] = r.cost
		r.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	need := predicted * b.factor
	free := b.share*b.cores - b.used
	for _, c := range costs {
		if now.Sub(c.began) < settlingTime {
			free -= max(c.predicted*b.factor-c.measured, 0)
		}
	}
	maps.DeleteFunc(b.promises, func(_ renditionKey, p promise) bool { return now.After(p.until) })
	delete(b.promises, key)
	for _, p := range b.promises {
		free -= p.cores * b.factor
	}
	if need > free {
		return &BusyError{fmt.Sprintf("it takes about %.2f cores, and of the %.1f that may be used %.2f are free",
			need, b.share*b.cores, max(free, 0))}
	}
	b.promises[key] = promise{predicted, now.Add(promiseTime)}
	return nil
}

// begun gives the kept room back, because the rendition runs and is measured now.
func (b *budget) begun(key renditionKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.promises, key)
}
