package app

import (
	"context"
	"fmt"

	"transponder/internal/hook"
)

// openApps reads the applications, and makes the part that asks their backends.
func (a *App) openApps(ctx context.Context) (err error) {
	if a.apps, err = hook.NewApps(ctx, a.cfg.Backends.AppsFile, a.state, a.state.Sealer(), a.log); err != nil {
		return err
	}
	a.quotas.AppLimits = a.apps.Limits
	a.backends, err = hook.New(a.cfg.Backends, hook.Parts{
		Apps: a.apps, Recorder: a.audit, Refusals: a.refusals, Shares: a.cfg.Shares, Keeper: a.state, Sealer: a.state.Sealer(),
	}, a.log)
	return err
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
