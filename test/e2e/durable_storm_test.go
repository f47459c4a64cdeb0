//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/testkit"
)

// TestLongResumeStorm kills a server with 500 pushes to one receiver. All publishers come back at the same moment. The pushes connect one after
// another, as rtmp_push_resume_per_second says, and all are live again. The publishers are as light as they can be, since 500 of them and the
// receiver share the machine with the server: RTMP, two small key frames a second, no sound.
func TestLongResumeStorm(t *testing.T) {
	const pushes, perSecond = 500, 50
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	dir := t.TempDir()
	settings := []string{"log_level=info", "rtmp_push_resume_per_second=" + strconv.Itoa(perSecond), "address_share_percent=100", "max_load_percent=0"}
	s := startServerAt(t, dir, nil, settings...)
	names := make([]string, pushes)
	for i := range names {
		names[i] = fmt.Sprintf("storm-%d", i)
	}
	stop := thinPublishers(t, s, names)
	begun := time.Now()
	ids := map[string]string{}
	for _, name := range names {
		var p push
		if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": receiver.URL("live/" + name)}, &p); code != http.StatusOK {
			t.Fatalf("startup of %s answers %d", name, code)
		}
		ids[name] = p.MediaSessionID
	}
	s.awaitPushes("publishing", pushes, 120*time.Second)
	t.Logf("before the kill: %d pushes started and live after %v, %d MB resident", pushes, time.Since(begun).Round(time.Millisecond), memoryOf(t, s)>>20)
	s.kill()
	stop()

	begun = time.Now()
	s = startServerAt(t, dir, nil, settings...)
	started := time.Since(begun)
	if n := s.pushesIn("awaiting"); n != pushes {
		t.Fatalf("after the restart %d pushes are AWAITING, want %d", n, pushes)
	}
	t.Logf("started 20 times with %d records: ready after %v", pushes, startTimes(t, s, dir, settings...))
	s = startServerAt(t, dir, nil, settings...)
	t.Logf("the server that is back is ready after %v, %d MB resident", started.Round(time.Millisecond), memoryOf(t, s)>>20)

	before := len(receiver.Connections())
	back := time.Now()
	thinPublishers(t, s, names)
	allBack := time.Since(back)
	s.awaitPushes("publishing", pushes, 120*time.Second)
	live := time.Since(back)

	var accepted []time.Time
	for _, c := range receiver.Connections()[before:] {
		accepted = append(accepted, c.Accepted)
	}
	if len(accepted) != pushes {
		t.Errorf("the receiver was called for %d pushes, want %d; before the kill %d times", len(accepted), pushes, before)
	}
	for n, at := range accepted { // a busy machine makes calls later, never earlier
		if least := time.Duration(n-1) * time.Second / perSecond; at.Sub(back) < least {
			t.Fatalf("call %d of the receiver came %v after the first publisher was back, want at least %v", n, at.Sub(back), least)
		}
	}
	most, second := 0, 0
	for n, at := range accepted {
		for at.Sub(accepted[second]) >= time.Second {
			second++
		}
		most = max(most, n-second+1)
	}
	t.Logf("all publishers back after %v; all pushes live again after %v; at most %d calls of the receiver within a second; %d MB resident, %d MB at most",
		allBack.Round(time.Millisecond), live.Round(time.Millisecond), most, memoryOf(t, s)>>20, peakOf(t, s)>>20)

	var found []push
	if code := s.post("/push/find_all", nil, &found); code != http.StatusOK || len(found) != pushes {
		t.Fatalf("find_all answers %d with %d pushes", code, len(found))
	}
	for _, p := range found {
		if name := strings.TrimPrefix(p.StreamName, "rtmp_"); p.MediaSessionID != ids[name] {
			t.Errorf("%s has the id %s, want %s", name, p.MediaSessionID, ids[name])
		}
		if p.Attempts != 2 {
			t.Errorf("%s has connected %d times, want 2", p.StreamName, p.Attempts)
		}
	}
	if text := s.metrics(); !strings.Contains(text, fmt.Sprintf(`transponder_push_resumes_total{result="live"} %d`, pushes)) {
		t.Errorf("metrics: %v", regexp.MustCompile(`transponder_push_resumes_total.*`).FindAllString(text, -1))
	}
}

