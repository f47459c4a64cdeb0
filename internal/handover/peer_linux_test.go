package handover

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asNobody runs f in a thread of another user. Only root can do that.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			t.Error(errno)
			return
		}
		f()
	}()
	<-done
}

// TestOtherUser: neither side talks to a process of another user, whatever the modes of the socket.
func TestOtherUser(t *testing.T) {
	dir := t.TempDir()
	_, sockets := listening(t, "http.port")
	serve(t, dir, sockets)
	path := filepath.Join(dir, socketName)
	for p, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o777, dir: 0o777, path: 0o777} {
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	var c *net.UnixConn
	asNobody(t, func() {
		var err error
		if c, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"}); err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { c.Close() })
	})
	if c == nil {
		return
	}
	l := line{c}
	if err := l.send(message{Kind: kindHello}, nil, time.Now().Add(talkTimeout)); err != nil {
		t.Fatal(err)
	}
	m, files, err := l.receive(time.Now().Add(20 * time.Second))
	closeAll(files)
	if err != nil || m.Kind != kindRefused || !strings.Contains(m.Why, "belongs to user 65534") || len(files) > 0 {
		t.Errorf("the server says %+v with %d sockets, %v", m, len(files), err)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
	})
	if p, err := Connect(t.Context(), dir, "2", quiet); p != nil || err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("the new process trusts a stranger: %v, %v", p, err)
	}
}
