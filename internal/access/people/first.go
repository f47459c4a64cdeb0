package people

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/state"
)

const (
	// firstAdmin is the name of the administrator that the server makes.
	firstAdmin = "admin"
	// initialFile holds his password, until he logs in.
	initialFile = "initial-admin-password"
	// resetFile holds a line "name:bcrypt hash" that the operator has left.
	resetFile = "reset-admin"
)

// makeFirst makes the first administrator, if there is no user. Of several servers one does.
func (p *People) makeFirst(ctx context.Context) error {
	p.founded = true
	if len(p.Users()) > 0 {
		return nil
	}
	if p.shared != nil { // those that this process has not heard of yet count, too
		if users, err := p.users.List(ctx, ""); err != nil || len(users) > 0 {
			return nil
		}
	}
	password, err := p.preset()
	if err != nil {
		return err
	}
	preset := password != ""
	if !preset && p.parts.Dir == "" && !p.parts.Terminal {
		p.log.Info("there is no user, so nobody can log in from other machines: set state_dir, rest_users_file or admin_password")
		return nil
	}
	_, made, err := p.Create(ctx, NewUser{Name: firstAdmin, Password: password, Role: access.Administrator})
	if errors.Is(err, ErrUserExists) {
		p.log.Info("the first administrator was made at another server of the cluster", "user", firstAdmin)
		return nil
	}
	if err != nil {
		p.log.Error("the first administrator could not be made: nobody can log in from other machines until the server is started again", "err", err)
		return nil // the server serves this machine, and those with tokens
	}
	password = cmp.Or(password, made)
	switch {
	case preset:
		p.log.Info("the first administrator was made with the password of the settings", "user", firstAdmin)
	case p.parts.Terminal:
		p.mu.Lock()
		p.first = password
		p.mu.Unlock()
	default:
		file := filepath.Join(p.parts.Dir, initialFile)
		if err := writePrivate(file, password+"\n"); err != nil {
			p.log.Error("nobody knows the password of the first administrator, because it could not be written: use transponder reset-admin", "file", file, "err", err)
			return nil
		}
		p.log.Warn("the first administrator was made: his password is in this file until he logs in", "user", firstAdmin, "file", file)
	}
	return nil
}

// preset returns the password of the first administrator from the settings; "": they have none.
func (p *People) preset() (string, error) {
	password := string(p.cfg.Password)
	if p.cfg.PasswordFile != "" {
		text, err := os.ReadFile(p.cfg.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("read admin_password_file: %w", err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		password = strings.TrimSuffix(line, "\r")
		if err := checkPassword(firstAdmin, password); err != nil {
			return "", fmt.Errorf("admin_password_file: its first line is no password: %w", err)
		}
	}
	return password, nil
}

// First returns the name and the password of the first administrator, once, if this process has made him and a person reads what it prints.
func (p *People) First() (name, password string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	password, p.first = p.first, ""
	return firstAdmin, password, password != ""
}

// forgetInitial removes the file with the first administrator's password, after he has logged in or got another one.
func (p *People) forgetInitial(name string) {
	if name != firstAdmin || p.parts.Dir == "" {
		return
	}
	file := filepath.Join(p.parts.Dir, initialFile)
	switch err := os.Remove(file); {
	case err == nil:
		p.log.Info("the file with the first administrator's password was removed", "file", file)
	case !isGone(err):
		p.log.Warn("remove this file: it holds a password", "file", file, "err", err)
	}
}

// takeReset takes up a new password for an administrator that the operator has left in the folder of the state.
func (p *People) takeReset(ctx context.Context) {
	if p.parts.Dir == "" {
		return
	}
	file := filepath.Join(p.parts.Dir, resetFile)
	text, err := os.ReadFile(file)
	if isGone(err) {
		return
	}
	if err == nil {
		err = p.reset(ctx, string(bytes.TrimSpace(text)))
	}
	if errors.Is(err, state.ErrAway) || errors.Is(err, ErrChanged) {
		if !p.resetWaits {
			p.log.Warn("the new password of the administrator is not taken up yet", "file", file, "err", err)
		}
		p.resetWaits = true
		return // the file stays
	}
	p.resetWaits = false
	if err != nil {
		p.log.Error("the new password of the administrator was not taken up", "file", file, "err", err)
		_ = os.Rename(file, file+".bad") // otherwise this line would come every few seconds
		return
	}
	if err := os.Remove(file); err != nil {
		p.log.Warn("remove this file, or the password will be set again", "file", file, "err", err)
	}
}

func (p *People) reset(ctx context.Context, line string) error {
	name, hash, _ := strings.Cut(line, ":")
	if err := checkName(name); err != nil {
		return err
	}
	if _, err := bcrypt.Cost([]byte(hash)); err != nil {
		return fmt.Errorf("the line is not \"name:bcrypt hash\": %w", err)
	}
	err := p.change(ctx, func() error {
		u := p.find(name)
		switch {
		case u == nil:
			u = &user{name: name, created: time.Now()}
		case u.source == FromFile:
			return ErrInFile
		}
		next := *u
		next.hash, next.role, next.streams, next.source = []byte(hash), access.Administrator, []string{"*"}, FromState
		if err := p.keepChanged(ctx, &next); err != nil {
			return err
		}
		p.endSessions(ctx, func(s *session) bool { return s.user == name })
		p.forgetInitial(name)
		p.lost(Loss{Name: name})
		return nil
	})
	if err != nil {
		return err
	}
	p.log.Warn("an administrator has a new password, as the operator has left it", "user", name)
	if p.parts.Record != nil {
		p.parts.Record(audit.Line{At: time.Now(), Who: audit.Who{Kind: string(access.Local)}, Via: "command", Do: "reset-admin", Object: name, OK: true})
	}
	return nil
}

// LeaveReset leaves a new password for an administrator in the folder of the state. The server takes it up within watchTime, or when it starts.
func LeaveReset(dir, name, password string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := checkPassword(name, password); err != nil {
		return err
	}
	hash, err := hashOf(password, false)
	if err != nil {
		return err
	}
	return writePrivate(filepath.Join(dir, resetFile), name+":"+string(hash)+"\n")
}

// writePrivate writes a file that only its owner can read, at once: whoever reads it sees all of it.
func writePrivate(file, text string) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // its mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it has another name if all went well
	_, err = f.WriteString(text)
	if err == nil {
		err = giveTo(filepath.Dir(file), f)
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
