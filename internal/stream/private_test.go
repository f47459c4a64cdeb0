package stream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/load"
)

func private(t *testing.T, h *Hub, info Info) *Source {
	t.Helper()
	s, err := h.Private(info)
	if err != nil {
		t.Fatalf("Private(%+v) = %v", info, err)
	}
	return s
}

func TestPrivateIsNotFound(t *testing.T) {
	h := NewHub(DefaultConfig(), nil)
	added := h.Added()
	s := private(t, h, Info{Name: "a", ID: "1"})
	if _, ok := h.Source("a"); ok {
		t.Error("a private stream is found by its name")
	}
	if _, ok := h.SourceByID("1"); ok {
		t.Error("a private stream is found by its id")
	}
	if all := h.Sources(); len(all) != 0 {
		t.Errorf("Sources() = %v, want none", all)
	}
	select {
	case <-added:
		t.Error("a private stream was announced")
	default:
	}
	named := publish(t, h, Info{Name: "a", ID: "1"}) // neither is taken
	if n := h.Len(); n != 2 {
		t.Errorf("Len() = %d with a named and a private stream, want 2", n)
	}
	s.Close(nil)
	if got, ok := h.Source("a"); !ok || got != named || h.Len() != 1 {
		t.Errorf("after the end of the private stream: Source(a) = %v, %v, Len() = %d", got, ok, h.Len())
	}
}

func TestPrivateTakesRoom(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxStreams = 2
	h := NewHub(cfg, nil)
	first := private(t, h, Info{})
	private(t, h, Info{})
	if _, err := h.Private(Info{}); !errors.Is(err, load.ErrFull) {
		t.Errorf("a third private stream: error %v, want ErrFull", err)
	}
	if _, err := h.Publish(Info{Name: "a"}); !errors.Is(err, load.ErrFull) {
		t.Errorf("a named stream beside two private ones: error %v, want ErrFull", err)
	}
	first.Close(nil)
	publish(t, h, Info{Name: "a"})
}

func TestPrivateKeyFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(DefaultConfig(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go h.Run(ctx)
		var asked atomic.Int32
		s := private(t, h, Info{AskKeyFrame: func() { asked.Add(1) }})
		s.RequestKeyFrame() // goes out at once
		s.RequestKeyFrame() // has to wait for Run
		time.Sleep(DefaultConfig().KeyFrameGap + tick)
		if n := asked.Load(); n != 2 {
			t.Errorf("the publisher was asked %d times, want 2", n)
		}
	})
}
