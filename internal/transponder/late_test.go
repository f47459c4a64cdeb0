package transponder

import (
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bluenviron/gortmplib"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// trackReader is a server that behaves like MediaMTX: it looks for tracks in the first two seconds, and ends a connection on which another
// track comes later. If that is allowed, a second publisher takes over the name from the first.
type trackReader struct {
	listener net.Listener
	takeOver bool
	done     sync.WaitGroup

	mu       sync.Mutex
	conns    []net.Conn // guarded by mu
	present  net.Conn   // guarded by mu; that publishes
	pictures atomic.Int64
	sounds   atomic.Int64
	faults   atomic.Int64
}

func newTrackReader(t *testing.T, takeOver bool) *trackReader {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &trackReader{listener: l, takeOver: takeOver}
	s.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			s.done.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		s.done.Wait()
	})
	return s
}

func (s *trackReader) serve(conn net.Conn) {
	defer conn.Close()
	server := &gortmplib.ServerConn{RW: conn}
	if server.Initialize() != nil {
		return
	}
	s.mu.Lock()
	if s.present != nil {
		if !s.takeOver {
			s.mu.Unlock()
			return
		}
		s.present.Close()
	}
	s.present = conn
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.present == conn {
			s.present = nil
		}
	}()
	r := &gortmplib.Reader{Conn: server}
	if server.Accept() != nil || r.Initialize() != nil {
		return
	}
	for _, track := range r.Tracks() {
		if track.Codec.IsVideo() {
			r.OnDataH264(track, func(time.Duration, time.Duration, [][]byte) { s.pictures.Add(1) })
		} else {
			r.OnDataMPEG4Audio(track, func(time.Duration, []byte) { s.sounds.Add(1) })
		}
	}
	for {
		if err := r.Read(); err != nil {
			if !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "closed") && !strings.Contains(err.Error(), "reset") {
				s.faults.Add(1)
			}
			return
		}
	}
}

// keep writes what the source writes for the given time.
func (s *source) keep(b *bench, d time.Duration) {
	until := time.Now().Add(d)
	b.wait("the time", func() bool {
		s.write(1, 20)
		return time.Now().After(until)
	})
}

// Pictures that begin six seconds after the sound arrive at servers that look for tracks at the beginning only, whether these let the second
// connection take over or refuse it.
func TestLatePictures(t *testing.T) {
	for _, tt := range []struct {
		name      string
		announced bool
		takeOver  bool
	}{
		{"the header is known", true, false},
		{"a second connection takes over", false, true},
		{"a second connection is refused", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			server := newTrackReader(t, tt.takeOver)
			s := b.source("s")
			s.only = media.Audio
			if tt.announced {
				s.Video.Announce(s.video)
			}
			info := b.start(Request{StreamName: "s", URL: "rtmp://" + server.listener.Addr().String() + "/live"})
			b.wait("sound", func() bool {
				s.write(1, 20)
				return server.sounds.Load() > 50 && s.n > 150
			})
			s.keep(b, lateAfter)
			s.only = 0
			b.wait("pictures", func() bool {
				s.write(1, 20)
				return server.pictures.Load() > 20
			})
			i := b.Find(Filter{ID: info.ID})[0]
			if connections := len(server.conns); tt.announced != (connections == 1) || connections > 3 {
				t.Errorf("%d connections", connections)
			}
			if i.State != Live || tt.takeOver && server.faults.Load() > 0 {
				t.Errorf("the push is %s, the server found %d faults", i.State, server.faults.Load())
			}
		})
	}
}

