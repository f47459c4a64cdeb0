package admin

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The flags say which server is meant and what the operator shows, then the environment, then the file of servers, then the settings.
func TestPlaces(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".config", "transponder")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	studio, gotStudio := answering(t, http.StatusOK, "[]")
	stage, gotStage := answering(t, http.StatusOK, "[]")
	local, gotLocal := answering(t, http.StatusOK, "[]")
	port := local[strings.LastIndex(local, ":")+1:]
	write("servers", "default=studio\nstudio.url="+studio+"\nstudio.token_file=studio.token\nstage.url="+stage+"\nstage.login=ann\nstage.password_file=ann\n")
	write("studio.token", "tpk_studio\n")
	write("ann", "s3cret\n")
	write("other", "tpk_other\n")
	const ann = "Basic YW5uOnMzY3JldA=="
	for _, tt := range []struct {
		name    string
		args    string
		environ []string
		got     *[]asked
		shows   string
	}{
		{"the default of the file", "", nil, gotStudio, "Bearer tpk_studio"},
		{"another server of the file", "--server stage", nil, gotStage, ann},
		{"a name in the environment", "", []string{"TRANSPONDER_URL=stage"}, gotStage, ann},
		{"an address gets no credential of the file", "--server " + studio, nil, gotStudio, ""},
		{"an address of the environment", "", []string{"TRANSPONDER_URL=" + stage, "TRANSPONDER_TOKEN=tpk_env"}, gotStage, "Bearer tpk_env"},
		{"a file of the environment", "", []string{"TRANSPONDER_TOKEN_FILE=" + filepath.Join(dir, "other")}, gotStudio, "Bearer tpk_other"},
		{"a flag before all", "--server stage --token-file " + filepath.Join(dir, "other"), []string{"TRANSPONDER_URL=studio", "TRANSPONDER_TOKEN=tpk_env"}, gotStage, "Bearer tpk_other"},
		{"the settings of a flag", "--set http.port=" + port, []string{"TRANSPONDER_URL=studio"}, gotLocal, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			*gotStudio, *gotStage, *gotLocal = nil, nil, nil
			var out bytes.Buffer
			args := append([]string{"key", "list"}, strings.Fields(tt.args)...)
			if err := Run(t.Context(), args, append(tt.environ, "HOME="+home), Streams{strings.NewReader(""), &out, &out}); err != nil {
				t.Fatal(err)
			}
			if all := len(*gotStudio) + len(*gotStage) + len(*gotLocal); all != 1 || len(*tt.got) != 1 {
				t.Fatalf("studio %d, stage %d, local %d requests", len(*gotStudio), len(*gotStage), len(*gotLocal))
			}
			if shown := (*tt.got)[0].authorization; shown != tt.shows {
				t.Errorf("shows %q, want %q", shown, tt.shows)
			}
		})
	}
}

// A file of servers with mistakes names all of them.
func TestBadServersFile(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "transponder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "transponder", "servers"), []byte("default=gone\nstudio.token=tpk_secret\nfly\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := Run(t.Context(), []string{"key", "list"}, []string{"XDG_CONFIG_HOME=" + home}, Streams{strings.NewReader(""), &out, &out})
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, want := range []string{"default=gone is no server", "fly is no line", "studio.token is no line", "studio.url is missing"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "tpk_secret") {
		t.Errorf("%v shows a secret", err)
	}
}
