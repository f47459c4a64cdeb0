package wcs

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"

	"transponder/internal/access"
	"transponder/internal/sip"
)

// noSIP tells a page with a SIP account that there is no SIP here.
const noSIP = "SIP is not available on this server"

// clickToCall is the application whose account and callee are in the settings.
const clickToCall = "clickToCallApp"

// openPhone opens the phone of a session whose page has a SIP account. err says why the account cannot be used.
func (s *session) openPhone(ctx context.Context, host string, account sip.Account, err error) {
	hasNone := account.Login == "" && err == nil
	fixed := s.srv.cfg.ClickToCall
	switch {
	case fixed.Callee != "" && (hasNone || s.appKey() == clickToCall):
		account, err = fixed.Account, nil
	case hasNone:
		return
	default:
		fixed = ClickToCall{}
		if err == nil {
			err = s.mayCall(account.Login) // others can call it
		}
	}
	if err == nil {
		err = s.calls.open(ctx, fixed.Callee, func(events sip.PhoneEvents) (Phone, error) { return s.phone(ctx, host, account, events) })
	}
	switch {
	case err == nil:
		return
	case errors.Is(err, sip.ErrOff):
		s.send("fail", failure{APIMethod: "connection", Status: failed, Info: noSIP})
	case isRefusal(err):
		s.log.Warn("account refused", "err", err)
		s.send("fail", failure{APIMethod: "register", Status: failed, Info: restricted, Reason: reasonOf(err)})
	default:
		s.log.Warn("account refused", "err", err)
		s.send("fail", failure{APIMethod: "register", Status: failed, Info: err.Error()})
	}
}

// mayCall returns nil if the page may talk with somebody. A call sends and receives, so the page needs both on the name sip:SOMEBODY.
func (s *session) mayCall(somebody string) error {
	for _, do := range []access.Action{access.Publish, access.Play} {
		if err := s.may(s.caller(), do, access.Object{Stream: sip.DialName(somebody)}); err != nil {
			return err
		}
	}
	return nil
}

// phone opens a phone in the exchange if the account's domain is this server, or else at a SIP server.
func (s *session) phone(ctx context.Context, host string, account sip.Account, events sip.PhoneEvents) (Phone, error) {
	if x := s.srv.exchange; x != nil && s.srv.isHere(account.Domain, host) {
		p, err := x.Open(account, events)
		if err != nil {
			return nil, err // not p: an interface that holds a nil pointer is not nil
		}
		return p, nil
	}
	if s.srv.parts.Phone == nil {
		return nil, sip.ErrOff
	}
	return s.srv.parts.Phone(ctx, account, Caller{s.id, s.appKey(), s.caller().principal}, events)
}

// isHere says whether the domain of an account is this server: by the name that the browser has connected to, or by one that the server
// knows. An account without a domain is here.
func (s *Server) isHere(domain, host string) bool {
	domain, host = bareHost(domain), bareHost(host)
	return domain == "" || strings.EqualFold(domain, host) || s.parts.IsHere != nil && s.parts.IsHere(domain)
}

// bareHost returns a host without its port and brackets.
func bareHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// handleCallMessage handles a message about a call.
func (s *session) handleCallMessage(name string, data json.RawMessage) {
	switch {
	case s.calls.hasNoPhone():
		with(s, name, data, func(ref callRef) { s.noPhone(name, string(ref.CallID)) })
	case name == "call":
		with(s, name, data, s.handleCall)
	case name == "answer":
		with(s, name, data, s.handleAnswer)
	default:
		with(s, name, data, func(ref callRef) { s.handleCommand(name, ref) })
	}
}

// noPhone answers a message about a call in a session without a phone.
func (s *session) noPhone(name, id string) {
	switch name {
	case "call", "answer":
		s.send("finish", callStatus{id, failed})
	case "hangup":
		s.send("finish", callStatus{id, string(callFinish)})
	default:
		s.send("fail", failure{APIMethod: name, ID: id, Status: failed, Info: s.srv.whyNoPhone()})
	}
}

// whyNoPhone says why a session has no phone.
func (s *Server) whyNoPhone() string {
	if s.parts.Phone == nil && s.exchange == nil {
		return noSIP
	}
	return "the session has no SIP account"
}

// handleCall begins an outgoing call, or tells the page why not. A second call with the id of the first one is ignored: a status would
// be about the first.
func (s *session) handleCall(req callRequest) {
	err := s.startCall(req)
	switch {
	case err == nil:
		s.srv.count.callsMade.Add(1)
	case errors.Is(err, errCallID), errors.Is(err, errNullCallID), errors.Is(err, errBadCallID):
		s.ignore(err.Error(), "call", short(string(req.CallID)))
	default:
		s.srv.count.callsFailed.Add(1)
		s.log.Warn("call refused", "call", short(string(req.CallID)), "err", err)
		info := callInfo{CallID: string(req.CallID), Status: failed, Info: err.Error(), MediaProvider: webRTC}
		if isRefusal(err) {
			info.Info, info.Reason = restricted, reasonOf(err)
		}
		s.sendLast(callFailed.message(), info)
	}
}

// handleAnswer takes the page's answer to an incoming call.
func (s *session) handleAnswer(req callRequest) {
	c := s.calls.call(string(req.CallID))
	if c == nil { // the caller may have hung up meanwhile, and the page knows
		s.ignore("answer to a call that is not there", "call", short(string(req.CallID)))
		return
	}
	if err := req.check(); err != nil {
		c.end(err)
		return
	}
	s.ask(c, "answer", func(ctx context.Context) { c.answered(ctx, req) })
}

// handleCommand does what a page asks for one of its calls.
func (s *session) handleCommand(name string, ref callRef) {
	c := s.calls.call(string(ref.CallID))
	if c == nil {
		s.ignore("no such call", "message", name, "call", short(string(ref.CallID)))
		return
	}
	switch name {
	case "hangup":
		c.end(errHungUp)
	case "hold", "unhold":
		s.ask(c, name, func(context.Context) { c.hold(name, ref) })
	case "transfer":
		s.ask(c, name, func(context.Context) { c.transfer(name, ref) })
	case "sendDtmf":
		s.ask(c, name, func(context.Context) { c.sendDigits(name, ref) })
	}
}

// ask hands a message of the page to a call.
func (s *session) ask(c *call, name string, f func(context.Context)) {
	if !c.post(f) {
		s.ignore("too many messages wait for the call", "message", name, "call", short(c.id))
	}
}
