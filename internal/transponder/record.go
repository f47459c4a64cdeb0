package transponder

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"transponder/internal/access"
	"transponder/internal/media"
)

// The values of Record.By and Request.Via.
const (
	ViaREST = "rest"
	ViaSDK  = "sdk"
	ViaAuto = "auto" // the setting that pushes each stream; such a push is not resumed, because the setting makes it anew
	ViaHook = "hook" // the backend of an application
	ViaCall = "call" // a call, whose push is not resumed: the call ends with the process
)

// keptRequest is the form in which a request is kept, without its secrets.
type keptRequest struct {
	Request
	Audio keptAudio `json:"audio,omitzero"`
}

// keptAudio is Options.Audio.
type keptAudio struct {
	Codec    string `json:"codec"`
	RateBPS  int    `json:"rateBps,omitempty"`
	Rate     int    `json:"rate,omitempty"`
	Channels int    `json:"channels,omitempty"`
}

// keptCodecs are the codecs of Options.Audio by their names in records.
var keptCodecs = map[media.Codec]string{media.AAC: "aac", media.PCMA: "pcma", media.PCMU: "pcmu", media.Speex: "speex"}

func keptCodec(name string) media.Codec {
	for codec, n := range keptCodecs {
		if n == name {
			return codec
		}
	}
	return media.CodecNone
}

// secrets are what of a push is kept sealed.
type secrets struct {
	Addresses []keptAddress `json:"addresses"` // that of the request, then the spare ones
}

// keptAddress is where a push goes. That was decided when the push began: what a destination is now does not count.
type keptAddress struct {
	URL         string `json:"url"`               // of the request
	Address     string `json:"address"`           // where that led
	Name        string `json:"name"`              // to publish under
	FromURL     bool   `json:"fromUrl,omitempty"` // the name is a part of Address
	Destination string `json:"destination,omitempty"`
	Inside      bool   `json:"inside,omitempty"` // the push may go to private networks
	Preset      string `json:"preset,omitempty"` // the platform of the destination
}

func keepAddress(a *address) keptAddress {
	t := a.target
	return keptAddress{a.url, t.URL(), t.Name, t.SecretName, t.Destination, t.Policy.denyPrivate != insideRule, t.Preset}
}

// address returns the address of a push of a stream.
func (k keptAddress) address(stream string, policy TargetPolicy) (*address, error) {
	target, err := parseTarget(k.Address, stream, naming{FullURL: k.FromURL})
	if err != nil {
		return nil, err
	}
	target.Name, target.Destination, target.Preset, target.Policy = k.Name, k.Destination, k.Preset, policy
	if !k.Inside {
		target.Policy = policy.public(insideRule)
	}
	return &address{url: k.URL, target: target}, nil
}

// keptPrincipal is who has started a push, without what he may do: that was decided when the push began.
type keptPrincipal struct {
	Kind    access.Kind   `json:"kind"`
	Subject string        `json:"subject,omitempty"`
	App     string        `json:"app,omitempty"`
	ID      string        `json:"id,omitempty"`
	KeyID   string        `json:"keyId,omitempty"`
	Issued  time.Time     `json:"issued,omitzero"`
	Expires time.Time     `json:"expires,omitzero"`
	Until   time.Time     `json:"until,omitzero"`
	Limits  access.Limits `json:"limits,omitzero"`
}

func keepPrincipal(p *access.Principal) (json.RawMessage, error) {
	if p == nil {
		return nil, nil
	}
	return json.Marshal(keptPrincipal{p.Kind, p.Subject, p.App, p.ID, p.KeyID, p.Issued, p.Expires, p.Until, p.Limits})
}

func (k keptPrincipal) principal() *access.Principal {
	return &access.Principal{
		Kind: k.Kind, Subject: k.Subject, App: k.App, ID: k.ID, KeyID: k.KeyID, Issued: k.Issued, Expires: k.Expires, Until: k.Until, Limits: k.Limits,
	}
}

