package transponder

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/flv"
	"transponder/internal/rtmp"
)

// taken is what arrived of a stream through a proxy.
type taken struct {
	pictures, sounds int
	first            time.Duration // the most that a picture or sound was late in the first half minute
	latest           time.Duration // the most that a picture was late after that
	latestSound      time.Duration // the same for sound
	slow             time.Duration
	queued           time.Duration // the most that was said to wait
}

// pushThrough writes a stream for the given number of seconds: 10 pictures and 10 sounds a second, of the given number of bytes a second, and
// every two seconds a key frame, which is as large as five other pictures.
func pushThrough(t *testing.T, e *farEnd, seconds int, size int) (out taken) {
	t.Helper()
	start := time.Time{}
	var late, lateSound time.Duration
	e.takes = func(at time.Time, m rtmp.Message) {
		d := at.Sub(start) - time.Duration(m.Time)*time.Millisecond
		most := &out.first
		switch m.Type {
		case flv.TypeVideo:
			out.pictures++
			if m.Time > 30_000 {
				most = &late
			}
		case flv.TypeAudio:
			out.sounds++
			if m.Time > 30_000 {
				most = &lateSound
			}
		}
		*most = max(*most, d)
	}
	s, r, id, stop := pushInBubble(t, e, nil, Request{})
	start = time.Now()
	for n := range 10 * seconds {
		picture := size / 12
		if n%20 == 0 {
			picture *= 5
		}
		s.at(time.Duration(n)*100*time.Millisecond, n%20 == 0, picture)
		time.Sleep(100 * time.Millisecond)
		i := r.Find(Filter{ID: id})
		if len(i) == 0 {
			t.Errorf("after %v the push is gone: %+v", time.Since(start), r.History(1))
			break
		}
		if i[0].State == Degraded && i[0].Reason == ReasonPeerSlow {
			out.slow += 100 * time.Millisecond
		} else if i[0].State == Degraded {
			t.Errorf("after %v: %s, %s", time.Since(start), i[0].State, i[0].Reason)
			break
		}
		out.queued = max(out.queued, i[0].QueuedTime)
	}
	stop()
	synctest.Wait()
	out.latest, out.latestSound = late, lateSound
	return out
}

// A destination that takes half of the rate shows half of the pictures, no more than 5 s late, for an hour. That holds without a proxy, where
// the kernel holds 4 MB before a write blocks, and behind a proxy that holds as much. The sound goes on. A healthy destination far away loses
// nothing.
func TestSlowDestination(t *testing.T) {
	const size = 114_000
	for _, tt := range []struct {
		name    string
		seconds int
		room    int
		kernel  bool
		share   float64 // of the rate that is taken
		told    func(n int, sum uint32) (uint32, bool)
		mute    bool
		least   float64 // the share of pictures
		sound   float64
		later   time.Duration // answers to pings
	}{
		{"bare, an hour", 3600, 4 << 20, true, 0.5, nil, true, 0.4, 0.99, 0},
		{"behind a proxy, an hour", 3600, 4 << 20, false, 0.5, nil, false, 0.37, 0.99, 0},
		{"behind a proxy, acknowledgements only", 600, 4 << 20, false, 0.5, nil, true, 0.35, 1, 0},
		{"behind a proxy, pings only", 600, 4 << 20, false, 0.5, func(int, uint32) (uint32, bool) { return 0, false }, false, 0.38, 0.98, 0},
		{"steps", 600, 4 << 20, false, 0.5, func(int, uint32) (uint32, bool) { return 100_000, true }, true, 0.2, 0.7, 0},
		{"bare, a tenth", 600, 4 << 20, true, 0.1, nil, false, 0.02, 0.3, 0},
		{"behind a proxy, a quarter", 600, 4 << 20, false, 0.25, nil, false, 0.12, 0.65, 0},
		{"nearly enough", 600, 4 << 20, true, 0.9, nil, false, 0.8, 1, 0},
		{"a small buffer", 600, 64 << 10, true, 0.5, nil, false, 0.4, 1, 0},
		{"enough", 600, 4 << 20, true, 1.2, nil, false, 1, 1, 0},
		{"enough, behind a proxy", 600, 4 << 20, false, 1.2, nil, false, 1, 1, 0},
		{"enough, behind a proxy, acknowledgements only", 600, 4 << 20, false, 1.2, nil, true, 1, 1, 0},
		{"enough, and pings are answered late", 600, 4 << 20, true, 1.2, nil, false, 1, 1, 1500 * time.Millisecond},
		{"enough, and pings are answered very late", 600, 4 << 20, true, 1.2, nil, false, 1, 1, 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.seconds > 600 && testing.Short() {
				t.Skip("too long for the race detector: make unit runs it without")
			}
			synctest.Test(t, func(t *testing.T) {
				rate := func() int { return int(tt.share * size) }
				e := &farEnd{told: tt.told, mute: tt.mute, later: tt.later, behind: func(near net.Conn) *proxy { return newProxy(near, tt.room, rate, tt.kernel) }}
				got := pushThrough(t, e, tt.seconds, size)
				t.Logf("%+v", got)
				all := float64(10 * tt.seconds)
				if float64(got.pictures) < tt.least*all-60 {
					t.Errorf("%d pictures of %.0f came", got.pictures, all)
				}
				if float64(got.sounds) < tt.sound*all-60 {
					t.Errorf("%d sounds of %.0f came", got.sounds, all)
				}
				limit := 5 * time.Second
				if tt.share < 0.5 { // a key frame alone takes seconds
					limit = 8 * time.Second
				}
				if got.latest > limit || got.latestSound > limit+500*time.Millisecond {
					t.Errorf("pictures came up to %v late, sound %v", got.latest, got.latestSound)
				}
			})
		})
	}
}

