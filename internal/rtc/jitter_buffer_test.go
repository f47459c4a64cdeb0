package rtc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
)

// recorder is a Sink that notes each call in words.
type recorder struct{ said []string }

func (r *recorder) say(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) Connected() { r.say("connected") }
func (r *recorder) Video(_ media.Codec, unit []byte, t uint32, key bool) {
	r.say("video %d %t %d", t, key, len(unit))
}
func (r *recorder) Audio(_ media.Codec, payload []byte, t uint32) { r.say("%s@%d", payload, t) }
func (r *recorder) Clock(kind media.Kind, _ uint64, t uint32)     { r.say("clock %s %d", kind, t) }
func (*recorder) Rotated(int)                                     {}

func (r *recorder) Lost(kind media.Kind) { r.say("lost") }
func (r *recorder) Closed(cause error)   { r.say("closed %v", cause) }

const ms = time.Millisecond

// step is a packet that arrives, or a Tick if seq is negative.
type step struct {
	at      time.Duration
	seq     int
	payload string
}

func TestJitterBuffer(t *testing.T) {
	tests := []struct {
		name  string
		nack  bool
		steps []step
		want  []string
		nacks []uint16
		stats JitterBufferStats // Packets and Bytes are not compared
	}{
		{"in order", false, []step{{0, 1, "a"}, {1, 2, "b"}}, []string{"a", "b"}, nil, JitterBufferStats{}},
		{"swapped", false, []step{{0, 1, "a"}, {1, 3, "c"}, {2, 2, "b"}, {3, 4, "d"}}, []string{"a", "b", "c", "d"}, nil, JitterBufferStats{}},
		{"over the wrap", false, []step{{0, 65534, "a"}, {1, 0, "c"}, {2, 65535, "b"}, {3, 1, "d"}}, []string{"a", "b", "c", "d"}, nil, JitterBufferStats{}},
		{"only padding", false, []step{{0, 1, "a"}, {1, 2, ""}, {2, 3, "c"}}, []string{"a", "c"}, nil, JitterBufferStats{}},
		{"padding that is missing", false, []step{{0, 1, "a"}, {1, 3, "c"}, {2, 2, ""}}, []string{"a", "c"}, nil, JitterBufferStats{}},
		{"twice", false, []step{{0, 1, "a"}, {1, 1, "a"}, {2, 3, "c"}, {3, 3, "c"}, {4, 2, "b"}}, []string{"a", "b", "c"}, nil, JitterBufferStats{Duplicate: 2}},
		{"lost", false, []step{{0, 1, "a"}, {1 * ms, 3, "c"}, {40 * ms, -1, ""}, {41 * ms, -1, ""}}, []string{"a", "lost", "c"}, nil, JitterBufferStats{Lost: 1}},
		{"late", false, []step{{0, 1, "a"}, {1 * ms, 3, "c"}, {50 * ms, -1, ""}, {51 * ms, 2, "b"}, {52 * ms, 2, "b"}},
			[]string{"a", "lost", "c"}, nil, JitterBufferStats{Lost: 1, Late: 1, Duplicate: 1}},
		{"asked for again", true, []step{{0, 1, "a"}, {1 * ms, 4, "d"}, {2 * ms, -1, ""}, {6 * ms, -1, ""}, {30 * ms, 3, "c"},
			{56 * ms, -1, ""}, {60 * ms, 2, "b"}}, []string{"a", "b", "c", "d"}, []uint16{2, 3, 2}, JitterBufferStats{NACKs: 3}},
		{"asked for in vain", true, []step{{0, 1, "a"}, {1 * ms, 3, "c"}, {499 * ms, -1, ""}, {502 * ms, -1, ""}},
			[]string{"a", "lost", "c"}, []uint16{2}, JitterBufferStats{Lost: 1, NACKs: 1}},
		{"a gap wider than the window", true, []step{{0, 1, "a"}, {1, 2000, "z"}, {2, 2001, "y"}}, []string{"a", "lost", "z", "y"}, nil, JitterBufferStats{Lost: 1998}},
		{"a gap with some waiting", true, []step{{0, 1, "a"}, {1, 3, "c"}, {2, 2000, "z"}}, []string{"a", "lost", "c", "lost", "z"}, nil, JitterBufferStats{Lost: 1997}},
		{"numbers begin anew", false, []step{{0, 30000, "a"}, {1, 10, "x"}, {2, 11, "b"}, {3, 12, "c"}}, []string{"a", "lost", "b", "c"}, nil,
			JitterBufferStats{Lost: 1, Duplicate: 1}},
		{"one old packet", false, []step{{0, 30000, "a"}, {1, 10, "x"}, {2, 30001, "b"}, {3, 12, "y"}}, []string{"a", "b"}, nil, JitterBufferStats{Duplicate: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultJitterBufferConfig()
			cfg.Codec, cfg.NACK = media.Opus, tt.nack
			var r recorder
			buffer := NewJitterBuffer(cfg, &r)
			var nacks []uint16
			for _, s := range tt.steps {
				if s.seq < 0 {
					nacks, _, _ = buffer.Tick(s.at, nacks)
					continue
				}
				buffer.Push(Packet{SSRC: 1, Seq: uint16(s.seq), Payload: []byte(s.payload)}, s.at)
			}
			var want []string
			for _, w := range tt.want {
				if w != "lost" {
					w += "@0"
				}
				want = append(want, w)
			}
			if !slices.Equal(r.said, want) {
				t.Errorf("got %q, want %q", r.said, want)
			}
			if !slices.Equal(nacks, tt.nacks) {
				t.Errorf("NACKs %v, want %v", nacks, tt.nacks)
			}
			got := buffer.Stats()
			got.Packets, got.Bytes = 0, 0
			if got != tt.stats {
				t.Errorf("stats %+v, want %+v", got, tt.stats)
			}
		})
	}
}

