package leg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/sip/sdp"
)

// TestKeyFrames: when the phone is asked, and when another way is tried.
func TestKeyFrames(t *testing.T) {
	type step struct {
		at   int // in ms
		what string
	}
	for _, tt := range []struct {
		name  string
		steps []step
		want  string
	}{
		{"a need is asked for at once", []step{{0, "need"}}, "ask@0 missing@1000 missing@3000"},
		{"an answer ends it", []step{{0, "need"}, {400, "came"}}, "ask@0"},
		{"needs are repeated", []step{{0, "need"}, {500, "need"}, {1500, "need"}, {2200, "came"}}, "ask@0 ask@1000 missing@1000 ask@2000"},
		{"wishes are not missed", []step{{0, "want"}, {2000, "want"}}, "ask@0 ask@2000"},
		{"the first frame is a key frame", []step{{0, "came"}, {0, "need"}}, ""},
		{"a loss after a key frame", []step{{0, "came"}, {0, "need"}, {10, "need"}, {300, "came"}}, "ask@10"},
		{"the gap", []step{{0, "want"}, {100, "want"}, {200, "want"}}, "ask@0 ask@1000"},
		{"no pictures come", []step{{0, "need"}, {500, "rest"}}, "ask@0"},
		{
			"wishes of a phone that answered the other way", []step{{0, "need"}, {1200, "came"}, {2000, "want"}, {2300, "came"}, {3000, "want"}},
			"ask@0 missing@1000 ask@2000 missing@2000 ask@3000 missing@3000",
		},
		{"a key frame of its own after a report", []step{{0, "need"}, {2400, "came"}, {3000, "want"}}, "ask@0 missing@1000 ask@3000"},
		{"a new need after an answer", []step{{0, "need"}, {100, "came"}, {2000, "need"}, {3500, "came"}}, "ask@0 ask@2000 missing@3000"},
	} {
		k := keyFrames{gap: time.Second}
		var got []string
		for ms := 0; ms < 4000; ms += 10 {
			now := time.Duration(ms) * time.Millisecond
			for _, s := range tt.steps {
				if s.at != ms {
					continue
				}
				switch s.what {
				case "need":
					k.need(now)
				case "want":
					k.want()
				case "came":
					k.came()
				case "rest":
					k.rest()
				}
			}
			ask, missing := k.due(now)
			if ask {
				got = append(got, fmt.Sprintf("ask@%d", ms))
			}
			if missing {
				got = append(got, fmt.Sprintf("missing@%d", ms))
			}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
		}
	}
}

// TestActivity: when a phone counts as gone.
func TestActivity(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name     string
		start    time.Duration // of the call; -1: never
		packets  []time.Duration
		expected func(now time.Duration) bool
		want     time.Duration // 0: never
	}{
		{"nothing ever comes", 0, nil, nil, 15 * s},
		{"it rings for long", 40 * s, nil, nil, 55 * s},
		{"it only rings", -1, nil, nil, 0},
		{"early media does not count", 40 * s, []time.Duration{39 * s}, nil, 55 * s},
		{"it stops", 0, []time.Duration{5 * s}, nil, 65 * s},
		{"it pauses", 0, []time.Duration{5 * s, 60 * s}, nil, 120 * s},
		{"on hold for five minutes", 0, []time.Duration{5 * s}, func(now time.Duration) bool { return now < 6*s || now > 306*s }, 366 * s},
		{"never expected", 0, nil, func(time.Duration) bool { return false }, 0},
	} {
		a := activity{first: 15 * s, later: 60 * s}
		var got []time.Duration
		for now := time.Duration(0); now < 400*s; now += 100 * time.Millisecond {
			if now == tt.start {
				a.start(now)
			}
			if slices.Contains(tt.packets, now) {
				a.came(now)
			}
			if _, over := a.over(now, tt.expected == nil || tt.expected(now)); over {
				got = append(got, now.Round(s))
			}
		}
		if tt.want == 0 && len(got) > 0 || tt.want != 0 && !slices.Equal(got, []time.Duration{tt.want}) {
			t.Errorf("%s: over at %v, want %v", tt.name, got, tt.want)
		}
	}
	var off activity
	off.start(0)
	if _, over := off.over(time.Hour, true); over {
		t.Error("a limit of 0 is a limit")
	}
}

