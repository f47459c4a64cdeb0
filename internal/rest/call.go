package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"transponder/internal/access"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
)

// Calls makes, finds and ends SIP calls. sip.Calls is one. Methods that name a call return sip.ErrNoCall if there is none with that id.
type Calls interface {
	Start(ctx context.Context, r sip.Request) error // returns before anything was sent to the phone
	Find(f sip.Filter) []sip.Info                   // oldest first
	Terminate(id string) error
	SendDigits(id, keys string, how sip.Digits) error // returns before the digits were sent
	InjectSound(id, file string) error
	InjectStream(id, name string) error
	EjectStream(id string) error
}

var errNoCall = refusal{http.StatusNotFound, "Call not found"}

// maxCustom bounds the member custom of a request, which is kept for as long as the call.
const maxCustom = 8 << 10

// callRoutes serves the methods of calls. Without Calls each of them answers 501.
func (s *Server) callRoutes() {
	s.method("/call/startup", someone, s.onCalls(s.startCall), http.MethodPost)
	s.list("/call/find", someone, s.onCalls(s.findCalls), http.MethodPost)
	s.list("/call/find_all", someone, s.onCalls(s.findAllCalls), http.MethodGet, http.MethodPost)
	s.method("/call/terminate", someone, s.onCalls(s.terminateCall), http.MethodPost)
	s.method("/call/send_dtmf", someone, s.onCalls(s.sendDigits), http.MethodPost)
	s.method("/call/inject_sound", someone, s.onCalls(s.injectSound), http.MethodPost)
	s.method("/call/inject_stream/startup", someone, s.onCalls(s.injectStream), http.MethodPost)
	s.method("/call/inject_stream/terminate", someone, s.onCalls(s.ejectStream), http.MethodPost)
	s.method("/call/inject_stream", someone, s.onCalls(s.injectStream), http.MethodPost) // pages of the contract's older versions use this path
}

// onCalls returns do for servers with calls.
func (s *Server) onCalls(do func(context.Context, *fields) (any, error)) func(context.Context, *fields) (any, error) {
	if s.parts.Calls == nil {
		return func(context.Context, *fields) (any, error) { return nil, sip.ErrOff }
	}
	return do
}

// startCall answers without a body: pages of the contract expect none, and show an error for "{}".
func (s *Server) startCall(ctx context.Context, f *fields) (any, error) {
	req := sip.Request{
		CallID:      f.required("callId"),
		Callee:      f.required("callee"),
		Account:     f.account(),
		VisibleName: f.text("visibleName"),
		Audio:       f.flag("hasAudio", true),
		Video:       f.flag("hasVideo", false),
		ToStream:    f.text("toStream"),
		RTMPURL:     f.text("rtmpUrl"),
		RTMPStream:  f.text("rtmpStream"),
		Picture:     f.picture(),
		AppKey:      f.text("appKey"),
		Custom:      f.custom(),
	}
	if f.err != nil {
		return nil, f.err
	}
	if err := s.mayCall(ctx, req); err != nil {
		return nil, err
	}
	req.Owner, req.By = principalOf(ctx).Identity(), principalOf(ctx)
	return nil, s.parts.Calls.Start(ctx, req)
}

// mayCall decides whether the sender of the request may make a call: it plays the callee, publishes a stream, and may push it.
func (s *Server) mayCall(ctx context.Context, req sip.Request) error {
	name := req.PublishedName()
	// The setting anonymous lets strangers publish and play. It does not let them call phones, for which the owner of this server may have to pay.
	if p := principalOf(ctx); (p == nil || p.Kind == access.Anonymous) && !p.IsAdmin() {
		return s.authorize(ctx, access.Control, access.Object{})
	}
	if err := s.authorize(ctx, access.Play, access.Object{Stream: sip.DialName(req.Callee)}); err != nil {
		return err
	}
	if err := s.authorize(ctx, access.Publish, access.Object{Stream: name}); err != nil {
		return err
	}
	if req.RTMPURL == "" {
		return nil
	}
	return s.authorize(ctx, access.Push, transponder.PushObject(name, req.RTMPURL))
}

// ownCall decides whether the sender of the request may change a call: he has started it, or may control it. A call that he may not read is
// not there for him.
func (s *Server) ownCall(ctx context.Context, id string) error {
	p := principalOf(ctx)
	if p.IsAdmin() {
		return s.authorize(ctx, access.Control, access.Object{})
	}
	found := s.parts.Calls.Find(sip.Filter{CallID: id})
	if len(found) == 0 {
		return errNoCall
	}
	c := found[0]
	if c.Owner != "" && c.Owner == p.Identity() {
		return nil
	}
	if access.Decide(p, access.Read, access.Object{Stream: c.Object()}) != nil {
		return errNoCall
	}
	return s.authorize(ctx, access.Control, access.Object{Stream: c.Object(), Owner: c.Owner})
}