// startTimes kills a server, and starts it 20 times at its folder. It returns how long that took: the median, and the longest.
func startTimes(t *testing.T, s *server, dir string, settings ...string) string {
	t.Helper()
	var all []time.Duration
	for range 20 {
		s.kill()
		begun := time.Now()
		s = startServerAt(t, dir, nil, settings...)
		all = append(all, time.Since(begun))
	}
	s.kill()
	slices.Sort(all)
	return fmt.Sprintf("%v, at most %v", all[len(all)/2].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
}

// pushesIn returns how many pushes the metrics count in a state.
func (s *server) pushesIn(state string) int {
	s.t.Helper()
	return int(s.metric(s.t, "transponder_pushes{", `"`+state+`"`))
}

// awaitPushes waits until so many pushes are in a state.
func (s *server) awaitPushes(state string, want int, limit time.Duration) {
	s.t.Helper()
	testkit.Eventually(s.t, limit, func() string {
		if n := s.pushesIn(state); n != want {
			return fmt.Sprintf("%d pushes are %s, want %d", n, state, want)
		}
		return ""
	})
}

// peakOf returns the most memory that the server had resident, in bytes.
func peakOf(t *testing.T, s *server) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kB := 0
	fmt.Sscan(rest, &kB)
	return kB << 10
}

// thinPublishers publishes names by RTMP until stop or the end of the test. It returns when the server has taken all of them.
func thinPublishers(t *testing.T, s *server, names []string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	taken := make(chan error, len(names))
	for _, name := range names {
		wg.Go(func() { thinPublish(ctx, s.rtmp, name, taken) })
	}
	limit := time.After(120 * time.Second)
	for range names {
		select {
		case err := <-taken:
			if err != nil {
				t.Fatal(err)
			}
		case <-limit:
			t.Fatal("the server has not taken all publishers within two minutes")
		}
	}
	return stop
}

// thinTrack is the track of thinPublish.
var thinTrack = &media.Track{Codec: media.H264, Config: thinConfig()}

// thinConfig is an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
func thinConfig() []byte {
	sps, pps := testkit.SyntheticSPS, testkit.SyntheticPPS
	b := []byte{1, sps[1], sps[2], sps[3], 0xff, 0xe1}
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(sps))), sps...)
	return append(binary.BigEndian.AppendUint16(append(b, 1), uint16(len(pps))), pps...)
}

// thinPublish publishes a stream of two small key frames a second until ctx ends. It tells taken once whether the server has taken the stream.
func thinPublish(ctx context.Context, address, name string, taken chan<- error) {
	tell := sync.OnceFunc(func() { taken <- nil })
	if err := sendThin(ctx, address, name, tell); ctx.Err() == nil {
		select {
		case taken <- fmt.Errorf("publish %s: %w", name, err):
		default: // it was taken, and has ended since: its push shows that
		}
	}
}

func sendThin(ctx context.Context, address, name string, taken func()) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: time.Minute}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
	c := rtmp.NewClient(conn, rtmp.ClientConfig{App: "live", TCURL: address, StreamName: name})
	if err := errors.Join(c.Handshake(), c.Connect(), c.Publish()); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.Close()
	wg.Go(func() { _ = c.Serve() }) // until the connection ends
	config, _ := flv.ConfigTag(thinTrack, 0)
	tags := []flv.Tag{config}
	picture := append([]byte{0, 0, 0, 64, 0x65}, make([]byte, 63)...)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for ms := int64(0); ; ms += 500 {
		tag, err := flv.FrameTag(media.Frame{Track: thinTrack, Key: true, Data: picture}, ms)
		if err != nil {
			return err
		}
		if err := c.WriteTags(append(tags, tag)); err != nil {
			return err
		}
		tags = nil
		taken()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
