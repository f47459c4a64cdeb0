package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// The algorithms of signatures that are taken. The type of a key decides which one it is for.
const (
	algES256 = "ES256"
	algEdDSA = "EdDSA"
	algRS256 = "RS256"
	algHS256 = "HS256"
)

// verifier is a key with which signatures are checked.
type verifier struct {
	id    string // kid; "": the key has none
	alg   string
	value any // *ecdsa.PublicKey, ed25519.PublicKey, *rsa.PublicKey, or []byte for HS256
}

// name is what the key is called in principals and revocations: the kid, or the first part of a hash of the key.
func (v verifier) name() string {
	if v.id != "" {
		return v.id
	}
	var text []byte
	switch key := v.value.(type) {
	case *ecdsa.PublicKey:
		text, _ = key.Bytes() // fails for points only that parse would have refused
	case ed25519.PublicKey:
		text = key
	case *rsa.PublicKey:
		text = key.N.Bytes()
	case []byte:
		return secretName
	}
	sum := sha256.Sum256(text)
	return "#" + base64.RawURLEncoding.EncodeToString(sum[:9])
}

// secretName is the name of the key token_secret, and of secrets without a kid.
const secretName = "token_secret"

const (
	maxKeys  = 100 // in one JWKS
	maxKeyID = 256 // bytes

	minRSA, maxRSA = 2048, 8192 // bits
)

// jwk is a key as RFC 7517 and 7518 write it.
type jwk struct {
	Type      string   `json:"kty"`
	ID        string   `json:"kid"`
	Use       string   `json:"use"`
	Ops       []string `json:"key_ops"`
	Algorithm string   `json:"alg"`
	Curve     string   `json:"crv"`
	X         string   `json:"x"`
	Y         string   `json:"y"`
	N         string   `json:"n"`
	E         string   `json:"e"`
	K         string   `json:"k"`
	D         string   `json:"d"` // of a private key
}

// parseJWKS returns the keys of a JWKS, or of a single JWK, that can check signatures. Keys that cannot are left out; each is named in
// ignored with the reason. Secrets (kty oct) are taken only if secrets is set: whoever can read a secret can sign.
func parseJWKS(text []byte, secrets bool) (keys []verifier, ignored []error, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
		Type string            `json:"kty"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, nil, errors.New("it is not JSON in the form of a JWKS")
	}
	if set.Keys == nil && set.Type != "" {
		set.Keys = []json.RawMessage{text}
	}
	switch {
	case set.Keys == nil:
		return nil, nil, errors.New(`it has no member "keys"`)
	case len(set.Keys) > maxKeys:
		return nil, nil, fmt.Errorf("it has more than %d keys", maxKeys)
	}
	for i, text := range set.Keys {
		var k jwk
		var key verifier
		err := json.Unmarshal(text, &k)
		if err == nil {
			key, err = k.verifier(secrets)
		}
		if err != nil {
			ignored = append(ignored, fmt.Errorf("keys[%d]: %w", i, err))
			continue
		}
		keys = append(keys, key)
	}
	keys, doubled := withoutDoubles(keys)
	return keys, append(ignored, doubled...), nil
}

// withoutDoubles removes keys that have the same kid and are not the same: nothing says which one has signed a token.
func withoutDoubles(keys []verifier) (kept []verifier, ignored []error) {
	bad := map[string]bool{}
	for i, k := range keys {
		double := slices.IndexFunc(keys[:i], func(o verifier) bool { return k.id != "" && o.id == k.id })
		switch {
		case double < 0:
			kept = append(kept, k)
		case !sameKey(keys[double], k) && !bad[k.id]:
			bad[k.id] = true
			ignored = append(ignored, fmt.Errorf("several keys have the kid %q: none of them is used", short(k.id)))
		}
	}
	return slices.DeleteFunc(kept, func(k verifier) bool { return bad[k.id] }), ignored
}

func sameKey(a, b verifier) bool {
	if a.alg != b.alg {
		return false
	}
	switch key := a.value.(type) {
	case *ecdsa.PublicKey:
		return key.Equal(b.value.(*ecdsa.PublicKey))
	case ed25519.PublicKey:
		return key.Equal(b.value.(ed25519.PublicKey))
	case *rsa.PublicKey:
		return key.Equal(b.value.(*rsa.PublicKey))
	case []byte:
		return bytes.Equal(key, b.value.([]byte))
	}
	return false
}

// verifier returns the key that the JWK describes.
func (k jwk) verifier(secrets bool) (verifier, error) {
	v := verifier{id: k.ID}
	var err error
	switch {
	case len(k.ID) > maxKeyID:
		return v, fmt.Errorf("its kid is longer than %d bytes", maxKeyID)
	case k.Use != "" && k.Use != "sig", k.Ops != nil && !slices.Contains(k.Ops, "verify"):
		return v, errors.New("it is not for checking signatures")
	case k.D != "":
		return v, errors.New("it is a private key, which belongs to the signer alone: give the public key, and think of the private one as known to others")
	case k.Type == "EC" && k.Curve == "P-256":
		v.alg = algES256
		v.value, err = k.ecdsa()
	case k.Type == "OKP" && k.Curve == "Ed25519":
		v.alg = algEdDSA
		var x []byte
		x, err = decode("x", k.X, ed25519.PublicKeySize)
		v.value = ed25519.PublicKey(x)
	case k.Type == "RSA":
		v.alg = algRS256
		v.value, err = k.rsa()
	case k.Type == "oct" && !secrets:
		return v, errors.New("it is a secret (oct), which is taken from token_keys_file and token_secret only")
	case k.Type == "oct":
		v.alg = algHS256
		var secret []byte
		if secret, err = decode("k", k.K, 0); err == nil && len(secret) < minSecret {
			err = fmt.Errorf("it has less than %d bytes", minSecret)
		}
		v.value = secret
	default:
		return v, fmt.Errorf("keys of the type %q with the curve %q are not taken: there are RSA, EC with P-256, OKP with Ed25519, and oct", short(k.Type), short(k.Curve))
	}
	if err == nil && k.Algorithm != "" && k.Algorithm != v.alg {
		err = fmt.Errorf("its algorithm is %q, and the only one that is taken for such a key is %s", short(k.Algorithm), v.alg)
	}
	return v, err
}

func (k jwk) ecdsa() (*ecdsa.PublicKey, error) {
	const size = 32
	x, errX := decode("x", k.X, size)
	y, errY := decode("y", k.Y, size)
	if err := errors.Join(errX, errY); err != nil {
		return nil, err
	}
	point := append(append([]byte{4}, x...), y...) // SEC 1, 2.3.3: not compressed
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errors.New("x and y are no point of the curve")
	}
	return key, nil
}

func (k jwk) rsa() (*rsa.PublicKey, error) {
	n, errN := decode("n", k.N, 0)
	e, errE := decode("e", k.E, 0)
	if err := errors.Join(errN, errE); err != nil {
		return nil, err
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	switch bits := modulus.BitLen(); {
	case bits < minRSA, bits > maxRSA:
		return nil, fmt.Errorf("it has %d bits; taken are %d to %d", bits, minRSA, maxRSA)
	case !exponent.IsInt64() || exponent.Int64() < 3 || exponent.Int64() >= 1<<31 || exponent.Bit(0) == 0:
		return nil, errors.New("its exponent is not usable")
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

// decode decodes a member in base64url. size is the number of bytes that it must have, 0 for any number.
func decode(name, text string, size int) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is not base64url", name)
	case len(b) == 0, size > 0 && len(b) != size:
		return nil, fmt.Errorf("%s has %d bytes", name, len(b))
	}
	return b, nil
}

func short(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
