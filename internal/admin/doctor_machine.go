package admin

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"transponder/internal/config"
	udpport "transponder/internal/rtc/udp"
	"transponder/internal/transcode/libav"
	"transponder/internal/transponder"
)

// diagnosis is what the doctor says about one thing.
type diagnosis struct {
	Check  string `json:"check"`
	Result string `json:"result"` // as of a step of a push check
	Info   string `json:"info"`   // a sentence, and what to do
}

const (
	good    = string(transponder.CheckOK)
	bad     = string(transponder.CheckFailed)
	unknown = string(transponder.CheckSkipped)
)

func doctorMachine(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		cfg, err := s.config()
		if err != nil {
			return err
		}
		return s.printDiagnoses(examine(ctx, cfg, machine{proc: "/proc", now: time.Now()}))
	}
}

func (s *session) printDiagnoses(all []diagnosis) error {
	if s.json {
		if err := json.NewEncoder(s.out).Encode(all); err != nil {
			return err
		}
	} else {
		rows := make([][]string, len(all))
		for i, d := range all {
			rows[i] = []string{strings.ToUpper(d.Result), d.Check, d.Info}
		}
		if err := s.table([]string{"RESULT", "CHECK", "WHAT"}, rows); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(all, func(d diagnosis) bool { return d.Result == bad }) {
		return ErrSilent
	}
	return nil
}

// machine is where the server runs, or is to run.
type machine struct {
	proc string // the folder /proc
	now  time.Time
}

// examine looks at everything that the settings need of the machine.
func examine(ctx context.Context, cfg config.Config, m machine) []diagnosis {
	all := m.ports(cfg)
	all = append(all, m.addresses(ctx, cfg), m.clock(), m.buffers(cfg), m.files(cfg))
	all = append(all, m.certificates(cfg)...)
	all = append(all, iceServers(ctx, cfg, m.now)...)
	return append(append(all, m.folders(cfg)...), versions())
}

// listening returns the local ports of a table of the kernel, such as net/tcp. ok is false if the table cannot be read. Trying a port instead would
// take it from a server that is about to start.
func (m machine) listening(tables ...string) (ports map[int]bool, ok bool) {
	ports = map[int]bool{}
	for _, table := range tables {
		text, err := os.ReadFile(filepath.Join(m.proc, "net", table))
		if err != nil {
			continue
		}
		ok = true
		for _, line := range strings.Split(string(text), "\n")[1:] {
			fields := strings.Fields(line)
			if len(fields) < 4 || strings.HasPrefix(table, "tcp") && fields[3] != "0A" { // TCP_LISTEN
				continue
			}
			_, port, _ := strings.Cut(fields[1], ":")
			if b, err := hex.DecodeString(port); err == nil && len(b) == 2 {
				ports[int(b[0])<<8|int(b[1])] = true
			}
		}
	}
	return ports, ok
}

// ports says which ports of the settings are free.
func (m machine) ports(cfg config.Config) []diagnosis {
	tcp, ok := m.listening("tcp", "tcp6")
	udp, _ := m.listening("udp", "udp6")
	if !ok {
		return []diagnosis{{"ports", unknown, "Not checked: the kernel's table of connections cannot be read."}}
	}
	var all []diagnosis
	l := cfg.Listen
	for _, p := range []struct {
		key  string
		port int
		open map[int]bool
	}{
		{"http.port", l.HTTP, tcp}, {"https.port", l.HTTPS, tcp}, {"ws.port", l.WS, tcp}, {"wss.port", l.WSS, tcp}, {"rtmp.port", l.RTMP, tcp}, {"rtmps.port", l.RTMPS, tcp},
		{"media_port_from", cfg.Media.Port, udp},
	} {
		if p.port <= 0 {
			continue
		}
		d := diagnosis{"port " + strconv.Itoa(p.port), good, fmt.Sprintf("Free for %s.", p.key)}
		if p.open[p.port] {
			d.Info = fmt.Sprintf("In use. If that is not this server, end the other program, or set %s to another port.", p.key)
		}
		all = append(all, d)
	}
	return all
}

// addresses says whether browsers can reach the media port. With addresses in the settings, it sends a datagram there and waits until it comes back, or
// until the server that runs answers it.
func (m machine) addresses(ctx context.Context, cfg config.Config) diagnosis {
	d := diagnosis{Check: "media address", Result: unknown}
	if len(cfg.Media.Addresses) == 0 {
		if public := publicAddress(); public.IsValid() {
			d.Result, d.Info = good, fmt.Sprintf("This machine has the public address %s, which browsers get.", public)
			return d
		}
		d.Info = "Not checked: this machine has addresses of private networks only. For browsers outside, set ip to the public address of this machine."
		return d
	}
	udp, ok := m.listening("udp", "udp6")
	if cfg.Media.Port == 0 {
		d.Info = "Not checked: with media_port_from=0 the server takes another port at each start, which no firewall can be opened for. Set media_port_from."
		return d
	}
	ask := roundTrip
	if !ok || udp[cfg.Media.Port] { // the server runs
		ask = probe
	}
	for _, a := range cfg.Media.Addresses {
		switch err := ask(ctx, netip.AddrPortFrom(a, uint16(cfg.Media.Port))); {
		case errors.Is(err, udpport.ErrSomebody):
			d.Result, d.Info = bad, fmt.Sprintf("Another program answers at %s, UDP port %d. Forward the port to this machine, or correct the setting ip.", a, cfg.Media.Port)
			return d
		case err != nil:
			d.Info = fmt.Sprintf("A datagram to %s, port %d, did not come back (%v). Open the port in the firewall and forward it to this machine. Some routers do not return such "+
				"datagrams to their own network: then try from outside.", a, cfg.Media.Port, err)
			return d
		}
	}
	d.Result, d.Info = good, "A datagram to the address of the setting ip came back to the media port."
	return d
}

// probe asks the server that runs whether datagrams to an address come to its media port.
func probe(ctx context.Context, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, roundTripFor)
	defer cancel()
	err := udpport.Probe(ctx, to)
	if errors.Is(err, udpport.ErrSilent) {
		return fmt.Errorf("%w in %v", err, roundTripFor)
	}
	return err
}

