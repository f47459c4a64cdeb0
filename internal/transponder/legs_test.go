package transponder

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// The state of a push follows from those of its legs.
func TestTogether(t *testing.T) {
	now := time.Now()
	live, starting := pushStatus{State: Live}, pushStatus{State: Starting}
	connecting, again := pushStatus{State: Connecting}, pushStatus{State: Connecting, Reason: ReasonPeerClosed, Detail: "again"}
	slow := pushStatus{State: Degraded, Reason: ReasonPeerSlow}
	noMedia := pushStatus{State: Degraded, Reason: ReasonNoMedia}
	waiting := pushStatus{State: Waiting, Reason: ReasonRefused, Detail: "waits", NextTry: now.Add(time.Minute)}
	sooner := pushStatus{State: Waiting, Reason: ReasonTimeout, Detail: "waits", NextTry: now.Add(time.Second)}
	failed := pushStatus{State: Failed, Reason: ReasonBadApp, Detail: "failed"}
	down := func(detail string) pushStatus {
		return pushStatus{State: Degraded, Reason: ReasonAddressDown, Detail: detail}
	}
	for _, tt := range []struct {
		name string
		legs []pushStatus
		held bool
		want pushStatus
	}{
		{"all live", []pushStatus{live, live}, false, live},
		{"one connects for the first time", []pushStatus{live, connecting}, false, live},
		{"one reconnects", []pushStatus{live, again}, false, down("again")},
		{"one waits", []pushStatus{waiting, live}, false, down("waits")},
		{"one has failed", []pushStatus{live, failed, live}, false, down("failed")},
		{"one is slow", []pushStatus{slow, live}, false, slow},
		{"one is slow, one is down", []pushStatus{slow, waiting}, false, down("waits")},
		{"the source sends nothing, one is down", []pushStatus{noMedia, waiting}, false, noMedia},
		{"one is slow, and the source sends nothing", []pushStatus{slow, noMedia}, false, noMedia},
		{"held", []pushStatus{live, waiting}, true, holdingStatus},
		{"held, all wait", []pushStatus{waiting, waiting}, true, waiting},
		{"the first steps", []pushStatus{starting, connecting}, false, connecting},
		{"all connect", []pushStatus{connecting, again}, false, connecting},
		{"one connects, one waits", []pushStatus{waiting, again}, false, again},
		{"all wait", []pushStatus{waiting, sooner}, false, sooner},
		{"one has failed, one waits", []pushStatus{failed, waiting}, false, waiting},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := together(tt.legs, tt.held); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// sameTimes checks that two servers got each picture that both have at the same time and with the same bytes.
func sameTimes(t *testing.T, a, b []testkit.Tag) {
	t.Helper()
	for _, video := range []bool{true, false} {
		times := map[string]time.Duration{}
		for _, tag := range a {
			if tag.Video == video && !tag.Header {
				times[string(tag.Data)] = tag.Time
			}
		}
		common := 0
		for _, tag := range b {
			at, ok := times[string(tag.Data)]
			if tag.Video != video || tag.Header || !ok {
				continue
			}
			common++
			if tag.Time != at {
				t.Fatalf("frame %v is at %v at one server and at %v at the other", tag.Data, at, tag.Time)
			}
		}
		if common == 0 {
			t.Errorf("no frame came to both, video %v", video)
		}
	}
}

// whole checks that no picture is missing.
func whole(t *testing.T, pictures []testkit.Tag) {
	t.Helper()
	for n, p := range pictures {
		if want := pictures[0].Data[5] + byte(n); p.Data[5] != want {
			t.Fatalf("picture %d where %d is due", p.Data[5], want)
		}
	}
}

// goodbye waits for the end of a stream at a server.
func goodbye(t *testing.T, s *testkit.RTMPServer) {
	t.Helper()
	s.Wait(t, "goodbye", func() bool {
		calls := s.Calls()
		return len(calls) > 0 && strings.HasPrefix(calls[len(calls)-1], "deleteStream")
	})
}

// Both addresses get the same frames with the same times. When one of them loses its connection, the other one goes on, and the lost one
// comes back with the same times again. The end is told to both.
func TestSimultaneous(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FailBack = 20 * time.Millisecond })
	first := testkit.NewRTMPServer(t, testkit.Script{})
	lost := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.HangUp, Times: 1})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{BackupURLs: []string{lost.URL("spare")}, Simultaneous: true}})
	b.wait("second connection to the second address", func() bool {
		s.write(1, 20)
		tags := picturesOf(lost.Tags())
		return len(tags) > 20 && len(first.Tags()) > 20 && tags[len(tags)-1].Connection == 2
	})
	b.wait("live push", func() bool {
		s.write(1, 20)
		i := b.Find(Filter{ID: info.ID})[0]
		return i.State == Live && i.Addresses[0].State == Live && i.Addresses[1].State == Live
	})
	i := b.Find(Filter{ID: info.ID})[0]
	if i.Attempts != 3 || i.Addresses[0].Attempts != 1 || i.Addresses[1].Attempts != 2 {
		t.Errorf("%d attempts: %+v", i.Attempts, i.Addresses)
	}
	if sum := i.Addresses[0].BytesSent + i.Addresses[1].BytesSent; sum == 0 || i.BytesSent < sum {
		t.Errorf("%d bytes, at the addresses %d", i.BytesSent, sum)
	}
	if err := b.Terminate(t.Context(), info.ID); err != nil {
		t.Fatal(err)
	}
	goodbye(t, first)
	goodbye(t, lost)
	own, other := first.Tags(), lost.Tags()
	sameTimes(t, own, other)
	if pictures := picturesOf(own); pictures[0].Time != 0 || pictures[len(pictures)-1].Connection != 1 {
		t.Errorf("the first address begins at %v and ends with connection %d", pictures[0].Time, pictures[len(pictures)-1].Connection)
	}
	whole(t, picturesOf(own))
	var told []string
	for _, e := range b.events() {
		told = append(told, fmt.Sprintf("%v %s", e.To, e.Reason))
	}
	end := []string{"DEGRADED address_down", "PUBLISHING ", "DRAINING terminated", "ENDED terminated"}
	if n := len(told); n < 6 || !slices.Equal(told[n-4:], end) || !slices.Equal(told[:3], []string{"STARTING ", "CONNECTING ", "PUBLISHING "}) {
		t.Errorf("events %q", told)
	}
	if e := b.Find(Filter{}); len(e) != 0 {
		t.Errorf("still there: %+v", e)
	}
}

