package transponder

import (
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/testkit"
)

// For each fault the test feeds one sample a second, and also what looks like the fault and is none.
func TestHealth(t *testing.T) {
	const second = time.Second
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	// healthy is a push of 1 Mbit/s of which something is heard every second, with a key frame every 2 s.
	healthy := func(n int64) sample {
		return sample{
			frames: 75 * n, pictures: 25 * n, keys: n / 2, asked: n / 2, sent: 125_000 * n, received: 16 * n, answers: true,
			kinds: [2]kindSample{{frames: 50 * n}, {frames: 25 * n}},
		}
	}
	tests := []struct {
		name   string
		change func(n int64, s *sample) // from the 20th second on, n counts from there
		want   map[int64]Reason         // at some of these seconds
		stuck  map[int64]time.Duration
	}{
		{name: "healthy", want: map[int64]Reason{0: "", 30: ""}},
		{
			name:   "the peer's kernel takes nothing",
			change: func(n int64, s *sample) { s.tcp.queued = int(125_000 * (n + 1)) },
			want:   map[int64]Reason{3: "", 5: ReasonPeerStalled, 20: ReasonPeerStalled},
			stuck:  map[int64]time.Duration{20: 21 * second},
		},
		{
			name:   "it takes a little",
			change: func(n int64, s *sample) { s.tcp.queued = int(124_000 * (n + 1)) },
			want:   map[int64]Reason{6: "", 30: ""},
		},
		{
			name: "it takes all, in bursts",
			change: func(n int64, s *sample) {
				if n%5 != 4 {
					s.tcp.queued = int(125_000 * (n%5 + 1))
				}
			},
			want: map[int64]Reason{4: "", 12: "", 30: ""},
		},
		{
			name:   "nothing to take",
			change: func(n int64, s *sample) { s.sent, s.received = 2_500_000, 320 },
			want:   map[int64]Reason{30: ""},
			stuck:  map[int64]time.Duration{30: 0},
		},
		{
			name:   "a proxy takes what the server does not",
			change: func(n int64, s *sample) { s.received, s.unanswered = 304, start.Add(20*second) },
			want:   map[int64]Reason{4: "", 6: ReasonPeerStalled},
			stuck:  map[int64]time.Duration{5: 5 * second, 20: 10 * second},
		},
		{
			name:   "no acknowledgements, but answers to pings",
			change: func(n int64, s *sample) { s.received, s.unanswered = 320+n/4*18, start.Add(time.Duration(18+n)*second) },
			want:   map[int64]Reason{8: "", 10: "", 30: ""},
		},
		{
			name:   "neither acknowledgements nor answers from a server that never answered pings",
			change: func(n int64, s *sample) { s.received, s.unanswered, s.answers = 320, start.Add(20*second), false },
			want:   map[int64]Reason{8: "", 10: "", 30: ""},
		},
		{
			name:   "acknowledgements, but no answers any more",
			change: func(n int64, s *sample) { s.unanswered = start.Add(20 * second) },
			want:   map[int64]Reason{8: "", 10: "", 30: ""},
		},
		{
			name: "it is late, and pictures were left out once",
			change: func(n int64, s *sample) {
				s.lag, s.maxLag, s.throttled = 3*second, 5*second, n < 20
				if n > 2 {
					s.dropped = 20
				}
			},
			want: map[int64]Reason{2: "", 3: ReasonPeerSlow, 28: ReasonPeerSlow, 31: ""},
		},
		{
			name: "the source sends nothing",
			change: func(n int64, s *sample) {
				s.frames, s.pictures, s.keys = 1500, 500, 10
				s.kinds[0].missing, s.kinds[1].missing = n >= 4, n >= 4
			},
			want: map[int64]Reason{4: "", 6: ReasonNoMedia, 30: ReasonNoMedia},
		},
		{
			name: "it comes back",
			change: func(n int64, s *sample) {
				if n < 10 {
					s.frames, s.pictures, s.keys = 1500, 500, 10
					s.kinds[0].missing, s.kinds[1].missing = n >= 4, n >= 4
				}
			},
			want: map[int64]Reason{8: ReasonNoMedia, 10: "", 30: ""},
		},
		{
			name:   "only sound comes",
			change: func(n int64, s *sample) { s.pictures, s.keys, s.kinds[1] = 500, 10, kindSample{500, 0, n >= 4} },
			want:   map[int64]Reason{3: "", 5: ReasonNoVideo, 30: ReasonNoVideo},
		},
		{
			name:   "only pictures come",
			change: func(n int64, s *sample) { s.frames, s.kinds[0] = 1000+25*(n+20), kindSample{1000, 0, n >= 4} },
			want:   map[int64]Reason{3: "", 5: ReasonNoAudio, 30: ReasonNoAudio},
		},
		{
			name: "only pictures come, and the push is muted",
			change: func(n int64, s *sample) {
				s.frames, s.kinds[0], s.unheard = 1000+25*(n+20), kindSample{1000, 0, n >= 4}, true
			},
			want: map[int64]Reason{5: "", 30: ""},
		},
		{
			name: "pictures that are announced never come",
			change: func(n int64, s *sample) {
				s.frames, s.pictures, s.keys, s.asked, s.kinds[1] = 50*(n+20), 0, 0, n, kindSample{0, 0, true}
			},
			want: map[int64]Reason{5: ReasonNoVideo, 30: ReasonNoVideo},
		},
		{
			name: "a slide show without sound",
			change: func(n int64, s *sample) {
				s.frames, s.pictures, s.keys = 1500+n/10, 500+n/10, 10+n/10
				s.kinds = [2]kindSample{{}, {frames: s.pictures}}
			},
			want: map[int64]Reason{6: "", 9: "", 18: "", 30: ""},
		},
		{
			name: "pictures that cannot be read",
			change: func(n int64, s *sample) {
				s.pictures, s.keys = 500, 10
				s.kinds[1] = kindSample{500, 25 * n, n >= 4}
			},
			want: map[int64]Reason{2: "", 6: ReasonUnusable, 30: ReasonUnusable},
		},
		{
			name: "sound that cannot be read, from the first on",
			change: func(n int64, s *sample) {
				s.frames = 25 * (n + 20)
				s.kinds[0] = kindSample{0, 50 * n, false}
			},
			want: map[int64]Reason{6: ReasonUnusable, 30: ReasonUnusable},
		},
		{
			name: "every other picture cannot be read",
			change: func(n int64, s *sample) {
				s.pictures = 500 + 12*n
				s.kinds[1] = kindSample{s.pictures, 13 * n, false}
			},
			want: map[int64]Reason{1: "", 6: ReasonUnusable, 30: ReasonUnusable},
		},
		{
			name: "nothing that can be read",
			change: func(n int64, s *sample) {
				s.frames, s.pictures, s.keys = 1500, 500, 10
				s.kinds = [2]kindSample{{1000, 50 * n, n >= 4}, {500, 25 * n, n >= 4}}
			},
			want: map[int64]Reason{6: ReasonUnusable, 30: ReasonUnusable},
		},
		{
			name:   "some that cannot be read",
			change: func(n int64, s *sample) { s.kinds[0].unusable, s.kinds[1].unusable = n, n },
			want:   map[int64]Reason{6: "", 30: ""},
		},
		{
			name: "pictures before a key frame",
			change: func(n int64, s *sample) {
				s.pictures, s.keys, s.keyless, s.kinds[1] = 500, 10, 25*n, kindSample{500, 0, n >= 4}
			},
			want: map[int64]Reason{9: ReasonNoKeyFrame, 30: ReasonNoKeyFrame},
		},
		{
			name:   "B-frames that nothing can order",
			change: func(n int64, s *sample) { s.reordered = min(n, 20) * 8 },
			want:   map[int64]Reason{2: ReasonBFrames, 20: ReasonBFrames, 33: ""},
		},
		{
			name:   "deaf to requests for key frames",
			change: func(n int64, s *sample) { s.keys = 10 },
			want:   map[int64]Reason{4: "", 9: ReasonNoKeyFrame, 30: ReasonNoKeyFrame},
		},
		{
			name:   "few key frames, and none asked for",
			change: func(n int64, s *sample) { s.keys, s.asked = 10, 10 },
			want:   map[int64]Reason{30: ""},
		},
		{
			name:   "frames are dropped, once",
			change: func(n int64, s *sample) { s.dropped = 20 },
			want:   map[int64]Reason{0: ReasonPeerSlow, 8: ReasonPeerSlow, 11: "", 30: ""},
		},
		{
			name: "a slow peer that falls silent does not recover by that",
			change: func(n int64, s *sample) {
				s.dropped, s.answers, s.received = min(n, 6)*10, true, 5000
				if n >= 2 {
					s.unanswered = s.at.Add(-time.Duration(n-1) * second)
				}
			},
			want: map[int64]Reason{1: ReasonPeerSlow, 3: ReasonPeerSlow, 4: ReasonPeerSlow},
		},
		{
			name:   "a stalled peer comes before what it leads to",
			change: func(n int64, s *sample) { s.tcp.queued, s.dropped = int(125_000*(n+1)), n },
			want:   map[int64]Reason{1: ReasonPeerSlow, 7: ReasonPeerStalled},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h health
			for n := range int64(55) {
				s := healthy(n)
				s.at = start.Add(time.Duration(n) * second)
				if n >= 20 && tt.change != nil {
					tt.change(n-20, &s)
				}
				stuck, got := h.judge(s)
				if want, ok := tt.want[n-20]; (ok || n < 20) && got != want {
					t.Errorf("at %d s: %q, want %q", n-20, got, want)
				}
				if want, ok := tt.stuck[n-20]; ok && stuck != want {
					t.Errorf("at %d s stuck for %v, want %v", n-20, stuck, want)
				}
			}
		})
	}
}

