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
	"strings"
	"syscall"
	"testing"

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
		{"no stream made", refused("createStream", "NetConnection.Call.Failed", ""), ReasonKeyRejected, Permanent},
		{"ended while live", refused("onStatus", "NetStream.Unpublish.Success", ""), ReasonPeerClosed, Transient},
		{"end of file", io.EOF, ReasonPeerClosed, Transient},
		{"said close", rtmp.ErrClosedByPeer, ReasonPeerClosed, Transient},
		{"reset", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ECONNRESET)}, ReasonPeerClosed, Transient},
		{"stalled", errStalled, ReasonPeerStalled, Transient},
		{"codec", flv.ErrUnsupported, ReasonCodec, FromSource},
		{"source gone", &sourceError{stream.ErrClosed}, ReasonSourceLost, FromSource},
		{"source gone in a network error's dress", &sourceError{io.EOF}, ReasonSourceLost, FromSource},
		{"terminated", errTerminated, ReasonTerminated, Operator},
		{"shutdown", ErrStopping, ReasonShutdown, Operator},
		{"anything else", errors.New("?"), ReasonInternal, Permanent},
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

// A peer's description can hold the stream key; no text of ours may.
func TestExplainKeepsSecrets(t *testing.T) {
	err := fmt.Errorf("publish: %w", &rtmp.StatusError{Command: "publish", Code: "NetStream.Publish.BadName", Description: "CANARY is taken"})
	if _, words := explain(err); strings.Contains(words+printable(err), "CANARY") {
		t.Errorf("%q or %q repeats the peer's description", words, printable(err))
	}
}

func TestMachine(t *testing.T) {
	all := []State{Starting, Connecting, Live, Draining, Ended, Failed}
	for _, from := range all {
		for _, to := range all {
			m := newMachine()
			m.status.State = from
			err := m.to(to, ReasonTimeout, "x")
			allowed := false
			for _, s := range next[from] {
				allowed = allowed || s == to
			}
			if allowed != (err == nil) {
				t.Errorf("%s to %s = %v, allowed %v", from, to, err, allowed)
			}
			got := m.now()
			if err != nil && (!errors.Is(err, errTransition) || got.State != from) {
				t.Errorf("%s to %s: state %s after %v", from, to, got.State, err)
			}
			if err == nil && (got.State != to || got.Reason != ReasonTimeout || got.Since.IsZero()) {
				t.Errorf("%s to %s: status %+v", from, to, got)
			}
		}
	}
	for _, final := range []State{Ended, Failed} {
		if len(next[final]) != 0 {
			t.Errorf("%s is not final", final)
		}
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := newID()
		if len(id) != 26 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuv") != "" || seen[id] {
			t.Fatalf("id %q: want 26 new digits of base 32", id)
		}
		seen[id] = true
	}
}
