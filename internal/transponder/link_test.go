package transponder

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/testkit"
)

func TestRedirected(t *testing.T) {
	tests := []struct {
		name, from, tcURL string
		want              string // rtmp://user@host:port/app name; "": refused
	}{
		{"the same again", "rtmp://a/live", "", "rtmp://@a:1935/live rtmp_s"},
		{"elsewhere", "rtmp://a/live", "rtmp://b:1936/other/inst", "rtmp://@b:1936/other/inst rtmp_s"},
		{"another app", "rtmp://a/live", "/other", "rtmp://@a:1935/other rtmp_s"},
		{"another host", "rtmp://a/live", "//b/live", "rtmp://@b:1935/live rtmp_s"},
		{"to TLS", "rtmp://a/live", "rtmps://b/live", "rtmps://@b:443/live rtmp_s"},
		{"the login goes along", "rtmp://user:pass@a/live", "rtmp://b/live", "rtmp://user@b:1935/live rtmp_s"},
		{"without an app", "rtmp://a/live?x=1", "rtmp://b:1936", "rtmp://@b:1936/live?x=1 rtmp_s"},
		{"without an app, with a slash", "rtmp://a/live", "rtmp://b/", "rtmp://@b:1935/live rtmp_s"},
		{"away from TLS", "rtmps://a/live", "rtmp://a/live", ""},
		{"another protocol", "rtmp://a/live", "http://b/live", ""},
		{"nonsense", "rtmp://a/live", "rtmp://a:b:c/%zz", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from, err := parseTarget(tt.from, "s", naming{Prefix: "rtmp_"})
			if err != nil {
				t.Fatal(err)
			}
			to, err := redirected(from, netip.AddrPort{}, tt.tcURL)
			got := ""
			if err == nil {
				got = strings.ReplaceAll(to.key(), "\x00", " ")
			} else if !errors.Is(err, errRedirect) {
				t.Errorf("error %v", err)
			}
			if got != tt.want {
				t.Errorf("leads to %q, want %q", got, tt.want)
			}
		})
	}
}

// A server that asks us to reconnect gets that: the new connection is made first, and no picture is missing between the two.
func TestMoveToAnotherServer(t *testing.T) {
	b := newBench(t, nil)
	second := testkit.NewRTMPServer(t, testkit.Script{})
	first := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.AskReconnect, NewURL: second.URL("other")})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: first.URL("live")})
	first.Wait(t, "publish", func() bool { return slices.Contains(first.Calls(), "publish('rtmp_s')") })
	b.wait("media at the second", func() bool {
		s.write(1, 20)
		return count(second.Tags(), true) > 0
	})
	first.Wait(t, "goodbye", func() bool { return saidGoodbye(first) })
	if got := second.Calls(); got[0] != "connect('other')" || !slices.Contains(got, "publish('rtmp_s')") {
		t.Errorf("commands %q", got)
	}
	var pictures []testkit.Tag
	for _, tag := range slices.Concat(first.Tags(), second.Tags()) {
		if tag.Video && !tag.Header {
			pictures = append(pictures, tag)
		}
	}
	for i, p := range pictures {
		if p.Data[5] != byte(i) || p.Time != time.Duration(i)*40*time.Millisecond {
			t.Fatalf("picture %d at %v where %d is due", p.Data[5], p.Time, i)
		}
	}
	if i := b.Find(Filter{ID: info.ID})[0]; i.State != Live || i.Attempts != 2 {
		t.Errorf("after the move %s, %d attempts", i.State, i.Attempts)
	}
}

// A server that does not take two connections with one name gets the second after the first has ended.
func TestMoveBreaksFirst(t *testing.T) {
	b := newBench(t, nil)
	second := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Times: 1, Code: "NetStream.Publish.BadName"})
	first := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.AskReconnect, NewURL: second.URL("live")})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: first.URL("live")})
	first.Wait(t, "publish", func() bool { return slices.Contains(first.Calls(), "publish('rtmp_s')") })
	b.wait("media at the second", func() bool {
		s.write(10, 20)
		return count(second.Tags(), true) > 0
	})
	first.Wait(t, "goodbye", func() bool { return saidGoodbye(first) })
	b.wait("second life", func() bool { return b.Find(Filter{})[0].State == Live })
}

