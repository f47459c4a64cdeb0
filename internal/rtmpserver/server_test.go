package rtmpserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"transponder/internal/access/auth"
	"transponder/internal/flv"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ownAudio returns the feed of the source, and transcodes nothing.
type ownAudio struct{}

func (ownAudio) Feed(s *stream.Source, _ media.AudioFormat) (*stream.Feed, func(), error) {
	return s.Audio, func() {}, nil
}

// noOrigins knows no connection.
type noOrigins struct{}

func (noOrigins) Origin(rtmp.Trail, string) (push string, ring bool) { return "", false }

// everybody lets everybody do everything.
func everybody() Access {
	return auth.New(auth.Config{Mode: auth.Open}, auth.Parts{}, slog.New(slog.DiscardHandler))
}

// runServer runs a server on a free port until the test ends.
func runServer(t *testing.T, change func(*Config)) (*Server, *stream.Hub) {
	t.Helper()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	return runServerOf(t, hub, change), hub
}

// runServerOf is runServer with a given hub.
func runServerOf(t *testing.T, hub *stream.Hub, change func(*Config)) *Server {
	t.Helper()
	parts := Parts{Hub: hub, Audio: ownAudio{}, Origins: noOrigins{}, Access: everybody()}
	return runServerWith(t, parts, change, slog.New(slog.DiscardHandler))
}

// runServerWith is runServer with given parts.
func runServerWith(t *testing.T, parts Parts, change func(*Config), log *slog.Logger) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Address = "127.0.0.1:0"
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, parts, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v, want the context's end", err)
		}
		if st := s.Stats(); st.Connections != 0 || st.Publishers != 0 || st.Players != 0 || st.Panics != 0 {
			t.Errorf("after the end: %+v", st)
		}
	})
	return s
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { nc.Close() })
	return nc
}

// publisher connects our own client and requests to publish.
func publisher(t *testing.T, s *Server, name string) (*rtmp.Client, net.Conn, error) {
	t.Helper()
	nc := dial(t, s)
	c := rtmp.NewClient(nc, rtmp.ClientConfig{App: "live", TCURL: "rtmp://h/live", FlashVersion: "test", StreamName: name})
	for _, step := range []func() error{c.Handshake, c.Connect, c.Publish} {
		if err := step(); err != nil {
			return c, nc, err
		}
	}
	return c, nc, nil
}

// ffmpeg starts a program of FFmpeg. The returned function waits for it.
func ffmpeg(t *testing.T, program, args string) (wait func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	cmd := exec.CommandContext(ctx, program, strings.Fields(args)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait = sync.OnceValue(func() string {
		defer cancel()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s %s: %v\n%s", program, args, err, errs.String())
		}
		return out.String()
	})
	t.Cleanup(func() { wait() })
	return wait
}

const testSources = "-hide_banner -loglevel error -f lavfi -i testsrc2=s=320x240:r=25 -f lavfi -i sine=r=48000 "

// TestFFmpeg publishes with ffmpeg and plays with ffprobe, which connects first and waits.
func TestFFmpeg(t *testing.T) {
	t.Parallel()
	s, hub := runServer(t, nil)
	url := fmt.Sprintf("rtmp://%s/live/name", s.Addr())
	play := ffmpeg(t, "ffprobe", "-loglevel error -read_intervals %+2 -show_entries packet=codec_type,dts_time,pts_time,flags:"+
		"stream=codec_name,width,height,sample_rate,channels -of csv "+url)
	publish := ffmpeg(t, "ffmpeg", "-re "+testSources+"-t 3.5 -c:v libx264 -preset ultrafast -bf 2 -g 25 "+
		"-c:a aac -ac 2 -f flv "+url+"?key=secret")
	testkit.Eventually(t, 10*time.Second, func() string {
		src, ok := hub.Source("name")
		if !ok {
			return "the stream is not there"
		}
		if v, a := src.Video.Track(), src.Audio.Track(); v == nil || a == nil || v.Width != 320 || a.Channels != 2 {
			return fmt.Sprintf("tracks are %+v and %+v", v, a)
		}
		return ""
	})
	checkPackets(t, play())
	publish()
	testkit.Eventually(t, 10*time.Second, func() string {
		if _, ok := hub.Source("name"); ok {
			return "the stream is still there"
		}
		return ""
	})
}

