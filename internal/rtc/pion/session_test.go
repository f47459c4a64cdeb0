package pion

import (
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default is not valid: %v", err)
	}
	bad := DefaultConfig()
	bad.TCPPort, bad.KeepAlive = -1, 0
	for _, want := range []string{"media TCP port -1", "keep-alive"} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}
