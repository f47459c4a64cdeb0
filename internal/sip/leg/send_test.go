package leg

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/sip/sdp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// even checks that packets are one unbroken stream of sound: the numbers rise by one, and the times by units.
func even(t *testing.T, packets []rtc.Packet, units uint32) {
	t.Helper()
	for i, p := range packets[1:] {
		before := packets[i]
		if p.Seq != before.Seq+1 || p.Time != before.Time+units || p.SSRC != before.SSRC || p.Marker {
			t.Errorf("packet %d: number %d, time %d, marker %v; before it %d, %d", i+1, p.Seq, p.Time, p.Marker, before.Seq, before.Time)
		}
	}
}

// TestSilence: a phone hears silence in its codec as soon as something is agreed on, at an even pace.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		codec  sdp.Codec
		length time.Duration
		want   []byte
		units  uint32
		count  int // in 600 ms
	}{
		{sdp.PCMU, 20 * time.Millisecond, bytes.Repeat([]byte{0xff}, 160), 160, 30},
		{sdp.PCMA, 20 * time.Millisecond, bytes.Repeat([]byte{0xd5}, 160), 160, 30},
		{sdp.PCMU, 30 * time.Millisecond, bytes.Repeat([]byte{0xff}, 240), 240, 20},
		{sdp.PCMA, 60 * time.Millisecond, bytes.Repeat([]byte{0xd5}, 480), 480, 10},
		{sdp.Opus, 20 * time.Millisecond, []byte{0xf8, 0xff, 0xfe}, 960, 30}, // RFC 6716, 4.3: the silence flag
		{sdp.Opus, 40 * time.Millisecond, []byte{0xf8, 0xff, 0xfe}, 960, 30}, // RFC 8866, 6.4: the length is a wish
		{sdp.G722, 20 * time.Millisecond, nil, 160, 30},
		{sdp.SpeexWide, 20 * time.Millisecond, nil, 320, 30},
		{sdp.Speex, 20 * time.Millisecond, nil, 160, 30},
	} {
		t.Run(fmt.Sprint(tt.codec, " ", tt.length), func(t *testing.T) {
			p := newLine(t)
			p.pass(100 * time.Millisecond)
			if got := p.audio.packets(); len(got) > 0 {
				t.Errorf("%d packets before anything is agreed on", len(got))
			}
			sound := p.soundFlow()
			sound.Send, sound.PacketTime = sdp.Type{Number: 77, Codec: tt.codec}, tt.length
			p.agree(sound, nil)
			p.pass(600 * time.Millisecond)
			got := p.audio.packets()
			if len(got) != tt.count {
				t.Fatalf("%d packets, want %d", len(got), tt.count)
			}
			if !got[0].Marker || got[0].PayloadType != 77 || tt.want != nil && !bytes.Equal(got[0].Payload, tt.want) || len(got[0].Payload) == 0 {
				t.Errorf("marker %v, type %d, % x", got[0].Marker, got[0].PayloadType, got[0].Payload)
			}
			even(t, got, tt.units)
			if st := p.stats(media.Audio); st.Sent != int64(tt.count) || st.Unsent != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// TestHeldSilence: nothing is sent while the agreement does not allow it, and the times go on afterwards.
func TestHeldSilence(t *testing.T) {
	p := newLine(t)
	p.answer()
	p.pass(100 * time.Millisecond)
	before := p.audio.packets()
	hold := p.soundFlow()
	hold.Direction = sdp.Inactive
	p.agree(hold, nil)
	p.pass(time.Second)
	if got := p.audio.packets(); len(got) > 0 {
		t.Errorf("%d packets on hold", len(got))
	}
	p.agree(p.soundFlow(), nil)
	p.pass(100 * time.Millisecond)
	after := p.audio.packets()
	gap := after[0].Time - before[len(before)-1].Time
	if after[0].SSRC != before[0].SSRC || !after[0].Marker || gap < 8000 || gap > 8500 {
		t.Errorf("after a second on hold the time is %d further", gap)
	}
}

// TestDeaf: an address that never answers gets 250 packets of sound and no more, until it answers.
func TestDeaf(t *testing.T) {
	p := newLine(t)
	p.answer()
	total := 0
	for range 8 {
		p.pass(time.Second)
		total += len(p.audio.packets())
	}
	if total > 250 || total < 240 {
		t.Errorf("%d packets were sent", total)
	}
	p.audio.rtp(0, false, 'a')
	p.received(t, media.Audio, 1)
	p.pass(100 * time.Millisecond)
	if n := len(p.audio.packets()); n != 5 {
		t.Errorf("%d packets in 100 ms after an answer", n)
	}
}

// TestForbiddenAddress: nothing goes to addresses that are no phone's, and to those that the policy forbids.
func TestForbiddenAddress(t *testing.T) {
	p := newLine(t, func(_ *Config, parts *Parts) {
		parts.Allowed = func(host string, to netip.AddrPort) error {
			if to.Addr() == netip.MustParseAddr("127.0.0.5") {
				return fmt.Errorf("%s is forbidden", host)
			}
			return nil
		}
	})
	for _, host := range []string{"127.0.0.5", "0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.2.3", "::1", "", "::ffff:224.0.0.1"} {
		sound := p.soundFlow()
		sound.Address, sound.RTCPAddress = host, host
		p.agree(sound, nil)
		p.pass(100 * time.Millisecond)
		if st := p.stats(media.Audio); st.Remote.IsValid() || st.Sent+st.Unsent > 0 {
			t.Errorf("%q: %d packets to %v", host, st.Sent+st.Unsent, st.Remote)
		}
	}
	sound := p.soundFlow()
	sound.Port = p.leg.VideoPort()
	p.agree(sound, nil)
	if st := p.stats(media.Audio); st.Remote.IsValid() {
		t.Error("the leg sends to itself")
	}
}

// TestHostName: a host name in the SDP is resolved, and judged as an address.
func TestHostName(t *testing.T) {
	p := newLine(t, func(_ *Config, parts *Parts) {
		parts.Resolve = func(_ context.Context, host string) (netip.Addr, error) {
			if host != "phone.example" {
				return netip.Addr{}, errors.New("no such host")
			}
			return netip.MustParseAddr("127.0.0.1"), nil
		}
	})
	sound, picture := p.soundFlow(), p.pictureFlow()
	sound.Address, picture.Address = "phone.example", "unknown.example"
	p.agree(sound, picture)
	testkit.Eventually(t, 10*time.Second, func() string {
		if st := p.stats(media.Audio); st.Remote != p.audio.addr() {
			return fmt.Sprintf("we send to %v", st.Remote)
		}
		return ""
	})
	p.pass(100 * time.Millisecond)
	if len(p.audio.packets()) == 0 || p.stats(media.Video).Remote.IsValid() {
		t.Error("nothing came, or a host without an address got one")
	}
}

// TestHostNameTooLate: an address that DNS tells after another agreement is not used.
func TestHostNameTooLate(t *testing.T) {
	asked, late := make(chan string, 10), make(chan struct{})
	p := newLine(t, func(_ *Config, parts *Parts) {
		parts.Resolve = func(_ context.Context, host string) (netip.Addr, error) {
			asked <- host
			if host == "late.example" {
				<-late
				return netip.MustParseAddr("127.0.0.9"), nil
			}
			return netip.Addr{}, errors.New("no such host")
		}
	})
	sound, picture := p.soundFlow(), p.pictureFlow()
	sound.Address, picture.Address = "late.example", "other.example"
	p.agree(sound, picture)
	<-asked
	p.agree(p.soundFlow(), picture)
	close(late)
	if host := <-asked; host != "other.example" { // the picture comes after the sound
		t.Errorf("DNS was asked for %s", host)
	}
	if got := p.stats(media.Audio).Remote; got != p.audio.addr() {
		t.Errorf("we send to %v, want %v", got, p.audio.addr())
	}
}

// TestDigitsOut: digits replace the sound, under the same SSRC and in the same numbers, with the time at which each begins.
func TestDigitsOut(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sound sdp.Type
		event sdp.Type
		step  uint32 // of sound in 20 ms
		clock uint16 // units of an event in 20 ms
	}{
		{"G.711", sdp.Type{Number: 0, Codec: sdp.PCMU}, sdp.Type{Number: 101, Codec: sdp.Events}, 160, 160},
		{"Opus", sdp.Type{Number: 111, Codec: sdp.Opus}, sdp.Type{Number: 119, Codec: sdp.EventsWide}, 960, 960},
		{"Opus with events at 8000 Hz, as baresip", sdp.Type{Number: 111, Codec: sdp.Opus}, sdp.Type{Number: 96, Codec: sdp.Events}, 960, 160},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newLine(t)
			sound := p.soundFlow()
			sound.Send, sound.Events = tt.sound, &tt.event
			p.agree(sound, nil)
			p.pass(60 * time.Millisecond)
			if err := p.leg.SendDigits("1#"); err != nil {
				t.Fatal(err)
			}
			p.pass(440 * time.Millisecond)
			var got, want []string
			packets := p.audio.packets()
			for i, x := range packets {
				at := (x.Time - packets[0].Time) / tt.step * 20
				if x.PayloadType == tt.event.Number {
					got = append(got, fmt.Sprintf("%d ms %v % x", at, x.Marker, x.Payload))
				} else {
					got = append(got, fmt.Sprintf("%d ms %v sound", at, x.Marker))
				}
				if x.Seq != packets[0].Seq+uint16(i) || x.SSRC != packets[0].SSRC {
					t.Errorf("packet %d has the number %d", i, x.Seq)
				}
			}
			want = append(want, "0 ms true sound", "20 ms false sound", "40 ms false sound")
			for k, code := range []byte{1, 11} {
				at := 60 + 200*k
				for i := range uint16(7) {
					want = append(want, fmt.Sprintf("%d ms %v % x", at, i == 0, event(code, i >= 4, min(i+1, 5)*tt.clock)))
				}
			}
			want = append(want, "460 ms true sound", "480 ms false sound")
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestNoDigits: digits that cannot be sent.
func TestNoDigits(t *testing.T) {
	p := newLine(t)
	if err := p.leg.SendDigits("1"); !errors.Is(err, ErrNoEvents) {
		t.Errorf("before an agreement: %v", err)
	}
	sound := p.soundFlow()
	sound.Events = nil
	p.agree(sound, nil)
	if err := p.leg.SendDigits("1"); !errors.Is(err, ErrNoEvents) {
		t.Errorf("without events: %v", err)
	}
	sound = p.soundFlow()
	sound.Events = &sdp.Type{Number: 101, Codec: sdp.Events, Params: "0-11"}
	p.agree(sound, nil)
	if err := p.leg.SendDigits("A"); !errors.Is(err, errDigits) {
		t.Errorf("a digit that the phone does not know: %v", err)
	}
	if err := p.leg.SendDigits(strings.Repeat("1", 65)); !errors.Is(err, errQueue) {
		t.Errorf("65 digits: %v", err)
	}
}

// other makes a stream to play, with a track of sound.
func (p *line) other(t *testing.T, name string) *stream.Source {
	t.Helper()
	src, err := p.hub.Publish(stream.Info{Name: name, ID: name, HasAudio: true, HasVideo: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close(nil) })
	return src
}

var (
	trackPCMU = &media.Track{Codec: media.PCMU, SampleRate: 8000, Channels: 1}
	trackPCMA = &media.Track{Codec: media.PCMA, SampleRate: 8000, Channels: 1}
)

// attached waits until somebody reads a feed.
func attached(t *testing.T, f *stream.Feed) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, func() string {
		if f.Stats().Readers == 0 {
			return "nobody reads"
		}
		return ""
	})
}

// queued waits until so much of the played sound waits to be sent.
func (p *line) queued(t *testing.T, want time.Duration) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, func() string {
		p.leg.voice.mu.Lock()
		defer p.leg.voice.mu.Unlock()
		if held := p.leg.voice.queue.held; held != want {
			return fmt.Sprintf("%v of sound wait, want %v", held, want)
		}
		return ""
	})
}

