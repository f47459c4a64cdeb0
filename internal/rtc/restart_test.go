package rtc_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/testkit"
)

// TestRestartICE: a client that restarts ICE goes on in the same stream, whether the old path still works or not. The frames keep their
// clock.
func TestRestartICE(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose bool // the old network
	}{
		{"the old network works", false},
		{"the old network is gone", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, r rtc.Receiver) {
				pub := publish(t, r, testkit.DefaultPublisherConfig(), newRelay(t))
				begun := pub.clock(t, 30)
				before := begun
				for round := range 3 {
					network := newRelay(t)
					t.Cleanup(network.Close)
					if tt.lose {
						pub.relay.Cut()
					}
					was := pub.Answer()
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					err := pub.client.RestartICE(ctx, func(ctx context.Context, offer string) (string, error) {
						answer, err := pub.RestartICE(ctx, withoutCandidates(offer))
						if err != nil {
							return "", err
						}
						differs(t, was, answer)
						return network.Answer(answer)
					})
					cancel()
					if err != nil {
						t.Fatalf("restart %d: %v", round, err)
					}
					after := pub.clock(t, 60)
					if gap := after.first - before.last; gap > 60 {
						t.Errorf("restart %d: %d frames are missing", round, gap)
					}
					// Frame numbers tell the publisher's time.
					want := time.Duration(after.last-begun.first) * time.Second / 30
					if got := after.lastAt.Sub(begun.firstAt); (got - want).Abs() > 100*time.Millisecond {
						t.Errorf("restart %d: %d frames later the clock has gone %v, want %v", round, after.last-begun.first, got, want)
					}
					t.Logf("restart %d: %d frames are missing", round, after.first-before.last-1)
					before = after
					if tt.lose && network.Media() == 0 {
						t.Error("nothing came by the new network")
					}
				}
				if err := pub.Source().Err(); err != nil {
					t.Errorf("the stream ended: %v", err)
				}
			})
		})
	}
}

// TestRestartBeforeConnected: a client whose network changes while it connects restarts ICE, and connects.
func TestRestartBeforeConnected(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r rtc.Receiver) {
		nowhere := newRelay(t)
		nowhere.Cut()
		pub := publish(t, r, testkit.DefaultPublisherConfig(), nowhere)
		testkit.Eventually(t, 10*time.Second, func() string {
			if !pub.client.Checking() {
				return "the client does not send checks yet"
			}
			return ""
		})
		network := newRelay(t)
		t.Cleanup(network.Close)
		if err := pub.client.RestartICE(t.Context(), func(ctx context.Context, offer string) (string, error) {
			answer, err := pub.RestartICE(ctx, withoutCandidates(offer))
			if err != nil {
				return "", err
			}
			return network.Answer(answer)
		}); err != nil {
			t.Fatal(err)
		}
		pub.frames(t, 30)
	})
}

// TestRestartRefused: what is no restart leaves the session as it is.
func TestRestartRefused(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r rtc.Receiver) {
		pub := publish(t, r, testkit.DefaultPublisherConfig(), newRelay(t))
		pub.frames(t, 10)
		offer := pub.client.Offer()
		for _, tt := range []struct {
			name, offer string
			want        error
		}{
			{"nothing", "", rtc.ErrBadOffer},
			{"no password", "a=ice-ufrag:abcdefgh\r\n", rtc.ErrBadOffer},
			{"a short password", "a=ice-ufrag:abcdefgh\r\na=ice-pwd:short\r\n", rtc.ErrBadOffer},
			{"a long password", "a=ice-ufrag:abcdefgh\r\na=ice-pwd:" + strings.Repeat("x", 257) + "\r\n", rtc.ErrBadOffer},
			{"strange letters", "a=ice-ufrag:abc:defgh\r\na=ice-pwd:" + strings.Repeat("x", 22) + "\r\n", rtc.ErrBadOffer},
			{"the user name of the session", offer, rtc.ErrNoRestart},
		} {
			if _, err := pub.RestartICE(t.Context(), tt.offer); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		pub.frames(t, 30)
	})
}

