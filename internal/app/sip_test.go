package app

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"transponder/internal/config"
	"transponder/internal/testkit"
)

// ask returns the answer to a GET request to the HTTP port.
func (a *App) ask(t *testing.T, path string) (code int, body string) {
	t.Helper()
	_, port, err := net.SplitHostPort(a.http.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://localhost:" + port + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestCallsSwitchedOnAndOff(t *testing.T) {
	for setting, want := range map[string]int{"sip_enabled=true": http.StatusNotFound, "sip_enabled=false": http.StatusNotImplemented} {
		a := runApp(t, setting)
		if code, body := a.ask(t, "/rest-api/call/find_all"); code != want {
			t.Errorf("%s: find_all = %d %s, want %d", setting, code, body, want)
		}
		if code, body := a.ask(t, "/health/ready"); code != http.StatusOK || body != "ready\n" {
			t.Errorf("%s: ready = %d %q", setting, code, body)
		}
	}
}

// A registration that the SIP server does not accept shows in health and in the metrics. The server is ready for other work.
func TestRegistrationThatIsDown(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a := runApp(t, "sip_port=0", "sip_account_login=studio", "sip_account_domain="+silent.LocalAddr().String(), "sip_open_rest=true",
		"sip_incoming_stream=phone-{caller}")
	testkit.Eventually(t, 5*time.Second, func() string {
		if code, body := a.ask(t, "/health/ready"); code != http.StatusOK || body != "ready\n0 of 1 SIP registrations are up\n" {
			return fmt.Sprintf("ready = %d %q", code, body)
		}
		return ""
	})
	_, text := a.ask(t, "/metrics")
	for _, want := range []string{`transponder_sip_registrations{state="wanted"} 1`, `transponder_sip_registrations{state="up"} 0`} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// A SIP port that is in use keeps the server from starting, and the error names the setting that helps.
func TestSIPPortInUse(t *testing.T) {
	taken, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.LocalAddr().(*net.UDPAddr).Port
	dir := t.TempDir()
	cfg, _, err := config.Load(config.Sources{Set: []string{
		"http.port=0", "https.port=-1", "ws.port=0", "wss.port=-1", "rtmp.port=-1", "media_port_from=0", "tls_dir=" + dir, "media_dir=" + dir, "state_dir=" + dir + "/state",
		"sip_listen=true", fmt.Sprint("sip_port=", port),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("port %d is in use; choose another with --set sip_port=PORT", port)
	if _, err := New(t.Context(), cfg, "test", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the server ended with %v, want %q", err, want)
	}
}