// Whatever a server's acknowledgements say, if there are any, a push that the server takes stays live. Nobody is told that more bytes were
// acknowledged than sent.
func TestAcknowledgementsProveNothing(t *testing.T) {
	always := func(int, uint32) bool { return true }
	first := func(count int) func(int, uint32) bool { return func(n int, _ uint32) bool { return n < count } }
	sum := func(_ int, sum uint32) uint32 { return sum }
	for name, e := range map[string]*farEnd{
		"sums":                    told(sum, always),
		"steps":                   told(func(int, uint32) uint32 { return 100_213 }, always),
		"steps of changing size":  told(func(n int, _ uint32) uint32 { return uint32(100_000 + n*7919%5000) }, always),
		"never":                   told(sum, first(0)),
		"once":                    told(sum, first(1)),
		"four times":              told(sum, first(4)),
		"forty times":             told(sum, first(40)),
		"every seventh":           told(sum, func(n int, _ uint32) bool { return n%7 == 0 }),
		"a sum modulo 2^20":       told(func(_ int, sum uint32) uint32 { return sum & (1<<20 - 1) }, always),
		"ahead":                   told(func(_ int, sum uint32) uint32 { return sum + 1<<28 }, always),
		"bits":                    told(func(_ int, sum uint32) uint32 { return 8 * sum }, always),
		"thousands":               told(func(_ int, sum uint32) uint32 { return sum / 1000 }, always),
		"0":                       told(func(int, uint32) uint32 { return 0 }, always),
		"the greatest":            told(func(int, uint32) uint32 { return math.MaxUint32 }, always),
		"backwards":               told(func(n int, _ uint32) uint32 { return uint32(1<<30 - 100_000*n) }, always),
		"the same for a while":    told(func(_ int, sum uint32) uint32 { return sum / 1_000_000 * 1_000_000 }, always),
		"anything":                told(func(n int, _ uint32) uint32 { return uint32(n) * 2654435761 }, always),
		"nothing after 100 times": told(sum, first(100)),
	} {
		for _, mute := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, mute %v", name, mute), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := &farEnd{told: e.told, mute: mute}
					s, r, id, stop := pushInBubble(t, e, nil, Request{})
					defer stop()
					for n := range 1200 { // two minutes of 1.6 Mbit/s
						s.at(time.Duration(n)*100*time.Millisecond, n%20 == 0, 20_000)
						time.Sleep(100 * time.Millisecond)
						i := r.Find(Filter{ID: id})
						if len(i) != 1 || i[0].State != Live || i[0].Reason != ReasonNone {
							t.Fatalf("after %d frames: %+v, in the history %+v", n, i, r.History(1))
						}
						if i[0].BytesAcked > i[0].BytesSent {
							t.Fatalf("%d bytes acknowledged of %d sent", i[0].BytesAcked, i[0].BytesSent)
						}
					}
				})
			})
		}
	}
}