// publicAddress returns an address of this machine that is in no private network.
func publicAddress() netip.Addr {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() && !transponder.IsInside(p.Addr()) {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// roundTripFor is how long a datagram may take to the public address and back.
const roundTripFor = 2 * time.Second

// roundTrip sends a STUN request (RFC 8489, 5) to an address from a port of its own, and waits until it arrives at the port of the address on this machine.
func roundTrip(ctx context.Context, to netip.AddrPort) error {
	var lc net.ListenConfig
	receiver, err := lc.ListenPacket(ctx, "udp", ":"+strconv.Itoa(int(to.Port())))
	if err != nil {
		return err
	}
	defer receiver.Close()
	sender, err := lc.ListenPacket(ctx, "udp", ":0")
	if err != nil {
		return err
	}
	defer sender.Close()
	request := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 't', 'r', 'a', 'n', 's', 'p', 'o', 'n', 'd', 'e', 'r', '!'}
	if _, err := sender.WriteTo(request, net.UDPAddrFromAddrPort(to)); err != nil {
		return err
	}
	_ = receiver.SetReadDeadline(time.Now().Add(roundTripFor))
	for got := make([]byte, 64); ; {
		n, _, err := receiver.ReadFrom(got)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("nothing in %v", roundTripFor)
		}
		if err != nil {
			return err
		}
		if string(got[:n]) == string(request) {
			return nil
		}
	}
}

// clock says whether something keeps the clock right: tokens and certificates have times.
func (m machine) clock() diagnosis {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return diagnosis{"clock", unknown, "Not checked: the kernel does not tell whether the clock is synchronized."}
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return diagnosis{"clock", unknown, "The kernel says that nothing synchronizes the clock. Install chrony or systemd-timesyncd, unless the host of this machine does it: " +
			"tokens and certificates are judged by the clock."}
	}
	return diagnosis{"clock", good, "The clock is synchronized."}
}

// buffers says whether the media socket can get the buffer that it wants.
func (m machine) buffers(cfg config.Config) diagnosis {
	const key = "net.core.rmem_max"
	text, err := os.ReadFile(filepath.Join(m.proc, "sys/net/core/rmem_max"))
	most, wrong := strconv.Atoi(strings.TrimSpace(string(text)))
	switch want := cfg.Media.ReadBuffer; {
	case err != nil || wrong != nil:
		return diagnosis{"buffers", unknown, "Not checked: " + key + " cannot be read."}
	case most < want:
		return diagnosis{"buffers", bad, fmt.Sprintf("%s is %d, and a media socket wants %d, so packets are lost when many come at once. Run: sysctl -w %s=%d", key, most, want, key, want)}
	}
	return diagnosis{"buffers", good, fmt.Sprintf("%s is %d, which is enough for the media sockets.", key, most)}
}

// filesBeside is how many files the server opens beside one for each HTTP connection.
const filesBeside = 1024

