package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// retryEvery is how often a folder that could not be used is tried again, with the next write.
const retryEvery = 5 * time.Second

// borrow copies the records of a folder that cannot be written to into memory. SQLite needs to write beside a database to read it, so it reads
// a copy. That there is no database is no error.
func (s *Store) borrow(ctx context.Context) error {
	path := filepath.Join(s.cfg.Dir, databaseName)
	if s.cfg.Dir == "" {
		return nil
	}
	if info, err := os.Stat(path); errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || err == nil && info.Size() == 0 {
		return nil // or there was only room for its name
	}
	dir, err := os.MkdirTemp("", "transponder-state-") // with the mode 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, databaseName)
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(copied+suffix, path+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	db, err := sql.Open("sqlite", dataSource(copied, "_pragma=query_only(1)"))
	if err != nil {
		return err
	}
	_, err = readVersion(ctx, db)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	_, _, err = s.salvage(ctx, copied)
	return err
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// retry tries again what could not be written to the folder: a key, or all records. The caller leads.
func (s *Store) retry(ctx context.Context) {
	if s.looseKey == nil && !s.lost() || s.unread || time.Since(s.retried) < retryEvery {
		return
	}
	s.retried = time.Now()
	if !s.lost() {
		_ = s.keepKey()
		return
	}
	if err := s.settle(ctx); err != nil {
		s.log.Debug("the state folder cannot be used yet", "dir", s.cfg.Dir, "err", err)
		return
	}
	s.log.Info("the state folder can be used again: all records are written there", "dir", s.cfg.Dir)
}

// keepKey writes a key that could not be written before.
func (s *Store) keepKey() error {
	if s.looseKey == nil {
		return nil
	}
	err := writeKey(filepath.Join(s.cfg.Dir, "key"), s.looseKey)
	if err == nil {
		s.looseKey = nil
	}
	return err
}

// settle moves the records from memory to the folder. What the folder has, the memory has too: it was borrowed.
func (s *Store) settle(ctx context.Context) (err error) {
	file := &Store{cfg: s.cfg, log: s.log, folder: s.folder}
	if file.folder == nil {
		if file.folder, err = openFolder(s.cfg.Dir, nil); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil {
			_ = file.closeFile()
			if s.folder == nil {
				file.folder.close()
			}
		}
	}()
	path := filepath.Join(file.folder.path, databaseName)
	if info, err := os.Stat(path); err == nil && info.Size() == 0 { // with a key beside it, it would seem to have lost its records
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if err := s.keepKey(); err != nil { // first, since the records need it
		return err
	}
	if err := file.openFile(ctx); err != nil {
		return err
	}
	if err := replaceAll(ctx, s.writer, file.writer); err != nil {
		return err
	}
	memory := s.writer
	s.mu.Lock()
	s.writer, s.reader, s.folder = file.writer, file.reader, file.folder
	s.mu.Unlock()
	s.inMemory.Store(false)
	_ = memory.Close()
	return nil
}

// replaceAll makes the rows of a database those of another one, in one transaction.
func replaceAll(ctx context.Context, from, to *sql.DB) error {
	tx, err := to.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, table := range []struct {
		name, columns string
		n             int
	}{{"record", columns, 6}, {"line", "log, id, at, value", 4}, {"meta", "name, value", 2}} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table.name); err != nil {
			return err
		}
		places := "(?" + strings.Repeat(", ?", table.n-1) + ")"
		err := eachRow(ctx, from, "SELECT "+table.columns+" FROM "+table.name, table.n, func(values []any) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO "+table.name+" ("+table.columns+") VALUES "+places, values...)
			return err
		})
		if err != nil {
			return fmt.Errorf("write the table %s: %w", table.name, err)
		}
	}
	return tx.Commit()
}

// eachRow calls f with the values of each row of a query.
func eachRow(ctx context.Context, db *sql.DB, query string, n int, f func(values []any) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	values, places := make([]any, n), make([]any, n)
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		if err := f(values); err != nil {
			return err
		}
	}
	return rows.Err()
}
