package app

import (
	"context"

	"transponder/internal/access"
	"transponder/internal/access/token"
)

// openTokens makes what all doors ask about rights: leases, quotas, tokens and stored keys.
func (a *App) openTokens(ctx context.Context) (err error) {
	a.leases, a.pushers, a.quotas = access.NewLeases(), access.NewLeases(), access.NewQuotas()
	parts := token.Parts{Keeper: a.keeper(), Sealer: a.state.Sealer(), Leases: a.leases}
	a.tokens, err = token.New(ctx, a.cfg.Token, parts, a.log)
	return err
}
