//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
)

// group is servers that are one service, each with a link to NATS of its own.
type group struct {
	t    *testing.T
	nats *natskit.Server // nil: the test has its own
	url  string          // of NATS, if the test has its own
	key  string          // file that all share
	js   nats.JetStreamContext

	environment []string // of the servers, beside that of the test
}

// member is one server of a group.
type member struct {
	*server
	link *toxiproxy.Proxy // to NATS
}

// newGroup starts NATS.
func newGroup(t *testing.T) *group {
	t.Helper()
	g := newGroupAt(t, "")
	g.nats = natskit.Start(t)
	return g
}

// newGroupAt is newGroup with the NATS servers of the test.
func newGroupAt(t *testing.T, url string) *group {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &group{t: t, url: url, key: file}
}

// join starts a server of the group, and waits until it has joined.
func (g *group) join(id string, settings ...string) *member {
	g.t.Helper()
	return g.joinAs(serverBinary, id, settings...)
}

// joinAs is join with another program.
func (g *group) joinAs(program, id string, settings ...string) *member {
	g.t.Helper()
	m := g.beginAs(program, id, settings...)
	testkit.Eventually(g.t, time.Minute, func() string { return m.ready(http.StatusOK) })
	return m
}

// begin starts a server of the group.
func (g *group) begin(id string, settings ...string) *member {
	g.t.Helper()
	return g.beginAs(serverBinary, id, settings...)
}

func (g *group) beginAs(program, id string, settings ...string) *member {
	g.t.Helper()
	m, url := &member{}, g.url
	if g.nats != nil {
		m.link = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop()), id, "127.0.0.1:0", g.nats.Address)
		if err := m.link.Start(); err != nil {
			g.t.Fatal(err)
		}
		g.t.Cleanup(m.link.Stop)
		url = "nats://" + m.link.Listen
	}
	m.server = buildServerAt(g.t, g.t.TempDir(), g.environment, append([]string{
		"cluster_nats_url=" + url, "cluster_node_id=" + id, "secrets_key_file=" + g.key,
	}, settings...)...)
	m.cmd.Path = program
	m.launch()
	m.awaitReady()
	return m
}

// otherVersion builds the server as a newer version.
func otherVersion(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "transponder")
	cmd := exec.Command("go", "build", "-o", program, "-ldflags", "-X main.version=99.0.0", "./cmd/transponder")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// ready is empty if /health/ready answers with a status.
func (m *member) ready(want int) string {
	code, text := m.health()
	if code != want {
		return fmt.Sprintf("/health/ready answers %d: %s", code, text)
	}
	return ""
}

// health is what /health/ready answers.
func (m *member) health() (code int, text string) {
	resp, err := http.Get(strings.TrimSuffix(m.page, "/") + "/health/ready")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	body.ReadFrom(resp.Body)
	return resp.StatusCode, body.String()
}

// cut lets nothing through between the server and NATS, in both directions, without closing anything.
func (m *member) cut() {
	m.t.Helper()
	m.cutOff("upstream", "downstream")
}

// cutOff is cut in some directions only.
func (m *member) cutOff(directions ...string) {
	m.t.Helper()
	for _, stream := range directions {
		body := fmt.Sprintf(`{"name": %q, "type": "blackout", "stream": %[1]q}`, stream)
		if _, err := m.link.Toxics.AddToxicJson(strings.NewReader(body)); err != nil {
			m.t.Fatal(err)
		}
	}
}

// mend ends what was done to the link.
func (m *member) mend() {
	m.t.Helper()
	for _, toxic := range m.link.Toxics.GetToxicArray() {
		if err := m.link.Toxics.RemoveToxic(m.t.Context(), toxic.(*toxics.ToxicWrapper).Name); err != nil {
			m.t.Fatal(err)
		}
	}
}

// kill kills the server as the loss of its machine does.
func (m *member) kill() {
	m.t.Helper()
	m.stopOnce.Do(func() {
		m.cmd.Process.Kill()
		<-m.exited
	})
}

func (m *member) signal(s os.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
}

// far is the far end: it tells which connection wrote when.
type far struct {
	*testkit.RTMPServer
	t *testing.T
}

func newFar(t *testing.T) far { return far{testkit.NewRTMPServer(t, testkit.Script{}), t} }

// last returns the newest tag of media that is no header.
func (f far) last() (last testkit.Tag) {
	for _, tag := range f.Tags() {
		if !tag.Header {
			last = tag
		}
	}
	return last
}

// flows waits until media comes over a connection with at least this number.
func (f far) flows(connection int) {
	f.t.Helper()
	since := time.Now()
	testkit.Eventually(f.t, time.Minute, func() string {
		if last := f.last(); last.Connection < connection || last.At.Before(since) {
			return fmt.Sprintf("no media over connection %d: the last came over %d, %v ago", connection, last.Connection, time.Since(last.At).Round(time.Millisecond))
		}
		return ""
	})
}

