package token

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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

// The program in the document makes a token that is taken.
func TestDocumentedSigner(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	doc, err := os.ReadFile("../../../docs/tokens.md")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```js\n(.*?)```").FindSubmatch(doc)
	if program == nil {
		t.Fatal("there is no program")
	}
	cmd := exec.CommandContext(t.Context(), node, "--input-type=module", "--eval", string(program[1]))
	cmd.Env = append(os.Environ(), "TOKEN_SECRET="+testSecret)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Secret = testSecret
	p, err := newTokens(t, cfg).Verify(t.Context(), shows(strings.TrimSpace(string(out))))
	if err != nil || p.Subject != "user-17" || p.KeyID != secretName || len(p.Grants) != 1 {
		t.Errorf("%s: %+v, %v", out, p, err)
	}
}