// A request that comes while a second connection to the same server is being made is followed, whether that connection is made or not.
func TestMoveDuringReplacement(t *testing.T) {
	for _, tt := range []struct {
		name string
		made bool
	}{{"the replacement is made", true}, {"the replacement fails", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var replacing atomic.Bool
			second := testkit.NewRTMPServer(t, testkit.Script{})
			first := testkit.NewRTMPServer(t, testkit.Script{
				At: "media", Do: testkit.AskReconnect, NewURL: second.URL("live"), Times: 1, When: replacing.Load,
			})
			var b *bench
			var dialled atomic.Int32
			b = newBench(t, func(c *Config) {
				c.dialTCP = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
					if dialled.Add(1) == 2 {
						replacing.Store(true)
						b.await(ctx, "peer asks for a reconnect")
						if !tt.made {
							return nil, errors.New("not reachable")
						}
					}
					return (&net.Dialer{}).DialContext(ctx, "tcp", a.String())
				}
			})
			s := b.source("s")
			s.only = media.Video
			b.start(Request{StreamName: "s", URL: first.URL("live")})
			b.wait("pictures", func() bool {
				s.write(1, 20)
				return count(first.Tags(), true) > 150
			})
			s.keep(b, lateAfter)
			s.only = 0
			b.wait("media at the second", func() bool {
				s.write(1, 20)
				return count(second.Tags(), true) > 0
			})
			first.Wait(t, "goodbye", func() bool { return saidGoodbye(first) })
			if n := dialled.Load(); n != 3 {
				t.Errorf("%d connections, want 3", n)
			}
		})
	}
}

// await waits until the log says something, or ctx ends.
func (b *bench) await(ctx context.Context, said string) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !strings.Contains(b.log.String(), said) && ctx.Err() == nil {
		<-poll.C
	}
}

