package handover

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Manager is systemd, or another service manager that speaks its protocol (sd_notify(3)). The zero Manager is none, and takes everything.
type Manager struct {
	address string // NOTIFY_SOCKET
	silence string // WATCHDOG_USEC
}

// NewManager returns the service manager that has started this process.
func NewManager(getenv func(string) string) Manager {
	a := getenv("NOTIFY_SOCKET")
	if strings.HasPrefix(a, "@") {
		a = "\x00" + a[1:]
	}
	if a != "" && a[0] != '/' && a[0] != 0 {
		a = "" // vsock, of virtual machines
	}
	return Manager{a, getenv("WATCHDOG_USEC")}
}

// Silence returns after what time without Alive the manager takes the service for dead; 0: it does not watch. WATCHDOG_PID is not looked at: a
// process that takes over inherits it from the process before.
func (m Manager) Silence() time.Duration {
	us, err := strconv.ParseInt(m.silence, 10, 64)
	if err != nil || us <= 0 || us > math.MaxInt64/int64(time.Microsecond) || m.address == "" {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// Alive says that the service is alive.
func (m Manager) Alive() error { return m.Notify("WATCHDOG=1") }

// Notify sends assignments, such as "READY=1".
func (m Manager) Notify(assignments ...string) error { return m.send(nil, assignments...) }

// Main says which process is the service's main one from now on.
func (m Manager) Main(pid int) error { return m.Notify("MAINPID=" + strconv.Itoa(pid)) }

// Store has the manager keep the sockets while the service is restarted, in the place of those that it had under the same names. The unit
// says how many it may keep (FileDescriptorStoreMax=). An older or newer manager than expected ignores what it does not know. What has a name among
// without is not kept: a lock would outlive the service.
func (m Manager) Store(s *Sockets, without ...string) error {
	if m.address == "" {
		return nil
	}
	return s.descriptors(func(names []string, fds []int) error {
		removed := map[string]bool{}
		var errs []error
		for i, name := range names {
			if slices.Contains(without, name) {
				continue
			}
			if !removed[name] {
				removed[name] = true
				errs = append(errs, m.Notify("FDSTOREREMOVE=1", "FDNAME="+name))
			}
			errs = append(errs, m.send([]int{fds[i]}, "FDSTORE=1", "FDPOLL=0", "FDNAME="+name))
		}
		return errors.Join(errs...)
	})
}

func (m Manager) send(fds []int, assignments ...string) error {
	if m.address == "" {
		return nil
	}
	// Dialled sockets of package net send no descriptors.
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"}) // the kernel gives it a name
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(talkTimeout)); err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	if _, _, err := c.WriteMsgUnix([]byte(strings.Join(assignments, "\n")), rights, &net.UnixAddr{Name: m.address, Net: "unixgram"}); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}
