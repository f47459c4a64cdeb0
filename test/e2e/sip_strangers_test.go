//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// soak says whether the tests run in full size.
func soak() bool { return os.Getenv("TRANSPONDER_SOAK") != "" }

// floodSources is how many addresses flood the server.
func floodSources() int {
	if soak() {
		return 10_000
	}
	return 1_000
}

// Strangers get no byte, whatever they ask for, and a flood of them costs neither memory nor a packet of a call.
func TestSIPStrangers(t *testing.T) {
	t.Parallel()
	s := startSIP(t)
	k := talking(t, s, nil)
	server, err := netip.ParseAddrPort("127.0.0.1:" + s.sipPort)
	if err != nil {
		t.Fatal(err)
	}
	lost := k.await("ESTABLISHED").PacketsLost
	stranger := phone.New(t, phone.Config{Host: "127.0.0.9"})
	d := stranger.Calling("sip:alice@"+server.String(), server)
	offer := phone.Offer(phone.NewStream(t), nil)
	for _, method := range []string{"OPTIONS", "REGISTER", "BYE", "SUBSCRIBE", "MESSAGE", "NONSENSE"} {
		d.Send(method, "", "")
	}
	d.Send("INVITE", "", offer)
	forged := *k.call.Dialog // a BYE of the call itself, from an address that it never had
	forged.Phone = stranger
	forged.Send("BYE", "", "")
	guess := *d
	guess.CallID = k.call.CallID // the Call-ID alone is no proof
	guess.Send("BYE", "", "")
	for _, raw := range []string{"", "\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "INVITE sip:a SIP/2.0\r\n\r\n", strings.Repeat("A", 60000)} {
		if err := stranger.SendRaw(server, []byte(raw)); err != nil {
			t.Error(err)
		}
	}
	flood(t, server, stranger.Addr().Port(), 2, 300) // what the first strangers cost is not counted
	before := memoryOf(t, s)
	flood(t, server, stranger.Addr().Port(), 1, floodSources())
	k.awaitPictures(50)
	time.Sleep(time.Second)
	if n := len(stranger.All()) + len(stranger.Faults()); n != 0 {
		t.Errorf("the stranger got %d messages: %s", n, stranger.Story())
	}
	found := k.await("ESTABLISHED")
	if found.PacketsLost != lost {
		t.Errorf("the call lost %d packets", found.PacketsLost-lost)
	}
	if missing := judgeUntouched(t, k.receiver.Tags(), k.picture.Sent()); missing != 0 {
		t.Errorf("%d pictures are missing", missing)
	}
	// The server collects its garbage now and then: what it keeps is what counts.
	testkit.Eventually(t, 20*time.Second, func() string {
		if after := memoryOf(t, s); after > before+2<<20 {
			return fmt.Sprintf("memory grew from %d kB to %d kB", before>>10, after>>10)
		}
		return ""
	})
	t.Logf("memory: %d kB before %d sources, %d kB after", before>>10, floodSources(), memoryOf(t, s)>>10)
	if n := s.metric(t, "transponder_sip_messages_dropped_total", ""); n < float64(floodSources()) {
		t.Errorf("%v messages of strangers are counted, want most of %d", n, 10*floodSources())
	}
	if lines := strings.Count(s.log.String(), "stranger"); lines > 20 {
		t.Errorf("%d lines of the log are about strangers", lines)
	}
}

// flood sends ten requests from each of so many addresses of a network 127.net.
func flood(t *testing.T, server netip.AddrPort, port uint16, network byte, sources int) {
	t.Helper()
	for i := range sources {
		from := net.IPv4(127, network, byte(i>>8), byte(i))
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: from, Port: int(port)})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 10 {
			method := []string{"INVITE", "OPTIONS", "REGISTER"}[n%3]
			request := fmt.Sprintf("%s sip:%d@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%d;branch=z9hG4bK%d.%d;rport\r\nMax-Forwards: 70\r\n"+
				"From: <sip:x@%s>;tag=%d\r\nTo: <sip:%d@%s>\r\nCall-ID: %d-%d\r\nCSeq: 1 %s\r\nContact: <sip:x@%s:%d>\r\nContent-Length: 0\r\n\r\n",
				method, n, server, from, port, i, n, from, n, n, server, i, n, method, from, port)
			if _, err := conn.WriteToUDPAddrPort([]byte(request), server); err != nil {
				t.Fatal(err)
			}
		}
		conn.SetReadDeadline(time.Now().Add(time.Microsecond))
		if got, _ := conn.Read(make([]byte, 2000)); got > 0 {
			t.Errorf("%v got %d bytes", from, got)
		}
		conn.Close()
		if i%50 == 49 {
			time.Sleep(10 * time.Millisecond) // the flood shall be read, not dropped by the kernel
		}
	}
}

