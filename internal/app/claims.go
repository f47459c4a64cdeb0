package app

import (
	"context"

	"transponder/internal/cluster"
	"transponder/internal/transponder"
)

// records are what keeps the pushes beyond this process. Without a state folder there are none.
type records struct {
	claims *cluster.Claims
	mark   *cluster.Mark
}

// openRecords makes the keeper of pushes: of those of this server, or of all servers of its cluster. A server that cannot read its own records
// starts without them.
func (a *App) openRecords(ctx context.Context) *records {
	if c := a.cluster; c != nil {
		claims := cluster.NewClaims(c.Keeper(), c.Sealer(), cluster.ClaimsParts{
			Self: c.Self(), Members: c, Gate: c.Gate(), Late: c.Salt, Ask: c.AskRelease, Here: c.Here, Log: a.log,
		})
		c.OnVerify(claims.Verify)
		return &records{claims: claims, mark: cluster.NewMark(ctx, a.state)}
	}
	if a.cfg.State.Dir == "" {
		return nil
	}
	id, err := cluster.Identify(a.state.Dir(), "")
	if err != nil {
		a.log.Warn("the name of this node is not kept", "err", err)
	}
	salt, err := cluster.Salt(ctx, a.state, a.state.Sealer(), true)
	if err != nil {
		a.log.Error("pushes do not outlive this server: their records cannot be read", "err", err)
		return nil
	}
	alone := cluster.Solo{Owner: id.Owner}
	return &records{
		claims: cluster.NewClaims(a.state, a.state.Sealer(), cluster.ClaimsParts{
			Self: id.Owner, Members: alone, Gate: alone, Salt: salt, Log: a.log, Lasting: a.state.Durable,
		}),
		mark: cluster.NewMark(ctx, a.state),
	}
}

// addTo makes the pushes of a registry outlive the process.
func (r *records) addTo(p *transponder.Parts, a *App) {
	if r == nil {
		return
	}
	p.Keeper, p.Log, p.Sealer, p.Clock = r.claims, a.state, a.state.Sealer(), r.mark.Clock()
}

// parts returns what has to run.
func (r *records) parts() []part {
	if r == nil {
		return nil
	}
	return []part{{"mark of the state", r.mark.Run}, {"records of pushes", r.claims.Run}}
}

// restorePushes takes over the pushes of the process before. A server whose state cannot be read starts all the same.
func (a *App) restorePushes(ctx context.Context) {
	if a.records == nil || a.cluster != nil { // in a cluster pushes come back with their publishers
		return
	}
	if err := a.pushes.Restore(ctx, a.records.mark.Outage()); err != nil {
		a.log.Error("not all pushes of before the restart are back", "err", err)
	}
}

// openFailover lets pushes follow their publishers from server to server.
func (a *App) openFailover() {
	if a.cluster != nil {
		a.orphans = cluster.NewOrphans(cluster.OrphanParts{Cluster: a.cluster, Claims: a.records.claims, Pushes: a.pushes, Log: a.log})
		a.failover = cluster.NewFailover(cluster.FailoverParts{Cluster: a.cluster, Claims: a.records.claims, Hub: a.hub, Pushes: a.pushes, Log: a.log})
	}
}
