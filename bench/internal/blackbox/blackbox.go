// Package blackbox runs a WebRTC-to-RTMP server between a load generator and a sink, and measures the server's cost and the
// quality of the output.
//
// The server is everything below this process; the generator and the sink run inside it and are not counted. So a process
// measures one server at a time, and starts no other program at the same time.
package blackbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"transponder/bench/internal/loadgen"
	"transponder/bench/internal/proctree"
	"transponder/bench/internal/sink"
)

// Config says what to run and how long.
type Config struct {
	Label string
	Load  loadgen.Config

	Command []string // runs the server in the foreground
	Dir     string   // to run it in
	Log     string   // file for its output; empty: none
	Ready   string   // the server is ready when this TCP address takes connections

	NoSink   bool   // the server has no output
	SinkAddr string // where the sink listens
	Dump     string // folder to write each stream to, if any
	RTMPURL  string // the value of {rtmp}; {sink} in it is the sink's address

	PushURL   string // gets a POST of PushBody, which starts a push; empty: the server pushes by itself
	PushBody  string // {name}, {i} and {rtmp} are filled in
	PushToken string // bearer token, if any
	Pushes    int    // of each stream; {k} in RTMPURL stands for the number of one

	PushBodies []string // of the first of them, in the place of PushBody

	// Beside is a command that runs during the window. Its cost can be compared with the server's under the same conditions;
	// empty: none.
	Beside []string

	Settle    time.Duration // idle time before the first stream
	FirstWait time.Duration // how long to wait for every stream's first frame
	Warmup    time.Duration // from the last stream's first frame to the window
	Window    time.Duration // how long to measure

	MemorySamples int // over the window
}

// DefaultConfig has the times with which the peers were measured.
func DefaultConfig() Config {
	return Config{
		Load:     loadgen.DefaultConfig(),
		SinkAddr: "127.0.0.1:0",
		RTMPURL:  "rtmp://{sink}/live",
		PushBody: `{"streamName":"{name}","rtmpUrl":"{rtmp}"}`,
		Pushes:   1, MemorySamples: 4,
		Settle: time.Second, FirstWait: 25 * time.Second, Warmup: 5 * time.Second, Window: 20 * time.Second,
	}
}

// outputs returns how many streams should come out.
func (c Config) outputs() int { return c.Load.Streams * c.Pushes }

const (
	readyTimeout = 20 * time.Second
	readyPoll    = 10 * time.Millisecond
)

// Run measures once. If there is an error, Run also returns what was measured before it.
func Run(ctx context.Context, cfg Config) (_ *Report, err error) {
	r := &Report{Label: cfg.Label, Streams: cfg.Load.Streams, Outputs: cfg.outputs()}
	if err := proctree.BecomeReaper(); err != nil {
		return r, err
	}
	gen, err := loadgen.New(cfg.Load)
	if err != nil {
		return r, err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	m := &measurement{cfg: cfg, gen: gen, report: r, first: make(chan struct{}, cfg.outputs())}
	if !cfg.NoSink {
		if m.sink, err = sink.Listen(cfg.SinkAddr); err != nil {
			return r, err
		}
		m.sink.Dump = cfg.Dump
		m.sink.OnFirstFrame = m.noteFirst
		wg.Go(func() { m.note(m.sink.Run(ctx)) })
	}
	if m.server, err = startServer(cfg); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, m.server.stop()) }()
	if err := m.server.awaitReady(ctx, cfg.Ready); err != nil {
		return r, err
	}
	if err := m.idle(ctx); err != nil {
		return r, err
	}
	// The generator ends before the server does: a publisher says goodbye.
	loadCtx, stopLoad := context.WithCancel(ctx)
	var load sync.WaitGroup
	defer load.Wait()
	defer stopLoad()
	load.Go(func() { gen.Run(loadCtx, m.push) })
	if err := m.underLoad(ctx); err != nil {
		return r, err
	}
	stopLoad()
	load.Wait()
	m.publisherErrors()
	return r, nil
}

// measurement is one run.
type measurement struct {
	cfg    Config
	gen    *loadgen.Generator
	sink   *sink.Sink // nil: none
	server *server
	first  chan struct{} // one for each stream that came out

	mu     sync.Mutex
	report *Report // its Errors are guarded by mu, the rest is Run's
}

func (m *measurement) noteFirst() {
	select {
	case m.first <- struct{}{}:
	default: // a stream too many; the report's number of streams shows it
	}
}

func (m *measurement) note(err error) {
	if err == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Errors = append(m.report.Errors, err.Error())
}

