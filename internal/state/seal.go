package state

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const keySize = 32 // AES-256

// keyFileWide are the permissions that a key file of the settings must not have: the credentials of systemd and mounted secrets can be readable
// by a group.
const keyFileWide os.FileMode = 0o027

// ErrSealed means that a secret cannot be opened: its key is not among the keys, or it was changed, or it lay in another place.
var ErrSealed = errors.New("the secret cannot be opened")

// Keys seals secrets with AES-256-GCM. A sealed secret has the form k<id of the key>.<base64 of nonce and ciphertext>. The place of the
// secret is authenticated with it. Any goroutine may use Keys.
type Keys struct {
	ids   []string // the first seals
	boxes map[string]cipher.AEAD
}

// newKeys makes Keys of raw keys. The first seals, all open.
func newKeys(raw ...[]byte) (*Keys, error) {
	k := &Keys{boxes: map[string]cipher.AEAD{}}
	for _, key := range raw {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		box, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(key)
		id := hex.EncodeToString(sum[:4])
		k.ids, k.boxes[id] = append(k.ids, id), box
	}
	return k, nil
}

// Seal encrypts a secret for one place.
func (k *Keys) Seal(place string, secret []byte) (string, error) {
	id := k.ids[0]
	return "k" + id + "." + base64.RawURLEncoding.EncodeToString(k.boxes[id].Seal(nil, nil, secret, []byte(place))), nil
}

// Open decrypts what Seal has returned for the same place. The error wraps ErrSealed.
func (k *Keys) Open(place, sealed string) ([]byte, error) {
	id, text, ok := strings.Cut(strings.TrimPrefix(sealed, "k"), ".")
	if !ok || !strings.HasPrefix(sealed, "k") {
		return nil, fmt.Errorf("%w: it has not the form of a sealed secret", ErrSealed)
	}
	box, ok := k.boxes[id]
	if !ok {
		return nil, fmt.Errorf("%w: the key %.16q that sealed it is not in the file of keys (secrets_key_file)", ErrSealed, id)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: it has not the form of a sealed secret", ErrSealed)
	}
	secret, err := box.Open(nil, nil, raw, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed, or belongs to another place", ErrSealed)
	}
	return secret, nil
}

// Current reports whether a sealed secret has the key that seals now. If it has not, sealing it anew lets the old key be forgotten.
func (k *Keys) Current(sealed string) bool { return strings.HasPrefix(sealed, "k"+k.ids[0]+".") }

// openKeys reads the keys, or makes the first one.
func (s *Store) openKeys() (*Keys, error) {
	own := s.cfg.KeyFile == ""
	path, wide := s.cfg.KeyFile, keyFileWide
	if own {
		if s.cfg.Dir == "" {
			return newKeys(newKey())
		}
		path, wide = filepath.Join(s.cfg.Dir, "key"), 0o077
	}
	keys, err := readKeys(path, wide)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR) && s.lost():
		return s.makeKey(path, own)
	case err != nil && own && errors.Is(err, errBadKey):
		if s.lost() { // nothing can be set aside
			s.unread = true
			return newKeys(newKey())
		}
		aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
		s.log.Error("the key of the secrets is damaged: it was set aside, and a new one was made; secrets that it has sealed must be given anew",
			"file", aside, "err", err)
		if err := os.Rename(path, aside); err != nil {
			return nil, fmt.Errorf("set a damaged key aside: %w", err)
		}
		return s.makeKey(path, own)
	case err != nil:
		return nil, fmt.Errorf("secrets_key_file: %w", err)
	}
	return keys, nil
}

// makeKey makes a key file. If there is no room for the file in the folder of the state, the key is forgotten with the process.
func (s *Store) makeKey(path string, own bool) (*Keys, error) {
	key := newKey()
	if err := writeKey(path, key); err != nil {
		if !own {
			return nil, fmt.Errorf("secrets_key_file: make a key: %w", err)
		}
		s.failing.Store(true)
		s.looseKey = key
		s.log.Error("the key of the secrets cannot be written: until it can, secrets that are stored cannot be read after a restart", "err", err)
	}
	return newKeys(key)
}

func newKey() []byte {
	key := make([]byte, keySize)
	rand.Read(key) // never fails
	return key
}

// errBadKey means that a file of keys has a line that is no key.
var errBadKey = errors.New("each line must be 32 random bytes in base64")

// readKeys reads a file of keys: one key a line, in base64. Empty lines and lines that begin with # do not count.
func readKeys(path string, wide os.FileMode) (*Keys, error) {
	if err := checkMode(path, wide); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func parseKeys(content []byte) (*Keys, error) {
	var raw [][]byte
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("line %d: %w", n, errBadKey)
		}
		raw = append(raw, key)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errBadKey, err)
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("it holds no key: %w", errBadKey)
	}
	return newKeys(raw...)
}

// writeKey makes a file that appears whole or not at all.
func writeKey(path string, key []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".key-*") // with the mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = fmt.Fprintln(file, base64.StdEncoding.EncodeToString(key))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// probePlace is the place of a sealed word that tells whether the keys are those that have sealed the secrets.
const probePlace = "state/probe"

// probe warns if the keys are not those that have sealed the secrets of the database.
func (s *Store) probe(ctx context.Context) error {
	var sealed string
	err := s.writer.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'probe'").Scan(&sealed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err == nil {
		if _, err := s.keys.Open(probePlace, sealed); err == nil && s.keys.Current(sealed) {
			return nil
		} else if err != nil {
			s.log.Error("the secrets of the state were sealed with another key: give them anew, or bring the key back", "err", err)
		}
	}
	if sealed, err = s.keys.Seal(probePlace, []byte("probe")); err != nil {
		return err
	}
	err = s.write(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', ?)", sealed)
		return err
	})
	if _, full := errors.AsType[*WriteError](err); full {
		return nil // note has logged it
	}
	return err
}
