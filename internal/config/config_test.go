package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"transponder/internal/access/auth"
)

const manual = "../../flashphoner.properties"

// The shipped file is the manual: it has every setting, with the default.
func TestManual(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	want := Default().Properties()
	slices.Sort(lines)
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		for _, line := range want {
			if !slices.Contains(lines, line) {
				t.Errorf("the file lacks %s", line)
			}
		}
		for _, line := range lines {
			if !slices.Contains(want, line) {
				t.Errorf("the file has %s, which is no default", line)
			}
		}
	}
	loaded, warnings, err := Load(Sources{File: manual})
	if err != nil || len(warnings) > 0 {
		t.Errorf("loading it: %q, %v", warnings, err)
	}
	if !reflect.DeepEqual(loaded, Default()) {
		t.Error("loading it changes something")
	}
}

func TestDefaultsAreValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// The defaults are complete before anybody validates them.
func TestDefaultsAreComplete(t *testing.T) {
	c := Default()
	if err := c.derive(); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("derived: %+v, want %+v", c, Default())
	}
	if c.Push.Targets.Check("", netip.MustParseAddrPort("169.254.169.254:1935")) == nil {
		t.Error("a push may go to a cloud's metadata")
	}
}

// Load derives: the rules, the authorities, and the values that two parts share.
func TestLoadDerives(t *testing.T) {
	c, _, err := Load(Sources{Set: []string{
		"push_deny=192.0.2.0/24", "rtmps_ca_file=" + authority(t), "webrtc_connect_timeout_ms=7000", "rtp_video_orientation=true",
		"rtmp_push_audio_bitrate_kbps=64", "rtmp_push_audio_fast_aac=false", "webrtc_silence_timeout_ms=9000",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"rule":           c.Push.Targets.Check("", netip.MustParseAddrPort("192.0.2.1:1935")) != nil,
		"authority":      c.Push.RootCAs != nil,
		"players":        c.Egress.ConnectTimeout == 7*time.Second,
		"both receivers": c.Lean.Orientation && c.Lean.Expiry == 9*time.Second && c.Pion.Expiry == 9*time.Second,
		"sound files":    c.Sounds.RateBPS == 64_000 && !c.Sounds.FastAAC,
	} {
		if !ok {
			t.Errorf("%s: not so in %+v", name, c)
		}
	}
}

// Validate changes nothing and reads no file, however often it is called.
func TestValidateHasNoEffect(t *testing.T) {
	file := authority(t)
	settings := Sources{Set: []string{"push_deny=192.0.2.0/24", "rtmps_ca_file=" + file, "rtp_video_orientation=true"}}
	c, _, err := Load(settings)
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := Load(settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Validate(); err != nil {
			t.Errorf("the authorities' file is gone: %v", err)
		}
	}
	if !c.Push.RootCAs.Equal(before.Push.RootCAs) {
		t.Error("validating changes the authorities")
	}
	c.Push.RootCAs, before.Push.RootCAs = nil, nil // compared above; they hold functions
	if !reflect.DeepEqual(c, before) {
		t.Errorf("validated: %+v, want %+v", c, before)
	}
}

// authority writes a certificate to a file.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flashphoner.properties")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoad(t *testing.T) {
	file := write(t, `
# a comment
! another
http.port = 9001
ws.port: 9002
rtmp_transponder_stream_name_prefix=
rtmp_flash_ver_subscriber = LNX 76.219.189.0
rtp_activity_detecting=true,30
ip=192.0.2.1, 2001:db8::1
disable_rest_auth=false
rest_users_file=${HOME}/users
ws_allowed_origins=example.com, *.example.org
rtmp_push_audio_bitrate_kbps=96
periodic_fir_request_interval=5000
http.port = 9003
`)
	c, warnings, err := Load(Sources{
		File:    file,
		Environ: []string{"PATH=/bin", "TRANSPONDER_WS_PORT=9102", "TRANSPONDER_RTMP_PORT=-1"},
		Set:     []string{"rtmp.port=9203", "rtmp_publisher_ip=127.0.0.1"},
	})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%q, %v", warnings, err)
	}
	for name, ok := range map[string]bool{
		"the last of two lines counts":   c.Listen.HTTP == 9003,
		"the environment beats the file": c.Listen.WS == 9102,
		"--set beats the environment":    c.Listen.RTMP == 9203,
		"empty prefix":                   c.Push.NamePrefix == "",
		"flash version":                  c.Push.FlashVersion == "LNX 76.219.189.0",
		"activity":                       c.Ingest.ActivityTimeout == 30*time.Second,
		"addresses":                      len(c.Media.Addresses) == 2 && c.Media.Addresses[1].Is6(),
		"a password for REST":            c.REST.Auth && c.Access.REST == auth.RESTClosed,
		"nothing is expanded":            c.People.UsersFile == "${HOME}/users",
		"list":                           slices.Equal(c.WCS.Origins, []string{"example.com", "*.example.org"}),
		"kbit/s":                         c.Audio.RateBPS == 96_000,
		"milliseconds":                   c.Stream.KeyFrameInterval == 5*time.Second,
		"local address":                  c.Push.LocalAddr.String() == "127.0.0.1",
		"what is not named is untouched": c.Listen.HTTPS == 8444,
	} {
		if !ok {
			t.Errorf("%s: not so in %+v", name, c)
		}
	}
}

