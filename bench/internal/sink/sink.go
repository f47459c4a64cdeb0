// Package sink accepts RTMP publishers and judges their frames, by the marks that the load generator has put into each frame.
package sink

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"transponder/bench/internal/mono"
	"transponder/bench/internal/stats"
	"transponder/bench/internal/wire"
)

// Sink is an RTMP server that keeps only figures. Set its exported fields before Run.
type Sink struct {
	// Dump, if set, is a folder to write each stream to as FLV, with the arrival time of every tag beside it.
	Dump string
	// OnFirstFrame, if set, is called when a stream's first coded video frame is in. It must not block.
	OnFirstFrame func()

	listener net.Listener

	mu      sync.Mutex
	streams map[string]*stream // guarded by mu
	errs    []string           // guarded by mu
}

// Listen opens the port.
func Listen(addr string) (*Sink, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Sink{listener: listener, streams: map[string]*stream{}}, nil
}

// Addr returns the address at which the sink listens.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Run accepts connections until ctx ends. Then it closes them, and returns when all have ended.
func (s *Sink) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.listener.Close() })()
	for {
		conn, err := s.listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		wg.Go(func() { s.serve(ctx, conn) })
	}
}

func (s *Sink) serve(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	err := wire.Serve(conn, s.publish)
	if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
		s.mu.Lock()
		s.errs = append(s.errs, err.Error())
		s.mu.Unlock()
	}
}

// publish begins a publication. A stream that comes back under the same name continues its record.
func (s *Sink) publish(app, name string) (wire.Publication, error) {
	key := app + "/" + name
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[key]
	if st == nil {
		st = newStream(key, s.OnFirstFrame)
		s.streams[key] = st
	}
	var dump *flvDump
	if s.Dump != "" {
		var err error
		if dump, err = newDump(filepath.Join(s.Dump, strings.ReplaceAll(key, "/", "_"))); err != nil {
			return nil, err
		}
	}
	st.begin(mono.Now(), dump)
	return st, nil
}

// ResetWindow starts a new window: loss, latency, and every other figure that is of the window begin afresh.
func (s *Sink) ResetWindow() {
	for _, st := range s.list() {
		st.mu.Lock()
		st.win = window{}
		st.mu.Unlock()
	}
}

func (s *Sink) list() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*stream
	for _, st := range s.streams {
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b *stream) int { return cmp.Compare(a.key, b.key) })
	return out
}

// Totals is all streams taken together, over the window.
type Totals struct {
	Streams       int        `json:"streams"`
	Frames        int        `json:"frames"`
	FramesLost    int        `json:"frames_lost"`
	Duplicates    int        `json:"frames_duplicated"`
	Reordered     int        `json:"frames_reordered"`
	Unmarked      int        `json:"messages_without_mark"`
	AudioMessages int        `json:"audio_messages"`
	TSBackwards   int        `json:"timestamps_backwards"`
	LatencyMS     stats.Dist `json:"latency_ms"`        // from the frame's last packet
	LatencyHeadMS stats.Dist `json:"latency_head_ms"`   // from the frame's first packet
	TSErrorMS     stats.Dist `json:"video_ts_error_ms"` // RTMP time against the source's clock
	LeadMS        stats.Dist `json:"video_minus_audio_ts_ms"`
}

// Report holds the sink's figures.
type Report struct {
	Totals  Totals
	Streams []Stream
	Errors  []string
}

// Report describes the window so far.
func (s *Sink) Report() Report {
	var r Report
	var latency, head, tsError, lead []float64
	t := &r.Totals
	for _, st := range s.list() {
		st.mu.Lock()
		one := st.report()
		latency = append(latency, st.win.latency...)
		head = append(head, st.win.latencyHead...)
		tsError = append(tsError, st.win.tsErrors()...)
		lead = append(lead, st.win.lead...)
		st.mu.Unlock()
		r.Streams = append(r.Streams, one)
		t.Streams++
		t.Frames += one.Window.Frames
		t.FramesLost += one.Window.FramesLost
		t.Duplicates += one.Window.Duplicates
		t.Reordered += one.Window.Reordered
		t.Unmarked += one.Window.Unmarked
		t.AudioMessages += one.Window.AudioMessages
		t.TSBackwards += one.Window.TSBackwards
	}
	t.LatencyMS, t.LatencyHeadMS = stats.Summarise(latency), stats.Summarise(head)
	t.TSErrorMS, t.LeadMS = stats.Summarise(tsError), stats.Summarise(lead)
	s.mu.Lock()
	r.Errors = slices.Clone(s.errs)
	s.mu.Unlock()
	return r
}
