//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"transponder/internal/testkit/phone"
)

// The console shows a call with its figures, sends digits that the phone hears, and hangs up.
func TestConsoleCalls(t *testing.T) {
	t.Parallel()
	s := startSIP(t)
	k := talking(t, s, nil)
	var found []struct{ Callee string }
	k.find("/call/find", map[string]string{"callId": k.id}, &found)
	if len(found) != 1 {
		t.Fatalf("found %+v", found)
	}
	b := startBrowser(t, "console-calls.mjs", s.page+"console", "--callee", found[0].Callee)
	b.await("dialled")
	k.audio.Wait("the digits 12#", func() bool { return len(phone.Digits(k.audio.Packets(), k.call.Events)) == 3 })
	b.say("go on")
	k.phone.Reply(k.call.Await("BYE"), phone.Reply{Code: 200})
	if shown := b.await("ended").Displayed["call"]; !strings.Contains(shown, "Somebody hung up.") {
		t.Errorf("the console shows %q", shown)
	}
}