// The requests of a server to reconnect, and the connections that are made because of them.
func TestSuccession(t *testing.T) {
	target := func(host string) *pushTarget {
		to, err := parseTarget("rtmp://"+host+"/live", "s", naming{Prefix: "rtmp_"})
		if err != nil {
			t.Fatal(err)
		}
		return &to
	}
	for _, tt := range []struct {
		name, steps string // replace; ask:HOST; made and failed, of the connection to wanted
		want        string // what each step said, then wanted, asked, later
	}{
		{"nothing", "", "- false -"},
		{"a replacement", "replace made", "true false own false -"},
		{"it fails", "replace failed", "true false - false -"},
		{"a request", "ask:b made", "true,true false b true -"},
		{"it is repeated", "ask:b ask:b failed ask:b", "true,true false,false false false,false b true -"},
		{"it fails, and there is another one", "ask:b failed ask:c", "true,true false true,true c true -"},
		{"a replacement is not needed", "ask:b replace", "true,true false b true -"},
		{"a request during a replacement", "replace ask:b made made", "true false,true true false b true -"},
		{"a request during a replacement that fails", "replace ask:b failed failed", "true false,true true false b true -"},
		{"a request for the same, which is made", "replace ask:own made", "true false,true false own false -"},
		{"a request for the same, which fails", "replace ask:own failed made", "true false,true true false own true -"},
		{"a request after the replacement", "replace made ask:b", "true false false,true own false b"},
		{"two requests during a replacement", "replace ask:b ask:c ask:c made", "true false,true false,true false,false true c true -"},
		{"the link ends during the replacement", "replace", "true own false -"},
		{"the link ends during the replacement, after a request", "replace ask:b", "true false,true b true -"},
		{"too many requests", "ask:b ask:c ask:d ask:e ask:f made", "true,true false,true false,true false,true false,false true e true -"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s succession
			var said []string
			for _, step := range strings.Fields(tt.steps) {
				verb, host, _ := strings.Cut(step, ":")
				switch verb {
				case "replace":
					said = append(said, fmt.Sprint(s.replace(target("own"))))
				case "ask":
					start, news := s.ask(target(host))
					said = append(said, fmt.Sprintf("%v,%v", start, news))
				default:
					said = append(said, fmt.Sprint(s.tried(verb == "made")))
				}
			}
			name := func(to *pushTarget) string {
				if to == nil {
					return "-"
				}
				return strings.TrimSuffix(strings.TrimPrefix(strings.Fields(strings.ReplaceAll(to.key(), "\x00", " "))[0], "rtmp://@"), ":1935/live")
			}
			wanted, asked, later := s.end()
			said = append(said, name(wanted), fmt.Sprint(asked), name(later))
			if got := strings.Join(said, " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A request to reconnect to an address where this server must not push is not followed, however the address is written. The push goes on.
func TestMoveIsChecked(t *testing.T) {
	for _, to := range []string{
		"rtmp://169.254.169.254/live", "//[::ffff:169.254.169.254]/live", "rtmp://10.0.0.1/live", "rtmp://[::ffff:10.0.0.1]/live",
		"rtmp://rebound.test/live", // not where it was when the push began
	} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			policy := mustPolicy(t, "", "", true)
			server := testkit.NewRTMPServer(t, testkit.Script{At: "media", Do: testkit.AskReconnect, NewURL: to})
			var dialled atomic.Int32
			b := newBench(t, func(c *Config) {
				c.Targets = policy
				c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
					if host == "rebound.test" {
						return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
					}
					return []netip.Addr{netip.MustParseAddr("203.0.113.7")}, nil
				}
				c.dialTCP = dialInstead(server, &dialled)
			})
			s := b.source("s")
			b.start(Request{StreamName: "s", URL: "rtmp://name.test/live"})
			server.Wait(t, "publish", func() bool { return slices.Contains(server.Calls(), "publish('rtmp_s')") })
			b.wait("word of the refusal", func() bool {
				s.write(1, 20)
				return strings.Contains(b.log.String(), "no connection to where the peer wants it")
			})
			b.wait("life", func() bool { // the server may ask before the push is seen to be live
				s.write(1, 20)
				return b.Find(Filter{})[0].State == Live
			})
			if n := dialled.Load(); n != 1 {
				t.Errorf("live after %d connections, want it unmoved", n)
			}
		})
	}
}

// A server that refuses and names another address is followed there, and every time again.
func TestSentElsewhere(t *testing.T) {
	for _, at := range []string{"connect", "createStream", "publish"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			second := testkit.NewRTMPServer(t, testkit.Script{})
			first := testkit.NewRTMPServer(t, testkit.Script{
				At: at, Do: testkit.SendElsewhere, Code: "NetConnection.Connect.Rejected", NewURL: second.URL("other"),
			})
			s := b.source("s")
			id := b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{Restore: quickly}}).ID
			s.live(t, second)
			if got := second.Calls(); got[0] != "connect('other')" || !slices.Contains(got, "publish('rtmp_s')") {
				t.Errorf("commands %q", got)
			}
			second.Kick()
			second.Wait(t, "second publish", func() bool { return countCalls(second, "publish('rtmp_s')") == 2 })
			if n := countCalls(first, "connect('live')"); n != 2 {
				t.Errorf("the first server was asked %d times, want 2", n)
			}
			b.wait("life", func() bool {
				s.write(1, 20)
				return b.Find(Filter{ID: id})[0].State == Live
			})
		})
	}
}

