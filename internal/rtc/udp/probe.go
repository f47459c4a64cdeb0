package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/pion/stun/v4"
)

// A probe asks whether datagrams to an address come to this port: a STUN binding request (RFC 8489) without a user name. The port answers only
// requests with this text. It makes a request longer than the answer, so that nobody can use the port to multiply traffic to a victim.
const (
	probeText  = "Transponder: does a datagram to this address arrive?"
	probeReply = "Transponder"
)

// probesPerSecond is how many probes each socket answers in a second. The doctor sends a few.
const probesPerSecond = 10

// answerProbe answers a probe. It returns false if the datagram is none, or if there are too many. It is called from the socket's goroutine only.
func (s *Socket) answerProbe(d *Datagram) bool {
	if len(d.Data) < 20+len(probeText) || d.Data[0] != 0 || d.Data[1] != 1 || !stun.IsMessage(d.Data) {
		return false
	}
	m := stun.Message{Raw: d.Data}
	if m.Decode() != nil {
		return false
	}
	if text, err := m.Get(stun.AttrSoftware); err != nil || string(text) != probeText {
		return false
	}
	if s.now-s.probesSince >= time.Second {
		s.probes, s.probesSince = 0, s.now
	}
	if s.probes++; s.probes > probesPerSecond {
		return false
	}
	from := net.UDPAddrFromAddrPort(d.From)
	reply, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.IP, Port: from.Port}, stun.NewSoftware(probeReply), stun.Fingerprint)
	if err != nil {
		return false
	}
	s.Send(reply.Raw, NewSource(d.To()), d.From)
	return true
}

// The errors of Probe.
var (
	ErrSilent   = errors.New("no answer came")
	ErrSomebody = errors.New("another program answered")
)

// probeEvery is how often a probe is sent until the answer comes: datagrams may be lost.
const probeEvery = 300 * time.Millisecond

// Probe asks whether a Port of this program is reached at an address, until ctx ends, which ErrSilent tells.
func Probe(ctx context.Context, to netip.AddrPort) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewSoftware(probeText), stun.Fingerprint)
	if err != nil {
		return err
	}
	for answer := make([]byte, MaxDatagram); ; {
		_, err := conn.Write(request.Raw)
		if err == nil {
			_ = conn.SetReadDeadline(time.Now().Add(probeEvery))
			err = readProbe(conn, answer, request.TransactionID)
		}
		switch {
		case ctx.Err() != nil:
			return ErrSilent
		case err == nil, errors.Is(err, ErrSomebody):
			return err
		case !errors.Is(err, os.ErrDeadlineExceeded): // such as the word of a router that nothing is there
			return fmt.Errorf("%w: %w", ErrSilent, err)
		}
	}
}

// readProbe reads until the answer comes.
func readProbe(conn net.Conn, buffer []byte, id [stun.TransactionIDSize]byte) error {
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return err
		}
		m := stun.Message{Raw: buffer[:n]}
		if m.Decode() != nil || m.TransactionID != id {
			continue
		}
		if text, err := m.Get(stun.AttrSoftware); err != nil || m.Type != stun.BindingSuccess || !strings.HasPrefix(string(text), probeReply) {
			return ErrSomebody
		}
		return nil
	}
}
