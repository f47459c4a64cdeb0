package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"transponder/internal/config"
	"transponder/internal/rtc"
	udpport "transponder/internal/rtc/udp"
)

// iceServerFor is how long a STUN or TURN server may take for all that the doctor asks.
const iceServerFor = 5 * time.Second

// iceServers goes to each server of the setting ice_servers as a client would, and has the TURN servers let this server's media address through.
func iceServers(ctx context.Context, cfg config.Config, now time.Time) []diagnosis {
	servers := cfg.ICEServers.For("doctor", now)
	media := cfg.Media.Addresses
	if public := publicAddress(); len(media) == 0 && public.IsValid() {
		media = []netip.Addr{public}
	}
	all := make([]diagnosis, len(servers))
	var wg sync.WaitGroup
	for i, one := range servers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, iceServerFor)
			defer cancel()
			all[i] = iceServer(ctx, one, media, cfg.ICEServers.Secret != "")
		})
	}
	wg.Wait()
	return all
}

func iceServer(ctx context.Context, one rtc.ICEServer, media []netip.Addr, temporary bool) diagnosis {
	d := diagnosis{Check: one.URL, Result: bad}
	stage, err := visit(ctx, one, media)
	var refused *stun.TurnError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var host x509.HostnameError
	switch {
	case err == nil && one.User == "":
		d.Result, d.Info = good, "The server answers."
	case err == nil && len(media) == 0:
		d.Result, d.Info = good, "The server takes the name and the password. Whether it lets clients reach this server was not checked: set ip to the address that clients get."
	case err == nil:
		d.Result, d.Info = good, "The server takes the name and the password, and lets clients reach this server."
	case errors.As(err, &refused) && stage == permitted:
		d.Info = fmt.Sprintf("The server takes the name and the password, and does not let clients reach this server at %s (%s). In coturn, set allowed-peer-ip to that address.",
			media[0], refused.ErrorCodeAttr)
	case errors.As(err, &refused) && refused.ErrorCodeAttr.Code == stun.CodeUnauthorized && temporary:
		d.Info = "The server refuses the name and the password (401). turn_secret must be its static-auth-secret, and the clocks of both machines must be right."
	case errors.As(err, &refused) && refused.ErrorCodeAttr.Code == stun.CodeUnauthorized:
		d.Info = "The server refuses the name and the password (401): correct turn_user and turn_password."
	case errors.As(err, &refused):
		d.Info = fmt.Sprintf("The server refuses to relay: %s.", refused.ErrorCodeAttr)
	case errors.As(err, &name):
		d.Info = fmt.Sprintf("The name of the server cannot be resolved (%v). Correct ice_servers.", err)
	case errors.As(err, &certificate), errors.As(err, &host):
		d.Info = fmt.Sprintf("Browsers do not accept the certificate of the server: %v.", err)
	default:
		d.Info = fmt.Sprintf("The server does not answer (%v). Does it run, and does its firewall let clients in?", err)
	}
	return d
}

// stage is how far a visit came.
type stage int

const (
	reached stage = iota
	allocated
	permitted // or refused
)

// visit asks a STUN server for an address, or has a TURN server relay to the media addresses.
func visit(ctx context.Context, one rtc.ICEServer, media []netip.Addr) (stage, error) {
	uri, err := stun.ParseURI(one.URL)
	if err != nil {
		return reached, err
	}
	conn, err := dialICE(ctx, uri)
	if err != nil {
		return reached, err
	}
	at := conn.server.String()
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: at, TURNServerAddr: at, Username: one.User, Password: string(one.Credential), Conn: conn, LoggerFactory: quietLogs{},
	})
	if err != nil {
		conn.Close()
		return reached, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { // ends what waits for an answer
		c.Close()
		conn.Close()
	})()
	defer func() {
		cancel(nil)
		c.Close()
		conn.Close()
	}()
	wg.Go(func() { cancel(read(conn, c)) })
	if one.User == "" {
		_, err := c.SendBindingRequest()
		return reached, orLate(ctx, err)
	}
	relay, err := c.AllocateWithContext(ctx)
	var refused *stun.TurnError
	if errors.As(err, &refused) && refused.ErrorCodeAttr.Code == stun.CodeStaleNonce { // asks for another try (RFC 8489 §9.2.5), as one of several servers at an address does
		relay, err = c.AllocateWithContext(ctx)
	}
	if err != nil {
		return allocated, orLate(ctx, err)
	}
	defer relay.Close()
	for _, a := range media {
		if err := c.CreatePermission(net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 1))); err != nil {
			return permitted, orLate(ctx, err)
		}
	}
	return permitted, nil
}

// read gives the client what the server sends, until the connection ends.
func read(conn net.PacketConn, c *turn.Client) error {
	for b := make([]byte, udpport.MaxDatagram); ; {
		n, from, err := conn.ReadFrom(b)
		if err == nil {
			_, err = c.HandleInbound(b[:n], from)
		}
		if err != nil {
			return err
		}
	}
}

// orLate returns why the connection ended, if that is why there is an error.
func orLate(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case err == nil || cause == nil:
		return err
	case errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("nothing in %v", iceServerFor)
	default:
		return cause
	}
}

// iceConn is a connection to a STUN or TURN server.
type iceConn struct {
	net.PacketConn

	server net.Addr
}

// dialICE connects to a server as its address says. The default ports are those of RFC 7064 and RFC 7065.
func dialICE(ctx context.Context, uri *stun.URI) (iceConn, error) {
	host := net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	var dialer net.Dialer
	switch {
	case uri.Scheme == stun.SchemeTypeSTUNS || uri.Scheme == stun.SchemeTypeTURNS:
		secured := tls.Dialer{NetDialer: &dialer, Config: &tls.Config{MinVersion: tls.VersionTLS12}}
		conn, err := secured.DialContext(ctx, "tcp", host)
		if err != nil {
			return iceConn{}, err
		}
		return iceConn{turn.NewSTUNConn(conn), conn.RemoteAddr()}, nil
	case uri.Proto == stun.ProtoTypeTCP:
		conn, err := dialer.DialContext(ctx, "tcp", host)
		if err != nil {
			return iceConn{}, err
		}
		return iceConn{turn.NewSTUNConn(conn), conn.RemoteAddr()}, nil
	}
	conn, err := dialer.DialContext(ctx, "udp", host)
	if err != nil {
		return iceConn{}, err
	}
	return iceConn{connected{conn.(*net.UDPConn)}, conn.RemoteAddr()}, nil
}

// connected is a socket that learns when nobody is at the far end. Its only peer is the server.
type connected struct{ *net.UDPConn }

// WriteTo implements net.PacketConn.
func (c connected) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }

// quietLogs drops what the library tells: its errors are returned, too, and its lines may show names and passwords.
type quietLogs struct{}

// NewLogger implements logging.LoggerFactory.
func (quietLogs) NewLogger(string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, io.Discard)
}
