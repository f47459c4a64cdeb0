//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// roamer is a network namespace with two networks to this machine, which come and go as those of a phone do. Where it is in both, it prefers the wifi,
// and what is sent from an address of a network goes through that network.
type roamer struct {
	t         *testing.T
	namespace string
	links     map[string]string // the name of a network's interface, on both ends
	prefix    map[string]string // the first three parts of a network's addresses
}

// routes are the numbers of a network: its table of routes, which is also how little it is preferred.
var routes = map[string]string{"wifi": "101", "mobile": "102"}

// address is where the namespace reaches this machine, over any of its networks: the address of the first one.
func (r *roamer) address() string { return r.prefix["wifi"] + ".1" }

var roamers atomic.Int32

// newRoamer makes a namespace whose wifi is up. Making one needs the rights of root.
func newRoamer(t *testing.T) *roamer {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n := int(roamers.Add(1))
	id := fmt.Sprintf("%d-%d", os.Getpid()%100_000, n)
	r := &roamer{
		t: t, namespace: "roam-" + id,
		links:  map[string]string{"wifi": "w" + id, "mobile": "m" + id},
		prefix: map[string]string{"wifi": fmt.Sprintf("10.213.%d", 2*n), "mobile": fmt.Sprintf("10.213.%d", 2*n+1)},
	}
	if out, err := exec.Command("ip", "netns", "add", r.namespace).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v: %s", err, out)
	}
	t.Cleanup(func() { r.ip("netns", "del", r.namespace) })
	for _, network := range []string{"wifi", "mobile"} {
		link := r.links[network]
		r.ip("link", "add", link, "type", "veth", "peer", "name", link, "netns", r.namespace)
		t.Cleanup(func() { exec.Command("ip", "link", "del", link).Run() }) // gone with the namespace, or not
		r.ip("addr", "add", r.prefix[network]+".1/24", "dev", link)
		r.ip("link", "set", link, "up")
	}
	r.ip("-n", r.namespace, "link", "set", "lo", "up")
	for network, table := range routes {
		r.ip("-n", r.namespace, "rule", "add", "from", r.prefix[network]+".2", "lookup", table)
	}
	r.join("wifi")
	return r
}

