package transponder

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"transponder/internal/flv"
	"transponder/internal/load"
	"transponder/internal/rtmp"
	"transponder/internal/transcode/picture"
)

var (
	errTerminated = errors.New("terminated by request")
	errStalled    = errors.New("the server takes no more data")
)

// sourceError means that the stream has ended.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "the stream ended: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// explain turns the error that ended a push into a reason and a sentence for people. Of what the server said, only the code is quoted:
// the description may repeat the stream key.
func explain(err error) (Reason, string) {
	var status *rtmp.StatusError
	var source *sourceError
	var dns *net.DNSError
	var secured *tlsError
	var forbidden *targetError
	var busy *picture.BusyError
	var forwarded *forwardedError
	var rights *rightsError
	switch {
	case errors.As(err, &source):
		return ReasonSourceLost, "The stream ended."
	case errors.Is(err, errTerminated):
		return ReasonTerminated, "Ended by request."
	case errors.As(err, &rights):
		return ReasonTerminated, rights.words()
	case errors.Is(err, ErrMoved):
		return ReasonMoved, "Another server goes on with the push."
	case errors.Is(err, errExpired):
		return ReasonExpired, "The publisher did not come back in time after the restart."
	case errors.Is(err, errRestarting):
		return ReasonShutdown, "The server was stopped. The push goes on when it runs again and the publisher is back."
	case errors.Is(err, ErrStopping):
		return ReasonShutdown, "The server was stopped."
	case errors.As(err, &forwarded):
		reason, words := explain(forwarded.err)
		return reason, "The server sent the push on to " + forwarded.target.String() + ". " + words
	case errors.Is(err, errDowngrade):
		return ReasonBadApp, "The server sends the push on to an address without TLS."
	case errors.Is(err, errRedirect):
		return ReasonBadApp, "The server sends the push on to an address that cannot be used."
	case errors.Is(err, errHops):
		return ReasonPeerClosed, "The servers send the push on from one to the next without end."
	case errors.Is(err, rtmp.ErrLoginRefused):
		_, words, _ := strings.Cut(err.Error(), ": ") // rtmp's own
		return ReasonAuth, "The server refused the login: " + words + "."
	case errors.As(err, &status):
		return explainStatus(status)
	case errors.As(err, &forbidden):
		return ReasonForbidden, "This server's settings do not let it push to this address."
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return ReasonDNS, "The server's name could not be resolved: no server has this name. Is it written as the platform gives it?"
		}
		return ReasonDNS, "The server's name could not be resolved: the name servers of this machine give no answer."
	case errors.As(err, &secured):
		return explainTLS(secured)
	case errors.Is(err, load.ErrFull):
		return ReasonNoCapacity, "This server has no room for the push."
	case errors.Is(err, errAllGone):
		return ReasonTimeout, "No address takes the stream."
	case errors.Is(err, picture.ErrDisabled):
		return ReasonCodec, picture.ErrDisabled.Error() + "."
	case errors.As(err, &busy):
		return ReasonNoCapacity, busy.Reason
	case errors.Is(err, picture.ErrTranscoder):
		return ReasonTranscoder, "The pictures could not be transcoded; the server's log says more."
	case errors.Is(err, ErrUnsupported), errors.Is(err, flv.ErrUnsupported):
		return ReasonCodec, "The stream's codec cannot be sent over RTMP."
	case errors.Is(err, rtmp.ErrHandshake):
		if reason, words := explainNetwork(err); reason != ReasonInternal { // it never answered, or hung up
			return reason, words
		}
		return ReasonHandshake, "The server at this address does not speak RTMP."
	case errors.Is(err, rtmp.ErrProtocol):
		return ReasonProtocol, "The server sent something that is not valid RTMP."
	case errors.Is(err, errStalled):
		return ReasonPeerStalled, "The server stopped taking data."
	}
	return explainNetwork(err)
}

// printable returns an error as a log may show it: without the description of a server, which may repeat the stream key.
func printable(err error) string {
	var status *rtmp.StatusError
	if errors.As(err, &status) {
		return status.Command + " refused" + quoteCode(status.Code)
	}
	return err.Error()
}

// passing has the codes with which a server refuses connect when it is shutting down or has too much to do. They say nothing about the
// address.
var passing = []string{
	"NetConnection.Connect.AppShutdown", "NetConnection.Connect.Closed", "NetConnection.Connect.Failed",
	"NetConnection.Connect.IdleTimeout", "NetConnection.Connect.InsufficientBW", "NetConnection.Call.Failed",
}

// full has the words with which servers say, in a code or a description, that they have no room. Adobe's servers say
// [ License.Limit.Exceeded ] and [ Resource.Limit.Exceeded ] under NetConnection.Connect.Rejected, Wowza says "licensed connection limit",
// and Transponder says that the server is full.
var full = []string{
	"limit.exceeded", "limit exceeded", "limitexceeded", "limit reached", "connection limit", "license", "too many", "maximum number",
	"max connections", "overload", "no capacity", "out of capacity", "server is full", "server is busy", "serverbusy", "temporarily",
	"try again", "shutting down", "starting up", "not ready", "service unavailable",
}

// isFull reports whether a server refuses because it has no room or is shutting down. The same request may succeed later.
func isFull(s *rtmp.StatusError) bool {
	return s.Command == "connect" && slices.Contains(passing, s.Code) || containsAny(s.Code+" "+s.Description, full)
}

// The words in a code that say that the stream's name or key is the problem. "NetStream.Failed", "NetStream.Publish.Failed" and
// "NetConnection.Call.Failed" do not say that: a server that has lost its disk or its database answers so too.
var (
	inUse    = []string{"badname", "inuse", "in.use", "already", "duplicate"}
	notTaken = []string{"denied", "auth", "forbidden", "rejected", "notallowed", "invalid", "notfound", "expired", "badkey"}
)

