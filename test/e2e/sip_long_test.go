//go:build e2e

package e2e

import (
	"math"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// A call with hold, resume, RTP that is lost for a while, and a re-INVITE with other ports leaves one recording, whose time only grows.
// With TRANSPONDER_SOAK=1 it lasts ten minutes.
func TestSIPLongCall(t *testing.T) {
	t.Parallel()
	part, lost := 3*time.Second, 4*time.Second
	if soak() {
		part, lost = 108*time.Second, time.Minute
	}
	s := startSIP(t, "rtp_activity_detecting=true,90")
	n := newNginx(t)
	k := &talk{phone: phone.New(t, phone.Config{}), audio: phone.NewStream(t), video: phone.NewStream(t)}
	k.scene = s.dial(t, k.phone.URI(someone()), nil)
	k.receiver = k.push()
	k.pushTo(n.url())
	k.sound = &phone.Sound{SSRC: 1, Payload: phone.Tone(440, false, nil)}
	k.picture = &phone.Picture{SSRC: 2, FPS: 25, Units: pictures(t, 320, 180, 25), Once: true}
	k.answer(k.plan())
	begun := time.Now()
	k.play(phone.Reports{Every: time.Second})
	k.awaitPictures(25)
	time.Sleep(part)

	k.change("INVITE", k.describe(2, k.audio, k.video, "sendonly"))
	k.stop()
	time.Sleep(part)
	k.aim(k.change("INVITE", k.describe(3, k.audio, k.video, "sendrecv")))
	k.resume()
	time.Sleep(part)

	k.stop()
	time.Sleep(lost)
	k.resume()
	time.Sleep(part)

	audio, video := phone.NewStream(t), phone.NewStream(t)
	k.stop()
	answer := k.change("INVITE", k.describe(4, audio, video, "sendrecv"))
	k.audio, k.video = audio, video
	k.aim(answer)
	k.resume()
	time.Sleep(part)
	wall := time.Since(begun)
	k.do("/call/terminate", nil)
	k.phone.Reply(k.call.Await("BYE"), phone.Reply{Code: 200})
	k.scene.await("FINISH")

	judgeTone(t, k.receiver.Tags())
	judgeUntouched(t, k.receiver.Tags(), k.picture.Sent())
	files, err := filepath.Glob(filepath.Join(n.dir, "*.flv"))
	if err != nil || len(files) != 1 {
		t.Fatalf("recordings %v, want one: %v", files, err)
	}
	testkit.Eventually(t, 10*time.Second, func() string { // nginx has closed it
		if d := duration(t, files[0]); math.Abs(d-wall.Seconds()) > 1.5 {
			return "the recording lasts " + strconv.FormatFloat(d, 'f', 1, 64) + " s, the call " + wall.String()
		}
		return ""
	})
	judgeGrowth(t, files[0])
	judgeDecoding(t, files[0])
}

// judgeGrowth checks that times only grow, and that the sound has no hole.
func judgeGrowth(t *testing.T, file string) {
	t.Helper()
	last := map[string]float64{}
	for _, p := range probe(t, file).Packets {
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			t.Fatalf("packet without a time: %+v", p)
		}
		before, seen := last[p.Kind]
		if seen && at <= before || seen && p.Kind == "audio" && at > before+0.1 {
			t.Errorf("%s goes from %.3f to %.3f", p.Kind, before, at)
		}
		last[p.Kind] = at
	}
}
