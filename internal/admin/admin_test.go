package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/pkg/client"
)

// asked is a request that a command has sent.
type asked struct {
	method, path, body, authorization string
}

// answering starts a server that answers each request with a body. asked receives what was sent.
func answering(t *testing.T, status int, body string) (url string, got *[]asked) {
	t.Helper()
	got = &[]asked{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*got = append(*got, asked{r.Method, r.URL.Path, string(text), r.Header.Get("Authorization")})
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

// run runs a command with an input.
func run(t *testing.T, input string, args ...string) (out, errs string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	err = Run(t.Context(), args, nil, Streams{strings.NewReader(input), &o, &e})
	return o.String(), e.String(), err
}

func TestRequests(t *testing.T) {
	hour := time.Now().Add(time.Hour).Unix() / 60
	for _, test := range []struct {
		args string // with spaces between them
		want string // method, path and body
	}{
		{
			"token create --publish cam-* --push youtube-main --for 90m --once --subject ann",
			`POST /rest-api/token/create {"grants":[{"actions":["publish"],"streams":["cam-*"]},{"actions":["push"],"streams":["cam-*"],"destinations":["youtube-main"]}],` +
				`"subject":"ann","expiresIn":5400,"once":true,"limits":{}}`,
		},
		{
			"token create --play a --play b,c --read * --control x --push rtmps://h/app/* --push destination://fb --streams s --for 1d --app acme --players 3",
			`POST /rest-api/token/create {"grants":[{"actions":["play"],"streams":["a","b","c"]},{"actions":["read"],"streams":["*"]},{"actions":["control"],"streams":["x"]},` +
				`{"actions":["push"],"streams":["s"],"destinations":["fb"],"urls":["rtmps://h/app/*"]}],"expiresIn":86400,"limits":{"players":3},"app":"acme"}`,
		},
		{"token create --admin --until 2030-01-31T18:00:00Z", `POST /rest-api/token/create {"grants":[{"actions":["admin"],"streams":["*"]}],"expiresIn":3600,"until":1896112800000,"limits":{}}`},
		{`token create --grants [{"actions":["play"],"streams":["x"]}]`, `POST /rest-api/token/create {"grants":[{"actions":["play"],"streams":["x"]}],"expiresIn":3600,"limits":{}}`},
		{"token revoke --sub ann", `POST /rest-api/token/revoke {"sub":"ann"}`},
		{"token revoke --kid k --before 1970-01-01T00:00:01Z", `POST /rest-api/token/revoke {"before":1000,"kid":"k"}`},
		{"token revocations", `GET /rest-api/token/revocations `},
		{"key create --stream hall --label hall", `POST /rest-api/key/create {"label":"hall","grants":[{"actions":["publish"],"streams":["hall"]}],"stream":"hall","limits":{}}`},
		{"key create --publish x --replace --expires 2030-01-31T18:00:00Z --publishers 1", `POST /rest-api/key/create {"grants":[{"actions":["publish"],"streams":["x"],"replace":true}],"expiresAt":1896112800000,"limits":{"publishers":1}}`},
		{"key list", `POST /rest-api/key/find_all {}`},
		{"destination create tube --preset youtube --streams a,b", `POST /rest-api/destination/create {"key":"abcd","name":"tube","preset":"youtube","streams":["a","b"]}`},
		{"destination create tube --server-url rtmp://h/app --key-file - --label L", `POST /rest-api/destination/create {"key":"abcd","label":"L","name":"tube","server":"rtmp://h/app"}`},
		{"destination create inside --url rtmp://10.0.0.5/live --app acme", `POST /rest-api/destination/create {"app":"acme","name":"inside","rtmpUrl":"rtmp://10.0.0.5/live"}`},
		{"destination update tube --label L", `POST /rest-api/destination/update {"label":"L","name":"tube"}`},
		{"destination update tube --key-file -", `POST /rest-api/destination/update {"key":"abcd","name":"tube"}`},
		{"destination list", `POST /rest-api/destination/find_all {"empty":true}`},
		{"destination remove tube", `POST /rest-api/destination/remove {"name":"tube"}`},
		{"destination presets", `GET /rest-api/destination/presets `},
		{"key remove ID", `POST /rest-api/key/remove {"id":"ID"}`},
		{"app add studio studioKey https://h/hooks", `POST /rest-api/app/create {"key":"studioKey","name":"studio","onError":"FAIL","url":"https://h/hooks"}`},
		{
			"app add -u wcs -p PASS -o ops -m Main -c Callback studio studioKey https://h/hooks --on-error LOG --methods connect,publishStream --auth token+hook",
			`POST /rest-api/app/create {"auth":"token+hook","callbackClass":"Callback","key":"studioKey","mainClass":"Main","methods":["connect","publishStream"],` +
				`"name":"studio","onError":"LOG","owner":"ops","password":"PASS","url":"https://h/hooks","username":"wcs"}`,
		},
		{"app update -l https://h/new -k newKey defaultApp", `POST /rest-api/app/update {"key":"newKey","name":"defaultApp","url":"https://h/new"}`},
		{"app update defaultApp https://h/new", `POST /rest-api/app/update {"name":"defaultApp","url":"https://h/new"}`},
		{"app update https://h/new defaultApp", `POST /rest-api/app/update {"name":"defaultApp","url":"https://h/new"}`},
		{"app update --on-error= -l= defaultApp", `POST /rest-api/app/update {"name":"defaultApp","onError":"","url":""}`},
		{`app update --grants [{"actions":["publish"],"streams":["a/*"]}] defaultApp`, `POST /rest-api/app/update {"grants":[{"actions":["publish"],"streams":["a/*"]}],"name":"defaultApp"}`},
		{"app remove studio", `POST /rest-api/app/remove {"name":"studio"}`},
		{"app list -d", `POST /rest-api/app/find_all {}`},
	} {
		t.Run(test.args, func(t *testing.T) {
			url, got := answering(t, http.StatusOK, "")
			args := strings.Fields(test.args)
			if _, _, err := run(t, "abcd\n", append(args, "--server", url)...); err != nil {
				t.Fatal(err)
			}
			if len(*got) != 1 {
				t.Fatalf("%d requests", len(*got))
			}
			if sent := fmt.Sprintf("%s %s %s", (*got)[0].method, (*got)[0].path, (*got)[0].body); sent != test.want {
				t.Errorf("sent\n%s\nwant\n%s", sent, test.want)
			}
		})
	}
	// A duration counts from now.
	url, got := answering(t, http.StatusOK, "")
	if _, _, err := run(t, "", "key", "create", "--publish", "x", "--expires", "1h", "--server", url); err != nil {
		t.Fatal(err)
	}
	var body struct{ ExpiresAt int64 }
	if err := json.Unmarshal([]byte((*got)[0].body), &body); err != nil || body.ExpiresAt/60_000-hour > 1 || body.ExpiresAt/60_000 < hour {
		t.Errorf("%s, %v", (*got)[0].body, err)
	}
}

// A secret alone goes to the standard output, so that it can be caught by a script.
func TestOutput(t *testing.T) {
	for _, test := range []struct {
		args, answer, out, errs string
	}{
		{"key create --publish x", `{"id":"k1","key":"tpk_abc"}`, "tpk_abc\n", "transponder key remove k1"},
		{"token create --publish x", `{"token":"a.b.c","jti":"j1","expiresAt":0}`, "a.b.c\n", "transponder token revoke --jti j1"},
		{"token create --publish x --json", `{"token":"a.b.c"}`, `{"token":"a.b.c"}` + "\n", ""},
		{
			"key list", `[{"id":"k1","label":"a\u001b[2Jb\u202ec","grants":[{"actions":["publish","play"],"streams":["x","y"]}],"lastUsedAt":0}]`,
			"ID  LABEL     OWNER  MAY               STREAM  EXPIRES  LAST USED  FROM\n" +
				"k1  a�[2Jb�c         publish+play x,y          -        -          \n", "",
		},
		{
			"token revocations", `[{"sub":"ann","by":"local"},{"kid":"k"},{"jti":"j"}]`,
			"WHAT    NAME  ISSUED BEFORE  REVOKED  BY\nholder  ann   -              -        local\nkey     k     -              -        \ntoken   j     -              -        \n", "",
		},
	} {
		url, _ := answering(t, http.StatusOK, test.answer)
		out, errs, err := run(t, "", append(strings.Fields(test.args), "--server", url)...)
		if err != nil || out != test.out || !strings.Contains(errs, test.errs) || test.errs == "" && errs != "" {
			t.Errorf("%s: %v\n%q, want\n%q\n%q, want %q", test.args, err, out, test.out, errs, test.errs)
		}
	}
}

func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret\r\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ input, args, want string }{
		{"", "", ""},
		{"", "--token-file " + file, "Bearer s3cret"},
		{"tpk_x\nrest", "--token-file -", "Bearer tpk_x"},
		{"", "--login ann --password-file " + file, "Basic YW5uOnMzY3JldA=="},
		{"s3cret\n", "--login ann", "Basic YW5uOnMzY3JldA=="},
		{"s3cret", "--login ann --password-file -", "Basic YW5uOnMzY3JldA=="},
	} {
		url, got := answering(t, http.StatusOK, "[]")
		if _, _, err := run(t, test.input, append([]string{"key", "list", "--server", url}, strings.Fields(test.args)...)...); err != nil {
			t.Fatal(err)
		}
		if (*got)[0].authorization != test.want {
			t.Errorf("%s: %q, want %q", test.args, (*got)[0].authorization, test.want)
		}
	}
}

