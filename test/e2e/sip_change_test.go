//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit/phone"
)

// Phones change a call while it lasts: the push goes on, and shows the picture again within two seconds.
func TestSIPChanges(t *testing.T) {
	t.Parallel()
	s := startSIP(t)
	together(t, map[string]func(*testing.T){
		"hold": func(t *testing.T) { judgeHolds(t, s) },
		"new port": func(t *testing.T) {
			k := talking(t, s, nil)
			audio, video := phone.NewStream(t), phone.NewStream(t)
			k.stop()
			answer := k.change("INVITE", k.describe(2, audio, video, "sendrecv"))
			k.audio, k.video = audio, video
			k.aim(answer)
			k.resume()
			audio.Wait("silence at the new port", func() bool { return len(audio.Packets()) > 25 })
			if err := phone.Judge(audio.Packets(), k.call.Events, 160, time.Second); err != nil {
				t.Error(err)
			}
			judgeTone(t, k.receiver.Tags())
		},
		"new codec": func(t *testing.T) {
			k := talking(t, s, nil)
			k.stop()
			sdp := strings.Replace(k.describe(2, k.audio, k.video, "sendrecv"), "RTP/AVP 0 ", "RTP/AVP 8 ", 1)
			sdp = strings.Replace(sdp, "a=rtpmap:0 PCMU/8000\r\n", "a=rtpmap:8 PCMA/8000\r\n", 1)
			answer := k.change("INVITE", sdp)
			audio, _ := phone.Of(phone.ReadSDP(answer.Body), "audio")
			if _, ok := audio.Type("PCMA/8000"); !ok {
				t.Errorf("the answer to PCMA has %v", audio.Formats)
			}
			k.sound.Type, k.sound.Payload = 8, phone.Tone(440, true, nil)
			k.audio.Forget()
			k.resume()
			k.audio.Wait("sound in the new codec", func() bool { return len(k.audio.Packets()) > 25 })
			if last := k.audio.Packets()[25]; last.Type != 8 || last.Payload[0] != 0xd5 {
				t.Errorf("type %d with %#x, want A-law silence", last.Type, last.Payload[0])
			}
			k.awaitPictures(25)
			judgeTone(t, k.receiver.Tags())
		},
		"no codec": func(t *testing.T) {
			k := talking(t, s, nil)
			sdp := phone.Describe("127.0.0.1", 2, k.audio.Section("audio", "RTP/AVP 18", "a=rtpmap:18 G729/8000"), "m=video 0 RTP/AVP 97\r\n")
			if answer := k.call.Request("INVITE", "", sdp); answer.Code != 488 {
				t.Errorf("an offer without a codec of ours is answered with %d, want 488", answer.Code)
			}
			k.awaitPictures(25) // the session stays as it was
			k.await("ESTABLISHED")
		},
		"new SSRC": func(t *testing.T) {
			k := talking(t, s, nil)
			k.stop()
			k.sound.SSRC, k.sound.Seq, k.sound.Start = 0x3333, 7, 99
			k.picture.SSRC, k.picture.Seq, k.picture.Start = 0x4444, 8, 77
			k.resume()
			judgeTone(t, k.receiver.Tags())
		},
		"late offer": func(t *testing.T) {
			k := talking(t, s, nil)
			branch := k.call.Send("INVITE", "", "")
			offer := k.call.Await("200 INVITE")
			sections := phone.ReadSDP(offer.Body)
			if len(sections) != 2 || sections[0].Port == 0 || sections[1].Port == 0 {
				t.Fatalf("the offer of the 200 to %s is\n%s", branch, offer.Body)
			}
			k.call.Send("ACK", "", k.describe(2, k.audio, k.video, "sendrecv"))
			k.awaitPictures(50)
			k.await("ESTABLISHED")
		},
		"UPDATE": func(t *testing.T) {
			k := talking(t, s, nil)
			if answer := k.call.Request("UPDATE", "", k.describe(1, k.audio, k.video, "sendrecv")); answer.Code != 200 || answer.Body == "" {
				t.Errorf("UPDATE is answered with %d %q", answer.Code, answer.Body)
			}
			if answer := k.call.Request("UPDATE", "", ""); answer.Code != 200 || answer.Body != "" {
				t.Errorf("UPDATE without SDP is answered with %d %q", answer.Code, answer.Body)
			}
			k.awaitPictures(25)
		},
		"questions": func(t *testing.T) {
			k := talking(t, s, nil)
			for _, tt := range []struct {
				method, kind, body string
				code               int
				header             string
			}{
				{"OPTIONS", "", "", 200, "X-Test: 1"},
				{"INFO", "", "", 200, "X-Test: 1"},
				{"INFO", "application/unknown", "x", 415, "X-Test: 1"},
				{"INFO", "application/dtmf-relay", "Signal=7\r\nDuration=160\r\n", 200, "X-Test: 1"},
				{"MESSAGE", "text/plain", "hello", 405, "X-Test: 1"},
				{"SUBSCRIBE", "", "", 405, "Event: presence"},
				{"REFER", "", "", 603, "Refer-To: <sip:premium@192.0.2.1>"},
				{"NOTIFY", "", "", 489, "Event: presence"},
			} {
				if answer := k.call.Request(tt.method, tt.kind, tt.body, tt.header); answer.Code != tt.code {
					t.Errorf("%s %s is answered with %d, want %d", tt.method, tt.kind, answer.Code, tt.code)
				}
			}
			stale := *k.call.Dialog
			stale.CSeq = 5 // lower than before (RFC 3261, 12.2.2)
			if answer := stale.Request("OPTIONS", "", ""); answer.Code != 500 {
				t.Errorf("an old CSeq is answered with %d, want 500", answer.Code)
			}
			k.awaitPictures(10)
			if found := k.await("ESTABLISHED"); found.Digits != "7" {
				t.Errorf("the digits are %q, want 7", found.Digits)
			}
		},
	})
}

