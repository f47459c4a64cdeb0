package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Config says where the state lies.
type Config struct {
	Dir     string // "": nothing outlives the process
	KeyFile string // of the keys that seal secrets; "": the file key in Dir

	// Lock is the lock of Dir that another process has handed on, which Store.Lock has returned there; nil: none. A Store closes it.
	Lock *os.File
}

// Store is a Keeper and a Logger. Any goroutine may call its methods.
type Store struct {
	cfg    Config
	log    *slog.Logger
	dir    string  // see Dir
	folder *folder // nil: nothing outlives the process. Guarded by mu once Open has returned
	keys   *Keys

	writer *sql.DB // one connection
	reader *sql.DB // the writer, if the records are in memory

	commits
	writes, failures atomic.Int64
	times            times       // of transactions
	failing          atomic.Bool // the last write failed, or the records are in memory though they should not be
	inMemory         atomic.Bool

	setAside atomic.Bool

	unread   bool      // the folder has records that could not be read; set by Open
	looseKey []byte    // a key that could not be written to the folder; owned by whoever leads the writes, once Open has returned
	retried  time.Time // when that or the folder was tried again; owned by whoever leads

	damagedMu sync.Mutex
	damaged   map[string]struct{} // guarded by damagedMu; bucket and key of records that were found damaged
}

// Stats are figures of a Store.
type Stats struct {
	Durable  bool  // the records outlive the process, see Store.Durable
	Failing  bool  // the last write failed, or the folder cannot be used
	Writes   int64 // records and lines that were written or removed
	Failures int64 // writes that failed
	Damaged  int64 // records that cannot be used because they are not what was written
	Commits  Times // of transactions: writes that come together share one
	Bytes    int64 // size of the database and of the files beside it
	SetAside bool  // the database was damaged when it was opened, and lies beside the new one
}

// Open opens the store. The caller closes it.
//
// A damaged database is set aside as state.db.damaged-TIME, and the log says so. If the folder cannot be made or the database cannot be
// opened for want of room, the records are kept in memory, with those that can be read in the folder. The log says so, and Stats.Failing is
// true until a later write has found the folder usable, and has put all records there. The errors are for a person to
// correct: a folder that another server uses, files that other users may read, a file of a newer version, a file that this user may not read,
// a key file that cannot be used.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (_ *Store, err error) {
	// A server that is told to stop meanwhile stops a little later, so that a half-opened database is never an error.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
	defer cancel()
	s := &Store{cfg: cfg, log: log, damaged: map[string]struct{}{}}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if cfg.Dir != "" {
		if s.folder, err = openFolder(cfg.Dir, cfg.Lock); err != nil && !s.excuse(err) {
			return nil, fmt.Errorf("state_dir=%s: %w", cfg.Dir, err)
		}
	}
	if s.folder != nil {
		if !s.folder.readOnly {
			s.dir = s.folder.path
		}
		if err = s.openFile(ctx); err != nil && !s.excuse(err) {
			return nil, fmt.Errorf("state_dir=%s: %w", cfg.Dir, err)
		}
	}
	if s.writer == nil {
		if err = s.openMemory(ctx); err != nil {
			return nil, fmt.Errorf("open the state in memory: %w", err)
		}
		if err = s.borrow(ctx); err != nil {
			s.unread = true
			s.log.Error("the records in the state folder cannot be read: the server runs without them, and leaves them as they are", "dir", cfg.Dir, "err", err)
		}
	}
	if s.keys, err = s.openKeys(); err != nil {
		return nil, err
	}
	if err = s.probe(ctx); err != nil {
		return nil, err
	}
	return s, s.scan(ctx)
}

// Memory returns a store whose records are lost when it is closed.
func Memory(ctx context.Context, log *slog.Logger) (*Store, error) { return Open(ctx, Config{}, log) }

// excuse reports whether the server can do without the folder for now. Then it logs the error.
func (s *Store) excuse(err error) bool {
	if !unusable(err) {
		return false
	}
	s.closeFile()
	s.failing.Store(true)
	s.log.Error("the state folder cannot be used: nothing that changes now outlives this server", "dir", s.cfg.Dir, "err", Advise(err, s.cfg.Dir))
	return true
}

// openTimeout is how long a database may take to be checked. One of 100 MB takes half a second.
const openTimeout = 30 * time.Second

const (
	databaseName = "state.db"
	// schema is the version of the tables. A database with a newer one is refused.
	schema = 1
)

const tables = `
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
	bucket TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
	revision INTEGER NOT NULL,
	changed INTEGER NOT NULL, -- milliseconds since 1970
	sum INTEGER NOT NULL,     -- CRC-32C of bucket, key, value and revision
	PRIMARY KEY (bucket, key)
) STRICT;
CREATE TABLE IF NOT EXISTS line (
	log TEXT NOT NULL, id INTEGER NOT NULL, at INTEGER NOT NULL, value TEXT NOT NULL,
	PRIMARY KEY (log, id) -- with rowids: without them a line of 1 kB would take a page of 4 kB
) STRICT;
`