// A destination that stops for three seconds out of ten, and then takes everything at once, is never 5 s late and gets every picture. It is not
// called slow, and what waits is not made older than it is.
func TestDestinationStopsForMoments(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kernel bool
		mute   bool
	}{{"bare", true, true}, {"bare, with pings", true, false}, {"behind a proxy", false, false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const size, seconds = 114_000, 120
				start := time.Now()
				rate := func() int {
					if time.Since(start)%(10*time.Second) > 7*time.Second {
						return 0
					}
					return 10 * size
				}
				e := &farEnd{mute: tt.mute, behind: func(near net.Conn) *proxy { return newProxy(near, 4<<20, rate, tt.kernel) }}
				got := pushThrough(t, e, seconds, size)
				t.Logf("%+v", got)
				if got.pictures < 10*seconds || got.sounds < 10*seconds {
					t.Errorf("%d pictures and %d sounds of %d came", got.pictures, got.sounds, 10*seconds)
				}
				if got.slow > 0 || got.queued > 4*time.Second {
					t.Errorf("it was called slow for %v, and up to %v were said to wait", got.slow, got.queued)
				}
			})
		})
	}
}

// A destination that answers nothing and takes half of the rate is 5 s late at most, though its kernel holds half a minute of the stream. A
// window that becomes smaller costs a few seconds of pictures, once.
func TestSilentDestination(t *testing.T) {
	const size, seconds = 114_000, 300
	for _, tt := range []struct {
		name   string
		share  float64
		window func(time.Duration) int
		least  float64 // the share of pictures
	}{
		{"half", 0.5, func(time.Duration) int { return 4 << 20 }, 0.37},
		{"half, a small window", 0.5, func(time.Duration) int { return 200 << 10 }, 0.37},
		{"a quarter", 0.25, func(time.Duration) int { return 4 << 20 }, 0.12},
		{"enough", 1.2, func(time.Duration) int { return 4 << 20 }, 1},
		{"half, and the window becomes smaller at once", 0.5, func(at time.Duration) int {
			if at > 60*time.Second {
				return 300 << 10
			}
			return 1 << 20
		}, 0.37},
		{"half, and the window becomes smaller by little", 0.5, func(at time.Duration) int {
			if at > 60*time.Second {
				return 900 << 10
			}
			return 1 << 20
		}, 0.37},
		{"enough, and the window becomes smaller at once", 1.2, func(at time.Duration) int {
			if at > 60*time.Second {
				return 300 << 10
			}
			return 1 << 20
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(tt.name, "smaller") && testing.Short() {
				t.Skip("too long for the race detector: make unit runs it without")
			}
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				mute := func(int, uint32) (uint32, bool) { return 0, false }
				e := &farEnd{told: mute, mute: true, behind: func(near net.Conn) *proxy {
					p := newProxy(near, 4<<20, func() int { return int(tt.share * size) }, false)
					p.window = func() int { return tt.window(time.Since(start)) }
					p.room = p.window()
					return p
				}}
				got := pushThrough(t, e, seconds, size)
				t.Logf("%+v", got)
				if all := float64(10 * seconds); float64(got.pictures) < tt.least*all-60 {
					t.Errorf("%d pictures of %.0f came", got.pictures, all)
				} else if float64(got.sounds) < all-100 {
					t.Errorf("%d sounds of %.0f came", got.sounds, all)
				}
				late, limit := max(got.first, got.latest), 5*time.Second
				if tt.share < 0.5 { // a key frame alone takes seconds
					late, limit = got.latest, 8*time.Second
				}
				if late > limit || got.latestSound > limit+500*time.Millisecond {
					t.Errorf("pictures came up to %v late, sound %v", late, got.latestSound)
				}
			})
		})
	}
}
