package source

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestMarkSurvives(t *testing.T) {
	want := Mark{Stream: 7, Seq: 0x01020304, First: 0x0000_0001_0000_0002, PrevLast: 1}
	nal := AppendMark(nil, want)
	if len(nal) != markNALLen {
		t.Fatalf("length %d, want %d", len(nal), markNALLen)
	}
	for _, code := range [][]byte{{0, 0, 0}, {0, 0, 1}, {0, 0, 2}, {0, 0, 3}} {
		if bytes.Contains(nal, code) {
			t.Fatalf("%x would need emulation prevention", code)
		}
	}
	got, ok := FindMark(nal)
	if !ok || got != want {
		t.Fatalf("got %+v %t, want %+v", got, ok, want)
	}
	if _, ok := FindMark(append([]byte{0x65}, nal[1:]...)); ok {
		t.Fatal("found a mark in a slice")
	}
}

func TestFragmentsJoin(t *testing.T) {
	nal := []byte{0x65}
	for i := range 5000 {
		nal = append(nal, byte(i))
	}
	parts := fragment(nal, 1000)
	got := []byte{parts[0][0]&0xe0 | parts[0][1]&0x1f}
	for i, p := range parts {
		if len(p) > 1000 {
			t.Fatalf("part %d has %d bytes", i, len(p))
		}
		if start, end := p[1]&0x80 != 0, p[1]&0x40 != 0; start != (i == 0) || end != (i == len(parts)-1) {
			t.Fatalf("part %d: start %t, end %t", i, start, end)
		}
		got = append(got, p[2:]...)
	}
	if !bytes.Equal(got, nal) {
		t.Fatal("the parts do not make the whole")
	}
}

func TestLoadH264(t *testing.T) {
	stream := []byte{
		0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65, 0x88, 9, 9,
		0, 0, 0, 1, 0x41, 0x9a, 7,
	}
	path := filepath.Join(t.TempDir(), "v.h264")
	if err := os.WriteFile(path, stream, 0o600); err != nil {
		t.Fatal(err)
	}
	frames, err := LoadH264(path, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(frames) != 2 || !frames[0].Key || frames[1].Key || len(frames[0].Head) != 2 {
		t.Fatalf("got %+v", frames)
	}
	head := frames[0].HeadPayload(nil, Mark{})
	if head[0]&0x1f != nalSTAPA || !bytes.Contains(head, []byte{0, 3, 0x67, 1, 2, 0, 2, 0x68, 3}) {
		t.Fatalf("STAP-A %x", head)
	}
}
