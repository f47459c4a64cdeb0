package app

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp/codecs"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/sound"
	"transponder/internal/transcode/sound/soundtest"
	"transponder/internal/transponder"
)

// seam is a receiver that only hands the sink over to the test.
type seam struct {
	sink  rtc.Sink
	asked chan struct{} // holds one token when a key frame is wanted
}

func (*seam) Name() string                   { return "seam" }
func (*seam) Accepts(*rtc.ParsedOffer) error { return nil }
func (*seam) Stats() rtc.SessionStats        { return rtc.SessionStats{ICEConnected: true} }
func (*seam) Close() error                   { return nil }

func (s *seam) Answer(_ context.Context, _ *rtc.ParsedOffer, sink rtc.Sink) (rtc.Session, string, error) {
	s.sink = sink
	return s, "", nil
}

func (s *seam) RequestKeyFrame() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// drain is an RTMP server that reads from one publisher and counts the bytes.
type drain struct {
	bytes atomic.Int64
	more  chan struct{} // holds one token when bytes has grown
}

func (d *drain) serve(l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	s := rtmp.NewServerConn(conn, nil)
	if err := s.Handshake(); err != nil {
		return err
	}
	if _, err := s.Accept(); err != nil {
		return err
	}
	if _, err := s.Next(); err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	b := make([]byte, 256<<10)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return nil
		}
		d.bytes.Add(int64(n))
		select {
		case d.more <- struct{}{}:
		default:
		}
	}
}

// path is the whole path of a stream, from decrypted RTP packets to the connection of a push.
type path struct {
	video, audio *rtc.JitterBuffer
	pictures     [][][]byte // RTP packets of each
	sounds       [][]byte   // payloads
	soundTime    uint32     // duration of each, in units of RTP time
	server       *drain
	pushes       *transponder.Registry
	sound        *stream.Feed // the rendition of the sounds

	limit *time.Timer  // for the waits during one picture
	poll  *time.Ticker // for conditions that nothing signals

	seq, soundSeq       uint16
	shown, heard        int
	soundPacket, packet []byte
	sent                int64 // bytes of pictures
}

// newPath starts a push that gets the sound as AAC, or untouched.
func newPath(tb testing.TB, codec media.Codec, sounds [][]byte) *path {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	cfg := sound.DefaultConfig()
	cfg.Copy = true
	audio := sound.New(cfg, log)
	video, err := picture.New(picture.DefaultConfig(), log)
	if err != nil {
		tb.Fatal(err)
	}
	pushes := transponder.NewRegistry(transponder.DefaultConfig(), transponder.Parts{Hub: hub, Audio: audio, Video: video}, log)
	sdp, err := os.ReadFile("../rtc/testdata/chromium.sdp")
	if err != nil {
		tb.Fatal(err)
	}
	s := &seam{asked: make(chan struct{}, 1)}
	ingest := rtc.NewIngest(rtc.DefaultConfig(), hub, log, s)
	publication, err := ingest.Publish(ctx, rtc.Offer{SDP: string(sdp)}, stream.Info{Name: "s", ID: "s"})
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &path{
		sounds: sounds, soundTime: 960, server: &drain{more: make(chan struct{}, 1)}, pushes: pushes,
		limit: time.NewTimer(time.Minute), poll: time.NewTicker(time.Millisecond),
		packet: make([]byte, 12, 2048), soundPacket: make([]byte, 12, 2048),
	}
	if codec != media.Opus {
		p.soundTime = 160
	}
	ended := make(chan error, 3)
	go func() { ended <- pushes.Run(ctx) }()
	go func() { ended <- publication.Run(ctx) }()
	go func() { ended <- p.server.serve(l) }()
	tb.Cleanup(func() {
		cancel()
		l.Close()
		for range cap(ended) {
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				tb.Error(err)
			}
		}
	})
	s.sink.Connected()
	feed, release, err := audio.Feed(publication.Source(), media.AudioFormat{}) // the push's own
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(release)
	p.sound = feed
	track := func(codec media.Codec) *rtc.JitterBuffer {
		cfg := rtc.DefaultJitterBufferConfig()
		cfg.Codec, cfg.NACK = codec, true
		return rtc.NewJitterBuffer(cfg, s.sink)
	}
	p.video, p.audio = track(media.H264), track(codec)
	payloader := &codecs.H264Payloader{}
	for _, u := range testkit.SyntheticUnits(30, 11000) { // 2.6 Mbit/s
		var annexB []byte
		for _, nal := range u.NALs {
			annexB = append(append(annexB, 0, 0, 0, 1), nal...)
		}
		p.pictures = append(p.pictures, payloader.Payload(1200, annexB))
	}
	_, err = pushes.Start(ctx, transponder.Request{StreamName: "s", URL: "rtmp://" + l.Addr().String() + "/live"})
	if err != nil {
		tb.Fatal(err)
	}
	select { // the push reads the stream, and waits for a key frame
	case <-s.asked:
	case <-p.limit.C:
		tb.Fatal("nobody asks for a key frame")
	}
	return p
}

