package lean

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pion/stun/v4"

	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

const (
	// maxPaths bounds the addresses that a peer may send from: it has a few, and gets new ones when its network changes.
	maxPaths = 8
	// silent is how long a path must bring nothing before another one that does is sent on in its place. A peer's checks
	// name the path that it chose (USE-CANDIDATE), but say nothing when a NAT on the way gave it a new address.
	silent = 500 * time.Millisecond
	// firstPunch is how long a peer may take to find us before we punch where it may be; the pauses double.
	firstPunch = 500 * time.Millisecond
	// maxCandidates bounds the candidates that are knocked at: an offer must not make us a scanner of ports.
	maxCandidates = 8
)

// path is an address that the peer has proved to be its own, by a check that is signed with our password, and the address of
// ours that the check went to.
type path struct {
	addr    netip.AddrPort
	source  udp.Source
	heardAt time.Duration
}

// takeSTUN takes a check, or the answer to one of ours. mu is held.
func (s *session) takeSTUN(d *udp.Datagram) {
	m := stun.Message{Raw: d.Data}
	if m.Decode() != nil || m.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(&m) != nil {
		s.r.refused.Add(1)
		return
	}
	switch {
	case m.Type == stun.BindingRequest && s.genuine(&m):
		s.takeCheck(d, &m)
	case m.Type == stun.BindingSuccess && s.theirs.Check(&m) == nil:
		if m.TransactionID != s.pending {
			return // to a check before the last one
		}
		s.pending = [stun.TransactionIDSize]byte{}
		s.roundTrip = max(d.Arrived()-s.pendingAt, 1)
		s.heard(d, s.pathOf(d.From))
	case m.Type.Class == stun.ClassIndication:
	default:
		s.r.refused.Add(1)
	}
}

// genuine says whether a check is the peer's (RFC 8445, 7.3).
func (s *session) genuine(m *stun.Message) bool {
	var name stun.Username
	if name.GetFrom(m) != nil || s.ours.Check(m) != nil {
		return false
	}
	ours, theirs, _ := strings.Cut(string(name), ":")
	return ours == s.ufrag && theirs == s.offer.Used()[0].Ufrag
}

// takeCheck answers a check, and notes where it came from.
func (s *session) takeCheck(d *udp.Datagram, m *stun.Message) {
	to := d.To()
	i := slices.IndexFunc(s.paths, func(p *path) bool { return p.addr == d.From && p.source.Addr() == to })
	isNew := i < 0
	if isNew {
		i = s.addPath(d)
	}
	p := s.paths[i]
	if m.Contains(stun.AttrICEControlled) {
		// Only the full agent can be in control (RFC 8445, 6.1.1); it learns so by a role conflict.
		s.reply(d.Socket, p, m, stun.BindingError, stun.CodeRoleConflict)
		return
	}
	s.r.port.Claim(s, p.addr)
	s.reply(d.Socket, p, m, stun.BindingSuccess,
		&stun.XORMappedAddress{IP: p.addr.Addr().AsSlice(), Port: int(p.addr.Port())})
	if m.Contains(stun.AttrUseCandidate) {
		s.path = p
	}
	s.heard(d, p)
	if isNew {
		s.check(d.Socket, p, d.At)
	}
}

func (s *session) reply(socket *udp.Socket, p *path, m *stun.Message, kind stun.MessageType, what stun.Setter) {
	reply, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), kind, what, s.ours, stun.Fingerprint)
	if err == nil {
		socket.Send(reply.Raw, p.source, p.addr)
	}
}

// pathOf returns a path with an address of the peer's, the one in use if it is one; nil if there is none.
func (s *session) pathOf(addr netip.AddrPort) *path {
	if s.path != nil && s.path.addr == addr {
		return s.path
	}
	for _, p := range s.paths {
		if p.addr == addr {
			return p
		}
	}
	return nil
}

