package leg

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip/sdp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// camera makes access units of H.264, and the packets of a phone for them.
type camera struct {
	track *media.Track
	sets  [][]byte
	n     byte
}

func newCamera(tb testing.TB) *camera {
	tb.Helper()
	// By x264 for 1280x720.
	sps, _ := hex.DecodeString("6742c01fd9005005bb0110000003001000000303c8f1832480")
	pps, _ := hex.DecodeString("68cb83cb20")
	track, err := media.NewH264Track(sps, pps)
	if err != nil {
		tb.Fatal(err)
	}
	return &camera{track: track, sets: [][]byte{sps, pps}}
}

// frame makes an access unit of two slices, as in the hub: without parameter sets.
func (c *camera) frame(key bool, size int) media.Frame {
	c.n++
	header := byte(0x41)
	if key {
		header = 0x65
	}
	var data []byte
	for i := range 2 {
		slice := bytes.Repeat([]byte{c.n}, size/2)
		slice[0], slice[1] = header, byte(i)
		data = append(data, 0, 0, byte(len(slice)>>8), byte(len(slice)))
		data = append(data, slice...)
	}
	return media.Frame{Track: c.track, Key: key, Data: data}
}

// film sends a frame as a phone does.
func (s *socket) film(packets rtc.Packetizer, number uint8, f media.Frame) {
	s.p.t.Helper()
	payloads := packets.Payloads(f)
	for i, payload := range payloads {
		s.rtp(number, i == len(payloads)-1, payload...)
	}
	s.time += 3000
}

// reader reads what the leg writes to its stream.
func (p *line) reader() *stream.Reader {
	r := p.src.NewReader(stream.ReaderConfig{Video: p.src.Video, Audio: p.src.Audio})
	p.t.Cleanup(r.Close)
	return r
}

// frames waits for frames.
func frames(t *testing.T, r *stream.Reader, n int) (list []media.Frame) {
	t.Helper()
	buf := make([]media.Frame, 64)
	testkit.Eventually(t, 10*time.Second, func() string {
		k, err := r.TryRead(buf)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, buf[:k]...)
		if len(list) < n {
			return fmt.Sprintf("%d frames, want %d", len(list), n)
		}
		return ""
	})
	return list
}

// TestPicture: H.264 reaches the stream byte for byte, in packetization mode 0 and 1, under our payload type and under the phone's.
func TestPicture(t *testing.T) {
	for _, tt := range []struct {
		name   string
		number uint8
		cfg    rtc.PacketizerConfig
		size   int
	}{
		{"mode 1", 97, rtc.PacketizerConfig{Codec: media.H264}, 20000},
		{"mode 1 under the phone's number", 96, rtc.PacketizerConfig{Codec: media.H264, NoSTAPA: true}, 20000},
		{"mode 0, larger than any packet of Ethernet", 97, rtc.PacketizerConfig{Codec: media.H264, SingleNAL: true}, 100000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newLine(t)
			p.answer()
			r, c, packets := p.reader(), newCamera(t), rtc.NewPacketizer(tt.cfg)
			want := []media.Frame{c.frame(true, tt.size), c.frame(false, 700), c.frame(false, 4000), c.frame(true, tt.size)}
			var sent int64
			for _, f := range want {
				before := p.video.seq
				p.video.film(packets, tt.number, f)
				sent += int64(p.video.seq - before)
				p.received(t, media.Video, sent)
			}
			for i, f := range frames(t, r, len(want)) {
				if !bytes.Equal(f.Data, want[i].Data) || f.Key != want[i].Key || !bytes.Equal(f.Track.Config, c.track.Config) {
					t.Errorf("frame %d differs: %d bytes, want %d", i, len(f.Data), len(want[i].Data))
				}
			}
			p.events.await(t, "began video")
			testkit.Eventually(t, 10*time.Second, func() string {
				if !p.src.IsLive() {
					return "the stream is not live"
				}
				return ""
			})
		})
	}
}

