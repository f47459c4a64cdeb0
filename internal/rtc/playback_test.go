package rtc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// A player waits for tracks that a new stream may still send, and not for tracks that an old one does not have.
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

// TestEgressConfig: every value that cannot work is named.
func TestEgressConfig(t *testing.T) {
	if err := DefaultEgressConfig().Validate(); err != nil {
		t.Errorf("the default is not valid: %v", err)
	}
	err := EgressConfig{TrackTimeout: -1, MaxPlayers: -2}.Validate()
	for _, want := range []string{"connect timeout 0s", "track timeout -1ns", "limit of players -2"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}

// TestSlowFrame: a player that is told to stop in the middle of a large frame stops there.
func TestSlowFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped := errors.New("stopped")
		outlet := &fakeOutlet{written: func() { cancel(stopped) }}
		p := &playout{outlet: outlet}
		began := time.Now()
		err := p.write(ctx, &sendTrack{kind: media.Video}, make([][]byte, 3*BurstSize), 0)
		if err != stopped || outlet.packets != BurstSize || time.Since(began) > 0 {
			t.Errorf("%v after %d packets and %v, want %v after %d", err, outlet.packets, time.Since(began), stopped, BurstSize)
		}

		outlet = &fakeOutlet{}
		p = &playout{outlet: outlet}
		if err := p.write(t.Context(), &sendTrack{kind: media.Video}, make([][]byte, 3*BurstSize), 0); err != nil || outlet.packets != 3*BurstSize {
			t.Errorf("%v after %d packets, want all %d", err, outlet.packets, 3*BurstSize)
		}
		if took := time.Since(began); took != 2*burstPause {
			t.Errorf("it takes %v, want %v", took, 2*burstPause)
		}
	})
}

// fakeOutlet counts packets.
type fakeOutlet struct {
	Outlet
	packets, closed int
	written         func()
}

func (o *fakeOutlet) Close() error {
	o.closed++
	return nil
}

func (o *fakeOutlet) Write(_ media.Kind, payloads [][]byte, _ uint32, _ bool) error {
	o.packets += len(payloads)
	if o.written != nil {
		o.written()
	}
	return nil
}
