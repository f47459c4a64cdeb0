package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

func at(host string, port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), uint16(port))
}

// The port answers probes, from the address that they were sent to, over IPv4 and IPv6. Probes are no strange datagrams.
func TestProbe(t *testing.T) {
	p := open(t)
	hosts := []string{"127.0.0.1", "127.0.0.2"}
	if p.Socket(true) != nil {
		hosts = append(hosts, "::1")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, host := range hosts {
		if err := Probe(ctx, at(host, p.Number())); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if n := p.Strange(); n != 0 {
		t.Errorf("%d datagrams are strange", n)
	}
}

// Nobody answers where nobody is, or where somebody is silent, and others who answer are told from a port of ours.
func TestProbeOfOthers(t *testing.T) {
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	where := free.LocalAddr().(*net.UDPAddr).AddrPort()
	ctx, cancel := context.WithTimeout(t.Context(), 2*probeEvery)
	defer cancel()
	if err := Probe(ctx, where); !errors.Is(err, ErrSilent) {
		t.Errorf("a silent program: %v", err)
	}
	free.Close()
	if err := Probe(t.Context(), where); !errors.Is(err, ErrSilent) {
		t.Errorf("a closed port: %v", err)
	}

	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	defer func() {
		other.Close()
		<-done
	}()
	go func() { // a STUN server
		defer close(done)
		for b := make([]byte, MaxDatagram); ; {
			n, from, err := other.ReadFrom(b)
			if err != nil {
				return
			}
			m := stun.Message{Raw: b[:n]}
			if m.Decode() != nil {
				continue
			}
			for _, id := range []stun.Setter{stun.TransactionID, stun.NewTransactionIDSetter(m.TransactionID)} { // an answer to somebody else comes first
				if reply, err := stun.Build(id, stun.BindingSuccess, stun.NewSoftware("Coturn")); err == nil {
					_, _ = other.WriteTo(reply.Raw, from)
				}
			}
		}
	}()
	if err := Probe(t.Context(), other.LocalAddr().(*net.UDPAddr).AddrPort()); !errors.Is(err, ErrSomebody) {
		t.Errorf("a STUN server: %v", err)
	}
}

// An answer is no longer than its request, and there are few of them. Nobody else is answered.
func TestProbesAreNoWeapon(t *testing.T) {
	p := open(t)
	for _, host := range []string{"127.0.0.1", "::1"} {
		if host == "::1" && p.Socket(true) == nil {
			continue
		}
		c := dial(t, p, host)
		request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewSoftware(probeText))
		if err != nil {
			t.Fatal(err)
		}
		strangers := []stun.Setter{stun.NewSoftware("another program, whose name is as long as the text of a probe"), stun.Fingerprint}
		for _, with := range strangers {
			if other, err := stun.Build(stun.TransactionID, stun.BindingRequest, with); err != nil {
				t.Fatal(err)
			} else if _, err := c.Write(other.Raw); err != nil {
				t.Fatal(err)
			}
		}
		const sent = 5 * probesPerSecond
		begun, strange := time.Now(), p.Strange()
		for range sent {
			if _, err := c.Write(request.Raw); err != nil {
				t.Fatal(err)
			}
		}
		answers := 0
		for b := make([]byte, MaxDatagram); p.Strange()-strange+int64(answers) < int64(sent) && time.Since(begun) < 10*time.Second; {
			_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			n, err := c.Read(b)
			if err != nil {
				continue // the others were not answered, and may not have been counted yet
			}
			answers++
			m := stun.Message{Raw: b[:n]}
			if err := m.Decode(); err != nil || m.TransactionID != request.TransactionID {
				t.Fatalf("%s: somebody else was answered: %v, %v", host, m, err)
			}
			if n > len(request.Raw) {
				t.Errorf("%s: %d bytes in answer to %d", host, n, len(request.Raw))
			}
		}
		if most := probesPerSecond * (2 + int(time.Since(begun)/time.Second)); answers == 0 || answers > most {
			t.Errorf("%s: %d answers to %d probes, want at most %d", host, answers, sent, most)
		}
	}
}