// TestSpropParameterSets: a phone whose parameter sets are in the SDP only.
func TestSpropParameterSets(t *testing.T) {
	p := newLine(t)
	picture := p.pictureFlow()
	picture.Send.Params = "packetization-mode=1;sprop-parameter-sets=Z0LAH9kAUAW7ARAAAAMAEAAAAwPI8YMkgA==,aMuDyyA="
	p.agree(p.soundFlow(), picture)
	p.leg.Start()
	p.publish()
	r, c := p.reader(), newCamera(t)
	bare := media.Frame{Track: &media.Track{Codec: media.H264}, Key: true, Data: c.frame(true, 900).Data}
	p.video.film(rtc.NewPacketizer(rtc.PacketizerConfig{Codec: media.H264}), 97, bare)
	if f := frames(t, r, 1)[0]; !bytes.Equal(f.Track.Config, c.track.Config) || !bytes.Equal(f.Data, bare.Data) {
		t.Errorf("the frame has the sets % x", f.Track.Config)
	}
}

// TestSound: the phone changes the codec at any packet. Digits and comfort noise are no sound, and other types are refused.
func TestSound(t *testing.T) {
	p := newLine(t)
	p.answer()
	r := p.reader()
	for _, x := range []struct {
		number  uint8
		payload []byte
	}{
		{0, []byte("pcmu")}, {8, []byte("pcma")}, {13, []byte("noise")}, {101, event(5, true, 800)}, {99, []byte("unknown")}, {111, []byte{0xfc}}, {0, []byte("PCMU")},
	} {
		if x.number == 99 {
			p.audio.seq-- // it takes no number
		}
		p.audio.rtp(x.number, false, x.payload...)
		p.audio.time += 160
	}
	var got []string
	for _, f := range frames(t, r, 4) {
		got = append(got, fmt.Sprintf("%v %s", f.Track.Codec, f.Data))
	}
	if want := []string{"PCMU pcmu", "PCMA pcma", "opus \xfc", "PCMU PCMU"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	p.events.await(t, "digit 5 100ms")
	p.refused(t, media.Audio, Refused{Type: 1})
	if st := p.leg.Stats(); st.Audio.Packets != 6 || st.Audio.Lost != 0 || st.Audio.Codec != media.PCMU || !st.Audio.Latched || st.Digits != 1 {
		t.Errorf("stats %+v", st)
	}
}

// TestSSRCAndRestart: another SSRC is followed at once, and after a new SDP so are sequence numbers that begin anew.
func TestSSRCAndRestart(t *testing.T) {
	p := newLine(t)
	p.answer()
	r := p.reader()
	p.audio.rtp(0, true, 'a')
	p.audio.ssrc, p.audio.seq, p.audio.time = 99, 7, 12
	p.audio.rtp(0, true, 'b')
	p.received(t, media.Audio, 2)
	p.pass(time.Second)
	p.agree(p.soundFlow(), p.pictureFlow())
	p.audio.seq, p.audio.time = 1, 99999
	for _, c := range []byte("cde") { // two in a row prove it
		p.audio.rtp(0, false, c)
		p.audio.time += 160
	}
	var got []byte
	for _, f := range frames(t, r, 4) {
		got = append(got, f.Data...)
	}
	if string(got) != "abde" && string(got) != "abcde" {
		t.Errorf("got %q", got)
	}
}

// kept waits until so many datagrams wait for an agreement.
func (p *line) kept(t *testing.T, want int) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, func() string {
		p.leg.mu.Lock()
		defer p.leg.mu.Unlock()
		if n := len(p.leg.early); n != want {
			return fmt.Sprintf("%d datagrams wait, want %d", n, want)
		}
		return ""
	})
}

