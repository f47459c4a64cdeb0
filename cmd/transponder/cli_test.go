package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/admin"
	"transponder/internal/testkit"
)

const patience = 20 * time.Second

// serverOf is a server that runs in this process, and a folder for the settings of the user of the commands.
type serverOf struct {
	t    *testing.T
	rest string // its address
	home string
	log  *safeBuffer
}

// safeBuffer is a bytes.Buffer that two goroutines may use.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// urlWriter takes the address of REST from what a server prints when it is ready.
type urlWriter struct {
	once sync.Once
	url  chan string
	text bytes.Buffer
}

var restLine = regexp.MustCompile(`(?m)^ +REST +(http://\S+)/rest-api$`)

func (u *urlWriter) Write(p []byte) (int, error) {
	u.text.Write(p)
	if m := restLine.FindSubmatch(u.text.Bytes()); m != nil {
		u.once.Do(func() { u.url <- string(m[1]) })
	}
	return len(p), nil
}

// startServer runs the server until the end of the test.
func startServer(t *testing.T, settings ...string) *serverOf {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--set", "tls_dir=" + dir, "--set", "state_dir=" + filepath.Join(dir, "state"), "--set", "media_dir=" + dir, "--set", "max_load_percent=0"}
	for _, key := range []string{"http.port", "https.port", "ws.port", "wss.port", "rtmp.port", "media_port_from"} {
		args = append(args, "--set", key+"=0")
	}
	for _, s := range settings {
		if file, ok := strings.CutPrefix(s, "config="); ok {
			args = append(args, "--config", file)
			continue
		}
		args = append(args, "--set", s)
	}
	s := &serverOf{t: t, home: t.TempDir(), log: &safeBuffer{}}
	out := &urlWriter{url: make(chan string, 1)}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, nil, out, s.log) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ends with %v", err)
		}
	})
	select {
	case s.rest = <-out.url:
	case err := <-ended:
		ended <- err
		t.Fatalf("the server does not start: %v", err)
	case <-time.After(patience):
		t.Fatal("the server does not start")
	}
	return s
}

// command runs a command as its user would, and returns what it prints and its exit code.
func (s *serverOf) command(input string, args ...string) (out, errs string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var o, e bytes.Buffer
	err := admin.Run(ctx, args, []string{"TRANSPONDER_URL=" + s.rest, "HOME=" + s.home}, admin.Streams{In: strings.NewReader(input), Out: &o, Err: &e})
	if err != nil && !errors.Is(err, admin.ErrSilent) {
		fmt.Fprintln(&e, err)
	}
	return o.String(), e.String(), admin.ExitCode(err)
}

// whip offers to publish a stream.
func (s *serverOf) whip(ctx context.Context, name, offer string) (answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.rest+"/whip/"+name, strings.NewReader(offer))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/sdp")
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if got.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("%s: %s", got.Status, text)
	}
	return string(text), err
}

// publish publishes a stream until the end of the test.
func (s *serverOf) publish(name string) {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	ended := make(chan error, 1)
	go func() {
		ended <- p.Run(ctx, func(ctx context.Context, offer string) (string, error) { return s.whip(ctx, name, offer) })
	}()
	s.t.Cleanup(func() { stop(); <-ended })
	select {
	case <-p.Connected():
	case err := <-ended:
		s.t.Fatalf("the publisher ended with %v", err)
	case <-time.After(patience):
		s.t.Fatal("the publisher does not connect")
	}
}

// The words of a page that differ each time: ids, keys, times and numbers, and the width of columns.
var (
	aPushID  = regexp.MustCompile(`\b[0-9a-v]{26}\b`)
	aKey     = regexp.MustCompile(`\btpk_\w+`)
	anID     = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-z]{12,16}\b|\b[0-9a-f]{32}\b`)
	aNode    = regexp.MustCompile(`\S+ \(answers\)`)
	aTime    = regexp.MustCompile(`\d\d\d\d-\d\d-\d\d \d\d:\d\d(:\d\d)?|\b\d\d:\d\d:\d\d\b`)
	aSpan    = regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+s\b|\b\d+h\d+m\b`)
	aSize    = regexp.MustCompile(`\b\d+x\d+\b`)
	aVersion = regexp.MustCompile(`\bready +\S+`)
	aNumber  = regexp.MustCompile(`\b\d+(\.\d+)?\b`)
	spaces   = regexp.MustCompile(` +`)
)

// readOnly are the commands that change nothing.
var readOnly = regexp.MustCompile(`^\w+ (list|show)\b`)

// plain returns what is the same each time.
func plain(text string) string {
	for _, change := range []struct {
		what *regexp.Regexp
		to   string
	}{
		{aPushID, "PUSH"}, {aKey, "KEY"}, {aNode, "NODE (answers)"}, {aVersion, "ready VERSION"}, {anID, "ID"}, {aTime, "TIME"}, {aSpan, "SPAN"}, {aSize, "SIZE"}, {aNumber, "N"}, {spaces, " "},
	} {
		text = change.what.ReplaceAllString(text, change.to)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// step is one command of a page, with what it prints there.
type step struct{ command, prints string }

// stepsOf returns the commands of a page in their order.
func stepsOf(t *testing.T, file string) []step {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []step
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			if command, ok := strings.CutPrefix(line, "$ transponder "); ok {
				all = append(all, step{command: strings.TrimSpace(command)})
				continue
			}
			if len(all) == 0 {
				t.Fatalf("%s: a block does not begin with a command", file)
			}
			all[len(all)-1].prints += line
		}
	}
	return all
}