// The address comes from the settings, wherever they stand.
func TestAddress(t *testing.T) {
	url, got := answering(t, http.StatusOK, "[]")
	port := url[strings.LastIndex(url, ":")+1:]
	file := filepath.Join(t.TempDir(), "settings")
	if err := os.WriteFile(file, []byte("http.port="+port), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--config", file}, {"--set", "http.port=" + port}} {
		if _, _, err := run(t, "", append([]string{"key", "list"}, args...)...); err != nil {
			t.Error(err)
		}
	}
	var o bytes.Buffer
	if err := Run(t.Context(), []string{"key", "list"}, []string{"TRANSPONDER_HTTP_PORT=" + port}, Streams{strings.NewReader(""), &o, &o}); err != nil {
		t.Error(err)
	}
	if len(*got) != 3 {
		t.Errorf("%d requests", len(*got))
	}

	// Only HTTPS is open, with a certificate for another name.
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	secure.StartTLS()
	defer secure.Close()
	port = secure.URL[strings.LastIndex(secure.URL, ":")+1:]
	if _, _, err := run(t, "", "key", "list", "--set", "http.port=-1", "--set", "https.port="+port); err != nil {
		t.Error(err)
	}
	// Elsewhere the certificate counts.
	if _, _, err := run(t, "", "key", "list", "--server", secure.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		args   string
		status int
		answer string
		want   string
	}{
		{"key list", 401, `{"message":"a valid token, key or password is needed"}`, "a valid token, key or password is needed (use --login NAME, or --token-file FILE)"},
		{"key list", 403, `{"message":"this key has no grant to control"}`, "this key has no grant to control"},
		{"key list", 502, `<html>`, "the server has answered 502 Bad Gateway"},
		{"key list", 200, `<html>`, "something else than a Transponder"},
		{"key list", 302, ``, "the server has answered 302 Found"},
	} {
		url, _ := answering(t, test.status, test.answer)
		_, _, err := run(t, "", append(strings.Fields(test.args), "--server", url)...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.args, err, test.want)
		}
		var answer *client.Error
		if test.status >= 400 && (!errors.As(err, &answer) || answer.Status != test.status) {
			t.Errorf("%v is no error of the server", err)
		}
	}
	for args, want := range map[string]string{
		"":               "no command",
		"fly":            `unknown command "fly": there are push, stream, connection, call, node, token, key`,
		"key fly":        "transponder key has create, list, remove",
		"key remove":     "0 arguments, want 1",
		"key remove a b": "2 arguments, want 1",
		"key list --fly": "flag provided but not defined: -fly; see transponder key list --help",
		"key create":     "what may the holder do?",
		"key create --publish x --expires yesterday":                        "--expires must be",
		"token create --push yt":                                            "--push needs --streams",
		"token create --publish x --for ever":                               "--for must be",
		"token create --grants x":                                           "--grants: ",
		"token revoke":                                                      "one of --jti, --sub and --kid",
		"token revoke --jti a --sub b":                                      "one of --jti, --sub and --kid",
		"token revoke --jti a --before noon":                                "--before must be",
		"key list --server localhost":                                       "--server must look like",
		"key list --server http://192.0.2.1 --token-file /x":                "over https:// only",
		"key list --server http://127.0.0.1:1":                              "no server at http://127.0.0.1:1: ",
		"key list --set http.port=0":                                        "name it by --server",
		"key list --set http.port=x":                                        "http.port must be",
		"key list --server http://127.0.0.1:1 --token-file /does/not/exist": "--token-file: ",
	} {
		if _, _, err := run(t, "", strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

// Everything explains itself.
func TestHelp(t *testing.T) {
	var all bytes.Buffer
	Print(&all)
	for _, g := range groups {
		if !strings.Contains(all.String(), g.name) || g.summary == "" {
			t.Errorf("%s is not in the list", g.name)
		}
		out, _, err := run(t, "", g.name, "--help")
		if err != nil || out == "" {
			t.Errorf("%s: %v", g.name, err)
		}
		for _, c := range g.commands {
			if !strings.Contains(out, c.name+" ") && !strings.Contains(out, c.name+"\n") {
				t.Errorf("%s %s is not explained", g.name, c.name)
			}
			help, _, err := run(t, "", g.name, c.name, "--help")
			if err != nil || !strings.Contains(help, "Usage: transponder "+g.name+" "+c.name) || !strings.Contains(help, "-server") {
				t.Errorf("%s %s --help: %v\n%s", g.name, c.name, err, help)
			}
		}
	}
}
