//go:build !linux

package worker

import (
	"runtime"
	"syscall"
)

func processAttributes() *syscall.SysProcAttr { return nil }

func enterSandbox() (warning string, err error) { return "no sandbox on " + runtime.GOOS, nil }
