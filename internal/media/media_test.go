package media

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"
)

// Parameter sets that x264 wrote for 1280x720, baseline, level 3.1.
const (
	sps720 = "6742c01fd9005005bb0110000003001000000303c8f1832480"
	pps720 = "68cb83cb20"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestH264Track(t *testing.T) {
	sps, pps := unhex(t, sps720), unhex(t, pps720)
	track, err := NewH264Track(sps, pps)
	if err != nil {
		t.Fatal(err)
	}
	if track.Width != 1280 || track.Height != 720 {
		t.Errorf("size %dx%d, want 1280x720", track.Width, track.Height)
	}
	// ISO/IEC 14496-15, 5.3.3.1.2
	want := unhex(t, "0142c01fffe10019"+sps720+"010005"+pps720)
	if !bytes.Equal(track.Config, want) {
		t.Errorf("record\n%x, want\n%x", track.Config, want)
	}
	again, _, err := ParseH264Config(track.Config)
	if err != nil || again.Width != 1280 || !bytes.Equal(again.Config, want) {
		t.Errorf("ParseH264Config = %+v, %v", again, err)
	}
	gotSPS, gotPPS, err := H264ParameterSets(track.Config)
	if err != nil || len(gotSPS) != 1 || len(gotPPS) != 1 || !bytes.Equal(gotSPS[0], sps) || !bytes.Equal(gotPPS[0], pps) {
		t.Errorf("H264ParameterSets = %x, %x, %v", gotSPS, gotPPS, err)
	}
}

// TestH264TrackLimits asks for records whose counts and lengths would not fit their fields.
func TestH264TrackLimits(t *testing.T) {
	sps, pps := unhex(t, sps720), unhex(t, pps720)
	for name, sets := range map[string][][]byte{
		"too many": slices.Repeat([][]byte{pps}, 256),
		"too long": {make([]byte, 1<<16)},
	} {
		if _, err := NewH264Track(sps, sets...); !errors.Is(err, ErrH264Config) {
			t.Errorf("%s: %v, want ErrH264Config", name, err)
		}
	}
}

func TestParseH264ConfigRefuses(t *testing.T) {
	good := "0142c01fffe10019" + sps720 + "010005" + pps720
	tests := []struct{ name, record string }{
		{"empty", ""},
		{"short", good[:12]},
		{"version", "02" + good[2:]},
		{"3-byte lengths", good[:8] + "fe" + good[10:]},
		{"cut in the SPS", good[:40]},
		{"no PPS count", good[:8*2+25*2]},
		{"cut in the PPS", good[:len(good)-2]},
		{"no sets", "0142c01fffe000"},
		{"nonsense SPS", "0142c01fffe1000267ff010005" + pps720},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if track, _, err := ParseH264Config(unhex(t, tt.record)); err == nil {
				t.Errorf("ParseH264Config = %+v, want an error", track)
			}
		})
	}
	if _, _, err := ParseH264Config(nil); !errors.Is(err, ErrH264Config) {
		t.Errorf("ParseH264Config(nil) = %v, want ErrH264Config", err)
	}
}

func FuzzParseH264Config(f *testing.F) {
	b, _ := hex.DecodeString("0142c01fffe10019" + sps720 + "010005" + pps720)
	f.Add(b)
	f.Fuzz(func(t *testing.T, record []byte) {
		track, form, err := ParseH264Config(record)
		if err != nil {
			return
		}
		if form == NALLengths4 && !bytes.Equal(track.Config, record) {
			t.Error("the record was changed")
		}
		if again, form, err := ParseH264Config(track.Config); err != nil || form != NALLengths4 || again.Width != track.Width {
			t.Errorf("its own record becomes %+v, %d, %v", again, form, err)
		}
	})
}

func TestTimestamp(t *testing.T) {
	if ms := Timestamp(-1).Milliseconds(); ms != -1 {
		t.Errorf("Milliseconds of -1 ns = %d, want -1: rounded down", ms)
	}
	if ms := Timestamp(1_999_999).Milliseconds(); ms != 1 {
		t.Errorf("Milliseconds of 1.999999 ms = %d, want 1", ms)
	}
	if d := Timestamp(0).Add(time.Second).Sub(Timestamp(time.Millisecond)); d != 999*time.Millisecond {
		t.Errorf("1 s - 1 ms = %v", d)
	}
	const year = 365 * 24 * 3600
	if d := Samples(year*48000+1024, 48000); d != year*time.Second+21333333 {
		t.Errorf("a year and 1024 samples = %v", d)
	}
}

func TestCodecKinds(t *testing.T) {
	for c := H264; c <= SpeexNarrow; c++ {
		if c.String() == "" || c.Kind() == KindNone {
			t.Errorf("codec %d has name %q, kind %v", c, c, c.Kind())
		}
	}
	if CodecNone.Kind() != KindNone || Codec(200).String() != "" {
		t.Error("an unknown codec has a kind or a name")
	}
}

// TestClockRates: all video counts in one unit, and each codec of sound has its own.
func TestClockRates(t *testing.T) {
	want := map[Codec]int{
		H264: 90000, H265: 90000, VP8: 90000, VP9: 90000, AV1: 90000,
		Opus: 48000, PCMA: 8000, PCMU: 8000, G722: 8000, Speex: 16000, SpeexNarrow: 8000, AAC: 0, CodecNone: 0,
	}
	for c, rate := range want {
		if got := c.ClockRate(); got != rate {
			t.Errorf("%v: clock rate %d, want %d", c, got, rate)
		}
	}
}
