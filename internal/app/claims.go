package app

import (
	"context"
	"fmt"

	"transponder/internal/cluster"
	"transponder/internal/transponder"
)

// records are what keeps the pushes beyond this process. Without a state folder there are none.
type records struct {
	claims *cluster.Claims
	mark   *cluster.Mark
}

// openRecords makes the keeper of pushes of a server alone. Among other servers pushes do not outlive their process yet.
func (a *App) openRecords(ctx context.Context) (*records, error) {
	if a.cfg.State.Dir == "" || a.cluster != nil {
		return nil, nil
	}
	id, err := cluster.Identify(a.state.Dir(), "")
	if err != nil {
		return nil, err
	}
	salt, err := cluster.Salt(ctx, a.state, a.state.Sealer(), true)
	if err != nil {
		return nil, fmt.Errorf("records of pushes: %w", err)
	}
	alone := cluster.Solo{Owner: id.Owner}
	return &records{
		claims: cluster.NewClaims(a.state, a.state.Sealer(), cluster.ClaimsParts{
			Self: id.Owner, Members: alone, Gate: alone, Salt: salt, Log: a.log, Lasting: func() bool { return a.state.Stats().Durable },
		}),
		mark: cluster.NewMark(ctx, a.state),
	}, nil
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
	if a.records == nil {
		return
	}
	if err := a.pushes.Restore(ctx, a.records.mark.Outage()); err != nil {
		a.log.Error("not all pushes of before the restart are back", "err", err)
	}
}
