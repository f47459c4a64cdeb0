package rtc_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/lean"
	"transponder/internal/rtc/pion"
	"transponder/internal/rtc/udp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// receivers are the two receivers, which must behave the same in these tests. Both end a session whose client is silent for
// some seconds.
var receivers = []struct {
	name string
	make func(context.Context, rtc.JitterBufferConfig, *udp.Port, *slog.Logger) (rtc.Receiver, error)
}{
	{"peer", func(ctx context.Context, buffer rtc.JitterBufferConfig, port *udp.Port, log *slog.Logger) (rtc.Receiver, error) {
		cfg := pion.DefaultConfig()
		cfg.Expiry, cfg.KeepAlive, cfg.JitterBuffer = 4*time.Second, 500*time.Millisecond, buffer
		return pion.New(ctx, cfg, port, log)
	}},
	{"lean", func(_ context.Context, buffer rtc.JitterBufferConfig, port *udp.Port, log *slog.Logger) (rtc.Receiver, error) {
		cfg := lean.DefaultConfig()
		cfg.Expiry, cfg.KeepAlive, cfg.JitterBuffer = 4*time.Second, 500*time.Millisecond, buffer
		return lean.New(cfg, port, log)
	}},
}

// both runs a test with each receiver.
func both(t *testing.T, test func(*testing.T, rtc.Receiver)) {
	bothWith(t, rtc.DefaultJitterBufferConfig(), test)
}

func bothWith(t *testing.T, buffer rtc.JitterBufferConfig, test func(*testing.T, rtc.Receiver)) {
	for _, r := range receivers {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel() // what is tested mostly waits
			receiver, err := r.make(t.Context(), buffer, openPort(t), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { receiver.Close() })
			test(t, receiver)
		})
	}
}

// openPort opens a media port for the duration of a test.
func openPort(t *testing.T) *udp.Port {
	t.Helper()
	cfg := udp.DefaultConfig()
	cfg.Port = 0
	port, err := udp.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { port.Close() })
	return port
}

// published is a running publication with a reader of its frames.
type published struct {
	*rtc.Publication
	client *testkit.Publisher
	reader *stream.Reader
	relay  *testkit.Relay
	leave  context.CancelFunc // ends the publisher
	gone   chan error         // what the publisher returns
	ended  chan error         // what the publication returns
}

// publish starts a publisher and a publication, with a relay between them, or over TCP if relay is nil. Both end with the test.
func publish(t *testing.T, r rtc.Receiver, cfg testkit.PublisherConfig, relay *testkit.Relay) *published {
	t.Helper()
	ingest := rtc.NewIngest(rtc.DefaultConfig(), stream.NewHub(stream.DefaultConfig(), nil), slog.New(slog.DiscardHandler), r)
	ctx, leave := context.WithCancel(t.Context())
	pub := &published{client: testkit.NewPublisher(cfg), relay: relay, leave: leave, gone: make(chan error, 1), ended: make(chan error, 1)}
	answered := make(chan struct{})
	go func() {
		pub.gone <- pub.client.Run(ctx, func(ctx context.Context, sdp string) (answer string, err error) {
			// Without candidates in the offer nothing but the relay leads to the client.
			offer := rtc.Offer{SDP: sdp, TCP: relay == nil}
			if relay != nil {
				offer.SDP = regexp.MustCompile(`(?m)^a=candidate:.*\r\n`).ReplaceAllString(sdp, "")
			}
			if pub.Publication, err = ingest.Publish(ctx, offer, stream.Info{Name: "s", ID: "1"}); err != nil {
				return "", err
			}
			src := pub.Source()
			pub.reader = src.NewReader(stream.ReaderConfig{Video: src.Video, Audio: src.Audio})
			close(answered)
			if relay == nil {
				return pub.Answer(), nil
			}
			return relay.Answer(pub.Answer())
		})
	}()
	select {
	case <-answered:
	case err := <-pub.gone:
		leave()
		t.Fatalf("publisher: %v", err)
	}
	serverCtx, stop := context.WithCancel(context.Background())
	go func() { pub.ended <- pub.Run(serverCtx) }()
	t.Cleanup(func() {
		leave()
		if err := <-pub.gone; err != nil && !errors.Is(err, testkit.ErrConnection) {
			t.Errorf("publisher: %v", err)
		}
		stop()
		<-pub.ended
		if relay != nil {
			relay.Close()
		}
	})
	return pub
}