// TestPlay: the phone hears a stream between silence and silence, without a gap, in packets of the agreed length.
func TestPlay(t *testing.T) {
	p := newLine(t)
	p.answer()
	if err := p.leg.Play(p.src); !errors.Is(err, errOwnStream) {
		t.Errorf("the call's own stream: %v", err)
	}
	src := p.other(t, "music")
	if err := p.leg.Play(src); err != nil {
		t.Fatal(err)
	}
	attached(t, src.Audio)
	p.pass(100 * time.Millisecond)
	for i := range 10 { // frames of 30 ms, packets of 20 ms
		data := bytes.Repeat([]byte{byte(i)}, 240)
		src.Audio.Write(media.Frame{Track: trackPCMU, Time: media.Timestamp(i) * media.Timestamp(30*time.Millisecond), Key: true, Data: data})
		if i%2 == 1 {
			p.queued(t, 60*time.Millisecond)
			p.pass(60 * time.Millisecond)
			p.queued(t, 0)
		}
	}
	src.Close(errors.New("it is over"))
	p.events.await(t, "stream ended: the stream has ended: it is over")
	p.pass(100 * time.Millisecond)
	packets := p.audio.packets()
	even(t, packets, 160)
	var got []byte
	for _, x := range packets {
		got = append(got, x.Payload...)
	}
	var want []byte
	for i := range 10 {
		want = append(want, bytes.Repeat([]byte{byte(i)}, 240)...)
	}
	silence := bytes.Repeat([]byte{0xff}, 800)
	if want = slices.Concat(silence, want, silence); !bytes.Equal(got, want) {
		t.Errorf("the phone heard %d bytes, want %d", len(got), len(want))
	}
}

