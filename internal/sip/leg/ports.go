package leg

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"transponder/internal/rtc/udp"
)

// ErrNoPorts means that every pair of the range is in use.
var ErrNoPorts = errors.New("no media port is free: port_from and port_to allow too few for so many calls")

const (
	// tries limits how many pairs one call tries to open: other programs may have some.
	tries = 64
	// rest is how long a pair stays unused after a call, so that late packets of the phone reach no other call.
	rest = time.Second
	// maxDatagram is the size of the buffers: H.264 in packetization mode 0 has NAL units of any size, which IP cuts into fragments.
	maxDatagram = 1 << 16
	// readBuffer is what the kernel may hold of RTP while we have no time to read: about 400 packets of a picture. It takes memory only then.
	readBuffer = 1 << 20
)

// ports opens pairs of sockets in a range. All methods may be called from any goroutine.
type ports struct {
	first, pairs int // the first even port, and the number of pairs, at least one
	batches      *udp.Batches

	mu    sync.Mutex
	taken map[int]time.Time // guarded by mu; by the even port: when it is free again, zero while it is open
}

func newPorts(from, to int) *ports {
	first := evenPort(from)
	return &ports{first: first, pairs: max(1, (to-first+1)/2), batches: udp.NewBatches(maxDatagram), taken: map[int]time.Time{}}
}

// evenPort returns the first even number from a port on.
func evenPort(port int) int { return port + port&1 }

// pair is an RTP socket and its RTCP socket.
type pair struct{ rtp, rtcp *udp.Conn }

// port returns the RTP port, 0 of a pair that is not open.
func (p pair) port() int {
	if p.rtp == nil {
		return 0
	}
	return p.rtp.Port()
}

// open opens a random free pair. A stranger who knows the port of one call must not guess the port of the next call.
func (p *ports) open(at netip.Addr) (pair, error) {
	cause := error(ErrNoPorts)
	for range tries {
		port, ok := p.take()
		if !ok {
			return pair{}, cause
		}
		opened, err := p.listen(at, port)
		if err == nil {
			return opened, nil
		}
		p.free(port)
		cause = fmt.Errorf("%w: %w", ErrNoPorts, err)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return pair{}, fmt.Errorf("listen for media: %w", err)
		}
	}
	return pair{}, cause
}

// listen opens both sockets of a pair, or none.
func (p *ports) listen(at netip.Addr, port int) (pair, error) {
	rtp, err := udp.Listen(netip.AddrPortFrom(at, uint16(port)), readBuffer, p.batches)
	if err != nil {
		return pair{}, err
	}
	rtcp, err := udp.Listen(netip.AddrPortFrom(at, uint16(port+1)), 0, p.batches)
	if err != nil {
		rtp.Close()
		return pair{}, err
	}
	return pair{rtp, rtcp}, nil
}

// take reserves a random pair; not ok if there is none.
func (p *ports) take() (port int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range tries {
		if port := p.first + 2*uniform(p.pairs); p.isFree(port) {
			p.taken[port] = time.Time{}
			return port, true
		}
	}
	for i := range p.pairs { // the range is nearly full
		if port := p.first + 2*i; p.isFree(port) {
			p.taken[port] = time.Time{}
			return port, true
		}
	}
	return 0, false
}

// isFree says whether a pair can be reserved; mu is held.
func (p *ports) isFree(port int) bool {
	until, taken := p.taken[port]
	return !taken || !until.IsZero() && time.Now().After(until)
}

// free ends the reservation of a pair that was not opened.
func (p *ports) free(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken[port] = time.Now().Add(rest)
}

// close closes a pair. It can be had again after a rest.
func (p *ports) close(x pair) {
	if x.rtp == nil {
		return
	}
	port := x.port()
	x.rtp.Close()
	x.rtcp.Close()
	p.free(port)
}

// isOpen says whether a port belongs to a pair that is open.
func (p *ports) isOpen(port int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, taken := p.taken[port&^1]
	return taken && until.IsZero()
}

// left returns how many pairs are free.
func (p *ports) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.pairs
	for port := range p.taken {
		if p.isFree(port) {
			delete(p.taken, port)
		} else {
			n--
		}
	}
	return n
}
