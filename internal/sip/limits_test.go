package sip

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
)

// A transfer of which nothing is heard for a minute has failed for the page. The call goes on.
func TestTransferWithoutProgress(t *testing.T) {
	inLab(t, nil, func(l lab) {
		p := &page{}
		var err error
		if p.Phone, err = l.Open(t.Context(), Account{Login: "ann", Domain: "192.0.2.1"}, Page{}, p); err != nil {
			t.Fatal(err)
		}
		if err := p.Call(t.Context(), PageCall{CallID: "c", Callee: "bob", Audio: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.line.respond(l.line.last("INVITE"), 200, "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n")
		synctest.Wait()
		if err := p.Transfer("c", "eve"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.line.respond(l.line.last("REFER"), 202, "")
		failed := func() bool {
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			return slices.Contains(p.told, "c transfer 408")
		}
		time.Sleep(transferLimit - time.Second)
		if failed() {
			t.Error("the page is told too early")
		}
		time.Sleep(2 * time.Second)
		if !failed() {
			t.Errorf("the page was told %q, want a transfer 408", p.told)
		}
		if i := l.info("c"); i.Status != dialog.Established {
			t.Errorf("the call is %+v", i)
		}
	})
}

// A call that is led from one address to the next remembers only some of them.
func TestAddressesOfOneCall(t *testing.T) {
	r := record{peers: map[netip.Addr]struct{}{}}
	for i := range 2 * maxPeers {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		if got, want := r.meets(a), i < maxPeers; got != want || r.knows(a) != want {
			t.Errorf("address %d is new: %v, want %v", i, got, want)
		}
	}
}

// The SDP names the public address of the settings, but for a peer on this machine.
func TestMediaAddress(t *testing.T) {
	local, public := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("203.0.113.7")
	c := &Calls{cfg: Config{Line: line.Config{External: []netip.Addr{netip.MustParseAddr("2001:db8::7"), public}}}}
	for remote, want := range map[string]netip.Addr{"198.51.100.1:5060": public, "127.0.0.1:5060": local} {
		if got := c.mediaAddress(line.Path{Remote: netip.MustParseAddrPort(remote), Local: local}); got != want {
			t.Errorf("toward %s: %v, want %v", remote, got, want)
		}
	}
}