// TestTimeoutError: the words tell where media was expected from, and what came instead.
func TestTimeoutError(t *testing.T) {
	for _, tt := range []struct {
		from    netip.AddrPort
		heard   bool
		refused Refused
		want    string
	}{
		{phone, false, Refused{}, "no media from the phone: no RTP from 192.0.2.1:4000 for 15s; NAT?"},
		{phone, true, Refused{Stranger: 3}, "no media from the phone: no RTP from 192.0.2.1:4000 for 15s"},
		{phone, false, Refused{Stranger: 3}, "no media from the phone: no RTP from 192.0.2.1:4000 for 15s; 3 packets came from other addresses; NAT?"},
		{phone, false, Refused{SRTP: 3, Stranger: 1}, "no media from the phone: no RTP from 192.0.2.1:4000 for 15s; 3 packets were not encrypted with its key"},
		{phone, false, Refused{Type: 3}, "no media from the phone: no RTP from 192.0.2.1:4000 for 15s; 3 packets had a payload type that was not agreed on"},
		{netip.AddrPort{}, false, Refused{}, "no media from the phone: no RTP from the phone, whose SDP names no address that can be used for 15s; NAT?"},
	} {
		if got := timeoutError(tt.from, 15*time.Second, tt.heard, tt.refused).Error(); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

// TestSoundQueue: sound flows without gaps if it comes unevenly, and bursts and slow clocks do not let it grow old.
func TestSoundQueue(t *testing.T) {
	const step = 20 * time.Millisecond
	push := func(q *soundQueue, n int, label byte) {
		for range n {
			q.push(piece{payload: []byte{label}, length: step})
		}
	}
	run := func(q *soundQueue, steps int, each func(i int)) (out string) {
		for i := range steps {
			each(i)
			if p, ok := q.pop(); ok {
				out += string(p.payload)
			} else {
				out += "."
			}
		}
		return out
	}
	var q soundQueue
	if got := run(&q, 8, func(int) { push(&q, 1, 'a') }); got != ".aaaaaaa" {
		t.Errorf("even: %q", got)
	}
	q = soundQueue{}
	// Bursts of five each 100 ms leave no gap.
	got := run(&q, 100, func(i int) {
		if i%5 == 0 {
			push(&q, 5, 'a')
		}
	})
	if late := strings.Count(got[30:], "."); late > 0 {
		t.Errorf("bursts: %q", got)
	}
	q = soundQueue{}
	// Each gap lets 20 ms more be kept before sound flows again, up to mostWait.
	push(&q, 2, 'a')
	if got := run(&q, 3, func(int) {}) + run(&q, 4, func(int) { push(&q, 1, 'b') }); got != "aa...bb" {
		t.Errorf("after a gap: %q", got)
	}
	for range 20 {
		push(&q, 10, 'a')
		run(&q, 20, func(int) {})
	}
	if got := run(&q, 12, func(int) { push(&q, 1, 'b') }); got != ".........bbb" {
		t.Errorf("after many gaps: %q", got)
	}
	q = soundQueue{}
	push(&q, 1000, 'a')
	if q.held > leastWait+surplus || q.dropped != 1000-int64(q.n) {
		t.Errorf("a burst of 1000 left %v, dropped %d", q.held, q.dropped)
	}
	if got := run(&q, q.n+3, func(int) {}); strings.Trim(got, "a") != "..." {
		t.Errorf("the end: %q", got)
	}
	q = soundQueue{}
	push(&q, 12, 'a') // a burst at the beginning, then an even flow
	run(&q, 600, func(int) { push(&q, 1, 'a') })
	if q.held > leastWait+step || q.dropped == 0 || q.dropped > 12 {
		t.Errorf("12 s after a burst %v are held, %d pieces were dropped", q.held, q.dropped)
	}
	q = soundQueue{}
	if run(&q, 600, func(int) { push(&q, 1, 'a') }); q.dropped > 0 {
		t.Errorf("%d pieces of an even flow were dropped", q.dropped)
	}
}

// TestExpectsMedia: a phone that holds us may be silent, whatever it says. A phone that never wanted to hear us may not.
func TestExpectsMedia(t *testing.T) {
	flow := func(d sdp.Direction) *sdp.Flow { return &sdp.Flow{Direction: d} }
	for _, tt := range []struct {
		name         string
		talked       bool
		audio, video *sdp.Flow
		want         bool
	}{
		{"a call", true, flow(sdp.SendRecv), flow(sdp.RecvOnly), true},
		{"sound alone", true, flow(sdp.SendRecv), nil, true},
		{"pictures alone", false, nil, flow(sdp.RecvOnly), true},
		{"hold by inactive", true, flow(sdp.Inactive), flow(sdp.Inactive), false},
		{"hold by sendonly", true, flow(sdp.RecvOnly), flow(sdp.RecvOnly), false},
		{"a camera with a microphone alone", false, flow(sdp.RecvOnly), flow(sdp.RecvOnly), true},
		{"a phone that only listens", true, flow(sdp.SendOnly), nil, false},
		{"nothing agreed", false, nil, nil, false},
	} {
		l := &Leg{talked: tt.talked}
		l.audio.flow, l.video.flow = tt.audio, tt.video
		if got := l.expectsMedia(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
