package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"reflect"
	"testing"
	"time"
)

func TestAMF(t *testing.T) {
	b := appendAMF(nil, "connect", 1.0, []Pair{{"app", "live"}, {"ok", true}, {"none", nil}})
	got, err := decodeAMF(b)
	want := []any{"connect", 1.0, Object{"app": "live", "ok": true, "none": nil}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v %v, want %v", got, err, want)
	}
	for n := range b {
		decodeAMF(b[:n]) // must not panic
	}
}

type record struct {
	messages chan Message
	closed   chan bool
}

func (r *record) Message(m Message) {
	m.Payload = bytes.Clone(m.Payload)
	r.messages <- m
}
func (r *record) Close(clean bool) { r.closed <- clean }

// A publisher that cuts a video message into chunks, with an extended
// timestamp, and an audio message between two of them.
func TestPublish(t *testing.T) {
	client, server := net.Pipe()
	rec := &record{messages: make(chan Message, 4), closed: make(chan bool, 1)}
	var app, name string
	go Serve(server, func(a, n string) (Publication, error) {
		app, name = a, n
		return rec, nil
	})
	go io.Copy(io.Discard, client)
	client.SetDeadline(time.Now().Add(5 * time.Second))
	send := func(parts ...[]byte) {
		t.Helper()
		if _, err := client.Write(bytes.Join(parts, nil)); err != nil {
			t.Fatal(err)
		}
	}
	head := func(csid, kind byte, ts uint32, n int) []byte {
		b := []byte{csid, byte(ts >> 16), byte(ts >> 8), byte(ts), byte(n >> 16), byte(n >> 8), byte(n), kind, 1, 0, 0, 0}
		return b
	}
	command := func(b []byte) {
		var out []byte
		for i := 0; i < len(b); i += defaultChunkSize {
			if i > 0 {
				out = append(out, 3<<6|3)
			}
			out = append(out, b[i:min(len(b), i+defaultChunkSize)]...)
		}
		send(head(3, TypeCommandAMF0, 0, len(b)), out)
	}
	send([]byte{3}, make([]byte, 1536), make([]byte, 1536))
	command(appendAMF(nil, "connect", 1.0, []Pair{{"app", "live"}, {"tcUrl", "rtmp://127.0.0.1/live"}}))
	command(appendAMF(nil, "createStream", 2.0, nil))
	command(appendAMF(nil, "publish", 3.0, nil, "key?token=1", "live"))

	video := make([]byte, 300)
	for i := range video {
		video[i] = byte(i)
	}
	const ts = 0x01020304
	ext := binary.BigEndian.AppendUint32(nil, ts)
	send(head(6, TypeVideo, noTimestamp, len(video)), ext, video[:128],
		head(4, TypeAudio, 40, 2), []byte{0xaf, 0},
		[]byte{3<<6 | 6}, ext, video[128:256], []byte{3<<6 | 6}, ext, video[256:])
	audio, got := <-rec.messages, <-rec.messages
	if audio.Type != TypeAudio || audio.Timestamp != 40 {
		t.Fatalf("audio %+v", audio)
	}
	if got.Type != TypeVideo || got.Timestamp != ts || !bytes.Equal(got.Payload, video) {
		t.Fatalf("video %d at %d, %d bytes", got.Type, got.Timestamp, len(got.Payload))
	}
	if app != "live" || name != "key" {
		t.Fatalf("published %q/%q", app, name)
	}
	command(appendAMF(nil, "deleteStream", 4.0, nil, 1.0))
	if clean := <-rec.closed; !clean {
		t.Fatal("the end was not clean")
	}
}
