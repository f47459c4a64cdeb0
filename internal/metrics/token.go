package metrics

import "transponder/internal/access/token"

var (
	tokensAccepted = desc("tokens_accepted_total", "Tokens and stored keys that were valid.")
	tokensRefused  = desc("tokens_refused_total", "Tokens and stored keys that were not valid, by what was wrong with them.", "reason")
	tokenKeys      = desc("stored_keys", "Stored keys of encoders and programs.")
	tokenSigners   = desc("token_signers", "Keys that check tokens, from token_keys_file and token_jwks_url.")
	tokenStale     = desc("token_signers_stale", "1 if token_jwks_url cannot be fetched, so that older keys are used.")
	tokenRevoked   = desc("token_revocations", "Revocations that are in force.")
	overLimit      = desc("over_limit_total", "Publishers, players and pushes that were refused for the limits of their token, key or application.", "of")
	leases         = desc("leases", "Sessions whose right to go on is watched.")
)

func (s sink) tokens(st token.Stats) {
	s.counter(tokensAccepted, st.Accepted)
	for reason, n := range st.Refused {
		s.counter(tokensRefused, n, reason)
	}
	s.gauge(tokenKeys, float64(st.Keys))
	s.gauge(tokenSigners, float64(st.Signers))
	stale := 0.0
	if st.Stale {
		stale = 1
	}
	s.gauge(tokenStale, stale)
	s.gauge(tokenRevoked, float64(st.Revocations))
}
