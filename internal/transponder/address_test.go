package transponder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/destination"
	"transponder/internal/testkit"
)

// The order in which addresses are tried, and the failure by which the retry policy decides.
func TestRound(t *testing.T) {
	passes, final := loss{reason: ReasonRefused}, loss{reason: ReasonBadApp}
	for _, tt := range []struct {
		name        string
		count, lost int
		failures    []loss // of the addresses in turn
		order       []int
		worst       int
	}{
		{"one address", 1, -1, []loss{passes}, []int{0}, 0},
		{"from the first on", 3, -1, []loss{passes, passes, passes}, []int{0, 1, 2}, 0},
		{"from the last on", 3, -1, []loss{passes, passes, passes}, []int{2, 0, 1}, 0},
		{"the first was lost", 3, 0, []loss{passes, passes, passes}, []int{1, 2, 0}, 0},
		{"another one was lost", 3, 1, []loss{final, final, final}, []int{0, 2, 1}, 0},
		{"the one that may work again", 3, -1, []loss{final, final, passes}, []int{0, 1, 2}, 2},
		{"the first of those that may work again", 3, 0, []loss{passes, passes, final}, []int{1, 2, 0}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRound(tt.count, tt.lost)
			if tt.name == "from the last on" {
				r.beginAt(tt.count - 1)
			}
			var order []int
			for i, l := range tt.failures {
				if want := tt.count - i; r.left() != want {
					t.Errorf("%d addresses are left, want %d", r.left(), want)
				}
				at := r.next()
				order = append(order, at)
				r.failed(trial{loss: l, address: at})
			}
			if !slices.Equal(order, tt.order) || r.worst.address != tt.worst {
				t.Errorf("order %v, decided by %d; want %v and %d", order, r.worst.address, tt.order, tt.worst)
			}
		})
	}
}

// A server that comes and goes gets the stream back later each time. One to which the stream returned for long gets it back soon again.
func TestBackoff(t *testing.T) {
	b := newBackoff(30 * time.Second)
	var got []time.Duration
	for _, after := range []time.Duration{0, time.Second, 59 * time.Second, 0, 0, time.Minute, 0} {
		got = append(got, b.pause)
		b.lost(after)
	}
	want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute, 30 * time.Second}
	if !slices.Equal(got, want) {
		t.Errorf("pauses %v, want %v", got, want)
	}
}

// refusing returns the address of a port at which nothing listens.
func refusing(t *testing.T) string {
	t.Helper()
	return "rtmp://127.0.0.1:" + testkit.FreePort(t) + "/live"
}

// If the first address cannot be reached or refuses the stream, the stream goes to the next one at once.
func TestBackupAddress(t *testing.T) {
	for _, tt := range []struct {
		name   string
		first  func(t *testing.T) string
		reason Reason
	}{
		{"nothing listens", refusing, ReasonRefused},
		{"the key is refused", func(t *testing.T) string {
			return testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied"}).URL("live")
		}, ReasonKeyRejected},
		{"the name is not known", func(*testing.T) string { return "rtmp://nowhere.invalid/live" }, ReasonDNS},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			second := testkit.NewRTMPServer(t, testkit.Script{})
			s := b.source("s")
			info := b.start(Request{StreamName: "s", URL: tt.first(t), Options: Options{BackupURLs: []string{second.URL("spare")}}})
			s.live(t, second)
			b.wait("live push", func() bool { return b.Find(Filter{})[0].State == Live })
			i := b.Find(Filter{ID: info.ID})[0]
			if len(i.Addresses) != 2 || i.Attempts != 2 {
				t.Fatalf("%d addresses, %d attempts", len(i.Addresses), i.Attempts)
			}
			if a := i.Addresses[0]; a.InUse || a.Reason != tt.reason || a.FailedAt.IsZero() || a.Attempts != 1 || a.BytesSent != 0 {
				t.Errorf("first address %+v", a)
			}
			if a := i.Addresses[1]; !a.InUse || a.State != Live || a.Reason != ReasonNone || a.BytesSent == 0 || a.BytesSent != i.BytesSent {
				t.Errorf("second address %+v of %d bytes", a, i.BytesSent)
			}
			events := make([]Event, 10)
			n, _, _ := b.Journal().Since(t.Context(), 0, events)
			var told []string
			for _, e := range events[:n] {
				told = append(told, fmt.Sprintf("%d%v %s", e.Address, e.To, e.Reason))
			}
			want := []string{"1STARTING ", "1CONNECTING ", "2CONNECTING " + string(tt.reason), "2PUBLISHING "}
			if !slices.Equal(told, want) {
				t.Errorf("events %q, want %q", told, want)
			}
			if got := second.Calls(); got[0] != "connect('spare')" || !slices.Contains(got, "publish('rtmp_s')") {
				t.Errorf("commands %q", got)
			}
		})
	}
}

