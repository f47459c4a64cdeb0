package admin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"transponder/internal/config"
	"transponder/internal/rtc"
	udpport "transponder/internal/rtc/udp"
	"transponder/internal/testkit"
)

// relayed is a TURN server that shares the secret "hunter2", and knows a user "u" with the password "p". It relays to 192.0.2.9 only.
type relayed struct{ udp, forgetful, tcp, tls string } // host:port

func startTURN(t *testing.T, certificate tls.Certificate) relayed {
	t.Helper()
	listen := func() net.PacketConn {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return pc
	}
	pc, again := listen(), &forgetful{PacketConn: listen()}
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secured, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	relay := &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
	only := func(_ net.Addr, peer net.IP) bool { return peer.Equal(net.IPv4(192, 0, 2, 9)) }
	quiet := logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	temporary := turn.LongTermTURNRESTAuthHandler("hunter2", quiet.NewLogger(""))
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "example.com", LoggerFactory: &quiet,
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			if a.Username == "u" {
				return "u", turn.GenerateAuthKey("u", a.Realm, "p"), true
			}
			return temporary(a)
		},
		PacketConnConfigs: []turn.PacketConnConfig{
			{PacketConn: pc, RelayAddressGenerator: relay, PermissionHandler: only}, {PacketConn: again, RelayAddressGenerator: relay, PermissionHandler: only},
		},
		ListenerConfigs: []turn.ListenerConfig{
			{Listener: plain, RelayAddressGenerator: relay, PermissionHandler: only}, {Listener: secured, RelayAddressGenerator: relay, PermissionHandler: only},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return relayed{pc.LocalAddr().String(), again.LocalAddr().String(), plain.Addr().String(), secured.Addr().String()}
}

// forgetful spoils the nonce in the first answer that a TURN server gives, as if another server had to take the next request.
type forgetful struct {
	net.PacketConn

	spoilt atomic.Bool
}

func (f *forgetful) WriteTo(b []byte, to net.Addr) (int, error) {
	m := &stun.Message{Raw: b}
	var nonce stun.Nonce
	if m.Decode() == nil && nonce.GetFrom(m) == nil && !f.spoilt.Swap(true) {
		realm, code := stun.Realm{}, stun.ErrorCodeAttribute{}
		if err := errors.Join(realm.GetFrom(m), code.GetFrom(m)); err != nil {
			return 0, err
		}
		m = stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), m.Type, &code, stun.NewNonce("forgotten"), realm)
		_, err := f.PacketConn.WriteTo(m.Raw, to)
		return len(b), err
	}
	return f.PacketConn.WriteTo(b, to)
}