func newRelay(t *testing.T) *testkit.Relay {
	t.Helper()
	r, err := testkit.NewRelay()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// frames reads a number of video frames. It returns their numbers, and how many packets of audio came between them.
func (p *published) frames(t *testing.T, n int) (numbers []int64, audio int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	buf := make([]media.Frame, 64)
	last := map[media.Kind]media.Timestamp{}
	for len(numbers) < n {
		k, err := p.reader.Read(ctx, buf)
		if err != nil {
			t.Fatalf("after %d of %d frames: %v; %+v", len(numbers), n, err, p.Stats())
		}
		for _, f := range buf[:k] {
			if before, ok := last[f.Kind()]; ok && f.Time <= before {
				t.Errorf("%s goes from %v to %v", f.Kind(), before, f.Time)
			}
			last[f.Kind()] = f.Time
			if f.Kind() == media.Audio {
				audio++
				continue
			}
			number, ok := testkit.FrameNumber(f.Data)
			if !ok {
				t.Fatalf("frame %d has no number", len(numbers))
			}
			if k := len(numbers); k > 0 && number <= numbers[k-1] {
				t.Fatalf("frame %d follows %d", number, numbers[k-1])
			}
			numbers = append(numbers, number)
		}
	}
	return numbers, audio
}

// wholeFrames checks that the first 150 frames of a publisher that sends 60 a second come, each once.
func (p *published) wholeFrames(t *testing.T) {
	t.Helper()
	numbers, audio := p.frames(t, 150)
	for i, n := range numbers {
		if n != int64(i) {
			t.Fatalf("frame %d follows %d frames; %+v", n, i, p.Stats())
		}
	}
	if audio < 100 {
		t.Errorf("%d packets of audio in 2.5 s", audio)
	}
}

// every loses or delays each n-th packet, except the first ones: a receiver never waits for packets before the first one
// that comes.
func every(n, first int, f testkit.Fate) func(int) testkit.Fate {
	return func(k int) testkit.Fate {
		if k > first && k%n < 1 {
			return f
		}
		return testkit.Fate{Copies: 1}
	}
}

func TestEveryFrameOnce(t *testing.T) {
	tests := []struct {
		name   string
		change func(*testkit.PublisherConfig)
		rtp    func(int) testkit.Fate
	}{
		{"clean", nil, nil},
		{"2 % lost, repaired by RTX", func(c *testkit.PublisherConfig) { c.Drop = 0.02 }, nil},
		{"2 % lost, repaired without RTX", func(c *testkit.PublisherConfig) { c.Drop, c.RTX = 0.02, false }, nil},
		{"10 % lost", func(c *testkit.PublisherConfig) { c.Drop = 0.1 }, nil},
		{"20 in a row lost", nil, func(k int) testkit.Fate {
			if k > 50 && k%200 < 20 {
				return testkit.Fate{}
			}
			return testkit.Fate{Copies: 1}
		}},
		{"swapped", func(c *testkit.PublisherConfig) { c.Swap, c.NACK, c.RTX = 0.1, false, false }, nil},
		{"30 ms late", nil, every(20, 20, testkit.Fate{Copies: 1, Delay: 30 * time.Millisecond})},
		{"twice", nil, every(3, 0, testkit.Fate{Copies: 2})},
		{"twice, under new numbers", func(c *testkit.PublisherConfig) { c.Twice = 0.1 }, nil},
		{"all of it", func(c *testkit.PublisherConfig) { c.Drop, c.Swap, c.Twice = 0.03, 0.05, 0.05 }, nil},
		{"numbers and times wrap", func(c *testkit.PublisherConfig) { c.WrapAfter = 500 * time.Millisecond }, nil},
		{"numbers and times wrap, with loss", func(c *testkit.PublisherConfig) { c.WrapAfter, c.Drop = 500*time.Millisecond, 0.05 }, nil},
		{"padding", func(c *testkit.PublisherConfig) { c.Padding = true }, nil},
		{"padding, with loss", func(c *testkit.PublisherConfig) { c.Padding, c.Drop = true, 0.05 }, nil},
	}
	// A machine with much else to do needs more than half a second for a packet that is lost, and then lost again. How long a receiver waits is
	// tested by TestJitterBuffer, with a clock of its own. Pictures at 120 a second would fill the window of the jitter buffer meanwhile.
	patient := rtc.DefaultJitterBufferConfig()
	patient.Wait = 10 * time.Second
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bothWith(t, patient, func(t *testing.T, r rtc.Receiver) {
				cfg := testkit.DefaultPublisherConfig()
				cfg.FPS = 60 // without end: nobody would miss the last packets
				if tt.change != nil {
					tt.change(&cfg)
				}
				relay := newRelay(t)
				relay.RTP = tt.rtp
				pub := publish(t, r, cfg, relay)
				pub.wholeFrames(t)
				if st := pub.Stats(); !st.ICEConnected || st.PLIs == 0 {
					t.Errorf("stats %+v", st)
				}
			})
		})
	}
}

