package rtmpserver

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/stream"
)

// file makes a file of ten seconds, and returns the sizes of its audio packets.
func file(t *testing.T, rate string) (path string, sound []int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file.flv")
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=10,noise=alls=40:allf=t",
		"-f", "lavfi", "-i", "anoisesrc=sample_rate=48000:duration=10:color=pink", "-c:v", "libx264", "-preset", "ultrafast", "-b:v", rate,
		"-maxrate", rate, "-bufsize", rate, "-g", "30", "-c:a", "aac", "-shortest", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	out, err = exec.Command("ffprobe", "-v", "error", "-select_streams", "a", "-show_entries", "packet=size", "-of", "csv=p=0", path).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		size, err := strconv.Atoi(strings.Trim(strings.TrimSpace(line), ","))
		if err != nil {
			t.Fatal(err)
		}
		sound = append(sound, size)
	}
	return path, sound
}

// arrived is what a reader got from a stream.
type arrived struct {
	sound       []int // sizes
	pictures    [][]byte
	ends        [3]media.Timestamp // of the last frame of each kind
	first, last time.Time
	squeezed    int // frames less than 5 ms after the one before
}

// readAll reads the stream with the name from its first frame to its end.
func readAll(t *testing.T, hub *stream.Hub, name string) <-chan arrived {
	t.Helper()
	done := make(chan arrived, 1)
	go func() {
		defer close(done)
		src, err := hub.Await(t.Context(), name)
		if err != nil {
			return
		}
		r := src.NewReader(stream.ReaderConfig{Video: src.Video, Audio: src.Audio})
		defer r.Close()
		var got arrived
		frames := make([]media.Frame, 64)
		for {
			n, err := r.Read(t.Context(), frames)
			if err != nil {
				break
			}
			for _, f := range frames[:n] {
				if got.first.IsZero() {
					got.first = time.Now()
				}
				if before := got.ends[f.Kind()]; before != 0 && f.Time.Sub(before) < 5*time.Millisecond {
					got.squeezed++
				}
				got.ends[f.Kind()] = f.Time
				if f.Kind() == media.Video {
					got.pictures = append(got.pictures, f.Data)
				} else {
					got.sound = append(got.sound, len(f.Data))
				}
			}
		}
		got.last = time.Now()
		done <- got
	}()
	return done
}

// Nothing is lost of a file that FFmpeg sends without pacing, and it is played at its own pace to its end. A small file has been sent
// before the server begins to read; the sender of a large file waits for room.
func TestUnpacedFile(t *testing.T) {
	for _, rate := range []string{"800k", "20000k"} {
		t.Run(rate, func(t *testing.T) {
			t.Parallel()
			path, want := file(t, rate)
			s, hub := runServer(t, nil)
			played := readAll(t, hub, "file")
			ffmpeg(t, "ffmpeg", "-v error -i "+path+" -c copy -f flv rtmp://"+s.Addr().String()+"/live/file")()
			got, ok := <-played
			if !ok {
				t.Fatal("nothing was played")
			}
			// The reader may have begun after the first frames.
			if n := len(got.sound); n < len(want)*2/3 || !slices.Equal(got.sound, want[len(want)-n:]) {
				t.Errorf("%d packets of sound came, %d were sent, and the last ones are not the same", n, len(want))
			}
			if d := got.ends[media.Video].Sub(got.ends[media.Audio]); d.Abs() > 200*time.Millisecond {
				t.Errorf("pictures end %v after the sound", d)
			}
			if d := got.last.Sub(got.first).Seconds(); d < 7 || d > 11.5 {
				t.Errorf("the stream lived for %.1f s, want 10", d)
			}
			if got.squeezed > 0 {
				t.Errorf("%d frames come too soon after the one before", got.squeezed)
			}
		})
	}
}

// An encoder closes the connection as soon as it has sent everything.
func TestUnpacedGone(t *testing.T) {
	t.Parallel()
	s, hub := runServer(t, nil)
	played := readAll(t, hub, "gone")
	client, nc, err := publisher(t, s, "gone")
	if err != nil {
		t.Fatal(err)
	}
	track, err := media.NewH264Track(sps, pps)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() { read <- client.Serve() }() // what is not read when a connection is closed costs what is still to be sent
	const pictures = 120
	mux := &flv.Muxer{FrameRate: func() float64 { return 30 }}
	for i := range pictures {
		f := media.Frame{Track: track, Time: media.Timestamp(i) * media.Timestamp(time.Second) / 30, Key: true, Data: unitOf(append([]byte{0x65, 1, 2, 3, byte(i)}, make([]byte, 100_000)...))}
		tags, err := mux.Append(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.WriteTags(tags); err != nil {
			t.Fatal(err)
		}
	}
	nc.Close()
	<-read
	got := <-played
	if n := len(got.pictures); n == 0 || got.pictures[n-1][8] != pictures-1 || n != pictures-int(got.pictures[0][8]) {
		t.Errorf("%d of %d pictures came", n, pictures)
	}
}
