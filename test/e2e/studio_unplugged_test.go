//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// deviceShow is a show from the studio in a browser whose devices go, and the recording of it by a real nginx.
type deviceShow struct {
	*sourceShow
}

func newDeviceShow(t *testing.T, args ...string) deviceShow {
	t.Helper()
	n := newNginx(t, "record_append on;")
	s := startServer(t)
	b := startBrowser(t, "studio-unplugged.mjs", append(args, s.page, "--name", "show", "--rtmp", n.url(), "--seconds", "120")...)
	b.await("live")
	return deviceShow{&sourceShow{t: t, s: s, n: n, b: b, begun: s.waitPush("show", "PUBLISHING")}}
}

func (h deviceShow) do(line string) map[string]string {
	h.t.Helper()
	h.b.say(line)
	return h.b.await("done").Displayed
}

// The process of the browser that reads the camera ends while a show runs, then the one that does all sound, as faulty drivers make them end. The page says so,
// opens the devices again, and viewers get picture and sound again: those of the microphone, which pass through the page's mixer.
func TestStudioDevicesCrash(t *testing.T) {
	t.Parallel()
	h := newDeviceShow(t)
	h.last(3, "")
	h.do("crash camera")
	h.last(3, "")
	h.do("crash sound")
	crashed := h.sent()
	h.last(5, "")
	file := h.stop()
	samples, start := sound(t, file)
	if after := samples[min(int((crashed+2-start)*soundRate), len(samples)):]; !slices.ContainsFunc(after, func(x float32) bool { return x > 0.1 }) {
		t.Errorf("two seconds after the crash at %.1f s there is no sound", crashed)
	}
	if got := sizes(t, file); len(got) != 1 {
		t.Errorf("the recording has pictures of the sizes %v", got)
	}
}

// The only microphone of a computer is pulled out while a show runs, and plugged in again: PulseAudio loses the device, and has it again. The page says so and
// opens it again by itself; viewers hear silence meanwhile.
func TestLongStudioMicrophoneUnplugged(t *testing.T) {
	plug, unplug := startPulse(t)
	plug()
	h := newDeviceShow(t, "--microphone")
	h.last(4, "")
	unplug()
	saw := h.do("gone")
	for id, want := range map[string]string{"device-problem": "Viewers do not hear you meanwhile.", "picked": "(gone)"} {
		if !strings.Contains(saw[id], want) {
			t.Errorf("%s is %q, without %q", id, saw[id], want)
		}
	}
	h.s.waitPush("show", "DEGRADED") // after some seconds without sound
	plug()
	if saw := h.do("back"); strings.Contains(saw["picked"], "(gone)") {
		t.Errorf("the list of microphones shows %q", saw["picked"])
	}
	h.last(5, "")
	samples, _ := sound(t, h.stop())
	said := tones(samples)
	t.Logf("half seconds with a tone: %s", said)
	if parts := strings.FieldsFunc(said, func(r rune) bool { return r == '.' }); len(parts) != 2 || len(parts[0]) < 4 || len(parts[1]) < 6 {
		t.Errorf("the tone is heard so: %s, want it before and after one silence", said)
	}
}

// tones writes one letter for each half second: # for a tone, . for silence. What is neither belongs to the letter before.
func tones(samples []float32) string {
	var out strings.Builder
	const half = soundRate / 2
	for at := 0; at+half <= len(samples); at += half {
		loud := 0
		for _, s := range samples[at : at+half] {
			if math.Abs(float64(s)) > 0.05 {
				loud++
			}
		}
		if loud > half/4 {
			out.WriteByte('#')
		} else {
			out.WriteByte('.')
		}
	}
	return strings.TrimLeft(strings.TrimRight(out.String(), "."), ".") // the encoder may begin and end with silence
}

// startPulse runs a sound server until the test ends, which the browsers of this test use. plug gives it a microphone that hears a tone, unplug takes it away.
func startPulse(t *testing.T) (plug, unplug func()) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "sock")
	t.Setenv("HOME", dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("PULSE_SERVER", "unix:"+socket)
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "pulseaudio", "-n", "--exit-idle-time=-1", "--disallow-exit", "-L", "module-native-protocol-unix socket="+socket+" auth-anonymous=1")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pulseaudio says:\n%s", log.String())
		}
	})
	testkit.Eventually(t, 10*time.Second, func() string {
		if _, err := os.Stat(socket); err != nil {
			return err.Error()
		}
		return ""
	})
	fifo := filepath.Join(dir, "desk")
	module, hush := "", func() {}
	plug = func() {
		module = strings.TrimSpace(string(tool(t, "pactl", "load-module", "module-pipe-source", "source_name=desk", "file="+fifo, "format=s16le", "rate=48000", "channels=1",
			"source_properties=device.description=Desk")))
		playing, end := context.WithCancel(ctx)
		tone := exec.CommandContext(playing, "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "aevalsrc=0.5*sin(2*PI*440*t):s=48000", "-f", "s16le", "-y", fifo)
		if err := tone.Start(); err != nil {
			t.Fatal(err)
		}
		hush = func() {
			end()
			_ = tone.Wait()
		}
	}
	t.Cleanup(func() { hush() })
	return plug, func() {
		tool(t, "pactl", "unload-module", module)
		hush()
		hush = func() {}
	}
}