// splitArgs splits a command line as a shell does, as far as the page needs it.
func splitArgs(line string) []string {
	var args []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		args = append(args, m[1]+m[2])
	}
	return args
}

// Every command of docs/cli.md prints what the page says, apart from ids, times and numbers.
func TestPageOfCommands(t *testing.T) {
	live := testkit.NewRTMPServer(t, testkit.Script{})
	s := startServer(t)
	s.publish("hall")
	host := "rtmp://" + strings.TrimPrefix(strings.TrimSuffix(live.URL(""), "/"), "rtmp://")
	if _, errs, code := s.command("secret-key\n", "destination", "create", "youtube-main", "--server-url", host+"/app"); code != 0 {
		t.Fatal(errs)
	}
	testkit.Eventually(t, patience, func() string { // the size and the rate are known when media has come for a while
		out, _, _ := s.command("", "stream", "list", "-o", "json")
		var all []struct{ Width, Bitrate, GOP int }
		if json.Unmarshal([]byte(out), &all) != nil || len(all) != 1 || all[0].Width == 0 || all[0].Bitrate == 0 {
			return out
		}
		return ""
	})
	steps := stepsOf(t, "../../docs/cli.md")
	if len(steps) < 20 {
		t.Fatalf("%d commands on the page", len(steps))
	}
	ids := map[string]string{} // of pushes: on the page, and here
	for _, step := range steps {
		input := ""
		args := splitArgs(step.command)
		if i := slices.Index(args, "<"); i > 0 {
			args, input = args[:i], host+"/two/another-key\n"
			args = append(args, "--full-url", "true")
		}
		for i, arg := range args {
			if real, ok := ids[arg]; ok {
				args[i] = real
			}
		}
		var out, errs string
		try := func() string {
			var code int
			out, errs, code = s.command(input, args...)
			out = strings.ReplaceAll(out, host, "rtmp://live.example.com")
			if got, want := plain(out), plain(step.prints); code != 0 || got != want {
				return fmt.Sprintf("transponder %s ends with %d and prints\n%s%s\nwhich is\n%s\nwant\n%s", step.command, code, out, errs, got, want)
			}
			return ""
		}
		switch {
		case readOnly.MatchString(step.command): // a push that was just started may still connect
			testkit.Eventually(t, patience, try)
		default:
			if wrong := try(); wrong != "" {
				t.Error(wrong)
			}
		}
		if strings.HasPrefix(step.command, "push start") || strings.HasPrefix(step.command, "push retry") {
			ids[strings.TrimSpace(step.prints)] = strings.TrimSpace(out)
		}
		if strings.Contains(out+errs, "secret-key") || strings.Contains(out+errs, "another-key") {
			t.Errorf("transponder %s prints a stream key", step.command)
		}
	}
}

// Scripts learn from the exit code what went wrong, and read JSON.
func TestExitCodes(t *testing.T) {
	s := startServer(t, "access=closed")
	_, key, code := s.command("", "key", "list")
	if code != admin.ExitDenied || !strings.Contains(key, "--token-file") {
		t.Errorf("without a credential: %d, %s", code, key)
	}
	open := startServer(t)
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"push list -o json", 0, "[]"},
		{"push list -o xml", admin.ExitUsage, "--output must be"},
		{"push fly", admin.ExitUsage, "transponder push has start"},
		{"push stop", admin.ExitUsage, "by one of ID"},
		{"push stop a --all", admin.ExitUsage, "by one of ID"},
		{"push stop nothing", admin.ExitNotFound, "Transponder not found"},
		{"push stop --all", 0, ""},
		{"push retry", admin.ExitUsage, "ID"},
		{"push retry nothing", admin.ExitNotFound, "Transponder not found"},
		{"push show nothing", admin.ExitNotFound, "there is no push nothing"},
		{"push start nobody rtmp://127.0.0.1:1/live", admin.ExitNotFound, "Stream not found"},
		{"push start a b --options {\"flip\":1}", admin.ExitUsage, `unknown field "flip"`},
		{"push start a b --full-url perhaps", admin.ExitUsage, "true or false"},
		{"push check http://x", admin.ExitFailed, "rtmp"},
		{"push list --server http://127.0.0.1:1", admin.ExitNoServer, "no server at http://127.0.0.1:1"},
		{"push list --server studio", admin.ExitUsage, "or be a name in"},
		{"stream show nothing", admin.ExitNotFound, "there is no stream nothing"},
		{"stream end nothing", admin.ExitNotFound, "Stream not found"},
		{"node drain --finish soon", admin.ExitUsage, "--finish must be"},
	} {
		out, errs, code := open.command("", strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+errs, tt.says) {
			t.Errorf("%s: %d, %s%s, want %d with %q", tt.args, code, out, errs, tt.code, tt.says)
		}
	}
}

// A push that does not come to life tells a script why.
func TestStartWaits(t *testing.T) {
	refusing := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName"})
	s := startServer(t, "rtmp_push_restore=false")
	s.publish("hall")
	out, errs, code := s.command("", "push", "start", "hall", refusing.URL("live"), "--wait", "10s")
	if code != admin.ExitFailed || len(strings.TrimSpace(out)) != 26 || !strings.Contains(errs, "the push has ended: key_") {
		t.Errorf("%d, %s, %s", code, out, errs)
	}
	if out, _, code = s.command("", "push", "watch", strings.TrimSpace(out), "-o", "json"); code != admin.ExitFailed || strings.Count(out, "\n") < 3 || !strings.Contains(out, `"to":"FAILED"`) {
		t.Errorf("%d, %s", code, out)
	}
}
