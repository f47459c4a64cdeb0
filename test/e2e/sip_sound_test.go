//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// What phones hear: silence from the start, digits, files, streams, and silence again.
func TestSIPSound(t *testing.T) {
	t.Parallel()
	media := t.TempDir()
	writeWAV(t, filepath.Join(media, "thousand.wav"), 16000, 1000, time.Second)
	s := startSIP(t, "media_dir="+media)
	publishTone(t, s, "music", 700)
	together(t, map[string]func(*testing.T){
		"silence": func(t *testing.T) {
			k := talking(t, s, nil)
			k.audio.Wait("two seconds of silence", func() bool { return len(k.audio.Packets()) > 100 })
			if err := phone.Judge(k.audio.Packets(), k.call.Events, 160, stall); err != nil {
				t.Error(err)
			}
			if hz, level := phone.Pitch(phone.PCM(k.audio.Packets()), 8000); hz != 0 {
				t.Errorf("the phone hears %.0f Hz at a level of %.4f", hz, level)
			}
			if n := len(k.video.Packets()); n != 0 {
				t.Errorf("%d packets of video came to a phone that only sends it", n)
			}
			k.audio.Wait("RTCP, without which some peers end calls", func() bool { return len(k.audio.Control()) > 0 })
		},
		"digits": func(t *testing.T) {
			k := talking(t, s, nil)
			k.do("/call/send_dtmf", map[string]any{"dtmf": "1#A"})
			k.audio.Wait("three digits", func() bool {
				d := phone.Digits(k.audio.Packets(), k.call.Events)
				return len(d) == 3 && d[2].Ends == 3
			})
			digits := phone.Digits(k.audio.Packets(), k.call.Events)
			for i, d := range digits {
				if i > 0 && d.Time-digits[i-1].Time != 1600 { // it lasts for 100 ms, and the pause after it, too
					t.Errorf("digit %d begins %d ticks after the one before, want 1600", i, d.Time-digits[i-1].Time)
				}
				if d.Key != "1#A"[i] || !d.Marker || !d.Regular || d.WithSound || d.Ends != 3 || d.Duration != 800 || d.Updates < 4 {
					t.Errorf("digit %d is %+v", i, d)
				}
			}
			time.Sleep(200 * time.Millisecond)
			if err := phone.Judge(k.audio.Packets(), k.call.Events, 160, 100*time.Millisecond+busy); err != nil && !strings.Contains(err.Error(), "RTP time") {
				t.Error(err)
			}
		},
		"digits by INFO": func(t *testing.T) {
			k := talking(t, s, nil)
			k.do("/call/send_dtmf", map[string]any{"dtmf": "5*", "type": "INFO"})
			for _, key := range "5*" {
				info := k.call.Await("INFO")
				if !strings.Contains(info.Body, "Signal="+string(key)) || info.Header("Content-Type") != "application/dtmf-relay" {
					t.Errorf("the INFO for %c is %s", key, info.Raw)
				}
				k.phone.Reply(info, phone.Reply{Code: 200})
			}
			for code, body := range map[int]map[string]any{
				400: {"callId": k.id, "dtmf": "12X"}, 404: {"callId": "nobody", "dtmf": "1"},
			} {
				if got, answer := s.ask(t, "/call/send_dtmf", body); got != code {
					t.Errorf("send_dtmf %v answers %d %s, want %d", body, got, answer, code)
				}
			}
		},
		"digits of the phone": func(t *testing.T) {
			k := talking(t, s, nil)
			k.sound.Press("42#")
			testkit.Eventually(t, 10*time.Second, func() string {
				if found, _ := k.info(); found.Digits != "42#" {
					return "the digits are " + found.Digits
				}
				return ""
			})
			k.awaitPictures(30)
			judgeTone(t, k.receiver.Tags()) // of the second after: nothing of the events is heard
		},
		"file": func(t *testing.T) {
			k := talking(t, s, nil)
			k.do("/call/inject_sound", map[string]any{"fileName": "thousand.wav"})
			judgeInjected(t, k, 1000)
			k.audio.Wait("silence after the file", func() bool { return quiet(k.audio.Packets(), 50) })
			judgeRhythm(t, k)
			if code, _ := s.ask(t, "/call/inject_sound", map[string]any{"callId": k.id, "fileName": "nothing.wav"}); code != 404 {
				t.Errorf("a file that is not there: %d", code)
			}
		},
		"stream": func(t *testing.T) {
			k := talking(t, s, nil)
			k.do("/call/inject_stream/startup", map[string]any{"streamName": "music"})
			judgeInjected(t, k, 700)
			if code, _ := s.ask(t, "/call/inject_stream/startup", map[string]any{"callId": k.id, "streamName": "music"}); code != 409 {
				t.Errorf("a second stream at once: %d", code)
			}
			k.do("/call/inject_stream/terminate", nil)
			k.audio.Wait("silence after the stream", func() bool { return quiet(k.audio.Packets(), 50) })
			judgeRhythm(t, k)
			for name, code := range map[string]int{"nobody": 404, k.id: 400} { // a call cannot hear itself
				if got, answer := s.ask(t, "/call/inject_stream/startup", map[string]any{"callId": k.id, "streamName": name}); got != code {
					t.Errorf("injecting %s: %d %s, want %d", name, got, answer, code)
				}
			}
		},
	})
}

// judgeInjected waits for half a second of a tone at the phone.
func judgeInjected(t *testing.T, k *talk, want float64) {
	t.Helper()
	var hz, level float64
	heard := func() bool {
		packets := k.audio.Packets()
		hz, level = phone.Pitch(phone.PCM(packets[max(0, len(packets)-25):]), 8000)
		return level > 0.2 && hz > 0.99*want && hz < 1.01*want
	}
	k.audio.Wait("the tone that is injected", heard)
	t.Logf("the phone hears %.1f Hz at a level of %.2f", hz, level)
}

// quiet says whether the last n packets are silent.
func quiet(packets []phone.Packet, n int) bool {
	if len(packets) < n {
		return false
	}
	hz, _ := phone.Pitch(phone.PCM(packets[len(packets)-n:]), 8000)
	return hz == 0
}

// judgeRhythm checks that the sound toward the phone never stopped or jumped: RTP times and sequence numbers show it.
func judgeRhythm(t *testing.T, k *talk) {
	t.Helper()
	packets := k.audio.Packets()
	if err := phone.Judge(packets, k.call.Events, 160, stall); err != nil {
		t.Error(err)
	}
	t.Logf("the longest pause between two packets was %v", phone.Gap(packets))
}
