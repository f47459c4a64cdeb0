//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// Media from elsewhere, of the wrong form, too late or not at all.
func TestSIPStrangeMedia(t *testing.T) {
	t.Parallel()
	s := startSIP(t, "sip_first_packet_ms=3000", "rtp_activity_detecting=true,4")
	together(t, map[string]func(*testing.T){
		"wrong address in the SDP": func(t *testing.T) {
			k := prepare(t, s, nil)
			plan := k.plan()
			plan.Address = "127.0.0.77" // nobody is there; the media comes from where the signalling does
			k.answer(plan)
			k.play(phone.Reports{Every: time.Second})
			k.awaitPictures(50)
			k.audio.Wait("silence to where the media comes from", func() bool { return len(k.audio.Packets()) > 25 })
			judgeUntouched(t, k.receiver.Tags(), k.picture.Sent())
		},
		"strangers": func(t *testing.T) { judgeStrangeRTP(t, s) },
		"nonsense":  func(t *testing.T) { judgeNonsense(t, s) },
		"no media at all": func(t *testing.T) {
			k := prepare(t, s, nil)
			k.answer(k.plan())
			answered := time.Now()
			end := k.scene.await("FAILED")
			if after := time.Since(answered); after < 2*time.Second || after > 6*time.Second {
				t.Errorf("the call ended after %v, want 3 s", after)
			}
			expected := fmt.Sprintf("127.0.0.1:%d", k.audio.Port())
			if end.Reason != "media_timeout" || !strings.Contains(end.Info, expected) {
				t.Errorf("the call ended with %+v, want a media_timeout that names %s", end, expected)
			}
			k.phone.Reply(k.call.Await("BYE"), phone.Reply{Code: 200})
		},
		"media stops": func(t *testing.T) {
			k := talking(t, s, nil)
			k.stop()
			stopped := time.Now()
			end := k.scene.await("FAILED")
			if after := time.Since(stopped); end.Reason != "media_timeout" || after < 3*time.Second || after > 8*time.Second {
				t.Errorf("the call ended after %v with %+v", after, end)
			}
		},
		"on hold": func(t *testing.T) {
			k := talking(t, s, nil)
			k.change("INVITE", k.describe(2, k.audio, k.video, "sendonly")) // it could send music, and sends nothing
			k.stop()
			time.Sleep(9 * time.Second) // twice the time after which a call without media ends
			if found, _ := k.info(); found.Status != "HOLD" {
				t.Errorf("the call on hold is %+v", found)
			}
			k.aim(k.change("INVITE", k.describe(3, k.audio, k.video, "sendrecv")))
			k.resume()
		},
	})
}

// judgeStrangeRTP has strangers send RTP of the right form to the ports of the call, before and after the phone does.
func judgeStrangeRTP(t *testing.T, s *server) {
	k := prepare(t, s, nil)
	k.answer(k.plan())
	stranger, video := phone.NewStreamAt(t, "127.0.0.3"), phone.NewStreamAt(t, "127.0.0.3")
	for _, section := range k.call.Offered {
		map[string]*phone.Stream{"audio": stranger, "video": video}[section.Kind].SendTo(section)
	}
	noise := &phone.Sound{Type: k.call.AudioType, SSRC: k.sound.SSRC, Payload: phone.Tone(2000, false, nil)}
	forged := &phone.Picture{Type: k.call.VideoType, SSRC: k.picture.SSRC, FPS: 25, Units: testkit.SyntheticUnits(10, 2000), First: 1e6}
	stranger.Play(noise, phone.Reports{Every: 100 * time.Millisecond})
	video.Play(forged, phone.Reports{Every: 100 * time.Millisecond})
	time.Sleep(500 * time.Millisecond)
	k.play(phone.Reports{Every: time.Second})
	k.awaitPictures(75)
	for _, p := range numbered(k.receiver.Tags()) {
		if p.number >= 1e6 {
			t.Fatal("a stranger's picture reached the stream")
		}
	}
	if missing := judgeUntouched(t, k.receiver.Tags(), k.picture.Sent()); missing != 0 {
		t.Errorf("%d pictures are missing", missing)
	}
	judgeTone(t, k.receiver.Tags())
	if n := len(stranger.Packets()) + len(video.Packets()); n != 0 {
		t.Errorf("the stranger got %d packets", n)
	}
	if found, _ := k.info(); found.PacketsRefused < 100 {
		t.Errorf("%d refused packets, want those of the stranger", found.PacketsRefused)
	}
}