// A packet that is missing is waited for as long as the settings say, at high bit rates too, and asked for again and again meanwhile.
func TestJitterBufferWide(t *testing.T) {
	for _, perSecond := range []int{500, 1000, 2000, 4000, 8000} {
		t.Run(fmt.Sprint(perSecond, " packets a second"), func(t *testing.T) {
			cfg := DefaultJitterBufferConfig()
			cfg.Codec, cfg.NACK = media.Opus, true
			var r recorder
			buffer := NewJitterBuffer(cfg, &r)
			first := 65000 // the numbers wrap meanwhile
			late := first + 10
			push := func(seq int, at time.Duration) {
				buffer.Push(Packet{SSRC: 1, Seq: uint16(seq), Payload: []byte{1}}, at)
			}
			var asked []uint16
			seq := first
			for at := time.Duration(0); at < cfg.Wait-2*ms; at += time.Second / time.Duration(perSecond) {
				if seq != late {
					push(seq, at)
				}
				asked, _, _ = buffer.Tick(at, asked)
				seq++
			}
			push(late, cfg.Wait-ms)
			want, lost := seq-first, 0
			if perSecond == 8000 { // more than the window
				want, lost = want-1, 1
			}
			if st := buffer.Stats(); len(r.said) != want+lost || st.Lost != int64(lost) {
				t.Errorf("%d packets of %d came out; %+v", len(r.said)-lost, want, st)
			}
			if lost == 0 && len(asked) < 5 {
				t.Errorf("the packet was asked for %d times", len(asked))
			}
		})
	}
}