// memoryOf returns the server's resident memory in bytes.
func memoryOf(t *testing.T, s *server) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kB := 0
	fmt.Sscan(rest, &kB)
	return kB << 10
}

// What the policy forbids is refused before a packet is sent, and the log says it.
func TestSIPPolicy(t *testing.T) {
	t.Parallel()
	s := startSIP(t, "push_deny_private=true", `sip_denied_callees=^(00|\+)`)
	p := phone.New(t, phone.Config{})
	good := map[string]any{"callId": "p1", "callee": "sip:bob@192.0.2.7", "sipLogin": "alice", "sipDomain": "192.0.2.7", "toStream": "p1"}
	for name, tt := range map[string]struct {
		field, value string
		code         int
	}{
		"loopback":           {"callee", p.URI(someone()), http.StatusForbidden},
		"headers in the URI": {"callee", "sip:bob@192.0.2.7?Replaces=x", http.StatusBadRequest},
		"line end in callee": {"callee", "bob\r\nRoute: <sip:x>", http.StatusBadRequest},
		"brackets":           {"callee", "<sip:bob@192.0.2.7>", http.StatusBadRequest},
		"long callee":        {"callee", strings.Repeat("b", 300), http.StatusBadRequest},
		"line end in name":   {"visibleName", "Bob\r\nX-Evil: 1", http.StatusBadRequest},
		"line end in login":  {"sipLogin", "a\r\nX: y", http.StatusBadRequest},
		"escaped line end":   {"callee", "sip:bob%0d%0aRoute:x@192.0.2.7", http.StatusBadRequest},
		"denied number":      {"callee", "sip:0%20049@192.0.2.7", http.StatusForbidden},
		"denied, parameter":  {"callee", "sip:00;ext=1@192.0.2.7", http.StatusForbidden},
		"mapped loopback":    {"callee", "sip:bob@[::ffff:127.0.0.1]", http.StatusForbidden},
		"NAT64 loopback":     {"sipOutboundProxy", "[64:ff9b::7f00:1]", http.StatusForbidden},
		"multicast":          {"sipOutboundProxy", "224.0.1.75", http.StatusForbidden},
		"maddr":              {"callee", "sip:bob@192.0.2.7;maddr=127.0.0.1", http.StatusBadRequest},
		"no callId":          {"callId", "", http.StatusBadRequest},
		"no callee":          {"callee", "", http.StatusBadRequest},
		"bad transport":      {"sipTransport", "sctp", http.StatusBadRequest},
		"bad port":           {"sipPort", "70000", http.StatusBadRequest},
		"bad stream":         {"toStream", "a\x01b", http.StatusBadRequest},
	} {
		logged := policyLines(s)
		body := map[string]any{}
		for key, value := range good {
			body[key] = value
		}
		body[tt.field] = tt.value
		code, answer := s.ask(t, "/call/startup", body)
		if code != tt.code && !(code == http.StatusOK && tt.code == http.StatusForbidden) {
			t.Errorf("%s: %d %s, want %d", name, code, answer, tt.code)
		}
		if code == http.StatusOK { // the address is looked up later
			(&scene{t: t, s: s, id: "p1"}).await("FAILED")
		}
		want := 0
		if tt.code == http.StatusForbidden {
			want = 1
		}
		testkit.Eventually(t, 10*time.Second, func() string { // the line may come a little after the answer
			if n := policyLines(s) - logged; n < want {
				return fmt.Sprintf("%s is in the log %d times", name, n)
			}
			return ""
		})
		if n := policyLines(s) - logged; n != want {
			t.Errorf("%s is in the log %d times, want %d", name, n, want)
		}
	}
	time.Sleep(500 * time.Millisecond)
	if n := len(p.All()); n != 0 {
		t.Errorf("the phone got\n%s", p.Story())
	}
}

