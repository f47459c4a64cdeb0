//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"transponder/internal/testkit/phone"
)

// The peers of the SIP tests understand each other without a server: what goes wrong with the server is no fault of theirs.

func TestBaresipMeetsPhone(t *testing.T) {
	t.Parallel()
	b := startBaresip(t, baresipConfig{hears: true})
	p := phone.New(t, phone.Config{})
	audio, video := phone.NewStream(t), phone.NewStream(t)
	c := p.Dial(b.uri(), p.PeerOf(b.uri()), audio, video)
	defer audio.Play(&phone.Sound{Type: c.AudioType, SSRC: 5, Payload: phone.Tone(1000, false, nil)}, phone.Reports{})()
	video.Wait("a hundred pictures", func() bool { return len(video.Packets()) > 100 })
	hz, level := phone.Pitch(phone.PCM(audio.Packets()), 8000)
	t.Logf("sound %d packets, %.1f Hz, level %.2f", len(audio.Packets()), hz, level)
	if hz < 435 || hz > 445 {
		t.Errorf("the tone has %.1f Hz, want 440", hz)
	}
	pictures, err := phone.Pictures(video.Packets(), c.VideoType)
	if err != nil || len(pictures) < 90 {
		t.Errorf("%d pictures: %v", len(pictures), err)
	}
	b.do("hangup", "")
	p.Reply(c.Await("BYE"), phone.Reply{Code: 200})
	b.await("CALL_CLOSED", 1)
	samples, _ := sound(t, b.heard())
	pcm := make([]float64, 0, len(samples))
	for _, x := range samples[len(samples)/4 : len(samples)*3/4] {
		pcm = append(pcm, float64(x))
	}
	if hz, level := phone.Pitch(pcm, soundRate); hz < 990 || hz > 1010 {
		t.Errorf("baresip heard %.1f Hz at a level of %.2f, want 1000", hz, level)
	}

}

func TestSIPpMeetsPhone(t *testing.T) {
	t.Parallel()
	scenario := strings.Join([]string{
		sippInvite, sippReply("180 Ringing", ""), sippReply("200 OK", sippSDP), sippAck, `<recv request="BYE"/>`, sippReplyWithin("200 OK"),
	}, "\n")
	s := startSIPp(t, scenario, 1)
	p := phone.New(t, phone.Config{})
	p.Dial(s.uri(), p.PeerOf(s.uri()), phone.NewStream(t), nil).HangUp()
	s.await()
}

// A call from the scripted phone reaches a registered baresip through the proxy, with a login for the INVITE.
func TestKamailioMeetsPhone(t *testing.T) {
	t.Parallel()
	k := startKamailio(t)
	startBaresip(t, baresipConfig{domain: "127.0.0.1:" + k.port, account: ";auth_pass=1234;regint=40"})
	k.awaitRegistered("bob", 1)
	p := phone.New(t, phone.Config{})
	to := "sip:bob@127.0.0.1:" + k.port
	d := p.Calling(to, p.PeerOf(to))
	d.Send("INVITE", "", phone.Offer(phone.NewStream(t), phone.NewStream(t)))
	if challenge := d.Await("407 INVITE").Header("Proxy-Authenticate"); !strings.HasPrefix(challenge, "Digest ") {
		t.Errorf("the challenge is %q", challenge)
	}
}

func TestLinphoneMeetsPhone(t *testing.T) {
	t.Parallel()
	uri := startLinphone(t)
	p := phone.New(t, phone.Config{})
	audio, video := phone.NewStream(t), phone.NewStream(t)
	d := p.Calling(uri, p.PeerOf(uri))
	answer := d.Request("INVITE", "", phone.Describe("127.0.0.1", 1,
		audio.Section("audio", "RTP/AVP 0", "a=rtpmap:0 PCMU/8000"), video.Section("video", "RTP/AVP 96", "a=rtpmap:96 VP8/90000")))
	if answer.Code != 200 {
		t.Fatalf("the INVITE was answered with %d", answer.Code)
	}
	d.Confirm(answer, "")
	video.Wait("pictures", func() bool { return len(video.Packets()) > 3 })
	t.Logf("%d packets, SDP says %+v, they come from %v; %d strange datagrams", len(video.Packets()), phone.ReadSDP(answer.Body)[1].Address,
		video.Packets()[0].From, audio.Strange()+video.Strange())
	d.HangUp()
}