// Load reads what Properties writes.
func TestPropertiesRoundTrip(t *testing.T) {
	changed, _, err := Load(Sources{Set: []string{
		"http.port=1", "ip=192.0.2.1,192.0.2.2", "rtp_activity_detecting=true,7", "disable_rest_auth=false", "rest_users_file=/x",
		"rtmp_publisher_ip=::1", "rtmp_push_audio_bitrate_kbps=64", "log_level=debug", "ws_allowed_origins=a,b",
	}})
	if err != nil {
		t.Fatal(err)
	}
	again, warnings, err := Load(Sources{File: write(t, strings.Join(changed.Properties(), "\n"))})
	if err != nil || len(warnings) > 0 || !reflect.DeepEqual(again, changed) {
		t.Errorf("%+v, %q, %v; want %+v", again, warnings, err, changed)
	}
}

// FuzzProperties holds that reading what Properties writes gives the same settings, for every value of every setting.
func FuzzProperties(f *testing.F) {
	settings := (&Config{}).settings()
	for i, s := range settings {
		f.Add(uint(i), Default().Properties()[i][len(s.key)+1:])
		for _, value := range []string{`C:\new\table`, "a\nb=c", "= x", ": x", "# x", "!\t\f\r\x00 é", `\`, "true,7", "false,0", "a,,b", "::1, 10.0.0.1/8", "-1", "x y"} {
			f.Add(uint(i), value)
		}
	}
	f.Fuzz(func(t *testing.T, i uint, value string) {
		i %= uint(len(settings))
		changed := Default()
		if s := changed.settings()[i]; !utf8.ValidString(value) || s.set(strings.TrimSpace(value)) != nil {
			t.Skip()
		}
		lines := changed.Properties()
		again := Default()
		l := loader{settings: again.settings()}
		l.read("file", []byte(strings.Join(lines[max(i, 1)-1:min(i+2, uint(len(lines)))], "\n"))) // with its neighbours, which it must not swallow
		if err := errors.Join(l.faults...); err != nil || len(l.warnings) > 0 || !reflect.DeepEqual(again, changed) {
			t.Errorf("%q: %v %q\n%q\n%q", value, err, l.warnings, again.Properties(), changed.Properties())
		}
	})
}

func TestLoadWarns(t *testing.T) {
	file := write(t, "http.prot=1\nmixer_auto_start=true\nzzzzzzzzzzzz=1\n")
	_, warnings, err := Load(Sources{File: file, Environ: []string{"TRANSPONDER_HTTP_PROT=1"}, Set: []string{"stream_idle_bitrate_monitoring=true"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		file + ":1: unknown setting http.prot, did you mean http.port?",
		file + ":2: mixer_auto_start has no effect: there is no mixer",
		file + ":3: unknown setting zzzzzzzzzzzz",
		"environment: unknown setting TRANSPONDER_HTTP_PROT, did you mean TRANSPONDER_HTTP_PORT?",
		"--set stream_idle_bitrate_monitoring: stream_idle_bitrate_monitoring has no effect: " + notYet,
	} {
		if i >= len(warnings) || warnings[i] != want {
			t.Errorf("warning %d in %q, want %q", i, warnings, want)
		}
	}
	if len(warnings) != 5 {
		t.Errorf("%d warnings, want 5", len(warnings))
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"no number", "http.port=http", `:1: http.port must be a whole number from -1 to 65535, not "http"`},
		{"too large", "http.port=65536", "must be a whole number"},
		{"no switch", "rtmp_transponder_full_url=yes", `must be true or false, not "yes"`},
		{"no address", "rtmp_publisher_ip=localhost", "must be an IP address"},
		{"no addresses", "ip=192.0.2.1,host", `must be IP addresses, not "host"`},
		{"activity", "rtp_activity_detecting=60", `must look like "true,60"`},
		{"activity seconds", "rtp_activity_detecting=true,many", `must look like "true,60"`},
		{"level", "log_level=loud", "log_level must be debug, info, warn or error"},
		{"time below zero", "rtmp_push_connect_timeout_ms=-1", "must be a whole number"},
		{"a time of nothing", "rtmp_push_connect_timeout_ms=0", "must be a whole number from 1 to 86400000"},
		{"half a certificate", "tls_cert_file=x", "set both or none"},
		{"a mode that there is not", "access=shut", "auto, closed or open"},
		{"access that contradicts itself", "access=closed\ndisable_rest_auth=true", "remove one of them"},
		{"strangers in a closed server", "access=closed\nanonymous=play", "anonymous"},
		{"a word for strangers", "anonymous=publish,watch", "watch"},
		{"a role that there is not", "tls_client_roles=CN=ops:king", "king"},
		{"a certificate's name", "tls_client_roles=ops:admin", "CN=ops:admin"},
		{"a short password", "admin_password=short", "admin_password: it must have at least 8 bytes"},
		{"bit rate", "rtmp_push_audio_bitrate_kbps=1000", "whole number from 16 to 512"},
		{"restore attempts", "rtmp_push_restore_attempts=many", "whole number"},
		{"automatic pushes to nowhere", "rtmp_push_auto_start=true", "rtmp_push_auto_start_url"},
		{"automatic pushes to no address", "rtmp_push_auto_start=true\nrtmp_push_auto_start_url=http://h", "rtmp://"},
		{"a rule that is none", "push_deny=10.0.0.0/99", "push targets"},
		{"a hook that is no address", "push_hook_url=ftp://h", "push_hook_url"},
		{"rules of calls that are none", "sip_allowed_hosts=10.0.0.0/99", "sip_allowed_hosts"},
		{"no regular expression", "sip_denied_callees=(", "sip_denied_callees"},
		{"too short a session", "sip_session_expires=89", "sip_session_expires"},
		{"no way to send digits", "dtmf=shout", "dtmf must be rfc2833, info or info_relay"},
		{"half an account", "sip_account_login=ann", "go together"},
		{"a password for no account", "sip_account_password_file=x", "sip_account_password_file"},
		{"calls of everybody", "disable_rest_auth=true\nsip_account_login=ann\nsip_account_domain=example.com", "sip_open_rest=true"},
		{"pages that call at nobody's cost", "sip_click_to_call_callee=bob", "needs sip_account_login"},
		{"one stream for all calls", "sip_incoming_stream=door", "{user} or {caller}"},
		{"no room for a call", "port_from=30000\nport_to=30001", "no room for a call"},
		{"circular or broken escape", `ip=\u12`, "invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load(Sources{File: write(t, tt.line)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q in it", tt.line, err, tt.want)
			}
		})
	}
	if _, _, err := Load(Sources{File: "no such file"}); err == nil {
		t.Error("a file that is not there is no error")
	}
	if _, _, err := Load(Sources{Set: []string{"http.port"}}); err == nil || !strings.Contains(err.Error(), "key=value") {
		t.Errorf("--set without a value: %v", err)
	}
	_, _, err := Load(Sources{Set: []string{"http.port=x", "ws.port=y"}})
	if err == nil || !strings.Contains(err.Error(), "http.port") || !strings.Contains(err.Error(), "ws.port") {
		t.Errorf("%v, want both faults named", err)
	}
	_, warnings, err := Load(Sources{File: write(t, "http.port=eighty\naccess=opne\nmedai_dir=x")}) // of three kinds
	if err == nil || !strings.Contains(err.Error(), `"eighty"`) || !strings.Contains(err.Error(), "opne") {
		t.Errorf("%v, want both faults named", err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "media_dir") {
		t.Errorf("warnings %q, want one with the nearest key", warnings)
	}
}

// The account of the server has its password from a file, and the parts that call by it have the same account. It is in no printed config.
func TestServerAccount(t *testing.T) {
	file := write(t, "of ann\nmore")
	c, warnings, err := Load(Sources{Set: []string{
		"sip_account_login=ann", "sip_account_domain=example.com", "sip_account_password_file=" + file, "sip_open_rest=true",
		"sip_click_to_call_callee=100", "ip=192.0.2.1", "rtp_activity_detecting=true,7", "push_deny=192.0.2.0/24", "sip_allowed_hosts=*.example.com",
	}})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%q, %v", warnings, err)
	}
	account := c.WCS.ClickToCall.Account
	if account.Login != "ann" || account.Password != "of ann" || account != c.SIP.Account.Account() || c.WCS.ClickToCall.Callee != "100" {
		t.Errorf("the account is %+v", c.SIP.Account)
	}
	for name, ok := range map[string]bool{
		"external address": slices.Equal(c.SIP.Line.External, c.Media.Addresses),
		"activity":         c.SIP.Leg.Activity == 7*time.Second,
		"denied":           c.SIP.Targets.Check("a.example.com", netip.MustParseAddrPort("192.0.2.1:5060")) != nil,
		"not allowed":      c.SIP.Targets.Check("example.org", netip.MustParseAddrPort("198.51.100.1:5060")) != nil,
		"allowed":          c.SIP.Targets.Check("a.example.com", netip.MustParseAddrPort("198.51.100.1:5060")) == nil,
	} {
		if !ok {
			t.Errorf("%s: not so in %+v", name, c.SIP)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", c, c, c, strings.Join(c.Properties(), "\n")); strings.Contains(text, "of ann") {
		t.Error("the password is printed")
	}
	if _, _, err := Load(Sources{Set: []string{"sip_account_login=a", "sip_account_domain=b", "sip_open_rest=true", "sip_account_password_file=none"}}); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func TestActivityOff(t *testing.T) {
	c, _, err := Load(Sources{Set: []string{"rtp_activity_detecting=false"}})
	if err != nil || c.Ingest.ActivityTimeout != 0 {
		t.Errorf("timeout %v, %v; want none", c.Ingest.ActivityTimeout, err)
	}
}

// Every default, as Properties writes it, can be set on the command line and in the environment. No setting is in the list of keys without
// effect.
func TestSettings(t *testing.T) {
	for _, line := range Default().Properties() {
		if _, warnings, err := Load(Sources{Set: []string{line}}); err != nil || len(warnings) > 0 {
			t.Errorf("--set %s: %q, %v", line, warnings, err)
		}
		key, value, _ := strings.Cut(line, "=")
		if _, warnings, err := Load(Sources{Environ: []string{envName(key) + "=" + value}}); err != nil || len(warnings) > 0 {
			t.Errorf("%s=%s: %q, %v", envName(key), value, warnings, err)
		}
		if _, both := withoutEffect[key]; both {
			t.Errorf("%s is a setting and has no effect", key)
		}
	}
}
