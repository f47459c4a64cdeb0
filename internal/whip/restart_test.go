package whip

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// TestRestart: a publisher and a player restart ICE, twice each, while media flows, and no media is lost on the way. Each time the session
// gets another ETag, and the one before counts no more.
func TestRestart(t *testing.T) {
	d := open(t, DefaultConfig(), rtc.DefaultConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	gone := make(chan error, 1)
	client := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	published := newRestarts(d, "/whip/s")
	go func() {
		gone <- client.Run(ctx, func(_ context.Context, offer string) (string, error) { return published.begin(t, offer) })
	}()
	defer func() {
		cancel()
		<-gone
	}()
	select {
	case <-client.Connected():
	case err := <-gone:
		t.Fatal(err)
	}
	src, ok := d.hub.Source("s")
	if !ok {
		t.Fatal("no stream")
	}
	reader := src.NewReader(stream.ReaderConfig{Video: src.Video})
	defer reader.Close()
	last := numbers(ctx, t, reader, 30, -1)

	left := make(chan error, 1)
	player := testkit.NewPlayer(testkit.PlayerConfig{Video: true, Audio: true})
	played := newRestarts(d, "/whep/s")
	playing, leave := context.WithCancel(ctx)
	go func() {
		left <- player.Run(playing, func(_ context.Context, offer string) (string, error) { return played.begin(t, offer) })
	}()
	defer func() {
		leave()
		<-left
	}()
	player.Wait(t, "the first pictures", func() bool { return len(player.Frames("video")) > 10 })
	for range 2 {
		if err := client.RestartICE(ctx, func(_ context.Context, offer string) (string, error) { return published.again(t, offer) }); err != nil {
			t.Fatal(err)
		}
		last = numbers(ctx, t, reader, 60, last)
		if err := player.RestartICE(ctx, func(_ context.Context, offer string) (string, error) { return played.again(t, offer) }); err != nil {
			t.Fatal(err)
		}
		n := len(player.Frames("video"))
		player.Wait(t, "pictures after a restart", func() bool { return len(player.Frames("video")) > n+60 })
	}
	if src.Err() != nil {
		t.Errorf("the stream has ended: %v", src.Err())
	}
}

// TestRestartTooOften: a client that restarts ICE all the time is told to wait. Its session goes on, and the restarts are counted.
func TestRestartTooOften(t *testing.T) {
	d := open(t, DefaultConfig(), rtc.DefaultConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	gone := make(chan error, 1)
	client := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	r := newRestarts(d, "/whip/s")
	go func() {
		gone <- client.Run(ctx, func(_ context.Context, offer string) (string, error) { return r.begin(t, offer) })
	}()
	defer func() {
		cancel()
		<-gone
	}()
	select {
	case <-client.Connected():
	case err := <-gone:
		t.Fatal(err)
	}
	got := map[int]int{}
	for n := range 20 {
		body := fmt.Sprintf("a=ice-ufrag:attempt%d\r\na=ice-pwd:%s\r\n", n, strings.Repeat("x", 22))
		res, _ := d.do(t, "PATCH", r.session, body, "Content-Type: "+typeFragment, "If-Match: *")
		got[res.StatusCode]++
		if after := res.Header.Get("Retry-After"); (after != "") != (res.StatusCode == 429) {
			t.Errorf("%s, Retry-After %q", res.Status, after)
		}
	}
	publishers, players := d.Restarts()
	if got[200] < 10 || got[429] == 0 || got[200]+got[429] != 20 || publishers != (rtc.RestartStats{Done: int64(got[200]), Limited: int64(got[429])}) || players != (rtc.RestartStats{}) {
		t.Errorf("answers %v; publishers %+v, players %+v", got, publishers, players)
	}
	if res, _ := d.do(t, "GET", r.session, ""); res.StatusCode != 204 {
		t.Errorf("the session answers %s", res.Status)
	}
}

// restarts is a client of a session that restarts ICE.
type restarts struct {
	d                           *door
	path, session, answer, etag string
}

func newRestarts(d *door, path string) *restarts { return &restarts{d: d, path: path} }

func (r *restarts) begin(t *testing.T, offer string) (string, error) {
	res, body := r.d.do(t, "POST", r.path, offer, sdpType)
	if res.StatusCode != 201 {
		return "", fmt.Errorf("%s: %s", res.Status, body)
	}
	r.session, r.etag, r.answer = res.Header.Get("Location"), res.Header.Get("ETag"), body
	return body, nil
}

// again sends a restart. Candidates for the ICE session before are refused after it.
func (r *restarts) again(t *testing.T, offer string) (string, error) {
	const kind = "Content-Type: " + typeFragment
	res, body := r.d.do(t, "PATCH", r.session, fragmentOf(offer), kind, "If-Match: *")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != typeFragment {
		return "", fmt.Errorf("%s: %s", res.Status, body)
	}
	const candidate = "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"
	before := r.etag
	if r.etag = res.Header.Get("ETag"); r.etag == "" || r.etag == before {
		t.Errorf("the ETag is %q after %q", r.etag, before)
	}
	for etag, want := range map[string]int{before: 412, r.etag: 204} {
		if res, _ := r.d.do(t, "PATCH", r.session, candidate, kind, "If-Match: "+etag); res.StatusCode != want {
			t.Errorf("a candidate for %s: %s, want %d", etag, res.Status, want)
		}
	}
	r.answer = patched(t, r.answer, body)
	return r.answer, nil
}

// fragmentOf returns the fragment that a client sends to restart ICE with an offer (RFC 9725, 4.3.3).
func fragmentOf(offer string) string {
	var b strings.Builder
	for _, key := range []string{"ice-ufrag", "ice-pwd"} {
		b.WriteString(regexp.MustCompile(`(?m)^a=`+key+`:.*$`).FindString(offer) + "\n")
	}
	return b.String()
}

// patched returns an answer with the user name and the password of a fragment.
func patched(t *testing.T, answer, fragment string) string {
	t.Helper()
	for _, key := range []string{"ice-ufrag", "ice-pwd"} {
		line := regexp.MustCompile(`(?m)^a=` + key + `:.*$`)
		found := line.FindAllString(fragment, -1)
		if len(found) != 1 {
			t.Fatalf("%d lines with %s in %q", len(found), key, fragment)
		}
		answer = line.ReplaceAllString(answer, found[0])
	}
	return answer
}

// numbers reads n frames, each one frame after the one before, and returns the number of the last one. before is the number of the frame
// before them; -1: any.
func numbers(ctx context.Context, t *testing.T, r *stream.Reader, n int, before int64) int64 {
	t.Helper()
	buf := make([]media.Frame, 1)
	for range n {
		if _, err := r.Read(ctx, buf); err != nil {
			t.Fatalf("after frame %d: %v", before, err)
		}
		number, _ := testkit.FrameNumber(buf[0].Data)
		if before >= 0 && number != before+1 {
			t.Errorf("frame %d follows %d", number, before)
		}
		before = number
	}
	return before
}