func (r *roamer) ip(args ...string) {
	r.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		r.t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// join gives the namespace an address in a network, and a way to this machine.
func (r *roamer) join(network string) {
	r.t.Helper()
	link, prefix := r.links[network], r.prefix[network]
	r.ip("-n", r.namespace, "link", "set", link, "up")
	r.ip("-n", r.namespace, "addr", "add", prefix+".2/24", "dev", link, "noprefixroute")
	way := []string{"default", "via", prefix + ".1", "dev", link, "onlink"}
	r.ip(slices.Concat([]string{"-n", r.namespace, "route", "add"}, way, []string{"metric", routes[network]})...)
	r.ip(slices.Concat([]string{"-n", r.namespace, "route", "add"}, way, []string{"table", routes[network]})...)
}

// fade makes a network carry nothing, as where its signal ends: the namespace keeps the address, and nobody tells it anything.
func (r *roamer) fade(network string) {
	r.t.Helper()
	link := r.links[network]
	r.ip("-n", r.namespace, "neigh", "replace", r.prefix[network]+".1", "lladdr", "02:00:00:00:00:01", "dev", link, "nud", "permanent")
}

// leave takes the address away, and the way.
func (r *roamer) leave(network string) {
	r.t.Helper()
	link := r.links[network]
	r.ip("-n", r.namespace, "addr", "flush", "dev", link)
	r.ip("-n", r.namespace, "link", "set", link, "down")
	r.ip("-n", r.namespace, "neigh", "flush", "dev", link, "nud", "all")
}

// reaches says whether the namespace reaches a server.
func (r *roamer) reaches(s *server) bool {
	health := "http://" + net.JoinHostPort(r.address(), portIn(r.t, s.rest)) + "/health/live"
	return exec.Command("ip", "netns", "exec", r.namespace, "curl", "-sf", "-m", "1", "-o", "/dev/null", health).Run() == nil
}

// A person publishes from a browser that changes from the Wi-Fi to a mobile network and back, and the address with it. The push goes on over
// one connection and with one clock, in both receivers, with our SDK and with WHIP.
func TestLongAnotherNetwork(t *testing.T) {
	for _, receiver := range []string{"lean", "peer"} {
		for _, mode := range []string{"sdk", "whip"} {
			t.Run(receiver+" "+mode, func(t *testing.T) {
				r := newRoamer(t)
				s := startServer(t, "access=open", "rtc_receiver="+receiver, "ip="+r.address())
				address, records := startNginx(t)
				page := "http://" + net.JoinHostPort(r.address(), portIn(t, s.rest)) + "/"
				b := startCommand(t, []string{"ip", "netns", "exec", r.namespace, "node"}, "networks.mjs", page, "--name", "show", "--mode", mode)
				b.await("live")
				s.receivedBy(receiver)
				var begun push
				if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": address}, &begun); code != http.StatusOK {
					t.Fatalf("startup answers %d", code)
				}
				s.waitFrames("show", 60)
				for _, to := range [][2]string{{"wifi", "mobile"}, {"mobile", "wifi"}} {
					if !r.reaches(s) {
						t.Fatal("the network does not lead to the server")
					}
					r.leave(to[0])
					if r.reaches(s) {
						t.Fatal("the network is still there")
					}
					before := s.waitPush("show", "PUBLISHING").VideoFramesSent
					r.join(to[1])
					joined := time.Now()
					s.waitFrames("show", before+10)
					t.Logf("%s: pictures %v after there is %s", t.Name(), time.Since(joined).Round(100*time.Millisecond), to[1])
					s.waitFrames("show", before+90)
				}
				last := s.waitPush("show", "PUBLISHING")
				if last.MediaSessionID != begun.MediaSessionID || last.Attempts != 1 {
					t.Errorf("the push was %+v and is %+v", begun, last)
				}
				s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
				saw := b.stop().Displayed
				t.Logf("the page saw %v", saw)
				if saw["peers"] != "1" {
					t.Errorf("the page had %s connections, want one", saw["peers"])
				}
				judgeOneClock(t, filepath.Join(records, "rtmp_show.flv"), 20)
				if n := strings.Count(s.log.String(), `msg="ICE restarted"`); n < 2 {
					t.Errorf("ICE was restarted %d times", n)
				}
			})
		}
	}
}

// A streamer is live by the studio on a phone that leaves the Wi-Fi and comes back to it. The page says so, keeps the camera and comes back by itself,
// over the same session of the server, or over another one if the server has let go of the first. The destination waits, and a real nginx has one
// recording of the show.
func TestLongStudioChangesNetwork(t *testing.T) {
	for _, receiver := range []string{"lean", "peer"} {
		t.Run(receiver, func(t *testing.T) {
			r := newRoamer(t)
			n := newNginx(t)
			s := startServer(t, "access=open", "rtc_receiver="+receiver, "ip="+r.address(), "webrtc_silence_timeout_ms=12000")
			page := "http://" + net.JoinHostPort(r.address(), portIn(t, s.rest)) + "/"
			b := startCommand(t, []string{"ip", "netns", "exec", r.namespace, "node"}, "studio-returns.mjs", page, "--name", "show", "--rtmp", n.url(), "--seconds", "300")
			b.await("live")
			s.receivedBy(receiver)
			begun := s.waitPush("show", "PUBLISHING")
			goesOn := func(pictures int) {
				t.Helper()
				s.waitEach([]string{begun.MediaSessionID}, "PUBLISHING", s.waitPush("show", "PUBLISHING").VideoFramesSent+pictures)
			}
			away := func(name string, lose func()) (peers string) {
				t.Helper()
				b.tell("away")
				lost := time.Now()
				lose()
				peers = b.await("away").Displayed["peers"]
				said := time.Since(lost)
				t.Logf("%s: the page says so after %v", name, said.Round(10*time.Millisecond))
				if said > 3*time.Second {
					t.Errorf("%s: the page said so after %v", name, said)
				}
				if r.reaches(s) {
					t.Fatalf("%s: the network is still there", name)
				}
				return peers
			}
			back := func(name, peers string, join func()) (now string) {
				t.Helper()
				joined := time.Now()
				join()
				b.tell("back")
				now = b.await("back").Displayed["peers"]
				live := time.Since(joined)
				goesOn(10)
				t.Logf("%s: the page is live after %v, and pictures arrive after %v; it has made %s connections, before %s", name,
					live.Round(10*time.Millisecond), time.Since(joined).Round(10*time.Millisecond), now, peers)
				goesOn(60)
				return now
			}
			goesOn(60)

			peers := away("the wifi ends", func() { r.leave("wifi") })
			back("there is mobile", peers, func() { r.join("mobile") })

			peers = away("the mobile network ends", func() { r.leave("mobile") })
			testkit.Eventually(t, 30*time.Second, func() string {
				if !strings.Contains(s.log.String(), `msg="session ended"`) {
					return "the server still has the session"
				}
				return ""
			})
			s.waitPush("show", "HOLDING")
			if now := back("there is wifi", peers, func() { r.join("wifi") }); now == peers {
				t.Errorf("the page has made %s connections, although the server has ended the session", now)
			}

			peers = away("the wifi fades", func() { r.fade("wifi") })
			back("there is mobile, too, and then no wifi", peers, func() { r.join("mobile"); r.leave("wifi") })

			b.tell("note")
			b.await("noting")
			r.join("wifi")
			goesOn(150)
			b.tell("noted")
			t.Logf("there is wifi, too: %v", b.await("noted").Displayed)
			r.leave("mobile")
			goesOn(150)
			b.tell("noted")
			t.Logf("and then no mobile: %v", b.await("noted").Displayed)
			if !strings.Contains(s.log.String(), `msg="ICE restarted"`) {
				t.Error("ICE was not restarted")
			}

			last := s.waitPush("show", "PUBLISHING")
			if last.MediaSessionID != begun.MediaSessionID || last.Attempts != 1 {
				t.Errorf("the push was %+v and is %+v", begun, last)
			}
			b.stop()
			s.waitNoPush()
			file := n.recording(t)
			judgeOneClock(t, file, 20)
			for _, still := range stills(t, file) {
				if still > 0.5 {
					t.Logf("the picture stood still for %.1f s", still)
				}
			}
		})
	}
}