// When all addresses have failed, the retry policy decides, and the next attempt begins with the first address.
func TestAllAddressesFail(t *testing.T) {
	b := newBench(t, nil)
	second := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied"})
	b.source("s")
	b.start(Request{StreamName: "s", URL: refusing(t), Options: Options{
		BackupURLs: []string{second.URL("live")}, Restore: &Restore{Attempts: 1, FirstPause: minPause},
	}})
	i := b.end()
	if i.State != Failed || i.Reason != ReasonRefused || i.Attempts != 4 || i.Addresses[0].Attempts != 2 || i.Addresses[1].Attempts != 2 {
		t.Errorf("%v %v after %d attempts: %+v", i.State, i.Reason, i.Attempts, i.Addresses)
	}
	if a := i.Addresses[1]; a.Reason != ReasonKeyRejected || a.InUse {
		t.Errorf("second address %+v", a)
	}
}

// A connection that is lost goes on at the next address with a key frame, and the time goes on. When the first address is well again, the
// stream returns there at a key frame, and no picture is missing.
func TestFailover(t *testing.T) {
	first := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.HangUp, Times: 1})
	second := testkit.NewRTMPServer(t, testkit.Script{})
	var dialled atomic.Int32
	b := newBench(t, func(c *Config) {
		c.FailBack = time.Millisecond
		c.dialTCP = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
			if dialled.Add(1) == 3 { // the way back, which must not come before there is something at the second address
				poll := time.NewTicker(time.Millisecond)
				defer poll.Stop()
				for len(picturesOf(second.Tags())) < 5 && ctx.Err() == nil {
					<-poll.C
				}
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", a.String())
		}
	})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{BackupURLs: []string{second.URL("live")}}})
	b.wait("second connection to the first address", func() bool {
		s.write(1, 20)
		tags := picturesOf(first.Tags())
		return len(tags) > 3 && slices.ContainsFunc(tags, func(p testkit.Tag) bool { return p.Connection == 2 })
	})
	second.Wait(t, "goodbye", func() bool {
		calls := second.Calls()
		return strings.HasPrefix(calls[len(calls)-1], "deleteStream")
	})
	spare, back := picturesOf(second.Tags()), picturesOf(first.Tags())
	back = slices.DeleteFunc(back, func(p testkit.Tag) bool { return p.Connection != 2 })
	for i, p := range slices.Concat(spare, back) {
		want := spare[0].Data[5] + byte(i)
		if p.Data[5] != want || p.Time != spare[0].Time+time.Duration(i)*40*time.Millisecond {
			t.Fatalf("picture %d at %v where %d is due", p.Data[5], p.Time, want)
		}
	}
	if spare[0].Data[5]%10 != 0 || back[0].Data[5]%10 != 0 {
		t.Errorf("the connections begin with the pictures %d and %d, which are no key frames", spare[0].Data[5], back[0].Data[5])
	}
	b.wait("live push at the first address", func() bool {
		i := b.Find(Filter{})[0]
		return i.State == Live && i.Addresses[0].InUse && !i.Addresses[1].InUse
	})
	if i := b.Find(Filter{})[0]; i.Attempts != 3 || i.Addresses[0].Attempts != 2 || i.Addresses[0].Reason != ReasonNone {
		t.Errorf("%d attempts, %+v", i.Attempts, i.Addresses)
	}
}