// A frame has the same time on connections that begin at different frames, although the times of the frames are no whole milliseconds.
func TestEqualTimes(t *testing.T) {
	common := new(origin)
	video := realVideo(t)
	times := func(from int) map[int]uint32 {
		clock, mux := timeline{origin: common, last: -1}, &flv.Muxer{}
		found := map[int]uint32{}
		for i := from; i < 100; i++ {
			f := media.Frame{Track: video, Key: true, Time: media.Timestamp(i+1) * 33_366_667, Data: []byte{0, 0, 0, 1, 0x65}}
			tags, err := mux.Append(nil, f)
			if err != nil {
				t.Fatal(err)
			}
			clock.place(mux, f, tags)
			found[i] = tags[len(tags)-1].Time
		}
		return found
	}
	first := times(0)
	if first[0] != 0 || first[99] != 3303 {
		t.Errorf("frames from %d to %d ms, want 0 to 3303", first[0], first[99])
	}
	for _, from := range []int{1, 7, 50} {
		for i, at := range times(from) {
			if at != first[i] {
				t.Errorf("frame %d is at %d ms, and at %d ms on a connection that began with frame %d", i, first[i], at, from)
			}
		}
	}
}

// An address that takes the stream later than the other one begins at the time that the frame has there, not at zero.
func TestSimultaneousLateBeginning(t *testing.T) {
	b := newBench(t, nil)
	release := make(chan struct{})
	first := testkit.NewRTMPServer(t, testkit.Script{})
	late := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.AnswerLate, Release: release})
	s := b.source("s")
	begun := time.Now()
	b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{BackupURLs: []string{late.URL("live")}, Simultaneous: true}})
	asked := 0
	write := func() { // less often than it is asked: pictures must not have the same number twice
		if asked++; asked%10 == 0 && s.n < 250 {
			s.write(1, 20)
		}
	}
	b.wait("frames that are too old for the second address", func() bool {
		write()
		return len(picturesOf(first.Tags())) > 20 && time.Since(begun) > 1200*time.Millisecond // see begin
	})
	close(release)
	b.wait("pictures at both", func() bool {
		write()
		return len(picturesOf(late.Tags())) > 10
	})
	if at := picturesOf(late.Tags())[0].Time; at < 20*40*time.Millisecond {
		t.Errorf("the second address begins at %v", at)
	}
	sameTimes(t, first.Tags(), late.Tags())
}

