package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	maxKey   = 1 << 10 // bytes of a bucket's name and of a key
	maxValue = 1 << 20 // bytes of a record or a line

	maxWaiting = 4096 // writes that may wait; more are refused
	maxBatch   = 512  // writes that share a transaction

	// commitTimeout is how long a transaction may take. A disk that needs longer has failed.
	commitTimeout = 20 * time.Second
)

// errBusy means that too many writes wait for the disk.
var errBusy = errors.New("too many writes wait for the disk")

// Put writes a record. The value is a JSON object. See Keeper. The errors are ErrConflict and *WriteError.
func (s *Store) Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (revision uint64, err error) {
	switch {
	case bucket == "" || len(bucket) > maxKey || len(key) > maxKey || strings.ContainsRune(bucket+key, 0):
		return 0, fmt.Errorf("bucket %.40q and key %.40q: a name is missing, too long, or holds a zero byte", bucket, key)
	case len(value) > maxValue:
		return 0, fmt.Errorf("record %s/%s: %d bytes are more than %d", bucket, key, len(value), maxValue)
	case !json.Valid(value):
		return 0, fmt.Errorf("record %s/%s is not JSON", bucket, key)
	}
	err = s.write(ctx, func(ctx context.Context, tx *transaction) error {
		now, err := tx.revisionOf(ctx, bucket, key)
		if err != nil {
			return err
		}
		if expect != Any && expect != now {
			return ErrConflict
		}
		tx.revision++
		revision = tx.revision
		tx.mended = append(tx.mended, place(bucket, key))
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO record (bucket, key, value, revision, changed, sum) VALUES (?, ?, ?, ?, ?, ?)",
			bucket, key, string(value), int64(revision), time.Now().UnixMilli(), checksum(bucket, key, value, revision))
		return err
	})
	if err != nil {
		return 0, err
	}
	return revision, nil
}

// Delete removes a record. See Keeper. The errors are ErrNotFound, ErrConflict and *WriteError.
func (s *Store) Delete(ctx context.Context, bucket, key string, expect uint64) error {
	return s.write(ctx, func(ctx context.Context, tx *transaction) error {
		now, err := tx.revisionOf(ctx, bucket, key)
		switch {
		case err != nil:
			return err
		case now == 0 && expect != Any:
			return ErrNotFound
		case expect != Any && expect != now:
			return ErrConflict
		}
		tx.mended = append(tx.mended, place(bucket, key))
		tx.revision++ // so that a record that is made anew never has an old revision
		_, err = tx.ExecContext(ctx, "DELETE FROM record WHERE bucket = ? AND key = ?", bucket, key)
		return err
	})
}

// Append adds lines to a log, and forgets all but the newest keep lines. The error is a *WriteError.
func (s *Store) Append(ctx context.Context, log string, keep int, lines ...[]byte) error {
	if keep < 1 {
		return fmt.Errorf("log %s: %d lines are to be kept, at least 1 is needed", log, keep)
	}
	for _, l := range lines {
		if len(l) > maxValue || !json.Valid(l) {
			return fmt.Errorf("log %s: a line is not JSON, or is longer than %d bytes", log, maxValue)
		}
	}
	return s.write(ctx, func(ctx context.Context, tx *transaction) error {
		var last int64
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM line WHERE log = ?", log).Scan(&last); err != nil {
			return err
		}
		at := time.Now().UnixMilli()
		for _, l := range lines {
			last++
			if _, err := tx.ExecContext(ctx, "INSERT INTO line (log, id, at, value) VALUES (?, ?, ?, ?)", log, last, at, string(l)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM line WHERE log = ? AND id <= ?", log, last-int64(keep))
		return err
	})
}

// transaction is a transaction that several writes share.
type transaction struct {
	*sql.Tx
	revision uint64   // the newest
	mended   []string // places of records that were written or removed, so that they are not damaged any more
}

// revisionOf returns the revision of a record, 0 if there is none or a damaged one.
func (tx *transaction) revisionOf(ctx context.Context, bucket, key string) (uint64, error) {
	r, whole, err := scanRecord(tx.QueryRowContext(ctx, "SELECT "+columns+" FROM record WHERE bucket = ? AND key = ?", bucket, key))
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && !whole:
		return 0, nil
	}
	return r.Revision, err
}

