package rtc

import (
	"testing"
	"time"
)

func TestNTPTime(t *testing.T) {
	for _, tt := range []struct {
		at   time.Time
		want uint64
	}{
		{time.Unix(-2_208_988_800, 0), 0}, // the beginning of 1900
		{time.Unix(0, 5e8), 2_208_988_800<<32 | 1<<31},
	} {
		if got := NTPTime(tt.at); got != tt.want {
			t.Errorf("NTP time of %v = %#x, want %#x", tt.at, got, tt.want)
		}
	}
}
