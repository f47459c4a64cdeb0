package rtc

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
)

// sender simulates a publisher with a wall clock and an RTP clock for each track.
type sender struct {
	start     float64 // the sender's wall clock at time 0 of the stream, in seconds
	skew      float64 // of the sender's wall clock against ours; 1e-6 is 1 ppm
	audioSkew float64 // of the sender's sample clock against the sender's wall clock
	base      [2]uint32
}

// at converts the sender's time since the start to our clock.
func (s *sender) at(t float64) float64 { return t / (1 + s.skew) }

func (s *sender) rtp(k media.Kind, t float64) uint32 {
	if k == media.Audio {
		return s.base[0] + uint32(uint64(t*48000*(1+s.audioSkew)))
	}
	return s.base[1] + uint32(uint64(t*90000))
}

func (s *sender) ntp(t float64) uint64 {
	whole, part := math.Modf(s.start + t)
	return uint64(whole)<<32 | uint64(part*(1<<32))
}

func stamp(seconds float64) media.Timestamp { return media.Timestamp(seconds * 1e9) }

func newTestClock() *clock {
	c := &clock{}
	c.start(media.Audio, 48000)
	c.start(media.Video, 90000)
	return c
}

// run simulates a sender for some seconds. Audio takes 5 ms to arrive and video 45 ms, with jitter. run calls check for
// each event, with its distance from perfect sync. reports says whether a report is sent at a time, and which one.
func run(c *clock, s *sender, seconds float64, seed uint64, reports func(k media.Kind, t float64) (uint64, uint32, bool),
	check func(k media.Kind, t float64, at media.Timestamp)) {
	r := rand.New(rand.NewPCG(seed, 0))
	const audioStep, videoStep = 0.020, 1.0 / 30
	var a, v int64
	nextReport := [2]float64{0.7, 0.3}
	for {
		ta, tv := float64(a)*audioStep, float64(v)*videoStep
		k, t, delay := media.Audio, ta, 0.005
		if tv < ta {
			k, t, delay = media.Video, tv, 0.045
			v++
		} else {
			a++
		}
		if t > seconds {
			return
		}
		now := s.at(t) + delay + r.ExpFloat64()*0.003
		check(k, t, c.time(k, s.rtp(k, t), stamp(now)))
		i := 0
		if k == media.Video {
			i = 1
		}
		if t >= nextReport[i] {
			nextReport[i] = t + 5
			if ntp, rtpTime, ok := reports(k, t); ok {
				c.report(k, ntp, rtpTime)
			}
		}
	}
}

func (s *sender) reports(k media.Kind, t float64) (uint64, uint32, bool) {
	return s.ntp(t), s.rtp(k, t), true
}