// told is a server whose acknowledgements say the given numbers.
func told(number func(n int, sum uint32) uint32, send func(n int, sum uint32) bool) *farEnd {
	return &farEnd{told: func(n int, sum uint32) (uint32, bool) { return number(n, sum), send(n, sum) }}
}

// A server behind a proxy that takes everything is noticed when it falls silent, if it used to answer pings.
func TestServerBehindProxyStops(t *testing.T) {
	for _, mute := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var stopped atomic.Bool
			e := &farEnd{
				told:    func(_ int, sum uint32) (uint32, bool) { return sum, !stopped.Load() },
				stopped: stopped.Load, mute: mute,
			}
			s, r, id, stop := pushInBubble(t, e, nil, Request{})
			defer stop()
			for n := range 600 {
				s.at(time.Duration(n)*100*time.Millisecond, n%20 == 0, 20_000)
				time.Sleep(100 * time.Millisecond)
				if n == 200 {
					stopped.Store(true)
				}
				i := r.Find(Filter{ID: id})
				switch {
				case mute || n < 300:
					if len(i) != 1 || n < 250 && i[0].State != Live {
						t.Fatalf("mute %v, after %d frames: %+v, in the history %+v", mute, n, i, r.History(1))
					}
				case n > 440:
					if h := r.History(1); len(i) != 0 || len(h) != 1 || h[0].Reason != ReasonPeerStalled {
						t.Fatalf("after %d frames: %+v, in the history %+v", n, i, r.History(1))
					}
				}
			}
		})
	}
}

