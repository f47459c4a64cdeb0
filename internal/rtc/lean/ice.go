package lean

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"

	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

const (
	// maxPaths limits the paths of a client. A client has a few, and gets new ones when its network changes.
	maxPaths = 8
	// silent: when the path in use brings nothing for so long, we send on another path that does. A client's checks name
	// the path that it has chosen (USE-CANDIDATE), but do not tell that a NAT on the way gave the client a new address.
	silent = 500 * time.Millisecond
	// firstPunch is how long we wait for the client's first check before we send checks to its candidates. The next waits
	// double.
	firstPunch = 500 * time.Millisecond
	// maxCandidates limits the candidates that we send checks to: an offer must not make this server scan ports.
	maxCandidates = 8
)

// path is an address of the client, proved by a check with our password, and the address of ours that the check came to.
type path struct {
	addr    netip.AddrPort
	source  udp.Source
	keys    *keys // of the newest check that came over it
	heardAt time.Duration
}

// keys are the user names and passwords of an ICE session. A restart brings new ones (RFC 8445, 9).
type keys struct {
	ufrag, pwd  string
	remoteUfrag string
	local       stun.MessageIntegrity // of checks that we get
	remote      stun.MessageIntegrity // of checks that we send
}

func newKeys(remoteUfrag, remotePwd string) *keys {
	// RFC 8445, 5.3 asks for at least 24 and 128 random bits. rand.Text has 130, so 8 of its letters have 40.
	k := &keys{ufrag: rand.Text()[:8], pwd: rand.Text(), remoteUfrag: remoteUfrag}
	k.local, k.remote = stun.NewShortTermIntegrity(k.pwd), stun.NewShortTermIntegrity(remotePwd)
	return k
}

// iceAgent is the ICE-lite agent of one session (RFC 8445, 2.5). It answers the client's checks, knows the paths to the
// client, and chooses the path to send on. It is guarded by the session's mu.
type iceAgent struct {
	port      *udp.Port
	user      udp.User // gets the client's packets: the session
	keepAlive time.Duration
	refused   *atomic.Int64 // counts packets that are not genuine

	name   string // of the session in reports: the user name of the first ICE session
	keys   *keys  // of the present ICE session
	former *keys  // of the last ICE session that the client has used, until it uses the present one; nil: the client uses the present one

	paths      []*path                      // at most maxPaths
	selected   *path                        // the path to send on; nil until the client's first check
	candidates []netip.AddrPort             // the client's, at most maxCandidates
	heardAt    time.Duration                // when something genuine last came from the client
	pending    [stun.TransactionIDSize]byte // our last check; zero if it is answered
	pendingOf  *keys                        // with which the last check was sent
	pendingAt  time.Duration
	checkAt    time.Duration // when our next check is due
	roundTrip  time.Duration // 0 while unknown
}

func newICEAgent(r *Receiver, user udp.User, offer *rtc.ParsedOffer) iceAgent {
	remote := offer.Used()[0]
	k := newKeys(remote.Ufrag, remote.Pwd)
	a := iceAgent{port: r.port, user: user, keepAlive: r.cfg.KeepAlive, refused: &r.refused, name: k.ufrag, keys: k}
	for _, section := range offer.Used() {
		for _, c := range section.Candidates {
			_ = a.addCandidate(c) // one that cannot be read is of no use, and does no harm
		}
	}
	return a
}

// join lets the user get checks for a user name of ours, over both address families.
func (a *iceAgent) join(k *keys) error {
	if err := a.port.Join(k.ufrag, false, a.user); err != nil {
		return err
	}
	if err := a.port.Join(k.ufrag, true, a.user); err != nil {
		a.port.Leave(a.user, k.ufrag, false)
		return err
	}
	return nil
}

// restart begins another ICE session with the client's new user name, password and candidates. The paths stay in use until the client
// shows better ones. Until the client's first check of the new session, checks of the last one that it has used are taken too: the client may
// not get our answer.
func (a *iceAgent) restart(client rtc.ICE) error {
	if client.Ufrag == a.keys.remoteUfrag {
		return fmt.Errorf("%w: the ICE user name is the one before", rtc.ErrNoRestart)
	}
	k := newKeys(client.Ufrag, client.Pwd)
	if err := a.join(k); err != nil {
		return err
	}
	if a.former == nil {
		a.former = a.keys
	} else { // the client has not used the present keys: it may go on with the ones before
		a.leaveName(a.keys)
	}
	a.keys = k
	a.candidates = nil
	for _, c := range client.Candidates {
		_ = a.addCandidate(c) // as in newICEAgent
	}
	a.heardAt = a.port.Now() // what restarts is alive
	return nil
}

