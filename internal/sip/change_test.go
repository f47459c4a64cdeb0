package sip

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// talk is an established call to a phone that sends sound and pictures until quiet is called.
type talk struct {
	*server
	call    *phone.Call
	picture *phone.Picture
	quiet   func()
}

// talking makes a talk. network may lose packets of pictures.
func talking(t *testing.T, network func(n int, p phone.Packet) (copies, after int)) talk {
	t.Helper()
	s := newServer(t, nil)
	p := s.phone()
	s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true, Video: true, ToStream: "cam"})
	c := p.Answer(phone.Plan{Audio: phone.NewStream(t), Video: phone.NewStream(t)})
	s.wait("established", func(i Info) bool { return i.Status == dialog.Established })
	sound := &phone.Sound{Type: c.AudioType, Events: c.Events, SSRC: 7, Payload: phone.Tone(440, false, nil)}
	stopSound := c.Audio.Play(sound, phone.Reports{})
	c.Video.Network = network
	picture := &phone.Picture{Type: c.VideoType, SSRC: 8, FPS: 25, Units: testkit.SyntheticUnits(10, 3000), Once: true}
	stopPicture := c.Video.Play(picture, phone.Reports{})
	quiet := sync.OnceFunc(func() { stopSound(); stopPicture() })
	t.Cleanup(quiet)
	return talk{s, c, picture, quiet}
}

// grows waits until the stream has n more pictures than now.
func (k talk) grows(n int64) {
	k.t.Helper()
	src, found := k.hub.Source("cam")
	if !found {
		k.t.Fatal("the stream has ended")
	}
	before := src.Stats().Video.Frames
	testkit.Eventually(k.t, 5*time.Second, func() string {
		if src.Stats().Video.Frames < before+n {
			return "no new pictures"
		}
		return ""
	})
}

// offer writes an offer of the phone for another direction.
func offer(c *phone.Call, version int, direction string, audio, video *phone.Stream) string {
	number := fmt.Sprint(c.VideoType) // stays as it was agreed on
	text := strings.NewReplacer("RTP/AVP 96", "RTP/AVP "+number, ":96 ", ":"+number+" ").Replace(phone.Offer(audio, video))
	text = strings.ReplaceAll(text, "a=sendrecv", "a="+direction)
	return strings.Replace(text, " 1 IN IP4", " "+string(rune('0'+version))+" IN IP4", 1)
}

// Each offer of the phone gets an answer that is made for it, and the stream survives them all.
func TestPhoneChangesTheCall(t *testing.T) {
	s := talking(t, nil)
	c := s.call
	s.grows(5)
	answer := func(what, sdp, wantAudio string) []phone.Section {
		t.Helper()
		r := c.Request("INVITE", "", sdp)
		if r.Code != 200 {
			t.Fatalf("%s: %d", what, r.Code)
		}
		c.Confirm(r, "")
		sections := phone.ReadSDP(r.Body)
		audio, ok := phone.Of(sections, "audio")
		if !ok || audio.Direction() != wantAudio {
			t.Errorf("%s: the answer is\n%s\nwant %s", what, r.Body, wantAudio)
		}
		return sections
	}
	answer("hold", offer(c, 2, "sendonly", c.Audio, c.Video), "recvonly")
	s.wait("hold", func(i Info) bool { return i.Status == dialog.Hold && i.Video })
	answer("held on both sides", offer(c, 3, "inactive", c.Audio, c.Video), "inactive")
	answer("back", offer(c, 4, "sendrecv", c.Audio, c.Video), "sendrecv")
	s.wait("talking again", func(i Info) bool { return i.Status == dialog.Established })
	s.grows(5)

	s.quiet()
	audio, video := phone.NewStream(t), phone.NewStream(t)
	sections := answer("other ports", offer(c, 5, "sendrecv", audio, video), "sendrecv")
	for i, stream := range []*phone.Stream{audio, video} {
		stream.SendTo(sections[i])
	}
	t.Cleanup(video.Play(&phone.Picture{Type: c.VideoType, SSRC: 9, FPS: 25, Units: testkit.SyntheticUnits(10, 3000)}, phone.Reports{}))
	audio.Wait("silence at the new port", func() bool { return len(audio.Packets()) > 5 })
	s.grows(5)

	pcma := strings.Replace(offer(c, 6, "sendrecv", audio, video), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1)
	sections = answer("another codec", pcma, "sendrecv")
	if _, ok := sections[0].Type("PCMA/8000"); !ok {
		t.Errorf("the answer has %v, want PCMA", sections[0])
	}
	g729 := strings.Replace(phone.Offer(audio, nil), "RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000", "RTP/AVP 18", 1)
	if r := c.Request("INVITE", "", g729); r.Code != 488 {
		t.Errorf("an offer of G.729 alone is answered by %d, want 488", r.Code)
	}
	if i := s.one(); i.Status != dialog.Established {
		t.Errorf("after an offer that was refused the call is %+v", i)
	}
	c.HangUp()
}