// TestClockLipSync: sound and pictures of the same moment get the same time, for hours, whatever the clocks do.
func TestClockLipSync(t *testing.T) {
	const hours = 3600
	tests := []struct {
		name    string
		sender  sender
		seconds float64
		settle  float64 // the change-over slews
		within  time.Duration
		reports func(s *sender) func(media.Kind, float64) (uint64, uint32, bool)
	}{
		{"good clocks", sender{start: 3.9e9}, 600, 30, 2 * time.Millisecond, nil},
		{"100 ppm fast for 8 h", sender{start: 3.9e9, skew: 100e-6}, 8 * hours, 30, 4 * time.Millisecond, nil},
		{"100 ppm slow for 8 h", sender{start: 3.9e9, skew: -100e-6}, 8 * hours, 30, 4 * time.Millisecond, nil},
		{"sample clock 100 ppm off for 8 h", sender{start: 3.9e9, audioSkew: 100e-6}, 8 * hours, 30, 4 * time.Millisecond, nil},
		{"RTP times wrap", sender{start: 3.9e9, base: [2]uint32{1<<32 - 48000*60, 1<<32 - 90000*90}}, 300, 30, 2 * time.Millisecond, nil},
		{"first report is nonsense", sender{start: 3.9e9}, 300, 30, 2 * time.Millisecond,
			func(s *sender) func(media.Kind, float64) (uint64, uint32, bool) {
				return func(k media.Kind, t float64) (uint64, uint32, bool) {
					if t < 5 {
						return s.ntp(t), 0xFFFFFFFF, true
					}
					return s.reports(k, t)
				}
			}},
		{"a report in ten is nonsense", sender{start: 3.9e9}, 600, 60, 2 * time.Millisecond,
			func(s *sender) func(media.Kind, float64) (uint64, uint32, bool) {
				return func(k media.Kind, t float64) (uint64, uint32, bool) {
					ntp, rtpTime, _ := s.reports(k, t)
					if int(t/5)%10 == 9 {
						ntp += 1 << 32
					}
					return ntp, rtpTime, true
				}
			}},
		{"wall clock set at 100 s", sender{start: 3.9e9}, 400, 150, 2 * time.Millisecond,
			func(s *sender) func(media.Kind, float64) (uint64, uint32, bool) {
				return func(k media.Kind, t float64) (uint64, uint32, bool) {
					ntp, rtpTime, _ := s.reports(k, t)
					if t > 100 {
						ntp += 3600 << 32
					}
					return ntp, rtpTime, true
				}
			}},
		{"never a report, sample clock 100 ppm off for 12 h", sender{audioSkew: 100e-6}, 12 * hours, 30, 45 * time.Millisecond,
			func(*sender) func(media.Kind, float64) (uint64, uint32, bool) {
				return func(media.Kind, float64) (uint64, uint32, bool) { return 0, 0, false }
			}},
		{"never a report", sender{}, 300, 30, 45 * time.Millisecond,
			func(*sender) func(media.Kind, float64) (uint64, uint32, bool) {
				return func(media.Kind, float64) (uint64, uint32, bool) { return 0, 0, false }
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := newTestClock(), &tt.sender
			reports := s.reports
			if tt.reports != nil {
				reports = tt.reports(s)
			}
			var shift [2]float64 // of each track's stamps from the sender's time on our clock
			var last [2]media.Timestamp
			worst := 0.0
			run(c, s, tt.seconds, 1, reports, func(k media.Kind, at float64, got media.Timestamp) {
				i := 0
				if k == media.Video {
					i = 1
				}
				if got <= last[i] && last[i] != 0 {
					t.Fatalf("%s goes from %v to %v at %.3f s", k, last[i], got, at)
				}
				if step := got.Sub(last[i]); last[i] != 0 && step > 50*time.Millisecond {
					t.Fatalf("%s jumps by %v at %.3f s", k, step, at)
				}
				last[i] = got
				shift[i] = float64(got)/1e9 - s.at(at)
				if at > tt.settle {
					worst = max(worst, math.Abs(shift[0]-shift[1]))
				}
				if d := math.Abs(shift[i]); d > 0.15 {
					t.Fatalf("%s is %.0f ms from arrival at %.3f s", k, d*1000, at)
				}
			})
			if worst > tt.within.Seconds() {
				t.Errorf("audio and video are up to %.1f ms apart, want %v", worst*1000, tt.within)
			}
			if c.jumps() != 0 {
				t.Errorf("%d jumps", c.jumps())
			}
		})
	}
}

