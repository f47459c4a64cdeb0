package cluster

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Identity is which server this is, and which of the processes of the server.
type Identity struct {
	Owner
	Before string // incarnation of the process that had the folder before this one; "": none
}

// identityFile keeps the name of the node, so that the records of a machine whose host name changes stay the records of one node.
const identityFile = "node"

// kept is what the file holds.
type kept struct {
	Node        string `json:"id"`
	Incarnation string `json:"inc"`
}

// Identify makes the identity of a process that has just started. node is the name that the settings give the node; if it is empty, the node
// has the name in the folder, or else the name of the host. The caller has locked the folder. An empty folder keeps nothing.
//
// A file that cannot be read or written costs only the knowledge of the process before: the server must start.
func Identify(dir, node string) (Identity, error) {
	var before kept
	path := filepath.Join(dir, identityFile)
	if dir != "" {
		if text, err := os.ReadFile(path); err == nil {
			_ = json.Unmarshal(text, &before) // a damaged file is no file
		}
	}
	id := Identity{Owner: Owner{Node: node, Incarnation: newIncarnation()}}
	switch {
	case node != "":
	case isWord(before.Node):
		id.Node = before.Node
	default:
		id.Node = hostWord()
	}
	if before.Node == id.Node {
		id.Before = before.Incarnation
	}
	if dir == "" {
		return id, nil
	}
	text, err := json.Marshal(kept{id.Node, id.Incarnation})
	if err == nil {
		err = writeWhole(path, append(text, '\n'))
	}
	if err != nil {
		return id, fmt.Errorf("write the name of the node: %w", err)
	}
	return id, nil
}

// digits are those of all ids: base 32 without padding, in lower case.
var digits = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newIncarnation returns 13 random digits.
func newIncarnation() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return digits.EncodeToString(b[:])
}

// maxWord is the most letters of the name of a node.
const maxWord = 32

// hostWord makes a name for a node of the name of its host.
func hostWord() string {
	host, err := os.Hostname()
	if err != nil {
		return "node"
	}
	return wordOf(host)
}

// wordOf returns the name of a host as the name of a node. A name that is too long ends in a sum of all of it: those of the machines of a cloud often
// have the same beginning.
func wordOf(host string) string {
	word := strings.Map(func(r rune) rune {
		if isWord(string(r)) {
			return r
		}
		return '-'
	}, host)
	if len(word) > maxWord {
		sum := sha256.Sum256([]byte(host))
		end := "-" + digits.EncodeToString(sum[:5])
		word = word[:maxWord-len(end)] + end
	}
	if word == "" {
		return "node"
	}
	return word
}

// writeWhole writes a file that appears whole or not at all.
func writeWhole(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".node-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
