//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
)

// The networks between the machines of a test. Each is a bridge on this machine, which has the address 1 in it.
const (
	people = iota // leads to publishers
	back          // to NATS
	front         // to destinations, and to people who ask the server
	networks
)

// site is several machines, each a network namespace with a cable to each network.
type site struct {
	t  *testing.T
	id string
	n  int

	probes [networks]string // addresses of listeners in the networks
}

// machine is a network namespace.
type machine struct {
	*site
	namespace string
	number    int // the last part of all its addresses
}

var sites atomic.Int32

// newSite makes the networks. That needs the rights of root.
func newSite(t *testing.T) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n := int(sites.Add(1))
	s := &site{t: t, id: fmt.Sprintf("%d-%d", os.Getpid()%100_000, n), n: n}
	for network := range networks {
		bridge := s.bridge(network)
		if out, err := exec.Command("ip", "link", "add", bridge, "type", "bridge").CombinedOutput(); err != nil {
			t.Skipf("no bridges here: %v: %s", err, out)
		}
		t.Cleanup(func() { s.ip("link", "del", bridge) })
		s.ip("addr", "add", s.address(network, 1)+"/24", "dev", bridge)
		s.ip("link", "set", bridge, "up")
		l, err := net.Listen("tcp", net.JoinHostPort(s.address(network, 1), "0"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		s.probes[network] = strings.Replace(l.Addr().String(), ":", "/", 1)
	}
	return s
}

func (s *site) ip(args ...string) {
	s.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		s.t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (s *site) bridge(network int) string { return fmt.Sprintf("b%s-%d", s.id, network) }

func (s *site) address(network, number int) string {
	return fmt.Sprintf("10.214.%d.%d", networks*s.n+network, number)
}

// machine makes a machine, with a number above 1.
func (s *site) machine(number int) *machine {
	s.t.Helper()
	m := &machine{s, fmt.Sprintf("site-%s-%d", s.id, number), number}
	s.ip("netns", "add", m.namespace)
	s.t.Cleanup(func() { s.ip("netns", "del", m.namespace) })
	s.ip("-n", m.namespace, "link", "set", "lo", "up")
	for network := range networks {
		cable := m.cable(network)
		s.ip("link", "add", cable, "type", "veth", "peer", "name", cable, "netns", m.namespace)
		s.ip("link", "set", cable, "master", s.bridge(network), "up")
		s.ip("-n", m.namespace, "addr", "add", s.address(network, number)+"/24", "dev", cable)
		s.ip("-n", m.namespace, "link", "set", cable, "up")
	}
	for network := range networks {
		testkit.Eventually(s.t, 30*time.Second, func() string { // a bridge takes a moment
			if !m.reaches(network) {
				return fmt.Sprintf("machine %d does not reach network %d", number, network)
			}
			return ""
		})
	}
	return m
}

func (m *machine) cable(network int) string { return fmt.Sprintf("c%s-%d%d", m.id, m.number, network) }

// cut pulls the cable to a network out at its far end, so that nothing is told to the machine.
func (m *machine) cut(network int) {
	m.t.Helper()
	m.ip("link", "set", m.cable(network), "down")
	if m.reaches(network) {
		m.t.Fatalf("the machine reaches network %d over a cable that was cut", network)
	}
}

// lose takes a network away with its route, so that the machine can send nothing there.
func (m *machine) lose(network int) {
	m.t.Helper()
	m.ip("-n", m.namespace, "link", "set", m.cable(network), "down")
	if m.reaches(network) {
		m.t.Fatalf("the machine reaches network %d, to which it has no route", network)
	}
}

// mend ends what cut and lose did.
func (m *machine) mend() {
	m.t.Helper()
	for network := range networks {
		m.ip("link", "set", m.cable(network), "up")
		m.ip("-n", m.namespace, "link", "set", m.cable(network), "up")
	}
}

func (m *machine) reaches(network int) bool {
	return exec.Command("ip", "netns", "exec", m.namespace, "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+m.probes[network]).Run() == nil
}

// joinOn starts a server of the group on a machine, and waits until it has joined.
func (g *group) joinOn(on *machine, id string) *member {
	g.t.Helper()
	m := &member{server: buildServerAt(g.t, g.t.TempDir(), nil,
		"access=open", "cluster_nats_url="+g.url, "cluster_node_id="+id, "secrets_key_file="+g.key, "ip="+on.address(people, on.number))}
	m.cmd.Args = append([]string{"ip", "netns", "exec", on.namespace, m.cmd.Path}, m.cmd.Args[1:]...)
	m.cmd.Path, _ = exec.LookPath("ip")
	m.launch()
	m.awaitReady()
	for _, url := range []*string{&m.page, &m.rest, &m.socket, &m.rtmp} {
		*url = strings.Replace(*url, "localhost", on.address(front, on.number), 1)
	}
	testkit.Eventually(g.t, time.Minute, func() string { return m.ready(http.StatusOK) })
	return m
}

// TestClusterCables runs servers on machines of their own, and takes networks away from the server of a push, which reaches the destination all the
// time. The destination never has two connections that are open.
func TestClusterCables(t *testing.T) {
	for _, tt := range []struct {
		name    string
		later   time.Duration // from the loss of NATS to the loss of the publisher; 0: at the same time
		stays   bool          // the publisher is not lost
		options map[string]any
	}{
		{name: "publisher stays", stays: true},
		{name: "publisher moves after the lease", later: 8 * time.Second},
		{name: "publisher moves at the same time"},
		{name: "publisher moves at the same time, push holds", options: map[string]any{"onSourceLoss": "hold"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			one, two := s.machine(2), s.machine(3)
			g := newGroupAt(t, natskit.StartAt(t, s.address(back, 1)).URL())
			a, b := g.joinOn(one, "a"), g.joinOn(two, "b")
			sink := far{testkit.NewRTMPServer(t, testkit.Script{Host: s.address(front, 1)}), t}
			cfg := testkit.DefaultPublisherConfig()
			cfg.Interface = s.bridge(people)
			publish(t, a.server, "cam", cfg)
			id := sink.push(a, "cam", tt.options)

			lost := time.Now()
			one.lose(back)
			connections := 1
			if tt.stays || tt.later > 0 {
				testkit.Eventually(t, time.Minute, func() string {
					var list []struct{ NodeID string }
					if b.post("/node/find_all", map[string]any{}, &list); len(list) != 1 || time.Since(lost) < tt.later {
						return fmt.Sprintf("b sees %d servers %v after the loss", len(list), time.Since(lost))
					}
					return ""
				})
				sink.flows(1)
				if gap := sink.gap(lost); gap > time.Second {
					t.Errorf("no media for %v", gap)
				}
			}
			if !tt.stays {
				one.cut(people)
				vanished := time.Now()
				publish(t, b.server, "cam", cfg)
				sink.flows(2)
				took := time.Since(vanished)
				t.Logf("the push was live again after %v", took.Round(time.Millisecond))
				if took > failoverLimit {
					t.Errorf("the push was live again after %v, want %v", took, failoverLimit)
				}
				connections = 2
				if first := sink.Connections()[0]; !first.Reset {
					t.Error("the first connection was not closed by a reset")
				}
			}
			one.mend()
			testkit.Eventually(t, time.Minute, func() string {
				if sample(a.metrics(), "transponder_cluster_isolated") != 0 {
					return "the server counts as cut off"
				}
				return a.ready(http.StatusOK)
			})
			sink.flows(connections)
			sink.judge(connections)
			sink.apart()
			if n := len(sink.Connections()); n != connections {
				t.Errorf("%d connections, want %d", n, connections)
			}
			if p := b.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != connections {
				t.Errorf("the push as b tells: %+v, want the id %s and %d attempts", p, id, connections)
			}
		})
	}
}