// A re-INVITE without SDP gets an offer of everything, and the answer comes in the ACK.
func TestLateOffer(t *testing.T) {
	s := talking(t, nil)
	c := s.call
	s.grows(5)
	s.quiet()
	r := c.Request("INVITE", "", "")
	sections := phone.ReadSDP(r.Body)
	if _, ok := phone.Of(sections, "video"); r.Code != 200 || !ok {
		t.Fatalf("%d: the offer is\n%s", r.Code, r.Body)
	}
	audio, video := phone.NewStream(t), phone.NewStream(t)
	audio.SendTo(sections[0])
	c.Confirm(r, phone.Offer(audio, video))
	audio.Wait("silence at the new port", func() bool { return len(audio.Packets()) > 5 })
	if i := s.one(); i.Status != dialog.Established || !i.Video {
		t.Errorf("the call is %+v", i)
	}
}

// A stream that wants a key frame gets it by RTCP; from a phone that is deaf to RTCP, it is asked for by INFO.
func TestKeyFrames(t *testing.T) {
	var broken atomic.Bool
	s := talking(t, func(n int, _ phone.Packet) (copies, after int) {
		if broken.Load() && n%7 == 0 {
			return 0, 0
		}
		return 1, 0
	})
	c, picture := s.call, s.picture
	s.grows(5)
	src, _ := s.hub.Source("cam")
	keys := len(picture.Keys())
	src.RequestKeyFrame()
	c.Video.Wait("a key frame by RTCP", func() bool { return len(picture.Keys()) > keys })
	c.Video.Deaf(true)
	broken.Store(true)
	testkit.Eventually(t, 5*time.Second, func() string {
		if src.RequestKeyFrame(); c.Phone.Count("INFO") == 0 {
			return "no INFO"
		}
		return ""
	})
	info := c.Await("INFO")
	if info.Header("Content-Type") != "application/media_control+xml" || !strings.Contains(string(info.Body), "picture_fast_update") {
		t.Errorf("the INFO is\n%s", info.Raw)
	}
	c.Phone.Reply(info, phone.Reply{Code: 200})
	s.wait("both ways counted", func(i Info) bool { return i.KeyFrameRequests >= 3 })
	if k := s.Stats().KeyFrames; k["pli"] < 2 || k["info"] != 1 {
		t.Errorf("key frames asked for: %v", k)
	}
}

// Digits go by RTP, or by INFO; those of the phone are shown.
func TestDigits(t *testing.T) {
	s := talking(t, nil)
	c := s.call
	if err := s.SendDigits("c", "1#a", ""); err != nil {
		t.Fatal(err)
	}
	c.Audio.Wait("digits", func() bool { d := phone.Digits(c.Audio.Packets(), c.Events); return len(d) == 3 && d[2].Ends == 3 })
	if err := s.SendDigits("c", "5", DigitsInfo); err != nil {
		t.Fatal(err)
	}
	info := c.Await("INFO")
	c.Phone.Reply(info, phone.Reply{Code: 200})
	if !strings.Contains(string(info.Body), "Signal=5") {
		t.Errorf("the INFO is\n%s", info.Raw)
	}
	if r := c.Request("INFO", "application/dtmf-relay", "Signal=7\r\nDuration=160\r\n"); r.Code != 200 {
		t.Errorf("a digit of the phone is answered by %d", r.Code)
	}
	s.wait("the digit", func(i Info) bool { return i.Digits == "7" })
	for _, tt := range []struct {
		keys  string
		how   Digits
		field string
	}{{"", "", "dtmf"}, {"1x", "", "dtmf"}, {strings.Repeat("1", 65), "", "dtmf"}, {"1", "TONES", "type"}} {
		err := s.SendDigits("c", tt.keys, tt.how)
		if bad, ok := err.(*RequestError); !ok || bad.Field != tt.field {
			t.Errorf("%q by %q: %v", tt.keys, tt.how, err)
		}
	}
	most := strings.Repeat("1", 64)
	if err := s.SendDigits("c", most, DigitsRTP); err != nil {
		t.Error(err)
	}
	if err := s.SendDigits("c", most, DigitsRTP); !errors.Is(err, ErrState) {
		t.Errorf("more digits than can wait: %v, want ErrState", err)
	}
}