// containsAny reports whether text contains one of the words, which are in lower case.
func containsAny(text string, words []string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

// explainStatus explains the refusal of a server (RTMP 1.0, 7.2; the codes are Adobe's). Only a code that names the stream name or the key is
// taken for a refusal of these. Any other refusal may pass.
func explainStatus(s *rtmp.StatusError) (Reason, string) {
	code := quoteCode(s.Code)
	atConnect, live := s.Command == "connect", s.Command == "onStatus"
	ofStream := strings.HasPrefix(s.Code, "NetStream.")
	switch {
	case atConnect && containsAny(s.Description, []string{"authmod=", "code=403"}):
		return ReasonAuth, "The server wants other credentials" + code + "."
	case s.Code == "NetStream.Publish.BadName", ofStream && !live && containsAny(s.Code, inUse):
		return ReasonKeyInUse, "The server says that the stream name is in use or not allowed" + code + "."
	case isFull(s) && live:
		return ReasonPeerClosed, "The server ended the stream because it has no room for it now" + code + "."
	case isFull(s):
		return ReasonPeerClosed, "The server takes no connections now" + code + "."
	case atConnect && containsAny(s.Code+" "+s.Description, []string{"auth"}):
		return ReasonAuth, "The server wants other credentials" + code + "."
	case ofStream && !live && containsAny(s.Code, notTaken):
		return ReasonKeyRejected, "The server refused the stream name or key" + code + "."
	case atConnect && !ofStream:
		return ReasonBadApp, "The server refused the application in the address" + code + "."
	case !live:
		return ReasonPeerClosed, "The server refused the stream, but did not say that its name or key is wrong" + code + "."
	default:
		return ReasonPeerClosed, "The server ended the stream" + code + "."
	}
}

// quoteCode returns the code of a server in brackets. It returns nothing if the text is not a code: it could be anything, even the stream
// key.
func quoteCode(code string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789."
	if code == "" || len(code) > 64 || !strings.HasPrefix(code, "Net") || strings.Trim(code, letters) != "" {
		return ""
	}
	return " (" + code + ")"
}

// explainTLS explains an error of the TLS handshake.
func explainTLS(err error) (Reason, string) {
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return ReasonTLSVerify, explainCertificate(verify)
	}
	if reason, words := explainNetwork(err); reason == ReasonTimeout {
		return reason, words
	}
	return ReasonTLS, explainHandshake(err)
}

// explainHandshake says why a TLS handshake failed. Most errors and alerts (RFC 8446, 6) of crypto/tls have no types, so only their words
// tell.
func explainHandshake(err error) string {
	is := func(words ...string) bool { return containsAny(err.Error(), words) }
	switch {
	case is("protocol version", "supported versions"):
		return "The server supports no version of TLS that we support (1.2 and 1.3)."
	case is("cipher suite", "insufficient security", "no mutual"):
		return "The server and we have no TLS cipher in common."
	case is("handshake failure"):
		return "The server and we have no TLS cipher in common, or the server wants a certificate from us."
	case is("unrecognized name"):
		return "The server has no certificate for the name in the address."
	case is("certificate required", "tls: bad certificate"):
		return "The server wants a certificate from us, and we have none."
	default:
		return "No TLS connection could be made. Is rtmps:// right for this address?"
	}
}

// explainCertificate says what is wrong with a certificate, so that the owner of the server knows what to mend.
func explainCertificate(err error) string {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var unsafe x509.InsecureAlgorithmError
	switch {
	case errors.As(err, &name) && name.Certificate != nil && len(name.Certificate.DNSNames)+len(name.Certificate.IPAddresses) == 0:
		return "The server's certificate has its name only as a Common Name, which is no longer accepted. It needs a Subject Alternative Name."
	case errors.As(err, &unsafe):
		return "The server's certificate is signed with a method that is not safe (" + x509.SignatureAlgorithm(unsafe).String() + ")."
	case errors.As(err, &name):
		return "The server's certificate is for another name."
	case errors.As(err, &authority):
		return "The server's certificate is not signed by an authority that is trusted here (setting rtmps_ca_file)."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "The server's certificate has expired, or is not valid yet."
	default:
		return "The server's certificate is not valid."
	}
}

// explainNetwork explains an error of the network.
func explainNetwork(err error) (Reason, string) {
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ReasonRefused, "Nothing listens at this address: the connection was refused."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, errNoAddress),
		errors.Is(err, syscall.EADDRNOTAVAIL):
		return ReasonUnreachable, "The server cannot be reached from here."
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ReasonTimeout, "The server did not answer in time."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, rtmp.ErrClosedByPeer),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ReasonPeerClosed, explainClosing(err)
	case errors.As(err, &op) && op.Op == "dial": // a firewall of this machine, for example
		return ReasonUnreachable, "The server cannot be reached from here."
	case errors.As(err, &op): // an interface that went down, or a TLS alert
		return ReasonPeerClosed, "The connection to the server broke."
	default:
		return ReasonInternal, "An internal error ended the push."
	}
}

// explainClosing says what may be wrong where a server has hung up: many give no other answer to an application or a stream that they do not have.
func explainClosing(err error) string {
	var unanswered *rtmp.AnswerError
	switch {
	case errors.As(err, &unanswered) && unanswered.Command == "connect":
		return "The server closed the connection in place of an answer to connect. Is the part of the address after the host right?"
	case errors.As(err, &unanswered) && unanswered.Command == "publish":
		return "The server closed the connection in place of an answer to publish. Is the stream key right?"
	default:
		return "The server closed the connection."
	}
}
