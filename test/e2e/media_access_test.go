//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"transponder/internal/testkit"
)

const tokenSecret = "a secret of the tests, 32 bytes and more"

// grant is one of a token.
type grant struct {
	Actions []string `json:"actions"`
	Streams []string `json:"streams"`
	Replace bool     `json:"replace,omitempty"`
}

// ticket signs a token. change makes another one of it.
func ticket(t *testing.T, subject string, g grant, change func(jwt.MapClaims)) string {
	t.Helper()
	now := time.Now()
	c := jwt.MapClaims{
		"aud": "transponder", "sub": subject, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
		"transponder": map[string]any{"v": 1, "grants": []grant{g}},
	}
	if change != nil {
		change(c)
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(tokenSecret))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// bearer calls a URL with a token, and returns the answer.
func bearer(t *testing.T, method, url, token string, contentType, body string) (status int, header http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

// asAdmin calls a REST method of a server that lets nobody in without a token.
func (s *server) asAdmin(t *testing.T, method string, body, out any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	token := ticket(t, "boss", grant{Actions: []string{"admin"}, Streams: []string{"*"}}, nil)
	status, _, answer := bearer(t, http.MethodPost, s.rest+method, token, "application/json", string(text))
	if status != http.StatusOK {
		t.Fatalf("%s answers %d %s", method, status, answer)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(answer), out); err != nil {
			t.Fatalf("%s answers %s: %v", method, answer, err)
		}
	}
}

// TestMediaDoors goes to the doors of media with every kind of credential. WHIP and WHEP say what is wrong by their status, RTMP in words.
func TestMediaDoors(t *testing.T) {
	t.Parallel()
	s := startServer(t, "access=closed", "token_secret="+tokenSecret)
	publish := grant{Actions: []string{"publish"}, Streams: []string{"acme/*"}}
	play := grant{Actions: []string{"play"}, Streams: []string{"acme/*"}}
	both := grant{Actions: []string{"publish", "play"}, Streams: []string{"acme/*"}}
	past := func(c jwt.MapClaims) { c["iat"], c["exp"] = time.Now().Unix()-700, time.Now().Unix()-100 }
	elsewhere := func(c jwt.MapClaims) { c["aud"] = "another server" }
	cfg := testkit.DefaultPublisherConfig()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	p := testkit.NewPublisher(cfg)
	var offered string
	running.Go(func() {
		_ = p.Run(ctx, func(_ context.Context, offer string) (string, error) {
			offered = offer
			status, _, answer := bearer(t, http.MethodPost, s.whipURL("acme%2Flive"), ticket(t, "p", both, nil), "application/sdp", offer)
			if status != http.StatusCreated {
				return "", fmt.Errorf("%d %s", status, answer)
			}
			return answer, nil
		})
	})
	select {
	case <-p.Connected():
	case <-time.After(20 * time.Second):
		t.Fatal("the publisher that may does not connect")
	}
	for _, tt := range []struct {
		name, token string
		whip, whep  int    // statuses
		says        string // in words
	}{
		{"none", "", 401, 401, "a valid token"},
		{"garbage", "garbage", 401, 401, "a valid token"},
		{"a key that nobody made", "tpk_aaaaaaaaaaaaaaaaaaaaaaaaaa", 401, 401, "a valid token"},
		{"forged", ticket(t, "x", both, nil) + "x", 401, 401, "a valid token"},
		{"expired", ticket(t, "x", both, past), 401, 401, "expired"},
		{"of another server", ticket(t, "x", both, elsewhere), 401, 401, "not for \"transponder\""},
		{"for another stream", ticket(t, "x", grant{Actions: both.Actions, Streams: []string{"beta/*"}}, nil), 403, 403, "not among beta/*"},
		{"for players", ticket(t, "x", play, nil), 403, 201, "publish"},
		{"for publishers", ticket(t, "x", publish, nil), 201, 403, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for door, want := range map[string]int{"whip": tt.whip, "whep": tt.whep} {
				name, offer := "acme%2Flive", strings.ReplaceAll(offered, "a=sendonly", "a=recvonly")
				if door == "whip" {
					name, offer = "acme%2Fnew", offered
				}
				url := strings.Replace(s.whipURL("acme"), "/whip/acme", "/"+door+"/"+name, 1)
				status, header, answer := bearer(t, http.MethodPost, url, tt.token, "application/sdp", offer)
				if status != want {
					t.Errorf("%s: %d %s, want %d", door, status, answer, want)
				}
				if status == 201 {
					status, _, answer := bearer(t, http.MethodDelete, s.page+strings.TrimPrefix(header.Get("Location"), "/"), tt.token, "", "")
					if status != 200 {
						t.Errorf("%s: DELETE: %d %s", door, status, answer)
					}
				}
			}
			out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "sine", "-t", "1", "-c:a", "aac", "-f", "flv",
				"-rtmp_playpath", "acme/rtmp?token="+tt.token, s.rtmp).CombinedOutput()
			if err := judgeDoor(tt.whip, tt.says, err, out); err != nil {
				t.Errorf("publish by RTMP: %v", err)
			}
		})
	}
	for _, secret := range []string{tokenSecret, "garbage", "tpk_aaaa", strings.Split(ticket(t, "x", both, nil), ".")[0]} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// judgeDoor says what is wrong with the end of FFmpeg, if WHIP would answer with a status.