// files says whether the process may open enough files.
func (m machine) files(cfg config.Config) diagnosis {
	var limit unix.Rlimit
	want := uint64(cfg.Listen.MaxHTTP + filesBeside)
	switch err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); {
	case err != nil:
		return diagnosis{"open files", unknown, "Not checked: " + err.Error() + "."}
	case limit.Max < want:
		return diagnosis{"open files", bad, fmt.Sprintf("At most %d files may be open here, and http_max_connections=%d needs %d. Set LimitNOFILE in the service, or lower the setting.",
			limit.Max, cfg.Listen.MaxHTTP, want)}
	}
	return diagnosis{"open files", good, fmt.Sprintf("Up to %d files may be open here.", limit.Max)}
}

// certificates says until when the certificate of the settings is valid.
func (m machine) certificates(cfg config.Config) []diagnosis {
	l, c := cfg.Listen, cfg.Certificate
	switch {
	case l.HTTPS < 0 && l.WSS < 0 && l.RTMPS < 0:
		return nil
	case len(c.ACME.Hosts) > 0:
		return []diagnosis{{"certificate", good, "Ordered by ACME for " + strings.Join(c.ACME.Hosts, ", ") + "."}}
	case c.CertFile == "":
		return []diagnosis{{"certificate", unknown, "The server makes a certificate that browsers warn of. Set tls_cert_file and tls_key_file, or tls_acme_hosts."}}
	}
	text, err := os.ReadFile(c.CertFile)
	if err != nil {
		return []diagnosis{{"certificate", bad, "tls_cert_file: " + err.Error() + "."}}
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return []diagnosis{{"certificate", bad, "tls_cert_file holds no PEM block."}}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return []diagnosis{{"certificate", bad, "tls_cert_file: " + err.Error() + "."}}
	}
	words := fmt.Sprintf("The certificate for %s ends on %s.", strings.Join(cert.DNSNames, ", "), cert.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case m.now.After(cert.NotAfter):
		return []diagnosis{{"certificate", bad, words + " That is over: replace it."}}
	case cert.NotAfter.Sub(m.now) < transponder.CertificateSoon:
		return []diagnosis{{"certificate", bad, words + " That is soon: renew it."}}
	}
	return []diagnosis{{"certificate", good, words}}
}

// leastFree is the space that a folder should have left.
const leastFree = 256 << 20

// folders says whether the folders of the settings can be used.
func (m machine) folders(cfg config.Config) []diagnosis {
	var all []diagnosis
	for _, f := range []struct {
		key, dir string
		write    bool
	}{{"state_dir", cfg.State.Dir, true}, {"media_dir", cfg.MediaDir, false}} {
		if f.dir == "" {
			continue
		}
		all = append(all, folder(f.key, f.dir, f.write))
	}
	return all
}

func folder(key, dir string, write bool) diagnosis {
	there := dir
	_, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) && write { // the server makes it
		there = filepath.Dir(filepath.Clean(dir))
		_, err = os.Stat(there)
	}
	var disk unix.Statfs_t
	switch {
	case errors.Is(err, os.ErrNotExist) && !write:
		return diagnosis{key, unknown, fmt.Sprintf("There is no folder %s. It is needed for sound files and pictures only.", dir)}
	case err != nil:
		return diagnosis{key, bad, fmt.Sprintf("%s cannot be used: %v. Make it, and give it to the user of the server.", dir, err)}
	case write && unix.Access(there, unix.W_OK) != nil:
		return diagnosis{key, bad, fmt.Sprintf("%s cannot be written by this user. Run the doctor as the user of the server, or give the folder to that user.", there)}
	case unix.Statfs(there, &disk) != nil:
		return diagnosis{key, unknown, fmt.Sprintf("The free space of %s cannot be read.", there)}
	}
	free := disk.Bavail * uint64(disk.Bsize)
	if free < leastFree {
		return diagnosis{key, bad, fmt.Sprintf("The disk of %s has %d MB left. Make room: the state needs a few MB, and a full disk keeps pushes from outliving a restart.", there, free>>20)}
	}
	return diagnosis{key, good, fmt.Sprintf("%s can be used, with %d MB left.", dir, free>>20)}
}

// versions says what this program is made of.
func versions() diagnosis {
	version := "a development build"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	codecs := "without codecs: pictures and sound are not transcoded"
	if v := libav.Version(); v != "" {
		codecs = "FFmpeg " + v
	}
	return diagnosis{"versions", good, fmt.Sprintf("%s, %s, %s.", version, runtime.Version(), codecs)}
}