// TestPlayTranscoded: sound in another codec is transcoded once, and the rendition is given back.
func TestPlayTranscoded(t *testing.T) {
	var asked, released int
	var made *stream.Feed
	p := newLine(t, func(_ *Config, parts *Parts) {
		parts.Transcode = func(_ *stream.Source, codec media.Codec) (*stream.Feed, func(), error) {
			if codec != media.PCMU {
				return nil, nil, fmt.Errorf("asked for %v", codec)
			}
			asked++
			return made, func() { released++ }, nil
		}
	})
	p.answer()
	src := p.other(t, "music")
	made = p.other(t, "rendition").Audio
	if err := p.leg.Play(src); err != nil {
		t.Fatal(err)
	}
	attached(t, src.Audio)
	src.Audio.Write(media.Frame{Track: trackPCMA, Key: true, Data: make([]byte, 160)})
	attached(t, made)
	for i := range 4 {
		made.Write(media.Frame{Track: trackPCMU, Time: media.Timestamp(i) * media.Timestamp(20*time.Millisecond), Key: true, Data: bytes.Repeat([]byte{5}, 160)})
	}
	p.queued(t, 80*time.Millisecond)
	p.pass(100 * time.Millisecond)
	heard := 0
	for _, x := range p.audio.packets() {
		if x.Payload[0] == 5 {
			heard++
		}
	}
	if err := p.leg.Play(nil); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		if n := made.Stats().Readers; n > 0 {
			return "it is still read"
		}
		return ""
	})
	p.cancel()
	if err := p.wait(); heard != 4 || asked != 1 || released != 1 {
		t.Errorf("heard %d packets, transcoded %d times, released %d; %v", heard, asked, released, err)
	}
}