// write is one write that waits for a transaction. do returns ErrConflict and ErrNotFound only before it has changed anything: these end
// this write alone. Any other error ends all writes of the transaction.
type write struct {
	do  func(ctx context.Context, tx *transaction) error
	err error

	done chan struct{} // closed when err is known
	lead chan struct{} // gets a value when this write is to commit for all that wait
}

// commits gathers writes. One of the callers leads: it commits what waits, then hands the lead to the first of those who came meanwhile.
type commits struct {
	mu       sync.Mutex
	waiting  []*write // guarded by mu
	led      bool     // guarded by mu; somebody leads, or was told to
	closed   bool     // guarded by mu
	idle     *sync.Cond
	revision uint64 // owned by whoever leads
}

// write does a write, together with others that wait. If ctx ends before the write has begun, nothing is written.
func (s *Store) write(ctx context.Context, do func(context.Context, *transaction) error) error {
	w := &write{do: do, done: make(chan struct{}), lead: make(chan struct{}, 1)}
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return ErrClosed
	case len(s.waiting) >= maxWaiting:
		s.mu.Unlock()
		s.failures.Add(1)
		return &WriteError{errBusy}
	}
	s.waiting = append(s.waiting, w)
	if !s.led {
		s.led = true
		w.lead <- struct{}{}
	}
	s.mu.Unlock()

	select {
	case <-w.lead:
		s.commitWaiting(context.WithoutCancel(ctx))
		return w.err
	case <-w.done:
		return w.err
	case <-ctx.Done():
		if s.withdraw(w) {
			return context.Cause(ctx)
		}
		select { // it is too late
		case <-w.lead:
			s.commitWaiting(context.WithoutCancel(ctx))
		case <-w.done:
		}
		return w.err
	}
}

// withdraw takes a write back, unless it is being written or has to lead.
func (c *commits) withdraw(w *write) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.waiting {
		if other == w && len(w.lead) == 0 {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// commitWaiting commits the writes that wait, and hands on the lead. The caller's write is the first of them.
func (s *Store) commitWaiting(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	s.mu.Lock()
	n := min(len(s.waiting), maxBatch)
	batch := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	s.mu.Unlock()

	s.retry(ctx)
	begun := time.Now()
	err := s.commit(ctx, batch)
	s.times.add(time.Since(begun))
	s.note(err, len(batch))
	for _, w := range batch {
		if err != nil {
			w.err = &WriteError{err}
		}
		close(w.done)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) > 0 {
		s.waiting[0].lead <- struct{}{}
		return
	}
	s.led = false
	if s.idle != nil {
		s.idle.Broadcast()
	}
}

// commit does the writes in one transaction.
func (s *Store) commit(ctx context.Context, batch []*write) error {
	sqlTx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer sqlTx.Rollback()
	tx := &transaction{Tx: sqlTx, revision: s.revision}
	for _, w := range batch {
		switch err := w.do(ctx, tx); {
		case errors.Is(err, ErrConflict), errors.Is(err, ErrNotFound):
			w.err = err
		case err != nil:
			return err
		}
	}
	if tx.revision != s.revision {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta (name, value) VALUES ('revision', ?)", fmt.Sprint(tx.revision))
		if err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.revision = tx.revision
	s.mend(tx.mended)
	return nil
}

// note counts writes, and logs when they begin to fail and when they succeed again.
func (s *Store) note(err error, n int) {
	if err != nil {
		s.failures.Add(int64(n))
		if !s.failing.Swap(true) {
			s.log.Error("the state cannot be written: what changes now is lost", "dir", s.cfg.Dir, "err", err)
		}
		return
	}
	s.writes.Add(int64(n))
	if s.lost() {
		return // the folder cannot be used: that the memory takes a write is no success
	}
	if s.looseKey == nil && s.failing.Swap(false) {
		s.log.Info("the state can be written again")
	}
}

// lost reports whether the records are in memory though the settings name a folder.
func (s *Store) lost() bool { return s.cfg.Dir != "" && s.inMemory.Load() }

// open returns the database to read from.
func (s *Store) open() (*sql.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	return s.reader, nil
}

// close refuses further writes, and waits for those under way.
func (c *commits) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.idle == nil {
		c.idle = sync.NewCond(&c.mu)
	}
	for c.led {
		c.idle.Wait()
	}
}