// picture sends the packets of a picture. It waits until the server has as many bytes as all pictures so far have, and nearly all sound was
// transcoded.
func (p *path) picture(tb testing.TB) {
	payloads := p.pictures[p.shown%len(p.pictures)]
	for i, payload := range payloads {
		p.packet = pack(p.packet, p.seq, uint32(3000*p.shown), i == len(payloads)-1, payload)
		p.seq++
		push(tb, p.video, p.packet)
		p.sent += int64(len(payload) - 2)
	}
	p.shown++
	p.limit.Reset(30 * time.Second)
	made := int64(p.heard)*int64(p.soundTime)/1024 - 4
	for p.server.bytes.Load() < p.sent || p.sound.Stats().Frames < made {
		select {
		case <-p.server.more:
		case <-p.poll.C:
		case <-p.limit.C:
			tb.Fatalf("the server has %d bytes of %d, of %d packets of sound %d were made", p.server.bytes.Load(), p.sent, p.heard,
				p.sound.Stats().Frames)
		}
	}
}

// hear sends an audio packet.
func (p *path) hear(tb testing.TB) {
	p.soundPacket = pack(p.soundPacket, p.soundSeq, p.soundTime*uint32(p.heard), true, p.sounds[p.heard%len(p.sounds)])
	p.soundSeq++
	p.heard++
	push(tb, p.audio, p.soundPacket)
}

// send100ms sends 100 ms of pictures and sound.
func (p *path) send100ms(tb testing.TB) {
	for range 3 {
		p.picture(tb)
	}
	for range 5 {
		p.hear(tb)
	}
}

func pack(b []byte, seq uint16, at uint32, last bool, payload []byte) []byte {
	b = append(b[:12], payload...)
	b[0], b[1] = 2<<6, 96
	if last {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], at)
	return b
}

func push(tb testing.TB, t *rtc.JitterBuffer, b []byte) {
	p, err := rtc.ParsePacket(b)
	if err != nil {
		tb.Fatal(err)
	}
	t.Push(p, 0)
}

// TestPathMemory checks that an access unit needs one allocation from the packets to the connection of a push, for its bytes. A packet needs
// none.
func TestPathMemory(t *testing.T) {
	if !libav.Enabled {
		t.Skip("no codecs in this build")
	}
	opus := soundtest.Opus(t, soundtest.Music(2*time.Second))
	const want = 13 // 3 pictures, 5 packets of Opus and 4.7 of AAC
	for range 5 {   // allocations of other goroutines count too, and a slow machine has more of them
		got := pathMemory(t, opus)
		if got <= want || !countsAllocations {
			return
		}
		t.Logf("%v allocations in 100 ms, want %v", got, want)
	}
	t.Error("an access unit needs memory more than once")
}

// pathMemory returns how many allocations 100 ms of a stream need.
func pathMemory(t *testing.T, opus [][]byte) float64 {
	p := newPath(t, media.Opus, opus)
	const warm, runs = 6, 10 // within the two seconds by which time stamps may be ahead of the clock
	for range warm {
		p.send100ms(t)
	}
	n := testing.AllocsPerRun(runs, func() { p.send100ms(t) })
	if info := p.pushes.Find(transponder.Filter{})[0]; info.VideoFrames < 45 || info.AudioFrames < 60 {
		t.Errorf("%d pictures and %d packets of sound were sent", info.VideoFrames, info.AudioFrames)
	}
	return n
}

// countsAllocations is false with the race detector, where sync.Pool drops values at random.
var countsAllocations = true

// BenchmarkPath measures what 100 ms of a stream of 2.6 Mbit/s cost between decryption and the connection, without the audio codecs. Ten
// times the result is the cost of a second. The server that reads the bytes is included.
func BenchmarkPath(b *testing.B) {
	p := newPath(b, media.PCMA, [][]byte{make([]byte, 160)})
	p.send100ms(b)
	b.ReportAllocs()
	for b.Loop() {
		p.send100ms(b)
	}
}
