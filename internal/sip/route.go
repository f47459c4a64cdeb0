package sip

import (
	"cmp"
	"strings"
)

// route is where a call or a registration of an account goes, as far as the request says so.
type route struct {
	callee    address // Request-URI and To; of a registration the domain without a user
	from      address
	display   string // display name in From, quoted; "" or with a blank at its end
	proxy     string // value of the field Route; "": none
	hop       string // URI of the server that gets the first request: the proxy, or else the host of the callee
	transport string // "udp", "tcp", "tls"
	public    bool   // it leads into no private network
}

// routes returns the pre-loaded Route (RFC 3261, 8.1.2), none without a proxy.
func (r route) routes() []string {
	if r.proxy == "" {
		return nil
	}
	return []string{r.proxy}
}

// routeTo says where a call from an account to a callee goes. a is complete: see Config.complete.
func routeTo(a Account, callee, visibleName string) (route, error) {
	r, err := routeOf(a)
	if err != nil {
		return route{}, err
	}
	to, problem := parseCallee(callee, a.Domain)
	switch {
	case problem != "":
		return route{}, &RequestError{"callee", problem}
	case !plain(visibleName):
		return route{}, &RequestError{"visibleName", "it is too long, or holds a line end or another control character"}
	}
	r.callee, r.display = to, quoted(visibleName)
	if r.proxy != "" {
		return r, nil
	}
	// Without a proxy the call goes to the host of the callee. The port of the account belongs to the account's domain.
	if to.port == 0 && strings.EqualFold(to.host, r.from.host) {
		r.callee.port = a.Port
	}
	switch {
	case to.secure:
		r.transport = "tls"
	case to.transport != "":
		r.transport = to.transport
	}
	r.setHop(r.callee)
	return r, nil
}

// routeOf says where the requests of an account go without a callee, such as REGISTER: the callee is the domain.
func routeOf(a Account) (route, error) {
	var r route
	if err := a.check(); err != nil {
		return r, err
	}
	r.from.user = a.Login
	if a.Domain != "" {
		if problem := r.from.setHost(a.Domain); problem != "" {
			return r, &RequestError{"sipDomain", problem}
		}
		if r.from.transport != "" || r.from.phone {
			return r, &RequestError{"sipDomain", "it must be a host, with a port if need be; give the transport as sipTransport"}
		}
	}
	r.callee = r.from
	r.callee.user = ""
	if r.callee.port == 0 {
		r.callee.port = a.Port
	}
	r.transport = cmp.Or(a.Transport, "udp")
	r.setHop(r.callee)
	if a.OutboundProxy == "" {
		return r, nil
	}
	var proxy address
	if problem := proxy.setHost(a.OutboundProxy); problem != "" {
		return r, &RequestError{"sipOutboundProxy", problem}
	}
	if proxy.port == 0 {
		proxy.port = a.Port
	}
	r.callee.port = r.from.port // the port of the account belongs to the proxy
	r.transport = cmp.Or(a.Transport, proxy.transport, "udp")
	r.setHop(proxy)
	r.proxy = "<" + r.hop + ";lr>"
	return r, nil
}

// setHop makes a the server that gets the first request.
func (r *route) setHop(a address) {
	a.user, a.phone = "", false
	a.transport = ""
	if r.transport != "udp" { // which needs no parameter
		a.transport = r.transport
	}
	r.hop = a.uri()
}

// check reports the first field of an account that cannot be used.
func (a Account) check() error {
	fields := []struct{ name, value string }{
		{"sipLogin", a.Login}, {"sipDomain", a.Domain}, {"sipOutboundProxy", a.OutboundProxy},
	}
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		if problem := unusable(f.value); problem != "" {
			return &RequestError{f.name, problem}
		}
	}
	var user address
	if problem := user.setUser(a.Login, false); problem != "" {
		return &RequestError{"sipLogin", problem}
	}
	for _, f := range []struct{ name, value string }{{"sipAuthenticationName", a.AuthName}, {"sipPassword", a.Password}} {
		if !plain(f.value) {
			return &RequestError{f.name, "it is too long, or holds a control character"}
		}
	}
	switch {
	case a.Port < 0 || a.Port > 65535:
		return &RequestError{"sipPort", "it is not from 0 to 65535"}
	case a.Transport != "" && !knownTransport(a.Transport):
		return &RequestError{"sipTransport", "it must be udp, tcp or tls"}
	case a.Register && (a.Login == "" || a.Domain == ""):
		return &RequestError{"sipRegisterRequired", "it needs sipLogin and sipDomain"}
	}
	return nil
}

// complete fills in what an account leaves to the settings. The zero Account is the account of the server.
func (c Config) complete(a Account) Account {
	if a == (Account{}) || a == (Account{Register: true}) {
		register := a.Register
		a = c.Account.Account()
		a.Register = a.Login != "" && (register || c.IncomingStream != "")
	}
	a.Domain = cmp.Or(a.Domain, c.Domain)
	if a.OutboundProxy == "" && a.Domain != "" && c.OutboundProxy != "" {
		a.OutboundProxy = c.OutboundProxy
		if c.OutboundPort != 0 {
			a.Port = c.OutboundPort
		}
	}
	return a
}
