//go:build !cgo

package sound

import (
	"errors"
	"log/slog"
	"testing"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
)

func TestDisabled(t *testing.T) {
	src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close(nil)
	if _, _, err := New(DefaultConfig(), slog.New(slog.DiscardHandler)).Feed(src, media.AudioFormat{}); !errors.Is(err, libav.ErrDisabled) {
		t.Errorf("got %v, want ErrDisabled", err)
	}
}