func judgeDoor(status int, says string, err error, out []byte) error {
	switch {
	case status == 201 && err != nil:
		return fmt.Errorf("%w: %s", err, out)
	case status != 201 && err == nil:
		return errors.New("it is let in")
	case status != 201 && !strings.Contains(string(out), says):
		return fmt.Errorf("want %q in %s", says, out)
	}
	return nil
}

// TestRevocationEndsMedia: an encoder with a stored key as its stream key, a player of WHEP and a player of RTMP end within a second when their
// credentials are taken back, and do not come in again. The key is shown nowhere.
func TestRevocationEndsMedia(t *testing.T) {
	t.Parallel()
	s := startServer(t, "access=closed", "token_secret="+tokenSecret)
	var key struct{ ID, Key string }
	s.asAdmin(t, "/key/create", map[string]any{
		"label": "box", "stream": "acme/box", "grants": []grant{{Actions: []string{"publish"}, Streams: []string{"acme/box"}}},
	}, &key)
	if !strings.HasPrefix(key.Key, "tpk_") {
		t.Fatalf("the key is %q", key.Key)
	}
	viewer := ticket(t, "viewer", grant{Actions: []string{"play"}, Streams: []string{"acme/*"}}, nil)
	encode := func() *exec.Cmd {
		cmd := exec.Command("ffmpeg", "-hide_banner", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-f", "lavfi", "-i", "sine",
			"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv", s.rtmp+"/"+key.Key)
		cmd.Stderr = &bytes.Buffer{}
		return cmd
	}
	start := func(cmd *exec.Cmd) (wait func() time.Time) {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait = sync.OnceValue(func() time.Time {
			_ = cmd.Wait()
			return time.Now()
		})
		t.Cleanup(func() {
			cmd.Process.Kill()
			wait()
		})
		return wait
	}
	encoder := start(encode())
	recording := filepath.Join(t.TempDir(), "played.flv")
	played := start(exec.Command("ffmpeg", "-v", "error", "-rtmp_playpath", "acme/box?token="+viewer, "-i", s.rtmp, "-c", "copy", "-flush_packets", "1", recording))

	ctx, cancel := context.WithCancel(context.Background())
	watcher := testkit.NewPlayer(testkit.PlayerConfig{Video: true})
	watched := make(chan time.Time, 1)
	go func() {
		_ = watcher.Run(ctx, func(ctx context.Context, offer string) (string, error) {
			for ctx.Err() == nil {
				url := strings.Replace(s.whipURL("acme"), "/whip/acme", "/whep/acme%2Fbox", 1)
				status, _, answer := bearer(t, http.MethodPost, url, viewer, "application/sdp", offer)
				if status == http.StatusCreated {
					return answer, nil
				}
				if status != http.StatusNotFound {
					return "", fmt.Errorf("%d %s", status, answer)
				}
			}
			return "", context.Cause(ctx)
		})
		watched <- time.Now()
	}()
	t.Cleanup(func() {
		cancel()
		watched <- <-watched
	})
	watcher.Wait(t, "pictures", func() bool { return len(watcher.Frames("video")) > 30 })
	testkit.Eventually(t, 20*time.Second, func() string {
		if i, err := os.Stat(recording); err != nil || i.Size() < 20_000 {
			return "the RTMP player has no media yet"
		}
		return ""
	})

	asked := time.Now()
	s.asAdmin(t, "/token/revoke", map[string]any{"sub": "viewer"}, nil)
	at := <-watched
	watched <- at
	for name, at := range map[string]time.Time{"WHEP": at, "RTMP": played()} {
		took := at.Sub(asked)
		t.Logf("the player of %s ended %v after the request", name, took.Round(time.Millisecond))
		if took > 2*time.Second { // of which FFmpeg takes some to end
			t.Errorf("the player of %s ended after %v", name, took)
		}
	}
	out, err := exec.Command("ffmpeg", "-v", "error", "-rtmp_playpath", "acme/box?token="+viewer, "-i", s.rtmp, "-t", "1", "-f", "null", "-").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "revoked") {
		t.Errorf("the player comes in again: %v %s", err, out)
	}

	streams := func() string {
		token := ticket(t, "boss", grant{Actions: []string{"admin"}, Streams: []string{"*"}}, nil)
		_, _, answer := bearer(t, http.MethodPost, s.rest+"/stream/find_all", token, "application/json", "{}")
		return answer
	}
	if !strings.Contains(streams(), `"acme/box"`) {
		t.Errorf("the key's stream is not listed: %s", streams())
	}
	asked = time.Now()
	s.asAdmin(t, "/key/remove", map[string]any{"id": key.ID}, nil)
	testkit.Eventually(t, time.Second, func() string {
		if all := streams(); strings.Contains(all, `"acme/box"`) {
			return "the stream of the key goes on"
		}
		return ""
	})
	t.Logf("the stream of the key ended within %v; its encoder after %v", time.Since(asked).Round(time.Millisecond), encoder().Sub(asked).Round(time.Millisecond))
	again := encode()
	if err := again.Run(); err == nil {
		t.Error("the encoder comes in again")
	}
	for _, secret := range []string{key.Key, key.Key[4:], viewer} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestMediaFromElsewhere: with the defaults a client on this machine needs nothing, and one on another machine gets one answer for all names.
