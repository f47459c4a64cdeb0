package transponder

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/testkit"
)

// Two addresses of a host, and one of the other family.
var (
	hostA = netip.MustParseAddr("192.0.2.1")
	hostB = netip.MustParseAddr("192.0.2.2")
	host6 = netip.MustParseAddr("2001:db8::1")
)

// severalAddresses resolves every name to addresses, and dials each with a function of its own.
func severalAddresses(addrs []netip.Addr, dial func(context.Context, netip.Addr) (net.Conn, error)) (change func(*Config), dialled func() []netip.Addr) {
	var mu sync.Mutex
	var order []netip.Addr
	change = func(c *Config) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) { return slices.Clone(addrs), nil }
		c.dialTCP = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
			mu.Lock()
			order = append(order, a.Addr())
			mu.Unlock()
			return dial(ctx, a.Addr())
		}
	}
	return change, func() []netip.Addr {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(order)
	}
}

func dialError(errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
}

// silent accepts a connection and never sends anything.
func silent(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	go func() { // what comes is read: the first write must not be what blocks
		b := make([]byte, 4096)
		for {
			if _, err := far.Read(b); err != nil {
				return
			}
		}
	}()
	return near, nil
}

// hole never answers a SYN.
func hole(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
}

// An address that is slow to connect costs a quarter of a second. An address that connects and is silent costs two seconds, once: the next
// connection begins with the address that worked.
func TestSlowAddress(t *testing.T) {
	for _, tt := range []struct {
		name string
		slow func(context.Context) (net.Conn, error)
		cost time.Duration
	}{
		{"no answer to SYN", hole, dialDelay},
		{"silent", silent, greetDelay},
		{"refuses", func(context.Context) (net.Conn, error) { return nil, dialError(syscall.ECONNREFUSED) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := &farEnd{}
				change, dialled := severalAddresses([]netip.Addr{hostA, hostB}, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
					if a == hostA {
						return tt.slow(ctx)
					}
					return far.dial(ctx, netip.AddrPort{})
				})
				s, r, id, stop := pushInBubble(t, far, change, Request{
					URL: "rtmp://name.test/live", Options: Options{Restore: &Restore{Attempts: -1, FirstPause: minPause}},
				})
				defer stop()
				connect := func(cost time.Duration, want ...netip.Addr) {
					t.Helper()
					if cost > 0 {
						time.Sleep(cost - time.Millisecond)
						synctest.Wait()
						if got := dialled(); got[len(got)-1] == hostB {
							t.Errorf("dialled %v before %v were over", got, cost)
						}
						time.Sleep(time.Millisecond)
						synctest.Wait()
					}
					s.at(0, true, 20)
					synctest.Wait()
					if i := r.Find(Filter{ID: id}); len(i) != 1 || i[0].State != Live || !slices.Equal(dialled(), want) {
						t.Errorf("after %v it is %+v, having dialled %v", cost, i, dialled())
					}
				}
				connect(tt.cost, hostA, hostB)
				far.mu.Lock()
				far.conn.Close()
				far.mu.Unlock()
				time.Sleep(minPause)
				synctest.Wait()
				connect(0, hostA, hostB, hostB)
			})
		})
	}
}

