//go:build cgo && linux

package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transponder/internal/media"
	"transponder/internal/testkit"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture/picturetest"
)

// TestMain lets this program be a child process, of ours or a strange one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Argument {
		os.Exit(Main(os.Stdin, os.Stdout))
	}
	if os.Args[len(os.Args)-1] == "orphan" {
		orphan()
	}
	if how, ok := strings.CutPrefix(os.Args[len(os.Args)-1], "confined "); ok {
		fmt.Println(confined(how))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// orphan starts a child that takes no notice of its input, says which, and dies as by a power cut.
func orphan() {
	p, err := Start([]string{"/bin/sleep", "1000"}, libav.VideoConfig{}, slog.New(slog.DiscardHandler))
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(p.PID())
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// confined does in the sandbox what must not be possible there.
func confined(how string) error {
	if warning, err := enterSandbox(); warning != "" || err != nil {
		return fmt.Errorf("%s%w", warning, err)
	}
	switch how {
	case "nothing":
		return nil
	case "open":
		_, err := os.Open("/etc/passwd")
		return err
	case "create":
		return os.WriteFile("/tmp/transponder-sandbox-test", []byte("x"), 0o600)
	case "connect":
		_, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
		return err
	case "execute":
		return syscall.Exec("/bin/true", []string{"true"}, nil)
	case "fork":
		_, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if errno == 0 {
			return nil
		}
		return errno
	case "signal":
		return syscall.Kill(os.Getppid(), 0)
	case "signal to a thread":
		_, _, errno := syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getppid()), uintptr(os.Getppid()), 0)
		return errno
	case "signal to itself":
		_, _, errno := syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(syscall.Gettid()), 0)
		if errno != 0 {
			return errno
		}
		return nil
	case "signal by a pipe":
		_, err := unix.FcntlInt(0, unix.F_SETOWN, os.Getppid())
		return err
	case "trace":
		return unix.PtraceAttach(os.Getppid())
	case "privileges":
		return unix.Setpriority(unix.PRIO_PROCESS, 0, -5)
	case "limits":
		return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 4 << 30, Max: 4 << 30})
	case "many files":
		for {
			if _, err := unix.Dup(0); err != nil {
				return err
			}
		}
	case "thread":
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { time.Sleep(time.Millisecond) }) // a thread may be made for it
		}
		wg.Wait()
		return nil
	case "memory":
		_, err := syscall.Mmap(-1, 0, 3<<30, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		return err
	case "shared memory":
		_, err := syscall.Mmap(-1, 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_SHARED)
		return err
	}
	return errors.New("unknown")
}

// plain builds this test without the race detector, whose memory no sandbox has room for.
func plain(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "worker.test")
	if out, err := exec.Command("go", "test", "-c", "-o", file, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func start(t *testing.T, log io.Writer, command ...string) *Process {
	t.Helper()
	p, err := Start(command, libav.VideoConfig{Height: 120, Threads: 2}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestSandbox(t *testing.T) {
	file := plain(t)
	tests := []struct{ how, want string }{
		{"nothing", "<nil>"},
		{"thread", "<nil>"},
		{"open", "operation not permitted"},
		{"create", "operation not permitted"},
		{"connect", "operation not permitted"},
		{"execute", "operation not permitted"},
		{"fork", "operation not permitted"},
		{"signal", "operation not permitted"},
		{"signal to a thread", "operation not permitted"},
		{"signal to itself", "<nil>"},
		{"signal by a pipe", "operation not permitted"},
		{"trace", "operation not permitted"},
		{"privileges", "operation not permitted"},
		{"limits", "operation not permitted"},
		{"many files", "operation not permitted"},
		{"memory", "cannot allocate memory"},
		{"shared memory", "operation not permitted"},
	}
	for _, tt := range tests {
		t.Run(tt.how, func(t *testing.T) {
			out, err := exec.Command(file, "confined "+tt.how).CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("got %.500q, %v, want %q", out, err, tt.want)
			}
		})
	}

	// All that is taken is transcoded there.
	for _, codec := range []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1} {
		t.Run(codec.String(), func(t *testing.T) {
			clip := picturetest.Clip(t, codec, picturetest.Source(320, 240, 10, time.Second))
			var log bytes.Buffer
			p := start(t, &log, file, Argument)
			var got []media.Frame
			read := func() error {
				o, err := p.Read()
				if err == nil && o.Stats == nil {
					got = append(got, o.Frame)
				}
				return err
			}
			if err := read(); err != nil { // that it is ready
				t.Fatal(err)
			}
			for _, f := range clip {
				if err := errors.Join(p.WriteFrame(f), read()); err != nil {
					t.Fatal(err)
				}
			}
			p.in.Close() // it ends then
			for read() == nil {
			}
			p.Close()
			if len(got) != len(clip) || !got[0].Key || got[0].Track.Width != 160 || log.Len() > 0 {
				t.Errorf("%d frames of %d, log: %s", len(got), len(clip), &log)
			}
			if len(got) > 0 {
				picturetest.Pictures(t, got)
			}
		})
	}
}

// Children that are none.
func TestStrangeProcesses(t *testing.T) {
	if _, err := Start([]string{"/nonexistent"}, libav.VideoConfig{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("started what does not exist")
	}
	t.Run("garbage", func(t *testing.T) {
		p := start(t, io.Discard, "/bin/echo", "hello world")
		if _, err := p.Read(); !errors.Is(err, ErrProtocol) {
			t.Errorf("got %v, want ErrProtocol", err)
		}
	})
	t.Run("error", func(t *testing.T) {
		var log bytes.Buffer
		p := start(t, &log, "/bin/sh", "-c", "echo out of order >&2; exit 1")
		if _, err := p.Read(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want io.EOF", err)
		}
		p.Close()
		if !strings.Contains(log.String(), "out of order") {
			t.Errorf("what it said is not in the log: %s", &log)
		}
	})
	t.Run("talkative", func(t *testing.T) {
		var log bytes.Buffer
		p := start(t, &log, "/bin/sh", "-c", "yes too much | head -n 100000 >&2")
		if _, err := p.Read(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want io.EOF", err)
		}
		p.Close()
		if n := strings.Count(log.String(), "too much"); n != maxLines {
			t.Errorf("%d lines in the log, want %d", n, maxLines)
		}
	})
	t.Run("orphan", func(t *testing.T) {
		out, _ := exec.Command(os.Args[0], "orphan").Output() // it is killed
		pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			t.Fatalf("said %q", out)
		}
		// It is a zombie for as long as whoever adopts it does not ask.
		gone := func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || bytes.Contains(stat, []byte(") Z "))
		}
		defer func() {
			if !gone() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}()
		testkit.Eventually(t, 30*time.Second, func() string {
			if !gone() {
				return "a child lives on without its parent"
			}
			return ""
		})
	})
	t.Run("deaf", func(t *testing.T) {
		p := start(t, io.Discard, "/bin/sleep", "1000")
		written := make(chan error, 1)
		go func() {
			f := media.Frame{Track: source, Data: make([]byte, 1<<20)} // more than a pipe holds
			written <- p.WriteFrame(f)
		}()
		if u := p.Usage(); u.CPU < 0 || u.CPU > time.Minute || u.Threads != 1 {
			t.Errorf("it takes %+v", u)
		}
		p.Kill()
		if err := <-written; err == nil {
			t.Error("writing to the dead succeeds")
		}
		if _, err := p.Read(); err == nil {
			t.Error("reading from the dead succeeds")
		}
	})
}