// TestTCP: only package pion receives over TCP.
func TestTCP(t *testing.T) {
	own := pion.DefaultConfig()
	own.TCP = true
	r, err := pion.New(t.Context(), own, openPort(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cfg := testkit.DefaultPublisherConfig()
	cfg.FPS = 60
	pub := publish(t, r, cfg, nil)
	pub.wholeFrames(t)
}

// TestGoesOn: these events do not end a stream, and cost some frames at most.
func TestGoesOn(t *testing.T) {
	tests := []struct {
		name string
		mid  func(*testing.T, *published)
	}{
		{"another address", func(t *testing.T, p *published) {
			if err := p.relay.Move(); err != nil {
				t.Error(err)
			}
		}},
		{"strange bytes", func(_ *testing.T, p *published) { hostile(p.relay) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, r rtc.Receiver) {
				cfg := testkit.DefaultPublisherConfig()
				pub := publish(t, r, cfg, newRelay(t))
				before, _ := pub.frames(t, 30)
				tt.mid(t, pub)
				const n, sound = 180, 180 // takes longer than a silent client is kept
				after, audio := pub.frames(t, n)
				if audio < sound {
					t.Errorf("%d packets of audio with %d frames, want %d", audio, n, sound)
				}
				t.Logf("frames %d to %d, then %d to %d", before[0], before[29], after[0], after[n-1])
				pub.leave()
				if err := await(t, pub.ended, "end"); !errors.Is(err, rtc.ErrClientClosed) {
					t.Errorf("ended with %v", err)
				}
				pub.ended <- nil
			})
		})
	}
}