// A person watches in a browser that changes its network, by our SDK and by WHEP. The pictures go on over the same connection.
func TestLongViewerChangesNetwork(t *testing.T) {
	for _, mode := range []string{"sdk-play", "whep"} {
		t.Run(mode, func(t *testing.T) {
			r := newRoamer(t)
			s := startServer(t, "access=open", "ip="+r.address())
			publishPictures(t, s, "show", 320, 180, 30)
			page := "http://" + net.JoinHostPort(r.address(), portIn(t, s.rest)) + "/"
			b := startCommand(t, []string{"ip", "netns", "exec", r.namespace, "node"}, "networks.mjs", page, "--name", "show", "--mode", mode)
			b.await("live")
			b.say("pictures")
			b.await("pictures")
			for _, to := range [][2]string{{"wifi", "mobile"}, {"mobile", "wifi"}} {
				r.leave(to[0])
				if r.reaches(s) {
					t.Fatal("the network is still there")
				}
				r.join(to[1])
				joined := time.Now()
				b.say("pictures")
				b.await("pictures")
				t.Logf("%s: pictures %v after there is %s", t.Name(), time.Since(joined).Round(100*time.Millisecond), to[1])
			}
			saw := b.stop().Displayed
			t.Logf("the page saw %v", saw)
			if saw["peers"] != "1" {
				t.Errorf("the page had %s connections, want one", saw["peers"])
			}
			door := map[string]string{"sdk-play": "websocket", "whep": "whep"}[mode]
			if n := s.metric(t, "transponder_ice_restarts_total", fmt.Sprintf(`{door=%q,result="done"}`, door)); n < 2 {
				t.Errorf("%v restarts were counted, want 2", n)
			}
		})
	}
}

