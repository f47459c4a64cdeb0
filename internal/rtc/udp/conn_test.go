package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
)

// TestConn: sockets that share batches exchange datagrams of up to 64 KiB, and a reader ends with its socket.
func TestConn(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			batches := NewBatches(1 << 16)
			at := netip.AddrPortFrom(netip.MustParseAddr(host), 0)
			a, err := Listen(at, 1<<20, batches)
			if err != nil {
				t.Skip(err)
			}
			b, err := Listen(at, 1<<20, batches)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			local := netip.AddrPortFrom(at.Addr(), uint16(b.Port()))
			for _, size := range []int{0, 1, 1200, MaxDatagram + 1, 60000} {
				want := bytes.Repeat([]byte{byte(size)}, size)
				if !a.Send(want, local) {
					t.Fatalf("%d bytes were not sent", size)
				}
				batch, err := b.Read()
				if err != nil || batch.Len() != 1 {
					t.Fatalf("read %v", err)
				}
				got, from := batch.Datagram(0)
				if !bytes.Equal(got, want) || int(from.Port()) != a.Port() || from.Addr() != at.Addr() {
					t.Errorf("got %d bytes from %v, want %d from port %d", len(got), from, size, a.Port())
				}
				batches.Put(batch)
			}
			if n := len(batches.free); n != 1 {
				t.Errorf("%d batches lie ready, want 1 that was used again and again", n)
			}
			ended := make(chan error)
			go func() {
				_, err := a.Read()
				ended <- err
			}()
			a.Close()
			if err := await(t, ended); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the reader of a closed socket got %v", err)
			}
			if a.Send([]byte("x"), local) {
				t.Error("a closed socket sends")
			}
			batches.Close()
			if n := len(batches.free); n != 0 {
				t.Errorf("%d batches are left", n)
			}
		})
	}
}

// TestBatchesAreBounded: no more than maxFree lie ready.
func TestBatchesAreBounded(t *testing.T) {
	batches := NewBatches(1 << 16)
	defer batches.Close()
	var lent []*Batch
	for range 2 * maxFree {
		lent = append(lent, batches.get())
	}
	for _, b := range lent {
		batches.Put(b)
	}
	if n := len(batches.free); n != maxFree {
		t.Errorf("%d batches lie ready, want %d", n, maxFree)
	}
}