// judgeNonsense sends datagrams that are no RTP between those of the call.
func judgeNonsense(t *testing.T, s *server) {
	k := talking(t, s, nil)
	for range 20 {
		for _, stream := range []*phone.Stream{k.audio, k.video} {
			stream.SendRaw([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}) // STUN
			stream.SendRaw(append([]byte{22, 0xfe, 0xfd}, make([]byte, 60)...))                               // DTLS
			stream.SendRaw([]byte{0x80, 200, 0, 6, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
			stream.SendRaw([]byte{0x80})
			stream.SendRaw(nil)
			stream.SendRaw(bytes.Repeat([]byte{0x80}, 9000))
			stream.SendRaw(append([]byte{0x80, 55}, make([]byte, 160)...)) // a type that was not agreed on
		}
		time.Sleep(20 * time.Millisecond)
	}
	k.awaitPictures(50)
	if missing := judgeUntouched(t, k.receiver.Tags(), k.picture.Sent()); missing != 0 {
		t.Errorf("%d pictures are missing", missing)
	}
	judgeTone(t, k.receiver.Tags())
	k.await("ESTABLISHED")
	if found, _ := k.info(); found.PacketsRefused < 100 {
		t.Errorf("%d refused packets, want the nonsense", found.PacketsRefused)
	}
}

// Sound and picture stay together, whatever the phone says of its clocks. Flashes and beeps come once a second.
func TestSIPClocks(t *testing.T) {
	t.Parallel()
	s := startSIP(t)
	url, records := startNginx(t)
	units := flashes(t)
	scenes := map[string]func(*testing.T){}
	for _, tt := range []struct {
		name    string
		most    float64 // seconds
		reports phone.Reports
		other   func(time.Time) uint64 // the clock of the picture, if it is another
	}{
		{name: "true clocks", most: 0.04, reports: phone.Reports{Every: time.Second}},
		{name: "no reports", most: 0.06},
		{name: "NTP 0", most: 0.06, reports: phone.Reports{Every: time.Second, NTP: func(time.Time) uint64 { return 0 }}},
		{
			name: "two clocks", most: 0.06, reports: phone.Reports{Every: time.Second},
			other: func(at time.Time) uint64 { return phone.NTP(at.Add(-7 * time.Hour)) },
		},
	} {
		scenes[tt.name] = func(t *testing.T) {
			p := phone.New(t, phone.Config{})
			audio, video := phone.NewStream(t), phone.NewStream(t)
			c := s.dial(t, p.URI(someone()), nil)
			c.pushTo(url)
			call := p.Answer(phone.Plan{Audio: audio, Video: video})
			sound := &phone.Sound{Type: call.AudioType, SSRC: 1, Start: 12345, Payload: phone.Tone(1000, false, func(at time.Duration) bool {
				return at%time.Second < 100*time.Millisecond
			})}
			video.Deaf(true) // a key frame on request would begin the pictures anew, out of step with the sound
			picture := &phone.Picture{Type: call.VideoType, SSRC: 2, Start: 99, FPS: 25, Units: units}
			start, reports := time.Now(), tt.reports
			stopSound := audio.PlayFrom(start, sound, reports)
			if tt.other != nil {
				reports.NTP = tt.other
			}
			stopPicture := video.PlayFrom(start, picture, reports)
			time.Sleep(13 * time.Second)
			stopSound()
			stopPicture()
			c.do("/call/terminate", nil)
			p.Reply(call.Await("BYE"), phone.Reply{Code: 200})
			file := records + "/rtmp_" + c.id + ".flv"
			testkit.Eventually(t, 10*time.Second, func() string {
				if found, ok := c.info(); ok && found.Status != "FINISH" {
					return "the call is " + found.Status
				}
				return ""
			})
			judgeFlashes(t, file, tt.most)
		}
	}
	together(t, scenes)
}

// judgeFlashes checks the offset of each beep from its flash, and that it does not jump after the first ten seconds.
func judgeFlashes(t *testing.T, file string, most float64) {
	t.Helper()
	offsets := beepOffsets(t, file, 9)
	worst := 0.0
	for i, o := range offsets {
		worst = max(worst, math.Abs(o))
		if i >= 10 && math.Abs(o-offsets[i-1]) > 0.02+0.01 { // RTMP counts in milliseconds, and AAC begins in the middle of a packet
			t.Errorf("the offset jumps from %.0f ms to %.0f ms", 1000*offsets[i-1], 1000*o)
		}
	}
	t.Logf("sound after picture: worst %.1f ms of %d: %.3f", 1000*worst, len(offsets), offsets)
	if worst > most {
		t.Errorf("sound is up to %.0f ms apart from the picture, want at most %.0f", 1000*worst, 1000*most)
	}
}

// flashes makes H.264 that is white for the first tenth of each second and else black, two seconds long.
func flashes(t *testing.T) []testkit.Unit {
	t.Helper()
	file := t.TempDir() + "/flashes.264"
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=black:size=320x180:rate=25:duration=2",
		"-vf", "drawbox=color=white:t=fill:enable='lt(mod(t,1),0.1)'", "-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline",
		"-g", "50", "-bsf:v", "filter_units=remove_types=6", "-f", "h264", file)
	units, err := testkit.LoadUnits(file)
	if err != nil {
		t.Fatal(err)
	}
	return units
}
