package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// Sockets are open sockets and locks with names, such as "http.port". Several may have one name. A Sockets owns its files. Any goroutine may
// call the methods. A nil Sockets is empty.
type Sockets struct {
	mu    sync.Mutex
	files []named // guarded by mu
}

type named struct {
	name string
	file *os.File
}

// Filer is a socket, such as a *net.TCPListener or a *net.UDPConn. File returns a copy of the file descriptor.
type Filer interface{ File() (*os.File, error) }

// Add keeps a copy of a socket.
func (s *Sockets) Add(name string, f Filer) error {
	file, err := f.File()
	if err != nil {
		return fmt.Errorf("copy the socket of %s: %w", name, err)
	}
	s.add(name, file)
	return nil
}

// AddFile keeps a file, which is no longer the caller's.
func (s *Sockets) AddFile(name string, f *os.File) { s.add(name, f) }

func (s *Sockets) add(name string, f *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = append(s.files, named{name, f})
}

// Take removes the files of a name. They are the caller's.
func (s *Sockets) Take(name string) []*os.File {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken []*os.File
	var rest []named
	for _, n := range s.files {
		if n.name == name {
			taken = append(taken, n.file)
		} else {
			rest = append(rest, n)
		}
	}
	s.files = rest
	return taken
}

// Listener takes the first listener of a name that has the port, or any port if that is 0. It closes the others of the name. It returns nil if
// there is none.
func (s *Sockets) Listener(name string, port int) net.Listener {
	var found net.Listener
	for _, f := range s.Take(name) {
		l, err := net.FileListener(f) // a copy
		f.Close()
		if err != nil {
			continue
		}
		if a, ok := l.Addr().(*net.TCPAddr); found == nil && ok && (port == 0 || a.Port == port) {
			found = l
			continue
		}
		l.Close()
	}
	return found
}

// UDP takes the UDP sockets of a name that have the port, or any one port if that is 0. It closes the others of the name.
func (s *Sockets) UDP(name string, port int) []*net.UDPConn {
	var found []*net.UDPConn
	for _, f := range s.Take(name) {
		c, err := net.FilePacketConn(f) // a copy
		f.Close()
		if err != nil {
			continue
		}
		u, ok := c.(*net.UDPConn)
		if !ok {
			c.Close()
			continue
		}
		if at := u.LocalAddr().(*net.UDPAddr).Port; port == 0 || port == at {
			port = at
			found = append(found, u)
			continue
		}
		u.Close()
	}
	return found
}

// Names returns the name of each file.
func (s *Sockets) Names() []string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, len(s.files))
	for i, n := range s.files {
		names[i] = n.name
	}
	return names
}

// Close closes all files.
func (s *Sockets) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, n := range s.files {
		errs = append(errs, n.file.Close())
	}
	s.files = nil
	return errors.Join(errs...)
}

// descriptors calls do with the file descriptors and their names. They stay open until do returns. File.Fd is not used: it would switch the
// sockets to blocking, for all processes that have them.
func (s *Sockets) descriptors(do func(names []string, fds []int) error) error {
	if s == nil {
		return do(nil, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return withDescriptors(s.files, nil, do)
}

func withDescriptors(files []named, fds []int, do func([]string, []int) error) error {
	if len(fds) == len(files) {
		names := make([]string, len(files))
		for i, n := range files {
			names[i] = n.name
		}
		return do(names, fds)
	}
	raw, err := files[len(fds)].file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = withDescriptors(files, append(fds, int(fd)), do) })
	if err != nil {
		return fmt.Errorf("socket of %s: %w", files[len(fds)].name, err)
	}
	return inner
}
