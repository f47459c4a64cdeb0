package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// The buckets. Their names in NATS begin with the name of the cluster.
const (
	metaBucket   = "meta"    // what all nodes must agree on, and what they leave to each other; file
	nodesBucket  = "nodes"   // the leases; see storage
	namesBucket  = "streams" // which process has which stream; see storage
	pushesBucket = "pushes"  // records of pushes; file
	sharedBucket = "shared"  // what people have made, see Shared; file
)

var buckets = []string{metaBucket, nodesBucket, namesBucket, pushesBucket, sharedBucket}

// askTimeout is how long NATS may take for one read or write of a record.
const askTimeout = 2 * time.Second

// markerFor is how long it is kept that a key was removed. Only a watch reads that.
const markerFor = time.Minute

// natsStore is a state.Keeper over JetStream's key-value buckets. Get is answered by the leader of the bucket: a follower may not know of the
// last writes. All methods fail with transponder.ErrIsolated if NATS does not answer.
type natsStore struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	cluster  string
	replicas int

	listing listing // of the pushes

	made    [5]time.Time // when each bucket was made, as NATS says; owned by prepare
	missing atomic.Bool  // NATS has said that a bucket is not there
}

// prefix is that of the subjects of a bucket.
func (s *natsStore) prefix(bucket string) string { return "$KV." + s.bucket(bucket) + "." }

func (s *natsStore) bucket(bucket string) string { return s.cluster + "_" + bucket }

func (s *natsStore) stream(bucket string) string { return "KV_" + s.bucket(bucket) }

// Get asks the leader.
func (s *natsStore) Get(ctx context.Context, bucket, key string) (state.Record, error) {
	r, deleted, err := s.newest(ctx, bucket, key)
	switch {
	case err != nil:
		return state.Record{}, err
	case deleted:
		return state.Record{}, state.ErrNotFound
	}
	return r, nil
}

// newest returns the last that was written to a key, which may be that it was removed. ErrNotFound: nothing was.
func (s *natsStore) newest(ctx context.Context, bucket, key string) (r state.Record, deleted bool, err error) {
	request, err := json.Marshal(map[string]string{"last_by_subj": s.prefix(bucket) + key})
	if err != nil {
		return state.Record{}, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := s.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+s.stream(bucket), request)
	if err != nil {
		return state.Record{}, false, unreachable(err)
	}
	var got struct {
		Error   *jetstream.APIError
		Message struct {
			Seq  uint64
			Hdrs []byte
			Data []byte
			Time time.Time
		}
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return state.Record{}, false, fmt.Errorf("read the answer of NATS: %w", err)
	}
	switch {
	case got.Error != nil && got.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return state.Record{}, false, state.ErrNotFound
	case got.Error != nil:
		return state.Record{}, false, s.refused(bucket, got.Error)
	}
	m := got.Message
	header, err := nats.DecodeHeadersMsg(m.Hdrs)
	if len(m.Hdrs) > 0 && err != nil {
		return state.Record{}, false, fmt.Errorf("read the answer of NATS: %w", err)
	}
	return state.Record{Key: key, Value: m.Data, Revision: m.Seq, Changed: m.Time}, removed(header), nil
}

// removed reports whether a message with that header removed its key.
func removed(h nats.Header) bool {
	return h.Get("KV-Operation") != "" || h.Get("Nats-Marker-Reason") != ""
}

// List returns the records whose keys begin with prefix. It may miss what was written in the last moments: any replica of the bucket answers.
func (s *natsStore) List(ctx context.Context, bucket, prefix string) ([]state.Record, error) {
	if strings.Contains(prefix, ".") {
		if all, err := s.few(ctx, bucket, prefix); !errors.Is(err, errMany) {
			return all, err
		}
	}
	if bucket == pushesBucket && prefix == "" {
		return s.listing.all(ctx, s)
	}
	return s.list(ctx, bucket, prefix)
}