// Two pages in a call change their network, one that has called and one that was called. They see and hear each other again in the same call.
func TestLongCallChangesNetwork(t *testing.T) {
	r := newRoamer(t)
	s := startServer(t, "access=open", "enable_local_videochat=true", "ip="+r.address())
	page := "http://" + net.JoinHostPort(r.address(), portIn(t, s.rest)) + "/"
	b := startCommand(t, []string{"ip", "netns", "exec", r.namespace, "node"}, "sdk-calls.mjs", page, "--reconnect", "yes", "--seconds", "120")
	b.await("held")
	for _, to := range [][2]string{{"wifi", "mobile"}, {"mobile", "wifi"}} {
		r.leave(to[0])
		if r.reaches(s) {
			t.Fatal("the network is still there")
		}
		r.join(to[1])
		joined := time.Now()
		b.say("media")
		b.await("media")
		t.Logf("pictures and sound %v after there is %s", time.Since(joined).Round(100*time.Millisecond), to[1])
	}
	if n := s.metric(t, "transponder_ice_restarts_total", `{door="websocket",result="done"}`); n < 4 {
		t.Errorf("%v restarts were counted, want 4: two of each page", n)
	}
	stopped := b.stop().Displayed
	t.Logf("the calls went through %v", stopped)
	for _, who := range []string{"caller", "callee"} {
		if !strings.HasSuffix(stopped[who], " ESTABLISHED FINISH") {
			t.Errorf("the %s saw %q", who, stopped[who])
		}
	}
}

// portIn returns the port of an address.
func portIn(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// A laptop sleeps. If it wakes up within the time for which the server keeps silent sessions, its stream goes on. Otherwise the SDK publishes
// it again, and the push, which waits for it, goes on over the same connection.
func TestLongLaptopSleeps(t *testing.T) {
	for _, receiver := range []string{"lean", "peer"} {
		for _, c := range []struct {
			name   string
			asleep time.Duration
			peers  string // connections that the page makes
		}{
			{"a short sleep", 20 * time.Second, "1"},
			{"a long sleep", 45 * time.Second, "2"},
		} {
			t.Run(receiver+" "+c.name, func(t *testing.T) {
				r := newRoamer(t)
				s := startServer(t, "access=open", "rtc_receiver="+receiver, "ip="+r.address())
				address, records := startNginx(t)
				page := "http://" + net.JoinHostPort(r.address(), portIn(t, s.rest)) + "/"
				b := startCommand(t, []string{"ip", "netns", "exec", r.namespace, "node"}, "networks.mjs", page, "--name", "show", "--mode", "sdk")
				b.await("live")
				var begun push
				body := map[string]any{"streamName": "show", "rtmpUrl": address, "options": map[string]any{"onSourceLoss": "hold"}}
				if code := s.post("/push/startup", body, &begun); code != http.StatusOK {
					t.Fatalf("startup answers %d", code)
				}
				s.waitFrames("show", 60)
				t.Cleanup(func() { r.signal(syscall.SIGCONT) }) // what still sleeps cannot end
				r.signal(syscall.SIGSTOP)
				asleep := time.NewTimer(c.asleep)
				<-asleep.C
				ended := strings.Contains(s.log.String(), `msg="stream ended"`)
				if ended != (c.peers == "2") {
					t.Errorf("after %v the stream had ended: %v", c.asleep, ended)
				}
				before := s.findPush("show").VideoFramesSent
				r.signal(syscall.SIGCONT)
				woke := time.Now()
				s.waitFrames("show", before+60)
				t.Logf("two seconds of pictures %v after waking", time.Since(woke).Round(100*time.Millisecond))
				last := s.waitPush("show", "PUBLISHING")
				if last.MediaSessionID != begun.MediaSessionID || last.Attempts != 1 {
					t.Errorf("the push was %+v and is %+v", begun, last)
				}
				s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
				saw := b.stop().Displayed
				t.Logf("the page saw %v", saw)
				if saw["peers"] != c.peers {
					t.Errorf("the page made %s connections, want %s", saw["peers"], c.peers)
				}
				judgeOneClock(t, filepath.Join(records, "rtmp_show.flv"), c.asleep.Seconds()+15)
			})
		}
	}
}

// A streamer is live by the studio on a laptop that sleeps, for less and for more than the server keeps a silent session. The show goes on by itself with
// the same camera when the laptop wakes up. Its destination waits, and a real nginx has one recording.
func TestLongStudioSleeps(t *testing.T) {
	r := newRoamer(t)
	n := newNginx(t)
	s := startServer(t, "access=open", "ip="+r.address())
	page := "http://" + net.JoinHostPort(r.address(), portIn(t, s.rest)) + "/"
	b := startCommand(t, []string{"ip", "netns", "exec", r.namespace, "node"}, "studio-returns.mjs", page, "--name", "show", "--rtmp", n.url(), "--seconds", "300")
	b.await("live")
	begun := s.waitPush("show", "PUBLISHING")
	s.waitFrames("show", 60)
	t.Cleanup(func() { r.signal(syscall.SIGCONT) }) // what still sleeps cannot end
	for _, asleep := range []time.Duration{20 * time.Second, 45 * time.Second} {
		r.signal(syscall.SIGSTOP)
		sleeps := time.NewTimer(asleep)
		s.waitPush("show", "HOLDING")
		<-sleeps.C
		before := s.waitPush("show", "HOLDING").VideoFramesSent
		r.signal(syscall.SIGCONT)
		woke := time.Now()
		s.waitEach([]string{begun.MediaSessionID}, "PUBLISHING", before+60)
		t.Logf("two seconds of pictures %v after %v of sleep", time.Since(woke).Round(100*time.Millisecond), asleep)
		b.tell("back")
		t.Logf("the page has made %s connections", b.await("back").Displayed["peers"])
	}
	if last := s.waitPush("show", "PUBLISHING"); last.MediaSessionID != begun.MediaSessionID || last.Attempts != 1 {
		t.Errorf("the push was %+v and is %+v", begun, last)
	}
	b.stop()
	s.waitNoPush()
	file := n.recording(t)
	judgeOneClock(t, file, 70)
}

// signal sends a signal to all processes of the namespace.
func (r *roamer) signal(sig syscall.Signal) {
	r.t.Helper()
	out, err := exec.Command("ip", "netns", "pids", r.namespace).Output()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, field := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(field); err == nil {
			syscall.Kill(pid, sig)
		}
	}
}

