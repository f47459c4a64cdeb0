//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/testkit"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/sound/soundtest"
)

// The tones of TestSoundStates, in Hz.
const (
	liveTone  = 440
	fileTone  = 1000
	shortTone = 1500
	silence   = 0
)

// soundStep is something that is asked of a push, and what is to be heard from 300 ms after it.
type soundStep struct {
	method string // of /push/; "" asks nothing
	body   map[string]any
	hear   float64
}

// Ten pushes of one stream are in ten different states of sound at once, as what their receivers decode shows: the change is
// heard within 300 ms, no timestamp jumps, and no header is sent anew.
func TestSoundStates(t *testing.T) {
	dir := t.TempDir()
	writeWAV(t, filepath.Join(dir, "file.wav"), 44100, fileTone, 20*time.Second)
	writeWAV(t, filepath.Join(dir, "jingle.wav"), 48000, fileTone, time.Second)
	writeWAV(t, filepath.Join(dir, "short.wav"), 22050, shortTone, 300*time.Millisecond)
	s := startServer(t, "media_dir="+dir)
	publishTone(t, s, "a", liveTone)

	on := func(file string, loop bool) map[string]any { return map[string]any{"soundFile": file, "loop": loop} }
	action := func(action string, more map[string]any) map[string]any {
		options := map[string]any{"action": action}
		maps.Copy(options, more)
		return options
	}
	tests := []struct {
		name    string
		options map[string]any
		steps   []soundStep // the first is what is to be heard from the beginning
	}{
		{"untouched", nil, []soundStep{{hear: liveTone}, {hear: liveTone}}},
		{"muted and unmuted", nil, []soundStep{{hear: liveTone}, {"mute", nil, silence}, {"mute", nil, silence}, {"unmute", nil, liveTone}}},
		{"muted from the beginning", action("mute", nil), []soundStep{{hear: silence}, {"unmute", nil, liveTone}}},
		{"a file from the beginning", action("sound_on", on("file.wav", false)), []soundStep{{hear: fileTone}, {"sound_off", nil, liveTone}}},
		{"a file and back", nil, []soundStep{{hear: liveTone}, {"sound_on", on("file.wav", false), fileTone}, {"sound_off", nil, liveTone}, {"sound_off", nil, liveTone}}},
		{"to the file's end", nil, []soundStep{{hear: liveTone}, {"sound_on", on("jingle.wav", false), fileTone}, {hear: liveTone}}},
		{"in a loop", nil, []soundStep{{hear: liveTone}, {"sound_on", on("short.wav", true), shortTone}, {hear: shortTone}}},
		{"a loop from the beginning", action("sound_on", on("short.wav", true)), []soundStep{{hear: shortTone}, {hear: shortTone}}},
		{"another file", nil, []soundStep{{hear: liveTone}, {"sound_on", on("short.wav", true), shortTone}, {"sound_on", on("file.wav", false), fileTone}}},
		{"mute beats a file", nil, []soundStep{{"sound_on", on("file.wav", true), fileTone}, {"mute", nil, silence}, {"unmute", nil, fileTone}}},
	}
	// Step by step, each for all of them, so that they are in their states at the same time.
	pushes := make([]push, len(tests))
	receivers := make([]*testkit.RTMPServer, len(tests))
	changed := make([][]time.Duration, len(tests))
	for i, tt := range tests {
		receivers[i] = testkit.NewRTMPServer(t, testkit.Script{})
		body := map[string]any{"streamName": "a", "rtmpUrl": receivers[i].URL("live")}
		if tt.options != nil {
			body["options"] = tt.options
		}
		if code := s.post("/push/startup", body, &pushes[i]); code != http.StatusOK {
			t.Fatalf("%s: startup answers %d", tt.name, code)
		}
	}
	for step := range 4 {
		for i, tt := range tests {
			receivers[i].Wait(t, "sound", func() bool { return lastSound(receivers[i]) > 0 })
			if step >= len(tt.steps) {
				continue
			}
			if method := tt.steps[step].method; method != "" {
				body := map[string]any{"mediaSessionId": pushes[i].MediaSessionID}
				maps.Copy(body, tt.steps[step].body)
				if code := s.post("/push/"+method, body, nil); code != http.StatusOK {
					t.Fatalf("%s: %s answers %d", tt.name, method, code)
				}
			}
			changed[i] = append(changed[i], lastSound(receivers[i]))
		}
		for i := range tests {
			at := changed[i][len(changed[i])-1]
			receivers[i].Wait(t, "a second and a half of sound", func() bool { return lastSound(receivers[i]) > at+1500*time.Millisecond })
		}
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			judgeSound(t, receivers[i].Tags(), tt.steps, append(changed[i], lastSound(receivers[i])))
		})
	}
}

