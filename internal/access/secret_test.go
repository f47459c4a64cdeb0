package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretIsHidden(t *testing.T) {
	const canary = "canary-of-a-secret"
	value := struct{ Key Secret }{canary}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "key", value.Key, "all", value)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "key", value.Key, "all", value)
	fmt.Fprintf(&b, "%v %+v %#v %s %q", value, value, value, value.Key, value.Key)
	if err := json.NewEncoder(&b).Encode(value); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), canary) {
		t.Errorf("shown: %s", b.String())
	}
}