// The doctor goes to STUN and TURN servers as a client would, and says what is wrong in words. It shows no password.
func TestDoctorOfICEServers(t *testing.T) {
	file, key := testkit.NewAuthority(t).Write(t.TempDir(), x509.Certificate{DNSNames: []string{"turn.example.com"}})
	certificate, err := tls.LoadX509KeyPair(file, key)
	if err != nil {
		t.Fatal(err)
	}
	s := startTURN(t, certificate)
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := silent.LocalAddr().String()
	silent.Close()
	known, other := []netip.Addr{netip.MustParseAddr("192.0.2.9")}, []netip.Addr{netip.MustParseAddr("192.0.2.10")}
	secret := rtc.ICEServers{Secret: "hunter2"}
	now := time.Now()
	for _, tt := range []struct {
		name, url    string
		by           rtc.ICEServers
		at           time.Time
		media        []netip.Addr
		result, says string
	}{
		{"STUN", "stun:" + s.udp, secret, now, known, good, "The server answers."},
		{"STUN over TCP", "stun:" + s.tcp + "?transport=tcp", secret, now, known, bad, "must be"},
		{"TURN", "turn:" + s.udp, secret, now, known, good, "lets clients reach this server"},
		{"TURN over TCP", "turn:" + s.tcp + "?transport=tcp", secret, now, known, good, "lets clients reach this server"},
		{"TURN that asks for another try", "turn:" + s.forgetful, secret, now, known, good, "lets clients reach this server"},
		{"a password of its own", "turn:" + s.udp, rtc.ICEServers{User: "u", Password: "p"}, now, known, good, "takes the name and the password"},
		{"another secret", "turn:" + s.udp, rtc.ICEServers{Secret: "hunter3"}, now, known, bad, "turn_secret must be its static-auth-secret"},
		{"another password", "turn:" + s.udp, rtc.ICEServers{User: "u", Password: "q"}, now, known, bad, "correct turn_user and turn_password"},
		{"a clock two days behind", "turn:" + s.udp, secret, now.Add(-48 * time.Hour), known, bad, "the clocks of both machines must be right"},
		{"a server that is kept away", "turn:" + s.udp, secret, now, other, bad, "does not let clients reach this server at 192.0.2.10"},
		{"no address of ours", "turn:" + s.udp, secret, now, nil, good, "was not checked"},
		{"a certificate of nobody", "turns:" + s.tls, secret, now, known, bad, "do not accept the certificate"},
		{"nobody", "turn:" + closed, secret, now, known, bad, "does not answer"},
		{"nobody over TCP", "turn:" + closed + "?transport=tcp", secret, now, known, bad, "does not answer"},
		{"no such name", "turn:nowhere.invalid", secret, now, known, bad, "cannot be resolved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.by.URLs = []string{tt.url}
			if err := tt.by.Validate(); err != nil {
				if !strings.Contains(err.Error(), tt.says) {
					t.Fatal(err)
				}
				return
			}
			d := iceServer(t.Context(), tt.by.For("doctor", tt.at)[0], tt.media, tt.by.Secret != "")
			if d.Check != tt.url || d.Result != tt.result || !strings.Contains(d.Info, tt.says) || !strings.HasSuffix(d.Info, ".") && !strings.HasSuffix(d.Info, "?") {
				t.Errorf("%+v, want %s with %q", d, tt.result, tt.says)
			}
			if strings.Contains(d.Info, "hunter") {
				t.Errorf("%q shows the secret", d.Info)
			}
		})
	}
	cfg := config.Default()
	cfg.ICEServers = rtc.ICEServers{URLs: []string{"stun:" + s.udp, "turn:" + s.udp}, Secret: "hunter2"}
	cfg.Media.Addresses = known
	if all := iceServers(t.Context(), cfg, now); len(all) != 2 || all[0].Result != good || all[1].Result != good {
		t.Errorf("both servers of the settings: %+v", all)
	}
}

// While the server runs, its media port answers. Another program at that address is told from it.
func TestDoctorAsksServer(t *testing.T) {
	port, err := udpport.Open(t.Context(), udpport.Config{Sockets: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	settings := config.Default()
	settings.Media.Port, settings.Media.Addresses = port.Number(), []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	m := machine{proc(t, 9, port.Number(), "8388608"), time.Now()}
	if d := m.addresses(t.Context(), settings); d.Result != good {
		t.Errorf("%+v, want that the port is reached", d)
	}
	s := startTURN(t, tls.Certificate{})
	settings.Media.Port = int(netip.MustParseAddrPort(s.udp).Port())
	settings.Media.Addresses[0] = netip.MustParseAddr("127.0.0.1")
	m = machine{proc(t, 9, settings.Media.Port, "8388608"), time.Now()}
	if d := m.addresses(t.Context(), settings); d.Result != bad || !strings.Contains(d.Info, "Another program answers at 127.0.0.1") {
		t.Errorf("%+v, want that another program is there", d)
	}
	closed, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	settings.Media.Port = closed.LocalAddr().(*net.UDPAddr).Port
	closed.Close()
	m = machine{proc(t, 9, settings.Media.Port, "8388608"), time.Now()}
	if d := m.addresses(t.Context(), settings); d.Result != unknown || !strings.Contains(d.Info, "did not come back") {
		t.Errorf("%+v, want that nothing came back", d)
	}
	settings.Media.Port = 0
	if d := m.addresses(t.Context(), settings); d.Result != unknown || !strings.Contains(d.Info, "Set media_port_from") {
		t.Errorf("%+v, want that no port is known", d)
	}
}
