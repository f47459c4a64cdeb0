package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

// A signal that comes before the server runs, while it reads the settings or builds its parts, still ends it, in order and without
// an error.
func TestStoppedWhileStarting(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	args := []string{"--set", "tls_dir=" + t.TempDir(), "--set", "state_dir=" + t.TempDir(), "--set", "ice_tcp_transport=true"}
	for _, key := range []string{"http.port", "https.port", "ws.port", "wss.port", "rtmp.port", "media_port_from"} {
		args = append(args, "--set", key+"=0")
	}
	var out, log bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, nil, &out, &log) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ends with %v", err)
		}
		if !strings.Contains(log.String(), "stopping") {
			t.Errorf("it says nothing of the stop:\n%s", &log)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the signal was lost: the server runs")
	}
}
