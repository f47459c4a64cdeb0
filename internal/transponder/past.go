package transponder

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"transponder/internal/media"
	"transponder/internal/state"
)

const (
	// overLog is the log of pushes that are over, repeatsLog that of those that are repeats, eventsLog that of events.
	overLog    = "pushes_over"
	repeatsLog = "pushes_over_repeats"
	eventsLog  = "push_events"

	// atOnce is how many pushes that are over are read from the log at a time.
	atOnce = 500

	// logTimeout is how long writing to a log may take. What takes longer is shown all the same, and is lost with the process.
	logTimeout = 2 * time.Second
)

// MarshalText writes the name of the state.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name of a state. That of a newer version is Awaiting.
func (s *State) UnmarshalText(text []byte) error {
	*s = stateByName(string(text))
	return nil
}

// keptInfo is the form in which a push that is over is kept.
type keptInfo struct {
	Version int `json:"v"`
	Info
	Audio  keptAudio `json:"audio,omitzero"`
	Secret string    `json:"secret"` // sealed keptSecrets
}

// keptSecrets are the parts of an Info that are kept sealed.
type keptSecrets struct {
	URL        string   `json:"url"`
	StreamName string   `json:"streamName"`
	Backups    []string `json:"backups,omitempty"`
	Addresses  []string `json:"addresses,omitempty"`
}

func overPlace(id string) string { return "push_over/" + id }

// encodeInfo makes a line of the log of pushes that are over.
func (r *Registry) encodeInfo(i Info) ([]byte, error) {
	secret := keptSecrets{URL: i.URL, StreamName: i.StreamName, Backups: i.Options.BackupURLs}
	addresses := make([]AddressInfo, len(i.Addresses))
	for n, a := range i.Addresses {
		secret.Addresses = append(secret.Addresses, a.URL)
		a.URL = ""
		addresses[n] = a
	}
	i.URL, i.StreamName, i.Options.BackupURLs, i.Addresses = "", "", nil, addresses
	text, err := json.Marshal(secret)
	if err != nil {
		return nil, err
	}
	kept := keptInfo{Version: 1, Info: i, Audio: keepAudio(i.Options.Audio)}
	if kept.Secret, err = r.parts.Sealer.Seal(overPlace(i.ID), text); err != nil {
		return nil, err
	}
	return json.Marshal(kept)
}

// decodeInfo reads a line. What cannot be opened is left empty.
func (r *Registry) decodeInfo(line []byte) (Info, error) {
	var kept keptInfo
	if err := json.Unmarshal(line, &kept); err != nil {
		return Info{}, fmt.Errorf("push that is over: %w", err)
	}
	i := kept.Info
	i.Options.Audio = kept.Audio.format()
	var secret keptSecrets
	text, err := r.parts.Sealer.Open(overPlace(i.ID), kept.Secret)
	if err != nil || json.Unmarshal(text, &secret) != nil {
		return i, nil
	}
	i.URL, i.StreamName, i.Options.BackupURLs = secret.URL, secret.StreamName, secret.Backups
	for n := range i.Addresses {
		if n < len(secret.Addresses) {
			i.Addresses[n].URL = secret.Addresses[n]
		}
	}
	return i, nil
}

func keepAudio(a media.AudioFormat) keptAudio {
	if a == (media.AudioFormat{}) {
		return keptAudio{}
	}
	return keptAudio{keptCodecs[a.Codec], a.RateBPS, a.SampleRate, a.Channels}
}

func (k keptAudio) format() media.AudioFormat {
	if k == (keptAudio{}) {
		return media.AudioFormat{}
	}
	return media.AudioFormat{Codec: keptCodec(k.Codec), RateBPS: k.RateBPS, SampleRate: k.Rate, Channels: k.Channels}
}

// keepOver writes a push that is over to the log. The store logs what it cannot write.
func (r *Registry) keepOver(ctx context.Context, i Info, repeat bool) {
	if r.parts.Log == nil {
		return
	}
	line, err := r.encodeInfo(i)
	if err != nil {
		r.log.Error("push that is over cannot be kept", "push", i.ID, "err", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	if repeat { // the others of the cluster need not know more of its kind
		_ = r.parts.Log.Append(ctx, repeatsLog, repeatsSize, line)
		return
	}
	_ = r.parts.Log.Append(ctx, overLog, historySize, line)
	if r.parts.OnPast != nil {
		r.parts.OnPast(i.ID, line)
	}
}

// ReadPast reads a push that is over, as a server of the cluster has written it.
func (r *Registry) ReadPast(line []byte) (Info, error) { return r.decodeInfo(line) }

// PastID returns the id of a push that is over, as it was written; "" if it cannot be read.
func PastID(line []byte) string {
	var kept struct{ ID string }
	_ = json.Unmarshal(line, &kept)
	return kept.ID
}

// WrittenPast returns the pushes that are over as this server has written them, without repeats, newest first.
func (r *Registry) WrittenPast(ctx context.Context) ([]state.Line, error) {
	if r.parts.Log == nil {
		return nil, nil
	}
	return r.parts.Log.Lines(ctx, overLog, 0, historySize)
}

// loadPast reads the events and the newest of the pushes that are over of the processes before, and begins to read the older ones.
func (r *Registry) loadPast(ctx context.Context) error {
	if r.parts.Log == nil {
		return nil
	}
	oldest, err := r.loadSome(ctx, overLog, 0)
	if err != nil {
		return err
	}
	r.mu.Lock()
	if !r.stopping {
		r.wg.Go(func() { r.loadOlder(ctx, oldest) })
	}
	r.mu.Unlock()
	return r.journal.load(ctx)
}

// loadOlder reads what loadPast leaves. Thousands of lines would keep pushes waiting that are to go on.
func (r *Registry) loadOlder(ctx context.Context, oldest uint64) {
	var err error
	for n := atOnce; oldest > 0 && n < historySize && err == nil && ctx.Err() == nil; n += atOnce {
		oldest, err = r.loadSome(ctx, overLog, oldest)
	}
	for n, before := 0, uint64(0); n < repeatsSize && err == nil && ctx.Err() == nil; n += atOnce {
		if before, err = r.loadSome(ctx, repeatsLog, before); before == 0 {
			break
		}
	}
	if err != nil && ctx.Err() == nil {
		r.log.Error("the history lacks older pushes", "err", err)
	}
}

// loadSome reads lines of a log of pushes that are over, before the line with a number; 0: the newest. It returns the number of the oldest, 0 if there
// are no more.
func (r *Registry) loadSome(ctx context.Context, log string, before uint64) (oldest uint64, err error) {
	lines, err := r.parts.Log.Lines(ctx, log, before, atOnce)
	if err != nil {
		return 0, fmt.Errorf("read the pushes that are over: %w", err)
	}
	for _, l := range lines {
		i, err := r.decodeInfo(l.Value)
		if err != nil {
			r.log.Error("a push that is over cannot be read", "err", err)
			continue
		}
		r.mu.Lock()
		r.history.add(&i, log == repeatsLog)
		r.mu.Unlock()
	}
	if len(lines) < atOnce {
		return 0, nil
	}
	return lines[len(lines)-1].ID, nil
}
