package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
	"transponder/internal/transponder"
)

// past runs the history as a node that has written some pushes, newest first, until stop is called or the test ends.
func past(t *testing.T, c *Cluster, written ...string) (p *Past, stop func()) {
	t.Helper()
	p = NewPast(PastParts{JetStream: c.JetStream(), Name: "tp", Node: c.Self().Node, Replicas: c.Replicas, Read: readPast, Log: quiet(),
		Written: func(context.Context) ([]PastLine, error) {
			var lines []PastLine
			for _, id := range written {
				lines = append(lines, PastLine{c.Self().Node, id, []byte(id)})
			}
			return lines, nil
		}})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return p, stop
}

// readPast reads a push out of a line that is its id.
func readPast(line []byte) (transponder.Info, error) {
	return transponder.Info{ID: string(line), Detail: string(line), Ended: time.UnixMilli(int64(len(line)))}, nil
}

// has waits until these lines, and no others, are known, newest first.
func (p *Past) has(want ...string) func() string {
	return func() string {
		var got []string
		for _, i := range p.Newest(100) {
			got = append(got, i.Node+"/"+i.ID+"/"+i.Detail)
		}
		if !slices.Equal(got, want) {
			return fmt.Sprintf("the pushes %q are known, want %q", got, want)
		}
		return ""
	}
}

// The pushes of a server that are over are known to all, also those that it has written before it ended while NATS was away.
func TestPastOutlivesItsServer(t *testing.T) {
	t.Parallel()
	nats := natskit.Start(t)
	a, b := newNode(t, nats.URL(), "a"), newNode(t, nats.URL(), "b")
	writer, stop := past(t, a, "p1")
	reader, _ := past(t, b)
	writer.Add("p2", []byte("p2"))
	testkit.Eventually(t, time.Minute, reader.has("a/p2/p2", "a/p1/p1"))
	nats.Kill(t)
	testkit.Eventually(t, time.Minute, func() string {
		if a.Conn().IsConnected() {
			return "the link is still there"
		}
		return ""
	})
	writer.Add("p3", []byte("p3"))
	stop()
	if n := writer.Waiting(); n != 1 {
		t.Errorf("%d pushes wait for NATS, want 1", n)
	}
	nats.Start(t)
	past(t, a, "p3", "p2", "p1")
	testkit.Eventually(t, time.Minute, reader.has("a/p3/p3", "a/p2/p2", "a/p1/p1"))
}

func TestPastHasBounds(t *testing.T) {
	p := NewPast(PastParts{Node: "a", Read: readPast, Log: quiet()})
	for n := range pastWaiting + 3 {
		p.Add(fmt.Sprint(n), nil)
	}
	if p.Waiting() != pastWaiting || p.lost.Load() != 3 || p.waiting[0].ID != "3" {
		t.Errorf("%d wait, the first is %s, %d are lost; want %d, 3 and 3", p.Waiting(), p.waiting[0].ID, p.lost.Load(), pastWaiting)
	}
	for n := range maxPast + 2 {
		p.take(PastLine{Text: fmt.Appendf(nil, "%05d", n)}, uint64(n+1))
	}
	p.parts.Read = func(line []byte) (transponder.Info, error) { // it has ended once more
		return transponder.Info{ID: string(line), Ended: time.UnixMilli(9)}, nil
	}
	p.take(PastLine{Text: []byte("05000")}, 50_000)
	past := p.Newest(maxPast)
	if len(past) != maxPast || len(p.places) != maxPast || past[0].ID != "05000" || past[1].ID != "10001" || past[maxPast-1].ID != "00002" || p.last != 50_000 {
		t.Errorf("%d are kept up to %d, the newest are %v and %v, the oldest is %v", len(past), p.last, past[0], past[1], past[len(past)-1])
	}
}
