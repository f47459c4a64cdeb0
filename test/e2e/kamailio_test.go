//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// kamailio is a real registrar and proxy. Each user's password is 1234. It demands a login for REGISTER and INVITE, records its route, and
// grants registrations 30 to 60 s.
type kamailio struct {
	t      *testing.T
	port   string
	cmd    *exec.Cmd
	log    safeBuffer
	exited chan struct{}
}

// There is no alias: with one, contacts on 127.0.0.1 count as the proxy itself, and ACK and BYE are lost.
const kamailioConfig = `
debug=2
log_stderror=yes
fork=no
children=2
listen=udp:127.0.0.1:PORT
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "xlog.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 60)
modparam("registrar", "min_expires", 30)
request_route {
	if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	if (has_totag()) {
		if (loose_route()) { t_relay(); exit; }
		if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
		sl_send_reply("404", "Not Here");
		exit;
	}
	if (is_method("INVITE")) record_route();
	if (is_method("REGISTER")) {
		if (!pv_www_authenticate("$td", "1234", "0")) { www_challenge("$td", "1"); exit; }
		xlog("L_WARN", "REGISTERED $tu contact $ct expires $hdr(Expires)\n");
		save("location");
		exit;
	}
	if (is_method("INVITE")) {
		if (!pv_proxy_authenticate("$fd", "1234", "0")) { proxy_challenge("$fd", "1"); exit; }
		consume_credentials();
	}
	if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
	t_relay();
}
`

// startKamailio runs one until the test ends.
func startKamailio(t *testing.T) *kamailio {
	t.Helper()
	return startKamailioWith(t, "")
}

// startKamailioWith runs one that routes requests which begin a call by more lines, before its own.
func startKamailioWith(t *testing.T, route string) *kamailio {
	t.Helper()
	k := &kamailio{t: t, port: testkit.FreePort(t), exited: make(chan struct{})}
	dir := t.TempDir()
	file := filepath.Join(dir, "kamailio.cfg")
	const own = "	if (is_method(\"INVITE\")) record_route();\n"
	config := strings.NewReplacer("PORT", k.port, own, route+own).Replace(kamailioConfig)
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	// -Y: the folder of its sockets; small memory is enough.
	k.cmd = exec.Command("kamailio", "-f", file, "-Y", dir, "-w", dir, "-m", "32", "-M", "8", "-n", "2")
	k.cmd.Stdout, k.cmd.Stderr = &k.log, &k.log
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(k.exited)
		k.cmd.Wait()
	}()
	t.Cleanup(func() {
		k.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-k.exited:
		case <-time.After(5 * time.Second):
			k.cmd.Process.Kill()
			<-k.exited
		}
		if t.Failed() {
			t.Logf("kamailio log:\n%s", k.log.String())
		}
	})
	probe := phone.New(t, phone.Config{})
	to := "sip:nobody@127.0.0.1:" + k.port
	testkit.Eventually(t, 15*time.Second, func() string {
		d := probe.Calling(to, probe.PeerOf(to))
		d.Send("OPTIONS", "", "")
		if _, err := probe.Find("404 OPTIONS", d.CallID, 300*time.Millisecond); err != nil {
			return "kamailio does not answer: " + err.Error() + "\n" + k.log.String()
		}
		return ""
	})
	return k
}

// awaitRegistered waits until a user has registered, n times at least.
func (k *kamailio) awaitRegistered(user string, n int) {
	k.t.Helper()
	testkit.Eventually(k.t, 20*time.Second, func() string {
		if got := strings.Count(k.log.String(), "REGISTERED sip:"+user+"@"); got < n {
			return fmt.Sprintf("%s has registered %d times, want %d", user, got, n)
		}
		return ""
	})
}
