package transponder

import (
	"testing"
	"time"
)

func TestRules(t *testing.T) {
	now := time.Unix(1000, 0)
	long, short := now.Add(-time.Minute), now.Add(-time.Second)
	well := func(name string, since time.Time) candidate { return candidate{name: name, fed: true, since: since} }
	dead := func(name string) candidate { return candidate{name: name} }
	gone := candidate{name: "gone", gone: true}
	half := candidate{name: "half", fed: true, missing: true}
	for _, tt := range []struct {
		name    string
		rules   rules
		all     []candidate
		present int
		want    int
		why     SwitchCause
		spare   int // if nothing is to be changed now
	}{
		{"all is well", rules{}, []candidate{well("a", long), well("b", long)}, 0, -1, "", 1},
		{"stalled", rules{}, []candidate{dead("a"), well("b", short)}, 0, 1, SwitchStalled, 1},
		{"stalled, and the next too", rules{}, []candidate{dead("a"), dead("b"), well("c", short)}, 0, 2, SwitchStalled, 2},
		{"ended", rules{}, []candidate{gone, well("b", short)}, 0, 1, SwitchLost, 1},
		{"ended before", rules{}, []candidate{well("b", short), well("c", long)}, -1, 0, SwitchLost, 0},
		{"nobody is left", rules{}, []candidate{dead("a"), dead("b")}, 0, -1, SwitchStalled, -1},
		{"pictures are missing", rules{}, []candidate{half, well("b", short)}, 0, 1, SwitchMissing, 1},
		{"pictures are missing, and in the next too", rules{}, []candidate{half, half}, 0, -1, "", 1},
		{"stalled; one that sends all comes before one that does not", rules{}, []candidate{dead("a"), half, well("c", short)}, 0, 2, SwitchStalled, 2},
		{"the main one is back", rules{}, []candidate{well("a", long), well("b", long)}, 1, 0, SwitchReturn, 0},
		{"the main one is back for a moment", rules{}, []candidate{well("a", short), well("b", long)}, 1, -1, "", 0},
		{"the main one is back without pictures", rules{}, []candidate{half, well("b", long)}, 1, -1, "", 0},
		{"the second is back, the main one is not", rules{}, []candidate{dead("a"), well("b", long), well("c", long)}, 2, 1, SwitchReturn, 1},
		{"back, but by hand only", rules{manual: true}, []candidate{well("a", long), well("b", long)}, 1, -1, "", 0},
		{"by hand", rules{wanted: "c"}, []candidate{well("a", long), well("b", long), well("c", short)}, 0, 2, SwitchHand, 2},
		{"by hand, what sends nothing", rules{wanted: "c"}, []candidate{well("a", long), dead("c")}, 0, -1, SwitchHand, -1},
		{"by hand, and there already", rules{wanted: "b"}, []candidate{well("a", long), well("b", long)}, 1, -1, "", 0},
		{"by hand, and it stalls", rules{wanted: "b"}, []candidate{well("a", long), dead("b")}, 1, 0, SwitchStalled, 0},
	} {
		next, why := tt.rules.choose(now, tt.all, tt.present)
		if next != tt.want || next >= 0 && why != tt.why {
			t.Errorf("%s: changes to %d because of %q, want %d, %q", tt.name, next, why, tt.want, tt.why)
		}
		if spare := tt.rules.spare(tt.all, tt.present); next < 0 && spare != tt.spare && tt.why == "" {
			t.Errorf("%s: keeps %d ready, want %d", tt.name, spare, tt.spare)
		}
	}
}