// openFile opens the database in the folder. It sets a damaged one aside.
func (s *Store) openFile(ctx context.Context) error {
	path := filepath.Join(s.folder.path, databaseName)
	var err error = errEmptied
	if !s.emptied(path) {
		err = s.openDatabase(ctx, path)
	}
	if !isDamage(err) {
		return err
	}
	s.closeFile()
	s.setAside.Store(true)
	aside, moveErr := setAside(path, time.Now())
	if moveErr != nil {
		return errors.Join(err, moveErr)
	}
	if err := s.openDatabase(ctx, path); err != nil {
		return err
	}
	records, lines, salvageErr := s.salvage(ctx, aside)
	s.log.Error("the state was damaged: it was set aside, and what could be read of it was taken over",
		"file", aside, "records", records, "lines", lines, "err", errors.Join(err, salvageErr))
	return nil
}

func (s *Store) openDatabase(ctx context.Context, path string) (err error) {
	if err := prepareFile(path); err != nil {
		return err
	}
	if s.writer, err = sql.Open("sqlite", dataSource(path, "_txlock=immediate")); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if s.reader, err = sql.Open("sqlite", dataSource(path, "_pragma=query_only(1)")); err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(2)
	if err := check(ctx, s.writer); err != nil {
		return err
	}
	return s.prepare(ctx)
}

func (s *Store) openMemory(ctx context.Context) (err error) {
	if s.writer, err = sql.Open("sqlite", "file::memory:?_txlock=immediate"); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1) // each connection has a database of its own
	s.reader = s.writer
	s.inMemory.Store(true)
	return s.prepare(ctx)
}

// prepare makes the tables and reads the newest revision.
func (s *Store) prepare(ctx context.Context) error {
	version, err := readVersion(ctx, s.writer)
	if err != nil {
		return err
	}
	script := tables // which changes nothing in a database that has the tables
	if version < schema {
		script += fmt.Sprintf("PRAGMA user_version = %d;", schema)
	}
	if _, err := s.writer.ExecContext(ctx, script); err != nil {
		return err
	}
	var fromMeta, fromRecords uint64
	err = s.writer.QueryRowContext(ctx, "SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE name = 'revision'").Scan(&fromMeta)
	if err == nil {
		err = s.writer.QueryRowContext(ctx, "SELECT coalesce(max(revision), 0) FROM record").Scan(&fromRecords)
	}
	s.revision = max(fromMeta, fromRecords)
	return err
}

// dataSource names a database to the driver. FULL means that a commit returns when the disk has it. The log before writing is folded into
// the database when it has 256 pages (1 MiB), and its file is cut to that size.
func dataSource(path string, more ...string) string {
	query := append([]string{
		"_pragma=busy_timeout(2000)", "_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)", "_pragma=cache_size(-512)",
		"_pragma=wal_autocheckpoint(256)", "_pragma=journal_size_limit(1048576)", "_pragma=trusted_schema(OFF)", "_pragma=cell_size_check(ON)",
		"_pragma=temp_store(MEMORY)",
	}, more...)
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: strings.Join(query, "&")}).String()
}

// check fails if the structure of the database is damaged.
func check(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return &damage{verdict}
	}
	return nil
}

// errEmptied means that somebody has emptied the file.
var errEmptied = &damage{"the file is empty"}

// emptied reports whether a database was there, but is empty. SQLite takes an empty file for a new one. The key is made after the first database.
func (s *Store) emptied(path string) bool {
	info, err := os.Stat(path)
	_, noKey := os.Stat(filepath.Join(s.folder.path, "key"))
	return err == nil && info.Size() == 0 && noKey == nil
}

// damage is what the check of a database has found.
type damage struct{ verdict string }

func (d *damage) Error() string { return "the database is damaged: " + d.verdict }

// isDamage reports whether an error means that the content of a database cannot be used.
func isDamage(err error) bool {
	if _, ok := errors.AsType[*damage](err); ok {
		return true
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT:
		return true
	}
	return false
}

// Dir returns the folder for files that must outlive the process; "" if nothing can. It does not change.
func (s *Store) Dir() string { return s.dir }

// Lock returns a copy of the folder's lock, for a process that takes over. The folder stays locked until the Store and all copies are closed. It
// returns nil if there is no folder.
func (s *Store) Lock() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folder == nil {
		return nil, nil
	}
	return copyOf(s.folder.lock)
}

