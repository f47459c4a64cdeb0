package added

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"strings"
	"testing"
)

// dump writes what the sink does.
type dump struct {
	flv   []byte
	times strings.Builder
}

func newDump() *dump { return &dump{flv: make([]byte, flvHead)} }

func (d *dump) tag(kind byte, ts, arrivalMS int, body ...byte) {
	d.flv = append(d.flv, kind, 0, 0, byte(len(body)), 0, 0, 0, 0, 0, 0, 0)
	d.flv = append(d.flv, body...)
	d.flv = binary.BigEndian.AppendUint32(d.flv, uint32(len(body)))
	fmt.Fprintf(&d.times, "%d %d %d a note\n", kind, ts, arrivalMS*1_000_000)
}

// The later push begins 500 ms later by a clock of its own, brings each picture 7 ms later, and misses one.
func TestCompare(t *testing.T) {
	first, later := newDump(), newDump()
	for _, d := range []*dump{first, later} {
		d.tag(video, 0, 0, 0x17, header, 1, 2, 3)
		d.tag(audio, 0, 0, 0xaf, header, 1, 2)
	}
	for n := range 200 {
		at := n * 100 / 3
		first.tag(video, at, at, 0x27, 1, byte(n))
		first.tag(audio, at, at, 0xaf, 1, byte(n))
		first.tag(audio, at+10, at, 0xaf, 1, 0xff, 0xff) // silence
		if at < 500 {
			continue
		}
		if n != 150 {
			later.tag(video, at-500+n%2, at+7, 0x27, 1, 99)
		}
		later.tag(audio, at-500, at, 0xaf, 1, byte(n))
		later.tag(audio, at-490, at, 0xaf, 1, 0xff, 0xff)
	}
	seed := maphash.MakeSeed()
	var tags [2][]tag
	for i, d := range []*dump{first, later} {
		var err error
		if tags[i], err = parse(d.flv, strings.NewReader(d.times.String()), seed); err != nil {
			t.Fatal(err)
		}
	}
	got, err := compare(tags[0], tags[1])
	if err != nil {
		t.Fatal(err)
	}
	if got.DelayMS.P50 != 7 || got.DelayMS.Max != 7 || got.Missing != 1 || got.Matched < 90 {
		t.Errorf("got %+v, want 7 ms and one missing", got)
	}
	if _, err := compare(tags[0], nil); err == nil {
		t.Error("an empty push is compared")
	}
}
