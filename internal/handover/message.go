package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	// maxMessage is far more than any message has: a name for each socket.
	maxMessage = 32 << 10
	// maxDescriptors is how many descriptors the kernel takes in one message (SCM_MAX_FD).
	maxDescriptors = 253
	// protocol is the version of the messages. A process that understands only newer ones says so in least.
	protocol = 1
)

// The kinds of message.
const (
	kindHello   = "hello"   // new to old: who I am
	kindSockets = "sockets" // old to new: who I am, with the sockets
	kindRefused = "refused" // old to new: why not
	kindReady   = "ready"   // new to old: all that can fail is done
	kindWait    = "wait"    // old to new: how long it may still take
	kindYours   = "yours"   // old to new: my work has ended
	kindServing = "serving" // new to old: go
)

// message is a message of either side.
type message struct {
	Kind     string `json:"kind"`
	Protocol int    `json:"protocol,omitempty"`
	Least    int    `json:"least,omitempty"` // the least protocol that the sender understands
	Version  string `json:"version,omitempty"`
	PID      int    `json:"pid,omitempty"`

	Names []string `json:"names,omitempty"` // of the descriptors, in their order
	Why   string   `json:"why,omitempty"`

	Streams int   `json:"streams,omitempty"` // that the old process still has
	LeftMs  int64 `json:"leftMs,omitempty"`  // until the old process ends them
}

// errStrange means that the other process does not keep to the protocol.
var errStrange = errors.New("the other process sends something unexpected")

// line is a connection between the two processes. One goroutine may read, one may write.
type line struct{ conn *net.UnixConn }

// send sends a message, with descriptors if there are any. A zero deadline is none.
func (l line) send(m message, fds []int, deadline time.Time) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > maxMessage || len(fds) > maxDescriptors {
		return fmt.Errorf("message %s has %d bytes and %d descriptors", m.Kind, len(b), len(fds))
	}
	if err := l.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	_, _, err = l.conn.WriteMsgUnix(b, rights, nil)
	return err
}

// receive waits for a message. The files are the caller's. A zero deadline is none. At the end of the connection it returns io.EOF.
func (l line) receive(deadline time.Time) (m message, files []*os.File, err error) {
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return m, nil, err
	}
	b := make([]byte, maxMessage)
	rights := make([]byte, syscall.CmsgSpace(maxDescriptors*4))
	n, rn, flags, _, err := l.conn.ReadMsgUnix(b, rights)
	files, rightsErr := parseRights(rights[:rn])
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	switch {
	case err != nil:
		return m, files, err
	case n == 0:
		return m, files, io.EOF
	case rightsErr != nil:
		return m, files, rightsErr
	case flags&(syscall.MSG_TRUNC|syscall.MSG_CTRUNC) != 0:
		return m, files, fmt.Errorf("%w: a message that is too long", errStrange)
	}
	if err := json.Unmarshal(b[:n], &m); err != nil {
		return m, files, fmt.Errorf("%w: %w", errStrange, err)
	}
	if len(m.Names) != len(files) {
		return m, files, fmt.Errorf("%w: %d names and %d descriptors", errStrange, len(m.Names), len(files))
	}
	return m, files, nil
}

// parseRights returns the descriptors in control messages as files.
func parseRights(b []byte) (files []*os.File, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	messages, err := syscall.ParseSocketControlMessage(b)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if errors.Is(err, syscall.EINVAL) {
			continue // no descriptors
		}
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd) // on Linux, package net has asked the kernel for it already
			files = append(files, os.NewFile(uintptr(fd), "inherited"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
