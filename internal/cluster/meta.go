package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"transponder/internal/state"
)

var (
	// ErrKey means that the other servers of the cluster have another key, so that this one could not read their records.
	ErrKey = errors.New("the other servers of the cluster have another key: give all of them the same secrets_key_file")
	// ErrSchema means that the records of the cluster are those of a newer version.
	ErrSchema = errors.New("the cluster needs a newer version of the server")
)

const (
	// schema is the form of what servers keep in NATS.
	schema     = 1
	schemaKey  = "schema"
	probePlace = "cluster/probe"
)

// schemaRecord says which servers may join, and lets them try their key.
type schemaRecord struct {
	Version int    `json:"v"`
	Least   int    `json:"min"`   // least schema of a server that may join
	Probe   string `json:"probe"` // a word that is sealed with the key of the cluster
}

// admit fails if this server must not join the cluster: with ErrKey, ErrSchema, or because it cannot be known. The first server says what
// holds for all.
func admit(ctx context.Context, store leaseStore, sealer state.Sealer) error {
	for range 3 {
		r, err := store.Get(ctx, metaBucket, schemaKey)
		switch {
		case err == nil:
			var s schemaRecord
			if err := json.Unmarshal(r.Value, &s); err != nil {
				return fmt.Errorf("record of the cluster's schema: %w", err)
			}
			if s.Least > schema {
				return ErrSchema
			}
			if _, err := sealer.Open(probePlace, s.Probe); err != nil {
				return ErrKey
			}
			return nil
		case !errors.Is(err, state.ErrNotFound):
			return err
		}
		probe, err := sealer.Seal(probePlace, []byte("probe"))
		if err != nil {
			return err
		}
		value, err := json.Marshal(schemaRecord{Version: schema, Least: schema, Probe: probe})
		if err != nil {
			return err
		}
		if _, err := store.Put(ctx, metaBucket, schemaKey, value, 0); err != nil && !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
	return state.ErrConflict
}