// list is List for any number of records.
func (s *natsStore) list(ctx context.Context, bucket, prefix string) ([]state.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	kv, err := s.js.KeyValue(ctx, s.bucket(bucket))
	if err != nil {
		return nil, s.refused(bucket, err)
	}
	watch, err := kv.Watch(ctx, filter(prefix), jetstream.IgnoreDeletes()) // it ends with ctx; its Stop would wait 5 s for a NATS that does not answer
	if err != nil {
		return nil, s.refused(bucket, err)
	}
	var all []state.Record
	for {
		select {
		case e, ok := <-watch.Updates():
			switch {
			case !ok:
				return nil, fmt.Errorf("list %s: %w", bucket, transponder.ErrIsolated)
			case e == nil: // that was all
				return sorted(all), nil
			case strings.HasPrefix(e.Key(), prefix):
				all = append(all, state.Record{Key: e.Key(), Value: e.Value(), Revision: e.Revision(), Changed: e.Created()})
			}
		case <-ctx.Done():
			return nil, unreachable(ctx.Err())
		}
	}
}

func sorted(all []state.Record) []state.Record {
	slices.SortFunc(all, func(a, b state.Record) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// errMany means that one request does not read all.
var errMany = errors.New("too many records for one request")

// few is List with one request, which costs a tenth of a watch (ADR 31 of NATS: "multi_last"). It fails with errMany if there are over 1024
// records.
func (s *natsStore) few(ctx context.Context, bucket, prefix string) ([]state.Record, error) {
	found, more, err := s.direct(ctx, bucket, map[string]any{"multi_last": []string{s.prefix(bucket) + filter(prefix)}})
	if err != nil {
		return nil, err
	}
	if more {
		return nil, errMany
	}
	var all []state.Record
	for _, c := range found {
		if !c.removed && strings.HasPrefix(c.Key, prefix) {
			all = append(all, c.Record)
		}
	}
	return sorted(all), nil
}

// change is what was written last to a key.
type change struct {
	state.Record
	removed bool // the key was removed
}

// direct reads many messages with one request, which any replica of the bucket answers. more: there are others. It fails with errMany if NATS does
// not answer such a request.
func (s *natsStore) direct(ctx context.Context, bucket string, request map[string]any) (found []change, more bool, err error) {
	text, err := json.Marshal(request)
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	inbox := s.conn.NewInbox()
	answers, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, false, unreachable(err)
	}
	defer answers.Unsubscribe()
	if err := s.conn.PublishRequest("$JS.API.DIRECT.GET."+s.stream(bucket), inbox, text); err != nil {
		return nil, false, unreachable(err)
	}
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return nil, false, s.refused(bucket, err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			r, err := s.parseDirect(bucket, m)
			if err != nil {
				return nil, false, err
			}
			found = append(found, change{r, removed(m.Header)})
		case "204": // that was all
			return found, m.Header.Get("Nats-Num-Pending") != "0", nil
		case "404":
			return found, len(found) > 0, nil // or a record could not be read
		case "413":
			return nil, false, errMany
		default:
			return nil, false, unreachable(fmt.Errorf("NATS answers %s %s", status, m.Header.Get("Description")))
		}
	}
}

// parseDirect reads a record from an answer to a direct get.
func (s *natsStore) parseDirect(bucket string, m *nats.Msg) (r state.Record, err error) {
	r.Key, r.Value = strings.TrimPrefix(m.Header.Get("Nats-Subject"), s.prefix(bucket)), m.Data
	if r.Revision, err = strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64); err == nil {
		r.Changed, err = time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	}
	if err != nil {
		return state.Record{}, fmt.Errorf("read the answer of NATS: %w", err)
	}
	return r, nil
}

