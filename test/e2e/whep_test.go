//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// playWHEP plays a stream until the test ends, as soon as it is there.
func playWHEP(t *testing.T, s *server, name string) *testkit.Player {
	t.Helper()
	p := testkit.NewPlayer(testkit.PlayerConfig{Video: true, Audio: true})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		gone <- p.Run(ctx, func(ctx context.Context, offer string) (string, error) {
			for {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(s.page, "/")+"/whep/"+name, strings.NewReader(offer))
				if err != nil {
					return "", err
				}
				req.Header.Set("Content-Type", "application/sdp")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					return "", err
				}
				answer, err := io.ReadAll(res.Body)
				res.Body.Close()
				switch {
				case err != nil:
					return "", err
				case res.StatusCode == http.StatusCreated:
					return string(answer), nil
				case res.StatusCode != http.StatusNotFound: // it is not published yet
					return "", fmt.Errorf("WHEP answers %s: %s", res.Status, answer)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-gone; err != nil {
			t.Errorf("player of %s: %v", name, err)
		}
	})
	return p
}

// An encoder's pictures with B-frames and its AAC play in a browser's terms: pictures in the order of showing, Opus.
func TestEncoderPlays(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	encoder := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30",
		"-f", "lavfi", "-i", "sine=frequency=1000", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "30", "-c:a", "aac", "-f", "flv",
		s.rtmp+"/live/encoder")
	if err := encoder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = encoder.Process.Kill()
		_ = encoder.Wait()
	})
	p := playWHEP(t, s, "encoder")
	p.Wait(t, "three seconds", func() bool { return len(p.Frames("video")) > 90 && len(p.Frames("audio")) > 150 })

	var stream []byte
	pictures := p.Frames("video")
	for i, f := range pictures {
		stream = append(stream, f.Data...)
		// The pictures of the publisher come first, until one is out of order; from then on transcoded pictures are sent.
		if step := int32(f.Time - pictures[max(i-1, 0)].Time); i > 40 && step <= 0 {
			t.Errorf("picture %d is %d before the last", i, -step)
		}
	}
	sound := p.Frames("audio")
	size := 0
	for i, f := range sound {
		if step := f.Time - sound[max(i-1, 0)].Time; i > 0 && step != 960 {
			t.Errorf("packet %d of sound is %d samples after the last, want 960", i, step)
		}
		size += len(f.Data)
	}
	if mean := size / len(sound); mean < 60 { // 96 kbit/s are 240 bytes; silence is 3
		t.Errorf("packets of sound have %d bytes on average, so that no tone is in them", mean)
	}
	file := filepath.Join(t.TempDir(), "played.h264")
	if err := os.WriteFile(file, stream, 0o600); err != nil {
		t.Fatal(err)
	}
	decodes(t, file)
}
