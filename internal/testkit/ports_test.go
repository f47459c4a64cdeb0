package testkit

import (
	"net"
	"testing"
)

// Ports in a row are passed over if one of them is taken, and none is given out twice.
func TestFreePorts(t *testing.T) {
	seen := make(map[int]bool)
	for range 100 {
		first := FreePorts(t, 3)
		for port := first; port < first+3; port++ {
			if seen[port] || port < firstPort || port >= portsEnd {
				t.Fatalf("port %d, seen before: %v", port, seen[port])
			}
			seen[port] = true
		}
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:"+FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	taken := u.LocalAddr().(*net.UDPAddr).Port
	if allFree(taken-1, 3) || allFree(taken, 1) {
		t.Errorf("port %d is taken", taken)
	}
}