// TestOvertakenAnswer: what a phone sends before we have its answer is not lost, however much strangers send. Only little of it is kept, and
// not for long.
func TestOvertakenAnswer(t *testing.T) {
	p := newLine(t)
	c, packets := newCamera(t), rtc.NewPacketizer(rtc.PacketizerConfig{Codec: media.H264})
	want := c.frame(true, 4000)
	p.video.film(packets, 97, want)
	p.audio.rtp(0, true, 'a')
	n := int(p.video.seq-65530) + 1
	p.kept(t, n)
	p.answer()
	p.pass(500 * time.Millisecond)
	if n := p.leg.Stats().KeyRequests; n != (KeyRequests{}) {
		t.Errorf("a key frame came, and another one was asked for: %+v", n)
	}
	r := p.reader()
	p.audio.rtp(0, false, 'b')
	var got []string
	for _, f := range frames(t, r, 1) {
		got = append(got, string(f.Data))
	}
	if st := p.src.Stats(); st.Video.Frames != 1 || st.Video.KeyFrames != 1 || !slices.Equal(got, []string{"b"}) {
		t.Errorf("%d pictures, then the sound %q", st.Video.Frames, got)
	}
	if st := p.leg.Stats(); st.Audio.Packets != 2 || st.Video.Packets != int64(n-1) || st.Video.Refused.Total() > 0 {
		t.Errorf("stats %+v", st)
	}

	p = newLine(t)
	for range 2 * maxEarly {
		p.audio.rtp(0, false, 'a')
	}
	p.refused(t, media.Audio, Refused{Stranger: maxEarly})
	p.pass(2 * time.Second)
	p.answer()
	p.refused(t, media.Audio, Refused{Stranger: 2 * maxEarly})
}

// TestStrangers: packets of others reach nothing before the phone has sent, and nothing after.
func TestStrangers(t *testing.T) {
	p := newLine(t)
	stranger, stranger2 := p.socketOn("127.0.0.2", p.leg.AudioPort()), p.socketOn("127.0.0.1", p.leg.AudioPort())
	stranger.rtp(0, false, 'x') // nothing is agreed on
	p.kept(t, 1)
	p.answer()
	p.refused(t, media.Audio, Refused{Stranger: 1})
	r := p.reader()
	stranger.rtp(0, false, 'x')
	stranger2.rtp(0, false, 'x') // the phone's host, but another port: a NAT would show it after a silence only
	p.refused(t, media.Audio, Refused{Stranger: 3})
	p.audio.rtp(0, false, 'a')
	p.received(t, media.Audio, 1)
	for range 10 {
		stranger.rtp(0, false, 'x')
		stranger2.rtp(0, false, 'x')
	}
	p.refused(t, media.Audio, Refused{Stranger: 23})
	p.audio.rtp(0, false, 'b')
	p.received(t, media.Audio, 2)
	if got := frames(t, r, 2); string(got[0].Data)+string(got[1].Data) != "ab" {
		t.Errorf("got %q, %q", got[0].Data, got[1].Data)
	}
	if st := p.stats(media.Audio); st.Remote != p.audio.addr() {
		t.Errorf("we send to %v", st.Remote)
	}
}

// TestWrongAddress: the SDP of the phone names an address where it is not, but its SIP messages come from the host that sends.
func TestWrongAddress(t *testing.T) {
	p := newLine(t)
	sound := p.soundFlow()
	sound.Address = "127.0.0.9"
	p.agree(sound, nil)
	p.leg.Start()
	p.publish()
	phone := p.socketOn("127.0.0.3", p.leg.AudioPort())
	phone.rtp(0, false, 'a')
	p.received(t, media.Audio, 1)
	if st := p.stats(media.Audio); !st.Latched || st.Remote != phone.addr() {
		t.Errorf("we send to %v, want %v", st.Remote, phone.addr())
	}
	p.pass(100 * time.Millisecond)
	if len(phone.packets()) == 0 {
		t.Error("the phone gets no sound")
	}
}

// TestPhoneStays: a new SDP names another port, but the phone goes on from its old one. It gets its sound there again.
func TestPhoneStays(t *testing.T) {
	p := newLine(t)
	p.answer()
	p.audio.rtp(0, false, 'a')
	p.received(t, media.Audio, 1)
	other := p.socket(p.leg.AudioPort())
	sound := p.soundFlow()
	sound.Port = int(other.addr().Port())
	p.agree(sound, nil)
	p.audio.rtp(0, false, 'b')
	p.received(t, media.Audio, 2)
	p.audio.packets()
	p.pass(100 * time.Millisecond)
	if n := len(other.packets()); n != 5 || len(p.audio.packets()) > 0 {
		t.Errorf("the new port got %d packets in 100 ms, and the old one some", n)
	}
	p.pass(3 * time.Second)
	p.audio.rtp(0, false, 'c')
	p.received(t, media.Audio, 3)
	other.packets()
	p.pass(100 * time.Millisecond)
	if n := len(p.audio.packets()); n != 5 || len(other.packets()) > 0 {
		t.Errorf("the old port got %d packets in 100 ms, and the new one some", n)
	}
}

