package sip

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Pages cannot have the server flood a host that is no registrar. Once the registrar answers, all of them register.
func TestSilentRegistrar(t *testing.T) {
	const pages = maxSilent + 4
	inLab(t, nil, func(l lab) {
		var phones []*Phone
		for i := range pages {
			a := Account{Login: fmt.Sprint("page", i), Domain: "192.0.2.1", Register: true}
			p, err := l.Open(t.Context(), a, Page{}, &page{})
			if err != nil {
				t.Fatal(err)
			}
			phones = append(phones, p)
		}
		synctest.Wait()
		if n := l.line.count("REGISTER"); n != maxSilent {
			t.Errorf("%d REGISTER are sent to a silent host, want %d", n, maxSilent)
		}
		l.line.respond(l.line.last("REGISTER"), 200, "")
		time.Sleep(lookUpFirst + time.Second)
		synctest.Wait()
		if n := l.line.count("REGISTER"); n != pages {
			t.Errorf("%d REGISTER are sent to a registrar that answers, want %d", n, pages)
		}
		for _, p := range phones {
			p.Close()
		}
		time.Sleep(2 * time.Minute)
		l.registrars.mu.Lock()
		defer l.registrars.mu.Unlock()
		if len(l.registrars.silent)+len(l.registrars.heard) != 0 {
			t.Errorf("registrations are left: %v, %v", l.registrars.silent, l.registrars.heard)
		}
	})
}
