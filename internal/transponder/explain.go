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
	"transponder/internal/rtmp"
	"transponder/internal/transcode"
)

var (
	errTerminated = errors.New("terminated by request")
	errStalled    = errors.New("the server takes no more data")
)

// sourceError is the end of the stream that is pushed.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "the stream ended: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// explain turns the end of a push into its reason and a sentence for people. What the peer said is quoted only as far as
// its code: its description may repeat the stream key.
func explain(err error) (Reason, string) {
	var status *rtmp.StatusError
	var source *sourceError
	var dns *net.DNSError
	var secured *tlsError
	var forbidden *TargetError
	var busy *transcode.BusyError
	switch {
	case errors.As(err, &source):
		return ReasonSourceLost, "The stream ended."
	case errors.Is(err, errTerminated):
		return ReasonTerminated, "Ended by request."
	case errors.Is(err, ErrStopping):
		return ReasonShutdown, "The server was stopped."
	case errors.Is(err, rtmp.ErrLoginRefused):
		_, words, _ := strings.Cut(err.Error(), ": ") // rtmp's own
		return ReasonAuth, "The server refused the login: " + words + "."
	case errors.As(err, &status):
		return explainStatus(status)
	case errors.As(err, &forbidden):
		return ReasonForbidden, "This server's settings do not let it push to this address."
	case errors.As(err, &dns):
		return ReasonDNS, "The server's name could not be resolved."
	case errors.As(err, &secured):
		return explainTLS(secured)
	case errors.Is(err, ErrTranscodingDisabled):
		return ReasonCodec, ErrTranscodingDisabled.Error() + "."
	case errors.As(err, &busy):
		return ReasonNoCapacity, busy.Reason
	case errors.Is(err, transcode.ErrTranscoder):
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

// printable is an error as a log may show it: without a peer's description, which may repeat the stream key.
func printable(err error) string {
	var status *rtmp.StatusError
	if errors.As(err, &status) {
		return status.Command + ": " + status.Code
	}
	return err.Error()
}

// passing are the codes by which a server that is going down, or has too much to do, refuses connect. They say nothing
// about the address.
var passing = []string{
	"NetConnection.Connect.AppShutdown", "NetConnection.Connect.Closed", "NetConnection.Connect.Failed",
	"NetConnection.Connect.IdleTimeout", "NetConnection.Connect.InsufficientBW",
}

// explainStatus reads a peer's refusal (RTMP 1.0, 7.2; the codes are Adobe's).
func explainStatus(s *rtmp.StatusError) (Reason, string) {
	words := strings.ToLower(s.Code + " " + s.Description)
	switch {
	case s.Command == "connect" && (strings.Contains(words, "auth") || strings.Contains(words, "code=403")):
		return ReasonAuth, "The server wants other credentials (" + s.Code + ")."
	case s.Command == "connect" && slices.Contains(passing, s.Code):
		return ReasonPeerClosed, "The server takes no connections now (" + s.Code + ")."
	case s.Command == "connect":
		return ReasonBadApp, "The server refused the application in the address (" + s.Code + ")."
	case s.Code == "NetStream.Publish.BadName":
		return ReasonKeyInUse, "The server says that the stream name is in use or not allowed (" + s.Code + ")."
	case s.Command == "publish" || s.Command == "createStream":
		return ReasonKeyRejected, "The server refused the stream name or key (" + s.Code + ")."
	default:
		return ReasonPeerClosed, "The server ended the stream (" + s.Code + ")."
	}
}

func explainTLS(err error) (Reason, string) {
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return ReasonTLSVerify, explainCertificate(verify)
	}
	if reason, words := explainNetwork(err); reason == ReasonTimeout {
		return reason, words
	}
	return ReasonTLS, "No TLS connection could be made; is the address right with rtmps://?"
}

// explainCertificate says what is wrong with a certificate, so that who has to mend it knows where.
func explainCertificate(err error) string {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return "The server's certificate is for another name."
	case errors.As(err, &authority):
		return "The server's certificate is signed by nobody who is trusted here (rtmps_ca_file)."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "The server's certificate has expired, or is not valid yet."
	default:
		return "The server's certificate is not valid."
	}
}

func explainNetwork(err error) (Reason, string) {
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ReasonRefused, "Nothing listens at this address: the connection was refused."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, errNoAddress),
		errors.Is(err, syscall.EADDRNOTAVAIL):
		return ReasonUnreachable, "There is no way to the server from here."
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ReasonTimeout, "The server did not answer in time."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, rtmp.ErrClosedByPeer),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ReasonPeerClosed, "The server closed the connection."
	case errors.As(err, &op) && op.Op == "dial": // a firewall of this machine, say
		return ReasonUnreachable, "There is no way to the server from here."
	case errors.As(err, &op): // an interface that went down, or a TLS alert
		return ReasonPeerClosed, "The connection to the server broke."
	default:
		return ReasonInternal, "An internal error ended the push."
	}
}
