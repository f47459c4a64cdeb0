//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// One stream goes from the studio to two servers at once while a third refuses it. One of the two is muted there; the other is
// stopped from the console, and the first goes on.
func TestStudioAndConsole(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	stopped, muted := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	refusing := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName"})
	targets := []string{stopped.URL("live"), muted.URL("live"), refusing.URL("live")}

	studio := startBrowser(t, "studio.mjs", s.page, "--name", "show", "--rtmp", strings.Join(targets, ","), "--refused", "3")
	live := studio.await("live").Displayed
	for id, want := range map[string]string{
		"state":     "Live on 2 of 3 destinations",
		"state-1":   "Live",
		"state-2":   "Live",
		"state-3":   "Not live",
		"failure-3": "name or key is in use",
		"picture":   "×",
		"loss":      "%",
	} {
		if !strings.Contains(live[id], want) {
			t.Errorf("the studio shows %s = %q, want %q in it", id, live[id], want)
		}
	}

	studio.tell("mute 2")
	studio.await("muted")
	from := lastSound(muted) + 300*time.Millisecond
	muted.Wait(t, "two seconds of sound", func() bool { return lastSound(muted) > from+2*time.Second })
	until := lastSound(muted)
	if loudest := loudness(t, muted, from, until); loudest > 0.001 {
		t.Errorf("the muted destination hears a peak of %.4f", loudest)
	}
	if loudest := loudness(t, stopped, from, until); loudest < 0.01 {
		t.Errorf("the other destination hears a peak of %.4f, want a tone", loudest)
	}

	// A stream key that is not written as the far end is told it.
	const key = "sesame%2Dkey?sign=sesame"
	body := map[string]any{"streamName": "show", "rtmpUrl": muted.URL("live/" + key), "rtmpTransponderFullUrl": true}
	if code := s.post("/push/startup", body, nil); code != 200 {
		t.Fatalf("startup answers %d", code)
	}
	host := hostOf(t, targets[0])
	console := startBrowser(t, "console.mjs", s.page+"console", "--pushes", "3", "--stop", host, "--secret", "sesame")
	seen := console.await("seen").Displayed
	for id, want := range map[string]string{
		"pushes":     host + "/live/rtmp_show",
		"streams":    "Published show WHIP",
		"history":    "in use",
		"push-count": "3 of 3",
	} {
		if !strings.Contains(seen[id], want) {
			t.Errorf("the console shows %s = %q, want %q in it", id, seen[id], want)
		}
	}
	if after := console.await("stopped").Displayed; !strings.Contains(after["history"], "Somebody ended this push") {
		t.Errorf("the console's history is %q", after["history"])
	}

	studio.tell("ended 1")
	ended := studio.await("ended").Displayed
	if want := "Live on 1 of 3 destinations"; ended["state"] != want || !strings.Contains(ended["failure-1"], "Somebody ended") {
		t.Errorf("the studio shows %q and %q, want %q and who ended it", ended["state"], ended["failure-1"], want)
	}
	studio.stop()
	testkit.Eventually(t, 10*time.Second, func() string {
		if code := s.post("/push/find", struct{}{}, nil); code != 404 {
			return "a push is still there"
		}
		return ""
	})
}

// On a server that asks everybody who he is, an administrator sets up a user, a key, a destination and an app, and the user goes live to the
// destination, whose stream key nobody sees. When the login of the user is ended, the show goes on; when the user is removed, it is over.
func TestAccessPages(t *testing.T) {
	t.Parallel()
	const password, key = "tahini-and-sesame-17", "halva-key-0815"
	far := testkit.NewRTMPServer(t, testkit.Script{})
	s := startServerIn(t, []string{"TRANSPONDER_ADMIN_PASSWORD=" + password}, "access=closed")
	b := startBrowser(t, "access.mjs", s.page, "--password", password, "--rtmp", far.URL("live/"+key))
	b.await("live")
	far.Wait(t, "two seconds of sound", func() bool { return lastSound(far) > 2*time.Second })
	do := func(task string) map[string]string {
		b.say(task)
		return b.await("done").Displayed
	}
	if shown := do("sign out"); !strings.Contains(shown["#state"], "Live on out") {
		t.Errorf("after the login has ended, the studio shows %q", shown["#state"])
	}
	until := lastSound(far)
	far.Wait(t, "the show goes on", func() bool { return lastSound(far) > until+2*time.Second })
	do("sign in")
	do("remove")
	b.stop()
	for _, secret := range []string{key, password} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// A token that the settings demand of WHIP does not keep the studio out: it publishes with a token of its own.
func TestStudioWithWHIPToken(t *testing.T) {
	t.Parallel()
	s := startServer(t, "whip_token=sesame-and-tahini-17")
	b := startBrowser(t, "publish-page.mjs", s.page, "--name", "camera", "--rtmp", s.rtmp)
	b.await("live")
	s.waitPush("camera", "PUBLISHING")
	b.stop()
}

// loudness is the peak of what a server received between two times.
func loudness(t *testing.T, s *testkit.RTMPServer, from, until time.Duration) float64 {
	t.Helper()
	tags := slices.DeleteFunc(slices.Clone(s.Tags()), func(tag testkit.Tag) bool {
		return tag.Video || tag.Header || tag.Time < from || tag.Time > until
	})
	if len(tags) == 0 {
		t.Fatal("no sound arrived in that time")
	}
	var loudest float64
	for _, x := range decodeAAC(t, tags)[2*1024:] { // the decoder needs a packet to begin
		loudest = max(loudest, math.Abs(float64(x)))
	}
	return loudest
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// tell gives a script that listens for it something to do.
func (b *browser) tell(task string) {
	b.t.Helper()
	if _, err := fmt.Fprintln(b.stdin, task); err != nil {
		b.t.Fatal(err)
	}
}