func TestMediaFromElsewhere(t *testing.T) {
	t.Parallel()
	own := ownAddress(t)
	s := startServer(t)
	publishRTMP(t, s, "here", 320, 180)
	far := func(address string) string {
		for _, local := range []string{"localhost", "127.0.0.1"} {
			address = strings.Replace(address, "//"+local+":", "//"+own+":", 1)
		}
		return address
	}
	if far(s.rtmp) == s.rtmp {
		t.Fatalf("%s is not on this machine", s.rtmp)
	}
	for _, name := range []string{"here", "nothing"} {
		for _, door := range []string{"whip", "whep"} {
			url := far(strings.Replace(s.whipURL(name), "/whip/", "/"+door+"/", 1))
			if status, header, answer := bearer(t, http.MethodPost, url, "", "application/sdp", "v=0"); status != 401 || header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s %s: %d %s, want 401", door, name, status, answer)
			}
		}
		for _, args := range [][]string{
			{"-re", "-f", "lavfi", "-i", "sine", "-t", "1", "-c:a", "aac", "-f", "flv", far(s.rtmp) + "/" + name},
			{"-i", far(s.rtmp) + "/" + name, "-t", "1", "-f", "null", "-"},
		} {
			out, err := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-v", "error"}, args...)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "a valid token, key or password is needed") {
				t.Errorf("%v: %v %s", args, err, out)
			}
		}
	}
}

// ownAddress returns an address of this machine in a network. Whoever connects to it comes from it, and not from loopback.
func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address in a network")
	return ""
}