// retire forgets the ICE session before, if there is one.
func (a *iceAgent) retire() {
	if a.former != nil {
		a.leaveName(a.former)
		a.former = nil
	}
}

// leaveName ends join of these keys.
func (a *iceAgent) leaveName(k *keys) {
	a.port.Leave(a.user, k.ufrag, false)
	a.port.Leave(a.user, k.ufrag, true)
}

// leave ends join, and gives back the client's addresses.
func (a *iceAgent) leave() {
	a.retire()
	addresses := make([]netip.AddrPort, 0, maxPaths)
	for _, p := range a.paths {
		addresses = append(addresses, p.addr)
	}
	a.port.Leave(a.user, a.keys.ufrag, false, addresses...)
	a.port.Leave(a.user, a.keys.ufrag, true)
}

// receive takes a STUN message. It is ok if the message shows that the client is there now: a genuine check, or a genuine
// reply to our last check. p is the path that the message came over, nil if none is known.
func (a *iceAgent) receive(d *udp.Datagram) (p *path, ok bool) {
	m := stun.Message{Raw: d.Data}
	if m.Decode() != nil || m.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(&m) != nil {
		a.refused.Add(1)
		return nil, false
	}
	k := a.keysOf(&m)
	switch {
	case m.Type == stun.BindingRequest && k != nil:
		return a.receiveCheck(d, &m, k)
	case m.Type == stun.BindingSuccess && a.pendingOf != nil && a.pendingOf.remote.Check(&m) == nil:
		if m.TransactionID != a.pending {
			return nil, false // the reply to an earlier check
		}
		a.pending = [stun.TransactionIDSize]byte{}
		a.roundTrip = max(d.Arrived()-a.pendingAt, 1)
		return a.pathOf(d.From), true
	case m.Type.Class == stun.ClassIndication:
	default:
		a.refused.Add(1)
	}
	return nil, false
}

// keysOf returns the keys of a check if it is the client's (RFC 8445, 7.3), nil if it is not.
func (a *iceAgent) keysOf(m *stun.Message) *keys {
	var name stun.Username
	if m.Type != stun.BindingRequest || name.GetFrom(m) != nil {
		return nil
	}
	local, remote, _ := strings.Cut(string(name), ":")
	for _, k := range []*keys{a.keys, a.former} {
		if k != nil && local == k.ufrag && remote == k.remoteUfrag && k.local.Check(m) == nil {
			return k
		}
	}
	return nil
}

// receiveCheck answers a check with these keys and returns the path that it came over.
func (a *iceAgent) receiveCheck(d *udp.Datagram, m *stun.Message, k *keys) (p *path, ok bool) {
	to := d.To()
	i := slices.IndexFunc(a.paths, func(p *path) bool { return p.addr == d.From && p.source.Addr() == to })
	isNew := i < 0
	if isNew {
		i = a.addPath(d)
	}
	p = a.paths[i]
	if p.keys != a.keys {
		p.keys = k
	}
	if m.Contains(stun.AttrICEControlled) {
		// Only the full agent can be in control (RFC 8445, 6.1.1); the role conflict tells it so.
		a.reply(d.Socket, p, m, k, stun.BindingError, stun.CodeRoleConflict)
		return nil, false
	}
	a.port.Claim(a.user, p.addr)
	a.reply(d.Socket, p, m, k, stun.BindingSuccess,
		&stun.XORMappedAddress{IP: p.addr.Addr().AsSlice(), Port: int(p.addr.Port())})
	if k == a.keys {
		a.retire()
	}
	if m.Contains(stun.AttrUseCandidate) {
		a.selected = p
	}
	if isNew {
		a.check(d.Socket, p, d.At)
	}
	return p, true
}

func (a *iceAgent) reply(socket *udp.Socket, p *path, m *stun.Message, k *keys, kind stun.MessageType, attribute stun.Setter) {
	reply, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), kind, attribute, k.local, stun.Fingerprint)
	if err == nil {
		socket.Send(reply.Raw, p.source, p.addr)
	}
}

