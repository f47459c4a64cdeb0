package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"transponder/internal/access"
	"transponder/internal/state"
)

// memory is a state.Keeper and a state.Sealer that forgets all at its end.
type memory struct {
	mu      sync.Mutex
	records map[string]state.Record // guarded by mu
	full    bool                    // guarded by mu; writes fail
}

func newMemory() *memory { return &memory{records: map[string]state.Record{}} }

func (m *memory) Get(_ context.Context, bucket, key string) (state.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[bucket+"/"+key]
	if !ok {
		return r, state.ErrNotFound
	}
	return r, nil
}

func (m *memory) List(_ context.Context, bucket, prefix string) ([]state.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []state.Record
	for _, name := range slices.Sorted(maps.Keys(m.records)) {
		if strings.HasPrefix(name, bucket+"/"+prefix) {
			list = append(list, m.records[name])
		}
	}
	return list, nil
}

var errDisk = errors.New("the disk is full")

func (m *memory) Put(_ context.Context, bucket, key string, value []byte, expect uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return 0, errDisk
	}
	old, ok := m.records[bucket+"/"+key]
	if expect != state.Any && (expect != old.Revision || expect == 0 && ok) {
		return 0, state.ErrConflict
	}
	m.records[bucket+"/"+key] = state.Record{Key: key, Value: value, Revision: old.Revision + 1, Changed: time.Now()}
	return old.Revision + 1, nil
}

func (m *memory) Delete(_ context.Context, bucket, key string, _ uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errDisk
	}
	delete(m.records, bucket+"/"+key)
	return nil
}

func (m *memory) fill(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

// text returns all that is kept.
func (m *memory) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for name, r := range m.records {
		fmt.Fprintf(&b, "%s %s\n", name, r.Value)
	}
	return b.String()
}

func (m *memory) Seal(context string, secret []byte) (string, error) {
	return context + ":" + base64.StdEncoding.EncodeToString(secret), nil
}

func (m *memory) Open(context, sealed string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, context+":")
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return base64.StdEncoding.DecodeString(text)
}

// bench is Tokens with what belongs to it.
type bench struct {
	*Tokens
	memory *memory
	leases *access.Leases
}

// newTokens makes Tokens that know these keys as if from a file.
func newTokens(t testing.TB, cfg Config, keys ...verifier) *bench {
	t.Helper()
	return newTokensOn(t, newMemory(), cfg, keys...)
}

func newTokensOn(t testing.TB, m *memory, cfg Config, keys ...verifier) *bench {
	t.Helper()
	leases := access.NewLeases()
	tokens, err := New(t.Context(), cfg, Parts{Keeper: m, Sealer: m, Leases: leases}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) > 0 {
		tokens.ring.set(&tokens.ring.file, keys)
	}
	return &bench{tokens, m, leases}
}

// signingKey is a pair of keys with which tests sign.
type signingKey struct {
	verifier
	private crypto.PrivateKey
	method  jwt.SigningMethod
}

const testSecret = "a secret of at least thirty-two bytes"

// The keys of all tests; a key of RSA takes long to make.
var signingKeys = sync.OnceValue(func() map[string]signingKey {
	ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, err2 := ed25519.GenerateKey(rand.Reader)
	rs, err3 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err)
	}
	return map[string]signingKey{
		algES256: {verifier{"ec", algES256, &ec.PublicKey}, ec, jwt.SigningMethodES256},
		algEdDSA: {verifier{"ed", algEdDSA, ed.Public().(ed25519.PublicKey)}, ed, jwt.SigningMethodEdDSA},
		algRS256: {verifier{"rs", algRS256, &rs.PublicKey}, rs, jwt.SigningMethodRS256},
		algHS256: {verifier{"", algHS256, []byte(testSecret)}, []byte(testSecret), jwt.SigningMethodHS256},
	}
})

// content is a token that allows ann to publish cam-*, changed as a test wants it.
func content(change ...func(c, own jwt.MapClaims)) jwt.MapClaims {
	now := time.Now().Unix()
	own := jwt.MapClaims{"v": 1, "app": "acme", "grants": []any{
		jwt.MapClaims{"actions": []string{"publish"}, "streams": []string{"cam-*"}},
	}}
	c := jwt.MapClaims{"iss": "studio", "aud": "transponder", "sub": "ann", "jti": "one", "iat": now, "exp": now + 600, "transponder": own}
	for _, f := range change {
		f(c, own)
	}
	return c
}

// set changes a claim; nil removes it.
func set(name string, value any) func(c, own jwt.MapClaims) {
	return func(c, own jwt.MapClaims) {
		to := c
		if rest, ok := strings.CutPrefix(name, "transponder."); ok {
			to, name = own, rest
		}
		if value == nil {
			delete(to, name)
		} else {
			to[name] = value
		}
	}
}

func (k signingKey) sign(t testing.TB, c jwt.MapClaims, header ...any) string {
	t.Helper()
	token := jwt.NewWithClaims(k.method, c)
	if k.id != "" {
		token.Header["kid"] = k.id
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == nil {
			delete(token.Header, header[i].(string))
			continue
		}
		token.Header[header[i].(string)] = header[i+1]
	}
	text, err := token.SignedString(k.private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// jwk returns the public key as a JWK has it.
func (k signingKey) jwk() map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	m := map[string]any{"kid": k.id}
	switch key := k.value.(type) {
	case *ecdsa.PublicKey:
		point, _ := key.Bytes()
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(key)
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
	case []byte:
		m["kty"], m["k"] = "oct", b64(key)
	}
	return m
}

func jwks(keys ...map[string]any) []byte {
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return text
}

func shows(text string) access.Credential { return access.Credential{Door: "rest", Token: text} }

// searchFiles fails if a file in a folder contains a secret.
func searchFiles(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files++
		for _, s := range secrets {
			if strings.Contains(string(text), s) {
				t.Errorf("%s contains a secret in clear", path)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}
