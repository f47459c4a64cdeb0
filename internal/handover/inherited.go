package handover

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	// againKey is the variable by which an image of this program gives sockets to the next one in the same process: name=descriptor, with
	// commas between.
	againKey = "TAKEN_SOCKETS"
	// firstDescriptor is where systemd's descriptors begin (sd_listen_fds(3)).
	firstDescriptor = 3
)

// Inherited returns the sockets that this process was started with: by systemd, or by the image that the process executed before. It is called
// once, before the process starts others.
func Inherited(getenv func(string) string) *Sockets {
	s := &Sockets{}
	for entry := range strings.SplitSeq(getenv(againKey), ",") {
		name, number, ok := strings.Cut(entry, "=")
		if fd, err := strconv.Atoi(number); ok && err == nil {
			s.adopt(name, fd)
		}
	}
	if pid, err := strconv.Atoi(getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return s
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 1 || n > maxDescriptors {
		return s
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		s.adopt(name, firstDescriptor+i)
	}
	return s
}

// adopt keeps a descriptor, if it is open. Children do not get it.
func (s *Sockets) adopt(name string, fd int) {
	syscall.CloseOnExec(fd)
	if f := os.NewFile(uintptr(fd), name); f != nil {
		if _, err := f.Stat(); err == nil {
			s.add(name, f)
		}
	}
}

// Again executes the image of this process again, with the sockets. It returns only if that fails. All else of the process is gone then; its
// number stays.
func (s *Sockets) Again(args, environ []string) error {
	return s.descriptors(func(names []string, fds []int) error {
		var entries []string
		for i, fd := range fds {
			if err := keepOnExec(fd); err != nil {
				return fmt.Errorf("socket of %s: %w", names[i], err)
			}
			entries = append(entries, names[i]+"="+strconv.Itoa(fd))
		}
		environ = append(cleared(environ), againKey+"="+strings.Join(entries, ","))
		return fmt.Errorf("execute this program again: %w", syscall.Exec(image, args, environ))
	})
}

// image is the program of this process, whatever lies at its path now.
const image = "/proc/self/exe"

func keepOnExec(fd int) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_SETFD, 0); errno != 0 {
		return errno
	}
	return nil
}

// cleared removes the variables that are about this process alone.
func cleared(environ []string) []string {
	var rest []string
	for _, e := range environ {
		switch key, _, _ := strings.Cut(e, "="); key {
		case againKey, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES":
		default:
			rest = append(rest, e)
		}
	}
	return rest
}