// addPath adds the path that a check came by and returns its index. It comes in place of the one that was silent for longest where there are too many.
func (s *session) addPath(d *udp.Datagram) int {
	if len(s.paths) == maxPaths {
		oldest := slices.MinFunc(s.paths, func(a, b *path) int {
			if a == s.path || b != s.path && a.heardAt > b.heardAt {
				return 1
			}
			return -1
		})
		s.paths = slices.DeleteFunc(s.paths, func(p *path) bool { return p == oldest })
		if s.pathOf(oldest.addr) == nil {
			s.r.port.Unclaim(s, oldest.addr)
		}
	}
	p := &path{addr: d.From, heardAt: d.At}
	if to := d.To(); to.IsValid() {
		p.source = udp.NewSource(to)
	}
	s.paths = append(s.paths, p)
	return len(s.paths) - 1
}

// heard notes that something genuine came by a path, and sends on it from now on if the one before has gone silent.
func (s *session) heard(d *udp.Datagram, p *path) {
	s.heardAt = d.At
	if p == nil {
		return
	}
	p.heardAt = d.At
	if s.path == nil || s.path != p && d.At-s.path.heardAt > silent {
		s.path = p
	}
	if s.path != p || s.socket == d.Socket {
		return
	}
	if s.socket == nil {
		close(s.found)
	}
	s.adopt(d.Socket, d.At)
}

// check sends a check of our own. A lite agent has no need to; but some full agents nominate only after one (pion's, which
// would take 200 ms more), and the answer tells the round trip time.
func (s *session) check(socket *udp.Socket, p *path, now time.Duration) {
	first := s.offer.Used()[0]
	tie := binary.BigEndian.AppendUint64(nil, random())
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(first.Ufrag+":"+s.ufrag),
		stun.RawAttribute{Type: stun.AttrICEControlled, Value: tie},
		// RFC 8445, 5.1.2.1, of a peer-reflexive candidate
		stun.RawAttribute{Type: stun.AttrPriority, Value: binary.BigEndian.AppendUint32(nil, 110<<24|65535<<8|255)},
		s.theirs, stun.Fingerprint)
	if err != nil {
		return
	}
	s.pending, s.pendingAt = m.TransactionID, now
	s.due.check = now + s.r.cfg.KeepAlive
	socket.Send(m.Raw, p.source, p.addr)
}

// addCandidate notes a candidate of the peer's: the value of an a=candidate line. mu is held.
func (s *session) addCandidate(candidate string) error {
	if len(s.candidates) == maxCandidates || !rtc.UsableCandidate(candidate) {
		return nil
	}
	f := strings.Fields(candidate)
	addr, err := netip.ParseAddr(f[4])
	if err != nil {
		return fmt.Errorf("%w: %w", rtc.ErrBadOffer, err)
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if _, bad := strconv.ParseUint(f[3], 10, 32); bad != nil || err != nil {
		return fmt.Errorf("%w: a candidate with priority %q and port %q", rtc.ErrBadOffer, f[3], f[5])
	}
	candidateAddr := netip.AddrPortFrom(addr.Unmap(), uint16(port))
	if port == 0 || slices.Contains(s.candidates, candidateAddr) || s.r.port.Socket(candidateAddr.Addr().Is6()) == nil {
		return nil // each section of a bundle repeats them
	}
	if a := candidateAddr.Addr(); a.IsGlobalUnicast() || a.IsLoopback() {
		s.candidates = append(s.candidates, candidateAddr)
	}
	return nil
}

// punch sends checks to the peer's candidates. Where no address that the peer was told leads here, as from behind a NAT that nobody
// told us of, they open a way: the peer answers them by checks of its own.
func (s *session) punch() {
	s.mu.Lock()
	defer s.release()
	for _, addr := range s.candidates {
		socket := s.r.port.Socket(addr.Addr().Is6())
		s.check(socket, &path{addr: addr}, s.r.port.Now())
	}
}

// write sends to the peer; any goroutine may call it.
func (s *session) write(b []byte) (int, error) {
	s.mu.Lock()
	socket, p := s.socket, s.path
	s.mu.Unlock()
	if socket == nil {
		return 0, net.ErrClosed
	}
	return socket.Write(b, p.source, p.addr)
}
