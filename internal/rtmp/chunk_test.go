package rtmp

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/flv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readerOf(b []byte) *chunkReader {
	r := newChunkReader(bufio.NewReaderSize(bytes.NewReader(b), 64))
	r.expectMedia()
	return r
}

// readAll reads messages until the bytes end, and returns why they did.
func readAll(r *chunkReader) ([]Message, error) {
	var all []Message
	for {
		m, err := r.read()
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

var (
	zeros128 = strings.Repeat("00", 128)
	bytes307 = bytes.Repeat([]byte{0xaa}, 307)
)

// TestChunkReader holds the reader to RTMP 1.0, 5.3: the first two cases are the examples of 5.3.2.
func TestChunkReader(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      []Message
	}{
		{
			name: "example 1: audio with deltas",
			hex: "03 0003e8 000020 08 39300000" + strings.Repeat("00", 32) +
				"83 000014" + strings.Repeat("00", 32) +
				"c3" + strings.Repeat("00", 32) +
				"c3" + strings.Repeat("00", 32),
			want: []Message{
				{8, 12345, 1000, make([]byte, 32)}, {8, 12345, 1020, make([]byte, 32)},
				{8, 12345, 1040, make([]byte, 32)}, {8, 12345, 1060, make([]byte, 32)},
			},
		},
		{
			name: "example 2: video in three chunks",
			hex: "04 0003e8 000133 09 3a300000" + strings.Repeat("aa", 128) +
				"c4" + strings.Repeat("aa", 128) + "c4" + strings.Repeat("aa", 51),
			want: []Message{{9, 12346, 1000, bytes307}},
		},
		{
			name: "chunk stream ids of two and three bytes",
			hex:  "00 00 000001 000001 08 01000000 aa" + "01 0001 000002 000001 09 01000000 bb",
			want: []Message{{8, 1, 1, []byte{0xaa}}, {9, 1, 2, []byte{0xbb}}},
		},
		{
			name: "two messages interleaved",
			hex: "04 000001 000081 08 01000000" + zeros128 +
				"05 000002 000081 09 01000000" + zeros128 + "c4 01" + "c5 02",
			want: []Message{
				{8, 1, 1, append(make([]byte, 128), 1)}, {9, 1, 2, append(make([]byte, 128), 2)},
			},
		},
		{
			name: "extended timestamp, repeated in the second chunk",
			hex:  "04 ffffff 000081 09 01000000 01000000" + zeros128 + "c4 01000000 07",
			want: []Message{{9, 1, 1 << 24, append(make([]byte, 128), 7)}},
		},
		{
			name: "extended timestamp that the second chunk leaves out",
			hex:  "04 ffffff 000084 09 01000000 01000000" + zeros128 + "c4 07080909",
			want: []Message{{9, 1, 1 << 24, append(make([]byte, 128), 7, 8, 9, 9)}},
		},
		{
			name: "extended delta, and a message that repeats it",
			hex: "04 000001 000001 09 01000000 aa" + "44 ffffff 000001 09 01000000 bb" +
				"c4 01000000 cc",
			want: []Message{
				{9, 1, 1, []byte{0xaa}}, {9, 1, 1<<24 + 1, []byte{0xbb}}, {9, 1, 2<<24 + 1, []byte{0xcc}},
			},
		},
		{
			name: "time wraps at 2^32",
			hex:  "04 ffffff 000001 09 01000000 fffffffe aa" + "44 000004 000001 09 bb",
			want: []Message{{9, 1, 0xfffffffe, []byte{0xaa}}, {9, 1, 2, []byte{0xbb}}},
		},
		{
			name: "set chunk size",
			hex:  "02 000000 000004 01 00000000 00000002" + "04 000000 000003 08 01000000 aabb c4 cc",
			want: []Message{{1, 0, 0, []byte{0, 0, 0, 2}}, {8, 1, 0, []byte{0xaa, 0xbb, 0xcc}}},
		},
		{
			name: "abort",
			hex: "04 000000 000081 08 01000000" + zeros128 + "02 000000 000004 02 00000000 00000004" +
				"04 000000 000001 08 01000000 aa",
			want: []Message{{2, 0, 0, []byte{0, 0, 0, 4}}, {8, 1, 0, []byte{0xaa}}},
		},
		{
			name: "empty message",
			hex:  "04 000005 000000 08 01000000",
			want: []Message{{8, 1, 5, nil}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(readerOf(unhex(t, c.hex)))
			if err != io.EOF {
				t.Errorf("end: %v, want io.EOF", err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

func TestChunkReaderRefuses(t *testing.T) {
	var streams strings.Builder
	for i := range maxChunkStreams + 1 {
		b := []byte{0, byte(i)}
		streams.WriteString(hex.EncodeToString(b) + "000000 000001 08 01000000 aa")
	}
	for _, c := range []struct {
		name, hex string
		want      error
	}{
		{"begins without a header", "c4", ErrProtocol},
		{"begins with a delta alone", "84 000001", ErrProtocol},
		{"too many chunk streams", streams.String(), ErrProtocol},
		{"chunk size of 0", "02 000000 000004 01 00000000 00000000", ErrProtocol},
		{"chunk size with the top bit", "02 000000 000004 01 00000000 80000080", ErrProtocol},
		{"short control message", "02 000000 000003 01 00000000 000000", ErrProtocol},
		{"message within a message", "04 000000 000081 08 01000000" + zeros128 + "04 000000 000001 08 01000000 aa", ErrProtocol},
		{"ends in a header", "04 0000", io.ErrUnexpectedEOF},
		{"ends in a payload", "04 000000 000002 08 01000000 aa", io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := readAll(readerOf(unhex(t, c.hex))); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestChunkReaderHeld begins messages of 16 MiB on many chunk streams and leaves them unfinished.
func TestChunkReaderHeld(t *testing.T) {
	const part = 600 << 10 // for which a MiB is reserved
	chunks := []io.Reader{bytes.NewReader(unhex(t, "02 000000 000004 01 00000000 00096000"))}
	body := make([]byte, part)
	for i := range maxChunkStreams {
		header := []byte{0, byte(i), 0, 0, 0, 0xff, 0xff, 0xff, 8, 1, 0, 0, 0}
		chunks = append(chunks, bytes.NewReader(header), bytes.NewReader(body))
	}
	for _, media := range []bool{true, false} {
		r := newChunkReader(bufio.NewReader(io.MultiReader(chunks...)))
		r.budget = NewBudget(1 << 30)
		most := maxCommandHeld
		if media {
			r.expectMedia()
			most = maxHeld
		}
		if _, err := readAll(r); !errors.Is(err, ErrProtocol) || r.held > most || r.budget.Held() != int64(shared(r.held)) {
			t.Errorf("got %v with %d bytes held, %d by the budget, want ErrProtocol and at most %d", err, r.held, r.budget.Held(), most)
		}
		if r.release(); r.budget.Held() != 0 {
			t.Errorf("%d bytes are still held after the end", r.budget.Held())
		}
	}
}

// A client that may only send commands can use 256 KiB at most, with any number of unfinished commands.
func TestCommandsHeld(t *testing.T) {
	for streams, want := range map[int]error{4: io.EOF, 5: ErrProtocol} {
		r := newChunkReader(bufio.NewReader(bytes.NewReader(unfinished(streams, 0xffff))))
		if _, err := readAll(r); !errors.Is(err, want) {
			t.Errorf("%d unfinished commands: %v, want %v", streams, err, want)
		}
	}
	r := newChunkReader(bufio.NewReader(bytes.NewReader(unfinished(1, 0x10001))))
	if _, err := readAll(r); !errors.Is(err, ErrProtocol) {
		t.Errorf("a command that is too long: %v, want %v", err, ErrProtocol)
	}
}

// unfinished is the beginning of a message on each of so many chunk streams.
func unfinished(streams, length int) []byte {
	var b []byte
	for i := range streams {
		b = append(b, 0, byte(i), 0, 0, 0, byte(length>>16), byte(length>>8), byte(length), 20, 0, 0, 0, 0)
		b = append(b, make([]byte, defaultChunkSize)...)
	}
	return b
}

// Each publisher may use half a megabyte of its own, also when the budget is used up. Beyond that, all publishers share one budget.
func TestBudget(t *testing.T) {
	budget := NewBudget(512 << 10)
	read := func(streams int) (*chunkReader, error) {
		r := newChunkReader(bufio.NewReader(bytes.NewReader(unfinished(streams, 64<<10))))
		r.budget = budget
		r.expectMedia()
		_, err := readAll(r)
		return r, err
	}
	first, err := read(12)
	if err != io.EOF || budget.Held() != 256<<10 {
		t.Fatalf("the first: %v with %d bytes of the budget, want half of it", err, budget.Held())
	}
	if _, err := read(13); !errors.Is(err, ErrNoMemory) {
		t.Errorf("the second: %v, want %v", err, ErrNoMemory)
	}
	if _, err := read(8); err != io.EOF {
		t.Errorf("one with its own: %v, want none", err)
	}
	before := budget.Held()
	if first.release(); budget.Held() != before-256<<10 {
		t.Errorf("%d bytes are held after the first has gone, %d before", budget.Held(), before)
	}
}

// The oldest unfinished message is the one that counts, whatever else is finished meanwhile.
func TestUnfinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		theirs, ours := io.Pipe()
		r := newChunkReader(bufio.NewReader(theirs))
		whole := make(chan Message)
		go func() {
			defer close(whole)
			for {
				m, err := r.read()
				if err != nil {
					return
				}
				whole <- m
			}
		}()
		begin := func(chunk byte) { // a message of 200 bytes, of which 128 come
			ours.Write(append([]byte{chunk, 0, 0, 0, 0, 0, 200, 9, 1, 0, 0, 0}, make([]byte, 128)...))
			synctest.Wait()
		}
		end := func(chunk byte) {
			go ours.Write(append([]byte{0xc0 | chunk}, make([]byte, 72)...))
			<-whole
			synctest.Wait()
		}
		if !r.oldest.IsZero() {
			t.Error("a message is unfinished before one has begun")
		}
		first := time.Now()
		begin(4)
		time.Sleep(time.Second)
		second := time.Now()
		begin(5)
		for range 3 {
			time.Sleep(time.Second)
			begin(6)
			end(6)
		}
		if !r.oldest.Equal(first) {
			t.Errorf("the oldest began at %v, want %v", r.oldest, first)
		}
		if end(4); !r.oldest.Equal(second) {
			t.Errorf("the oldest began at %v, want %v", r.oldest, second)
		}
		if end(5); !r.oldest.IsZero() {
			t.Errorf("the oldest began at %v, want none", r.oldest)
		}
		ours.Close()
		<-whole
	})
}

// writeAll writes messages as one batch.
func writeAll(t testing.TB, size int, messages []outgoing) []byte {
	t.Helper()
	w := chunkWriter{size: size}
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = w.appendMessage(b, m, nil); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestChunkWriter compares with bytes written by hand from RTMP 1.0, 5.3.
func TestChunkWriter(t *testing.T) {
	video := func(time uint32, payload ...byte) outgoing {
		return outgoing{chunk: chunkVideo, kind: 9, streamID: 1, time: time, payload: payload}
	}
	for _, c := range []struct {
		name     string
		messages []outgoing
		hex      string
	}{
		{"head and payload, cut in chunks",
			[]outgoing{{chunk: chunkAudio, kind: 8, streamID: 1, time: 1, head: []byte{1, 2, 3}, payload: []byte{4, 5}}},
			"04 000001 000005 08 01000000 0102 c4 0304 c4 05"},
		{"delta after the first", []outgoing{video(1000, 1), video(1033, 2)},
			"06 0003e8 000001 09 01000000 01  46 000021 000001 09 02"},
		{"time that goes back", []outgoing{video(1000, 1), video(999, 2)},
			"06 0003e8 000001 09 01000000 01  06 0003e7 000001 09 01000000 02"},
		{"just below the extended field", []outgoing{video(0xfffffe, 1)},
			"06 fffffe 000001 09 01000000 01"},
		{"extended at 2^24-1, in each chunk", []outgoing{video(0xffffff, 1, 2, 3)},
			"06 ffffff 000003 09 01000000 00ffffff 0102 c6 00ffffff 03"},
		{"past 2^24 by a delta", []outgoing{video(0xfffff0, 1), video(0x1000010, 2, 3, 4)},
			"06 fffff0 000001 09 01000000 01  46 000020 000003 09 0203 c6 04"},
		{"over 2^32", []outgoing{video(0xffffffff, 1), video(0x10, 2)},
			"06 ffffff 000001 09 01000000 ffffffff 01  46 000011 000001 09 02"},
		{"a delta of 2^24", []outgoing{video(0, 1), video(1<<24, 2, 2, 2)},
			"06 000000 000001 09 01000000 01  46 ffffff 000003 09 01000000 0202 c6 01000000 02"},
		{"commands have full headers", []outgoing{call("a", 0), call("a", 0)},
			"03 000000 00000d 14 00000000 0200 c3 0161 c3 0000 c3 0000 c3 0000 c3 0000 c3 00" +
				"03 000000 00000d 14 00000000 0200 c3 0161 c3 0000 c3 0000 c3 0000 c3 0000 c3 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, want := writeAll(t, 2, c.messages), unhex(t, c.hex); !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
		})
	}
}

// TestChunkTimes sends a stream's times over each edge of the wire's clock and reads them back.
func TestChunkTimes(t *testing.T) {
	for _, edge := range []int64{1 << 24, 1 << 31, 1 << 32, 3 << 32} {
		var sent []outgoing
		for ms := edge - 1000; ms < edge+1000; ms += 33 {
			sent = append(sent, outgoing{chunk: chunkVideo, kind: 9, streamID: 1, time: uint32(ms), payload: bytes307})
		}
		got, err := readAll(readerOf(writeAll(t, defaultChunkSize, sent)))
		if err != io.EOF || len(got) != len(sent) {
			t.Fatalf("%d messages and %v, want %d", len(got), err, len(sent))
		}
		for i := range got {
			if got[i].Time != sent[i].time || !bytes.Equal(got[i].Payload, sent[i].payload) {
				t.Errorf("message %d at %d, want %d", i, got[i].Time, sent[i].time)
			}
		}
	}
}

// FuzzChunkReader holds that no input panics or makes the reader keep more than its limits.
func FuzzChunkReader(f *testing.F) {
	f.Add(unhex(f, "03 0003e8 000020 08 39300000"+strings.Repeat("00", 32)+"83 000014"+strings.Repeat("00", 32)))
	f.Add(unhex(f, "02 000000 000004 01 00000000 00000002 04 ffffff 000003 08 01000000 01000000 aabb c4 01000000 cc"))
	f.Add(unhex(f, "02 000000 000004 02 00000000 00000004"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := readerOf(b)
		for {
			m, err := r.read()
			if err != nil {
				break
			}
			if len(m.Payload) > maxMessage {
				t.Fatalf("message of %d bytes", len(m.Payload))
			}
		}
		if r.held < 0 || r.held > maxHeld || len(r.streams) > maxChunkStreams {
			t.Errorf("holds %d bytes in %d chunk streams", r.held, len(r.streams))
		}
	})
}

// FuzzChunkRoundTrip holds that what is written in chunks of any size reads back as it was.
func FuzzChunkRoundTrip(f *testing.F) {
	f.Add(uint64(1), uint16(128))
	f.Add(uint64(2), uint16(1))
	f.Add(uint64(3), uint16(65535))
	f.Fuzz(func(t *testing.T, seed uint64, size uint16) {
		rng := rand.New(rand.NewPCG(seed, 0))
		payload := make([]byte, 5000)
		for i := range payload {
			payload[i] = byte(rng.Uint32())
		}
		sent := []outgoing{control(typeSetChunkSize, uint32(max(size, 1)))}
		time := rng.Uint32()
		for range 20 {
			kind := []uint8{flv.TypeAudio, flv.TypeVideo, flv.TypeData, typeCommand}[rng.IntN(4)]
			time += rng.Uint32() >> rng.IntN(32)
			head := payload[:rng.IntN(6)]
			sent = append(sent, outgoing{mediaChunk(kind), kind, rng.Uint32N(3), time, head, payload[:rng.IntN(len(payload))]})
		}
		b := writeAll(t, defaultChunkSize, sent[:1])
		got, err := readAll(readerOf(append(b, writeAll(t, int(max(size, 1)), sent[1:])...)))
		if err != io.EOF || len(got) != len(sent) {
			t.Fatalf("%d messages and %v, want %d", len(got), err, len(sent))
		}
		for i, m := range got {
			s := sent[i]
			want := Message{s.kind, s.streamID, s.time, append(bytes.Clone(s.head), s.payload...)}
			if m.Type != want.Type || m.StreamID != want.StreamID || m.Time != want.Time || !bytes.Equal(m.Payload, want.Payload) {
				t.Errorf("message %d: got %d on %d at %d with %d bytes, want %d on %d at %d with %d bytes", i,
					m.Type, m.StreamID, m.Time, len(m.Payload), want.Type, want.StreamID, want.Time, len(want.Payload))
			}
		}
	})
}
