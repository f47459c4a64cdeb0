package testkit

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// Below the ports that Linux gives to outgoing connections and to listeners of port 0 (32768 and up): nobody else takes one by chance between the choice
// and its use, or while a server that had it is away. From 20000 on are the ports for the media of baresip, and from 30000 those of our calls.
const (
	firstPort = 11000
	portsEnd  = 20000
)

// ports counts the ports that were given out. Processes begin at different ones.
var ports atomic.Int64

func init() { ports.Store(int64(os.Getpid()) * 61) }

// FreePorts returns the first of n ports in a row that are free for UDP and TCP, for servers that cannot choose by themselves. A process gets no port again
// before it has had all of them.
func FreePorts(t testing.TB, n int) int {
	t.Helper()
	for range portsEnd - firstPort {
		last := int(ports.Add(int64(n))) % (portsEnd - firstPort)
		if last >= n && allFree(firstPort+last-n, n) {
			return firstPort + last - n
		}
	}
	t.Fatalf("there are no %d free ports in a row", n)
	return 0
}

// FreePort returns one free port as text.
func FreePort(t testing.TB) string {
	t.Helper()
	return strconv.Itoa(FreePorts(t, 1))
}

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		address := ":" + strconv.Itoa(port)
		u, err := net.ListenPacket("udp", address)
		if err != nil {
			return false
		}
		u.Close()
		l, err := net.Listen("tcp", address)
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
