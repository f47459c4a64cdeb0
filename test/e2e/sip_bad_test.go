//go:build e2e

package e2e

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit/phone"
)

// Messages that are wrong in one place each, and networks that lose, double and reorder, end no call but their own.
func TestSIPBadInput(t *testing.T) {
	t.Parallel()
	s := startSIP(t)
	together(t, map[string]func(*testing.T){
		"requests within a call": func(t *testing.T) { judgeBadRequests(t, s) },
		"responses":              func(t *testing.T) { judgeBadResponses(t, s) },
		"bad network":            func(t *testing.T) { judgeBadNetwork(t, s) },
		"the NAT changes the port": func(t *testing.T) {
			k := talking(t, s, nil)
			k.stop()
			time.Sleep(2200 * time.Millisecond) // for 2 s, another port counts as a stranger's
			audio, video := phone.NewStream(t), phone.NewStream(t)
			for kind, stream := range map[string]*phone.Stream{"audio": audio, "video": video} {
				section, _ := phone.Of(k.call.Offered, kind)
				stream.SendTo(section)
			}
			k.audio, k.video = audio, video
			k.resume()
			audio.Wait("silence to the new port", func() bool { return len(audio.Packets()) > 25 })
			judgeTone(t, k.receiver.Tags())
		},
		"the clock jumps back": func(t *testing.T) {
			k := talking(t, s, nil)
			k.awaitPictures(25)
			k.stop()
			k.sound.Start -= 20 * 8000
			k.picture.Start -= 20 * 90000
			k.resume()
			k.awaitPictures(25)
			judgeTone(t, k.receiver.Tags())
		},
	})
	if n := s.metric(t, "transponder_panics_total", ""); n != 0 {
		t.Errorf("%v panics", n)
	}
	if log := s.log.String(); strings.Contains(log, "panic") {
		t.Error("the log shows a panic")
	}
}

// spoil returns a message with one line of the head changed in a way.
func spoil(message string, line int, way string) string {
	head, body, _ := strings.Cut(message, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	if line >= len(lines) {
		return ""
	}
	name, _, _ := strings.Cut(lines[line], ":")
	switch way {
	case "missing":
		lines = slices.Delete(lines, line, line+1)
	case "doubled":
		lines = slices.Insert(lines, line, lines[line])
	case "empty":
		lines[line] = name + ":"
	case "huge":
		lines[line] += strings.Repeat("x", 9000)
	case "nonsense":
		lines[line] = name + ": \x00\xff<<>>;;=,\"\\"
	case "number":
		lines[line] = name + ": 99999999999999999999999999"
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

var spoilt = []string{"missing", "doubled", "empty", "huge", "nonsense", "number"}

// judgeBadRequests sends each request of a call with each line spoilt in each way.
func judgeBadRequests(t *testing.T, s *server) {
	k := talking(t, s, nil)
	sent := 0
	for _, method := range []string{"OPTIONS", "INFO", "UPDATE", "INVITE", "NOTIFY", "ACK", "CANCEL", "PRACK"} {
		good := k.call.Text(method, k.describe(1, k.audio, k.video, "sendrecv"))
		for line := range strings.Count(good, "\r\n") {
			for _, way := range spoilt {
				bad := spoil(good, line, way)
				if bad == "" {
					break
				}
				if err := k.phone.SendRaw(k.call.Dialog.Peer, []byte(bad)); err != nil {
					t.Fatal(err)
				}
				if sent++; sent%10 == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
		}
	}
	// BYE of a dialog that has almost the same tags.
	good := k.call.Text("BYE", "")
	for _, name := range []string{"From", "To"} {
		m := strings.Replace(good, (&phone.Message{Raw: good}).Tag(name), "other", 1)
		if err := k.phone.SendRaw(k.call.Dialog.Peer, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d bad requests", sent)
	k.call.CSeq += 10_000
	k.awaitPictures(25)
	k.scene.await("ESTABLISHED")
	// An INVITE among them may have been taken for a good one, which waits for its ACK: 491 then, and after that all is well.
	if answer := k.call.Request("OPTIONS", "", ""); answer.Code != 200 {
		t.Errorf("OPTIONS is answered with %d after all that", answer.Code)
	}
	k.do("/call/terminate", nil)
	k.phone.Reply(k.call.Await("BYE"), phone.Reply{Code: 200})
	k.scene.await("FINISH")
}

// judgeBadResponses answers INVITEs with spoilt responses. Each call ends, or is cancelled by us; none stays for ever.
func judgeBadResponses(t *testing.T, s *server) {
	p := phone.New(t, phone.Config{})
	audio := phone.NewStream(t)
	var scenes []*scene
	for line := range 10 {
		for _, way := range spoilt {
			c := s.dial(t, p.URI(someone()), map[string]any{"hasVideo": "false"})
			scenes = append(scenes, c)
			invite, err := p.Find("INVITE", c.id, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			sdp := phone.Describe("127.0.0.1", 1, audio.Section("audio", "RTP/AVP 0"))
			for _, code := range []int{180, 200} {
				bad := spoil(p.Text(invite, phone.Reply{Code: code, SDP: sdp}), line, way)
				if err := p.ReplyRaw(invite, []byte(bad)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, c := range scenes {
		if code, answer := s.ask(t, "/call/terminate", map[string]string{"callId": c.id}); code != http.StatusOK && code != http.StatusNotFound {
			t.Errorf("terminate answers %d %s", code, answer)
		}
	}
	for _, c := range scenes {
		if found, ok := c.info(); ok && found.Status != "FINISH" && found.Status != "FAILED" && found.Status != "BUSY" {
			t.Errorf("%s is %+v", c.id, found)
		}
	}
}

// judgeBadNetwork loses 2 % of the packets, doubles some, and reorders some.
func judgeBadNetwork(t *testing.T, s *server) {
	k := prepare(t, s, nil)
	k.answer(k.plan())
	for seed, stream := range []*phone.Stream{k.audio, k.video} {
		dice := rand.New(rand.NewPCG(1, uint64(seed)))
		stream.Network = func(n int, _ phone.Packet) (copies, after int) {
			switch x := dice.IntN(100); {
			case n < 20:
				return 1, 0
			case x < 2:
				return 0, 0
			case x < 6:
				return 2, 0
			case x < 12:
				return 1, 1 + dice.IntN(2)
			}
			return 1, 0
		}
	}
	k.play(phone.Reports{Every: time.Second})
	k.receiver.Wait(t, "eight seconds", func() bool { return time.Since(k.started) > 8*time.Second })
	missing := judgeUntouched(t, k.receiver.Tags(), k.picture.Sent())
	arrived := numbered(k.receiver.Tags())
	t.Logf("%d pictures arrived whole, %d did not, the last is %d of %d; %d requests for key frames", len(arrived), missing, arrived[len(arrived)-1].number, len(k.picture.Sent()), len(k.video.Requests()))
	if missing == 0 || len(arrived) < 30 {
		t.Errorf("%d pictures arrived, %d are missing: want losses, and a picture after each", len(arrived), missing)
	}
	last := -time.Millisecond
	for _, tag := range k.receiver.Tags() {
		if tag.Video || tag.Header {
			continue
		}
		if gap := tag.Time - last; gap <= 0 || last >= 0 && gap > 50*time.Millisecond {
			t.Fatalf("sound goes from %v to %v", last, tag.Time)
		}
		last = tag.Time
	}
	if n := len(k.video.Requests()); n < 2 {
		t.Errorf("%d requests for key frames after losses", n)
	}
	if found := k.await("ESTABLISHED"); found.PacketsLost == 0 {
		t.Error("no packet is counted as lost")
	}
}