// idle measures the server before the first stream.
func (m *measurement) idle(ctx context.Context) error {
	if err := sleep(ctx, m.cfg.Settle/2); err != nil {
		return err
	}
	before, err := m.server.usage(false)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := sleep(ctx, m.cfg.Settle/2); err != nil {
		return err
	}
	after, err := m.server.usage(true)
	if err != nil {
		return err
	}
	m.report.IdleCPUCores = (after.CPU - before.CPU) / time.Since(start).Seconds()
	m.report.PSSIdleMB = megabytes(after.PSS)
	return nil
}

// underLoad measures the server while the streams run.
func (m *measurement) underLoad(ctx context.Context) error {
	if err := m.awaitFirst(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, m.cfg.Warmup); err != nil {
		return err
	}
	if m.sink != nil {
		m.sink.ResetWindow()
	}
	m.gen.ResetWindow()
	if err := m.window(ctx); err != nil {
		return err
	}
	if m.sink != nil {
		m.fillSink(m.sink.Report())
	}
	m.fillGenerator()
	return nil
}

// awaitFirst waits until the first frame of each stream has come out, or FirstWait is over. Then the report says how many came out.
func (m *measurement) awaitFirst(ctx context.Context) error {
	if m.sink == nil {
		return sleep(ctx, m.cfg.Load.Ramp*time.Duration(m.cfg.Load.Streams))
	}
	timeUp := time.After(m.cfg.FirstWait)
	for seen := range m.cfg.outputs() {
		select {
		case <-m.first:
		case <-timeUp:
			m.note(fmt.Errorf("only %d of %d streams came out", seen, m.cfg.outputs()))
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// window measures the CPU time over the window, and the memory several times in it.
func (m *measurement) window(ctx context.Context) error {
	r := m.report
	beside, err := startBeside(m.cfg.Beside)
	if err != nil {
		return err
	}
	defer beside.stop()
	m.server.beside = beside.pid()
	before, err := m.server.usage(false)
	if err != nil {
		return err
	}
	besideBefore, childBefore := beside.usage(), m.server.childUsage()
	start, self, busy, overflows := time.Now(), ownCPU(), proctree.MachineCPU(), proctree.SocketOverflows()
	samples := m.cfg.MemorySamples
	for i := range samples {
		at := m.cfg.Window * time.Duration(2*i+1) / time.Duration(2*samples)
		if err := sleep(ctx, time.Until(start.Add(at))); err != nil {
			return err
		}
		u, err := m.server.usage(true)
		if err != nil {
			return err
		}
		r.PSSMB += megabytes(u.PSS) / float64(samples)
		r.RSSMB += megabytes(u.RSS) / float64(samples)
		r.RSSSeriesMB = append(r.RSSSeriesMB, megabytes(u.RSS))
		r.PSSMaxMB = max(r.PSSMaxMB, megabytes(u.PSS))
	}
	if err := sleep(ctx, time.Until(start.Add(m.cfg.Window))); err != nil {
		return err
	}
	after, err := m.server.usage(false)
	if err != nil {
		return err
	}
	took, streams := time.Since(start).Seconds(), float64(m.cfg.Load.Streams)
	r.WindowS = took
	r.BesideCores = (beside.usage() - besideBefore) / took
	r.ChildCores = max(m.server.childUsage()-childBefore, 0) / took
	r.CPUCores = (after.CPU - before.CPU) / took
	r.CPUCoresStream = r.CPUCores / streams
	r.PSSMBStream, r.PSSMBAdded = r.PSSMB/streams, (r.PSSMB-r.PSSIdleMB)/streams
	r.Processes, r.Threads = after.Processes, after.Threads
	r.HarnessCores = (ownCPU() - self) / took
	r.MachineCores = (proctree.MachineCPU() - busy) / took
	r.OthersCores = max(0, r.MachineCores-r.CPUCores-r.HarnessCores-r.BesideCores)
	r.SocketOverflows = proctree.SocketOverflows() - overflows
	return nil
}

// sleep returns early, with the cause, when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// ownCPU returns the CPU time that this process itself has used, in seconds.
func ownCPU() float64 { return usedBy(unix.RUSAGE_SELF) }

func usedBy(who int) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(who, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// FreePorts returns n ports of 127.0.0.1 that nobody uses at the moment, for TCP or UDP.
func FreePorts(network string, n int) ([]int, error) {
	var ports []int
	for range n {
		port, release, err := freePort(network)
		if err != nil {
			return nil, fmt.Errorf("find a free %s port: %w", network, err)
		}
		defer release() // only now, so that no port is given twice
		ports = append(ports, port)
	}
	return ports, nil
}

func freePort(network string) (port int, release func() error, err error) {
	const anyPort = "127.0.0.1:0"
	if network == "udp" {
		conn, err := net.ListenPacket(network, anyPort)
		if err != nil {
			return 0, nil, err
		}
		return conn.LocalAddr().(*net.UDPAddr).Port, conn.Close, nil
	}
	listener, err := net.Listen(network, anyPort)
	if err != nil {
		return 0, nil, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close, nil
}