// TestGarbage: what is no media of the call has no effect but counts.
func TestGarbage(t *testing.T) {
	p := newLine(t)
	p.answer()
	r := p.reader()
	p.audio.rtp(0, false, 'a')
	for _, b := range [][]byte{
		{}, {0x80}, make([]byte, 20), {0, 1}, {22, 254, 253}, bytes.Repeat([]byte{0xff}, 9000), bytes.Repeat([]byte{0x80}, 11),
		append([]byte{0xa0, 0, 0, 1}, bytes.Repeat([]byte{0xff}, 12)...), // more padding than there is
		{0x80, 200, 0, 1}, // RTCP that is cut off
	} {
		p.audio.send(b)
	}
	p.audio.send(p.audio.packet(0, false, bytes.Repeat([]byte{7}, 9000))) // strange, but valid
	p.audio.send(marshal(t, &rtcp.Goodbye{Sources: []uint32{p.audio.ssrc}}, &rtcp.ReceiverReport{SSRC: p.audio.ssrc}))
	p.audio.rtp(0, false, 'b')
	p.received(t, media.Audio, 3)
	p.refused(t, media.Audio, Refused{STUN: 2, DTLS: 1, Malformed: 6})
	got := frames(t, r, 3)
	if string(got[0].Data) != "a" || len(got[1].Data) != 9000 || string(got[2].Data) != "b" {
		t.Errorf("got %d frames", len(got))
	}
	p.audioRTCP.send(p.audio.packet(0, false, []byte{'x'})) // RTP to the RTCP port
	p.refused(t, media.Audio, Refused{STUN: 2, DTLS: 1, Malformed: 7})
}