// A server that accepts connections but not the stream is passed over, unless it refuses the application, the name or the login: that
// answer holds for all addresses. After an address that was not passed over, no other one is published to.
func TestAddressPassedOver(t *testing.T) {
	cert := selfSigned(t)
	for _, tt := range []struct {
		name   string
		script testkit.Script
		final  Reason // "": it is passed over
		tls    bool   // the server at the second address; the first speaks in the clear
	}{
		{"no RTMP", testkit.Script{At: "accept", Do: testkit.TalkNonsense}, "", false},
		{"hangs up", testkit.Script{At: "accept", Do: testkit.HangUp}, "", false},
		{"no TLS", testkit.Script{}, "", true},
		{"hangs up at connect", testkit.Script{At: "connect", Do: testkit.HangUp}, "", false},
		{"nonsense at connect", testkit.Script{At: "connect", Do: testkit.TalkNonsense}, "", false},
		{"silent at connect", testkit.Script{At: "connect", Do: testkit.StaySilent}, "", false},
		{"full", testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.InsufficientBW"}, "", false},
		{"makes no stream", testkit.Script{At: "createStream", Do: testkit.Refuse, Code: "NetConnection.Call.Failed"}, "", false},
		{"hangs up at publish", testkit.Script{At: "publish", Do: testkit.HangUp}, "", false},
		{"silent at publish", testkit.Script{At: "publish", Do: testkit.StaySilent}, "", false},
		{"fails at publish", testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Failed"}, "", false},
		{"unknown application", testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.InvalidApp"}, ReasonBadApp, false},
		{"name in use", testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName"}, ReasonKeyInUse, false},
		{"wrong key", testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied"}, ReasonKeyRejected, false},
		{"wrong login", testkit.Script{Login: testkit.Login{Scheme: "adobe", User: "u", Password: "p"}}, ReasonAuth, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first, second := testkit.NewRTMPServer(t, tt.script), testkit.NewRTMPServer(t, testkit.Script{})
			url := "rtmp://name.test/live"
			if tt.tls {
				second, url = testkit.NewRTMPSServer(t, testkit.Script{}, cert), "rtmps://name.test/live"
			}
			change, dialled := severalAddresses([]netip.Addr{hostA, hostB}, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
				server := first
				if a == hostB {
					server = second
				}
				_, address, _ := strings.Cut(server.URL(""), "://")
				return (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimSuffix(address, "/"))
			})
			b := newBench(t, func(c *Config) {
				change(c)
				c.SkipTLSVerify, c.ConnectTimeout = true, 5*time.Second
			})
			s := b.source("s")
			b.start(Request{StreamName: "s", URL: url})
			if tt.final == "" {
				b.wait("media at the second address", func() bool {
					s.write(1, 20)
					return count(second.Tags(), true) > 0
				})
				return
			}
			s.write(1, 20)
			if end := b.end(); end.State != Failed || end.Reason != tt.final || slices.Contains(dialled(), hostB) {
				t.Errorf("ended as %s, %s (%s), having dialled %v", end.State, end.Reason, end.Detail, dialled())
			}
		})
	}
}

// If several addresses fail, the push ends with the error that tells most, whatever the order was.
func TestMostTellingError(t *testing.T) {
	fail := func(errno syscall.Errno) func(context.Context) (net.Conn, error) {
		return func(context.Context) (net.Conn, error) { return nil, dialError(errno) }
	}
	says := func(words string) func(context.Context) (net.Conn, error) {
		return func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				far.Read(make([]byte, 2000))
				if words != "" {
					far.Write([]byte(strings.Repeat(words, 200)))
				}
			}()
			return near, nil
		}
	}
	for _, tt := range []struct {
		name string
		a, b func(context.Context) (net.Conn, error)
		want Reason
	}{
		{"refused, no route", fail(syscall.ECONNREFUSED), fail(syscall.EHOSTUNREACH), ReasonRefused},
		{"refused, no answer", fail(syscall.ECONNREFUSED), hole, ReasonRefused},
		{"no answer, no route", hole, fail(syscall.ENETUNREACH), ReasonTimeout},
		{"hangs up, refused", says(""), fail(syscall.ECONNREFUSED), ReasonPeerClosed},
		{"no RTMP, refused", says("HTTP/1.1 400 Bad Request"), fail(syscall.ECONNREFUSED), ReasonHandshake},
		{"no RTMP, silent", says("HTTP/1.1 400 Bad Request"), silent, ReasonHandshake},
		{"silent, refused", silent, fail(syscall.ECONNREFUSED), ReasonTimeout},
	} {
		for _, turned := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					change, _ := severalAddresses([]netip.Addr{hostA, hostB}, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
						if (a == hostA) != turned {
							return tt.a(ctx)
						}
						return tt.b(ctx)
					})
					begun := time.Now()
					_, r, _, stop := pushInBubble(t, &farEnd{}, change, Request{URL: "rtmp://name.test/live"})
					defer stop()
					time.Sleep(10*time.Second + time.Millisecond)
					synctest.Wait()
					past := r.History(1)
					if len(past) != 1 || past[0].Reason != tt.want || past[0].Ended.Sub(begun) > 10*time.Second {
						t.Errorf("it ended as %+v, want %s within 10 s", past, tt.want)
					}
				})
			})
		}
	}
}

// The families alternate, addresses that failed come last, and there are never more than maxAddresses.
func TestAddressOrder(t *testing.T) {
	a := func(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }
	six := []netip.Addr{host6, host6.Next(), host6.Next().Next()}
	tr := &dialer{pushConfig: pushConfig{cfg: DefaultConfig()}}
	got := tr.order(1935, append(six, hostA, hostB))
	want := []netip.AddrPort{
		a("[2001:db8::1]:1935"), a("192.0.2.1:1935"), a("[2001:db8::2]:1935"), a("192.0.2.2:1935"), a("[2001:db8::3]:1935"),
	}
	if !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	tr.remember(a("[2001:db8::1]:1935"), true)
	tr.remember(a("192.0.2.2:1935"), true)
	tr.failed[a("192.0.2.2:1935")] = time.Now().Add(-time.Minute)
	tr.remember(a("192.0.2.1:1935"), true)
	tr.remember(a("192.0.2.1:1935"), false)
	got = tr.order(1935, []netip.Addr{host6, hostB, hostA})
	if want := []netip.AddrPort{a("192.0.2.1:1935"), a("192.0.2.2:1935"), a("[2001:db8::1]:1935")}; !slices.Equal(got, want) {
		t.Errorf("order after failures %v, want %v", got, want)
	}
	tr.cfg.LocalAddr = host6
	if got := tr.order(1935, []netip.Addr{hostA, host6}); len(got) != 1 || got[0].Addr() != host6 {
		t.Errorf("from an IPv6 address %v are reached", got)
	}
	tr.cfg.LocalAddr = netip.Addr{}
	var many []netip.Addr
	for next := hostA; len(many) < 100; next = next.Next() {
		many = append(many, next)
		tr.remember(netip.AddrPortFrom(next, 1), true)
	}
	if n := len(tr.order(1935, many)); n != maxAddresses || len(tr.failed) > maxRemembered {
		t.Errorf("%d addresses in one attempt, %d remembered", n, len(tr.failed))
	}
}

// A panic while an address is tried ends the attempt, not the server.
func TestApproachPanics(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.dialTCP = func(context.Context, netip.AddrPort) (net.Conn, error) { panic("a bug") }
	})
	b.source("s")
	b.start(Request{StreamName: "s", URL: "rtmp://192.0.2.1/live"})
	if end := b.end(); end.Reason != ReasonInternal {
		t.Errorf("ended as %s, %s", end.State, end.Reason)
	}
}
