package state

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

func TestAdvise(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"no right", &fs.PathError{Op: "open", Path: "/s/lock", Err: syscall.EACCES}, "open /s/lock: permission denied: the server runs as user "},
		{"the command", fmt.Errorf("connect: %w", syscall.EACCES), " /s"},
		{"read only", &fs.PathError{Op: "open", Path: "/s/lock", Err: syscall.EROFS}, "ReadWritePaths=/s"},
		{"something else", errors.New("the folder is full of bees"), "the folder is full of bees"},
	} {
		got := Advise(tt.err, "/s")
		if !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.want) || strings.Contains(got.Error(), "%!") {
			t.Errorf("%s: %q, want %q in it", tt.name, got, tt.want)
		}
	}
	if err := errors.New("bees"); Advise(err, "/s") != err {
		t.Error("another error is changed")
	}
}
