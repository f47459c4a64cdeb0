package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Advise adds to an error of a folder what to do, if this process has no right to write there.
func Advise(err error, dir string) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		who := strconv.Itoa(os.Geteuid())
		if u, unknown := user.LookupId(who); unknown == nil {
			who = u.Username
		}
		return fmt.Errorf("%w: the server runs as user %s, who has no right to it; run: chown -R %[2]s %s", err, who, dir)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: the server cannot write there; if systemd has started it, add ReadWritePaths=%s to its unit (systemctl edit transponder)", err, dir)
	}
	return err
}
