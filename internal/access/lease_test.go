package access

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLeaseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewLeases()
		l := s.Hold(&Principal{Kind: Token, Until: time.Now().Add(time.Minute)})
		time.Sleep(time.Minute - time.Nanosecond) // of the bubble's time
		select {
		case <-l.Done():
			t.Fatal("the lease is over too early")
		default:
		}
		if l.Err() != nil {
			t.Errorf("Err() = %v before the end", l.Err())
		}
		time.Sleep(time.Nanosecond)
		<-l.Done()
		if !errors.Is(l.Err(), ErrExpired) {
			t.Errorf("Err() = %v", l.Err())
		}
		l.Release()
		l.Release()
		if s.Len() != 0 {
			t.Errorf("%d leases are left", s.Len())
		}
	})
}

// The timer of a lease ends with the lease: otherwise the bubble would not.
func TestLeaseIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewLeases()
		l := s.Hold(&Principal{Until: time.Now().Add(time.Hour)})
		l.Release()
		if n := s.End(func(*Principal) bool { return true }, ErrRevoked); n != 0 {
			t.Errorf("%d leases ended after their release", n)
		}
		time.Sleep(2 * time.Hour)
		if l.Err() != nil {
			t.Errorf("Err() = %v after the release", l.Err())
		}
	})
}

func TestLeasesEnd(t *testing.T) {
	s := NewLeases()
	ann, bob := s.Hold(who("ann")), s.Hold(who("bob"))
	if n := s.End(func(p *Principal) bool { return p.Subject == "ann" }, ErrRevoked); n != 1 {
		t.Errorf("%d ended, want 1", n)
	}
	<-ann.Done()
	if !errors.Is(ann.Err(), ErrRevoked) || bob.Err() != nil {
		t.Errorf("ann: %v, bob: %v", ann.Err(), bob.Err())
	}
	var none *Lease
	none.Release()
	if none.Done() != nil {
		t.Error("a nil lease ends")
	}
}

// Who lost his rights between Verify and Hold gets a lease that is over.
func TestLeaseIsCheckedAgain(t *testing.T) {
	s := NewLeases()
	s.AddCheck(func(p *Principal) error {
		if p.Subject == "ann" {
			return ErrRevoked
		}
		return nil
	})
	ann, bob := s.Hold(who("ann")), s.Hold(who("bob"))
	if !errors.Is(ann.Err(), ErrRevoked) || bob.Err() != nil {
		t.Errorf("ann: %v, bob: %v", ann.Err(), bob.Err())
	}
}
