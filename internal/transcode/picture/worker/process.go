package worker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

// Argument is the command-line argument that makes the program call Main instead of being a server.
const Argument = "video-worker"

const (
	// maxLine and maxLines bound how much of the child's standard error is logged. The stack of a panic fits.
	maxLine  = 512
	maxLines = 100
	// clockTicks is the length of a second in /proc.
	clockTicks = 100
)

// Process is a running child. One goroutine calls WriteFrame, one calls Read; any may call the other methods.
type Process struct {
	cmd *exec.Cmd
	log *slog.Logger
	in  io.WriteCloser
	out *reader

	ready bool // the child is ready

	mu sync.Mutex
	w  *writer // guarded by mu

	said sync.WaitGroup // of the goroutine that reads its standard error
}

// Output is one message of a child: a frame, its figures, or a picture as a file.
type Output struct {
	Frame media.Frame // its Track is nil if the message is not a frame
	Stats *Stats
	Shot  []byte
}

// Start starts a child. command is the program and its arguments. The caller calls Close.
func Start(command []string, cfg libav.VideoConfig, log *slog.Logger) (*Process, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{} // the child must not learn our environment
	cmd.Dir = "/"
	cmd.SysProcAttr = processAttributes()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the process that transcodes: %w", err)
	}
	p := &Process{cmd: cmd, log: log.With("pid", cmd.Process.Pid), in: in, out: newReader(out), w: newWriter(in)}
	p.said.Go(func() { p.listen(said) })
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.w.object(typeConfig, cfg); err != nil {
		p.log.Debug("configure", "err", err) // the error of Read tells more
	}
	return p, nil
}

// listen logs the child's standard error.
func (p *Process) listen(r io.Reader) {
	lines := bufio.NewReaderSize(r, maxLine)
	for said := 0; ; {
		line, _, err := lines.ReadLine()
		if len(line) > 0 {
			if said++; said <= maxLines {
				p.log.Warn("the process that transcodes says", "line", string(line))
			}
		}
		if err != nil {
			return
		}
	}
}

// PID returns the process id of the child.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// WriteFrame gives the child an access unit. It blocks while the child does not keep up, until Kill.
func (p *Process) WriteFrame(f media.Frame) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.w.frame(f)
}

// RequestKeyFrame makes the child's next picture a key frame. It may block as WriteFrame does.
func (p *Process) RequestKeyFrame() error { return p.tell(typeKey) }

// Shoot makes the child send its next picture as a file instead of encoding it. It may block as WriteFrame does.
func (p *Process) Shoot(format Format) error { return p.tell(typeShoot, []byte(format)...) }

func (p *Process) tell(kind byte, body ...byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.w.message(kind, body); err != nil {
		return err
	}
	return p.w.w.Flush()
}

// Read waits for the next message of the child. It fails when the child ends, and with ErrProtocol if a message is not valid.
func (p *Process) Read() (Output, error) {
	for {
		kind, body, err := p.out.next()
		if err != nil {
			return Output{}, err
		}
		switch kind {
		case typeReady:
			if p.ready {
				return Output{}, fmt.Errorf("%w: ready twice", ErrProtocol)
			}
			p.ready = true
			if len(body) > 0 {
				p.log.Warn("the process that transcodes is not confined as it should be", "why", string(body[:min(len(body), maxLine)]))
			}
			return Output{Stats: &Stats{}}, nil
		case typeTrack:
			if err := p.out.setTrack(body); err != nil {
				return Output{}, err
			}
		case typeFrame:
			f, err := p.out.frame(body)
			return Output{Frame: f}, err
		case typeShoot:
			return Output{Shot: body}, nil
		case typeStats:
			var st Stats
			if json.Unmarshal(body, &st) != nil {
				return Output{}, fmt.Errorf("%w: figures", ErrProtocol)
			}
			return Output{Stats: &st}, nil
		default:
			return Output{}, fmt.Errorf("%w of type %q", ErrProtocol, kind)
		}
	}
}

// Kill ends the child at once. WriteFrame and Read return.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() } // fails only if the child has ended already

// Close kills the child and waits for its end. WriteFrame and Read must have returned, or return because the child ends.
func (p *Process) Close() {
	p.Kill()
	p.in.Close()
	p.said.Wait()
	_ = p.cmd.Wait() // Read has told how it ended, unless we killed it
}

// Usage is what a child uses of the machine.
type Usage struct {
	CPU     time.Duration // processor time since its start
	Threads int
}

// Usage returns what the child uses now; zero if the system does not tell.
func (p *Process) Usage() Usage {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return Usage{}
	}
	// proc(5): the second field is a name in brackets, which may contain anything. utime and stime are fields 14 and 15, the number
	// of threads is field 20.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 18 {
		return Usage{}
	}
	user, errUser := strconv.ParseInt(fields[11], 10, 64)
	system, errSystem := strconv.ParseInt(fields[12], 10, 64)
	threads, errThreads := strconv.Atoi(fields[17])
	if errUser != nil || errSystem != nil || errThreads != nil {
		return Usage{}
	}
	return Usage{CPU: time.Duration(user+system) * (time.Second / clockTicks), Threads: threads}
}