// TestPlayPicture: a phone that takes pictures gets those of the stream in single packets and FU-A, and its wish for a key frame gets to
// the source.
func TestPlayPicture(t *testing.T) {
	p := newLine(t)
	picture := p.pictureFlow()
	picture.Direction = sdp.SendRecv
	p.agree(p.soundFlow(), picture)
	p.leg.Start()
	asked := make(chan struct{}, 10)
	src, err := p.hub.Publish(stream.Info{Name: "camera", ID: "camera", HasVideo: true, AskKeyFrame: func() { asked <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close(nil)
	if err := p.leg.Play(src); err != nil {
		t.Fatal(err)
	}
	attached(t, src.Video)
	<-asked // by the new reader
	c := newCamera(t)
	want := c.frame(true, 8000)
	src.Video.Write(want)
	var got []byte
	for len(got) < len(want.Data) {
		x, err := rtc.ParsePacket(p.video.read())
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		switch kind := x.Payload[0] & 0x1f; {
		case kind == 28 && x.Payload[1]&0x80 != 0:
			got = append(got, 0, 0, 0, 0, x.Payload[0]&0xe0|x.Payload[1]&0x1f)
			got = append(got, x.Payload[2:]...)
		case kind == 28:
			got = append(got, x.Payload[2:]...)
		case kind != 7 && kind != 8:
			t.Errorf("a NAL unit of type %d", kind)
		}
	}
	for i := range 2 { // the lengths
		at := i * (4 + 4000)
		binary.BigEndian.PutUint32(got[at:], 4000)
	}
	if !bytes.Equal(got, want.Data) {
		t.Error("the picture differs")
	}
	p.clock.Add(int64(2 * time.Second))
	p.video.rtp(97, true, 0x41) // so that the phone is known
	p.received(t, media.Video, 1)
	for _, feedback := range []rtcp.Packet{
		&rtcp.PictureLossIndication{SenderSSRC: 7, MediaSSRC: 8},
		&rtcp.FullIntraRequest{SenderSSRC: 7, MediaSSRC: 8, FIR: []rtcp.FIREntry{{SSRC: 8, SequenceNumber: 1}}},
	} {
		p.videoRTCP.send(marshal(t, &rtcp.ReceiverReport{SSRC: 7}, feedback))
	}
	p.video.send(marshal(t, &rtcp.ReceiverReport{SSRC: 7}, &rtcp.PictureLossIndication{SenderSSRC: 7, MediaSSRC: 8})) // to the RTP port
	testkit.Eventually(t, 10*time.Second, func() string {
		if n := src.Stats().KeyRequests; n != 4 {
			return fmt.Sprintf("the source was asked %d times, want 4", n)
		}
		return ""
	})
}

// file is a sound file of n packets.
type file struct {
	n      int
	closed chan struct{}
	panics bool
}

func (f *file) Replace(frame media.Frame) (media.Frame, error) {
	if f.panics {
		panic("a fault of the file")
	}
	if f.n == 0 {
		return frame, io.EOF
	}
	f.n--
	frame.Data = bytes.Repeat([]byte{9}, len(frame.Data))
	return frame, nil
}

func (f *file) Close() { close(f.closed) }

// TestPlaySound: a file goes before the played stream, and ends without a gap.
func TestPlaySound(t *testing.T) {
	p := newLine(t)
	p.answer()
	p.pass(40 * time.Millisecond)
	f := &file{n: 3, closed: make(chan struct{})}
	p.leg.PlaySound(f)
	p.pass(100 * time.Millisecond)
	p.events.await(t, "sound ended: EOF")
	<-f.closed
	packets := p.audio.packets()
	even(t, packets, 160)
	var got []byte
	for _, x := range packets {
		got = append(got, x.Payload[0])
	}
	if want := []byte{0xff, 0xff, 9, 9, 9, 0xff, 0xff}; !bytes.Equal(got, want) {
		t.Errorf("got % x", got)
	}
	for _, end := range []func(){func() { p.leg.PlaySound(nil) }, func() { p.cancel(); _ = p.wait() }, func() {}} {
		f := &file{n: 100, closed: make(chan struct{})}
		p.leg.PlaySound(f)
		end()
		<-f.closed
	}
}

// TestPanic: a panic ends one call, and not another.
func TestPanic(t *testing.T) {
	legs, clock := newLegs(t, testConfig(), Parts{})
	bad, good := newLineOf(t, legs, clock), newLineOf(t, legs, clock)
	bad.answer()
	good.answer()
	bad.leg.PlaySound(&file{panics: true, closed: make(chan struct{})})
	bad.pass(20 * time.Millisecond)
	if err := bad.wait(); !errors.Is(err, panics.Err) || legs.Panics() != 1 {
		t.Errorf("it ended with %v; %d panics", err, legs.Panics())
	}
	<-bad.ended
	bad.ended <- context.Canceled
	good.audio.packets()
	good.pass(100 * time.Millisecond)
	if n := len(good.audio.packets()); n != 5 {
		t.Errorf("the other call got %d packets", n)
	}
}

// TestReports: reports come about every 5 s whether the phone sends reports or not, and tell of both directions.
func TestReports(t *testing.T) {
	p := newLine(t)
	p.answer()
	for range 4 {
		p.audio.rtp(0, false, 'a')
		p.audio.time += 160
	}
	p.audio.seq += 2
	p.audio.rtp(0, false, 'a')
	p.received(t, media.Audio, 5)
	p.audioRTCP.send(marshal(t, &rtcp.SenderReport{SSRC: p.audio.ssrc, NTPTime: 0x1234_5678_9abc_def0, RTPTime: p.audio.time}))
	testkit.Eventually(t, 10*time.Second, func() string {
		p.leg.mu.Lock()
		defer p.leg.mu.Unlock()
		if p.leg.audio.rtcpFrom != p.audioRTCP.addr() {
			return "the report is still on the way"
		}
		return ""
	})
	p.pass(time.Minute)
	var reports []*rtcp.SenderReport
	names := map[string]bool{}
	for _, x := range p.audioRTCP.reports() {
		switch x := x.(type) {
		case *rtcp.SenderReport:
			reports = append(reports, x)
		case *rtcp.SourceDescription:
			names[x.Chunks[0].Items[0].Text] = true
		}
	}
	if n := len(reports); n < 8 || n > 24 || len(names) != 1 {
		t.Fatalf("%d reports in a minute, with the names %v", n, names)
	}
	first := reports[0]
	sent := p.audio.packets()
	if first.SSRC != sent[0].SSRC || len(first.Reports) != 1 || first.PacketCount == 0 || first.OctetCount != 160*first.PacketCount {
		t.Fatalf("report %+v", first)
	}
	if b := first.Reports[0]; b.SSRC != p.audio.ssrc || b.TotalLost != 2 || b.LastSenderReport != 0x5678_9abc || b.Delay == 0 {
		t.Errorf("block %+v", b)
	}
	for b := p.videoRTCP.read(); b != nil; b = p.videoRTCP.read() {
		if b[1] != 201 { // no picture is sent
			t.Errorf("a report of type %d about the picture", b[1])
		}
	}
}

// TestMux: a phone that agreed to RTCP on the port of RTP gets it there, and is heard there.
func TestMux(t *testing.T) {
	p := newLine(t)
	sound := p.soundFlow()
	sound.RTCPPort = sound.Port
	p.agree(sound, nil)
	p.audio.rtp(0, false, 'a')
	p.audio.send(marshal(t, &rtcp.SenderReport{SSRC: p.audio.ssrc, NTPTime: 0x1_2345_0000}))
	p.audio.rtp(0, false, 'b')
	p.received(t, media.Audio, 2)
	p.pass(8 * time.Second)
	var reports []*rtcp.SenderReport
	for b := p.audio.read(); b != nil; b = p.audio.read() {
		if formOf(b) != formRTCP {
			continue
		}
		packets, err := rtcp.Unmarshal(b)
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, packets[0].(*rtcp.SenderReport))
	}
	if len(reports) == 0 || len(reports[0].Reports) != 1 || reports[0].Reports[0].LastSenderReport != 0x1_2345 {
		t.Errorf("%d reports: %+v", len(reports), reports)
	}
	if b := p.audioRTCP.read(); b != nil {
		t.Errorf("% x came to the RTCP port", b)
	}
}

// TestTicker: the ticker sends in real time, sleeps without calls, and ends.
func TestTicker(t *testing.T) {
	legs := New(testConfig(), Parts{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped, ended := errors.New("stopped"), make(chan error)
	go func() { ended <- legs.Run(ctx) }()
	for range 2 {
		p := newLineOf(t, legs, nil)
		p.answer()
		times, begun := map[uint32]bool{}, time.Now()
		for len(times) < 10 {
			if x, err := rtc.ParsePacket(p.audio.read()); err == nil {
				times[x.Time] = true
			}
			if time.Since(begun) > 10*time.Second {
				t.Fatalf("%d packets in 10 s", len(times))
			}
		}
		if took := time.Since(begun); took < 150*time.Millisecond {
			t.Errorf("10 packets of 20 ms took %v", took)
		}
		p.cancel()
		if err := p.wait(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	cancel(stopped)
	if err := <-ended; err != stopped {
		t.Errorf("it ended with %v", err)
	}
}
