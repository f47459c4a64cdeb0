package stream

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAskedNames(t *testing.T) {
	var a Asked
	free, err := a.Reserve("show")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Reserve("show"); !errors.Is(err, ErrNameInUse) {
		t.Errorf("a second one: %v", err)
	}
	other, err := a.Reserve("Show")
	if err != nil {
		t.Errorf("another name: %v", err)
	}
	free()
	again, err := a.Reserve("show")
	if err != nil {
		t.Errorf("the name is not free again: %v", err)
	}
	free() // frees nothing a second time
	if _, err := a.Reserve("show"); !errors.Is(err, ErrNameInUse) {
		t.Errorf("a name that somebody else has was freed: %v", err)
	}
	again()
	other()
	var wg sync.WaitGroup
	var have atomic.Int64
	for range 50 {
		wg.Go(func() {
			if _, err := a.Reserve("show"); err == nil {
				have.Add(1)
			}
		})
	}
	wg.Wait()
	if have.Load() != 1 || len(a.names) != 1 {
		t.Errorf("%d have the name", have.Load())
	}
}
