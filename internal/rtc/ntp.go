package rtc

import "time"

// NTPTime returns a time of the wall clock as an NTP timestamp (RFC 3550, 4).
func NTPTime(t time.Time) uint64 {
	const epoch = 2_208_988_800 // seconds from 1900 to 1970
	return uint64(t.Unix()+epoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}
