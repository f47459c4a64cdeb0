package wcs

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/transcode/picture"
)

func snapshotFrame(id, name string) string {
	return `{"message":"snapshot","data":[{"name":"` + name + `","mediaSessionId":"` + id + `"}]}`
}

// wantSnapshot reads the next message, which must be the picture in base64, or the refusal of a snapshot.
func (b *browser) wantSnapshot(id, picture, info string) {
	b.t.Helper()
	d := b.want("notifyStreamEvent")
	payload, _ := d["payload"].(map[string]any)
	kind, key, value := "snapshotCompleted", "snapshot", picture
	if info != "" {
		kind, key, value = "snapshotFailed", "info", info
	}
	if d["mediaSessionId"] != id || d["type"] != kind || payload[key] != value || len(payload) != 1 {
		b.t.Fatalf("event = %v, want %s of %s: %s", d, kind, id, value)
	}
}

func TestSnapshot(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	camera, b := dialIn(t, url), dialIn(t, url)
	camera.publishLive(w, "id1", "one")
	tests := []struct {
		name, frame string
		err         error
		id, info    string // info "": a picture
	}{
		{"stream that the server never saw", snapshotFrame("new", "one"), nil, "new", ""},
		{"no id", `{"message":"snapshot","data":[{"name":"one"}]}`, nil, "", ""},
		{"unknown", snapshotFrame("new", "nobody"), nil, "new", "Stream not found"},
		{"no name", `{"message":"snapshot","data":[{"mediaSessionId":"new"}]}`, nil, "new", "Stream not found"},
		{"name of another kind", `{"message":"snapshot","data":[{"mediaSessionId":"new","name":["one"]}]}`, nil, "new", "Stream not found"},
		{"cannot be made", snapshotFrame("new", "one"), errors.New("no picture came"), "new", "Stream failed"},
		{"no room", snapshotFrame("new", "one"), &picture.BusyError{}, "new", "No available transcoders"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.t = t
			w.camera.err = tt.err
			b.raw(tt.frame)
			b.wantSnapshot(tt.id, "UE5H", tt.info)
			b.wantQuiet()
		})
	}
	camera.wantQuiet()
}

// Only few snapshots are made at a time, and none for a browser that does not read them.
func TestManySnapshots(t *testing.T) {
	w := newWorld(t, testConfig())
	w.camera.hold = make(chan struct{})
	b := dialIn(t, w.serve(t))
	b.publishLive(w, "id1", "one")
	for i := range maxSnapshots + 2 {
		b.raw(snapshotFrame(fmt.Sprint(i), "one"))
	}
	for i := range 2 {
		b.wantSnapshot(fmt.Sprint(maxSnapshots+i), "", "Too many snapshots at a time")
	}
	close(w.camera.hold)
	for range maxSnapshots {
		if d := b.want("notifyStreamEvent"); d["type"] != "snapshotCompleted" {
			t.Errorf("event = %v", d)
		}
	}
	b.wantQuiet()
}

func TestSnapshotsOfSlowBrowser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.MaxQueueBytes = 1 << 20
		w := newWorld(t, cfg)
		w.camera.size = cfg.MaxQueueBytes // of one picture
		dial, done := w.inBubble(t)
		defer done()
		b := dial()
		b.hello("")
		b.publishLive(w, "id1", "one")
		for i := range 3 {
			b.raw(snapshotFrame(fmt.Sprint(i), "one"))
			synctest.Wait()
		}
		if n := w.camera.taken; n > 2 {
			t.Errorf("%d pictures were made for a browser that takes none", n)
		}
		time.Sleep(cfg.WriteTimeout) // is not enough for so much
		if n := w.srv.Stats().Slow; n != 0 {
			t.Errorf("Slow = %d: asking for pictures costs a session", n)
		}
		time.Sleep(transfer(2 * cfg.MaxQueueBytes))
		if n := w.srv.Stats().Slow; n != 1 {
			t.Errorf("Slow = %d, want 1: a browser takes nothing for ever", n)
		}
	})
}

func TestSnapshotTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.SnapshotTimeout = 5 * time.Second
		w := newWorld(t, cfg)
		w.camera.hold = make(chan struct{})
		dial, done := w.inBubble(t)
		defer done()
		b := dial()
		b.hello("")
		b.publishLive(w, "id1", "one")
		start := time.Now()
		b.raw(snapshotFrame("s", "one"))
		b.raw(unpublishFrame("id1"))
		b.wantStatus("id1", "UNPUBLISHED", "Stopped by user")
		b.wantSnapshot("s", "", "Stream failed")
		if got, want := time.Since(start), cfg.SnapshotTimeout; got != want {
			t.Errorf("gave up after %v, want %v", got, want)
		}

		b.publishLive(w, "id1", "one")
		b.raw(snapshotFrame("s", "one"))
		synctest.Wait()
		start = time.Now()
		if err := w.srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got > 2*DefaultConfig().CloseTimeout {
			t.Errorf("a snapshot kept its session for %v", got)
		}
	})
}