// checkPackets checks the packets that ffprobe got: both tracks, with increasing times from about 0, and reordered pictures.
func checkPackets(t *testing.T, out string) {
	t.Helper()
	last := map[string]float64{"video": -1, "audio": -1}
	count := map[string]int{}
	reordered := false
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if f[0] != "packet" || len(f) < 5 {
			continue
		}
		kind := f[1]
		pts, _ := strconv.ParseFloat(f[2], 64)
		dts, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if count[kind] == 0 {
			if dts > 0.2 {
				t.Errorf("%s begins at %v, want about 0", kind, dts)
			}
			if kind == "video" && !strings.HasPrefix(f[4], "K") {
				t.Error("the first picture is no key frame")
			}
		}
		if dts <= last[kind] {
			t.Errorf("%s at %v after %v", kind, dts, last[kind])
		}
		reordered = reordered || pts > dts
		last[kind] = dts
		count[kind]++
	}
	if count["video"] < 40 || count["audio"] < 80 || !reordered {
		t.Errorf("%d pictures, %d sounds, reordered %v; want 2 s of each", count["video"], count["audio"], reordered)
	}
	for _, want := range []string{"stream,h264,320,240", "stream,aac,48000,2"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out[max(0, len(out)-300):])
		}
	}
}

// TestFFmpegDecodes plays a stream from its start to its end with ffmpeg, which fails on the first error.
func TestFFmpegDecodes(t *testing.T) {
	t.Parallel()
	s, hub := runServer(t, nil)
	url := fmt.Sprintf("rtmp://%s/live/name", s.Addr())
	ffmpeg(t, "ffmpeg", "-re "+testSources+"-t 2.5 -c:v libx264 -preset ultrafast -tune zerolatency -g 10 "+
		"-x264-params aud=1:repeat-headers=1 -c:a aac -f flv "+url)
	testkit.Eventually(t, 10*time.Second, func() string {
		if src, ok := hub.Source("name"); !ok || src.Video.Track() == nil {
			return "no pictures yet"
		}
		return ""
	})
	src, _ := hub.Source("name")
	r := src.NewReader(stream.ReaderConfig{Video: src.Video})
	defer r.Close()
	ffmpeg(t, "ffmpeg", "-loglevel error -xerror -i "+url+" -t 1 -f null -")()
	frames := make([]media.Frame, 16)
	n, err := r.Read(t.Context(), frames)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames[:n] {
		if f.Track != frames[0].Track {
			t.Error("repeated parameter sets made a new track")
		}
		if u := readUnit(f.Data); len(u.data) != len(f.Data) {
			t.Error("a frame holds what it should not")
		}
	}
}

