package transponder

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

func TestExplain(t *testing.T) {
	refused := func(command, code, description string) error {
		return &rtmp.StatusError{Command: command, Level: "error", Code: code, Description: description}
	}
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	tests := []struct {
		name  string
		err   error
		want  Reason
		class Class
	}{
		{"name not resolved", &net.DNSError{Err: "no such host", Name: "h"}, ReasonDNS, Transient},
		{"refused", dial(syscall.ECONNREFUSED), ReasonRefused, Transient},
		{"no route", dial(syscall.EHOSTUNREACH), ReasonUnreachable, Transient},
		{"no network", dial(syscall.ENETUNREACH), ReasonUnreachable, Transient},
		{"no address of the family", errNoAddress, ReasonUnreachable, Transient},
		{"dial timeout", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, ReasonTimeout, Transient},
		{"dial forbidden by a firewall", dial(syscall.EPERM), ReasonUnreachable, Transient},
		{"context deadline", context.DeadlineExceeded, ReasonTimeout, Transient},
		{"certificate of another", &tlsError{&tls.CertificateVerificationError{Err: x509.HostnameError{}}}, ReasonTLSVerify, Permanent},
		{"no TLS there", &tlsError{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}}, ReasonTLS, Transient},
		{"TLS timeout", &tlsError{os.ErrDeadlineExceeded}, ReasonTimeout, Transient},
		{"no RTMP there", fmt.Errorf("read S0: %w", rtmp.ErrHandshake), ReasonHandshake, Transient},
		{"bad chunk", fmt.Errorf("chunk: %w", rtmp.ErrProtocol), ReasonProtocol, Transient},
		{"Adobe login", refused("connect", "NetConnection.Connect.Rejected", "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "), ReasonAuth, Permanent},
		{"bad app", refused("connect", "NetConnection.Connect.InvalidApp", ""), ReasonBadApp, Permanent},
		{"name in use", refused("publish", "NetStream.Publish.BadName", "Already publishing"), ReasonKeyInUse, Permanent},
		{"key refused", refused("publish", "NetStream.Publish.Denied", ""), ReasonKeyRejected, Permanent},
		{"name in use, by other words", refused("publish", "NetStream.Publish.AlreadyPublishing", ""), ReasonKeyInUse, Permanent},
		{"name in use for now", refused("publish", "NetStream.Publish.BadName", "try again later"), ReasonKeyInUse, Permanent},
		{"name refused while the stream is made", refused("createStream", "NetStream.Publish.BadName", ""), ReasonKeyInUse, Permanent},
		{"key not authorized", refused("publish", "NetStream.Publish.Unauthorized", ""), ReasonKeyRejected, Permanent},
		{"key not authenticated", refused("publish", "NetStream.Authenticate.Failed", ""), ReasonKeyRejected, Permanent},
		{"key refused when connecting", refused("connect", "NetStream.Publish.Denied", ""), ReasonKeyRejected, Permanent},
		{"no stream made", refused("createStream", "NetConnection.Call.Failed", ""), ReasonPeerClosed, Transient},
		{"no stream made, without a word", refused("createStream", "", ""), ReasonPeerClosed, Transient},
		{"stream failed", refused("publish", "NetStream.Failed", "the server is full: of 1 cores 1 are in use"), ReasonPeerClosed, Transient},
		{"publish failed", refused("publish", "NetStream.Publish.Failed", "Disk error"), ReasonPeerClosed, Transient},
		{"publish failed, without a code", refused("publish", "", "sorry"), ReasonPeerClosed, Transient},
		{"connection closed in the answer to publish", refused("publish", "NetConnection.Connect.Closed", ""), ReasonPeerClosed, Transient},
		{"Adobe's license", refused("connect", "NetConnection.Connect.Rejected", "[ License.Limit.Exceeded ] : (_defaultRoot_, _defaultVHost_) : "), ReasonPeerClosed, Transient},
		{"Adobe's resources", refused("connect", "NetConnection.Connect.Rejected", "[ Resource.Limit.Exceeded ] : "), ReasonPeerClosed, Transient},
		{"Wowza's license", refused("connect", "NetConnection.Connect.Rejected", "Licensed connection limit exceeded"), ReasonPeerClosed, Transient},
		{"too many wait to be let in", refused("connect", "NetConnection.Connect.Rejected", "too many connections pending for authorization"), ReasonPeerClosed, Transient},
		{"unknown application", refused("connect", "NetConnection.Connect.Rejected", "[ Server.Reject ] : (_defaultRoot_, _defaultVHost_) : Application (x) is not defined."), ReasonBadApp, Permanent},
		{"a refusal without a code", refused("connect", "", "go away"), ReasonBadApp, Permanent},
		{"no room while live", refused("onStatus", "NetStream.Failed", "too many streams"), ReasonPeerClosed, Transient},
		{"sent on to a server that is not there", &forwardedError{pushTarget{}, dial(syscall.ECONNREFUSED)}, ReasonRefused, Transient},
		{"sent on to where we may not", &forwardedError{pushTarget{}, &targetError{"x"}}, ReasonForbidden, Policy},
		{"sent on to nowhere", errRedirect, ReasonBadApp, Permanent},
		{"sent on in the clear", errDowngrade, ReasonBadApp, Permanent},
		{"sent on without end", errHops, ReasonPeerClosed, Transient},
		{"ended while live", refused("onStatus", "NetStream.Unpublish.Success", ""), ReasonPeerClosed, Transient},
		{"end of file", io.EOF, ReasonPeerClosed, Transient},
		{"said close", rtmp.ErrClosedByPeer, ReasonPeerClosed, Transient},
		{"reset", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ECONNRESET)}, ReasonPeerClosed, Transient},
		{"interface down", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ENETDOWN)}, ReasonPeerClosed, Transient},
		{"TLS alert while live", &net.OpError{Op: "remote error", Err: tls.AlertError(80)}, ReasonPeerClosed, Transient},
		{"server goes down", refused("connect", "NetConnection.Connect.AppShutdown", ""), ReasonPeerClosed, Transient},
		{"server is overloaded", refused("connect", "NetConnection.Connect.InsufficientBW", ""), ReasonPeerClosed, Transient},
		{"stalled", errStalled, ReasonPeerStalled, Transient},
		{"codec", flv.ErrUnsupported, ReasonCodec, FromSource},
		{"source gone", &sourceError{stream.ErrClosed}, ReasonSourceLost, FromSource},
		{"source gone in a network error's dress", &sourceError{io.EOF}, ReasonSourceLost, FromSource},
		{"terminated", errTerminated, ReasonTerminated, Operator},
		{"shutdown", ErrStopping, ReasonShutdown, Operator},
		{"login", fmt.Errorf("%w: wrong name or password", rtmp.ErrLoginRefused), ReasonAuth, Permanent},
		{"anything else", errors.New("?"), ReasonInternal, Permanent},
		{"hung up at connect", &rtmp.AnswerError{Command: "connect", Err: io.EOF}, ReasonPeerClosed, Transient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, words := explain(tt.err)
			if got != tt.want || got.Class() != tt.class {
				t.Errorf("explain = %q (%s), want %q (%s)", got, got.Class(), tt.want, tt.class)
			}
			if !strings.HasSuffix(words, ".") && !strings.HasSuffix(words, "?") {
				t.Errorf("words %q are no sentence", words)
			}
		})
	}
}