// A browser that gets no CPU time records no sound and counts no samples, so its RTP time stands still. The sound after
// that must not be taken for sound that is late for ever. The pictures carry the time when they were taken.
func TestClockStall(t *testing.T) {
	const begin, length = 10.0, 1.3
	for _, reporting := range []bool{true, false} {
		c, s := newTestClock(), &sender{start: 3.9e9}
		r := rand.New(rand.NewPCG(1, 0))
		audioRTP := func(t float64) uint32 {
			if t >= begin+length {
				t -= length
			}
			return s.rtp(media.Audio, t)
		}
		var shift, last [2]float64
		nextReport := 0.5
		for step := range 6000 { // of 10 ms
			at := float64(step) / 100
			stalled := at >= begin && at < begin+length
			for i, k := range []media.Kind{media.Audio, media.Video} {
				if step%(2+2*i) != 0 || stalled && k == media.Audio {
					continue
				}
				rtp := s.rtp(k, at)
				if k == media.Audio {
					rtp = audioRTP(at)
				}
				got := float64(c.time(k, rtp, stamp(at+0.005+0.04*float64(i)+r.ExpFloat64()*0.003))) / 1e9
				if got <= last[i] && step > 0 {
					t.Fatalf("%s goes from %v to %v", k, last[i], got)
				}
				last[i], shift[i] = got, got-at
				if (at < begin || at > begin+length+4) && math.Abs(shift[i]) > 0.1 {
					t.Fatalf("reports %v: %s is %.0f ms from when it was recorded, %.1f s in", reporting, k, shift[i]*1000, at)
				}
			}
			if at > begin+length+30 && reporting && math.Abs(shift[0]-shift[1]) > 0.01 {
				t.Fatalf("sound and picture are %.0f ms apart, %.1f s in", (shift[0]-shift[1])*1000, at)
			}
			if at >= nextReport && reporting && !stalled {
				nextReport += 5
				c.report(media.Video, s.ntp(at), s.rtp(media.Video, at))
				c.report(media.Audio, s.ntp(at), audioRTP(at))
			}
		}
		if c.jumps() != 1 {
			t.Errorf("reports %v: %d jumps, want one", reporting, c.jumps())
		}
	}
}

// A publisher that changes the codec also changes the RTP clock.
func TestClockRate(t *testing.T) {
	c := newTestClock()
	var last media.Timestamp
	for i := range 1500 { // of 20 ms
		at, rate := float64(i)/50, 48000
		if i >= 500 {
			rate = 8000
		}
		c.start(media.Audio, rate)
		got := c.time(media.Audio, uint32(int(at*float64(rate))), stamp(at+0.01))
		if step := got.Sub(last); i > 0 && (step < 18*time.Millisecond || step > 22*time.Millisecond) {
			t.Fatalf("packet %d comes %v after the one before", i, step)
		}
		last = got
	}
}

func TestClockJump(t *testing.T) {
	tests := []struct {
		name string
		rtp  func(t float64) uint32 // 90 kHz
		late func(t float64) float64
		want int64
	}{
		{"RTP goes on", func(t float64) uint32 { return uint32(uint64(t * 90000)) }, nil, 0},
		{"RTP jumps ahead", func(t float64) uint32 {
			if t > 10 {
				t += 1000
			}
			return uint32(uint64(t * 90000))
		}, nil, 1},
		{"RTP jumps back", func(t float64) uint32 {
			if t > 10 {
				t -= 8
			}
			return uint32(uint64(t * 90000))
		}, nil, 1},
		{"RTP stands still for 10 s", func(t float64) uint32 {
			if t > 10 {
				t = max(10, t-10)
			}
			return uint32(uint64(t * 90000))
		}, nil, 10}, // followed as it falls behind
		{"the path is blocked for 6 s", func(t float64) uint32 { return uint32(uint64(t * 90000)) }, func(t float64) float64 {
			return max(0, 16-t) * map[bool]float64{true: 1}[t > 10]
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestClock()
			var last media.Timestamp
			for i := range 30 * 40 {
				at := float64(i) / 30
				now := at + 0.02
				if tt.late != nil {
					now += tt.late(at)
				}
				got := c.time(media.Video, tt.rtp(at), stamp(now))
				if got <= last && i > 0 {
					t.Fatalf("goes from %v to %v", last, got)
				}
				last = got
			}
			if c.jumps() != tt.want {
				t.Errorf("%d jumps, want %d", c.jumps(), tt.want)
			}
			if d := last - stamp(40); d < -stamp(0.2) || d > stamp(0.2) {
				t.Errorf("ends at %v, want about 40 s", time.Duration(last))
			}
		})
	}
}

// course says how one track of a publisher arrives. What is recorded at t seconds arrives at arrival(t), with the RTP time
// rtp(t) in seconds; skip says whether it is lost.
type course struct {
	from    float64
	rtp     func(t float64) float64
	skip    func(t float64) bool
	arrival func(t float64) float64
}