// sound_on and a startup with a sound refuse files that do not exist, are no sound files, or lie outside the media directory.
func TestSoundFiles(t *testing.T) {
	dir := t.TempDir()
	media, outside := filepath.Join(dir, "media"), filepath.Join(dir, "outside.wav")
	if err := os.Mkdir(media, 0o755); err != nil {
		t.Fatal(err)
	}
	writeWAV(t, outside, 48000, fileTone, time.Second)
	writeWAV(t, filepath.Join(media, "good.wav"), 48000, fileTone, time.Second)
	if err := os.WriteFile(filepath.Join(media, "text.wav"), []byte("this is no sound, though long enough to be one of some milliseconds"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link.wav": outside, "up.wav": "../outside.wav", "link": dir} {
		if err := os.Symlink(to, filepath.Join(media, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := startServer(t, "media_dir="+media)
	publishTone(t, s, "a", liveTone)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	var running push
	if code := s.post("/push/startup", map[string]any{"streamName": "a", "rtmpUrl": receiver.URL("live")}, &running); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	tests := []struct {
		file string
		code int
		says string
	}{
		{"good.wav", http.StatusOK, ""},
		{"none.wav", http.StatusNotFound, "No such file"},
		{"", http.StatusBadRequest, "soundFile"},
		{"text.wav", http.StatusBadRequest, "soundFile"},
		{"../outside.wav", http.StatusNotFound, "No such file"},
		{"..\\outside.wav", http.StatusNotFound, "No such file"},
		{"./../outside.wav", http.StatusNotFound, "No such file"},
		{outside, http.StatusNotFound, "No such file"},
		{filepath.Join(media, "good.wav"), http.StatusNotFound, "No such file"},
		{"link.wav", http.StatusNotFound, "No such file"},
		{"up.wav", http.StatusNotFound, "No such file"},
		{"link/outside.wav", http.StatusNotFound, "No such file"},
		{"good.wav\x00", http.StatusNotFound, "No such file"},
		{"\x00", http.StatusNotFound, "No such file"},
		{".", http.StatusNotFound, "No such file"},
		{"/", http.StatusNotFound, "No such file"},
	}
	for _, tt := range tests {
		var answer struct{ Message string }
		into := any(&answer)
		if tt.code == http.StatusOK {
			into = nil // there is no answer to read
		}
		code := s.post("/push/sound_on", map[string]any{"mediaSessionId": running.MediaSessionID, "soundFile": tt.file}, into)
		if code != tt.code || !strings.Contains(answer.Message, tt.says) {
			t.Errorf("sound_on %q answers %d %q, want %d %q", tt.file, code, answer.Message, tt.code, tt.says)
		}
		if code == http.StatusOK {
			continue
		}
		body := map[string]any{
			"streamName": "a", "rtmpUrl": receiver.URL("other"), "options": map[string]any{"action": "sound_on", "soundFile": tt.file},
		}
		if code := s.post("/push/startup", body, nil); code != tt.code {
			t.Errorf("startup with %q answers %d, want %d", tt.file, code, tt.code)
		}
	}
	for method, body := range map[string]map[string]any{
		"mute": {}, "unmute": {}, "sound_on": {"soundFile": "good.wav"}, "sound_off": {},
	} {
		body["mediaSessionId"] = "nobody"
		if code := s.post("/push/"+method, body, nil); code != http.StatusNotFound {
			t.Errorf("%s of a push that is not there answers %d, want 404", method, code)
		}
	}
	var all []push
	if code := s.post("/push/find_all", struct{}{}, &all); code != http.StatusOK || len(all) != 1 {
		t.Errorf("%d pushes (%d), want the one that was made", len(all), code)
	}
}

// ffprobe finds the requested form of sound at a real receiver. The decoded sound is the tone, and silence while it is muted.
func TestSoundForms(t *testing.T) {
	url, records := startNginx(t)
	plain, alaw := startServer(t), startServer(t, "rtmp_push_audio_codec=pcma")
	louder := startServer(t, "rtmp_push_audio_bitrate_kbps=192", "rtmp_push_audio_sample_rate=44100", "rtmp_push_audio_channels=1")
	for _, s := range []*server{plain, alaw, louder} {
		publishTone(t, s, "a", liveTone)
	}
	tests := []struct {
		name     string
		server   *server
		options  map[string]any
		codec    string
		rate     string
		channels int
	}{
		{"default", plain, nil, "aac", "48000", 2},
		{"aac-64k-mono", plain, map[string]any{"audioCodec": "aac", "audioBitrate": 64, "audioRate": 44100, "audioChannels": 1}, "aac", "44100", 1},
		{"a-law", plain, map[string]any{"audioCodec": "pcma"}, "pcm_alaw", "8000", 1},
		{"mu-law", plain, map[string]any{"audioCodec": "pcmu"}, "pcm_mulaw", "8000", 1},
		{"speex", plain, map[string]any{"audioCodec": "speex"}, "speex", "16000", 1},
		{"setting-a-law", alaw, nil, "pcm_alaw", "8000", 1},
		{"setting-aac", louder, nil, "aac", "44100", 1},
		{"request-beats-setting", alaw, map[string]any{"audioCodec": "aac"}, "aac", "48000", 2},
	}
	ids := make([]string, len(tests))
	for i, tt := range tests {
		var p push
		body := map[string]any{"streamName": "a", "rtmpUrl": url + "/" + tt.name, "rtmpTransponderFullUrl": true, "options": tt.options}
		if code := tt.server.post("/push/startup", body, &p); code != http.StatusOK {
			t.Fatalf("%s: startup answers %d", tt.name, code)
		}
		ids[i] = p.MediaSessionID
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sent := func(more int) {
				t.Helper()
				before := -1
				testkit.Eventually(t, 60*time.Second, func() string {
					var found []push
					tt.server.in(t).post("/push/find", map[string]any{"mediaSessionId": ids[i]}, &found)
					if len(found) == 1 && before < 0 {
						before = found[0].AudioFramesSent
					}
					if len(found) != 1 || found[0].AudioFramesSent < before+more {
						return fmt.Sprintf("not %d more packets of sound: %+v", more, found)
					}
					return ""
				})
			}
			sent(100) // two seconds at least
			if code := tt.server.post("/push/mute", map[string]any{"mediaSessionId": ids[i]}, nil); code != http.StatusOK {
				t.Errorf("mute answers %d", code)
			}
			sent(100)
			tt.server.post("/push/terminate", map[string]any{"mediaSessionId": ids[i]}, nil)
			file := filepath.Join(records, tt.name+".flv")
			for _, stream := range probe(t, file).Streams {
				if stream.Kind == "audio" && (stream.Codec != tt.codec || stream.SampleRate != tt.rate || stream.Channels != tt.channels) {
					t.Errorf("received %s of %s Hz in %d channels, want %s of %s in %d", stream.Codec, stream.SampleRate, stream.Channels,
						tt.codec, tt.rate, tt.channels)
				}
			}
			mono, _ := sound(t, file)
			stereo := make([]float32, 0, 2*len(mono))
			for _, x := range mono {
				stereo = append(stereo, x, x)
			}
			second := 2 * soundRate
			if len(stereo) < 3*second {
				t.Fatalf("%.1f s of sound", float64(len(stereo))/float64(second))
			}
			if err := heard(stereo[second/2:second], liveTone); err != nil {
				t.Errorf("before it is muted: %v", err)
			}
			if err := heard(stereo[len(stereo)-second/2:], silence); err != nil {
				t.Errorf("when it is muted: %v", err)
			}
		})
	}
}

// judgeSound decodes what arrived and compares it with the steps, which were asked for at those times.
func judgeSound(t *testing.T, tags []testkit.Tag, steps []soundStep, changed []time.Duration) {
	t.Helper()
	headers := 0
	tags = slices.DeleteFunc(slices.Clone(tags), func(tag testkit.Tag) bool {
		if !tag.Video && tag.Header {
			headers++
		}
		return tag.Video || tag.Header
	})
	if headers != 1 {
		t.Errorf("%d sequence headers of sound, want 1", headers)
	}
	for i := 1; i < len(tags); i++ {
		if gap := tags[i].Time - tags[i-1].Time; gap <= 0 || gap > 25*time.Millisecond {
			t.Errorf("sound goes from %v to %v", tags[i-1].Time, tags[i].Time)
		}
	}
	pcm := decodeAAC(t, tags)
	for i, step := range steps {
		from, to := changed[i]+300*time.Millisecond, changed[i+1]
		if step.method == "sound_on" && step.body["soundFile"] == "jingle.wav" {
			to = changed[i] + 900*time.Millisecond // it lasts a second
		}
		for at := from; at+100*time.Millisecond <= to; at += 100 * time.Millisecond {
			first := int(at-tags[0].Time) * soundRate / int(time.Second)
			window := pcm[2*first:][:2*soundRate/10]
			if err := heard(window, step.hear); err != nil {
				t.Errorf("step %d (%s), %v after it: %v", i, step.method, at-changed[i], err)
				break
			}
		}
	}
}

// heard says what is wrong with sound that is to be one tone, or silence.
func heard(pcm []float32, want float64) error {
	if want == silence {
		var loudest float64
		for _, x := range pcm {
			loudest = max(loudest, math.Abs(float64(x)))
		}
		if loudest > 0.001 {
			return fmt.Errorf("a peak of %.1f dBFS, want silence", 20*math.Log10(loudest))
		}
		return nil
	}
	for _, hz := range []float64{liveTone, fileTone, shortTone} {
		level := soundtest.Level(pcm, 0, hz)
		if (hz == want) != (level > 0.1) {
			return fmt.Errorf("%v Hz at a level of %.3f, want %v Hz alone", hz, level, want)
		}
	}
	return nil
}

// decodeAAC decodes AAC packets end to end.
func decodeAAC(t *testing.T, tags []testkit.Tag) []float32 {
	t.Helper()
	decoder, err := libav.NewDecoder(&media.Track{Codec: media.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	var pcm []float32
	buf := make([]float32, 2*libav.MaxSamples)
	for _, tag := range tags {
		n, err := decoder.Decode(buf, tag.Data)
		if err != nil {
			t.Fatalf("decode the sound at %v: %v", tag.Time, err)
		}
		pcm = append(pcm, buf[:2*n]...)
	}
	return pcm
}

// publishTone publishes pictures and a tone until the test ends.
func publishTone(t *testing.T, s *server, name string, hz float64) {
	t.Helper()
	cfg := testkit.DefaultPublisherConfig()
	cfg.Opus = soundtest.Opus(t, soundtest.Tone(hz, 0.5, time.Second))
	publish(t, s, name, cfg)
}

// writeWAV writes a mono file of 16-bit PCM with a tone.
func writeWAV(t *testing.T, path string, rate int, hz float64, d time.Duration) {
	t.Helper()
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=%v:sample_rate=%d:duration=%v", hz, rate, d.Seconds()),
		"-af", "volume=4", "-c:a", "pcm_s16le", path) // sine's own level is 1/8
}
