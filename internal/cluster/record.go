package cluster

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

const (
	// formVersion is written into records that have none.
	formVersion = 1
	// secretMember is the member of a record that holds its sealed secrets.
	secretMember = "secret"
)

// codec turns records into what is stored, and back.
type codec struct{ sealer state.Sealer }

// known are the members of a record that this version has.
var known = membersOf(reflect.TypeFor[transponder.Record]())

func membersOf(t reflect.Type) map[string]bool {
	known := map[string]bool{secretMember: true}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "-" {
			known[name] = true
		}
	}
	return known
}

// secretPlace names the place of a sealed secret, so that it opens in no other record.
func secretPlace(id string) string { return "push/" + id + "/" + secretMember }

// head is what tells whether a record is of interest. It is read in a tenth of the time that a whole record takes.
type head struct {
	ID     string `json:"id"`
	Stream string `json:"stream"`
	Over   bool   `json:"over"`
	Owner
}

// headOf is the head of a record with a revision.
type headOf struct {
	head
	err      error // the record cannot be read
	revision uint64
	changed  time.Time
}

func readHead(stored state.Record) headOf {
	h := headOf{revision: stored.Revision, changed: stored.Changed}
	h.err = json.Unmarshal(stored.Value, &h.head)
	return h
}

// encode writes a record with the members that this version does not know.
func (c codec) encode(r transponder.Record) ([]byte, error) {
	r.Version = max(r.Version, formVersion)
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	for name, member := range r.More {
		all[name] = member
	}
	if r.Secret != nil {
		sealed, err := c.sealer.Seal(secretPlace(r.ID), r.Secret)
		if err != nil {
			return nil, err
		}
		if all[secretMember], err = json.Marshal(sealed); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all)
}

// decode reads a record. If its secrets cannot be opened, Secret is nil, and encode writes them back as they were.
func (c codec) decode(stored state.Record) (transponder.Record, error) {
	var r transponder.Record
	var whole struct {
		*transponder.Record
		Secret string `json:"secret"`
	}
	whole.Record = &r
	usual := json.NewDecoder(bytes.NewReader(stored.Value))
	usual.DisallowUnknownFields()
	if usual.Decode(&whole) == nil { // this version knows all members, which is so but after an upgrade of others
		if r.Secret, _ = c.sealer.Open(secretPlace(r.ID), whole.Secret); r.Secret != nil || whole.Secret == "" {
			r.Changed = stored.Changed
			return r, nil
		}
	}
	r = transponder.Record{}
	if err := json.Unmarshal(stored.Value, &r); err != nil {
		return r, err
	}
	if err := json.Unmarshal(stored.Value, &r.More); err != nil {
		return r, err
	}
	r.Changed = stored.Changed
	var sealed string
	if json.Unmarshal(r.More[secretMember], &sealed) == nil {
		r.Secret, _ = c.sealer.Open(secretPlace(r.ID), sealed) // the keys warn at the start
	}
	for name := range r.More {
		if known[name] && (name != secretMember || r.Secret != nil) {
			delete(r.More, name)
		}
	}
	return r, nil
}
