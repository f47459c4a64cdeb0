package admin

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/internal/config"
	"transponder/internal/testkit"
)

// proc makes a folder like /proc, with the given TCP ports that listen, UDP ports, and rmem_max.
func proc(t *testing.T, tcp, udp int, rmem string) string {
	t.Helper()
	dir := t.TempDir()
	const head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
	for name, text := range map[string]string{
		"net/tcp":               head + fmt.Sprintf("   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000\n   1: 0100007F:1F90 0100007F:9999 01 0:0\n", tcp),
		"net/tcp6":              head,
		"net/udp":               head + fmt.Sprintf("  10: 00000000:%04X 00000000:0000 07 00000000:00000000\n", udp),
		"sys/net/core/rmem_max": rmem + "\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// said returns what the doctor says about one thing.
func said(t *testing.T, all []diagnosis, check string) diagnosis {
	t.Helper()
	for _, d := range all {
		if d.Check == check {
			return d
		}
	}
	t.Fatalf("nothing about %s in %+v", check, all)
	return diagnosis{}
}

func TestDoctorOfMachine(t *testing.T) {
	cert, key := testkit.NewAuthority(t).Write(t.TempDir(), x509.Certificate{DNSNames: []string{"live.example"}})
	settings := func(set ...string) config.Config {
		cfg, _, err := config.Load(config.Sources{Set: append([]string{"state_dir=" + t.TempDir()}, set...)})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	busy, free := machine{proc(t, 8081, 31001, "212992"), time.Now()}, machine{proc(t, 9, 9, "8388608"), time.Now()}
	for _, tt := range []struct {
		name          string
		m             machine
		set           []string
		check, result string
		says          string
	}{
		{"a port in use", busy, nil, "port 8081", good, "In use. If that is not this server"},
		{"a free port", busy, nil, "port 8444", good, "Free for https.port"},
		{"a port with a connection from it only", busy, nil, "port 8080", good, "Free"},
		{"the media port in use", busy, nil, "port 31001", good, "set media_port_from"},
		{"a small buffer", busy, nil, "buffers", bad, "sysctl -w net.core.rmem_max=4194304"},
		{"a large buffer", free, nil, "buffers", good, "8388608"},
		{"no table", machine{t.TempDir(), time.Now()}, nil, "ports", unknown, "cannot be read"},
		{"no certificate", free, nil, "certificate", unknown, "browsers warn"},
		{"a certificate that ends soon", free, []string{"tls_cert_file=" + cert, "tls_key_file=" + key}, "certificate", bad, "live.example"},
		{"a certificate that is over", machine{free.proc, time.Now().Add(365 * 24 * time.Hour)}, []string{"tls_cert_file=" + cert, "tls_key_file=" + key}, "certificate", bad, "replace it"},
		{"a certificate that is good", machine{free.proc, time.Now().Add(-30 * 24 * time.Hour)}, []string{"tls_cert_file=" + cert, "tls_key_file=" + key}, "certificate", good, "ends on"},
		{"a state", free, nil, "state_dir", good, "MB left"},
		{"a state nowhere", free, []string{"state_dir=/nowhere/else/state"}, "state_dir", bad, "Make it"},
		{"no media", free, []string{"media_dir=/nowhere"}, "media_dir", unknown, "There is no folder"},
		{"too many connections", free, []string{"http_max_connections=999999"}, "open files", "", "files"},
		{"versions", free, nil, "versions", good, "go1."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := said(t, examine(t.Context(), settings(tt.set...), tt.m), tt.check)
			if tt.result != "" && got.Result != tt.result || !strings.Contains(got.Info, tt.says) || !strings.HasSuffix(got.Info, ".") && got.Result != bad {
				t.Errorf("%+v, want %s with %q", got, tt.result, tt.says)
			}
		})
	}
}

// A datagram to an address of this machine comes back to the media port.
func TestDoctorRoundTrip(t *testing.T) {
	var err error
	for range 10 { // another program may take the port that was just free
		probe, failed := net.ListenPacket("udp", "127.0.0.1:0")
		if failed != nil {
			t.Fatal(failed)
		}
		at := probe.LocalAddr().(*net.UDPAddr).AddrPort()
		if err = roundTrip(t.Context(), at); err == nil {
			t.Error("a port that somebody has is taken for the media port")
		}
		probe.Close()
		if err = roundTrip(t.Context(), at); err == nil {
			return
		}
	}
	t.Errorf("over loopback: %v", err)
}

// The command says the same, and its exit code tells scripts. Its name alone is no help text any more, but --help is.
func TestDoctorCommand(t *testing.T) {
	dir := t.TempDir()
	out, _, _ := run(t, "", "doctor", "--set", "state_dir="+dir)
	if !strings.Contains(out, "RESULT") || !strings.Contains(out, "state_dir") || !strings.Contains(out, "versions") {
		t.Errorf("%q", out)
	}
	out, _, err := run(t, "", "doctor", "--json", "--set", "state_dir=/nowhere/else/state")
	var all []diagnosis
	if wrong := json.Unmarshal([]byte(out), &all); wrong != nil || !errors.Is(err, ErrSilent) || said(t, all, "state_dir").Result != bad {
		t.Errorf("%q, %v, want a failure", out, err)
	}
	if out, _, err = run(t, "", "doctor", "--help"); err != nil || !strings.Contains(out, "access") || !strings.Contains(out, "push URL") {
		t.Errorf("%q, %v", out, err)
	}
	if _, _, err = run(t, "", "doctor", "--set", "http.port=x"); err == nil {
		t.Error("the doctor finds nothing wrong with settings that no server takes")
	}
}
