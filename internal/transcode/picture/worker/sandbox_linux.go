package worker

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxData is how much memory of its own, apart from files, a child may have. A picture of 4K takes about 500 MB.
	maxData = 2 << 30
	// niceness gives other work on the machine, which cannot wait, precedence over the child.
	niceness = 5
)

// processAttributes returns how a child is started. It gets no signals from a terminal. If we are killed, the kernel kills
// the child, even if it is in an endless loop and does not notice the end of its input. The kernel does so already when the
// thread ends that started the child; Go's runtime ends threads only if a goroutine is locked to one, which never happens in
// the server. If it did, a rendition would lose its child once.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
}

// allowed are the system calls of a confined child: reading and writing open files, memory, threads, time, signals to itself,
// and exit. Codecs need no more. program checks the arguments of some. fcntl is not allowed, because it can make the kernel
// send any signal to any process of the user when a pipe becomes readable or writable.
var allowed = append([]uintptr{
	unix.SYS_READ, unix.SYS_READV, unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_CLOSE, unix.SYS_FSTAT,
	unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MREMAP, unix.SYS_BRK, unix.SYS_MINCORE,
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRUSAGE,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_PPOLL, unix.SYS_GETRANDOM, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_MEMBARRIER, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}, allowedHere...)

// enterSandbox gives up, for good and for all threads, everything that a child does not need. If the kernel has no seccomp,
// it returns a warning; the resource limits still apply.
func enterSandbox() (warning string, err error) {
	for _, l := range []struct {
		resource int
		limit    uint64
	}{{unix.RLIMIT_DATA, maxData}, {unix.RLIMIT_FSIZE, 0}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, 16}} {
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.limit, Max: l.limit}); err != nil {
			return "", fmt.Errorf("limit resource %d: %w", l.resource, err)
		}
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, niceness); err != nil {
		warning = "priority: " + err.Error()
	}
	if auditArch == 0 {
		return "no filter of system calls for " + runtime.GOARCH, nil
	}
	filter, err := program()
	if err != nil {
		return "", err
	}
	// The runtime creates an epoll instance with its first timer. The filter would not allow that later.
	time.Sleep(time.Nanosecond)

	// Any process may set a filter once it has given up gaining privileges. Both calls must come from the same thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return "", fmt.Errorf("give up privileges: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	switch {
	case errno == unix.ENOSYS || errno == unix.EINVAL:
		return "the kernel filters no system calls", nil
	case errno != 0:
		return "", fmt.Errorf("filter system calls: %w", errno)
	}
	return warning, nil
}

// program returns the filter. The number of the call decides. A call that is not allowed fails with EPERM, so that a library
// that only tries something goes on. Threads may be started, processes may not. Signals may only go to this process. Memory
// must not be shared, because no limit counts shared memory.
func program() ([]unix.SockFilter, error) {
	const (
		number = 0 // offsets in struct seccomp_data
		arch   = 4
		arg0   = 16
		arg3   = arg0 + 3*8
	)
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	anyOf := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	fail := func(e syscall.Errno) unix.SockFilter { return answer(unix.SECCOMP_RET_ERRNO | uint32(e)) }
	allow := answer(unix.SECCOMP_RET_ALLOW)

	p := []unix.SockFilter{
		load(arch), equal(auditArch, 1, 0), answer(unix.SECCOMP_RET_KILL_PROCESS),
		load(number),
		equal(unix.SYS_CLONE3, 0, 1), fail(unix.ENOSYS), // its flags are in memory; libc then takes clone
		equal(unix.SYS_CLONE, 0, 4), load(arg0), anyOf(unix.CLONE_THREAD, 0, 1), allow, fail(unix.EPERM),
		equal(unix.SYS_TGKILL, 0, 4), load(arg0), equal(uint32(os.Getpid()), 0, 1), allow, fail(unix.EPERM),
		equal(unix.SYS_MMAP, 0, 4), load(arg3), anyOf(unix.MAP_SHARED, 1, 0), allow, fail(unix.EPERM),
	}
	for _, n := range allowed {
		p = append(p, equal(uint32(n), 0, 1), allow)
	}
	if p = append(p, fail(unix.EPERM)); len(p) > unix.BPF_MAXINSNS {
		return nil, errors.New("too long a filter")
	}
	return p, nil
}
