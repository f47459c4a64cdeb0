//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/testkit"
)

// An encoder whose sound or pictures stop, or are none that can be read: the push says so within 5 s of it, and what can go on does.
func TestOneKindStops(t *testing.T) {
	t.Parallel()
	const (
		pictures = "-f lavfi %s -i testsrc2=size=320x180:rate=25 "
		tone     = "-f lavfi %s -i sine=frequency=440:sample_rate=48000 "
		h264     = "-map 0:v -map 1:a -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -pix_fmt yuv420p "
		aac      = "-c:a aac -ac 2 "
	)
	for _, c := range []struct {
		name, args, reason string
		silence            bool // in the place of the sound
	}{
		{"sound stops", fmt.Sprintf(pictures, "") + fmt.Sprintf(tone, "-t 4") + h264 + aac, "source_no_audio", true},
		{"pictures stop", fmt.Sprintf(pictures, "-t 4") + fmt.Sprintf(tone, "") + h264 + aac, "source_no_video", false},
		{"sound in a format of old", fmt.Sprintf(pictures, "") + fmt.Sprintf(tone, "") + h264 + "-c:a nellymoser -ac 1 -ar 22050 ", "source_unusable", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			told := s.follow()
			receiver := testkit.NewRTMPServer(t, testkit.Script{})
			var log safeBuffer
			encoder := exec.CommandContext(t.Context(), "ffmpeg", strings.Fields("-v warning -re "+c.args+"-max_interleave_delta 1 -f flv "+s.rtmp+"/cam")...)
			encoder.Stderr = &log
			if err := encoder.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				encoder.Process.Kill()
				encoder.Wait()
				if t.Failed() {
					t.Logf("ffmpeg: %s", log.String())
				}
			})
			var begun push
			testkit.Eventually(t, 15*time.Second, func() string {
				if code := s.post("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": receiver.URL("live")}, &begun); code != http.StatusOK {
					return fmt.Sprintf("startup answers %d", code)
				}
				return ""
			})
			at := told.await(t, begun.MediaSessionID, 0, 15*time.Second, "PUBLISHING")
			told.await(t, begun.MediaSessionID, at, 15*time.Second, "DEGRADED/"+c.reason)
			if c.silence {
				testkit.Eventually(t, 10*time.Second, func() string {
					if picture, sound := lastPicture(receiver), lastSound(receiver); picture < 6*time.Second || sound < picture-time.Second {
						return fmt.Sprintf("the receiver has pictures up to %v, sound up to %v", picture, sound)
					}
					return ""
				})
			}
			if c.reason == "source_unusable" && !strings.Contains(s.metrics(), `transponder_stream_faults_total{fault="codec",kind="audio",stream="cam"}`) {
				t.Error("no metric tells what is thrown away")
			}
			if steps := told.of(begun.MediaSessionID); len(steps) > at+3 {
				t.Errorf("the push has no rest: %v", steps)
			}
		})
	}
}

// Over WHIP as well: an iPhone in the background sends its sound only. The last picture stays, and the push says why.
func TestWHIPPicturesStop(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	told := s.follow()
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units, cfg.FPS, cfg.Frames = pictures(t, 320, 180, 25), 25, 75
	publish(t, s, "cam", cfg)
	var begun push
	if code := s.post("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": receiver.URL("live")}, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	at := told.await(t, begun.MediaSessionID, 0, 15*time.Second, "PUBLISHING")
	told.await(t, begun.MediaSessionID, at, 15*time.Second, "DEGRADED/source_no_video")
}

// publishLate publishes sound, and pictures six seconds later, until the test ends. Their header goes first if it is early.
func publishLate(t *testing.T, s *server, name string, early bool) {
	t.Helper()
	units := pictures(t, 320, 180, 25)
	video, err := media.NewH264Track(units[0].NALs[0], units[0].NALs[1])
	if err != nil {
		t.Fatal(err)
	}
	config, err := media.AACConfig(48000, 2)
	if err != nil {
		t.Fatal(err)
	}
	sound := &media.Track{Codec: media.AAC, Config: config, SampleRate: 48000, Channels: 2}
	silence, length, err := media.SilentAAC(config)
	if err != nil {
		t.Fatal(err)
	}
	address, path, _ := strings.Cut(strings.TrimPrefix(s.rtmp, "rtmp://"), "/")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := rtmp.NewClient(conn, rtmp.ClientConfig{App: path, TCURL: s.rtmp, FlashVersion: "test", StreamName: name})
	for _, step := range []func() error{c.Handshake, c.Connect, c.Publish} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		begun := time.Now()
		frames := func(at time.Duration, n int) []media.Frame { // of a moment
			list := []media.Frame{{Track: sound, Time: media.Timestamp(at), Key: true, Data: silence}}
			if picture := n * 25 * int(length) / int(time.Second); at >= 6*time.Second && picture != (n-1)*25*int(length)/int(time.Second) {
				unit := units[picture%len(units)]
				var data []byte
				for _, nal := range unit.NALs {
					data = append(binary.BigEndian.AppendUint32(data, uint32(len(nal))), nal...)
				}
				list = append(list, media.Frame{Track: video, Time: media.Timestamp(at), Key: unit.Key, Data: data})
			}
			return list
		}
		var last [2]*media.Track
		for n := 0; ; n++ {
			at := time.Duration(n) * length
			time.Sleep(time.Until(begun.Add(at)))
			var tags []flv.Tag
			list := frames(at, n)
			if n == 0 && early {
				list = append(list, media.Frame{Track: video})
			}
			for _, f := range list {
				ms := f.Time.Milliseconds()
				if kind := f.Kind() - media.Audio; last[kind] != f.Track {
					last[kind] = f.Track
					tag, _ := flv.ConfigTag(f.Track, ms)
					tags = append(tags, tag)
				}
				if f.Data == nil {
					continue
				}
				tag, err := flv.FrameTag(f, ms)
				if err != nil {
					return
				}
				tags = append(tags, tag)
			}
			if c.WriteTags(tags) != nil {
				return
			}
		}
	}()
}

// Pictures that begin six seconds after the sound come through nginx, whether it was told of them at the start or not.
func TestLatePicturesThroughNginx(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprintf("header early %v", early), func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			n := newNginx(t)
			publishLate(t, s, "late", early)
			var begun push
			if code := s.post("/push/startup", map[string]any{"streamName": "late", "rtmpUrl": n.url()}, &begun); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			testkit.Eventually(t, 20*time.Second, func() string {
				var all []push
				if code := s.post("/push/find", map[string]string{"streamName": "late"}, &all); code != http.StatusOK || all[0].VideoFramesSent < 25 {
					return fmt.Sprintf("find answers %d, %+v", code, all)
				}
				return ""
			})
			file := t.TempDir() + "/played.flv"
			tool(t, "ffmpeg", "-v", "error", "-i", n.url()+"/rtmp_late", "-t", "3", "-c", "copy", file)
			m := probe(t, file)
			kinds := map[string]int{}
			for _, p := range m.Packets {
				kinds[p.Kind]++
			}
			if kinds["video"] < 25 || kinds["audio"] < 50 {
				t.Errorf("nginx gave %v in 3 s", kinds)
			}
		})
	}
}