// A publisher that is refused because the server is full is told so, and not that the name is in use.
func TestFull(t *testing.T) {
	t.Parallel()
	full := load.NewGate(1, nil)
	for range 10_000 { // promises fill it
		if full.Admit(load.Stream) != nil {
			break
		}
	}
	s := runServerOf(t, stream.NewHub(stream.DefaultConfig(), full), nil)
	_, _, err := publisher(t, s, "name")
	var status *rtmp.StatusError
	if !errors.As(err, &status) || status.Code != "NetStream.Failed" || !strings.Contains(status.Description, load.ErrFull.Error()) {
		t.Errorf("publish: %v, want NetStream.Failed with the reason", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	s, hub := runServer(t, func(c *Config) { c.PlayWait = 50 * time.Millisecond })
	first, _, err := publisher(t, s, "name?a=b")
	if err != nil {
		t.Fatal(err)
	}
	sending, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { // it is alive: its name is not to be taken over
		for i := uint32(0); sending.Err() == nil; i++ {
			_ = first.WriteTags([]flv.Tag{{Type: flv.TypeAudio, Time: 10 * i, Payload: []byte("\x72a frame")}})
			time.Sleep(10 * time.Millisecond)
		}
	})
	for _, name := range []string{"name", "", "rtmp://x/y"} {
		_, _, err := publisher(t, s, name)
		var status *rtmp.StatusError
		if !errors.As(err, &status) || status.Code != "NetStream.Publish.BadName" {
			t.Errorf("publish of %q: %v, want BadName", name, err)
		}
	}
	out, _ := exec.CommandContext(t.Context(), "ffprobe", "-loglevel", "error",
		fmt.Sprintf("rtmp://%s/live/other", s.Addr())).CombinedOutput()
	if !strings.Contains(string(out), "no such stream") {
		t.Errorf("ffprobe of an unknown stream says %q", out)
	}
	if st := s.Stats(); st.Refused != 4 || len(hub.Sources()) != 1 {
		t.Errorf("%d refused and %d streams, want 4 and 1", st.Refused, len(hub.Sources()))
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct{ app, key, wantApp, wantName string }{
		{"live", "show", "live", "show"},
		{"live?a=b", "show?c=d", "live", "show"},
		{"live/inner", "show", "live/inner", "show"},
		{"live/show", "", "live", "show"},
		{"/live/show/", "/", "live", "show"},
		{"live/inner/show?a=b", "?c=d", "live/inner", "show"},
		{"live", "", "live", ""},
		{"live/", "", "live/", ""},
		{"", "", "", ""},
	} {
		if app, key := address(c.app, c.key); app != c.wantApp || streamName(key) != c.wantName {
			t.Errorf("address(%q, %q) is %q, %q", c.app, c.key, app, key)
		}
	}
}

// A publisher and a player have the name of the stream in the application, and no key.
func TestNameInApplication(t *testing.T) {
	t.Parallel()
	s, hub := runServer(t, nil)
	address := fmt.Sprintf("-rtmp_app live/show?token=of-some-kind -rtmp_playpath / rtmp://%s", s.Addr())
	published := ffmpeg(t, "ffmpeg", "-re "+testSources+"-t 2.5 -c:v libx264 -preset ultrafast -tune zerolatency -g 10 -c:a aac -f flv "+address)
	testkit.Eventually(t, 10*time.Second, func() string {
		if src, ok := hub.Source("show"); !ok || src.Info().AppKey != "live" {
			return fmt.Sprintf("published is %v", hub.Sources())
		}
		return ""
	})
	ffmpeg(t, "ffmpeg", "-loglevel error -xerror -t 1 "+strings.Replace(address, " rtmp:", " -i rtmp:", 1)+" -f null -")()
	published()
}

func TestCodecRefused(t *testing.T) {
	s, hub := runServer(t, nil)
	c, _, err := publisher(t, s, "name")
	if err != nil {
		t.Fatal(err)
	}
	src, _ := hub.Source("name")
	if err := c.WriteTags([]flv.Tag{{Type: flv.TypeVideo, Payload: append([]byte{0x90}, "vp08...."...)}}); err != nil {
		t.Fatal(err)
	}
	var status *rtmp.StatusError
	if err := c.Serve(); !errors.As(err, &status) || !strings.Contains(status.Description, "vp08") {
		t.Errorf("Serve: %v, want a status that names vp08", err)
	}
	<-src.Done()
	if !errors.Is(src.Err(), errCodec) {
		t.Errorf("the source ended with %v, want errCodec", src.Err())
	}
}

// TestEnds checks how publishers and players are told the end of a stream.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*rtmp.Client, net.Conn, *stream.Source)
		want error
	}{
		{"unpublished", func(c *rtmp.Client, _ net.Conn, _ *stream.Source) { c.Unpublish() }, errPublisherClosed},
		{"hung up", func(_ *rtmp.Client, nc net.Conn, _ *stream.Source) { nc.Close() }, errPublisherClosed},
		{"silent", func(*rtmp.Client, net.Conn, *stream.Source) {}, errActivity},
		{"terminated", func(_ *rtmp.Client, _ net.Conn, src *stream.Source) { src.Close(stream.ErrClosed) }, stream.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, hub := runServer(t, func(c *Config) { c.IdleTimeout = 300 * time.Millisecond })
			client, nc, err := publisher(t, s, "name")
			if err != nil {
				t.Fatal(err)
			}
			src, ok := hub.Source("name")
			if !ok {
				t.Fatal("no stream")
			}
			c.end(client, nc, src)
			<-src.Done()
			if !errors.Is(src.Err(), c.want) {
				t.Errorf("the source ended with %v, want %v", src.Err(), c.want)
			}
			if c.want == stream.ErrClosed {
				var status *rtmp.StatusError
				if err := client.Serve(); !errors.As(err, &status) {
					t.Errorf("Serve: %v, want a status", err)
				}
			}
		})
	}
}

