package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"transponder/internal/limits"
	"transponder/internal/sip/leg"
	"transponder/internal/sip/line"
	"transponder/internal/sip/sdp"
	"transponder/internal/transponder"
)

// Config says how calls are made and taken.
type Config struct {
	Enabled bool // false: every request for a call fails with ErrOff

	Line line.Config // where messages go out and come in
	Leg  leg.Config  // the media of a call

	UserAgent string // what we call ourselves to peers. "": "Transponder"

	// Domain is used for an account that has none. OutboundProxy is used for an account that has a domain and no proxy, and OutboundPort with it.
	Domain, OutboundProxy string
	OutboundPort          int

	Account Server // the account of the server, for requests without an account

	Video           bool     // false: no call has pictures
	Exclude         []string // codecs that are not offered, by their names in SDP
	ExcludePushed   []string // the same, for calls that are pushed at once
	VP8             bool     // accept VP8, which has to be transcoded for most destinations
	OpusFirst       bool     // offer Opus before G.711
	HighProfile     bool     // offer H.264 in High profile, too
	SendVideo       bool     // send pictures to the phone, too
	EarlyMedia      bool     // publish what the phone sends before it answers
	SRTP            SRTP
	SRTPWithoutTLS  bool   // keys may travel in messages that are not encrypted
	Digits          Digits // how digits are sent if the request does not say
	AnswerTimeout   time.Duration
	SessionExpires  time.Duration // 0: no session timers, unless the peer wants one
	RegisterExpires time.Duration
	RewriteContact  bool          // register the address under which the registrar sees us
	MaxCalls        int           // calls at a time
	MaxDuration     time.Duration // of a call after the answer; 0: any
	CallsPerMinute  int           // calls that clients and pages may start
	AllowedHosts    []string      // where calls may go, by rules as pushes have them; part of Targets already. Empty: anywhere
	AllowedCallees  string        // regular expression: what a callee must match. "": all
	DeniedCallees   string        // regular expression: what no callee may match. "": none
	IncomingAllow   []netip.Prefix
	IncomingStream  string // name of the stream of an incoming call, with {user} and {caller}. "": such calls are not taken
	OpenREST        bool   // Account may be set though the REST API needs no password

	Targets transponder.TargetPolicy // where messages and media may go
}

// Server is the account that the server has of its own.
type Server struct {
	Login, Domain string
	PasswordFile  string
	Password      Secret // from the file
}

// Secret does not print itself.
type Secret string

// String hides the secret.
func (Secret) String() string { return "***" }

// GoString hides the secret.
func (Secret) GoString() string { return "***" }

// SRTP says whether the media of calls is encrypted.
type SRTP string

// The ways of encryption.
const (
	SRTPOff      SRTP = "off"
	SRTPOptional SRTP = "optional" // offered, and the phone may ignore it
	SRTPRequired SRTP = "required"
)

var srtpModes = map[SRTP]sdp.SRTP{SRTPOff: sdp.SRTPOff, SRTPOptional: sdp.SRTPOptional, SRTPRequired: sdp.SRTPRequired}

// The ranges of a Config's numbers.
var (
	OutboundPortRange    = limits.Of(0, 65535) // 0: the usual one
	AnswerTimeoutRange   = limits.Of(time.Second, 10*time.Minute)
	SessionExpiresRange  = limits.Of(0, 24*time.Hour) // 0: off
	RegisterExpiresRange = limits.Of(30*time.Second, 24*time.Hour)
	MaxCallsRange        = limits.Of(1, 8000)
	MaxDurationRange     = limits.Of(0, 7*24*time.Hour) // 0: any
	CallsPerMinuteRange  = limits.Of(1, 10_000)
)

// leastSession is the shortest session interval of RFC 4028.
const leastSession = 90 * time.Second

// DefaultConfig allows outgoing calls to any address that pushes may go to, and takes no incoming calls.
func DefaultConfig() Config {
	return Config{
		Enabled:         true,
		Line:            line.DefaultConfig(),
		Leg:             leg.DefaultConfig(),
		Video:           true,
		Exclude:         []string{"g722", "speex"},
		ExcludePushed:   []string{"g722", "speex"},
		SRTP:            SRTPOff,
		Digits:          DigitsRTP,
		AnswerTimeout:   40 * time.Second,
		SessionExpires:  30 * time.Minute,
		RegisterExpires: 10 * time.Minute,
		RewriteContact:  true,
		MaxCalls:        200,
		CallsPerMinute:  60,
	}
}

// Listens says whether the server listens for SIP messages from its start on. A server that takes calls from outside must listen before it makes a
// call itself.
func (c Config) Listens() bool { return c.Enabled && (c.Line.Listen || len(c.IncomingAllow) > 0) }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	errs := []error{
		c.Line.Validate(),
		c.Leg.Validate(),
		OutboundPortRange.Check("outbound_port", c.OutboundPort),
		AnswerTimeoutRange.Check("sip_answer_timeout_ms", c.AnswerTimeout),
		SessionExpiresRange.Check("sip_session_expires", c.SessionExpires),
		RegisterExpiresRange.Check("sip_register_expires", c.RegisterExpires),
		MaxCallsRange.Check("sip_max_calls", c.MaxCalls),
		MaxDurationRange.Check("sip_max_call_duration", c.MaxDuration),
		CallsPerMinuteRange.Check("sip_startup_rate", c.CallsPerMinute),
		c.Account.validate(),
	}
	if c.SessionExpires > 0 && c.SessionExpires < leastSession {
		errs = append(errs, fmt.Errorf("sip_session_expires must be 0 or at least %v (RFC 4028)", leastSession))
	}
	if _, known := srtpModes[c.SRTP]; !known {
		errs = append(errs, fmt.Errorf("sip_srtp must be off, optional or required, not %q", c.SRTP))
	}
	if !slices.Contains([]Digits{DigitsRTP, DigitsInfo, DigitsInfoRelay}, c.Digits) {
		errs = append(errs, fmt.Errorf("dtmf must be rfc2833, info or info_relay, not %q", c.Digits))
	}
	for key, pattern := range map[string]string{"sip_allowed_callees": c.AllowedCallees, "sip_denied_callees": c.DeniedCallees} {
		if _, err := regexp.Compile(pattern); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	if !plain(c.UserAgent) {
		errs = append(errs, errors.New("user_agent is too long, or holds a control character"))
	}
	if c.IncomingStream != "" && !usablePattern(c.IncomingStream) {
		errs = append(errs, fmt.Errorf("sip_incoming_stream must contain {user} or {caller}, and no other braces, not %q: each call needs a "+
			"stream of its own", c.IncomingStream))
	}
	return errors.Join(errs...)
}

// usablePattern reports whether incoming calls get names of their own by a pattern. A name that is misspelt stays as it is.
func usablePattern(pattern string) bool {
	rest := strings.NewReplacer("{user}", "", "{caller}", "").Replace(pattern)
	return rest != pattern && !strings.ContainsAny(rest, "{}")
}

func (s Server) validate() error {
	if (s.Login == "") != (s.Domain == "") {
		return errors.New("sip_account_login and sip_account_domain go together")
	}
	if s.PasswordFile != "" && s.Login == "" {
		return errors.New("sip_account_password_file needs sip_account_login")
	}
	return nil
}

// Account returns the account in the form of a request.
func (s Server) Account() Account {
	return Account{Login: s.Login, Domain: s.Domain, Password: string(s.Password)}
}
