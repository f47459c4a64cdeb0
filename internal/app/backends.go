package app

import (
	"context"
	"fmt"
	"time"

	"transponder/internal/cluster"
	"transponder/internal/hook"
	"transponder/internal/state"
)

// openApps reads the applications, and makes the part that asks their backends.
func (a *App) openApps(ctx context.Context) (err error) {
	if a.apps, err = hook.NewApps(ctx, a.cfg.Backends.AppsFile, a.keeper(), a.state.Sealer(), a.log); err != nil {
		return err
	}
	a.quotas.AppLimits = a.apps.Limits
	parts := hook.Parts{
		Apps: a.apps, Recorder: a.audit, Refusals: a.refusals, Shares: a.cfg.Shares, Keeper: a.debts(), Sealer: a.state.Sealer(),
	}
	if a.mirror != nil {
		parts.Estates = a.mirror
	}
	a.backends, err = hook.New(a.cfg.Backends, parts, a.log)
	return err
}

// debts keeps what backends are to be told after a crash: by this server when it runs again, or else by another one.
func (a *App) debts() state.Keeper {
	if a.mirror != nil {
		return a.mirror
	}
	return a.state
}

// leastAbsence is how long a server is gone at least before others tell its ends to backends, as for its pushes.
const leastAbsence = time.Minute

// heir makes the part that does what servers that are gone have left undone.
func (a *App) heir(pushes *pushEvents) *cluster.Heir {
	parts := cluster.HeirParts{
		Cluster: a.cluster, Keeper: a.cluster.Keeper(), Events: a.events, Log: a.log,
		Mirror: a.mirror, Ends: estates{a.backends, pushes, a.events}, EndsAfter: max(a.cfg.Push.ResumeFor, leastAbsence),
	}
	if a.hooks != nil {
		parts.Hooks = a.hooks
	}
	return cluster.NewHeir(parts)
}

// unreachable says how many applications have a backend that does not answer, "" if there is none. Everybody may ask, so it names none. The
// server is ready nevertheless: what is live goes on, and other applications work.
func (a *App) unreachable() string {
	switch n := len(a.backends.Unreachable()); n {
	case 0:
		return ""
	case 1:
		return "the backend of 1 application does not answer"
	default:
		return fmt.Sprintf("the backends of %d applications do not answer", n)
	}
}