// If a server redirects the push to where it may not go, or where nobody listens, the reason says so. A circle of redirects ends.
func TestSentNowhere(t *testing.T) {
	for _, tt := range []struct {
		to     string // "": to itself
		reason Reason
		words  string
	}{
		{"rtmp://169.254.169.254/live", ReasonForbidden, "sent the push on to rtmp://169.254.169.254/live/***"},
		{"rtmp://" + nobody() + "/live", ReasonRefused, "sent the push on to rtmp://"},
		{"rtmp://nowhere.test/live", ReasonDNS, "sent the push on to rtmp://nowhere.test/live/***"},
		{"http://x/live", ReasonBadApp, "an address that cannot be used"},
		{"", ReasonPeerClosed, "from one to the next without end"},
	} {
		t.Run(tt.to, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) {
				c.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, &net.DNSError{Err: "no such host"} }
			})
			script := testkit.Script{At: "connect", Do: testkit.SendElsewhere, Code: "NetConnection.Connect.Rejected", NewURL: tt.to}
			if tt.to == "" {
				script.NewURL = "/again" // of the server itself
			}
			server := testkit.NewRTMPServer(t, script)
			s := b.source("s")
			id := b.start(Request{StreamName: "s", URL: server.URL("live")}).ID
			s.write(1, 20)
			end := b.end()
			if end.ID != id || end.State != Failed || end.Reason != tt.reason || !strings.Contains(end.Detail, tt.words) {
				t.Errorf("ended as %s, %s (%s)", end.State, end.Reason, end.Detail)
			}
			if n := len(server.Calls()); tt.to == "" && n != maxHops+1 {
				t.Errorf("asked %d times, want %d", n, maxHops+1)
			}
		})
	}
}

// dialInstead dials a given server whatever the address is, and counts the calls.
func dialInstead(server *testkit.RTMPServer, dialled *atomic.Int32) func(context.Context, netip.AddrPort) (net.Conn, error) {
	address, _, _ := strings.Cut(strings.TrimPrefix(server.URL(""), "rtmp://"), "/")
	return func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		dialled.Add(1)
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
}

func TestLogin(t *testing.T) {
	for _, scheme := range []string{"adobe", "llnw"} {
		t.Run(scheme, func(t *testing.T) {
			b := newBench(t, nil)
			server := testkit.NewRTMPServer(t, testkit.Script{Login: testkit.Login{Scheme: scheme, User: "us@er", Password: "p:a/s%s ä"}})
			s := b.source("s")
			with := func(login string) string { return strings.Replace(server.URL("live"), "://", "://"+login+"@", 1) }
			b.start(Request{StreamName: "s", URL: with("us%40er:p%3Aa%2Fs%25s%20%C3%A4")})
			s.live(t, server)
			s.Close(nil)
			b.end()
			b.wait("goodbye", func() bool { return saidGoodbye(server) })
			calls := len(server.Calls())
			b.source("s")
			b.start(Request{StreamName: "s", URL: with("us%40er:wrong"), Options: Options{Restore: quickly}})
			end := b.end()
			if end.State != Failed || end.Reason != ReasonAuth || end.Attempts != 1 || !strings.Contains(end.Detail, "wrong name or password") {
				t.Errorf("ended as %s, %s (%s) after %d attempts", end.State, end.Reason, end.Detail, end.Attempts)
			}
			if n := len(server.Calls()) - calls; n != 3 {
				t.Errorf("%d connects with a wrong password, want 3", n)
			}
		})
	}
}

// The addresses of a name are checked every time the name is dialled.
func TestTargetIsCheckedAtEachAttempt(t *testing.T) {
	var asked int
	addrs := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("169.254.169.254")}
	b := newBench(t, func(c *Config) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) { // called by one after the other
			asked++
			return addrs[asked-1 : asked], nil
		}
	})
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: strings.Replace(server.URL("live"), "127.0.0.1", "name.test", 1), Options: Options{Restore: quickly}})
	s.live(t, server)
	server.Kick()
	server.Wait(t, "second publish", func() bool { return countCalls(server, "publish('rtmp_s')") == 2 })
	b.wait("media", func() bool {
		s.write(1, 20)
		return b.Find(Filter{})[0].State == Live
	})
	server.Kick()
	if end := b.end(); end.Reason != ReasonForbidden || end.State != Failed || end.Attempts != 3 {
		t.Errorf("ended as %s, %s after %d attempts", end.State, end.Reason, end.Attempts)
	}
	if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: "rtmp://[::ffff:169.254.169.254]/live"}); !isRequestError(err, "rtmpUrl") {
		t.Errorf("a push to where it must not go = %v", err)
	}
}

