package pion

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"transponder/internal/media"
	"transponder/internal/rtc"
)

// TestBrowserOffers: pion accepts our cleaned form of the offers of browsers and OBS, and the answer has a transport.
func TestBrowserOffers(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.sdp")
	if err != nil || len(files) == 0 {
		t.Fatalf("no offers: %v", err)
	}
	e := newEndpoint(t)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sdp")
		t.Run(name, func(t *testing.T) {
			offer, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.HasSuffix(name, "-play"):
				checkAnswer(t, play(t, e, string(offer)), "a=sendonly")
			case strings.HasSuffix(name, "-call"):
				checkAnswer(t, call(t, e, string(offer)), "a=sendrecv")
			default:
				checkAnswer(t, take(t, e, string(offer)), "a=recvonly")
				// A page that calls offers the same, but for the direction.
				checkAnswer(t, call(t, e, strings.ReplaceAll(string(offer), "a=sendonly", "a=sendrecv")), "a=sendrecv")
			}
		})
	}
}

func checkAnswer(t *testing.T, answer, direction string) {
	t.Helper()
	lines := strings.Split(answer, "\r\n")
	for _, want := range []string{"a=group:BUNDLE 0 1", "a=setup:active", "a=end-of-candidates", direction} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %q in the answer\n%s", want, answer)
		}
	}
	for _, want := range []string{"a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:sha-256 ", "a=candidate:"} {
		if n := strings.Count(answer, want); n < 2 || strings.Contains(answer, want+"\r\n") {
			t.Errorf("%d of %q in the answer, want them in both sections\n%s", n, want, answer)
		}
	}
	sends := direction != "a=recvonly"
	if strings.Contains(answer, "a=ssrc:") != sends || strings.Contains(answer, "a=msid:") != sends {
		t.Errorf("what is sent is named: %v, want %v\n%s", !sends, sends, answer)
	}
}

func call(t *testing.T, e *Endpoint, offer string) string {
	t.Helper()
	parsed, err := rtc.ParseCall(offer, rtc.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	session, answer, err := e.AnswerCall(t.Context(), parsed, "s", deaf{})
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	return answer
}

func take(t *testing.T, e *Endpoint, offer string) string {
	t.Helper()
	parsed, err := rtc.ParseOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	session, answer, err := e.Answer(t.Context(), parsed, deaf{})
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	return answer
}

func play(t *testing.T, e *Endpoint, offer string) string {
	t.Helper()
	d, err := rtc.ParsePlay(offer, h264Track, &media.Track{Codec: media.VP8}, opusTrack)
	if err != nil {
		t.Fatal(err)
	}
	outlet, answer, err := e.Send(t.Context(), d, "s", deaf{})
	if err != nil {
		t.Fatal(err)
	}
	if err := outlet.Close(); err != nil {
		t.Error(err)
	}
	return answer
}

// deaf is a sink, and the events, of sessions that nobody watches.
type deaf struct{}

func (deaf) Connected()                              {}
func (deaf) Video(media.Codec, []byte, uint32, bool) {}
func (deaf) Rotated(int)                             {}
func (deaf) Audio(media.Codec, []byte, uint32)       {}
func (deaf) Clock(media.Kind, uint64, uint32)        {}
func (deaf) Lost(media.Kind)                         {}
func (deaf) Closed(error)                            {}
func (deaf) WantsKeyFrame()                          {}