// TestRestartTooOften: a client that restarts ICE all the time is refused. The stream lives on, and a little later ICE may be restarted again.
func TestRestartTooOften(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r rtc.Receiver) {
		pub := publish(t, r, testkit.DefaultPublisherConfig(), newRelay(t))
		before := pub.clock(t, 30)
		network := newRelay(t)
		t.Cleanup(network.Close)
		var count rtc.RestartCounter
		// A hundred restarts, whose answers are lost on the way.
		for n := range 100 {
			_, err := pub.RestartICE(t.Context(), fmt.Sprintf("a=ice-ufrag:attempt%d\r\na=ice-pwd:%s\r\n", n, strings.Repeat("x", 22)))
			count.Count(err)
			if err != nil && !errors.Is(err, rtc.ErrManyRestarts) {
				t.Fatal(err)
			}
		}
		st := count.Stats()
		if st.Done < 10 || st.Done > 12 || st.Limited != 100-st.Done || st.Refused != 0 {
			t.Errorf("of 100 restarts %+v, want 10 that are done and the others limited", st)
		}
		if err := pub.Source().Err(); err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
		if err := pub.client.RestartICE(t.Context(), func(ctx context.Context, offer string) (answer string, err error) {
			testkit.Eventually(t, 10*time.Second, func() string { // as Retry-After says
				if answer, err = pub.RestartICE(ctx, withoutCandidates(offer)); err != nil {
					return err.Error()
				}
				return ""
			})
			return network.Answer(answer)
		}); err != nil {
			t.Fatal(err)
		}
		after := pub.clock(t, 60)
		if network.Media() == 0 {
			t.Error("nothing came by the new network")
		}
		if after.first <= before.last || after.firstAt <= before.lastAt {
			t.Errorf("frame %d at %v follows frame %d at %v", after.first, after.firstAt, before.last, before.lastAt)
		}
		if err := pub.Source().Err(); err != nil {
			t.Errorf("the stream ended: %v", err)
		}
	})
}

// differs checks that an answer is the one before with another user name and password.
func differs(t *testing.T, before, after string) {
	t.Helper()
	secret := regexp.MustCompile(`(?m)^a=ice-(ufrag|pwd):.*$|^o=.*$|^a=candidate:.*$|^a=end-of-candidates\r$`)
	if a, b := lines(secret.ReplaceAllString(before, "")), lines(secret.ReplaceAllString(after, "")); a != b {
		t.Errorf("the answer changed from\n%s\nto\n%s", before, after)
	}
	for _, key := range []string{"ice-ufrag", "ice-pwd"} {
		value := regexp.MustCompile(`(?m)^a=` + key + `:(.*)$`)
		if value.FindString(before) == value.FindString(after) || len(value.FindAllString(after, -1)) != len(value.FindAllString(before, -1)) {
			t.Errorf("%s is %q after %q", key, value.FindAllString(after, -1), value.FindAllString(before, -1))
		}
	}
}

// lines returns the lines of a text that are not empty.
func lines(text string) string { return strings.Join(strings.Fields(text), " ") }

func withoutCandidates(sdp string) string {
	return regexp.MustCompile(`(?m)^a=candidate:.*\r\n`).ReplaceAllString(sdp, "")
}

// span is a row of frames: their numbers and times.
type span struct {
	first, last     int64
	firstAt, lastAt media.Timestamp
}

// clock reads a number of video frames.
func (p *published) clock(t *testing.T, n int) (s span) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	buf := make([]media.Frame, 1)
	for i := 0; i < n; {
		if _, err := p.reader.Read(ctx, buf); err != nil {
			t.Fatalf("after %d of %d frames: %v; %+v", i, n, err, p.Stats())
		}
		if buf[0].Kind() != media.Video {
			continue
		}
		number, ok := testkit.FrameNumber(buf[0].Data)
		if !ok {
			t.Fatalf("frame %d has no number", i)
		}
		if i > 0 && (number <= s.last || buf[0].Time <= s.lastAt) {
			t.Fatalf("frame %d at %v follows %d at %v", number, buf[0].Time, s.last, s.lastAt)
		}
		if s.last, s.lastAt = number, buf[0].Time; i == 0 {
			s.first, s.firstAt = number, buf[0].Time
		}
		i++
	}
	return s
}
