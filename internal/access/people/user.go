package people

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"transponder/internal/access"
)

// Source says where a user comes from.
type Source string

const (
	FromState Source = "state" // REST and the commands change him
	FromFile  Source = "file"  // the file of users has him
)

// User describes a user.
type User struct {
	Name      string
	Role      access.Role
	Streams   []string // patterns
	Source    Source
	Created   time.Time // zero: unknown
	LastLogin time.Time // zero: never
}

// user is a user with the hash of his password. It is immutable once others know it.
type user struct {
	name    string
	hash    []byte // bcrypt
	role    access.Role
	streams []string
	source  Source
	created time.Time

	revision uint64 // of the record
}

// principal returns the principal of a user. id is the id of his session; "": he has no session.
func (u *user) principal(id string) *access.Principal {
	return &access.Principal{Kind: access.User, Subject: u.name, ID: id, Grants: u.role.Grants(u.streams)}
}

// isWhole says whether the user may do everything.
func (u *user) isWhole() bool {
	return u.role == access.Administrator && slices.Contains(u.streams, "*")
}

const (
	maxName     = 64
	maxStreams  = 64
	maxPattern  = 255
	minPassword = 8
	maxPassword = 72 // bcrypt looks at no more bytes
)

// RequestError means that a value for a user cannot be used.
type RequestError struct{ Field, Reason string }

// Error names the field.
func (e *RequestError) Error() string { return e.Field + ": " + e.Reason }

// checkName reports a name that cannot be a user's. A colon would end the name in HTTP Basic and in the file.
func checkName(name string) error {
	bad := func(reason string) error { return &RequestError{"name", reason} }
	switch {
	case name == "":
		return bad("it is missing")
	case len(name) > maxName:
		return bad(fmt.Sprintf("it is longer than %d bytes", maxName))
	case !utf8.ValidString(name):
		return bad("it is not UTF-8")
	case strings.TrimSpace(name) != name:
		return bad("it begins or ends with a space")
	case name[0] == '#':
		return bad("it begins with #")
	}
	for _, r := range name {
		if r == ':' || !unicode.IsGraphic(r) {
			return bad(fmt.Sprintf("it must not hold the character %q", r))
		}
	}
	return nil
}

func checkRole(r access.Role) error {
	if r.Validate() != nil {
		return &RequestError{"role", "it must be viewer, operator or admin"}
	}
	return nil
}

func checkStreams(streams []string) error {
	bad := func(reason string) error { return &RequestError{"streams", reason} }
	if len(streams) > maxStreams {
		return bad(fmt.Sprintf("there are more than %d", maxStreams))
	}
	for _, s := range streams {
		if s == "" || len(s) > maxPattern || !utf8.ValidString(s) {
			return bad(fmt.Sprintf("each must have 1 to %d bytes of UTF-8; * stands for any run of characters", maxPattern))
		}
	}
	return nil
}

// checkPassword reports a password that must not be set.
func checkPassword(name, password string) error {
	bad := func(reason string) error { return &RequestError{"password", reason} }
	switch {
	case len(password) < minPassword:
		return bad(fmt.Sprintf("it must have at least %d bytes", minPassword))
	case len(password) > maxPassword:
		return bad(fmt.Sprintf("it must have at most %d bytes", maxPassword))
	case password == name:
		return bad("it must not be the name")
	case strings.ContainsRune(password, 0):
		return bad("it must not hold the character 0")
	}
	return nil
}

var (
	// ErrNoUser means that there is no user with the name.
	ErrNoUser = errors.New("no such user")
	// ErrUserExists means that there is a user with the name already.
	ErrUserExists = errors.New("there is a user with this name already")
	// ErrInFile means that only the operator can change the user.
	ErrInFile = errors.New("this user is in rest_users_file: change him there")
	// ErrLastAdmin means that nobody would be left who can manage users.
	ErrLastAdmin = errors.New("this is the last administrator: make another one first")
	// ErrChanged means that somebody else has changed the user at the same time.
	ErrChanged = errors.New("somebody else has just changed this user at another server: look at him and try again")
	// ErrTooManyUsers means that there are as many users as there may be.
	ErrTooManyUsers = fmt.Errorf("there are %d users already, which is the limit", maxUsers)
)

// maxUsers is how many users the state may have.
const maxUsers = 1000
