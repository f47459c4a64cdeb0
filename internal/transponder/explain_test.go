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
		{"no stream made", refused("createStream", "NetConnection.Call.Failed", ""), ReasonKeyRejected, Permanent},
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
	for from := range State(len(stateNames)) {
		for to := range State(len(stateNames)) {
			m := newMachine()
			m.status = Status{State: from, Reason: ReasonDNS, NextTry: time.Now()}
			before, err := m.to(Status{State: to, Reason: ReasonTimeout, Detail: "x"})
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
