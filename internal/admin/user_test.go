package admin

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"transponder/internal/access"
	"transponder/internal/access/people"
	"transponder/internal/state"
)

// made is a password that a command has made.
var made = regexp.MustCompile(`[a-z2-9]{5}-[a-z2-9]{5}-[a-z2-9]{5}-[a-z2-9]{5}`)

func TestUserRequests(t *testing.T) {
	for _, test := range []struct{ args, input, want, out string }{
		{"user list", "", `POST /rest-api/user/find_all {"empty":true}`, "NAME  ROLE  STREAMS  FROM  CREATED  LAST LOGIN\n"},
		{"user add vera --role viewer --streams a/*,b", "", `POST /rest-api/user/create {"name":"vera","password":"MADE","role":"viewer","streams":["a/*","b"]}`, "MADE\n"},
		{"user add vera --role admin --ask", "a long password\na long password\n", `POST /rest-api/user/create {"name":"vera","password":"a long password","role":"admin"}`, ""},
		{"user passwd vera", "", `POST /rest-api/user/update {"name":"vera","password":"MADE"}`, "MADE\n"},
		{"user role vera operator", "", `POST /rest-api/user/update {"name":"vera","role":"operator"}`, ""},
		{"user role vera operator --streams x", "", `POST /rest-api/user/update {"name":"vera","role":"operator","streams":["x"]}`, ""},
		{"user remove vera", "", `POST /rest-api/user/remove {"name":"vera"}`, ""},
	} {
		url, got := answering(t, http.StatusOK, "[]")
		out, _, err := run(t, test.input, append(strings.Fields(test.args), "--server", url)...)
		if err != nil || len(*got) != 1 {
			t.Errorf("%s: %v, %d requests", test.args, err, len(*got))
			continue
		}
		password := made.FindString((*got)[0].body)
		sent := made.ReplaceAllString((*got)[0].method+" "+(*got)[0].path+" "+(*got)[0].body, "MADE")
		if sent != test.want {
			t.Errorf("%s sends\n%s, want\n%s", test.args, sent, test.want)
		}
		if want := strings.Replace(test.out, "MADE", password, 1); out != want {
			t.Errorf("%s prints %q, want %q", test.args, out, want)
		}
	}
	for args, want := range map[string]string{"user add vera": "--role is missing", "user add vera --role viewer --ask": "differ"} {
		url, got := answering(t, http.StatusOK, "[]")
		if _, _, err := run(t, "one password\nanother one\n", append(strings.Fields(args), "--server", url)...); err == nil || !strings.Contains(err.Error(), want) || len(*got) > 0 {
			t.Errorf("%s: %v, %d requests", args, err, len(*got))
		}
	}
}

// The password that reset-admin prints is the administrator's when the server starts, whoever he was before.
func TestResetAdmin(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, _, err := run(t, "", "reset-admin", "--set", "state_dir="+dir); err == nil || !strings.Contains(err.Error(), "there is no folder") {
		t.Errorf("without a folder: %v", err)
	}
	if _, _, err := run(t, "", "reset-admin", "--set", "state_dir="); err == nil || !strings.Contains(err.Error(), "state_dir is empty") {
		t.Errorf("without a state: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	out, _, err := run(t, "", "reset-admin", "--set", "state_dir="+dir)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	kept, err := state.Open(t.Context(), state.Config{Dir: dir}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	p, err := people.New(t.Context(), people.Config{}, people.Parts{Keeper: kept, Dir: dir}, log)
	if err != nil {
		t.Fatal(err)
	}
	who, err := p.Login(t.Context(), access.Credential{Name: "admin", Password: strings.TrimSpace(out)})
	if err != nil || !who.IsAdmin() {
		t.Errorf("the login: %v, %v", who, err)
	}
}
