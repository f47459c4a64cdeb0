package media

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

// The bytes are checked against FFmpeg's decoder where that is linked in: see the tests of package transponder.
func TestSilentAAC(t *testing.T) {
	tests := []struct {
		name, config, packet string
		length               time.Duration
	}{
		{"48 kHz stereo", "1190", "208c000230000e", 21333333},
		{"44.1 kHz mono", "1208", "01180007", 23219954},
		{"HE-AAC, of which only the core is sent", "2b098800", "01180007", 42666666},
		{"with a note on SBR", "119056e500", "208c000230000e", 21333333},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, err := hex.DecodeString(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			packet, length, err := SilentAAC(config)
			if err != nil || hex.EncodeToString(packet) != tt.packet || length != tt.length {
				t.Errorf("SilentAAC = %x, %v, %v, want %s, %v", packet, length, err, tt.packet, tt.length)
			}
		})
	}
	for name, config := range map[string][]byte{"nothing": nil, "channels not told": {0x11, 0x80}} {
		if packet, _, err := SilentAAC(config); err == nil {
			t.Errorf("%s: SilentAAC = %x, want an error", name, packet)
		}
	}
}

func TestAACConfig(t *testing.T) {
	for _, tt := range []struct {
		rate, channels int
		want           []byte
	}{{48000, 2, []byte{0x11, 0x90}}, {48000, 1, []byte{0x11, 0x88}}, {44100, 2, []byte{0x12, 0x10}},
		{24000, 1, []byte{0x13, 0x08, 0x56, 0xe5, 0x00}}} {
		if got, err := AACConfig(tt.rate, tt.channels); err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("%d Hz, %d channels: % x, %v; want % x", tt.rate, tt.channels, got, err, tt.want)
		}
	}
}
