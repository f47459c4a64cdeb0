package sink

import (
	"slices"
	"testing"

	"transponder/bench/internal/source"
	"transponder/bench/internal/wire"
)

const ms = int64(1e6)

// frame is a legacy AVC tag of a marked frame: its last packet left 2 ms after its first one.
func frame(seq int, key bool) wire.Message {
	nal, head := byte(0x41), byte(0x27)
	if key {
		nal, head = 0x65, 0x17
	}
	sei := source.AppendMark(nil, source.Mark{Stream: 3, Seq: uint32(seq), First: sent(seq), PrevLast: sent(seq-1) + 2*ms})
	body := slices.Concat([]byte{head, 1, 0, 0, 0, 0, 0, 0, byte(len(sei))}, sei, []byte{0, 0, 0, 2, nal, 0x88})
	return wire.Message{Type: wire.TypeVideo, Timestamp: uint32(100 + seq*100/3), Payload: body}
}

func sent(seq int) int64 { return int64(seq)*100*ms/3 + 1 }

var (
	avcHeader = wire.Message{Type: wire.TypeVideo, Payload: []byte{0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1f, 0xff}}
	aacHeader = wire.Message{Type: wire.TypeAudio, Payload: []byte{0xaf, 0, 0x11, 0x90}}
)

func TestStreamCounts(t *testing.T) {
	tests := []struct {
		name   string
		frames []int // by their numbers; those that divide by 5 are key frames
		want   Window
	}{
		{"all", []int{0, 1, 2, 3, 4, 5}, Window{Frames: 6, KeyFrames: 2, MaxKeyGap: 5}},
		{"two lost", []int{0, 1, 4, 5}, Window{Frames: 4, FramesLost: 2, KeyFrames: 2, MaxKeyGap: 3}},
		{"one twice", []int{0, 1, 1, 2}, Window{Frames: 4, Duplicates: 1, KeyFrames: 1, MaxKeyGap: 4}},
		{"two exchanged", []int{0, 2, 1, 3}, Window{Frames: 4, Reordered: 1, TSBackwards: 1, KeyFrames: 1, MaxKeyGap: 4}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			firsts := 0
			st := newStream("live/x", func() { firsts++ })
			st.begin(0, nil)
			st.take(avcHeader, 0)
			for _, seq := range test.frames {
				if st.take(frame(seq, seq%5 == 0), sent(seq)+5*ms) {
					st.onFirst()
				}
			}
			got := st.report()
			latency, head := got.Window.LatencyMS, got.Window.LatencyHeadMS
			if head.P50 != 5 || latency.N > 0 && latency.P50 != 3 { // no frame may have followed its predecessor
				t.Errorf("latency %v from the last packet and %v from the first, want 3 and 5", latency.P50, head.P50)
			}
			w := got.Window
			w.LatencyMS, w.LatencyHeadMS, w.TSErrorMS, w.LeadMS = test.want.LatencyMS, test.want.LatencyHeadMS,
				test.want.TSErrorMS, test.want.LeadMS
			if w != test.want {
				t.Errorf("got %+v, want %+v", w, test.want)
			}
			if firsts != 1 || !got.FirstIsKey || got.Publisher != 3 || got.VideoCodec != "avc" {
				t.Errorf("%d first frames, of %+v", firsts, got)
			}
			if n := got.KeyFlagWrong + got.MalformedFrames + got.BeforeHeader + got.ForeignMarks; n != 0 {
				t.Errorf("%d faults in %+v", n, got)
			}
		})
	}
}

func TestStreamFindsFaults(t *testing.T) {
	st := newStream("live/x", nil)
	st.begin(0, nil)
	st.take(frame(0, true), 0) // before its header
	st.take(avcHeader, 0)
	lies := frame(1, false)
	lies.Payload[0] = 0x17
	st.take(lies, 0)
	cut := frame(2, false)
	cut.Payload = cut.Payload[:len(cut.Payload)-1]
	st.take(cut, 0)
	st.take(aacHeader, 0)

	got := st.report()
	if got.BeforeHeader != 1 || got.KeyFlagWrong < 1 || got.MalformedFrames < 1 {
		t.Errorf("got %+v, want media before its header, a wrong key flag and a malformed frame", got)
	}
	if want := "1190 object=2 rate=48000 channels=2"; got.AudioConfig != want {
		t.Errorf("audio config %q, want %q", got.AudioConfig, want)
	}
}