// TestJitterBufferShuffled: packets that arrive in time come out once and in order, over many wraps of the sequence numbers.
func TestJitterBufferShuffled(t *testing.T) {
	cfg := DefaultJitterBufferConfig()
	cfg.Codec, cfg.NACK = media.Opus, true
	var r recorder
	buffer := NewJitterBuffer(cfg, &r)
	random := rand.New(rand.NewPCG(1, 2))
	const n, block = 200_000, 100
	payload := []byte("x")
	for from := 0; from < n; from += block {
		for _, i := range random.Perm(block) {
			if from == 0 && i != 0 {
				continue // the first packet begins
			}
			now := time.Duration(from+i) * ms / 10
			for range 1 + random.IntN(2) {
				buffer.Push(Packet{SSRC: 1, Seq: uint16(from + i), Time: uint32(from + i), Payload: payload}, now)
			}
			if buffer.Waits() {
				buffer.Tick(now, nil)
			}
		}
		if from == 0 {
			for i := 1; i < block; i++ {
				buffer.Push(Packet{SSRC: 1, Seq: uint16(i), Time: uint32(i), Payload: payload}, 0)
			}
		}
	}
	if len(r.said) != n || buffer.Stats().Lost != 0 {
		t.Fatalf("%d of %d came out; %+v", len(r.said), n, buffer.Stats())
	}
	for i, got := range r.said {
		if want := fmt.Sprintf("x@%d", i); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

// TestJitterBufferKeyFrames: after a loss of video, requests for a key frame start at once and repeat after each PLIGap
// until one comes.
func TestJitterBufferKeyFrames(t *testing.T) {
	cfg := DefaultJitterBufferConfig()
	cfg.Codec, cfg.NACK = media.H264, true
	var r recorder
	buffer := NewJitterBuffer(cfg, &r)
	asked := func(at time.Duration, want bool) {
		t.Helper()
		_, pli, again := buffer.Tick(at, nil)
		if pli != want {
			t.Errorf("at %v: asked for a key frame is %t, want %t", at, pli, want)
		}
		if buffer.Waits() && again <= at {
			t.Errorf("at %v: wants to be called at %v", at, again)
		}
	}
	push := func(at time.Duration, seq uint16, kind byte) {
		buffer.Push(Packet{SSRC: 1, Seq: seq, Time: uint32(seq), Marker: true, Payload: nal(kind, 5)}, at)
	}
	asked(0, true) // at the beginning
	push(10*ms, 1, nalIDR)
	asked(20*ms, false)
	if buffer.Waits() {
		t.Error("waits for nothing")
	}
	push(1000*ms, 2, nalSlice)
	push(1001*ms, 4, nalSlice)
	asked(1006*ms, false) // 3 may still come
	asked(1510*ms, true)  // given up
	asked(1600*ms, false)
	push(1700*ms, 5, nalSlice)
	asked(2010*ms, true)
	push(2100*ms, 6, nalIDR)
	asked(3000*ms, false)
	buffer.WantKeyFrame()
	asked(3001*ms, true)
	want := []string{"video 1 true 9", "video 2 false 9", "lost", "video 6 true 9"}
	if !slices.Equal(r.said, want) {
		t.Errorf("got %q, want %q", r.said, want)
	}
}

// TestJitterBufferTakeOver: another SSRC takes over only if the first one is silent.
func TestJitterBufferTakeOver(t *testing.T) {
	cfg := DefaultJitterBufferConfig()
	cfg.Codec = media.Opus
	var r recorder
	buffer := NewJitterBuffer(cfg, &r)
	buffer.Push(Packet{SSRC: 1, Seq: 1, Payload: []byte("a")}, 0)
	buffer.Push(Packet{SSRC: 2, Seq: 500, Payload: []byte("x")}, 10*ms)
	buffer.Push(Packet{SSRC: 1, Seq: 2, Payload: []byte("b")}, 20*ms)
	buffer.Push(Packet{SSRC: 2, Seq: 501, Payload: []byte("c")}, 2*time.Second)
	buffer.Push(Packet{SSRC: 1, Seq: 3, Payload: []byte("y")}, 2001*ms)
	want := []string{"a@0", "b@0", "lost", "c@0"}
	if !slices.Equal(r.said, want) {
		t.Errorf("got %q, want %q", r.said, want)
	}
}

// TestJitterBufferNewSSRC: a change of the SSRC costs some frames and one key frame; two SSRCs at the same time change nothing.
func TestJitterBufferNewSSRC(t *testing.T) {
	cfg := DefaultJitterBufferConfig()
	cfg.Codec = media.H264
	var r recorder
	buffer := NewJitterBuffer(cfg, &r)
	seq := [3]uint16{0, 100, 40_000}
	push := func(ssrc, at uint32, kind byte) { // two packets
		for i := range 2 {
			seq[ssrc]++
			buffer.Push(Packet{SSRC: ssrc, Seq: seq[ssrc], Time: ssrc<<28 + at*3600, Marker: i == 1, Payload: nal(kind, 5)}, time.Duration(at)*40*ms)
		}
	}
	push(1, 0, nalIDR)
	buffer.Tick(0, nil)
	for at := uint32(1); at < 20; at++ { // simulcast
		push(2, at, nalSlice)
		push(1, at, nalSlice)
	}
	if n := len(r.said); n != 20 || buffer.Stats().Lost > 0 {
		t.Fatalf("%d units, %+v", n, buffer.Stats())
	}
	for at := uint32(20); at < 23; at++ {
		push(2, at, nalSlice)
	}
	if _, pli, _ := buffer.Tick(23*40*ms, nil); !pli {
		t.Error("no key frame is asked for 120 ms after the change")
	}
	push(2, 23, nalIDR)
	push(2, 24, nalSlice)
	buffer.Tick(24*40*ms, nil)
	if st := buffer.Stats(); st.PLIs != 2 || len(r.said) < 22 {
		t.Errorf("after the key frame %q, %+v", r.said, st)
	}
}

// TestJitterBufferSpare: the memory that a burst needed is not kept for ever.
func TestJitterBufferSpare(t *testing.T) {
	cfg := DefaultJitterBufferConfig()
	cfg.Codec = media.Opus
	var r recorder
	buffer := NewJitterBuffer(cfg, &r)
	buffer.Push(Packet{Payload: []byte("a")}, 0)
	for seq := uint16(2); seq < firstWindow; seq++ {
		buffer.Push(Packet{Seq: seq, Payload: []byte("b")}, 0)
	}
	buffer.Push(Packet{Seq: 1, Payload: []byte("b")}, 0)
	if len(r.said) != firstWindow || len(buffer.spare) != maxSpare {
		t.Errorf("%d packets came and %d buffers are kept, want %d and %d", len(r.said), len(buffer.spare), firstWindow, maxSpare)
	}
}

func BenchmarkJitterBuffer(b *testing.B) {
	cfg := DefaultJitterBufferConfig()
	cfg.Codec, cfg.NACK = media.H264, true
	buffer := NewJitterBuffer(cfg, discard{})
	packets := fuA(nal(nalIDR, 11000), 10)
	b.ReportAllocs()
	var seq uint16
	for b.Loop() {
		for i, p := range packets {
			buffer.Push(Packet{Seq: seq, Time: uint32(b.N), Marker: i == len(packets)-1, Payload: p}, 0)
			seq++
		}
	}
}

type discard struct{ Sink }

func (discard) Video(media.Codec, []byte, uint32, bool) {}