// The connection to the second address is lost while one to the first is made for the way back: the stream goes on there.
func TestLostDuringReturn(t *testing.T) {
	var returning atomic.Bool
	var dialled atomic.Int32
	b := newBench(t, func(c *Config) {
		c.FailBack = time.Millisecond
		c.dialTCP = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
			if dialled.Add(1) == 3 {
				returning.Store(true)
				<-ctx.Done() // the connection to the second address is lost
				return nil, context.Cause(ctx)
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", a.String())
		}
	})
	first := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.HangUp, Times: 1})
	second := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.HangUp, When: returning.Load})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{BackupURLs: []string{second.URL("live")}}})
	b.wait("the stream at the first address again", func() bool {
		s.write(1, 20)
		i := b.Find(Filter{})[0]
		return i.State == Live && i.Addresses[0].Up() && returning.Load()
	})
	i := b.Find(Filter{})[0]
	if a, b := i.Addresses[0], i.Addresses[1]; a.Attempts != 3 || b.Attempts != 1 || b.Reason != ReasonPeerClosed {
		t.Errorf("addresses %+v", i.Addresses)
	}
	var told []string
	for _, e := range b.events() {
		told = append(told, fmt.Sprintf("%d%v", e.Address, e.To))
	}
	want := []string{"1STARTING", "1CONNECTING", "1PUBLISHING", "2CONNECTING", "2PUBLISHING", "1CONNECTING", "1PUBLISHING"}
	if !slices.Equal(told, want) {
		t.Errorf("events %q, want %q", told, want)
	}
}

// With failBack false the stream stays where it is.
func TestNoFailBack(t *testing.T) {
	no := false
	b := newBench(t, func(c *Config) { c.FailBack = time.Nanosecond })
	first := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.HangUp, Times: 1})
	second := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{BackupURLs: []string{second.URL("live")}, FailBack: &no}})
	b.wait("many pictures at the second address", func() bool {
		s.write(1, 20)
		return count(second.Tags(), true) > 100
	})
	if i := b.Find(Filter{})[0]; i.Attempts != 2 || !i.Addresses[1].InUse {
		t.Errorf("%d attempts, %+v", i.Attempts, i.Addresses)
	}
}

// With failBack false the stream stays where it is over a restart, too. Otherwise, and by a record of a version that did not keep the address, the
// first address is the first to be tried.
func TestAddressAfterRestart(t *testing.T) {
	for _, tt := range []struct {
		name      string
		failBack  bool
		forgotten bool
		want      int
	}{
		{"the stream stays", false, false, 1},
		{"the stream returns", true, false, 0},
		{"a record of before", false, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			keeper := newFakeKeeper()
			b := newKeptBench(t, keeper, func(c *Config) { c.FailBack = time.Hour })
			servers := []*testkit.RTMPServer{
				testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.HangUp, Times: 1}), testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{}),
			}
			s := b.source("s")
			info := b.start(Request{StreamName: "s", URL: servers[0].URL("live"), Options: Options{
				BackupURLs: []string{servers[1].URL("live"), servers[2].URL("live")}, FailBack: &tt.failBack,
			}})
			liveAt := func(index int) func() bool {
				return func() bool {
					s.write(1, 20)
					i := b.Find(Filter{ID: info.ID})[0]
					return i.State == Live && i.Addresses[index].InUse
				}
			}
			b.wait("media at the second address", liveAt(1))
			b.wait("record of that", func() bool { r := keeper.record(t); return r.State == Live.String() && r.At == 1 })
			keeper.crash()
			s.Close(nil)
			keeper.edit(func(r *Record) {
				r.Anchor -= 60_000 // the frames of this test are ahead of the clock
				if tt.forgotten {
					r.At = 0
				}
			})
			b = b.restart(keeper, nil)
			s = b.source("s")
			b.wait("media after the restart", liveAt(tt.want))
			for i, a := range b.Find(Filter{ID: info.ID})[0].Addresses {
				if (a.Attempts > 0) != (i == tt.want) {
					t.Errorf("address %d was tried %d times after the restart", i, a.Attempts)
				}
			}
		})
	}
}

// picturesOf returns the pictures among tags.
func picturesOf(tags []testkit.Tag) []testkit.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(tag testkit.Tag) bool { return !tag.Video || tag.Header })
}