// What nginx-rtmp gives to an application that it does not have, and others to a key.
func TestExplainHangingUp(t *testing.T) {
	for command, want := range map[string]string{"connect": "part of the address after the host", "createStream": "closed the connection.", "publish": "stream key"} {
		if _, words := explain(fmt.Errorf("dial: %w", &rtmp.AnswerError{Command: command, Err: syscall.ECONNRESET})); !strings.Contains(words, want) {
			t.Errorf("of a connection closed at %s it is said: %s", command, words)
		}
	}
}

// The description of a server can contain the stream key; none of our texts may.
func TestExplainKeepsSecrets(t *testing.T) {
	err := fmt.Errorf("publish: %w", &rtmp.StatusError{Command: "publish", Code: "NetStream.Publish.BadName", Description: "CANARY is taken"})
	if _, words := explain(err); strings.Contains(words+printable(err), "CANARY") {
		t.Errorf("%q or %q repeats the peer's description", words, printable(err))
	}
	for _, code := range []string{"CANARY", "NetStream.CANARY_1", "Net" + strings.Repeat("CANARY", 20)} {
		err := &rtmp.StatusError{Command: "publish", Code: code}
		if _, words := explain(err); strings.Contains(words+printable(err), "CANARY") {
			t.Errorf("%q or %q repeats what is no code", words, printable(err))
		}
	}
}

func TestMachine(t *testing.T) {
	for from := range State(len(stateNames)) {
		for to := range State(len(stateNames)) {
			m := newMachine()
			m.status = pushStatus{State: from, Reason: ReasonDNS, NextTry: time.Now()}
			before, err := m.to(pushStatus{State: to, Reason: ReasonTimeout, Detail: "x"})
			allowed := slices.Contains(next[from], to)
			if allowed != (err == nil) || before.State != from {
				t.Errorf("%s to %s = %v, from %s, allowed %v", from, to, err, before.State, allowed)
			}
			got := m.now()
			if err != nil && (!errors.Is(err, errTransition) || got.State != from || got.Reason != ReasonDNS) {
				t.Errorf("%s to %s: status %+v after %v", from, to, got, err)
			}
			if err == nil && (got.State != to || got.Reason != ReasonTimeout || got.Since.IsZero() || !got.NextTry.IsZero()) {
				t.Errorf("%s to %s: status %+v", from, to, got)
			}
		}
		if final := from == Ended || from == Failed; from.final() != final || !final && !slices.Contains(next[from], Failed) {
			t.Errorf("from %s one gets to %v", from, next[from])
		}
	}
}