// listNow is List as the leader of the bucket knows it, for what a list decides. It costs one request, and one for each record.
func (s *natsStore) listNow(ctx context.Context, bucket, prefix string) ([]state.Record, error) {
	request, err := json.Marshal(map[string]string{"subjects_filter": s.prefix(bucket) + filter(prefix)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := s.conn.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+s.stream(bucket), request)
	if err != nil {
		return nil, s.refused(bucket, err)
	}
	var got struct {
		Error *jetstream.APIError
		State struct{ Subjects map[string]uint64 }
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return nil, fmt.Errorf("read the answer of NATS: %w", err)
	}
	if got.Error != nil {
		return nil, s.refused(bucket, got.Error)
	}
	var all []state.Record
	for subject := range got.State.Subjects {
		key := strings.TrimPrefix(subject, s.prefix(bucket))
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		r, err := s.Get(ctx, bucket, key)
		switch {
		case err == nil:
			all = append(all, r)
		case !errors.Is(err, state.ErrNotFound):
			return nil, err
		}
	}
	return sorted(all), nil
}

// listTimeout is how long a list may take: 100 000 records of 1 kB.
const listTimeout = 30 * time.Second

// filter returns a subject that matches all keys with a prefix, and perhaps more.
func filter(prefix string) string { return prefix[:strings.LastIndexByte(prefix, '.')+1] + ">" }

// Put writes a record with a condition on its revision.
func (s *natsStore) Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (uint64, error) {
	return s.write(ctx, nats.Header{}, bucket, key, value, expect)
}

// put is Put of a record that NATS removes after a time, in whole seconds.
func (s *natsStore) put(ctx context.Context, bucket, key string, value []byte, expect uint64, ttl time.Duration) (uint64, error) {
	return s.write(ctx, nats.Header{"Nats-TTL": {ttl.String()}}, bucket, key, value, expect)
}

// write writes a record. If NATS does not say whether it has taken the write, write reads what is there.
func (s *natsStore) write(ctx context.Context, h nats.Header, bucket, key string, value []byte, expect uint64) (uint64, error) {
	revision, err := s.publish(ctx, h, bucket, key, value, expect)
	switch {
	case err == nil:
		return revision, nil
	case errors.Is(err, state.ErrConflict) && expect == 0:
		// What is there may be only the note that the key was removed.
		last, deleted, err := s.newest(ctx, bucket, key)
		switch {
		case errors.Is(err, state.ErrNotFound): // the note has just gone
			return s.publish(ctx, h, bucket, key, value, 0)
		case err != nil:
			return 0, err
		case !deleted && bytes.Equal(last.Value, value): // an earlier try
			return last.Revision, nil
		case !deleted:
			return 0, state.ErrConflict
		}
		return s.publish(ctx, h, bucket, key, value, last.Revision)
	case errors.Is(err, transponder.ErrIsolated) && ctx.Err() == nil && s.conn.IsConnected():
		if last, deleted, readErr := s.newest(ctx, bucket, key); readErr == nil && !deleted && bytes.Equal(last.Value, value) {
			return last.Revision, nil
		}
	}
	return 0, err
}

// Delete removes a record.
func (s *natsStore) Delete(ctx context.Context, bucket, key string, expect uint64) error {
	_, err := s.remove(ctx, bucket, key, expect)
	return err
}

// remove is Delete. It returns the revision of the note that the key was removed.
func (s *natsStore) remove(ctx context.Context, bucket, key string, expect uint64) (revision uint64, err error) {
	h := nats.Header{"KV-Operation": {"DEL"}, "Nats-TTL": {markerFor.String()}}
	return s.publish(ctx, h, bucket, key, nil, expect)
}

// publish is one write. The message stands for the key until the next.
func (s *natsStore) publish(ctx context.Context, h nats.Header, bucket, key string, value []byte, expect uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	m := &nats.Msg{Subject: s.prefix(bucket) + key, Header: nats.Header{}, Data: value}
	for name, values := range h {
		m.Header[name] = values
	}
	if expect != state.Any {
		m.Header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(expect, 10))
	}
	ack, err := s.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, s.refused(bucket, err)
	}
	return ack.Sequence, nil
}