// TestUnbundled: pictures and sound that come over a transport each are one stream, which ends with the first of the two.
func TestUnbundled(t *testing.T) {
	both(t, func(t *testing.T, r rtc.Receiver) {
		hub := stream.NewHub(stream.DefaultConfig(), nil)
		ingest := rtc.NewIngest(rtc.DefaultConfig(), hub, slog.New(slog.DiscardHandler), r)
		begun, ended := make(chan *rtc.Publication, 1), make(chan error, 1)
		first, second := testkit.Apart(func(ctx context.Context, offer string) (string, error) {
			p, err := ingest.Publish(ctx, rtc.Offer{SDP: offer, Whole: true}, stream.Info{Name: "s", ID: "1"})
			if err != nil {
				return "", err
			}
			begun <- p
			go func() { ended <- p.Run(context.WithoutCancel(ctx)) }()
			return p.Answer(), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		gone := make(chan error, 2)
		for i, exchange := range []testkit.Exchange{first, second} {
			cfg := testkit.DefaultPublisherConfig()
			cfg.Video, cfg.Audio, cfg.Drop = i == 0, i == 1, 0.02
			go func() { gone <- testkit.NewPublisher(cfg).Run(ctx, exchange) }()
		}
		var p *rtc.Publication
		select {
		case p = <-begun:
		case err := <-gone:
			t.Fatal(err)
		}
		src := p.Source()
		pub := &published{Publication: p, reader: src.NewReader(stream.ReaderConfig{Video: src.Video, Audio: src.Audio})}
		if _, audio := pub.frames(t, 60); audio < 50 {
			t.Errorf("%d packets of audio with 60 frames", audio)
		}
		if st := p.Stats(); !st.ICEConnected || st.Packets < 100 {
			t.Errorf("stats %+v", st)
		}
		cancel()
		for range 2 {
			if err := <-gone; err != nil && !errors.Is(err, testkit.ErrConnection) {
				t.Error(err)
			}
		}
		if err := await(t, ended, "end"); !errors.Is(err, rtc.ErrClientClosed) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestIPv6(t *testing.T) {
	if l, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6")
	} else {
		l.Close()
	}
	both(t, func(t *testing.T, r rtc.Receiver) {
		if _, isPion := r.(*pion.Endpoint); isPion {
			t.Skip("pion's agent takes ::1 for no address")
		}
		relay := newRelay(t)
		relay.IPv6 = true
		cfg := testkit.DefaultPublisherConfig()
		cfg.Drop = 0.05
		pub := publish(t, r, cfg, relay)
		pub.frames(t, 60)
		pub.leave()
		if err := await(t, pub.ended, "end"); !errors.Is(err, rtc.ErrClientClosed) {
			t.Errorf("ended with %v", err)
		}
		pub.ended <- nil
	})
}

// TestKeysStay: a second handshake in a client's name, even with the client's certificate, changes nothing.
func TestKeysStay(t *testing.T) {
	both(t, func(t *testing.T, r rtc.Receiver) {
		own, err := rtc.NewCertificate()
		if err != nil {
			t.Fatal(err)
		}
		cfg := testkit.DefaultPublisherConfig()
		cfg.Certificate, cfg.Active = &own, true
		pub := publish(t, r, cfg, newRelay(t))
		pub.frames(t, 30)
		again, err := dtls.DialWithOptions("udp4", pub.relay.Addr(), dtls.WithCertificates(own), dtls.WithInsecureSkipVerify(true),
			dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM), dtls.WithFlightInterval(100*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := again.HandshakeContext(ctx); err == nil {
			t.Error("new keys were agreed on")
		}
		numbers, audio := pub.frames(t, 60)
		for i, n := range numbers {
			if n != numbers[0]+int64(i) {
				t.Fatalf("frame %d is the %d. after %d", n, i, numbers[0])
			}
		}
		if audio < 50 {
			t.Errorf("%d packets of audio in 2 s", audio)
		}
		again.Close() // this goodbye is not the client's either
		pub.frames(t, 30)
	})
}

// elsewhere is a receiver whose answers have an address that does not lead to it.
type elsewhere struct{ rtc.Receiver }

func (e elsewhere) Answer(ctx context.Context, offer *rtc.ParsedOffer, sink rtc.Sink) (rtc.Session, string, error) {
	s, answer, err := e.Receiver.Answer(ctx, offer, sink)
	return s, regexp.MustCompile(`(?m)^(a=candidate:\S+ 1 udp \d+ )\S+`).ReplaceAllString(answer, "${1}192.0.2.1"), err
}

// TestWrongAddress: behind a NAT that it does not know of, the server still receives clients that it can reach itself.
func TestWrongAddress(t *testing.T) {
	candidate := regexp.MustCompile(`(?m)^a=candidate:(.*)\r\n`)
	for _, name := range []string{"candidates offered", "candidates trickled"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, r rtc.Receiver) {
				var later []string
				w := newWatch()
				s, leave := connect(t, elsewhere{r}, w, testkit.NewPublisher(testkit.DefaultPublisherConfig()), func(offer string) string {
					if name == "candidates offered" {
						return offer
					}
					for _, c := range candidate.FindAllStringSubmatch(offer, -1) {
						later = append(later, c[1])
					}
					return candidate.ReplaceAllString(offer, "")
				})
				for _, c := range later {
					if err := s.(rtc.Trickler).AddCandidate(c); err != nil {
						t.Error(err)
					}
				}
				await(t, w.video, "video")
				leave()
				s.Close()
			})
		})
	}
}

// TestCrowd: a thousand handshakes that start at once and never end do not disturb running sessions, and keep nobody out.
// Only lean has a limit of handshakes.
func TestCrowd(t *testing.T) {
	own := lean.DefaultConfig()
	own.Expiry = time.Minute // so that none of them gives up meanwhile
	port := openPort(t)
	r, err := lean.New(own, port, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })

	pub := publish(t, r, testkit.DefaultPublisherConfig(), newRelay(t))
	pub.frames(t, 30)
	hello := clientHello(t)
	size := 1000
	if testing.Short() {
		size = 200
	}
	var crowd []*net.UDPConn
	for range size {
		crowd = append(crowd, join(t, r))
	}
	for _, c := range crowd {
		if _, err := c.Write(hello); err != nil {
			t.Fatal(err)
		}
	}
	w := newWatch()
	s, leave := connect(t, r, w, testkit.NewPublisher(testkit.DefaultPublisherConfig()), same)
	await(t, w.video, "video of one who came in the crowd")
	leave()
	s.Close()
	pub.frames(t, 60)
	if st := pub.Stats(); st.Lost > 0 || st.BrokenUnits > 0 {
		t.Errorf("who was on air lost something: %+v; %d datagrams found no room, %d refused", st, port.Overflowed(), r.Refused())
	}
}