// gap returns the longest time without media since a moment. The times in which publishers should have sent and did not, because the machine had no
// time for this test, do not count.
func (f far) gap(since time.Time, publishers ...*testkit.Publisher) (longest time.Duration) {
	before := since
	note := func(now time.Time) {
		gap := now.Sub(before)
		for _, p := range publishers {
			for _, pause := range p.Pauses() {
				from, to := pause.From, pause.To
				if from.Before(before) {
					from = before
				}
				if to.After(now) {
					to = now
				}
				gap -= max(0, to.Sub(from))
			}
		}
		longest = max(longest, gap)
		before = now
	}
	for _, tag := range f.Tags() {
		if tag.At.After(since) {
			note(tag.At)
		}
	}
	note(time.Now())
	return longest
}

// judge checks that no two connections wrote at once, that time only grew, and that so many connections wrote.
func (f far) judge(connections int) {
	f.t.Helper()
	type span struct {
		first, last time.Time
	}
	spans := map[int]*span{}
	var newest time.Duration
	var before int
	for _, tag := range f.Tags() {
		if tag.Header {
			continue
		}
		s := spans[tag.Connection]
		if s == nil {
			s = &span{first: tag.At}
			spans[tag.Connection] = s
			if before != 0 && tag.Time <= newest-100*time.Millisecond { // sound and pictures of one moment come in any order
				f.t.Errorf("connection %d begins at %v of the far end's time, after %v", tag.Connection, tag.Time, newest)
			}
		}
		s.last, before = tag.At, tag.Connection
		newest = max(newest, tag.Time)
	}
	if len(spans) != connections {
		f.t.Errorf("%d connections wrote, want %d", len(spans), connections)
	}
	for a, first := range spans {
		for b, second := range spans {
			if a < b && !first.last.Before(second.first) {
				f.t.Errorf("connections %d and %d wrote at the same time: the first until %v after the second began", a, b, first.last.Sub(second.first))
			}
		}
	}
}

// apart checks that each connection was closed before the next one published: two that are open at the same time are refused by most servers, even
// if one of them says nothing.
func (f far) apart() {
	f.t.Helper()
	all := f.Connections()
	for i := 1; i < len(all); i++ {
		switch before, after := all[i-1], all[i]; {
		case before.Closed.IsZero():
			f.t.Errorf("connection %d is open, though connection %d publishes", before.Number, after.Number)
		case before.Closed.After(after.Published):
			f.t.Errorf("connection %d was closed %v after connection %d began to publish", before.Number, before.Closed.Sub(after.Published), after.Number)
		}
	}
}

// push starts a push at a server and waits until media flows.
func (f far) push(m *member, stream string, options ...map[string]any) string {
	f.t.Helper()
	var started push
	request := map[string]any{"streamName": stream, "rtmpUrl": f.URL("live")}
	for _, o := range options {
		request["options"] = o
	}
	if code := m.post("/push/startup", request, &started); code != http.StatusOK {
		f.t.Fatalf("startup answers %d", code)
	}
	f.flows(1)
	testkit.Eventually(f.t, time.Minute, func() string {
		if f.last().Time < 3*time.Second {
			return "the push has not sent 3 s" // what is saved at most once a second is saved by then
		}
		return ""
	})
	return started.MediaSessionID
}

// failoverLimit is how long a push may take to be live at another node: the lease, and 2 s; and what a busy machine needs.
const failoverLimit = 8*time.Second + 4*time.Second

// TestClusterKill kills the server of a push. Its publisher comes to another server, and the push goes on there.
func TestClusterKill(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a, b := g.join("a"), g.join("b")
	sink := newFar(t)
	_, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	id := sink.push(a, "cam")
	killed := time.Now()
	a.kill()
	leave()
	publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
	sink.flows(2)
	if took := time.Since(killed); took > failoverLimit {
		t.Errorf("the push was live again after %v, want %v", took, failoverLimit)
	}
	sink.judge(2)
	if p := b.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != 2 {
		t.Errorf("the push at the other server: %+v, want the id %s and 2 attempts", p, id)
	}
}

// TestClusterPause pauses the server of a push for longer than its lease. Its publisher goes to another server, and the paused server must
// write nothing when it wakes.
func TestClusterPause(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		stay bool // the publisher of the paused server goes on, and another one comes
	}{{"publisher moves", false}, {"publisher stays", true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t)
			a, b := g.join("a"), g.join("b")
			sink := newFar(t)
			_, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
			sink.push(a, "cam")
			a.signal(syscall.SIGSTOP)
			paused := time.Now()
			if !tt.stay {
				leave()
			}
			publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
			sink.flows(2)
			testkit.Eventually(t, time.Minute, func() string {
				if time.Since(paused) < 12*time.Second {
					return "the server is paused for 12 s"
				}
				return ""
			})
			a.signal(syscall.SIGCONT)
			testkit.Eventually(t, time.Minute, func() string { return a.ready(http.StatusOK) })
			woke := time.Now()
			sink.flows(2)
			testkit.Eventually(t, time.Minute, func() string {
				if time.Since(woke) < 4*time.Second {
					return "the server that woke has time to do wrong"
				}
				return ""
			})
			sink.judge(2)
		})
	}
}