// The kernel tells what the server's kernel has not taken, under TLS too.
func TestTCPInfo(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	if n := tcpInfo(client).queued; n != -1 {
		t.Errorf("a pipe has a queue of %d", n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if n := tcpInfo(conn).queued; n != 0 {
		t.Errorf("before anything is sent: %d", n)
	}
	conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	sent := int64(0)
	for err == nil {
		var n int
		n, err = conn.Write(make([]byte, 1<<20))
		sent += int64(n)
	}
	secured := &securedConn{tls.Client(conn, &tls.Config{ServerName: "x"})}
	if n := tcpInfo(secured).queued; n <= 0 || int64(n) > sent {
		t.Errorf("with a peer that does not read: %d of %d bytes", n, sent)
	}
	if _, err := io.CopyN(io.Discard, peer, sent); err != nil {
		t.Fatal(err)
	}
	for range 1000 { // the last acknowledgement is on its way
		if tcpInfo(conn).queued == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("after all was read: %d", tcpInfo(conn).queued)
}

// One of ten pushes of the same source is stalled: the others lose nothing, and only the stalled one leaves pictures out.
func TestStalledPushHurtsNobody(t *testing.T) {
	t.Parallel()
	const pictures, size = 250, 100_000
	b := newBench(t, func(c *Config) { c.WriteTimeout = time.Minute })
	var servers []*testkit.RTMPServer
	s := b.source("s")
	stalled := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.StopReading})
	slow := b.start(Request{StreamName: "s", URL: stalled.URL("live")})
	for range 9 {
		server := testkit.NewRTMPServer(t, testkit.Script{})
		servers = append(servers, server)
		b.start(Request{StreamName: "s", URL: server.URL("live")})
	}
	for _, server := range append(servers, stalled) {
		server.Wait(t, "publish", func() bool { return slices.Contains(server.Calls(), "publish('rtmp_s')") })
	}
	for n := 0; n < pictures; n += 10 {
		s.write(10, size)
		for _, server := range servers {
			server.Wait(t, "picture", func() bool { return count(server.Tags(), true) == n+10 })
		}
	}
	for _, server := range servers {
		checkTags(t, server.Tags(), pictures)
	}
	for _, i := range b.Find(Filter{}) {
		if dropped := i.DroppedFrames > 0; dropped != (i.ID == slow.ID) {
			t.Errorf("push to %s dropped %d frames", i.URL, i.DroppedFrames)
		}
	}
	b.wait("word of the drops", func() bool {
		i := b.Find(Filter{ID: slow.ID})[0]
		return i.State == Degraded && (i.Reason == ReasonPeerSlow || i.Reason == ReasonPeerStalled)
	})
}

// A source that falls silent degrades its push, and is not mistaken for a stalled server.
func TestSilentSource(t *testing.T) {
	t.Parallel() // it takes seconds
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: server.URL("live")})
	s.live(t, server)
	b.wait("word of it", func() bool {
		i := b.Find(Filter{})[0]
		return i.State == Degraded && i.Reason == ReasonNoMedia
	})
	b.wait("recovery", func() bool {
		s.write(1, 20)
		i := b.Find(Filter{})[0]
		return i.State == Live && i.Reason == ReasonNone
	})
}

// If one kind stops while the other goes on, that is reported within 5 s, and the push is live again with the first frame of the kind.
func TestKindStops(t *testing.T) {
	for _, tt := range []struct {
		name string
		stop media.Kind
		want Reason
	}{{"sound", media.Audio, ReasonNoAudio}, {"pictures", media.Video, ReasonNoVideo}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r, id, stop := pushInBubble(t, &farEnd{}, nil, Request{})
				defer stop()
				var before State
				changes := []string{}
				for n := range 60 * 25 {
					at := s.Now()
					stopped := n >= 10*25 && n < 30*25
					if !stopped || tt.stop != media.Video {
						s.Video.Write(media.Frame{Track: s.video, Time: at, Key: n%25 == 0, Data: []byte{0, 0, 0, 1, 0x65}})
					}
					if !stopped || tt.stop != media.Audio {
						s.Audio.Write(media.Frame{Track: s.audio, Time: at, Key: true, Data: []byte{1}})
					}
					time.Sleep(40 * time.Millisecond) // of the bubble's time
					i := r.Find(Filter{ID: id})[0]
					if i.State != before {
						before = i.State
						changes = append(changes, fmt.Sprintf("%v %s", i.State, i.Reason))
						if second := n / 25; i.State == Degraded && (second < 13 || second > 15) || i.Reason == "" && n > 100 && (second < 30 || second > 31) {
							t.Errorf("%v %s after %d s", i.State, i.Reason, second)
						}
					}
				}
				if want := []string{"PUBLISHING ", "DEGRADED " + string(tt.want), "PUBLISHING "}; !slices.Equal(changes, want) {
					t.Errorf("states %q, want %q", changes, want)
				}
			})
		})
	}
}
