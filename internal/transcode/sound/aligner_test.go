package sound

import (
	"math"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/sound/soundtest"
)

// recorder is a tape that keeps all that was written, and an aligner for it.
type recorder struct {
	*aligner
	pcm []float32
}

func newRecorder(dec decoder) *recorder {
	r := &recorder{}
	put := func(frame []float32, _ bool) error {
		r.pcm = append(r.pcm, frame...)
		return nil
	}
	r.aligner = newAligner(newTape(0, 120, put), func(*media.Track) (decoder, error) { return dec, nil })
	return r
}

// send gives the aligner a fake packet. Its sound is that of the tone at its own time; skew moves only the timestamp.
func (r *recorder) send(t *testing.T, at time.Duration, n int, skew time.Duration) {
	t.Helper()
	f := media.Frame{Track: fakeTrack, Time: media.Timestamp(at + skew), Data: fakePacket(int(toSamples(at)), n)}
	if err := r.packet(f, f.Time); err != nil {
		t.Fatal(err)
	}
}

func TestAlignerTable(t *testing.T) {
	type counts struct{ concealed, silence, trimmed, inserted, removed int64 }
	// Packets of 20 ms at their times, in ms; a negative number is a time until which the tape is filled as nothing came.
	tests := []struct {
		name    string
		events  []float64
		plain   bool // the decoder cannot conceal
		want    counts
		wantEnd float64 // ms
	}{
		{name: "in order", events: []float64{0, 20, 40, 60}, wantEnd: 80},
		{name: "late start", events: []float64{100, 120}, want: counts{silence: 4800}, wantEnd: 140},
		{name: "one lost", events: []float64{0, 20, 60, 80}, want: counts{concealed: 960}, wantEnd: 100},
		{name: "one lost, no concealment", events: []float64{0, 20, 60}, plain: true, want: counts{silence: 960}, wantEnd: 80},
		{name: "four lost", events: []float64{0, 100, 120}, want: counts{concealed: 3840}, wantEnd: 140},
		{name: "a second lost", events: []float64{0, 1020}, want: counts{concealed: 3840, silence: 44160}, wantEnd: 1040},
		{name: "loss noticed by time", events: []float64{0, -60, -100, -300, 400},
			want: counts{concealed: 3840, silence: 14400}, wantEnd: 420},
		{name: "late packet after fill", events: []float64{0, -500, 490, 510}, want: counts{3840, 19200, 480, 0, 0}, wantEnd: 530},
		{name: "packet wholly late", events: []float64{0, -500, 300, 500}, want: counts{3840, 19200, 960, 0, 0}, wantEnd: 520},
		{name: "twice", events: []float64{0, 20, 20, 40}, want: counts{trimmed: 960}, wantEnd: 60},
		{name: "overlap", events: []float64{0, 20, 24, 44}, want: counts{trimmed: 768}, wantEnd: 64},
		{name: "jitter is left alone", events: []float64{0, 20.3, 39.8, 60.2, 79.7, 100}, wantEnd: 120},
		{name: "coarse clock", events: []float64{0, 20, 45, 60, 80, 95, 120}, wantEnd: 140},
		{name: "fill that is not due", events: []float64{0, -10, 20}, wantEnd: 40},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var dec decoder = &fakeConcealer{}
			if tt.plain {
				dec = &fakeDecoder{}
			}
			r := newRecorder(dec)
			for _, e := range tt.events {
				if e >= 0 {
					r.send(t, ms(e), 960, 0)
				} else if n := r.tape.until(media.Timestamp(ms(-e))); n > 0 {
					if err := r.makeUp(n); err != nil {
						t.Fatal(err)
					}
				}
			}
			got := counts{r.stats.Concealed, r.stats.Silence, r.stats.Trimmed, r.stats.Inserted, r.stats.Removed}
			tt.want.inserted, tt.want.removed = got.inserted, got.removed // the next test's matter
			if got != tt.want {
				t.Errorf("counted %+v, want %+v", got, tt.want)
			}
			if end := time.Duration(r.tape.end()); (end - ms(tt.wantEnd)).Abs() > ms(1) {
				t.Errorf("tape ends at %v, want %v", end, ms(tt.wantEnd))
			}
		})
	}
}

// Packets of every length that Opus has, one of them lost.
func TestAlignerPacketLengths(t *testing.T) {
	for _, n := range []int{120, 240, 480, 960, 1920, 2880, 3840, 5760} {
		r := newRecorder(&fakeConcealer{})
		var at time.Duration
		for i := range 50 {
			if i != 25 {
				r.send(t, at, n, 0)
			}
			at += media.Samples(int64(n), sampleRate)
		}
		if got := r.stats.Concealed + r.stats.Silence + r.stats.Inserted; n >= 240 && got != int64(n) {
			t.Errorf("%d samples a packet: the lost one became %d samples", n, got)
		}
		if end := time.Duration(r.tape.end()); (end - at).Abs() > ms(3) {
			t.Errorf("%d samples a packet: tape ends at %v, want %v", n, end, at)
		}
	}
}

