package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"syscall"

	"transponder/internal/certificate"
	"transponder/internal/config"
	"transponder/internal/handover"
	"transponder/internal/rtc/udp"
	"transponder/internal/sip/line"
	"transponder/internal/state"
)

// The names of what goes to a process that takes over. Those of listeners are their settings.
const (
	portMedia = "media_port_from"
	portTCP   = "ice_tcp_port"
	portRTMP  = "rtmp.port"
	portRTMPS = "rtmps.port"
	portSIP   = "sip_port"
	portSIPS  = "sip_tls_port"
	portUDP   = "sip_port_udp" // of the datagrams of SIP
	lockName  = "state_dir"
)

// Ports are the open ports of a server whose parts are not built yet, and what else can be checked while another process still serves. SIP's
// ports are among them only if the server listens for calls. Otherwise they are opened when they are needed.
type Ports struct {
	tcp map[string]net.Listener // by setting
	sip *line.Sockets           // nil: they are not open

	media     *udp.Port      // nil: the sockets are inherited
	inherited []*net.UDPConn // of media; another process may still read from them

	certificates *certificate.Keeper // nil: nothing needs one
	lock         *os.File            // of the state folder; nil: not inherited
}

// Open opens every port, so that a port that is in use shows at once. It takes those that fit from inherited, and closes the others. A state
// folder whose lock is inherited is only checked. The caller calls NewOn or Close.
func Open(ctx context.Context, cfg config.Config, inherited *handover.Sockets, log *slog.Logger) (_ *Ports, err error) {
	p := &Ports{tcp: map[string]net.Listener{}}
	defer func() {
		inherited.Close()
		if err != nil {
			p.Close()
		}
	}()
	l := cfg.Listen
	tcp := -1
	if cfg.Pion.TCP {
		tcp = cfg.Pion.TCPPort
	}
	for _, port := range []struct {
		key    string
		number int
	}{
		{"http.port", l.HTTP}, {"https.port", l.HTTPS}, {"ws.port", l.WS}, {"wss.port", l.WSS},
		{portRTMP, l.RTMP}, {portRTMPS, l.RTMPS}, {portTCP, tcp},
	} {
		if port.number < 0 {
			continue
		}
		listener := inherited.Listener(port.key, port.number)
		if listener == nil {
			var lc net.ListenConfig
			if listener, err = lc.Listen(ctx, "tcp", ":"+strconv.Itoa(port.number)); err != nil {
				return nil, portError(port.key, port.number, err)
			}
		}
		p.tcp[port.key] = listener
	}
	if p.inherited = inherited.UDP(portMedia, cfg.Media.Port); len(p.inherited) == 0 {
		if p.media, err = udp.Open(ctx, cfg.Media); err != nil {
			return nil, portError(portMedia, cfg.Media.Port, err)
		}
	}
	if p.tcp["https.port"] != nil || p.tcp["wss.port"] != nil || cfg.SIP.Line.TLSPort != 0 || l.RTMPS >= 0 {
		if p.certificates, err = certificate.New(cfg.Certificate, log); err != nil {
			return nil, err
		}
	}
	if cfg.SIP.Listens() {
		if p.sip, err = openSIP(ctx, cfg.SIP.Line, p.certificates != nil, inherited); err != nil {
			return nil, err
		}
	}
	if locks := inherited.Take(lockName); len(locks) > 0 {
		p.lock = locks[0]
		if err := state.Check(ctx, cfg.State); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// openSIP opens the sockets of SIP, or takes them from inherited.
func openSIP(ctx context.Context, cfg line.Config, hasCertificate bool, inherited *handover.Sockets) (*line.Sockets, error) {
	before := line.Sockets{TCP: inherited.Listener(portSIP, cfg.Port), TLS: inherited.Listener(portSIPS, cfg.TLSPort)}
	for i, c := range inherited.UDP(portUDP, cfg.Port) {
		if i > 0 {
			c.Close()
			continue
		}
		before.UDP = c
	}
	s, err := line.Listen(ctx, cfg, hasCertificate, before)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, portError(portSIP, cfg.Port, err)
	}
	return s, err
}

// openMedia starts to read from the media port.
func (p *Ports) openMedia(ctx context.Context, cfg udp.Config) (*udp.Port, error) {
	media := p.media
	if media == nil {
		var err error
		inherited := p.inherited
		p.inherited = nil
		if media, err = udp.Open(ctx, cfg, inherited...); err != nil {
			return nil, portError(portMedia, cfg.Port, err)
		}
	}
	p.media = nil
	return media, nil
}

// take gives a listener to the part that closes it; nil: the port is not open.
func (p *Ports) take(key string) net.Listener {
	l := p.tcp[key]
	delete(p.tcp, key)
	return l
}

// Close closes what no part has taken.
func (p *Ports) Close() {
	for _, l := range p.tcp {
		l.Close()
	}
	if p.sip != nil {
		p.sip.Close()
	}
	if p.media != nil {
		p.media.Close()
	}
	for _, c := range p.inherited {
		c.Close()
	}
	if p.lock != nil {
		p.lock.Close()
	}
}

// keep returns copies of all ports, and of the lock of the state folder, for a process that takes over.
func (a *App) keep() (_ *handover.Sockets, err error) {
	s := &handover.Sockets{}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for key, l := range a.listeners {
		if err := s.Add(key, l.(*net.TCPListener)); err != nil {
			return nil, err
		}
	}
	if sip := a.sipSockets; sip != nil {
		if err := errors.Join(s.Add(portUDP, sip.UDP), s.Add(portSIP, sip.TCP.(*net.TCPListener))); err != nil {
			return nil, err
		}
		if sip.TLS != nil {
			if err := s.Add(portSIPS, sip.TLS.(*net.TCPListener)); err != nil {
				return nil, err
			}
		}
	}
	for _, c := range a.media.Conns() {
		if err := s.Add(portMedia, c); err != nil {
			return nil, err
		}
	}
	lock, err := a.state.Lock()
	if err != nil {
		return nil, fmt.Errorf("copy the lock of the state folder: %w", err)
	}
	if lock != nil {
		s.AddFile(lockName, lock)
	}
	return s, nil
}

// portError says which setting to change if a port is in use.
func portError(key string, port int, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is in use; choose another with --set %s=PORT: %w", port, key, err)
	}
	return fmt.Errorf("%s=%d: %w", key, port, err)
}
