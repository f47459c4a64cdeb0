package admin

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/magiconair/properties"

	"transponder/internal/access"
)

// The environment of commands. Flags override it.
const (
	envURL       = "TRANSPONDER_URL"        // as --server
	envToken     = "TRANSPONDER_TOKEN"      // a token or a stored key
	envTokenFile = "TRANSPONDER_TOKEN_FILE" // as --token-file
)

// place is where a server is, and what the operator shows there. It has no secret in it: the file of servers names files.
type place struct {
	url, tokenFile, login, passwordFile string
}

// resolve finds out which server is meant, and with which credential. The flags say it, then the environment, then the file of servers. If none of
// them does, or if a flag says whose settings count, the server is the one on this machine.
func (s *session) resolve() error {
	if s.resolved {
		return nil
	}
	fromFlag := s.server != ""
	local := !fromFlag && (s.file != "" || len(s.set) > 0)
	if !fromFlag && !local {
		s.server = s.env(envURL)
	}
	shows := s.tokenFile != "" || s.login != ""
	if !shows {
		s.tokenFile, s.token = s.env(envTokenFile), access.Secret(s.env(envToken))
		shows = s.tokenFile != "" || s.token != ""
	}
	if !local && !strings.Contains(s.server, "://") {
		p, err := s.lookUp(s.server)
		if err != nil {
			return err
		}
		s.server = p.url
		if !shows {
			s.tokenFile, s.login = p.tokenFile, p.login
			if s.passwordFile == "" {
				s.passwordFile = p.passwordFile
			}
		}
	}
	s.resolved = true
	return nil
}

// env returns a variable of the environment, "" if it is not set.
func (s *session) env(name string) string {
	for _, pair := range s.environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// serversFile returns the path of the file of servers, "" if the user has no folder for settings.
func (s *session) serversFile() string {
	if dir := s.env("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "transponder", "servers")
	}
	if home := s.env("HOME"); home != "" {
		return filepath.Join(home, ".config", "transponder", "servers")
	}
	return ""
}

// lookUp returns what the file of servers says of a name; "" is the default of the file. Without the file, or without a default, the default is
// the server on this machine.
func (s *session) lookUp(name string) (place, error) {
	file := s.serversFile()
	noSuch := usageError(fmt.Sprintf("--server must look like https://live.example.com:8444, or be a name in %s, not %q", cmp.Or(file, "~/.config/transponder/servers"), name))
	text, err := os.ReadFile(file)
	switch {
	case file == "" || errors.Is(err, fs.ErrNotExist):
		if name != "" {
			return place{}, noSuch
		}
		return place{}, nil
	case err != nil:
		return place{}, fmt.Errorf("the file of servers: %w", err)
	}
	servers, standard, err := readServers(text, filepath.Dir(file))
	if err != nil {
		return place{}, fmt.Errorf("%s: %w", file, err)
	}
	if name == "" && standard == "" {
		return place{}, nil
	}
	p, ok := servers[cmp.Or(name, standard)]
	if !ok {
		return place{}, noSuch
	}
	return p, nil
}

// readServers reads a file of servers. Files that it names are relative to its folder.
func readServers(text []byte, dir string) (servers map[string]place, standard string, err error) {
	read := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	all, err := read.LoadBytes(text)
	if err != nil {
		return nil, "", err
	}
	servers = map[string]place{}
	in := func(file string) string {
		if file == "" || filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(dir, file)
	}
	var faults []error
	for _, key := range all.Keys() {
		value := strings.TrimSpace(all.GetString(key, ""))
		if key == "default" {
			standard = value
			continue
		}
		dot := strings.LastIndexByte(key, '.')
		if dot < 0 {
			faults = append(faults, fmt.Errorf("%s is no line of this file: write default, or NAME.url, NAME.token_file, NAME.login or NAME.password_file", key))
			continue
		}
		p := servers[key[:dot]]
		switch key[dot+1:] {
		case "url":
			p.url = value
		case "token_file":
			p.tokenFile = in(value)
		case "login":
			p.login = value
		case "password_file":
			p.passwordFile = in(value)
		default:
			faults = append(faults, fmt.Errorf("%s is no line of this file: write NAME.url, NAME.token_file, NAME.login or NAME.password_file", key))
		}
		servers[key[:dot]] = p
	}
	for name, p := range servers {
		if p.url == "" {
			faults = append(faults, fmt.Errorf("%s.url is missing", name))
		}
	}
	if _, ok := servers[standard]; standard != "" && !ok {
		faults = append(faults, fmt.Errorf("default=%s is no server of this file", standard))
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return servers, standard, errors.Join(faults...)
}
