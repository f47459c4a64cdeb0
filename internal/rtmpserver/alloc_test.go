package rtmpserver

import (
	"testing"

	"transponder/internal/media"
)

// A usual access unit is read without a copy and without an allocation.
func TestUsualUnitAllocatesNothing(t *testing.T) {
	b := unitOf(idr, inter)
	got := testing.AllocsPerRun(100, func() {
		data, _, err := media.NALUnits(b, media.NALLengths4)
		if err != nil {
			t.Fatal(err)
		}
		readUnit(data)
	})
	if got > 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
