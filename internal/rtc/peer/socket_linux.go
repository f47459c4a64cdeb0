package peer

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// canShare says that several sockets can have one port, with the kernel spreading peers over them.
const canShare = true

// share lets further sockets of this user bind the same port.
func share(raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}