// events returns all events so far.
func (b *bench) events() []Event {
	all := make([]Event, 100)
	n, _, _ := b.Journal().Since(b.t.Context(), 0, all)
	return all[:n]
}

// An address that does not take the stream leaves the push degraded, and the other address gets all of it.
func TestSimultaneousWithoutOne(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script testkit.Script
		want   Reason // at the address
	}{
		{"refused", testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied"}, ReasonKeyRejected},
		{"lost", testkit.Script{At: "media", Do: testkit.HangUp}, ReasonPeerClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			no := false
			b := newBench(t, nil)
			good, bad := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, tt.script)
			s := b.source("s")
			info := b.start(Request{StreamName: "s", URL: bad.URL("live"), Options: Options{
				BackupURLs: []string{good.URL("live")}, Simultaneous: true, FailBack: &no,
			}})
			b.wait("degraded push", func() bool {
				s.write(1, 20)
				i := b.Find(Filter{})[0]
				return i.State == Degraded && i.Reason == ReasonAddressDown && !i.Addresses[0].InUse && i.Addresses[1].State == Live
			})
			i := b.Find(Filter{})[0]
			if a := i.Addresses[0]; a.Reason != tt.want || a.Attempts != 1 || !strings.Contains(i.Detail, a.Detail) || !strings.Contains(i.Detail, "/live/***") {
				t.Errorf("%q, address %+v", i.Detail, a)
			}
			if err := b.Terminate(t.Context(), info.ID); err != nil {
				t.Fatal(err)
			}
			goodbye(t, good)
			if end := b.end(); end.State != Ended || end.Reason != ReasonTerminated {
				t.Errorf("ended %v %v", end.State, end.Reason)
			}
			whole(t, picturesOf(good.Tags()))
		})
	}
}

// If no address takes the stream, the push fails.
func TestSimultaneousWithoutAny(t *testing.T) {
	b := newBench(t, nil)
	bad := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied"})
	b.source("s")
	b.start(Request{StreamName: "s", URL: bad.URL("live"), Options: Options{BackupURLs: []string{refusing(t)}, Simultaneous: true}})
	if i := b.end(); i.State != Failed || i.Reason != ReasonRefused || i.Addresses[0].Reason != ReasonKeyRejected || i.Addresses[0].InUse {
		t.Errorf("ended %v %v: %+v", i.State, i.Reason, i.Addresses)
	}
}

