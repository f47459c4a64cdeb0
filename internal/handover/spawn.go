package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
)

// Program finds the program of this process by its path, where an upgrade puts the new version. It is called at the start: the path may be
// relative to the folder of that time.
func Program(arg string) (string, error) {
	path, err := exec.LookPath(arg)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", err
	}
	return filepath.Abs(path)
}

// Start starts the program as a process that takes over from this one, and logs it if the process ends before. It returns when the process has
// ended, or when ctx ends: then the process lives on.
func Start(ctx context.Context, program string, args, environ []string, log *slog.Logger) error {
	if os.Getpid() == 1 {
		return errors.New("this is process 1, and the container ends with it: start another container")
	}
	cmd := exec.Command(program, args...)
	cmd.Env = cleared(environ)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the process that takes over: %w", err)
	}
	log.Info("process started that takes over", "program", program, "pid", cmd.Process.Pid)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, at the latest with this one's end
	select {
	case err := <-ended:
		return fmt.Errorf("the process that was to take over has ended: %w", orEnded(err))
	case <-ctx.Done():
		return nil
	}
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
