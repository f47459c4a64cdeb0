package rtmp

import (
	"math"
	"testing"
)

// receiver is how a server counts and acknowledges: it is told of bytes and returns the number that it sends, if it sends one.
type receiver func(n int64) (number uint32, send bool)

// sums acknowledges sums of a counter that begins anew at a round.
func sums(window, round int64, restart func(count int64) int64) receiver {
	var count, since int64
	return func(n int64) (uint32, bool) {
		since += n
		if count += n; count >= round {
			count = restart(count)
		}
		if since < window {
			return 0, false
		}
		since = 0
		return uint32(count), true
	}
}

func less(round int64) func(int64) int64 { return func(count int64) int64 { return count - round } }

// likeNginx is the counter of nginx-rtmp and Node-Media-Server: it begins anew at 0, and so does the window.
func likeNginx(window int64) receiver {
	var count, last int64
	return func(n int64) (uint32, bool) {
		if count += n; count >= 0xf0000000 {
			count, last = 0, 0
			return 0, false
		}
		if count-last < window {
			return 0, false
		}
		last = count
		return uint32(count), true
	}
}

// likeSRS is the counter of SRS: it begins anew with the bytes since the acknowledgement before.
func likeSRS(window int64) receiver {
	var number, since int64
	return func(n int64) (uint32, bool) {
		if since += n; since < window/2 {
			return 0, false
		}
		if number += since; number > 0xf0000000 {
			number = since
		}
		since = 0
		return uint32(number), true
	}
}

// steps acknowledges the bytes since the acknowledgement before.
func steps(window int64) receiver {
	var since int64
	return func(n int64) (uint32, bool) {
		if since += n; since < window {
			return 0, false
		}
		number := since
		since = 0
		return uint32(number), true
	}
}

// Twelve hours of 6 Mbit/s are 32 GB. Whatever a server's count is like, what is told of it is never more than was sent; with counts of
// servers that exist, it is never more than a few windows less either.
func TestAcksOfServers(t *testing.T) {
	const total, window = 32e9, 100_000
	const never = int64(math.MaxInt64)
	tests := []struct {
		name string
		says receiver
		lag  int64 // the most, but for a read; never: nothing is known
	}{
		{"sum modulo 2^32", sums(window, 1<<32, less(1<<32)), window},
		{"sum modulo 2^31", sums(window, 1<<31, less(1<<31)), window},
		{"OvenMediaEngine", sums(window, math.MaxInt32, less(math.MaxInt32)), window},
		{"nginx-rtmp", likeNginx(window), 2*window + 1<<20},
		{"nginx-rtmp, with a window of its own", likeNginx(5_000_000), 10_000_000 + 1<<20},
		{"SRS", likeSRS(2_500_000), 2_500_000},
		{"rml_rtmp", steps(window), window},
		{"steps, all the same", func() receiver {
			count := int64(0)
			return func(n int64) (uint32, bool) {
				if count += n; count < window {
					return 0, false
				}
				count -= window
				return window, true
			}
		}(), window},
		{"with the handshake twice", sums(window, never, nil), window},
		{"bits", func() receiver {
			says := steps(window)
			sum := int64(0)
			return func(n int64) (uint32, bool) {
				number, send := says(n)
				sum += 8 * int64(number)
				return uint32(sum), send
			}
		}(), never},
		{"thousands", func() receiver {
			sum := int64(0)
			return func(n int64) (uint32, bool) {
				sum += n
				return uint32(sum / 1000), true
			}
		}(), never},
		{"always the greatest", func(int64) (uint32, bool) { return math.MaxUint32, true }, never},
		{"always 0", func(int64) (uint32, bool) { return 0, true }, never},
		{"anything", func() receiver {
			state := uint32(1)
			return func(int64) (uint32, bool) {
				state = state*1664525 + 1013904223
				return state, true
			}
		}(), never},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var tally ackTally
			sent, told := int64(3073), int64(0)
			if tt.name == "with the handshake twice" {
				tt.says(3073)
			}
			tt.says(sent)
			for i := int64(0); sent < total; i++ {
				n := 1000 + i*7919%90_000 // what is read at once is never the same
				sent += n
				number, send := tt.says(n)
				if !send {
					continue
				}
				before := told
				told = tally.take(number, sent)
				switch {
				case told > sent:
					t.Fatalf("%d bytes received of %d that were sent", told, sent)
				case told < before:
					t.Fatalf("%d bytes received after %d", told, before)
				case sent < 20*window: // it is not clear yet what the numbers mean
				case tt.lag != never && sent-told > tt.lag+100_000:
					t.Fatalf("%d bytes received of %d that were sent: %d are missing", told, sent, sent-told)
				}
			}
		})
	}
}

// One number that makes no sense does not change what the others mean.
func TestAcksWithOneWrongNumber(t *testing.T) {
	for _, wrong := range []uint32{0, 1, 399_999, 400_000, 1 << 31, math.MaxUint32} {
		var tally ackTally
		got := int64(0)
		for i := range uint32(20) {
			got = tally.take(100_000*(i+1), int64(100_000*(i+2)))
			if i == 3 {
				tally.take(wrong, 600_000)
			}
		}
		if got != 2_000_000 {
			t.Errorf("with %d among them: %d bytes, want 2000000", wrong, got)
		}
	}
}
