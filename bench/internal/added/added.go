// Package added measures how much later the pictures of one push arrive than those of another push of the same stream, from the sink's
// dumps of both.
//
// Transcoding removes the mark of a picture, so pictures are matched by their times. The times of the two pushes begin at different values.
// The sound shows the difference: both pushes have the same packets of sound.
package added

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"

	"transponder/bench/internal/stats"
)

const (
	flvHead, tagHead, tagTail = 13, 11, 4

	audio, video = 8, 9
	header       = 0 // the second byte of a sequence header's body

	// begin is how much of the start of the later push is left out, in ms: it has to catch up there.
	begin = 3000
)

// Result is what was found.
type Result struct {
	DelayMS stats.Dist // how much later the pictures of the later push arrive
	Matched int        // pictures
	Missing int        // pictures of the first push that the later one does not have, in the time that both cover
}

// tag is a message of the dump.
type tag struct {
	kind    byte
	ts      int64
	arrival int64 // ns
	sum     uint64
}

// Judge compares two dumps, given without .flv: the first of a push that sends pictures untouched, the second of the other push.
func Judge(first, later string) (Result, error) {
	seed := maphash.MakeSeed()
	a, err := read(first, seed)
	if err != nil {
		return Result{}, err
	}
	b, err := read(later, seed)
	if err != nil {
		return Result{}, err
	}
	return compare(a, b)
}

func compare(a, b []tag) (Result, error) {
	offset, err := offset(a, b)
	if err != nil {
		return Result{}, err
	}
	came := map[int64]int64{}
	var begun int64
	for _, t := range b {
		if t.kind != video {
			continue
		}
		if len(came) == 0 {
			begun = t.ts + offset
		}
		came[t.ts+offset] = t.arrival
	}
	var r Result
	var delays []float64
	last := int64(0)
	for at := range came {
		last = max(last, at)
	}
	for _, t := range a {
		if t.kind != video || t.ts < begun+begin || t.ts > last {
			continue
		}
		at, ok := nearest(came, t.ts)
		if !ok {
			r.Missing++
			continue
		}
		r.Matched++
		delays = append(delays, float64(at-t.arrival)/1e6)
	}
	if r.Matched == 0 {
		return r, errors.New("no picture of one push is found in the other")
	}
	r.DelayMS = stats.Summarise(delays)
	return r, nil
}

// nearest allows for times that were rounded to milliseconds twice.
func nearest(came map[int64]int64, ts int64) (int64, bool) {
	for _, d := range []int64{0, -1, 1, -2, 2} {
		if at, ok := came[ts+d]; ok {
			return at, true
		}
	}
	return 0, false
}

// offset returns what to add to the times of b to get those of a.
func offset(a, b []tag) (int64, error) {
	at := map[uint64]int64{}
	twice := map[uint64]bool{} // silence is always the same
	for _, t := range a {
		if t.kind == audio {
			_, seen := at[t.sum]
			twice[t.sum] = seen
			at[t.sum] = t.ts
		}
	}
	var offsets []int64
	for _, t := range b {
		if ts, ok := at[t.sum]; ok && t.kind == audio && !twice[t.sum] {
			offsets = append(offsets, ts-t.ts)
		}
	}
	if len(offsets) == 0 {
		return 0, errors.New("the two pushes have no sound in common")
	}
	slices.Sort(offsets)
	return offsets[len(offsets)/2], nil
}

// read returns the coded frames of a dump.
func read(base string, seed maphash.Seed) ([]tag, error) {
	b, err := os.ReadFile(base + ".flv")
	if err != nil {
		return nil, err
	}
	times, err := os.Open(base + ".times")
	if err != nil {
		return nil, err
	}
	defer times.Close()
	tags, err := parse(b, times, seed)
	if err != nil {
		return nil, fmt.Errorf("read %s.flv: %w", base, err)
	}
	return tags, nil
}

// parse reads tags, and for each tag the line of text with its arrival time.
func parse(b []byte, times io.Reader, seed maphash.Seed) ([]tag, error) {
	lines := bufio.NewScanner(times)
	var tags []tag
	for b = b[min(flvHead, len(b)):]; len(b) >= tagHead; {
		size := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		if len(b) < tagHead+size+tagTail || !lines.Scan() {
			break // the last may be cut
		}
		body := b[tagHead : tagHead+size]
		var t tag
		if _, err := fmt.Fscan(bytes.NewReader(lines.Bytes()), &t.kind, &t.ts, &t.arrival); err != nil {
			return nil, err
		}
		if t.kind != b[0] {
			return nil, fmt.Errorf("a tag of type %d has a line of type %d", b[0], t.kind)
		}
		b = b[tagHead+size+tagTail:]
		if (t.kind != audio && t.kind != video) || size < 2 || body[1] == header {
			continue
		}
		t.sum = maphash.Bytes(seed, body)
		tags = append(tags, t)
	}
	return tags, lines.Err()
}
