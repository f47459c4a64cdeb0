package sdp

import (
	"testing"

	"transponder/internal/media"
)

func TestH264(t *testing.T) {
	tests := []struct {
		params  string
		mode    int
		profile string
		sets    string
		usable  bool
	}{
		{"", 0, "42", "", true}, // RFC 6184, 8.1: both have a default
		{"profile-level-id=42e01f;packetization-mode=1", 1, "42", "", true},
		{"profile-level-id=428014; Packetization-Mode = 0", 0, "42", "", true},
		{"profile-level-id=640C16;packetization-mode=1", 1, "64", "", true},
		{"profile-level-id=4D001f", 0, "4d", "", true},
		{"packetization-mode=2", 2, "42", "", false},
		{"packetization-mode=x", -1, "42", "", false},
		{"profile-level-id=6e001f", 0, "6e", "", false},     // High 10
		{"profile-level-id=f4001f", 0, "f4", "", false},     // High 4:4:4
		{"profile-level-id=\u00e9", 0, "\u00e9", "", false}, // no profile
		{"sprop-parameter-sets=Z0KAFNoFB+Q=,aM4G4g==", 0, "42", "Z0KAFNoFB+Q=,aM4G4g==", true},
		{"sprop-parameter-sets=", 0, "42", "", true},
		{"sprop-parameter-sets=Z0KAFNoFB+Q=", 0, "42", "", true},
		{"sprop-parameter-sets=Z0KAFNoFB+Q=,", 0, "42", "", true},
		{"sprop-parameter-sets=,aM4G4g==", 0, "42", "", true},
		{"sprop-parameter-sets=???,aM4G4g==", 0, "42", "", true},
	}
	for _, test := range tests {
		p := Type{Codec: H264, Params: test.params}
		if p.Mode() != test.mode || p.Profile() != test.profile || p.ParameterSets() != test.sets || p.usable() != test.usable {
			t.Errorf("%q: mode %d, profile %s, sets %q, usable %t", test.params, p.Mode(), p.Profile(), p.ParameterSets(), p.usable())
		}
	}
}

func TestParseCodec(t *testing.T) {
	tests := map[string]Codec{
		"opus/48000/2":          Opus,
		"OPUS/48000":            Opus,
		"pcmu/8000":             PCMU,
		"PCMA/8000/1":           PCMA,
		"G722/8000":             G722,
		"SPEEX/16000":           SpeexWide,
		"telephone-event/48000": EventsWide,
		"Telephone-Event/8000":  Events,
		"h264/90000":            H264,
		"L16/44100/2":           {Name: "L16", Clock: 44100, Channels: 2},
		"PCMU":                  {Name: "PCMU"},
		"x/-5/999":              {Name: "x"},
		"/8000":                 {},
	}
	for text, want := range tests {
		if got := parseCodec(text); got != want {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

func TestCodecMedia(t *testing.T) {
	tests := map[Codec]media.Codec{
		PCMU: media.PCMU, PCMA: media.PCMA, Opus: media.Opus, G722: media.G722, Speex: media.SpeexNarrow, SpeexWide: media.Speex, H264: media.H264, VP8: media.VP8,
		Events: media.CodecNone, {Name: "PCMU", Clock: 16000}: media.CodecNone,
	}
	for c, want := range tests {
		if got := c.Media(); got != want {
			t.Errorf("%s: got %v, want %v", c, got, want)
		}
	}
}

func TestHasEvent(t *testing.T) {
	tests := []struct {
		params string
		event  int
		want   bool
	}{
		{"", 0, true}, {"", 15, true}, {"", 16, false}, {"", -1, false},
		{"0-15", 15, true}, {"0-15", 16, false}, {"0-9, 16", 16, true}, {"0-11,16-20", 12, false}, {"x", 0, false}, {"5-", 5, false},
	}
	for _, test := range tests {
		if got := (Type{Codec: Events, Params: test.params}).HasEvent(test.event); got != test.want {
			t.Errorf("event %d of %q: %t", test.event, test.params, got)
		}
	}
}
