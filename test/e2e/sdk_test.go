//go:build e2e

package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// Our own SDK, loaded from the server by a page of another one: what it publishes goes on to an RTMP server and is played; lost
// sockets are opened anew, and the streams go on where the server kept them and come back where it did not.
func TestSDK(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	b := startBrowser(t, "sdk.mjs", s.page, "--socket", s.socket, "--name", "own-sdk", "--rtmp", receiver.URL("live"))

	live := b.await("live").Displayed
	if live["publisher"] != "PUBLISHING" || live["player"] != "PENDING PLAYING" || live["data"] != `[{"count":23}]` {
		t.Errorf("before the loss: %v", live)
	}
	receiver.Wait(t, "pictures and sound", func() bool {
		return lastPicture(receiver) > time.Second && lastSound(receiver) > time.Second
	})

	kept := b.await("kept").Displayed
	if kept["publisher"] != "PUBLISHING RESTORING PUBLISHING" || kept["player"] != "PENDING PLAYING RESTORING PLAYING" ||
		!strings.HasSuffix(kept["session"], "ESTABLISHED RECONNECTING ESTABLISHED") || kept["sameIds"] != "true" || kept["videos"] != "2" {
		t.Errorf("after the server kept the session: %v", kept)
	}
	at := lastPicture(receiver)
	receiver.Wait(t, "pictures after the loss", func() bool { return lastPicture(receiver) > at+time.Second })
	if n := strings.Count(strings.Join(receiver.Calls(), " "), "publish"); n != 1 {
		t.Errorf("the far end was published to %d times: %v", n, receiver.Calls())
	}

	restored := b.await("restored").Displayed
	if restored["now"] != "ESTABLISHED PUBLISHING PLAYING" || restored["errors"] != "" || restored["sameIds"] != "false" ||
		!slices.Contains(strings.Fields(restored["player"]), "RESTORING") || restored["videos"] != "3" {
		t.Errorf("after the streams came back: %v", restored)
	}

	stopped := b.stop()
	if stopped.Displayed["now"] != "DISCONNECTED UNPUBLISHED STOPPED" || stopped.Displayed["videos"] != "0" || len(stopped.ConsoleErrors) > 0 {
		t.Errorf("after the end: %v, errors %v", stopped.Displayed, stopped.ConsoleErrors)
	}
}

// scriptBuild is the SDK for script tags, seen from browser/.
var scriptBuild = filepath.Join("..", "..", "..", "web", "dist", "sdk", "flashphoner.js")

// The vendor's example page with one script tag changed to ours.
func TestSDKSwitched(t *testing.T) {
	s := startServer(t)
	b := startBrowser(t, "publish-sdk-example.mjs", s.socket, "--name", "switched", "--rtmp", s.rtmp, "--sdk", scriptBuild)
	live := b.await("live")
	s.waitPush("switched", "PUBLISHING")
	judge(t, capture(t, s.rtmp+"/rtmp_switched"), expectation{seconds: 10, tone: true})
	if player := live.Displayed["player"]; player != s.rtmp+"/rtmp_switched" {
		t.Errorf("the page says that it plays at %q", player)
	}
	if stopped := b.stop(); len(stopped.ConsoleErrors) > 0 {
		t.Errorf("the page complains: %v", stopped.ConsoleErrors)
	}
}

// The vendor's own tests with our script in place of theirs: what is not about Flash or rooms passes, two cases more than theirs has.
func TestSDKSuite(t *testing.T) {
	missing := maps.Clone(hopeless)
	maps.DeleteFunc(missing, func(_, reason string) bool { return reason != "no room API" && reason != "there is no Flash" })
	runSuite(t, missing, 35, 26, "--sdk", scriptBuild)
}

// Our examples: by keyboard, in every look, checked for accessibility.
func TestSDKExamples(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	args := []string{s.page, "--name", "example", "--rtmp", receiver.URL("live")}
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		args = append(args, "--screenshot", filepath.Join(folder, "example.png"))
	}
	b := startBrowser(t, "sdk-examples.mjs", args...)
	live := b.await("live").Displayed
	if live["state"] != "Live." || live["command"] != "ffplay "+receiver.URL("live")+"/rtmp_example-rtmp" {
		t.Errorf("the page shows %v", live)
	}
	receiver.Wait(t, "pictures and sound", func() bool {
		return lastPicture(receiver) > time.Second && lastSound(receiver) > time.Second
	})
	if stopped := b.stop(); len(stopped.ConsoleErrors) > 0 {
		t.Errorf("the pages complain: %v", stopped.ConsoleErrors)
	}
}

// Two pages call each other by our SDK with calls, without a SIP server: they see and hear each other, hold, and hang up.
func TestSDKCalls(t *testing.T) {
	t.Parallel()
	s := startServer(t, "enable_local_videochat=true")
	b := startBrowser(t, "sdk-calls.mjs", s.page)
	talking := b.await("talking").Displayed
	if talking["caller"] != "PENDING TRYING RING ESTABLISHED" || talking["callee"] != "PENDING ESTABLISHED" || talking["visible"] != "Ann" {
		t.Errorf("after the answer: %v", talking)
	}
	held := b.await("held").Displayed
	if !strings.HasSuffix(held["caller"], " HOLD ESTABLISHED") {
		t.Errorf("after hold and return: %v", held)
	}
	stopped := b.stop()
	if !strings.HasSuffix(stopped.Displayed["caller"], " FINISH") || !strings.HasSuffix(stopped.Displayed["callee"], " FINISH") || len(stopped.ConsoleErrors) > 0 {
		t.Errorf("after the end: %v, errors %v", stopped.Displayed, stopped.ConsoleErrors)
	}
}
