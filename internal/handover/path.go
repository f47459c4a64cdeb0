package handover

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// socketName is the name of the unix socket in the state folder.
const socketName = "handover"

// maxPath is how long the path of a unix socket may be: sun_path has 108 bytes, and other systems less.
const maxPath = 100

// withAddress calls do with an address for the socket in a folder. A path that is too long for the kernel goes through a descriptor of the
// folder.
func withAddress(dir string, do func(*net.UnixAddr) error) error {
	path := filepath.Join(dir, socketName)
	if len(path) <= maxPath {
		return do(&net.UnixAddr{Name: path, Net: "unixpacket"})
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	raw, err := folder.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		short := "/proc/self/fd/" + strconv.Itoa(int(fd)) + "/" + socketName
		inner = do(&net.UnixAddr{Name: short, Net: "unixpacket"})
	})
	return errors.Join(err, inner)
}