// An address may not be twice in one request, nor be in two pushes of a stream. When a push is over, all its addresses are free.
func TestBackupDuplicates(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	start := func(urls ...string) (Info, error) {
		return b.Start(t.Context(), Request{StreamName: "s", URL: urls[0], Options: Options{BackupURLs: urls[1:]}})
	}
	one, two, three := server.URL("one"), server.URL("two"), server.URL("three")
	if _, err := start(one, two, strings.Replace(one, "rtmp://", "RTMP://", 1)); !isRequestError(err, "options.backupUrls[1]") {
		t.Errorf("the same address twice: %v", err)
	}
	info, err := start(one, two)
	if err != nil {
		t.Fatal(err)
	}
	for _, urls := range [][]string{{one}, {two}, {three, one}, {three, two}} {
		if _, err := start(urls...); !errors.Is(err, ErrDuplicate) {
			t.Errorf("a second push to %v: %v", urls, err)
		}
	}
	if found := b.Find(Filter{URL: two}); len(found) != 1 || found[0].ID != info.ID {
		t.Errorf("found by the second address: %+v", found)
	}
	s.live(t, server)
	if err := b.Terminate(t.Context(), info.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := start(two, one); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// What Start says of addresses that cannot be used, without their secrets.
func TestBackupRefused(t *testing.T) {
	deny, err := ParseTargetPolicy(nil, []string{"*.example.com"}, false)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(c *Config) { c.Targets = deny })
	b.source("s")
	yes := true
	const ok = "rtmp://127.0.0.1/live"
	for _, tt := range []struct {
		name    string
		options Options
		field   string
	}{
		{"no address", Options{BackupURLs: []string{ok + "2", "http://h/SECRET"}}, "options.backupUrls[1]"},
		{"empty", Options{BackupURLs: []string{""}}, "options.backupUrls"},
		{"too many", Options{BackupURLs: []string{ok + "2", ok + "3", ok + "4", ok + "5", ok + "6"}}, "options.backupUrls"},
		{"no destination", Options{BackupURLs: []string{"destination://nobody"}}, "options.backupUrls[0]"},
		{"forbidden", Options{BackupURLs: []string{"rtmp://169.254.169.254/live?key=SECRET"}}, "options.backupUrls[0]"},
		{"failBack alone", Options{FailBack: &yes}, "options.failBack"},
		{"simultaneous alone", Options{Simultaneous: true}, "options.simultaneous"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.Start(t.Context(), Request{StreamName: "s", URL: ok, Options: tt.options})
			if !isRequestError(err, tt.field) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%v, want one about %s", err, tt.field)
			}
		})
	}
	if strings.Contains(b.log.String(), "SECRET") {
		t.Errorf("the log has the secret: %s", b.log)
	}
}

// A destination names another one for the backup in its options. No key shows in what is known of the push, its events and its log, and the
// private network in which the servers are is no reason to refuse somebody who may use the destinations.
func TestBackupDestination(t *testing.T) {
	const canary = "abcd-canary-key"
	b := newBench(t, nil)
	first, second := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	full := true
	options, err := json.Marshal(map[string]any{"backup": "destination://spare"})
	if err != nil {
		t.Fatal(err)
	}
	b.parts.Destinations = destinations(t,
		destination.Destination{Name: "main", URL: access.Secret(first.URL("live2/" + canary + "-1")), FullURL: &full, Options: options},
		destination.Destination{Name: "spare", URL: access.Secret(second.URL("live2/" + canary + "-2")), FullURL: &full},
		destination.Destination{Name: "acme", URL: "rtmp://192.0.2.1/live", App: "acme"},
	)
	b.parts.ParseOptions = func(text json.RawMessage) (Options, error) {
		var o struct{ Backup string }
		err := json.Unmarshal(text, &o)
		return Options{BackupURLs: []string{o.Backup}, Simultaneous: true}, err
	}
	s := b.source("s")
	anna := stranger()
	anna.App = "other"
	for _, urls := range [][]string{{"destination://acme"}, {"destination://main"}, {second.URL("live2/" + canary)}} {
		_, err := b.Start(t.Context(), Request{StreamName: "s", URL: "destination://main", By: anna, Options: Options{BackupURLs: urls}})
		if !isRequestError(err, "options.backupUrls[0]") || strings.Contains(err.Error(), canary) {
			t.Errorf("with the backup %q: %v", urls, err) // of another application, twice the same, in a private network
		}
	}
	b.start(Request{StreamName: "s", URL: "destination://main", By: anna})
	for n, server := range []*testkit.RTMPServer{first, second} {
		s.live(t, server)
		if got, want := server.Calls(), fmt.Sprintf("publish('%s-%d')", canary, n+1); !slices.Contains(got, want) {
			t.Errorf("commands %q, want %s", got, want)
		}
	}
	b.wait("life at both", func() bool {
		s.write(1, 20)
		i := b.Find(Filter{})[0]
		return i.Addresses[0].Up() && i.Addresses[1].Up()
	})
	seen, err := json.Marshal(struct {
		Info   Info
		Events []Event
	}{b.Find(Filter{})[0], b.events()})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(seen)+b.log.String(), canary) {
		t.Errorf("the key is in %s or in the log", seen)
	}
	if got := b.Find(Filter{URL: "destination://spare"}); len(got) != 1 || got[0].Addresses[1].Destination != "spare" {
		t.Errorf("found by the backup: %+v", got)
	}
}