func isRequestError(err error, field string) bool {
	var e *RequestError
	return errors.As(err, &e) && e.Field == field
}

// If private networks are denied, no spelling of a private address is accepted, with any resolver.
func TestPrivateTargetsAreRefused(t *testing.T) {
	policy := mustPolicy(t, "", "", true)
	var dialled atomic.Int32
	b := newBench(t, func(c *Config) {
		c.Targets = policy
		// As C libraries read them, which ours does not.
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		c.dialTCP = func(context.Context, netip.AddrPort) (net.Conn, error) {
			dialled.Add(1)
			return nil, errors.New("not to be dialled")
		}
	})
	b.source("s")
	for _, host := range []string{
		"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "localhost.", "name.test",
		"[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
		"10.0.0.1", "[::ffff:10.0.0.1]", "[::ffff:192.168.0.1]", "[fd00::1]",
	} {
		for _, scheme := range []string{"rtmp", "rtmps"} {
			_, err := b.Start(t.Context(), Request{StreamName: "s", URL: scheme + "://" + host + "/live"})
			if !isRequestError(err, "rtmpUrl") || strings.Contains(err.Error(), "private") {
				t.Errorf("a push to %s = %v, want a RequestError that does not say why", host, err)
			}
		}
	}
	if dialled.Load() > 0 || len(b.Find(Filter{})) > 0 {
		t.Errorf("dialled %d times; there are %+v", dialled.Load(), b.Find(Filter{}))
	}
}

// A key frame that is much larger than what the socket takes at once arrives whole.
func TestLargeKeyFrameThroughSmallSocket(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.dialTCP = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.String())
			if err != nil {
				return nil, err
			}
			return conn, conn.(*net.TCPConn).SetWriteBuffer(8 << 10)
		}
	})
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: server.URL("live")})
	s.live(t, server)

	const size = 2 << 20
	picture := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(picture)
	binary.BigEndian.PutUint32(picture, size-4)
	picture[4] = 0x65
	at := media.Timestamp(s.n) * media.Timestamp(40*time.Millisecond)
	s.Video.Write(media.Frame{Track: s.video, Time: at, Key: true, Data: picture})
	server.Wait(t, "the key frame, byte for byte", func() bool {
		return slices.ContainsFunc(server.Tags(), func(tag testkit.Tag) bool { return tag.Video && bytes.Equal(tag.Data, picture) })
	})
}

// The kernel tells the cause of a broken connection once. If the reading goroutine had it, the write that fails next waits for it.
func TestWriteErrorWaitsForTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name  string
			after time.Duration // until the reading goroutine reports
			want  error
		}{{"the reader is about to report", causeWait / 2, errStalled}, {"nobody reports", 2 * causeWait, syscall.EPIPE}} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(tt.after, func() { cancel(errStalled) })
			if err := writeError(ctx, &net.OpError{Op: "write", Err: syscall.EPIPE}); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
			cancel(nil)
		}
	})
}

// When the kernel gives a connection up, one of writing and reading gets the cause, and the other one hears only that the connection is over.
// Whichever reports first, the server is stalled.
func TestKernelGivesUp(t *testing.T) {
	timeout := &net.OpError{Op: "write", Err: syscall.ETIMEDOUT}
	ctx, end := context.WithCancelCause(t.Context())
	end(fmt.Errorf("read: %w", io.EOF))
	if err := writeError(ctx, timeout); !errors.Is(err, errStalled) {
		t.Errorf("after the end for the reader: %v, want %v", err, errStalled)
	}
	ctx, end = context.WithCancelCause(t.Context())
	end(errTerminated)
	if err := writeError(ctx, timeout); !errors.Is(err, errTerminated) {
		t.Errorf("after the end by somebody: %v, want %v", err, errTerminated)
	}
}