// pathOf returns a path to an address of the client, nil if there is none. Of several it prefers the one that we send on.
func (a *iceAgent) pathOf(addr netip.AddrPort) *path {
	if a.selected != nil && a.selected.addr == addr {
		return a.selected
	}
	for _, p := range a.paths {
		if p.addr == addr {
			return p
		}
	}
	return nil
}

// addPath adds the path that a check came over and returns its index. If there are too many paths, the new one replaces the
// one that has been silent for longest.
func (a *iceAgent) addPath(d *udp.Datagram) int {
	if len(a.paths) == maxPaths {
		oldest := slices.MinFunc(a.paths, func(x, y *path) int {
			if x == a.selected || y != a.selected && x.heardAt > y.heardAt {
				return 1
			}
			return -1
		})
		a.paths = slices.DeleteFunc(a.paths, func(p *path) bool { return p == oldest })
		if a.pathOf(oldest.addr) == nil {
			a.port.Unclaim(a.user, oldest.addr)
		}
	}
	p := &path{addr: d.From, heardAt: d.At}
	if to := d.To(); to.IsValid() {
		p.source = udp.NewSource(to)
	}
	a.paths = append(a.paths, p)
	return len(a.paths) - 1
}

// heard notes that something genuine came over a path, nil if none is known. It selects that path if the selected one is
// silent, and says whether p is selected.
func (a *iceAgent) heard(p *path, now time.Duration) (selected bool) {
	a.heardAt = now
	if p == nil {
		return false
	}
	p.heardAt = now
	if a.selected == nil || a.selected != p && now-a.selected.heardAt > silent {
		a.selected = p
	}
	return a.selected == p
}

// check sends a check of our own. A lite agent need not. But some full agents nominate a path only after they got one
// (pion, which would take 200 ms more), and the reply tells the round trip time.
func (a *iceAgent) check(socket *udp.Socket, p *path, now time.Duration) {
	tie := binary.BigEndian.AppendUint64(nil, random())
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(p.keys.remoteUfrag+":"+p.keys.ufrag),
		stun.RawAttribute{Type: stun.AttrICEControlled, Value: tie},
		// the priority of a peer-reflexive candidate (RFC 8445, 5.1.2.1)
		stun.RawAttribute{Type: stun.AttrPriority, Value: binary.BigEndian.AppendUint32(nil, 110<<24|65535<<8|255)},
		p.keys.remote, stun.Fingerprint)
	if err != nil {
		return
	}
	a.pending, a.pendingOf, a.pendingAt = m.TransactionID, p.keys, now
	a.checkAt = now + a.keepAlive
	socket.Send(m.Raw, p.source, p.addr)
}

// addCandidate notes a candidate of the client: the value of an a=candidate line. It is needed only for punch, as the
// client's checks show its address.
func (a *iceAgent) addCandidate(candidate string) error {
	if len(a.candidates) == maxCandidates || !rtc.UsableCandidate(candidate) {
		return nil
	}
	f := strings.Fields(candidate)
	ip, err := netip.ParseAddr(f[4])
	if err != nil {
		return fmt.Errorf("%w: %w", rtc.ErrBadOffer, err)
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if _, bad := strconv.ParseUint(f[3], 10, 32); bad != nil || err != nil {
		return fmt.Errorf("%w: a candidate with priority %q and port %q", rtc.ErrBadOffer, f[3], f[5])
	}
	addr := netip.AddrPortFrom(ip.Unmap(), uint16(port))
	if port == 0 || slices.Contains(a.candidates, addr) || a.port.Socket(addr.Addr().Is6()) == nil {
		return nil // each section of a bundle repeats the candidates
	}
	if ip := addr.Addr(); ip.IsGlobalUnicast() || ip.IsLoopback() {
		a.candidates = append(a.candidates, addr)
		if a.former != nil { // the client restarts: nobody calls punch any more
			a.check(a.port.Socket(ip.Is6()), &path{addr: addr, keys: a.keys}, a.port.Now())
		}
	}
	return nil
}

// punch sends checks to the client's candidates. If this server is behind a NAT that it does not know of, no address in our
// answer reaches it. A check from here opens that NAT, and the client replies with checks of its own.
func (a *iceAgent) punch() {
	for _, addr := range a.candidates {
		a.check(a.port.Socket(addr.Addr().Is6()), &path{addr: addr, keys: a.keys}, a.port.Now())
	}
}
