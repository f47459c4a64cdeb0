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
		JetStream: a.cluster.JetStream(), Name: a.cfg.Cluster.Name, Node: a.cluster.Self().Node, Replicas: a.cluster.Replicas, Written: a.writtenPast, Log: a.log,
	})
}

// writtenPast returns the pushes of this server that are over, newest first.
func (a *App) writtenPast(ctx context.Context) ([]cluster.PastLine, error) {
	written, err := a.pushes.WrittenPast(ctx)
	var lines []cluster.PastLine
	for _, l := range written {
		if i, err := a.pushes.ReadPast(l.Value); err == nil {
			lines = append(lines, cluster.PastLine{Node: a.cluster.Self().Node, ID: i.ID, Text: l.Value})
		}
	}
	return lines, err
}

// pastOfAll returns the latest n pushes of all servers that are over, newest first.
func (a *App) pastOfAll(n int) []transponder.Info {
	var all []transponder.Info
	for _, l := range a.past.Lines(n) {
		if i, err := a.pushes.ReadPast(l.Text); err == nil {
			i.Node = l.Node
			all = append(all, i)
		}
	}
	return all
}