// Check fails as Open would, for a folder that another process still uses: it changes nothing. What only that process's end can show is not
// checked.
func Check(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if cfg.KeyFile != "" {
		if _, err := readKeys(cfg.KeyFile, keyFileWide); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("secrets_key_file: %w", err)
		}
	}
	if cfg.Dir == "" {
		return nil
	}
	path := filepath.Join(cfg.Dir, databaseName)
	for _, p := range []string{path, path + "-wal", path + "-shm"} {
		if err := checkMode(p, 0o077); err != nil {
			return err
		}
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil // Open makes it
	}
	db, err := sql.Open("sqlite", dataSource(path, "_pragma=query_only(1)"))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := readVersion(ctx, db); err != nil && !isDamage(err) && !unusable(err) { // Open finds a way around these
		return fmt.Errorf("state_dir=%s: %w", cfg.Dir, err)
	}
	return nil
}

// readVersion returns the version of the tables. It fails if they are of a newer version of the server.
func readVersion(ctx context.Context, db *sql.DB) (version int, err error) {
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	if version > schema {
		return 0, fmt.Errorf("%s was written by a newer version of the server (%d, this one knows %d): use that version, or move the file away",
			databaseName, version, schema)
	}
	return version, nil
}

// Sealer returns the sealer of secrets in the store's records.
func (s *Store) Sealer() *Keys { return s.keys }

// Stats returns the present figures.
func (s *Store) Stats() Stats {
	s.damagedMu.Lock()
	damaged := len(s.damaged)
	s.damagedMu.Unlock()
	return Stats{
		Durable: s.Durable(), Failing: s.failing.Load(),
		Writes: s.writes.Load(), Failures: s.failures.Load(), Damaged: int64(damaged), Commits: s.times.stats(), Bytes: s.size(), SetAside: s.setAside.Load(),
	}
}

// Durable reports whether what was written outlives the process. It does not if the records are in memory.
func (s *Store) Durable() bool { return s.cfg.Dir != "" && !s.inMemory.Load() }

// size returns the bytes that the database takes in the folder.
func (s *Store) size() (bytes int64) {
	if !s.Durable() {
		return 0
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(filepath.Join(s.cfg.Dir, databaseName) + suffix); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// Close closes the store. Writes that are under way end first.
func (s *Store) Close() error {
	s.commits.close()
	err := s.closeFile()
	s.folder.close()
	return err
}

func (s *Store) closeFile() error {
	var errs []error
	if s.reader != nil && s.reader != s.writer {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close()) // folds the log before writing into the database
	}
	s.reader, s.writer = nil, nil
	return errors.Join(errs...)
}

// salvage copies what can be read of a damaged database into this one.
func (s *Store) salvage(ctx context.Context, path string) (records, lines int, err error) {
	old, err := sql.Open("sqlite", dataSource(path, "_pragma=query_only(1)"))
	if err != nil {
		return 0, 0, err
	}
	defer old.Close()
	var errs []error
	// From both ends, since a damaged page in the middle ends a walk.
	for _, order := range []string{"", " DESC"} {
		n, err := copyRows(ctx, old, s.writer, "SELECT bucket, key, value, revision, changed, sum FROM record ORDER BY rowid"+order,
			"INSERT OR IGNORE INTO record (bucket, key, value, revision, changed, sum) VALUES (?, ?, ?, ?, ?, ?)", 6)
		records += n
		errs = append(errs, err)
		n, err = copyRows(ctx, old, s.writer, "SELECT log, id, at, value FROM line ORDER BY log"+order+", id"+order,
			"INSERT OR IGNORE INTO line (log, id, at, value) VALUES (?, ?, ?, ?)", 4)
		lines += n
		errs = append(errs, err)
	}
	n, err := copyRows(ctx, old, s.writer, "SELECT name, value FROM meta", "INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)", 2)
	if n > 0 || err != nil {
		errs = append(errs, err)
	}
	return records, lines, errors.Join(append(errs, s.prepare(ctx))...)
}

// copyRows copies rows until one cannot be read, in one transaction. It returns how many were new.
func copyRows(ctx context.Context, from, to *sql.DB, query, insert string, columns int) (copied int, err error) {
	tx, err := to.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	rows, err := from.QueryContext(ctx, query)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	values, places := make([]any, columns), make([]any, columns)
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			break
		}
		result, err := tx.ExecContext(ctx, insert, values...)
		if err != nil {
			continue // a value of a wrong type
		}
		n, _ := result.RowsAffected()
		copied += int(n)
	}
	return copied, errors.Join(rows.Err(), tx.Commit())
}

// setAside renames a database and the files beside it.
func setAside(path string, at time.Time) (aside string, err error) {
	aside = path + ".damaged-" + at.UTC().Format("20060102T150405.000")
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return aside, nil
}
