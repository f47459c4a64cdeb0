package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"go.uber.org/goleak"

	"transponder/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *Port {
	t.Helper()
	p, err := Open(t.Context(), Config{Sockets: 3, ReadBuffer: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// told is a user that reports each datagram over a channel.
type told chan gotten

type gotten struct {
	Datagram
	to      netip.Addr
	arrived time.Duration
}

func (u told) Receive(d *Datagram) {
	g := gotten{*d, d.To(), d.Arrived()}
	g.Data = bytes.Clone(d.Data)
	u <- g
}

func (u told) next(t *testing.T) gotten {
	t.Helper()
	return await(t, u)
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing in 10 s")
		panic("unreachable")
	}
}

func dial(t *testing.T, p *Port, host string) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(host), uint16(p.Number())).String())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

func check(t *testing.T, user string) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(user))
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// TestDemultiplex: the user name decides for checks, the address for other datagrams. The last claim of an address counts.
func TestDemultiplex(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			p := open(t)
			ipv6 := strings.Contains(host, ":")
			if ipv6 && p.Socket(true) == nil {
				t.Skip("no IPv6 here")
			}
			a, b := make(told, 10), make(told, 10)
			for name, u := range map[string]User{"a": a, "b": b} {
				if err := p.Join(name, ipv6, u); err != nil {
					t.Fatal(err)
				}
			}
			if p.Join("a", ipv6, b) == nil || p.Join("c", !ipv6, b) != nil {
				t.Error("a name can be had twice on one family, or not on the other")
			}
			c := dial(t, p, host)
			local := c.LocalAddr().(*net.UDPAddr).AddrPort()
			send := func(data string) {
				if _, err := c.Write([]byte(data)); err != nil {
					t.Fatal(err)
				}
			}
			send("nobody's")
			sent := p.Now()
			send(string(check(t, "a:x")))
			got := a.next(t)
			if !got.Check || got.From != local || got.to.IsValid() && got.to != netip.MustParseAddr(host) {
				t.Errorf("got a check %v from %v to %v", got.Check, got.From, got.to)
			}
			if late := p.Now() - got.arrived; got.arrived < sent-time.Millisecond || late < 0 {
				t.Errorf("arrived %v before now, sent at %v", late, sent)
			}
			p.Claim(a, local)
			send("one")
			if got := a.next(t); got.Check || string(got.Data) != "one" {
				t.Errorf("got %q", got.Data)
			}
			p.Claim(b, local)
			send("two")
			if got := b.next(t); string(got.Data) != "two" {
				t.Errorf("got %q", got.Data)
			}
			p.Leave(a, "a", ipv6, local)
			send(string(check(t, "a:x"))) // nobody's again
			send("three")
			if got := b.next(t); string(got.Data) != "three" {
				t.Errorf("got %q", got.Data)
			}
			if n := len(a) + len(b); n > 0 || p.Strange() != 2 {
				t.Errorf("%d more came, and %d of strangers, want 2", n, p.Strange())
			}
			got.Socket.Send([]byte("back"), NewSource(netip.MustParseAddr(host)), local)
			buf := make([]byte, 10)
			if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != "back" {
				t.Errorf("got %q, %v", buf[:n], err)
			}
		})
	}
}

// slow is a user that blocks the socket's goroutine until it is released.
type slow struct{ got, leave chan struct{} }

func (u slow) Receive(*Datagram) {
	select {
	case u.got <- struct{}{}:
		<-u.leave
	case <-u.leave:
	}
}