// event is a packet or a report that arrives.
type event struct {
	kind    media.Kind
	t, at   float64
	rtpTime uint32
	report  bool
	ntp     uint64
}

// events returns a minute of both tracks, in the order of arrival.
func events(courses [2]course, reports func(k media.Kind, t float64) (ntp float64, rtp float64, ok bool)) []event {
	r := rand.New(rand.NewPCG(7, 0))
	var all []event
	for i, k := range []media.Kind{media.Audio, media.Video} {
		c, step, rate := courses[i], []float64{0.020, 1.0 / 30}[i], []float64{48000, 90000}[i]
		last := 0.0
		for t := c.from; t < 60; t += step {
			if c.skip != nil && c.skip(t) {
				continue
			}
			rtp, at := t, t
			if c.rtp != nil {
				rtp = c.rtp(t)
			}
			if c.arrival != nil {
				at = c.arrival(t)
			}
			last = max(last+2e-5, at+0.005+r.ExpFloat64()*0.001) // a path keeps the order
			all = append(all, event{kind: k, t: t, at: last, rtpTime: uint32(int64(rtp * rate))})
		}
		for t := 0.5 + 0.2*float64(i); t < 60 && reports != nil; t += 2.5 {
			if ntp, rtp, ok := reports(k, t); ok {
				all = append(all, event{kind: k, at: t + 0.006, rtpTime: uint32(int64(rtp * rate)), report: true, ntp: uint64(ntp * (1 << 32))})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return all
}

// Sound and pictures of the same moment get the same time from the first second to the last, however a publisher starts and
// whatever it reports. Times never go back, and a recording is never squeezed.
func TestClockBeginnings(t *testing.T) {
	burst := func(t float64) float64 { return max(t, 1.2+t/100) } // what was recorded since the start comes at once
	honest := func(_ media.Kind, t float64) (float64, float64, bool) { return 3.9e9 + t, t, true }
	after := func(from, shift float64) func(float64) float64 {
		return func(t float64) float64 {
			if t >= from {
				t += shift
			}
			return t
		}
	}
	between := func(from, to float64) func(float64) bool { return func(t float64) bool { return t >= from && t < to } }
	type span struct{ from, to float64 }
	tests := []struct {
		name         string
		audio, video course
		reports      func(media.Kind, float64) (float64, float64, bool)
		unknown      span // of arrival, in which nothing can be known
		gap          float64
	}{
		{name: "no burst"},
		{name: "a burst", audio: course{arrival: burst}, video: course{arrival: burst}},
		{name: "a burst and good reports", audio: course{arrival: burst}, video: course{arrival: burst}, reports: honest},
		{name: "a burst and reports whose RTP time runs at twice the speed", audio: course{arrival: burst}, video: course{arrival: burst},
			reports: func(_ media.Kind, t float64) (float64, float64, bool) { return 3.9e9 + t, 2 * t, true }},
		{name: "a burst of five seconds",
			audio: course{arrival: func(t float64) float64 { return max(t, 5+t/100) }}, video: course{arrival: func(t float64) float64 { return max(t, 5+t/100) }}},
		{name: "a burst, and pictures take 80 ms from then on", audio: course{arrival: burst},
			video: course{arrival: func(t float64) float64 { return max(t+0.08, 1.2+t/100) }}},
		{name: "a burst of sound alone", audio: course{arrival: burst}, video: course{from: 1.2}, unknown: span{0, 1.6}, gap: 1.3},
		{name: "a burst of pictures alone", audio: course{from: 1.2}, video: course{arrival: burst}, unknown: span{0, 1.6}, gap: 1.3},
		{name: "a burst of sound, pictures after three seconds", audio: course{arrival: burst}, video: course{from: 3}},
		{name: "sound after three seconds", audio: course{from: 3}, reports: honest},
		{name: "reports after ten seconds", audio: course{arrival: burst}, video: course{arrival: burst},
			reports: func(k media.Kind, t float64) (float64, float64, bool) { return 3.9e9 + t, t, t > 10 }},
		{name: "reports without a wall clock", reports: func(_ media.Kind, t float64) (float64, float64, bool) { return 0, t, true }},
		{name: "each track has a wall clock of its own", audio: course{arrival: burst}, video: course{arrival: burst},
			reports: func(k media.Kind, t float64) (float64, float64, bool) { return 3.9e9 + t + 1000*float64(k), t, true }},
		{name: "the wall clock jumps all the time",
			reports: func(_ media.Kind, t float64) (float64, float64, bool) {
				return 3.9e9 + t + 100*math.Floor(t/2.5), t, true
			}},
		{name: "sound pauses, its clock runs on", audio: course{arrival: burst, skip: between(20, 30)}, video: course{arrival: burst}, gap: 10.1},
		{name: "sound pauses, its clock stands still", audio: course{skip: between(20, 30), rtp: after(30, -10)}, gap: 10.1},
		{name: "pictures pause, their clock stands still", video: course{skip: between(20, 45), rtp: after(45, -25)}, gap: 25.1},
		{name: "another track of sound", audio: course{arrival: burst, rtp: after(20, 31_000)}, video: course{arrival: burst}, gap: 0.1},
		{name: "another track of pictures", audio: course{arrival: burst}, video: course{arrival: burst, rtp: after(20, 15_000)}, reports: honest, gap: 0.1},
		{name: "time goes back by half a second", audio: course{rtp: after(20, -0.5)}, video: course{rtp: after(20, -0.5)}, gap: 0.1},
		{name: "time goes back by three seconds", audio: course{rtp: after(20, -3)}, video: course{rtp: after(20, -3)}, gap: 0.1},
		{name: "time goes ahead by a second", audio: course{rtp: after(20, 1)}, video: course{rtp: after(20, 1)}, gap: 0.1},
		{name: "time goes ahead by an hour", audio: course{rtp: after(20, 3600)}, video: course{rtp: after(20, 3600)}, gap: 0.1},
		{name: "one packet in ten is lost", audio: course{arrival: burst, skip: func(t float64) bool { return int(t*50)%10 == 3 }},
			video: course{arrival: burst, skip: func(t float64) bool { return int(t*30)%10 == 7 }}, gap: 0.1},
		{name: "the path is blocked for eight seconds", audio: course{arrival: func(t float64) float64 {
			if t > 20 && t < 28 {
				return 28 + (t-20)/100
			}
			return t
		}}, video: course{arrival: func(t float64) float64 {
			if t > 20 && t < 28 {
				return 28 + (t-20)/100
			}
			return t
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestClock()
			var last, content, shift [2]float64
			var seen [2]bool
			for _, e := range events([2]course{tt.audio, tt.video}, tt.reports) {
				if e.report {
					c.report(e.kind, e.ntp, e.rtpTime)
					continue
				}
				i := 0
				if e.kind == media.Video {
					i = 1
				}
				got := float64(c.time(e.kind, e.rtpTime, stamp(e.at))) / 1e9
				if step, made := got-last[i], e.t-content[i]; seen[i] && (step < made*0.85-0.012 || step <= 0) {
					t.Fatalf("%s: %.1f ms of media are stamped as %.1f ms, %.2f s in", e.kind, made*1000, step*1000, e.at)
				} else if seen[i] && step > made*1.15+0.012+tt.gap {
					t.Fatalf("%s: a gap of %.1f ms for %.1f ms of media, %.2f s in", e.kind, step*1000, made*1000, e.at)
				}
				last[i], content[i], shift[i], seen[i] = got, e.t, got-e.t, true
				together := seen[0] && seen[1] && math.Abs(content[0]-content[1]) < 0.1
				if d := shift[0] - shift[1]; together && math.Abs(d) > 0.020 && (e.at < tt.unknown.from || e.at > tt.unknown.to) {
					t.Fatalf("sound and pictures are %.1f ms apart, %.2f s in", d*1000, e.at)
				}
				if late := e.at - got; late > 0.1 && tt.audio.arrival == nil {
					t.Fatalf("%s is stamped %.0f ms before its arrival, %.2f s in", e.kind, late*1000, e.at)
				}
			}
		})
	}
}
