package app

import (
	"context"

	"transponder/internal/cluster"
	"transponder/internal/transponder"
)

// openPast makes the history of the cluster; the pushes are made after it.
func (a *App) openPast() {
	if a.cluster == nil {
		return
	}
	a.past = cluster.NewPast(cluster.PastParts{
		JetStream: a.cluster.JetStream(), Name: a.cfg.Cluster.Name, Node: a.cluster.Self().Node, Replicas: a.cluster.Replicas, Written: a.writtenPast,
		Read: func(line []byte) (transponder.Info, error) { return a.pushes.ReadPast(line) }, Log: a.log,
	})
}

// writtenPast returns the pushes of this server that are over, newest first.
func (a *App) writtenPast(ctx context.Context) ([]cluster.PastLine, error) {
	written, err := a.pushes.WrittenPast(ctx)
	var lines []cluster.PastLine
	for _, l := range written {
		if id := transponder.PastID(l.Value); id != "" {
			lines = append(lines, cluster.PastLine{Node: a.cluster.Self().Node, ID: id, Text: l.Value})
		}
	}
	return lines, err
}
