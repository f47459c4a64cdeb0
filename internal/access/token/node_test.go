package token

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Keys and tokens that we have not made: Node's, in the forms that application servers use.
func TestTokensOfNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	out, err := exec.CommandContext(t.Context(), node, "testdata/sign.mjs").Output()
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		JWKS   json.RawMessage
		Tokens map[string]string
	}
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.KeysFile = filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(cfg.KeysFile, made.JWKS, 0o644); err != nil {
		t.Fatal(err)
	}
	b := newTokens(t, cfg)
	for alg, text := range made.Tokens {
		p, err := b.Verify(t.Context(), shows(text))
		if err != nil || p.KeyID != "node-"+alg || p.Subject != "ann" {
			t.Errorf("%s: %+v, %v", alg, p, err)
		}
	}
	if len(made.Tokens) != 3 {
		t.Errorf("%d tokens", len(made.Tokens))
	}
}