// The end of the stream ends the push, and all frames come to both addresses.
func TestSimultaneousToTheEnd(t *testing.T) {
	b := newBench(t, nil)
	first, second := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{BackupURLs: []string{second.URL("live")}, Simultaneous: true}})
	s.live(t, first)
	s.live(t, second)
	s.write(7, 20)
	s.Close(nil)
	if i := b.end(); i.State != Ended || i.Reason != ReasonSourceLost {
		t.Errorf("ended %v %v", i.State, i.Reason)
	}
	goodbye(t, first)
	goodbye(t, second)
	for _, got := range [][]testkit.Tag{picturesOf(first.Tags()), picturesOf(second.Tags())} {
		whole(t, got)
		if last := got[len(got)-1].Data[5]; last != byte(s.n-1) {
			t.Errorf("the last picture is %d of %d", last, s.n)
		}
	}
	sameTimes(t, first.Tags(), second.Tags())
}

// A publisher leaves, and another one takes the name: both addresses get the picture meanwhile.
func TestSimultaneousHold(t *testing.T) {
	b := newBench(t, nil)
	first, second := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{
		BackupURLs: []string{second.URL("live")}, Simultaneous: true, OnSourceLoss: "hold",
	}})
	s.live(t, first)
	s.live(t, second)
	s.Close(errors.New("gone"))
	before := len(picturesOf(second.Tags()))
	b.wait("hold", func() bool {
		return b.Find(Filter{ID: info.ID})[0].State == Holding && len(picturesOf(second.Tags())) > before+3
	})
	again, err := b.hub.Publish(stream.Info{Name: "s", ID: "again", HasVideo: true, HasAudio: true, AskKeyFrame: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close(nil)
	again.SetLive()
	back := &source{Source: again, video: realVideo(t), audio: realAudio, n: 200}
	b.wait("the stream again", func() bool {
		back.write(1, 20)
		i := b.Find(Filter{ID: info.ID})[0]
		return i.State == Live && i.Addresses[0].State == Live && i.Addresses[1].State == Live
	})
}

// A sound that is muted is muted at all addresses.
func TestSimultaneousMute(t *testing.T) {
	b := newBench(t, nil)
	first, second := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{BackupURLs: []string{second.URL("live")}, Simultaneous: true}})
	s.live(t, first)
	s.live(t, second)
	if err := b.Mute(info.ID, true); err != nil {
		t.Fatal(err)
	}
	muted := func(server *testkit.RTMPServer) bool {
		tags := slices.DeleteFunc(server.Tags(), func(tag testkit.Tag) bool { return tag.Video || tag.Header })
		if len(tags) == 0 {
			return false
		}
		last := tags[len(tags)-1].Data
		return len(last) > 2 || !bytes.Equal(last[1:], []byte{0}) // no sound of the source, which has two bytes
	}
	b.wait("silence at both", func() bool {
		s.write(1, 20)
		return muted(first) && muted(second)
	})
}

// A server that stops to read loses pictures, and the other one gets all.
func TestSimultaneousSlowOne(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxDelay = 2 * time.Second })
	first := testkit.NewRTMPServer(t, testkit.Script{})
	stuck := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.StopReading})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{BackupURLs: []string{stuck.URL("live")}, Simultaneous: true}})
	s.live(t, first)
	b.wait("dropped pictures", func() bool {
		if got := picturesOf(first.Tags()); got[len(got)-1].Data[5] != byte(s.n-1) {
			return false // the server that reads would be late, too, if this test wrote faster than that
		}
		s.write(5, 100_000)
		return b.Find(Filter{ID: info.ID})[0].DroppedFrames > 0
	})
	s.Video.Write(media.Frame{Track: s.video, Time: media.Timestamp(s.n) * media.Timestamp(40*time.Millisecond), Key: true, Data: []byte{0, 0, 0, 2, 0x65, 0xff}})
	first.Wait(t, "the last picture", func() bool {
		tags := picturesOf(first.Tags())
		return tags[len(tags)-1].Data[5] == 0xff && len(tags[len(tags)-1].Data) == 6
	})
	got := picturesOf(first.Tags())
	whole(t, got[:len(got)-1])
}
