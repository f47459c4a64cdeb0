package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"transponder/internal/access"
	"transponder/internal/config"
	"transponder/pkg/client"
)

// session is one call of a command: its input and output, and how it talks to the server.
type session struct {
	in        io.Reader
	out, errs io.Writer
	environ   []string

	// Flags that all commands have.
	file         string
	set          list
	server       string
	login        string
	passwordFile string
	tokenFile    string
	json         bool
	output       string

	token    access.Secret // of the environment
	resolved bool          // whether server and the credential are known
	api      *client.Client
	answer   []byte // what the last request has answered, as it came
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// define defines the flags that all commands have.
func (s *session) define(f *flag.FlagSet) {
	f.StringVar(&s.file, "config", "", "settings `FILE` of the server")
	f.Var(&s.set, "set", "`key=value` of one setting of the server; may be repeated")
	f.StringVar(&s.server, "server", "", "`URL` of the server, such as https://live.example.com:8444, or its name in the file of servers, if it is not the one on this machine that the settings describe")
	f.StringVar(&s.login, "login", "", "`NAME` of a user, if the server asks for one; the password is asked for")
	f.StringVar(&s.passwordFile, "password-file", "", "`FILE` with the password, - for standard input")
	f.StringVar(&s.tokenFile, "token-file", "", "`FILE` with a token or a stored key to show instead, - for standard input")
	f.BoolVar(&s.json, "json", false, "the same as -o json")
	const output = "`FORMAT` of what is printed: table, or json for the answer of the server as it came"
	f.StringVar(&s.output, "output", "table", output)
	if f.Lookup("o") == nil { // a command of Web Call Server has a flag with this name
		f.StringVar(&s.output, "o", "table", "the same as --output `FORMAT`")
	}
}

// finish checks the flags when they are known.
func (s *session) finish() error {
	switch s.output {
	case "json":
		s.json = true
	case "table":
	default:
		return usageError(fmt.Sprintf("--output must be table or json, not %q", s.output))
	}
	return nil
}

// config returns the settings of the server.
func (s *session) config() (config.Config, error) {
	cfg, _, err := config.Load(config.Sources{File: s.file, Environ: s.environ, Set: s.set})
	return cfg, err // the server itself warns of settings that it does not know
}

// get asks the server. answer is a pointer to what the JSON of the answer is decoded into, nil for nothing.
func (s *session) get(ctx context.Context, path string, answer any) error {
	return s.call(ctx, http.MethodGet, path, nil, answer)
}

// post sends a body to the server. answer is as in get.
func (s *session) post(ctx context.Context, path string, body, answer any) error {
	return s.call(ctx, http.MethodPost, path, body, answer)
}

// ask is call for commands that judge the answer, and print it themselves.
func (s *session) ask(ctx context.Context, method, path string, body any) (answer json.RawMessage, err error) {
	quiet := *s
	quiet.json = false
	err = quiet.call(ctx, method, path, body, &answer)
	return answer, err
}

// call makes a request to a method of REST. With the flag --json it prints the answer.
func (s *session) call(ctx context.Context, method, path string, body, answer any) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	var text json.RawMessage
	if err := c.Do(ctx, method, path, nil, body, &text); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(text)
	}
	if answer == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the server has answered something else than a Transponder does: %w", err)
	}
	return nil
}

// show prints what the last request has answered: as it came with --json, otherwise by table.
func (s *session) show(table func() error) error {
	if s.json {
		return s.printJSON(s.answer)
	}
	return table()
}

func (s *session) printJSON(text []byte) error {
	_, err := fmt.Fprintln(s.out, strings.TrimSpace(string(text)))
	return err
}

// client returns a client for the server that the flags, the environment, the file of servers or the settings name, with the credential.
func (s *session) client() (*client.Client, error) {
	if s.api != nil {
		return s.api, nil
	}
	if err := s.resolve(); err != nil {
		return nil, err
	}
	options := []client.Option{client.WithAnswers(func(text []byte) { s.answer = text })}
	address := s.server
	if address != "" {
		u, err := url.Parse(address)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			return nil, usageError("--server must look like https://live.example.com:8444, or be a name in the file of servers")
		case u.Scheme == "http" && !isLoopback(u.Hostname()) && (s.login != "" || s.tokenFile != "" || s.token != ""):
			return nil, usageError("a password or a token goes to another machine over https:// only")
		}
	} else {
		cfg, err := s.config()
		if err != nil {
			return nil, err
		}
		switch l := cfg.Listen; {
		case l.HTTP > 0:
			address = fmt.Sprintf("http://127.0.0.1:%d", l.HTTP)
		case l.HTTP < 0 && l.HTTPS > 0:
			// The certificate is for other names than this one. On this machine that is as safe as HTTP.
			options = append(options, client.WithHTTPClient(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}))
			address = fmt.Sprintf("https://127.0.0.1:%d", l.HTTPS)
		default:
			return nil, errors.New("the settings do not say on which port the server is: name it by --server URL")
		}
	}
	credential, err := s.credential()
	if err != nil {
		return nil, err
	}
	s.api, err = client.New(address, append(options, credential...)...)
	return s.api, err
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// credential returns what the operator shows to the server.
func (s *session) credential() ([]client.Option, error) {
	switch {
	case s.tokenFile != "":
		text, err := s.secretFile("--token-file", s.tokenFile)
		return []client.Option{client.WithToken(string(text))}, err
	case s.login != "":
		password, err := s.ownPassword()
		return []client.Option{client.WithPassword(s.login, string(password))}, err
	case s.token != "":
		return []client.Option{client.WithToken(string(s.token))}, nil
	}
	return nil, nil
}

// ownPassword returns the password of the user that --login names.
func (s *session) ownPassword() (access.Secret, error) {
	if s.passwordFile != "" {
		return s.secretFile("--password-file", s.passwordFile)
	}
	return s.password("password of " + s.login + ": ")
}

// secretFile returns the first line of a file.
func (s *session) secretFile(name, path string) (access.Secret, error) {
	if path == "-" {
		return s.line()
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return access.Secret(strings.TrimSuffix(line, "\r")), nil
}

// line reads a line of standard input, byte by byte: what follows is for somebody else.
func (s *session) line() (access.Secret, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < 64<<10; {
		n, err := s.in.Read(b)
		if n > 0 && b[0] == '\n' {
			break
		}
		line = append(line, b[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return access.Secret(strings.TrimSuffix(string(line), "\r")), nil
}

// password asks for a secret. A terminal does not show it; without a terminal it is a line of standard input.
func (s *session) password(prompt string) (access.Secret, error) {
	f, ok := s.in.(*os.File)
	if !ok {
		return s.line()
	}
	restore, err := hideInput(f)
	if err != nil { // no terminal
		return s.line()
	}
	defer restore()
	fmt.Fprint(s.errs, prompt)
	text, err := s.line()
	fmt.Fprintln(s.errs)
	return text, err
}

// table prints rows under a header.
func (s *session) table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// printable returns a text without characters that would move the cursor, or hide others: names come from strangers.
func printable(text string) string {
	quoted := fmt.Sprintf("%+q", text)
	if quoted[1:len(quoted)-1] == text {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '�'
		}
		return r
	}, text)
}

// moment returns a time in milliseconds since 1970 for people, "-" for none.
func moment(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).Local().Format("2006-01-02 15:04")
}