// newRecord makes the record of a push that begins.
func newRecord(req Request, addresses []*address) (Record, error) {
	target := addresses[0].target
	kept := keptRequest{Request: req}
	kept.Audio = keepAudio(req.Options.Audio)
	text, err := json.Marshal(kept)
	if err != nil {
		return Record{}, err
	}
	var hidden secrets
	for _, a := range addresses {
		hidden.Addresses = append(hidden.Addresses, keepAddress(a))
	}
	secret, err := json.Marshal(hidden)
	if err != nil {
		return Record{}, err
	}
	owner, err := keepPrincipal(req.By)
	if err != nil {
		return Record{}, err
	}
	r := Record{
		Version: recordVersion, Stream: req.StreamName, Name: target.Name, Target: target.String(), Secret: secret, Key: target.key(),
		Req: text, By: cmp.Or(req.Via, ViaREST), Owner: owner, State: Starting.String(), Begun: time.Now().UnixMilli(), Since: time.Now().UnixMilli(),
	}
	if target.SecretName {
		r.Name = ""
	}
	switch o := req.Options; o.Action {
	case actionMute:
		r.Muted = true
	case actionSound:
		r.Sound, r.Loop = o.SoundFile, o.Loop
	}
	return r, nil
}

// restored returns the request of a record and where it leads, as they were when the push began.
func (c Config) restored(r Record) (req Request, addresses []*address, err error) {
	var kept keptRequest
	var secret secrets
	var owner *keptPrincipal
	if err := json.Unmarshal(r.Req, &kept); err != nil {
		return req, nil, fmt.Errorf("request of push %s: %w", r.ID, err)
	}
	if err := json.Unmarshal(r.Secret, &secret); err != nil {
		return req, nil, fmt.Errorf("address of push %s cannot be read", r.ID) // the error could repeat a part of it
	}
	if len(r.Owner) > 0 {
		if err := json.Unmarshal(r.Owner, &owner); err != nil {
			return req, nil, fmt.Errorf("owner of push %s: %w", r.ID, err)
		}
	}
	req = kept.Request
	req.StreamName, req.Via = r.Stream, r.By
	if owner != nil {
		req.By = owner.principal()
	}
	req.Options.Audio = kept.Audio.format()
	for i, k := range secret.Addresses {
		a, err := k.address(r.Stream, c.Targets)
		if err != nil {
			return req, nil, fmt.Errorf("address of push %s: %w", r.ID, err)
		}
		if addresses = append(addresses, a); i == 0 {
			req.URL = k.URL
		} else {
			req.Options.BackupURLs = append(req.Options.BackupURLs, k.URL)
		}
	}
	if len(addresses) == 0 {
		return req, nil, fmt.Errorf("push %s has no address", r.ID)
	}
	return req, addresses, nil
}

// insideRule is why the target policy refuses a private address to most callers.
const insideRule = "private networks are for administrators, clients on this machine and destinations"

// record returns the record of the push as it is now.
func (p *push) record() Record {
	r := p.claim.Record()
	status, info := p.machine.now(), p.counts()
	r.State, r.Since, r.Reason, r.Info = status.State.String(), status.Since.UnixMilli(), status.Reason, status.Detail
	r.Tries, r.Ever, r.Seq = int(p.attempts.Load()), r.Ever || p.known.Load(), p.seq.Load()
	r.Muted, r.Sound, r.Loop = p.voice.kept()
	r.Sent, r.Acked = p.total()
	r.Frames, r.Lost, r.At = info.frames, info.dropped, int(p.at.Load())
	o := p.origin()
	if zero, ok := o.get(); ok {
		r.Anchor, r.Far = p.parts.Clock.ms(cmp.Or(o.clock, p.in.clock.Load()).Created())+zero.Milliseconds(), p.farthest()
	}
	return r
}

// origin returns where the time of the far end is zero: that of the legs if there are some.
func (p *push) origin() *origin {
	if legs := p.legs.list(); len(legs) > 0 {
		return legs[0].clock.origin
	}
	return p.clock.origin
}

// farthest returns the latest time that a far end has seen.
func (p *push) farthest() int64 {
	far := p.clock.far.Load()
	for _, leg := range p.legs.list() {
		far = max(far, leg.clock.far.Load())
	}
	return far
}

// save has the record written soon.
func (p *push) save() {
	p.saving.Lock()
	defer p.saving.Unlock()
	p.claim.Save(p.record())
}

// counts are the counters that a record keeps.
type counts struct {
	frames  [2]int64
	dropped int64
}

func (p *push) counts() counts {
	dropped := p.in.Stats().DroppedFrames
	p.mu.Lock()
	defer p.mu.Unlock()
	return counts{p.frames, dropped}
}

// stateByName returns a state by its name in records and answers. The state of a newer version is Awaiting.
func stateByName(name string) State {
	for i, n := range stateNames {
		if n == name {
			return State(i)
		}
	}
	return Awaiting
}

// LogValue tells which push the record is of.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.ID) }