// After a packet of Opus that announces silence the decoder's background noise goes on until the next, in real silence
// only after an encoder would have sent one.
func TestAlignerDTX(t *testing.T) {
	track := &media.Track{Codec: media.Opus}
	tests := []struct {
		name                       string
		gap                        time.Duration
		wantConcealed, wantSilence int64
	}{
		{"until the next description", ms(400), 19200, 0},
		{"for good", ms(2000), 24000, 72000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRecorder(&dtxDecoder{})
			for _, f := range []media.Frame{
				{Track: track, Time: 0, Data: fakePacket(0, 960)},
				{Track: track, Time: media.Timestamp(ms(20)), Data: []byte{8}},
			} {
				if err := r.packet(f, f.Time); err != nil {
					t.Fatal(err)
				}
			}
			end := media.Timestamp(ms(40) + tt.gap)
			for now := r.tape.end(); now < end.Add(-ms(120)); now = now.Add(ms(43)) { // as time passes
				if n := r.tape.until(now); n > 0 {
					if err := r.makeUp(n); err != nil {
						t.Fatal(err)
					}
				}
			}
			f := media.Frame{Track: track, Time: end, Data: fakePacket(0, 960)}
			if err := r.packet(f, end); err != nil {
				t.Fatal(err)
			}
			if r.stats.Concealed != tt.wantConcealed || r.stats.Silence != tt.wantSilence {
				t.Errorf("concealed %d, silence %d, want %d, %d",
					r.stats.Concealed, r.stats.Silence, tt.wantConcealed, tt.wantSilence)
			}
		})
	}
}

// Nothing that happens to the packets of a tone makes a click: a step would bend the signal by up to its amplitude.
func TestAlignerClicks(t *testing.T) {
	tests := map[string][]float64{ // ms; starts of packets of 20 ms at the peaks of the tone and elsewhere
		"gap":     {1.25, 21.25, 221.25, 241.25},
		"overlap": {0, 20, 23.7, 43.7},
		"late":    {1.25, -300, 291.25, 311.25},
		"short":   {0, 20, 57.3, 77.3},
	}
	for name, events := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRecorder(&fakeDecoder{})
			for _, e := range events {
				if e >= 0 {
					r.send(t, ms(e), 960, 0)
				} else if err := r.makeUp(r.tape.until(media.Timestamp(ms(-e)))); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.tape.silence(1000); err != nil {
				t.Fatal(err)
			}
			if bend, at := soundtest.Step(r.pcm); bend > 0.04 {
				t.Errorf("signal bends by %.3f at sample %d", bend, at)
			}
		})
	}
}

// A source whose clock is wrong is followed without a jump, and lip sync stays.
func TestAlignerDrift(t *testing.T) {
	tests := []struct {
		name string
		ppm  float64 // of the source's clock; positive is fast
		most time.Duration
	}{
		{"right", 0, 0},
		{"slow", -500, ms(1.5)},
		{"fast", 500, ms(1.5)},
		{"slightly fast", 30, ms(1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRecorder(&fakeDecoder{})
			var worst time.Duration
			for i := range 50 * 30 { // half a minute
				at := time.Duration(i) * 20 * time.Millisecond
				skew := -time.Duration(float64(at) * tt.ppm / 1e6)
				r.send(t, at, 960, skew)
				worst = max(worst, r.tape.end().Sub(media.Timestamp(at+skew+ms(20))).Abs())
			}
			if worst > tt.most+ms(0.1) {
				t.Errorf("sound is up to %v out of time, want at most %v", worst, tt.most)
			}
			if got := -1e6 * r.drift.rate; tt.most != ms(1) && math.Abs(got-tt.ppm) > 60 {
				t.Errorf("measured drift = %.0f ppm, want %.0f", got, tt.ppm)
			}
			if r.stats.Trimmed != 0 || r.stats.Silence != 0 || tt.ppm == 0 && r.stats.Inserted+r.stats.Removed != 0 {
				t.Errorf("unexpected counts: %+v", r.stats)
			}
			if bend, at := soundtest.Step(r.pcm); bend > 0.002 {
				t.Errorf("signal bends by %.4f at sample %d", bend, at)
			}
		})
	}
}

// The timestamps of a door that changes from one clock to another slew; the sound follows.
func TestAlignerSlew(t *testing.T) {
	r := newRecorder(&fakeDecoder{})
	for i := range 50 * 40 {
		skew := min(ms(40), time.Duration(i)*ms(0.1)) // 40 ms, at half a percent
		r.send(t, time.Duration(i)*20*time.Millisecond, 960, skew)
	}
	want := 40*time.Second + ms(40)
	if got := time.Duration(r.tape.end()); (got - want).Abs() > ms(1) {
		t.Errorf("tape ends at %v, want %v", got, want)
	}
	if r.stats.Silence != 0 || r.stats.Trimmed != 0 {
		t.Errorf("the slew was taken for a gap: %+v", r.stats)
	}
}