// policyLines counts the lines of the log about calls that the settings forbid.
func policyLines(s *server) (n int) {
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, `msg="call refused"`) || strings.Contains(line, `msg="call ended"`) && strings.Contains(line, "reason=policy") {
			n++
		}
	}
	return n
}

// Calls that end with the server get BYE or CANCEL, and the password is nowhere.
func TestSIPShutdown(t *testing.T) {
	t.Parallel()
	calls := 24
	if soak() {
		calls = 200
	}
	s := startSIP(t, "sip_max_calls=400")
	goroutines := s.metric(t, "go_goroutines", "")
	descriptors := openFiles(t, s)
	answering := startSIPp(t, "uas", 2*calls)
	ringing := startSIPp(t, strings.Join([]string{
		sippInvite, sippReply("180 Ringing", ""), `<recv request="CANCEL" crlf="true"/>`, sippReply("200 OK", ""),
	}, "\n"), calls/4)
	// First, all calls end while the server lives: it is then as it was.
	dialAll := func(n int, p *sipp) (scenes []*scene) {
		for range n {
			scenes = append(scenes, s.dial(t, p.uri(), map[string]any{"hasVideo": "false", "sipPassword": sipPassword}))
			time.Sleep(10 * time.Second / 200)
		}
		return scenes
	}
	for _, c := range dialAll(calls, answering) {
		c.await("ESTABLISHED")
		c.do("/call/terminate", nil)
	}
	// A call that has ended keeps one goroutine for 32 s, in case of an answer that comes late. A run of full size waits for that.
	limit, kept := 10*time.Second, float64(calls)
	if soak() {
		limit, kept = 60*time.Second, 0
	}
	testkit.Eventually(t, limit, func() string {
		if now := s.metric(t, "go_goroutines", ""); now > goroutines+kept+12 { // 12: HTTP connections of this test
			return fmt.Sprintf("%v goroutines, there were %v", now, goroutines)
		}
		if now := openFiles(t, s); now > descriptors+8 {
			return fmt.Sprintf("%d open files, there were %d", now, descriptors)
		}
		return ""
	})
	// Then, they end with it.
	for _, c := range dialAll(calls, answering) {
		c.await("ESTABLISHED")
	}
	for _, c := range dialAll(calls/4, ringing) {
		c.await("RING")
	}
	registrar := newRegistrar(t)
	registered := s.dial(t, registrar.URI(someone()), map[string]any{
		"hasVideo": "false", "sipRegisterRequired": "true", "sipOutboundProxy": registrar.Addr().String(),
	})
	registered.await("ESTABLISHED")
	_, found := s.ask(t, "/call/find_all", struct{}{})
	metrics := s.metrics()
	s.stop()
	answering.await()
	ringing.await()
	ends := map[string]int{}
	for _, m := range registrar.All() {
		if m.Method == "BYE" || m.Method == "REGISTER" && m.Header("Expires") == "0" {
			ends[m.Method]++
		}
	}
	if ends["BYE"] != 1 || ends["REGISTER"] != 1 {
		t.Errorf("at the end, the registrar got %v, want BYE and the end of the registration", ends)
	}
	for place, text := range map[string]string{"log": s.log.String(), "metrics": metrics, "calls": found} {
		if strings.Contains(text, sipPassword) {
			t.Errorf("the %s show the password", place)
		}
	}
}

// newRegistrar makes a phone that takes registrations, and answers calls and their ends.
func newRegistrar(t *testing.T) *phone.Phone {
	t.Helper()
	var p *phone.Phone
	audio := phone.NewStream(t)
	p = phone.New(t, phone.Config{Handle: func(m *phone.Message) bool {
		switch m.Method {
		case "REGISTER":
			p.TryReply(m, phone.Reply{Code: 200, Contact: m.Header("Contact")})
		case "INVITE":
			p.TryReply(m, phone.Reply{Code: 200, SDP: phone.Describe("127.0.0.1", 1, audio.Section("audio", "RTP/AVP 0"))})
		case "BYE":
			p.TryReply(m, phone.Reply{Code: 200})
		}
		return m.Code == 0
	}})
	return p
}

// openFiles returns how many files and sockets the server has open.
func openFiles(t *testing.T, s *server) int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