// join starts a session whose client starts the handshake, and sends a first check for it.
func join(t *testing.T, r rtc.Receiver) *net.UDPConn {
	t.Helper()
	sdp, err := os.ReadFile("testdata/chromium.sdp")
	if err != nil {
		t.Fatal(err)
	}
	offer := strings.ReplaceAll(string(sdp), "a=setup:actpass", "a=setup:active")
	parsed, err := rtc.ParseOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	s, answer, err := r.Answer(t.Context(), parsed, newWatch())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	value := func(sdp, key string) string {
		return regexp.MustCompile(`(?m)^a=` + key + `:(\S+)`).FindStringSubmatch(sdp)[1]
	}
	port, _ := strconv.Atoi(regexp.MustCompile(`(?m)^a=candidate:\S+ 1 udp \d+ 127.0.0.1 (\d+)`).FindStringSubmatch(answer)[1])
	c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	check, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(value(answer, "ice-ufrag")+":"+value(offer, "ice-ufrag")),
		stun.NewShortTermIntegrity(value(answer, "ice-pwd")), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(check.Raw); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1500)); err != nil {
		t.Fatalf("a check was not answered: %v", err)
	}
	return c
}

// clientHello returns the first message of a DTLS client.
func clientHello(t *testing.T) []byte {
	t.Helper()
	l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := dtls.DialWithOptions("udp4", l.LocalAddr().(*net.UDPAddr), dtls.WithInsecureSkipVerify(true),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.HandshakeContext(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	buf := make([]byte, 2048)
	if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := l.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// hostile sends forged packets in the name of a client.
func hostile(r *testkit.Relay) {
	check, _ := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("a:b"),
		stun.NewShortTermIntegrity("not the password"), stun.Fingerprint)
	success, _ := stun.Build(stun.TransactionID, stun.BindingSuccess, stun.Fingerprint)
	for _, b := range [][]byte{
		{}, {0}, check.Raw, success.Raw, check.Raw[:23], slices.Concat(check.Raw, check.Raw),
		{0, 1, 0xff, 0xff, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		// DTLS: a ClientHello that is none, an alert in the clear (close_notify), a handshake message of 16 MB
		{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		{21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0},
		{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 7, 0, 13, 1, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1, 0},
		{23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40},
		{20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 1},
		// RTP: too short, an extension beyond the end, an unknown SSRC; RTCP likewise
		{0x80}, {0x80, 96, 0, 1}, {0x90, 106, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 255, 255},
		append([]byte{0x80, 106, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2}, make([]byte, 100)...),
		append([]byte{0xbf, 106, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2}, make([]byte, 100)...),
		{0x80, 200, 0, 6}, append([]byte{0x81, 201, 255, 255}, make([]byte, 60)...),
		{70, 1, 2, 3}, {255, 255, 255, 255},
	} {
		r.Inject(b)
	}
}

func TestLosesItsPeer(t *testing.T) {
	both(t, func(t *testing.T, r rtc.Receiver) {
		pub := publish(t, r, testkit.DefaultPublisherConfig(), newRelay(t))
		pub.frames(t, 10)
		pub.relay.Cut()
		if err := await(t, pub.ended, "end"); !errors.Is(err, rtc.ErrICEKeepAlive) {
			t.Errorf("ended with %v", err)
		}
		pub.ended <- nil
	})
}

// TestSound: the other codecs of sound, and sound without pictures.
func TestSound(t *testing.T) {
	for _, codec := range []struct {
		mime     string
		want     media.Codec
		rate, pt int
		payload  []byte
	}{
		{webrtc.MimeTypePCMA, media.PCMA, 8000, 8, make([]byte, 160)},
		{webrtc.MimeTypePCMU, media.PCMU, 8000, 0, make([]byte, 160)},
	} {
		t.Run(codec.mime, func(t *testing.T) {
			both(t, func(t *testing.T, r rtc.Receiver) {
				cfg := testkit.DefaultPublisherConfig()
				cfg.Video, cfg.Opus = false, [][]byte{codec.payload}
				cfg.Codecs = []webrtc.RTPCodecParameters{{
					RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: codec.mime, ClockRate: uint32(codec.rate)},
					PayloadType:        webrtc.PayloadType(codec.pt),
				}}
				pub := publish(t, r, cfg, newRelay(t))
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				buf := make([]media.Frame, 1)
				for range 20 {
					if _, err := pub.reader.Read(ctx, buf); err != nil {
						t.Fatal(err)
					}
					if buf[0].Track.Codec != codec.want || len(buf[0].Data) != 160 {
						t.Fatalf("got %d bytes of %v", len(buf[0].Data), buf[0].Track.Codec)
					}
				}
			})
		})
	}
}