// A packet that cannot be decoded counts as lost, and a track without a decoder as muted.
func TestAlignerBadPackets(t *testing.T) {
	dec := &fakeConcealer{}
	r := newRecorder(dec)
	r.send(t, 0, 960, 0)
	if err := r.packet(media.Frame{Track: fakeTrack, Time: media.Timestamp(ms(20)), Data: []byte("rubbish")}, 0); err != nil {
		t.Fatal(err)
	}
	r.send(t, ms(40), 960, 0)
	if r.stats.DecodeErrors != 1 || r.stats.Concealed != 960 {
		t.Errorf("after a bad packet: %+v", r.stats)
	}

	r.open = func(*media.Track) (decoder, error) { return nil, errFake }
	other := &media.Track{Codec: media.Speex}
	for i := range 3 {
		if err := r.packet(media.Frame{Track: other, Time: media.Timestamp(ms(60 + 20*float64(i)))}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if !dec.closed || r.stats.DecodeErrors != 2 {
		t.Errorf("after a track without decoder: closed %v, %+v", dec.closed, r.stats)
	}

	r.open = func(*media.Track) (decoder, error) { return &fakeDecoder{delay: 48}, nil }
	r.send(t, ms(120), 960, 0)
	if want := ms(139); time.Duration(r.tape.end()) != want {
		t.Errorf("sound of a decoder that is 1 ms behind ends at %v, want %v", time.Duration(r.tape.end()), want)
	}
}

func TestAlignerBoundsTimestamps(t *testing.T) {
	r := newRecorder(&fakeDecoder{})
	f := media.Frame{Track: fakeTrack, Time: media.Timestamp(time.Hour), Data: fakePacket(0, 960)}
	if err := r.packet(f, 0); err != nil {
		t.Fatal(err)
	}
	if got := time.Duration(r.tape.end()); got > maxAhead+ms(20) {
		t.Errorf("a packet from the future moved the tape to %v", got)
	}
}

func TestStretch(t *testing.T) {
	src := soundtest.Tone(1000, 0.5, 20*time.Millisecond)
	for _, more := range []int{-5, -1, 1, 5} {
		dst := make([]float32, len(src)+channels*more)
		stretch(dst, src)
		n, m := len(src)/channels, len(dst)/channels
		for j := range m {
			x := float64(j) * float64(n-1) / float64(m-1)
			want := 0.5 * math.Sin(2*math.Pi*1000*x/sampleRate)
			if math.Abs(float64(dst[channels*j])-want) > 0.002 {
				t.Fatalf("%+d: sample %d = %.4f, want %.4f", more, j, dst[channels*j], want)
			}
		}
	}
}

func TestToSamples(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 47, 48000, -48001, 1024 * 1e9, -1024*1e9 + 1} {
		if got := toSamples(media.Samples(n, sampleRate)); got != n {
			t.Errorf("toSamples(Samples(%d)) = %d", n, got)
		}
	}
}

// Whatever the timestamps and lengths, no sample is lost from the count, the tape keeps up, and memory is bounded.
func FuzzAligner(f *testing.F) {
	f.Add([]byte{20, 8, 20, 8, 60, 8, 0, 8, 255, 8, 200, 0, 20, 48})
	f.Add([]byte{5, 1, 3, 1, 130, 0, 0, 48, 20, 48, 140, 0, 255, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		r := newRecorder(&fakeConcealer{})
		var now time.Duration
		var decoded int64
		for i := 0; i+1 < len(steps) && i < 400; i += 2 {
			now += time.Duration(steps[i]) * time.Millisecond
			n := int(steps[i+1]) % 49 * 120
			before := r.tape.n
			if n == 0 { // nothing comes
				if missing := r.tape.until(media.Timestamp(now)); missing > 0 {
					if err := r.makeUp(missing); err != nil {
						t.Fatal(err)
					}
				}
				continue
			}
			r.send(t, now, n, 0)
			decoded += int64(n)
			if r.tape.n < before {
				t.Fatalf("step %d: tape went back", i)
			}
			if short := r.tape.until(r.next); short > maxError+2*minStep {
				t.Fatalf("step %d: tape is %d samples short of the packet's end", i, short)
			}
		}
		st := r.stats
		want := decoded + st.Concealed + st.Silence + st.Inserted - st.Removed - st.Trimmed
		if r.tape.n != want {
			t.Fatalf("tape holds %d samples, %d are accounted for: %+v", r.tape.n, want, st)
		}
	})
}
