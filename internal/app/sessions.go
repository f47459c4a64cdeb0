package app

import (
	"transponder/internal/rest"
	"transponder/internal/wcs"
)

// sessions gives the sessions of the Web SDK's door to the REST API. No door imports another, so both declare the same fields, and app
// converts them. A field that one of them lacks does not compile here.
type sessions struct{ *wcs.Server }

func (s sessions) Connections() []rest.Connection {
	var all []rest.Connection
	for _, c := range s.Server.Connections() {
		all = append(all, rest.Connection(c))
	}
	return all
}

func (s sessions) Players() []rest.Player {
	var all []rest.Player
	for _, p := range s.Server.Players() {
		all = append(all, rest.Player(p))
	}
	return all
}
