package people

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"transponder/internal/access"
)

// parseFile reads lines "name:hash", "name:hash:role" or "name:hash:role:patterns", where the hash is of bcrypt, and the patterns of names of
// streams are separated by commas. Without a role the user is an administrator; without patterns he may see all streams. So the lines of
// "htpasswd -B" can be used. Empty lines and lines that begin with # are skipped. No error repeats a hash.
func parseFile(text string) (map[string]*user, error) {
	users := map[string]*user{}
	n := 0
	text = strings.TrimPrefix(text, "\ufeff") // editors on Windows write a byte order mark first
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d %w", n, err)
		}
		if users[u.name] != nil {
			return nil, fmt.Errorf("line %d: %q is there twice", n, u.name)
		}
		users[u.name] = u
	}
	if len(users) == 0 {
		return nil, errors.New("holds no user")
	}
	return users, nil
}

func parseLine(line string) (*user, error) {
	parts := strings.SplitN(line, ":", 4)
	name := parts[0]
	if len(parts) < 2 || name == "" {
		return nil, errors.New(`is not "name:bcrypt hash"`)
	}
	if _, err := bcrypt.Cost([]byte(parts[1])); err != nil {
		return nil, errors.New(`is not "name:bcrypt hash"`)
	}
	u := &user{name: name, hash: []byte(parts[1]), role: access.Administrator, streams: []string{"*"}, source: FromFile}
	if len(parts) > 2 {
		u.role = access.Role(parts[2])
		if u.role.Validate() != nil {
			return nil, fmt.Errorf("of %q: the role must be viewer, operator or admin", name)
		}
	}
	if len(parts) > 3 {
		if u.streams = splitList(parts[3]); len(u.streams) == 0 {
			return nil, fmt.Errorf("of %q: there is no pattern after the last colon", name)
		}
	}
	return u, nil
}

// splitList splits a list at its commas.
func splitList(text string) []string {
	var list []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			list = append(list, word)
		}
	}
	return list
}
