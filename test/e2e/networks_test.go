//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// roamer is a network namespace with two networks to this machine, which come and go as those of a phone do.
type roamer struct {
	t         *testing.T
	namespace string
	links     map[string]string // the name of a network's interface, on both ends
	prefix    map[string]string // the first three parts of a network's addresses
}

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
	r.ip("-n", r.namespace, "addr", "add", prefix+".2/24", "dev", link)
	r.ip("-n", r.namespace, "route", "add", "default", "via", prefix+".1", "dev", link)
}

// leave takes the address away, and the way.
func (r *roamer) leave(network string) {
	r.t.Helper()
	link := r.links[network]
	r.ip("-n", r.namespace, "addr", "flush", "dev", link)
	r.ip("-n", r.namespace, "link", "set", link, "down")
}

// reaches says whether the namespace reaches a server.
func (r *roamer) reaches(s *server) bool {
	url := "http://" + net.JoinHostPort(r.address(), portIn(r.t, s.rest)) + "/health/live"
	return exec.Command("ip", "netns", "exec", r.namespace, "curl", "-sf", "-m", "1", "-o", "/dev/null", url).Run() == nil
}

// A person publishes from a browser that changes from the Wi-Fi to a mobile network and back, and the address with it. The push goes on over
// one connection and with one clock, in both receivers, with our SDK and with WHIP.
func TestLongAnotherNetwork(t *testing.T) {
	for _, receiver := range []string{"lean", "peer"} {
		for _, mode := range []string{"sdk", "whip"} {
			t.Run(receiver+" "+mode, func(t *testing.T) {
				r := newRoamer(t)
				s := startServer(t, "access=open", "rtc_receiver="+receiver, "ip="+r.address())
				url, records := startNginx(t)
				page := "http://" + net.JoinHostPort(r.address(), portIn(t, s.rest)) + "/"
				b := startCommand(t, []string{"ip", "netns", "exec", r.namespace, "node"}, "networks.mjs", page, "--name", "show", "--mode", mode)
				b.await("live")
				s.receivedBy(receiver)
				var begun push
				if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": url}, &begun); code != http.StatusOK {
					t.Fatalf("startup answers %d", code)
				}
				s.waitFrames("show", 60)
				for _, to := range [][2]string{{"wifi", "mobile"}, {"mobile", "wifi"}} {
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

func portIn(t *testing.T, url string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.Trim(strings.SplitN(url, "://", 2)[1], "/"))
	if err != nil {
		t.Fatal(err)
	}
	return port
}