// findPush returns the push of a stream.
func (s *server) findPush(stream string) push {
	s.t.Helper()
	var found []push
	if code := s.post("/push/find", map[string]string{"streamName": stream}, &found); code != http.StatusOK || len(found) != 1 {
		s.t.Fatalf("find answers %d with %d pushes", code, len(found))
	}
	return found[0]
}

// A NAT forgets the mapping of a browser and gives it another port. The browser does not learn of that, and the stream goes on.
func TestNATForgetsBrowser(t *testing.T) {
	for _, receiver := range []string{"lean", "peer"} {
		t.Run(receiver, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, "rtc_receiver="+receiver)
			relay, err := testkit.NewRelay()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(relay.Close)
			nat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost {
					w.Header().Set("Content-Type", "text/html")
					return
				}
				offer, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
					return
				}
				answer, err := s.exchange("show")(r.Context(), withoutCandidates(string(offer)))
				if err == nil {
					answer, err = relay.Answer(answer)
				}
				if err != nil {
					t.Error(err)
					return
				}
				w.Header().Set("Location", "/whip/show/session")
				w.WriteHeader(http.StatusCreated)
				io.WriteString(w, answer)
			}))
			t.Cleanup(nat.Close)
			address, records := startNginx(t)
			b := startBrowser(t, "networks.mjs", nat.URL+"/", "--name", "show", "--mode", "whip")
			b.await("live")
			s.receivedBy(receiver)
			if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": address}, nil); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			s.waitFrames("show", 60)
			for range 2 {
				before := s.waitPush("show", "PUBLISHING").VideoFramesSent
				if err := relay.Move(); err != nil {
					t.Fatal(err)
				}
				s.waitFrames("show", before+120) // longer than the browser goes without an answer to its checks
			}
			last := s.waitPush("show", "PUBLISHING")
			if last.Attempts != 1 {
				t.Errorf("the push is %+v", last)
			}
			s.post("/push/terminate", map[string]any{"mediaSessionId": last.MediaSessionID}, nil)
			saw := b.stop().Displayed
			if saw["peers"] != "1" || saw["told"] != "" {
				t.Errorf("the page saw %v", saw)
			}
			judgeOneClock(t, filepath.Join(records, "rtmp_show.flv"), 5)
		})
	}
}

func withoutCandidates(sdp string) string {
	return regexp.MustCompile(`(?m)^a=candidate:.*\r?\n`).ReplaceAllString(sdp, "")
}

// roamingEncoder names the variable of the environment that makes TestRoamingEncoder an encoder. It has the address of the WHIP door.
const roamingEncoder = "TRANSPONDER_TEST_ENCODER"