// TestOverflow: datagrams for which the kernel has no room are counted.
func TestOverflow(t *testing.T) {
	if !canShare {
		t.Skip("only Linux tells")
	}
	p, err := Open(t.Context(), Config{Sockets: 1, ReadBuffer: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	u := slow{make(chan struct{}), make(chan struct{})}
	c := dial(t, p, "127.0.0.1")
	p.Claim(u, c.LocalAddr().(*net.UDPAddr).AddrPort())
	for i := range 200 {
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			await(t, u.got)
		}
	}
	close(u.leave)
	testkit.Eventually(t, 10*time.Second, func() string {
		if p.Overflowed() > 0 {
			return ""
		}
		if _, err := c.Write([]byte("one more, which tells")); err != nil {
			t.Fatal(err)
		}
		return "nothing was counted"
	})
}

// TestReadBuffer: the kernel grants the whole buffer if we have the capability, otherwise the most for everybody.
func TestReadBuffer(t *testing.T) {
	limit, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Skip(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(limit)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{most / 2, 2 * most} {
		p, err := Open(t.Context(), Config{Sockets: 1, ReadBuffer: want})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.ReadBuffer(); got != want && got != min(want, most) {
			t.Errorf("granted %d of %d; everybody may have %d", got, want, most)
		}
		p.Close()
	}
}

// TestArrival: Arrived tells when the kernel got a datagram, even if the socket's goroutine was busy then.
func TestArrival(t *testing.T) {
	if !canShare {
		t.Skip("only Linux tells")
	}
	p, err := Open(t.Context(), Config{Sockets: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	u := make(told, 2)
	c := dial(t, p, "127.0.0.1")
	p.Claim(u, c.LocalAddr().(*net.UDPAddr).AddrPort())
	const pause = 40 * time.Millisecond
	apart := func() time.Duration {
		busy, leave := make(chan struct{}), make(chan struct{})
		p.Socket(false).Do(func() {
			close(busy)
			<-leave
		})
		await(t, busy)
		for i := range 2 {
			if i > 0 {
				<-time.After(pause) // what is measured
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		close(leave)
		first, second := u.next(t), u.next(t)
		return second.arrived - first.arrived
	}
	// The kernel begins to note times some while after it was asked to.
	d := apart()
	for limit := time.Now().Add(10 * time.Second); d < pause*9/10 && time.Now().Before(limit); {
		d = apart()
	}
	if d < pause*9/10 {
		t.Errorf("the second came %v after the first, want %v", d, pause)
	}
}

// TestTimers: functions of Do and timers run, with datagrams and without.
func TestTimers(t *testing.T) {
	p := open(t)
	s := p.Socket(false)
	for _, wait := range []time.Duration{0, 30 * time.Millisecond, 500 * time.Millisecond} {
		fired := make(chan time.Duration, 1)
		var at time.Duration
		set := make(chan struct{})
		s.Do(func() {
			at = p.Now() + wait
			s.Set(NewTimer(func(now time.Duration) { fired <- now }), at)
			close(set)
		})
		await(t, set)
		if now := await(t, fired); now < at {
			t.Errorf("fired at %v, want %v", now, at)
		}
	}
	off := make(chan struct{})
	s.Do(func() {
		timer := NewTimer(func(time.Duration) { t.Error("a timer fired that was taken off") })
		s.Set(timer, p.Now()+10*time.Millisecond)
		s.wheel.remove(timer)
		s.Set(NewTimer(func(time.Duration) { close(off) }), p.Now()+30*time.Millisecond)
	})
	await(t, off)
}

// TestPortTaken: a second server must not share the first one's port.
// A datagram that has no way out is lost and counted: it is no reason to give up a client.
func TestNoWayOut(t *testing.T) {
	p := open(t)
	s := p.sockets[0]
	nowhere := netip.MustParseAddrPort("127.0.0.1:0") // the kernel refuses port 0
	if n, err := s.Write([]byte("lost"), Source{}, nowhere); n != 4 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	s.Send([]byte("lost"), Source{}, nowhere)
	if n := p.Unsent(); n != 2 {
		t.Errorf("%d datagrams are counted, want 2", n)
	}
	p.Close()
	if _, err := s.Write([]byte("late"), Source{}, nowhere); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write to a closed socket = %v", err)
	}
}

func TestPortTaken(t *testing.T) {
	p := open(t)
	second, err := Open(t.Context(), Config{Port: p.Number(), Sockets: 2})
	if err == nil {
		second.Close()
		t.Fatal("two servers have one port")
	}
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default is not valid: %v", err)
	}
	bad := Config{Port: -1, ReadBuffer: -1, Addresses: []netip.Addr{netip.IPv4Unspecified()}}
	for _, want := range []string{"media port -1", "0 sockets", "buffer -1", "address 0.0.0.0"} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}

func FuzzCheckUser(f *testing.F) {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("ours:theirs"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Raw)
	for _, name := range []string{":", "ours", "", strings.Repeat("x", 600) + ":y"} {
		if m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(name), stun.Fingerprint); err == nil {
			f.Add(m.Raw)
		}
	}
	f.Add(append([]byte{0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 16)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		user, ok := checkUser(bytes.Clone(b))
		if !ok && user != "" || strings.Contains(user, ":") {
			t.Errorf("user %q, %v", user, ok)
		}
	})
}

// TestInherited: a second port with copies of the sockets of the first one gets what clients send to the same number after the first is
// closed, and what came before it was read.
func TestInherited(t *testing.T) {
	first := open(t)
	var copies []*net.UDPConn
	for _, c := range first.Conns() {
		f, err := c.File()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.FilePacketConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		copies = append(copies, conn.(*net.UDPConn))
	}
	client, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: first.Number()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	first.Close()
	if _, err := client.Write([]byte("between")); err != nil {
		t.Fatal("the port is closed between the two:", err)
	}
	second, err := Open(t.Context(), Config{Sockets: 5}, copies...)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.Number() != first.Number() {
		t.Errorf("port %d, want %d", second.Number(), first.Number())
	}
	if n, want := len(second.Conns()), 5+len(copies)-3; n != want {
		t.Errorf("%d sockets, want %d: those that are missing are opened", n, want)
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		if second.Strange() == 0 {
			return "what came between the two is not read"
		}
		return ""
	})
	u := make(told, 1)
	second.Claim(u, client.LocalAddr().(*net.UDPAddr).AddrPort())
	if _, err := client.Write([]byte("after")); err != nil {
		t.Fatal(err)
	}
	if g := u.next(t); string(g.Data) != "after" || g.to != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("got %q to %v", g.Data, g.to)
	}
}