// TestStrangers checks that connections that are not RTMP, or too slow, are closed in time.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s, _ := runServer(t, func(c *Config) { c.HandshakeTimeout = 200 * time.Millisecond })
	for _, c := range []struct{ name, send string }{
		{"http", "GET / HTTP/1.1\r\n\r\n"},
		{"silent", ""},
		{"half a handshake", "\x03" + strings.Repeat("x", 700)},
		{"garbage after the handshake", "\x03" + strings.Repeat("x", 3072) + "\xff\xff\xff\xff"},
		{"handshake and no more", "\x03" + strings.Repeat("x", 3072)},
	} {
		t.Run(c.name, func(t *testing.T) {
			nc := dial(t, s)
			if _, err := io.WriteString(nc, c.send); err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, nc) // returns when the server closes
		})
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		if st := s.Stats(); st.Strangers != 5 || st.Connections != 0 {
			return fmt.Sprintf("%d strangers and %d connections, want 5 and 0", st.Strangers, st.Connections)
		}
		return ""
	})
}

// TestManyIdle checks the limit on the number of connections, and that new ones are accepted when old ones have gone.
func TestManyIdle(t *testing.T) {
	t.Parallel()
	const limit, excess = 200, 50
	s, _ := runServer(t, func(c *Config) { c.MaxConnections, c.HandshakeTimeout = limit, 2*time.Second })
	for range limit + excess {
		dial(t, s)
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		if st := s.Stats(); st.Accepted != limit || st.Rejected != excess {
			return fmt.Sprintf("%d accepted and %d rejected, want %d and %d", st.Accepted, st.Rejected, limit, excess)
		}
		return ""
	})
	testkit.Eventually(t, 10*time.Second, func() string {
		_, _, err := publisher(t, s, "name")
		if err != nil {
			return err.Error()
		}
		return ""
	})
}

// A publisher that sends a message byte by byte, or never completes one while it sends others, is disconnected as soon as a silent one.
func TestUnfinishedMessage(t *testing.T) {
	s, hub := runServer(t, func(c *Config) { c.IdleTimeout = 500 * time.Millisecond })
	_, nc, err := publisher(t, s, "slow")
	if err != nil {
		t.Fatal(err)
	}
	src, ok := hub.Source("slow")
	if !ok {
		t.Fatal("there is no stream")
	}
	// The client has announced chunks of 60000 bytes. This chunk begins a message of 15 MB.
	if _, err := nc.Write([]byte{0x06, 0, 0, 0, 0xe0, 0, 0, 9, 1, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	limit := time.After(10 * time.Second)
	for {
		select {
		case <-src.Done():
			if !errors.Is(src.Err(), errActivity) {
				t.Errorf("the stream ended with %v, want %v", src.Err(), errActivity)
			}
			return
		case <-every.C:
			_, _ = nc.Write([]byte{0}) // fails once the server has had enough
		case <-limit:
			t.Fatal("the stream is still there")
		}
	}
}

// Connections that begin messages and never complete them use hardly any memory before they are granted to publish.
func TestMemoryBeforePublish(t *testing.T) {
	s, _ := runServer(t, nil)
	nc := dial(t, s)
	c := rtmp.NewClient(nc, rtmp.ClientConfig{App: "live", TCURL: "rtmp://h/live", FlashVersion: "test", StreamName: "x"})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write([]byte{0x06, 0, 0, 0, 0xe0, 0, 0, 9, 1, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a message of 15 MB is waited for")
	}
}