// TestRoamingEncoder is no test: it is an encoder in the namespace of TestLongEncoderChangesNetwork. It publishes until standard input closes. For
// each line that it reads, it restarts ICE.
func TestRoamingEncoder(t *testing.T) {
	address := os.Getenv(roamingEncoder)
	if address == "" {
		t.Skip("another test starts this one")
	}
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units, cfg.EveryNetwork = pictures(t, 320, 180, 30), true
	p := testkit.NewPublisher(cfg)
	session, first := "", ""
	send := func(ctx context.Context, method, address, kind, body string) (*http.Response, string, error) {
		req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("If-Match", "*")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode > 299 {
			err = fmt.Errorf("%s: %s", res.Status, b)
		}
		return res, string(b), err
	}
	credential := func(sdp, key string) string {
		return strings.TrimSpace(regexp.MustCompile(`(?m)^a=ice-` + key + `:.*$`).FindString(sdp))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- p.Run(ctx, func(ctx context.Context, offer string) (string, error) {
			res, answer, err := send(ctx, http.MethodPost, address, "application/sdp", offer)
			if err != nil {
				return "", err
			}
			at, err := res.Location()
			if err != nil {
				return "", err
			}
			session, first = at.String(), answer
			return answer, nil
		})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		http.DefaultClient.CloseIdleConnections() // they are of the network before
		err := p.RestartICE(ctx, func(ctx context.Context, offer string) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			fragment := credential(offer, "ufrag") + "\r\n" + credential(offer, "pwd") + "\r\n"
			_, answer, err := send(ctx, http.MethodPatch, session, "application/trickle-ice-sdpfrag", fragment)
			for _, key := range []string{"ufrag", "pwd"} {
				first = strings.ReplaceAll(first, credential(first, key), credential(answer, key))
			}
			return first, err
		})
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// An encoder that restarts ICE as soon as it has another network is away for less than a second.
func TestLongEncoderChangesNetwork(t *testing.T) {
	for _, receiver := range []string{"lean", "peer"} {
		t.Run(receiver, func(t *testing.T) {
			r := newRoamer(t)
			s := startServer(t, "access=open", "rtc_receiver="+receiver, "ip="+r.address())
			address, records := startNginx(t)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			encoder := exec.Command("ip", "netns", "exec", r.namespace, self, "-test.run", "^TestRoamingEncoder$", "-test.v")
			encoder.Env = append(os.Environ(), roamingEncoder+"=http://"+net.JoinHostPort(r.address(), portIn(t, s.rest))+"/whip/show")
			var said safeBuffer
			encoder.Stdout, encoder.Stderr = &said, &said
			stdin, err := encoder.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := encoder.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				stdin.Close()
				if err := encoder.Wait(); err != nil {
					t.Errorf("the encoder: %v\n%s", err, said.String())
				}
			})
			var begun push
			testkit.Eventually(t, 30*time.Second, func() string {
				if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": address}, &begun); code != http.StatusOK {
					return fmt.Sprintf("startup answers %d", code)
				}
				return ""
			})
			s.waitFrames("show", 60)
			s.receivedBy(receiver)
			const changes = 6
			for n := range changes {
				from, to := "wifi", "mobile"
				if n%2 == 1 {
					from, to = to, from
				}
				r.leave(from)
				before := s.waitPush("show", "PUBLISHING").VideoFramesSent
				r.join(to)
				joined := time.Now()
				if _, err := io.WriteString(stdin, "restart\n"); err != nil {
					t.Fatal(err)
				}
				s.waitFrames("show", before+10)
				t.Logf("pictures %v after there is %s", time.Since(joined).Round(10*time.Millisecond), to)
				s.waitFrames("show", before+60)
			}
			last := s.waitPush("show", "PUBLISHING")
			if last.MediaSessionID != begun.MediaSessionID || last.Attempts != 1 {
				t.Errorf("the push was %+v and is %+v", begun, last)
			}
			s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
			if n := strings.Count(s.log.String(), `msg="ICE restarted"`); n != changes {
				t.Errorf("ICE was restarted %d times, want %d", n, changes)
			}
			judgeOneClock(t, filepath.Join(records, "rtmp_show.flv"), 10)
		})
	}
}