// account reads the SIP account of a call.
func (f *fields) account() sip.Account {
	a := sip.Account{
		Login:         f.text("sipLogin"),
		AuthName:      f.text("sipAuthenticationName"),
		Password:      f.text("sipPassword"),
		Domain:        f.text("sipDomain"),
		OutboundProxy: f.text("sipOutboundProxy"),
		Port:          f.integer("sipPort"),
		Transport:     f.text("sipTransport"),
		Register:      f.flag("sipRegisterRequired", false),
	}
	// The Web SDK sends the proxy under a second name, too.
	if proxy := f.text("sipProxy"); a.OutboundProxy == "" {
		a.OutboundProxy = proxy
	}
	return a
}

// picture reads the picture that the push of a call shows if the phone sends none. It may be a member of the request, or of options as in a
// request for a push.
func (f *fields) picture() string {
	picture := f.text("picture")
	options := f.object("options")
	if among := options.text("picture"); among != "" {
		picture = among
	}
	if f.err == nil {
		f.err = options.err
	}
	return picture
}

// custom reads a value of any kind, nil if it is absent.
func (f *fields) custom() json.RawMessage {
	v := f.take("custom")
	if len(v) > maxCustom {
		f.fail("custom", "it is longer than %d bytes", maxCustom)
		return nil
	}
	return v
}

func (s *Server) findCalls(ctx context.Context, f *fields) (any, error) {
	filter := sip.Filter{
		CallID:   f.text("callId"),
		Callee:   f.text("callee"),
		Caller:   f.text("caller"),
		RTMPURL:  f.text("rtmpUrl"),
		ToStream: f.text("toStream"),
		Status:   dialog.Status(f.text("status")),
	}
	if f.err != nil {
		return nil, f.err
	}
	return s.callList(ctx, filter)
}

func (s *Server) findAllCalls(ctx context.Context, _ *fields) (any, error) {
	return s.callList(ctx, sip.Filter{})
}

func (s *Server) callList(ctx context.Context, filter sip.Filter) (any, error) {
	found := s.parts.Calls.Find(filter)
	if len(found) == 0 {
		return nil, errNoCall
	}
	p := principalOf(ctx)
	may := access.MayRead(p)
	list := make([]callBody, 0, len(found))
	for _, c := range found {
		if (c.Owner == "" || c.Owner != p.Identity()) && !may(c.Object()) {
			continue
		}
		if isStranger(ctx) {
			c = forStrangers(c)
		}
		list = append(list, newCallBody(c, s.nodeID))
	}
	if len(list) == 0 {
		return nil, errNoCall
	}
	return list, nil
}

func (s *Server) terminateCall(ctx context.Context, f *fields) (any, error) {
	id := f.required("callId")
	if f.err != nil {
		return nil, f.err
	}
	if err := s.ownCall(ctx, id); err != nil {
		return nil, err
	}
	return nil, s.parts.Calls.Terminate(id)
}

// digitWays are the ways of sending digits that a request may name; "": the way of the settings.
var digitWays = map[string]sip.Digits{
	"": "", "RFC2833": sip.DigitsRTP, "INFO": sip.DigitsInfo, "INFO_RELAY": sip.DigitsInfoRelay,
}

func (s *Server) sendDigits(ctx context.Context, f *fields) (any, error) {
	id, keys, way := f.required("callId"), f.required("dtmf"), f.text("type")
	how, known := digitWays[way]
	if !known {
		f.fail("type", "it must be RFC2833, INFO or INFO_RELAY, not %q", shorten(way))
	}
	if f.err != nil {
		return nil, f.err
	}
	if err := s.ownCall(ctx, id); err != nil {
		return nil, err
	}
	return nil, s.parts.Calls.SendDigits(id, keys, how)
}

func (s *Server) injectSound(ctx context.Context, f *fields) (any, error) {
	id, file := f.required("callId"), f.required("fileName")
	if f.err != nil {
		return nil, f.err
	}
	if err := s.ownCall(ctx, id); err != nil {
		return nil, err
	}
	err := s.parts.Calls.InjectSound(id, file)
	if errors.Is(err, soundfile.ErrUnplayable) {
		return nil, &sip.RequestError{Field: "fileName", Reason: err.Error()}
	}
	return nil, err
}

func (s *Server) injectStream(ctx context.Context, f *fields) (any, error) {
	id, name := f.required("callId"), f.required("streamName")
	if f.err != nil {
		return nil, f.err
	}
	if err := s.ownCall(ctx, id); err != nil {
		return nil, err
	}
	if err := s.authorize(ctx, access.Play, access.Object{Stream: name}); err != nil {
		return nil, err
	}
	return nil, s.parts.Calls.InjectStream(id, name)
}

func (s *Server) ejectStream(ctx context.Context, f *fields) (any, error) {
	id := f.required("callId")
	if f.err != nil {
		return nil, f.err
	}
	if err := s.ownCall(ctx, id); err != nil {
		return nil, err
	}
	return nil, s.parts.Calls.EjectStream(id)
}
