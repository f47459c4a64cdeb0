package state

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"time"
)

// columns are those that scanRecord reads.
const columns = "bucket, key, value, revision, changed, sum"

// Get returns a record. It fails with ErrNotFound and ErrDamaged.
func (s *Store) Get(ctx context.Context, bucket, key string) (Record, error) {
	db, err := s.open()
	if err != nil {
		return Record{}, err
	}
	r, whole, err := scanRecord(db.QueryRowContext(ctx, "SELECT "+columns+" FROM record WHERE bucket = ? AND key = ?", bucket, key))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Record{}, ErrNotFound
	case err != nil:
		return Record{}, err
	case !whole:
		s.noteDamage(bucket, key)
		return Record{}, ErrDamaged
	}
	return r, nil
}

// List returns the records of a bucket whose keys begin with prefix, by key. It leaves out damaged records, which the log names.
func (s *Store) List(ctx context.Context, bucket, prefix string) ([]Record, error) {
	db, err := s.open()
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE bucket = ? AND key >= ? ORDER BY key", bucket, prefix)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Record
	for rows.Next() {
		r, whole, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(r.Key, prefix) {
			break
		}
		if !whole {
			s.noteDamage(bucket, r.Key)
			continue
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// Lines returns at most limit lines of a log before the line with the number before, newest first. 0 begins with the newest line.
func (s *Store) Lines(ctx context.Context, log string, before uint64, limit int) ([]Line, error) {
	db, err := s.open()
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT id, at, value FROM line WHERE log = ? AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?",
		log, int64(before), int64(before), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Line
	for rows.Next() {
		var l Line
		var at int64
		if err := rows.Scan(&l.ID, &at, &l.Value); err != nil {
			return nil, err
		}
		l.At = time.UnixMilli(at)
		found = append(found, l)
	}
	return found, rows.Err()
}

// scanRecord reads a row of columns. whole is false if the record is not what was written.
func scanRecord(row interface{ Scan(...any) error }) (r Record, whole bool, err error) {
	var bucket string
	var changed int64
	var sum uint32
	if err := row.Scan(&bucket, &r.Key, &r.Value, &r.Revision, &changed, &sum); err != nil {
		return Record{}, false, err
	}
	r.Changed = time.UnixMilli(changed)
	return r, sum == checksum(bucket, r.Key, r.Value, r.Revision), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is stored with each record, since the pages of SQLite have none.
func checksum(bucket, key string, value []byte, revision uint64) uint32 {
	b := make([]byte, 0, len(bucket)+len(key)+len(value)+10)
	b = append(append(append(append(append(b, bucket...), 0), key...), 0), value...)
	return crc32.Checksum(binary.BigEndian.AppendUint64(b, revision), castagnoli)
}

// scan looks for damaged records.
func (s *Store) scan(ctx context.Context) error {
	rows, err := s.reader.QueryContext(ctx, "SELECT "+columns+" FROM record")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var bucket string
		var r Record
		var changed int64
		var sum uint32
		if err := rows.Scan(&bucket, &r.Key, &r.Value, &r.Revision, &changed, &sum); err != nil {
			return err
		}
		if sum != checksum(bucket, r.Key, r.Value, r.Revision) {
			s.noteDamage(bucket, r.Key)
		}
	}
	return rows.Err()
}

// place names a record in Store.damaged.
func place(bucket, key string) string { return bucket + "\x00" + key }

// noteDamage counts and logs a damaged record, once.
func (s *Store) noteDamage(bucket, key string) {
	s.damagedMu.Lock()
	_, known := s.damaged[place(bucket, key)]
	s.damaged[place(bucket, key)] = struct{}{}
	s.damagedMu.Unlock()
	if !known {
		s.log.Error("a record of the state is damaged and is not used: write it anew", "bucket", bucket, "key", key)
	}
}

// mend forgets damage at the places of records that were written or removed.
func (s *Store) mend(places []string) {
	s.damagedMu.Lock()
	defer s.damagedMu.Unlock()
	for _, p := range places {
		delete(s.damaged, p)
	}
}