// Sound that begins six seconds after the pictures is treated in the same way, and the times at the server go on.
func TestLateSound(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	s.only = media.Video
	b.start(Request{StreamName: "s", URL: server.URL("live")})
	b.wait("pictures", func() bool {
		s.write(1, 20)
		return count(server.Tags(), true) > 150
	})
	s.keep(b, lateAfter)
	before := len(server.Tags())
	s.only = 0
	b.wait("sound", func() bool {
		s.write(1, 20)
		return slices.ContainsFunc(server.Tags(), func(tag testkit.Tag) bool { return !tag.Video && !tag.Header })
	})
	last := time.Duration(-1)
	for i, tag := range server.Tags() {
		if tag.Header || !tag.Video {
			continue
		}
		if tag.Time <= last {
			t.Errorf("picture %d of %d at %v after %v", i, before, tag.Time, last)
		}
		last = tag.Time
	}
	if n := strings.Count("\n"+strings.Join(server.Calls(), "\n"), "\npublish("); n != 2 {
		t.Errorf("published %d times, want twice: %q", n, server.Calls())
	}
}

// A burst of sound is not late because of its end: its beginning goes out with it.
func TestBurstIsNotLate(t *testing.T) {
	l := &link{mux: &flv.Muxer{}, begunAt: time.Now().Add(-2 * lateAfter)}
	l.alone.Store(true)
	if _, err := l.mux.Append(nil, media.Frame{Track: realVideo(t), Key: true, Data: []byte{0, 0, 0, 1, 0x65}}); err != nil {
		t.Fatal(err)
	}
	var burst []media.Frame
	for at := time.Duration(0); at < 2*time.Second; at += 100 * time.Millisecond {
		burst = append(burst, media.Frame{Track: realAudio, Time: media.Timestamp(at), Key: true, Data: []byte{1}})
	}
	if n := l.withoutLate(t.Context(), slices.Clone(burst)); n != len(burst) || !l.lateAt.IsZero() {
		t.Errorf("%d of %d frames are sent, as late since %v", n, len(burst), l.lateAt)
	}
	l.withoutLate(t.Context(), burst[15:])
	if l.lateAt.IsZero() {
		t.Error("sound that begins 1.5 s after the pictures is not late")
	}
}

// A Transponder server shows what comes late on the connection that it has, because it refuses a second publisher of the name.
func TestLateAtServerThatRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	door := b.runDoor()
	s := b.source("s")
	s.only = media.Audio
	b.start(Request{StreamName: "s", URL: "rtmp://" + door.Addr().String() + "/live"})
	frame := media.Timestamp(40 * time.Millisecond)
	write := func(ahead int) { // no faster than the server reads
		if n := int(s.Now()/frame) + ahead; n >= s.n {
			s.n = n
			s.write(1, 20)
		}
	}
	var first *stream.Source
	begun := s.Now()
	b.wait("sound", func() bool {
		write(int(min((s.Now()-begun)/frame, 10)) * 10) // more than is waited for pictures
		first, _ = b.hub.Source("rtmp_s")
		return first != nil && first.Audio.Stats().Frames > 10
	})
	s.only = 0
	b.wait("pictures", func() bool {
		write(200)
		return first.Video.Stats().Frames > 20
	})
	if made, ok := b.hub.Source("rtmp_s"); !ok || made != first {
		t.Error("the stream was interrupted")
	}
}

// A push waits for pictures that were announced, and not for pictures that a phone has refused.
func TestRefusedPictures(t *testing.T) {
	for _, refused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := &farEnd{}
			hub := stream.NewHub(stream.DefaultConfig(), nil)
			src, err := hub.Publish(stream.Info{Name: "s", ID: "s", HasVideo: true, HasAudio: true})
			if err != nil {
				t.Fatal(err)
			}
			if refused {
				src.NoVideo()
			}
			_, _, stop := pushSource(t, e, hub, src, func(*Parts) {}, nil, Request{TargetName: "room"})
			defer stop()
			from := time.Now()
			for len(e.got()) == 0 && time.Since(from) < 2*videoWait {
				src.Audio.Write(media.Frame{Track: realAudio, Time: src.Now(), Key: true, Data: []byte{1}})
				time.Sleep(20 * time.Millisecond)
				synctest.Wait()
			}
			if took := time.Since(from); refused != (took < time.Second) || took > videoWait+time.Second {
				t.Errorf("refused %v: the sound was sent after %v", refused, took)
			}
		})
	}
}