// refused says what an error of JetStream means.
func (s *natsStore) refused(bucket string, err error) error {
	e, ok := errors.AsType[*jetstream.APIError](err)
	switch {
	case ok && (e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		return state.ErrConflict
	case ok && e.ErrorCode == jetstream.JSErrCodeStreamNotFound, errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, jetstream.ErrBucketNotFound):
		s.missing.Store(true)
		return fmt.Errorf("%w: NATS has no bucket %s now", transponder.ErrIsolated, s.bucket(bucket))
	case ok:
		return fmt.Errorf("%w: %w", transponder.ErrIsolated, err) // a full disk, for example
	}
	return unreachable(err)
}

// unreachable says that NATS does not answer.
func unreachable(err error) error { return fmt.Errorf("%w: %w", transponder.ErrIsolated, err) }

// prepare makes the buckets that are missing. It reports whether one is another than at the last call: then what it held is gone. One
// goroutine calls it.
func (s *natsStore) prepare(ctx context.Context) (anew bool, err error) {
	for i, bucket := range buckets {
		ctx, cancel := context.WithTimeout(ctx, makeTimeout)
		made, err := s.ensure(ctx, bucket)
		cancel()
		if err != nil {
			return false, fmt.Errorf("bucket %s: %w", s.bucket(bucket), err)
		}
		anew = anew || !s.made[i].IsZero() && !made.Equal(s.made[i])
		s.made[i] = made
	}
	s.missing.Store(false)
	return anew, nil
}

// makeTimeout is how long NATS may take to make a bucket. A cluster of NATS elects a leader for each.
const makeTimeout = 10 * time.Second

// ensure returns when a bucket was made, and makes it if there is none. It never changes one that is there.
func (s *natsStore) ensure(ctx context.Context, bucket string) (time.Time, error) {
	stream, err := s.js.Stream(ctx, s.stream(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = s.make(ctx, bucket)
	}
	if err != nil {
		return time.Time{}, unreachable(err)
	}
	info := stream.CachedInfo()
	if bucket == nodesBucket && !info.Config.AllowMsgTTL {
		return time.Time{}, fmt.Errorf("it was made without TTLs: remove it with nats stream rm %s, or choose another cluster_name", s.stream(bucket))
	}
	return info.Created, nil
}

// copies returns how many NATS servers are to keep a bucket.
func (s *natsStore) copies() int {
	switch {
	case s.replicas != 0:
		return s.replicas
	case s.conn.ConnectedClusterName() != "":
		return 3
	}
	return 1
}

// storage returns where NATS keeps a bucket of so many copies. A single NATS server keeps in memory what the nodes know themselves: they write it again
// after its restart. Several servers keep everything in files. A server that restarts with an empty memory has no full vote until it has caught up, so
// if the leader is lost before that, a bucket in memory has no leader until all servers are back, and no node can renew its lease.
func storage(bucket string, copies int) jetstream.StorageType {
	if copies == 1 && (bucket == nodesBucket || bucket == namesBucket) {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

func (s *natsStore) make(ctx context.Context, bucket string) (jetstream.Stream, error) {
	copies := s.copies()
	stream, err := s.js.CreateStream(ctx, jetstream.StreamConfig{ // as nats.go makes key-value buckets, so that its tools can read them
		Name: s.stream(bucket), Subjects: []string{s.prefix(bucket) + ">"}, Description: "Transponder: " + bucket,
		Storage: storage(bucket, copies), Replicas: copies, MaxMsgsPerSubject: 1, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: maxRecord, MaxConsumers: -1,
		AllowRollup: true, DenyDelete: true, AllowDirect: true, Discard: jetstream.DiscardNew,
		AllowMsgTTL: true, SubjectDeleteMarkerTTL: markerFor, Duplicates: 2 * time.Minute,
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was faster
		return s.js.Stream(ctx, s.stream(bucket))
	}
	return stream, err
}

// maxRecord is the size of the largest record in bytes.
const maxRecord = 64 << 10
