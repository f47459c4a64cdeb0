package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"transponder/bench/internal/blackbox"
)

// targetOfAlone is the largest cost of a stream at a server that is one of a cluster, as a multiple of its cost at a server alone.
const targetOfAlone = 1.01

// clustered measures our server alone and as the only one of a cluster with a NATS server on this machine, in turn, and prints both. Other work
// on the machine slows both in the same way.
func clustered(ctx context.Context, args []string, out io.Writer) error {
	c := comparison{out: out}
	flags := c.flags("cluster")
	streams := flags.Int("n", 25, "streams")
	pairs := flags.Int("pairs", 3, "how often to measure each")
	command := flags.String("nats", "go tool nats-server", "command that runs a NATS server")
	_ = flags.Parse(args) // exits on an error
	return c.inDir(func() error {
		url, stop, err := startNATS(ctx, *command, c.dir)
		if err != nil {
			return err
		}
		defer stop()
		var alone, among []*blackbox.Report
		for i := range *pairs {
			first, err := c.measureNode(ctx, *streams, "alone-"+strconv.Itoa(i))
			if err != nil {
				return err
			}
			second, err := c.measureNode(ctx, *streams, "cluster-"+strconv.Itoa(i), "--set", "cluster_nats_url="+url, "--set", "cluster_name=bench"+strconv.Itoa(i))
			if err != nil {
				return err
			}
			alone, among = append(alone, first), append(among, second)
		}
		printClustered(out, alone, among)
		printNotes(out, slices.Concat(alone, among)...)
		return nil
	})
}

// measureNode runs our server with some settings. Each run has a state folder of its own, so each needs a cluster of its own, too: the keys
// for secrets differ.
func (c *comparison) measureNode(ctx context.Context, n int, label string, settings ...string) (*blackbox.Report, error) {
	cfg, err := c.serverConfig(n, label)
	if err != nil {
		return nil, err
	}
	cfg.Command = append(cfg.Command, settings...)
	return c.measure(ctx, cfg)
}

// startNATS runs a NATS server with JetStream, and returns when it takes connections.
func startNATS(ctx context.Context, command, dir string) (url string, stop func(), err error) {
	ports, err := blackbox.FreePorts("tcp", 1)
	if err != nil {
		return "", nil, err
	}
	log, err := os.Create(filepath.Join(dir, "nats.log"))
	if err != nil {
		return "", nil, err
	}
	words := append(strings.Fields(command), "-a", "127.0.0.1", "-p", strconv.Itoa(ports[0]), "-js", "-sd", filepath.Join(dir, "nats"))
	ctx, cancel := context.WithCancel(ctx)
	server := exec.CommandContext(ctx, words[0], words[1:]...)
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) } // go tool passes it on
	server.WaitDelay = 10 * time.Second
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		cancel()
		return "", nil, errors.Join(err, log.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	stop = func() {
		cancel()
		<-ended
		log.Close()
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	for limit := time.After(2 * time.Minute); ; { // go tool may have to build it
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			conn.Close()
			return "nats://" + address, stop, nil
		}
		select {
		case err := <-ended:
			ended <- err
			stop()
			return "", nil, fmt.Errorf("%s has ended: %w; see -keep", command, err)
		case <-limit:
			stop()
			return "", nil, fmt.Errorf("%s takes no connections", command)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// printClustered prints the medians of both, and their ratio.
func printClustered(out io.Writer, alone, among []*blackbox.Report) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	cores := func(r *blackbox.Report) float64 { return r.CPUCoresStream }
	memory := func(r *blackbox.Report) float64 { return r.PSSMB }
	line(w, fmt.Sprintf("%d streams, medians of %d", alone[0].Streams, len(alone)), "cores a stream", "of alone", "target", "MB")
	line(w, "alone", number(median(alone, cores), 5), "", "", number(median(alone, memory), 1))
	line(w, "one of a cluster", number(median(among, cores), 5), ratio(median(among, cores), median(alone, cores)),
		fmt.Sprintf("%.2fx", targetOfAlone), number(median(among, memory), 1))
}

// median returns the median of a figure.
func median(reports []*blackbox.Report, figure func(*blackbox.Report) float64) float64 {
	values := make([]float64, len(reports))
	for i, r := range reports {
		values[i] = figure(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
