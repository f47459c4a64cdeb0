package rtc

import (
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// A player waits for what a new stream may still show, and not for what an old one does not have.
func TestWaitForTracks(t *testing.T) {
	for old, want := range map[time.Duration]time.Duration{0: 2 * time.Second, 1500 * time.Millisecond: 500 * time.Millisecond, time.Minute: 0} {
		synctest.Test(t, func(t *testing.T) {
			src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "n", ID: "1", HasVideo: true, HasAudio: true})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close(nil)
			src.SetLive()
			sound := &media.Track{Codec: media.AAC}
			src.Audio.Write(media.Frame{Track: sound})
			time.Sleep(old)
			asked := time.Now()
			p := &Playback{e: &Egress{cfg: DefaultEgressConfig()}, src: src}
			video, audio := p.tracks(t.Context())
			if took := time.Since(asked); (took - want).Abs() > time.Millisecond {
				t.Errorf("after %v: it takes %v, want %v", old, took, want)
			}
			if audio != sound || video.Codec != media.H264 {
				t.Errorf("tracks %v and %v, want H264 and the stream's own sound", video, audio)
			}
		})
	}
}
