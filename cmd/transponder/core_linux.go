package main

import "golang.org/x/sys/unix"

// forbidCores keeps the kernel from writing the memory of a crashed server to a file: stream keys and passwords are in it. The limit of one
// byte is too small for a file, and it is the value that also stops the kernel where cores go to a program (core(5), do_coredump in the
// kernel's fs/coredump.c). Children inherit the limit.
func forbidCores() error {
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
}