// judgeHolds puts the call on hold in each way that phones use, and takes it back.
func judgeHolds(t *testing.T, s *server) {
	k := talking(t, s, nil)
	version := 1
	for _, way := range []string{"sendonly", "inactive", "0.0.0.0"} {
		version++
		hold, direction := k.describe(version, k.audio, k.video, way), map[string]string{"sendonly": "recvonly"}[way]
		if way == "0.0.0.0" {
			hold = strings.ReplaceAll(k.describe(version, k.audio, k.video, "sendrecv"), "c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0")
			direction = "recvonly or inactive"
		} else if direction == "" {
			direction = "inactive"
		}
		answer := k.change("INVITE", hold)
		for _, section := range phone.ReadSDP(answer.Body) {
			if got := section.Direction(); !strings.Contains(direction, got) {
				t.Errorf("%s of %s is answered with %s, want %s", section.Kind, way, got, direction)
			}
		}
		k.stop()
		k.scene.await("HOLD")
		sent := len(k.receiver.Tags())
		k.receiver.Wait(t, "silence while on hold", func() bool { return len(k.receiver.Tags()) > sent+50 })
		version++
		k.aim(k.change("INVITE", k.describe(version, k.audio, k.video, "sendrecv")))
		k.resume()
		k.scene.await("ESTABLISHED")
	}
	judgeTone(t, k.receiver.Tags())
	judgeUntouched(t, k.receiver.Tags(), k.picture.Sent())
	if p := k.pushes(); p.Attempts > 1 || p.Status != "PUBLISHING" {
		t.Errorf("the push is %+v, want the first attempt to go on", p)
	}
}

// describe writes an SDP of the phone with the agreed types.
func (k *talk) describe(version int, audio, video *phone.Stream, direction string) string {
	return phone.Describe("127.0.0.1", version,
		audio.Section("audio", "RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a="+direction),
		video.Section("video", "RTP/AVP 97", "a=rtpmap:97 H264/90000", "a=fmtp:97 profile-level-id=42e01f;packetization-mode=1", "a="+direction))
}

// change sends an offer, and acknowledges the answer.
func (k *talk) change(method, sdp string) *phone.Message {
	k.t.Helper()
	answer := k.call.Request(method, "", sdp)
	if answer.Code != 200 {
		k.t.Fatalf("the offer\n%s\nis answered with %d", sdp, answer.Code)
	}
	if method == "INVITE" {
		k.call.Send("ACK", "", "")
	}
	k.picture.Type = 97
	return answer
}

// aim sends media to where an answer says.
func (k *talk) aim(answer *phone.Message) {
	k.t.Helper()
	sections := phone.ReadSDP(answer.Body)
	for kind, stream := range map[string]*phone.Stream{"audio": k.audio, "video": k.video} {
		section, ok := phone.Of(sections, kind)
		if !ok {
			k.t.Fatalf("the answer refuses %s:\n%s", kind, answer.Body)
		}
		stream.SendTo(section)
	}
}

// stop stops the media.
func (k *talk) stop() {
	for _, stop := range k.stops {
		stop()
	}
}

// resume sends media again, and wants pictures within two seconds.
func (k *talk) resume() {
	k.t.Helper()
	begun := time.Now()
	k.video.Refresh() // the phone shows its camera again: a key frame leads
	k.play(phone.Reports{Every: time.Second})
	k.awaitPictures(1)
	if after := time.Since(begun); after > 2*time.Second+200*time.Millisecond {
		k.t.Errorf("the picture came back after %v", after)
	}
	k.awaitPictures(25)
}

// pushes returns what the server says of the push.
func (k *talk) pushes() push {
	k.t.Helper()
	var all []push
	k.find("/push/find", map[string]string{"streamName": k.id}, &all)
	if len(all) == 0 {
		k.t.Fatal("the push is gone")
	}
	return all[0]
}