// TestClusterCut cuts the server of a push from NATS. Its publisher stays, so the push goes on, and nobody else takes it.
func TestClusterCut(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a, b := g.join("a"), g.join("b")
	sink := newFar(t)
	publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	id := sink.push(a, "cam")
	a.cut()
	cut := time.Now()
	testkit.Eventually(t, time.Minute, func() string { return a.ready(http.StatusServiceUnavailable) }) // it knows
	if d := time.Since(cut); d < 10*time.Second {
		t.Errorf("the server takes no publishers %v after the cut: too early", d)
	}
	if gap := sink.gap(cut); gap > time.Second {
		t.Errorf("no media for %v while the server was cut off", gap)
	}
	a.mend()
	testkit.Eventually(t, time.Minute, func() string { return a.ready(http.StatusOK) })
	sink.flows(1)
	if gap := sink.gap(cut); gap > time.Second {
		t.Errorf("no media for %v", gap)
	}
	sink.judge(1)
	if p := b.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != 1 {
		t.Errorf("the push as the other server tells: %+v", p)
	}
}

// TestClusterCutMove cuts the server of a push from NATS, and its publisher goes to another server.
func TestClusterCutMove(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a, b := g.join("a"), g.join("b")
	sink := newFar(t)
	_, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	sink.push(a, "cam")
	a.cut()
	cut := time.Now()
	testkit.Eventually(t, time.Minute, func() string {
		if time.Since(cut) < 8*time.Second {
			return "the lease ends"
		}
		return ""
	})
	sink.flows(1)
	leave()
	publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
	sink.flows(2)
	a.mend()
	testkit.Eventually(t, time.Minute, func() string { return a.ready(http.StatusOK) })
	sink.flows(2)
	sink.judge(2)
}

// TestClusterCutVanish cuts the server of a push from NATS. Then its publisher vanishes without a goodbye and publishes at another server, while the
// first server still has its connection to the destination. The first server closes it before the other one connects.
func TestClusterCutVanish(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		options map[string]any
	}{{"push ends with its stream", nil}, {"push holds", map[string]any{"onSourceLoss": "hold"}}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t)
			a, b := g.join("a"), g.join("b")
			sink := newFar(t)
			vanish := publishBehind(t, a.server, "cam")
			sink.push(a, "cam", tt.options)
			a.cut()
			cut := time.Now()
			testkit.Eventually(t, time.Minute, func() string {
				if time.Since(cut) < 8*time.Second {
					return "the lease ends"
				}
				return ""
			})
			sink.flows(1)
			if p := sink.Connections(); len(p) != 1 || !p[0].Closed.IsZero() {
				t.Fatalf("connections while the server is cut off: %+v", p)
			}
			vanish()
			vanished := time.Now()
			publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
			sink.flows(2)
			if took := time.Since(vanished); took > failoverLimit {
				t.Errorf("the push was live again after %v, want %v", took, failoverLimit)
			}
			sink.judge(2)
			sink.apart()
			first := sink.Connections()[0]
			if d := first.Closed.Sub(vanished); d < time.Second || !first.Reset {
				t.Errorf("the first connection was closed %v after the publisher vanished, by a reset: %v", d, first.Reset)
			}
			a.mend()
			testkit.Eventually(t, time.Minute, func() string { return a.ready(http.StatusOK) })
			sink.flows(2)
			sink.judge(2)
		})
	}
}

// publishBehind publishes through a network that vanish takes away: nothing comes from the publisher any more, no goodbye either.
func publishBehind(t *testing.T, s *server, name string) (vanish func()) {
	t.Helper()
	relay, err := testkit.NewRelay()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- p.Run(ctx, func(ctx context.Context, offer string) (string, error) {
			answer, err := s.exchange(name)(ctx, offer)
			if err != nil {
				return "", err
			}
			return relay.Answer(answer)
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-p.Connected():
	case <-time.After(15 * time.Second):
		t.Fatalf("%s is not connected after 15 s", name)
	}
	return relay.Cut
}

// TestClusterStop cuts a server from NATS whose settings say that it must not push then.
func TestClusterStop(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a := g.join("a", "cluster_isolated=stop", "cluster_lease_ms=16000")
	sink := newFar(t)
	publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	sink.push(a, "cam")
	a.cut()
	testkit.Eventually(t, time.Minute, func() string {
		if quiet := time.Since(sink.last().At); quiet < 3*time.Second {
			return fmt.Sprintf("media came %v ago", quiet)
		}
		return ""
	})
	a.mend()
	sink.flows(1)
	sink.judge(1)
}
