package admin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"transponder/internal/access"
	"transponder/internal/access/people"
)

var userCommands = group{name: "user", summary: "users, who log in with a name and a password", commands: []command{
	{name: "list", summary: "list the users, with their last login", prepare: listUsers},
	{name: "add", usage: "NAME", summary: "make a user", prepare: addUser},
	{name: "passwd", usage: "NAME", summary: "give a user another password, and end his sessions", prepare: changePassword},
	{name: "role", usage: "NAME ROLE", summary: "give a user another role: viewer, operator or admin", prepare: changeRole},
	{name: "remove", usage: "NAME", summary: "remove a user, and end what he has begun", prepare: removeUser},
}}

var resetCommand = group{
	name: "reset-admin", summary: "give the administrator another password, without knowing the old one", prepare: resetAdmin,
}

// userRequest is the body of /user/create and /user/update.
type userRequest struct {
	Name     string   `json:"name"`
	Password string   `json:"password,omitempty"`
	Role     string   `json:"role,omitempty"`
	Streams  []string `json:"streams,omitempty"`
}

func listUsers(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		var list []struct {
			Name, Role, Source string
			Streams            []string
			Created, LastLogin int64
		}
		if err := s.post(ctx, "/user/find_all", map[string]bool{"empty": true}, &list); err != nil || s.json {
			return err
		}
		var rows [][]string
		for _, u := range list {
			rows = append(rows, []string{u.Name, u.Role, strings.Join(u.Streams, ","), u.Source, moment(u.Created), moment(u.LastLogin)})
		}
		return s.table([]string{"NAME", "ROLE", "STREAMS", "FROM", "CREATED", "LAST LOGIN"}, rows)
	}
}

func addUser(f *flag.FlagSet) runner {
	role := f.String("role", "", "`ROLE`: viewer, operator or admin")
	var streams words
	f.Var(&streams, "streams", "`PATTERNS` of names of streams, with commas between them; all if it is not given")
	ask := f.Bool("ask", false, "ask for the password, instead of making one")
	return func(ctx context.Context, s *session, args []string) error {
		if *role == "" {
			return usageError("--role is missing: viewer, operator or admin")
		}
		password, err := s.newPassword(*ask, args[0])
		if err != nil {
			return err
		}
		r := userRequest{args[0], password, *role, streams}
		if err := s.post(ctx, "/user/create", r, nil); err != nil || s.json {
			return err
		}
		return s.showPassword(*ask, args[0], password)
	}
}

func changePassword(f *flag.FlagSet) runner {
	ask := f.Bool("ask", false, "ask for the password, instead of making one")
	return func(ctx context.Context, s *session, args []string) error {
		password, err := s.newPassword(*ask, args[0])
		if err != nil {
			return err
		}
		if err := s.post(ctx, "/user/update", userRequest{Name: args[0], Password: password}, nil); err != nil || s.json {
			return err
		}
		return s.showPassword(*ask, args[0], password)
	}
}

func changeRole(f *flag.FlagSet) runner {
	var streams words
	f.Var(&streams, "streams", "`PATTERNS` of names of streams, with commas between them; they stay as they are if it is not given")
	return func(ctx context.Context, s *session, args []string) error {
		return s.post(ctx, "/user/update", userRequest{Name: args[0], Role: args[1], Streams: streams}, nil)
	}
}

func removeUser(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, args []string) error {
		return s.post(ctx, "/user/remove", userRequest{Name: args[0]}, nil)
	}
}

// resetAdmin leaves a new password in the folder of the state. It needs no server that runs, and none that lets the operator in.
func resetAdmin(f *flag.FlagSet) runner {
	name := f.String("user", "admin", "`NAME` of the administrator, who is made if there is none")
	ask := f.Bool("ask", false, "ask for the password, instead of making one")
	return func(_ context.Context, s *session, _ []string) error {
		cfg, err := s.config()
		if err != nil {
			return err
		}
		dir := cfg.State.Dir
		if dir == "" {
			return errors.New("state_dir is empty, so nothing outlives the server: its first administrator is made anew when it starts")
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no folder %s: run this where the server runs, and with its settings (--config FILE)", dir)
		}
		password, err := s.newPassword(*ask, *name)
		if err != nil {
			return err
		}
		if err := people.LeaveReset(dir, *name, password); err != nil {
			return fmt.Errorf("leave the password in %s: %w", dir, err)
		}
		fmt.Fprintln(s.errs, "A server that runs takes it up within ten seconds, another one when it starts. Sessions of the user end then.")
		return s.showPassword(*ask, *name, password)
	}
}

// newPassword makes a password for a user, or asks for it twice.
func (s *session) newPassword(ask bool, name string) (string, error) {
	if !ask {
		return people.NewPassword(), nil
	}
	var typed [2]access.Secret
	for i, prompt := range []string{"new password of " + name + ": ", "again: "} {
		var err error
		if typed[i], err = s.password(prompt); err != nil {
			return "", err
		}
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two passwords differ")
	}
	return string(typed[0]), nil
}

// showPassword prints a password that was made.
func (s *session) showPassword(asked bool, name, password string) error {
	if asked {
		return nil
	}
	fmt.Fprintf(s.errs, "The password of %s, which is shown this once:\n", printable(name))
	_, err := fmt.Fprintln(s.out, password)
	return err
}