func marshal(t *testing.T, packets ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEarlyMedia: before Publish packets are counted and go nowhere.
func TestEarlyMedia(t *testing.T) {
	p := newLine(t)
	p.agree(p.soundFlow(), p.pictureFlow())
	p.audio.rtp(0, false, 'e')
	p.received(t, media.Audio, 1)
	p.pass(20 * time.Second) // it rings
	p.leg.Start()
	p.publish()
	r := p.reader()
	p.audio.rtp(0, false, 'a')
	if got := frames(t, r, 1); string(got[0].Data) != "a" {
		t.Errorf("got %q", got[0].Data)
	}
	p.events.await(t, "began audio")
	if lines := p.events.all(); len(lines) != 1 {
		t.Errorf("events %q", lines)
	}
}

// TestHold: packets of a phone that agreed not to send are refused, and their absence is no timeout. A new SDP with a new port ends it.
func TestHold(t *testing.T) {
	p := newLine(t)
	p.answer()
	r := p.reader()
	p.audio.rtp(0, false, 'a')
	p.received(t, media.Audio, 1)
	hold, picture := p.soundFlow(), p.pictureFlow()
	hold.Direction, picture.Direction = sdp.SendOnly, sdp.Inactive
	p.agree(hold, picture)
	p.audio.rtp(0, false, 'h')
	p.refused(t, media.Audio, Refused{Held: 1})
	p.pass(5 * time.Minute)
	moved := p.socket(p.leg.AudioPort())
	moved.ssrc++
	sound := p.soundFlow()
	sound.Port = int(moved.addr().Port())
	p.agree(sound, p.pictureFlow())
	moved.rtp(0, true, 'b')
	p.received(t, media.Audio, 2)
	if got := frames(t, r, 2); string(got[1].Data) != "b" {
		t.Errorf("got %q", got[1].Data)
	}
	p.pass(100 * time.Millisecond)
	if len(moved.packets()) == 0 {
		t.Error("the phone's new port gets no sound")
	}
	if lines := p.events.all(); !slices.Equal(lines, []string{"began audio"}) {
		t.Errorf("events %q", lines)
	}
	p.pass(61 * time.Second)
	p.events.await(t, fmt.Sprintf("timeout: no media from the phone: no RTP from %v for 1m0s", moved.addr()))
}

// TestFirstPacketTimeout: the error of a phone that never sends names the address.
func TestFirstPacketTimeout(t *testing.T) {
	p := newLine(t)
	p.agree(p.soundFlow(), p.pictureFlow())
	p.pass(time.Minute) // it rings
	p.leg.Start()
	p.pass(15*time.Second - beat)
	if lines := p.events.all(); len(lines) > 0 {
		t.Errorf("events %q", lines)
	}
	p.pass(time.Minute)
	if lines, want := p.events.all(), fmt.Sprintf("timeout: no media from the phone: no RTP from %v for 15s; NAT?", p.audio.addr()); !slices.Equal(lines, []string{want}) {
		t.Errorf("events %q, want %q", lines, want)
	}
}

// TestKeyFrameRequests: at the beginning, after a loss, and by the phone's wish for FIR only.
func TestKeyFrameRequests(t *testing.T) {
	for _, tt := range []struct {
		name     string
		pli, fir bool
		want     string
	}{
		{"nothing was agreed on", false, false, "pli"},
		{"both", true, true, "pli"},
		{"FIR only", false, true, "fir"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newLine(t)
			picture := p.pictureFlow()
			picture.PLI, picture.FIR = tt.pli, tt.fir
			p.agree(p.soundFlow(), picture)
			p.leg.Start()
			p.publish()
			c, packets := newCamera(t), rtc.NewPacketizer(rtc.PacketizerConfig{Codec: media.H264, NoSTAPA: true})
			asked := func() (n int) {
				for _, x := range p.videoRTCP.reports() {
					switch x := x.(type) {
					case *rtcp.PictureLossIndication:
						if tt.want != "pli" || x.MediaSSRC != p.video.ssrc {
							t.Errorf("got %+v", x)
						}
						n++
					case *rtcp.FullIntraRequest:
						if tt.want != "fir" || len(x.FIR) != 1 || x.FIR[0].SSRC != p.video.ssrc {
							t.Errorf("got %+v", x)
						}
						n++
					}
				}
				return n
			}
			p.pass(100 * time.Millisecond)
			if n := asked(); n != 0 {
				t.Errorf("%d requests before the first packet", n)
			}
			p.video.film(packets, 97, c.frame(false, 400)) // the key frame got lost
			p.received(t, media.Video, 2)
			if p.pass(100 * time.Millisecond); asked() != 1 {
				t.Error("no key frame was asked for within 100 ms")
			}
			p.video.film(packets, 97, c.frame(true, 400))
			p.received(t, media.Video, 6)
			if p.pass(900 * time.Millisecond); asked() != 0 {
				t.Error("a key frame was asked for that had come")
			}
			p.video.seq += 5 // a loss
			p.video.film(packets, 97, c.frame(false, 400))
			p.received(t, media.Video, 8)
			if p.pass(100 * time.Millisecond); asked() != 1 {
				t.Error("no key frame was asked for within 100 ms of a loss")
			}
			for n := range int64(6) { // the phone does not answer
				p.video.film(packets, 97, c.frame(false, 400))
				p.received(t, media.Video, 10+2*n)
				p.pass(200 * time.Millisecond)
			}
			p.events.await(t, "key frame missing")
			if n := asked(); n != 1 {
				t.Errorf("%d more requests, want 1", n)
			}
			if r := p.leg.Stats().KeyRequests; r.PLI+r.FIR != 3 || r.Missing != 1 || (r.FIR > 0) != (tt.want == "fir") {
				t.Errorf("requests %+v", r)
			}
		})
	}
}

// TestWishedKeyFrame: the hub's requests are merged, and their absence is not reported.
func TestWishedKeyFrame(t *testing.T) {
	p := newLine(t)
	p.answer()
	c, packets := newCamera(t), rtc.NewPacketizer(rtc.PacketizerConfig{Codec: media.H264, NoSTAPA: true})
	p.video.film(packets, 97, c.frame(true, 400))
	p.received(t, media.Video, 4)
	p.pass(2 * time.Second)
	before := p.leg.Stats().KeyRequests
	for n := range int64(10) {
		p.video.film(packets, 97, c.frame(false, 400))
		p.received(t, media.Video, 6+2*n)
		p.leg.AskKeyFrame()
		p.pass(100 * time.Millisecond)
	}
	if r := p.leg.Stats().KeyRequests; r.PLI-before.PLI != 1 || r.Missing != 0 {
		t.Errorf("requests %+v, before %+v", r, before)
	}
}
