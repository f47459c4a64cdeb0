package transponder

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcpState holds the kernel's figures of a connection.
type tcpState struct {
	queued int   // bytes that the server's kernel has not acknowledged; -1: unknown
	unsent int   // of those, bytes that were not sent yet
	taken  int64 // bytes that the server's kernel has acknowledged; 0: not counted
	window int   // what the server's kernel is ready to take
	minRTT time.Duration
	rtt    time.Duration // smoothed; 0: not measured yet
	resent int64         // segments that were sent again
}

// tcpInfo returns the kernel's figures of a connection. queued is -1 where the kernel has none.
func tcpInfo(conn net.Conn) tcpState {
	none := tcpState{queued: -1}
	if simulated, ok := conn.(interface{ tcpState() tcpState }); ok { // in a test
		return simulated.tcpState()
	}
	if secured, ok := conn.(*securedConn); ok {
		conn = secured.NetConn()
	}
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return none
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return none
	}
	s := none
	if err := raw.Control(func(fd uintptr) {
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if err != nil {
			return
		}
		s.queued = n
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			s.unsent, s.taken, s.window = int(info.Notsent_bytes), int64(info.Bytes_acked), int(info.Snd_wnd)
			s.minRTT, s.rtt = time.Duration(info.Min_rtt)*time.Microsecond, time.Duration(info.Rtt)*time.Microsecond
			s.resent = int64(info.Total_retrans)
		}
	}); err != nil {
		return none
	}
	return s
}
