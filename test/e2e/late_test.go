//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// arrivals measures how late the tags of a receiver are, compared with the punctual ones before.
type arrivals struct {
	receiver *testkit.RTMPServer
	begun    time.Time
	first    time.Duration // how late tags are when nothing is wrong, by this clock
	seen     int
}

// newArrivals waits for two seconds of pictures, and takes what comes then as punctual.
func newArrivals(t *testing.T, receiver *testkit.RTMPServer) *arrivals {
	t.Helper()
	receiver.Wait(t, "two seconds", func() bool { return lastPicture(receiver) > 2*time.Second })
	a := &arrivals{receiver: receiver, begun: time.Now(), first: time.Duration(math.MaxInt64)}
	for range 50 {
		receiver.Wait(t, "more", a.more)
		a.seen = len(receiver.Tags())
		a.first = min(a.first, time.Since(a.begun)-receiver.Tags()[a.seen-1].Time)
	}
	return a
}

// more says whether tags came that late has not seen.
func (a *arrivals) more() bool { return len(a.receiver.Tags()) > a.seen }

// late returns how late the latest picture and the latest sound are among those that came since the last call.
func (a *arrivals) late() (picture, sound time.Duration) {
	tags := a.receiver.Tags()
	for _, tag := range tags[a.seen:] {
		most := &sound
		if tag.Video {
			most = &picture
		}
		*most = max(*most, time.Since(a.begun)-tag.Time-a.first)
	}
	a.seen = len(tags)
	return picture, sound
}

// control is a push of a stream to a receiver with a good line. How late its tags are, the machine is to blame for.
type control struct {
	mu    sync.Mutex
	times []time.Time     // guarded by mu; when somebody looked
	lates []time.Duration // guarded by mu; how late the latest tag was that had come since
}

// newControl looks at the receiver until the test ends.
func newControl(t *testing.T, s *server, name string) *control {
	t.Helper()
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": receiver.URL("live")}, nil); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	c, came := &control{}, newArrivals(t, receiver)
	over := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for each := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-each.C:
				c.add(came.late())
			case <-over:
				each.Stop()
				return
			}
		}
	})
	t.Cleanup(func() {
		close(over)
		looking.Wait()
	})
	return c
}

func (c *control) add(picture, sound time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times, c.lates = append(c.times, time.Now()), append(c.lates, max(picture, sound))
}

// worst returns how late the latest tag was that came after from.
func (c *control) worst(from time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.times, from, time.Time.Compare)
	var most time.Duration
	for _, late := range c.lates[i:] {
		most = max(most, late)
	}
	return most
}

// A destination that takes 60 of 115 kB a second gets about half of the pictures, 5 s late at most, and all the sound: bare, behind a
// real stunnel or a real nginx, whether it answers pings, acknowledges, or does neither. The push says so all the time, and does not
// fail.
func TestLateDestination(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	cfg := testkit.DefaultPublisherConfig()
	cfg.Units = testkit.SyntheticUnits(60, 3100)
	publish(t, s, "show", cfg)
	punctual := newControl(t, s, "show")
	deaf := testkit.Script{NoPong: true, Ack: func(int, uint32) (uint32, bool) { return 0, false }}
	for _, tt := range []struct {
		name   string
		script testkit.Script
		behind string // the server between the slow line and the receiver
		limit  time.Duration
	}{
		{"bare", testkit.Script{}, "", 5 * time.Second},
		{"acknowledgements only", testkit.Script{NoPong: true}, "", 5500 * time.Millisecond},
		{"deaf", deaf, "", 5 * time.Second},
		{"behind stunnel", testkit.Script{}, "stunnel", 5 * time.Second},
		{"behind nginx", testkit.Script{}, "nginx", 5 * time.Second}, // which relays to the receiver
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			receiver := testkit.NewRTMPServer(t, tt.script)
			to := receiver.URL("live")
			if tt.behind == "nginx" {
				to = newNginx(t, "record off;", "push "+to+";").url()
			}
			l := newLine(t, to)
			url := l.url()
			if tt.behind == "stunnel" {
				inner, outer := testkit.FreePort(t), testkit.FreePort(t)
				l = newLine(t, "rtmp://127.0.0.1:"+inner)
				startStunnel(t, outer, l.proxy.Listen, inner, strings.Split(receiver.URL("live"), "/")[2])
				url = "rtmp://127.0.0.1:" + outer + "/live"
			}
			var p push
			if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": url}, &p); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			came := newArrivals(t, receiver)
			l.spoil("bandwidth", "upstream", `"rate": 60`) // kB/s
			slowed := time.Now()
			before := len(videoTimes(receiver))
			var late, lateSound time.Duration
			for time.Since(slowed) < 40*time.Second {
				receiver.Wait(t, "more", came.more)
				picture, sound := came.late()
				late, lateSound = max(late, picture), max(lateSound, sound)
				time.Sleep(10 * time.Millisecond)
			}
			machine := punctual.worst(slowed)
			var found []struct {
				Status, Reason string
				QueuedMs       int64 `json:"queuedMs"`
				Dropped        int   `json:"droppedFrames"`
			}
			s.post("/push/find", map[string]string{"mediaSessionId": p.MediaSessionID}, &found)
			if len(found) != 1 || found[0].Status != "DEGRADED" || found[0].Reason != "peer_slow" || found[0].Dropped == 0 {
				t.Fatalf("the push is %+v", found)
			}
			share := float64(len(videoTimes(receiver))-before) / (30 * time.Since(slowed).Seconds())
			t.Logf("pictures came up to %v late, sound %v, %v of this by the machine; %.0f %% of the pictures; %d ms are said to wait",
				late.Round(10*time.Millisecond), lateSound.Round(10*time.Millisecond), machine.Round(10*time.Millisecond), 100*share, found[0].QueuedMs)
			if limit := tt.limit + machine; late > limit || lateSound > limit+500*time.Millisecond {
				t.Errorf("pictures came up to %v late, sound %v; %v of this is the machine's", late, lateSound, machine)
			}
			if share < 0.28 {
				t.Errorf("%.0f %% of the pictures came", 100*share)
			}
			judgeNumbers(t, receiver.Tags(), 100)
			if gap := soundGap(receiver); gap > 100*time.Millisecond {
				t.Errorf("the sound has a gap of %v", gap)
			}
		})
	}
}

// startStunnel runs a real stunnel until the test ends, as client from one port to an address, and as the server of TLS from another port
// to a second address.
func startStunnel(t *testing.T, clientPort, to, serverPort, receiver string) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair := append(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	conf := fmt.Sprintf("foreground = yes\npid =\n[out]\nclient = yes\naccept = 127.0.0.1:%s\nconnect = %s\n"+
		"[in]\naccept = 127.0.0.1:%s\nconnect = %s\ncert = %s/pair.pem\n", clientPort, to, serverPort, receiver, dir)
	for name, data := range map[string][]byte{"pair.pem": pair, "conf": []byte(conf)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log safeBuffer
	cmd := exec.Command("stunnel4", filepath.Join(dir, "conf"))
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("stunnel's log:\n%s", log.String())
		}
	})
	testkit.Eventually(t, 10*time.Second, func() string {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+clientPort, time.Second)
		if err != nil {
			return err.Error() + "\n" + log.String()
		}
		conn.Close()
		return ""
	})
}
