package rest

import (
	"cmp"
	"context"
	"errors"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/transponder"
)

// pushBody is a push in an answer. The first eight members are the published contract; the rest is ours.
type pushBody struct {
	MediaSessionID string      `json:"mediaSessionId"`
	StreamName     string      `json:"streamName"` // as the destination has it
	RTMPURL        string      `json:"rtmpUrl"`
	Width          int         `json:"width"`
	Height         int         `json:"height"`
	Muted          bool        `json:"muted"`
	SoundEnabled   bool        `json:"soundEnabled"`
	Options        optionsBody `json:"options"`

	Addresses []addressBody `json:"addresses,omitempty"` // if there are several; the first is that of rtmpUrl
	Health    []findingBody `json:"health,omitempty"`    // what about the stream breaks the rules of the platform
	StartedBy *starterBody  `json:"startedBy,omitempty"`

	NodeID             string `json:"nodeId,omitempty"`
	Stale              bool   `json:"stale,omitempty"`     // it was read from the record, because its node did not answer
	SoundFile          string `json:"soundFile,omitempty"` // that plays
	Target             string `json:"target"`              // rtmpUrl without its secrets
	SecretName         bool   `json:"secretName"`          // streamName may be a stream key, and must not be shown
	SourceStreamName   string `json:"sourceStreamName"`
	ActiveStreamName   string `json:"activeStreamName,omitempty"`
	SourceSwitches     int    `json:"sourceSwitches,omitempty"`
	Status             string `json:"status"`
	Since              int64  `json:"since"` // ms since 1970
	Reason             string `json:"reason"`
	ReasonClass        string `json:"reasonClass"`
	Info               string `json:"info"`
	Attempts           int    `json:"attempts"`
	StartedAt          int64  `json:"startedAt"`             // ms since 1970
	EndedAt            int64  `json:"endedAt,omitempty"`     // ms since 1970
	NextRetryAt        int64  `json:"nextRetryAt,omitempty"` // ms since 1970
	Durable            *bool  `json:"durable,omitempty"`     // false: the push does not outlive this process, because the disk takes no writes
	BytesSent          int64  `json:"bytesSent"`
	BytesAcked         int64  `json:"bytesAcked"`
	VideoFramesSent    int64  `json:"videoFramesSent"`
	AudioFramesSent    int64  `json:"audioFramesSent"`
	DroppedFrames      int64  `json:"droppedFrames"`
	DroppedMs          int64  `json:"droppedMs,omitempty"`
	TranscoderDropped  int64  `json:"transcoderDropped,omitempty"`
	BufferDelayMs      int64  `json:"bufferDelayMs,omitempty"`
	Bufferings         int    `json:"bufferings,omitempty"`
	QueuedBytes        int    `json:"queuedBytes"`
	QueuedMs           int64  `json:"queuedMs"`
	Bitrate            int64  `json:"bitrate"` // kbit/s
	KeyFrameIntervalMs int64  `json:"keyFrameIntervalMs"`
}

// starterBody is who has asked for a push, and how.
type starterBody struct {
	Kind string `json:"kind,omitempty"` // how he has shown who he is; "": the server itself
	Name string `json:"name,omitempty"` // for those who may end the push
	Via  string `json:"via"`
}

// newStarterBody returns nil if nobody knows: the push is of an older version of the server.
func newStarterBody(by transponder.Starter) *starterBody {
	if by == (transponder.Starter{}) {
		return nil
	}
	return &starterBody{string(by.Kind), by.Name, by.Via}
}

// addressBody is one of several addresses of a push.
type addressBody struct {
	Target     string `json:"target"` // without secrets
	Status     string `json:"status"` // of the push there; STANDBY: the stream does not go there
	Reason     string `json:"reason"`
	Info       string `json:"info"`
	FailedAt   int64  `json:"failedAt,omitempty"` // ms since 1970
	Attempts   int    `json:"attempts"`
	BytesSent  int64  `json:"bytesSent"`
	BytesAcked int64  `json:"bytesAcked"`
}

// standby is the status of an address to which the stream does not go.
const standby = "STANDBY"

func addressBodies(addresses []transponder.AddressInfo) []addressBody {
	var bodies []addressBody
	for _, a := range addresses {
		b := addressBody{
			Target: a.Target, Status: standby, Reason: string(a.Reason), Info: a.Detail, FailedAt: milliseconds(a.FailedAt),
			Attempts: a.Attempts, BytesSent: a.BytesSent, BytesAcked: a.BytesAcked,
		}
		if a.InUse {
			b.Status = a.State.String()
		}
		bodies = append(bodies, b)
	}
	return bodies
}

// newPushBody describes a push. nodeID is the node of a push whose Info names none: this server.
func newPushBody(p transponder.Info, nodeID string) pushBody {
	return pushBody{
		MediaSessionID: p.ID,
		StreamName:     p.StreamName,
		RTMPURL:        p.URL,
		Width:          p.Width,
		Height:         p.Height,
		Muted:          p.Muted,
		SoundEnabled:   p.SoundEnabled,
		Options:        newOptionsBody(p.Options),
		Addresses:      addressBodies(p.Addresses),
		Health:         findingBodies(p.Health),
		StartedBy:      newStarterBody(p.By),

		NodeID:             cmp.Or(p.Node, nodeID),
		Stale:              p.Stale,
		SoundFile:          p.SoundFile,
		Target:             p.Target,
		SecretName:         p.SecretName,
		SourceStreamName:   p.SourceName,
		ActiveStreamName:   activeStream(p),
		SourceSwitches:     p.Switches,
		Status:             p.State.String(),
		Since:              milliseconds(p.Since),
		Reason:             string(p.Reason),
		ReasonClass:        string(p.Reason.Class()),
		Info:               p.Detail,
		Attempts:           p.Attempts,
		StartedAt:          milliseconds(p.Started),
		EndedAt:            milliseconds(p.Ended),
		NextRetryAt:        milliseconds(p.NextTry),
		Durable:            onlyFalse(!p.NotKept),
		BytesSent:          p.BytesSent,
		BytesAcked:         p.BytesAcked,
		VideoFramesSent:    p.VideoFrames,
		AudioFramesSent:    p.AudioFrames,
		DroppedFrames:      p.DroppedFrames,
		DroppedMs:          p.DroppedTime.Milliseconds(),
		TranscoderDropped:  p.TranscoderDropped,
		BufferDelayMs:      p.BufferDelay.Milliseconds(),
		Bufferings:         p.Bufferings,
		QueuedBytes:        p.QueuedBytes,
		QueuedMs:           p.QueuedTime.Milliseconds(),
		Bitrate:            p.RateBPS / 1000,
		KeyFrameIntervalMs: p.KeyInterval.Milliseconds(),
	}
}

// onlyFalse leaves out what is true.
func onlyFalse(is bool) *bool {
	if is {
		return nil
	}
	return &is
}

// activeStream returns the name of the stream that is sent, "" if the push has one stream only.
func activeStream(p transponder.Info) string {
	if len(p.Options.BackupStreams) == 0 {
		return ""
	}
	return p.Active
}

// milliseconds returns a time as the contract writes it, 0 if it is not known.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func (s *Server) startPush(ctx context.Context, f *fields) (any, error) {
	req := transponder.Request{
		StreamName:       f.required("streamName"),
		URL:              f.required("rtmpUrl"),
		FullURL:          f.boolean("rtmpTransponderFullUrl"),
		FlashVersion:     f.text("rtmpFlashVersion"),
		Width:            f.integer("width"),
		Height:           f.integer("height"),
		KeyFrameInterval: f.integer("keyFrameInterval"),
		FPS:              f.number("fps"),
	}
	options := f.object("options")
	if f.err != nil {
		return nil, f.err
	}
	var err error
	if req.Options, err = parseOptions(options); err != nil {
		return nil, err
	}
	req.By = principalOf(ctx)
	return s.begin(ctx, req)
}

// begin starts a push if the sender of the request may push the streams to the addresses.
func (s *Server) begin(ctx context.Context, req transponder.Request) (any, error) {
	if transponder.PushObject(req.StreamName, req.URL).Destination != "" {
		note(ctx, func(l *audit.Line) { l.Target = req.URL })
	}
	for _, name := range append([]string{req.StreamName}, req.Options.BackupStreams...) {
		for _, url := range append([]string{req.URL}, req.Options.BackupURLs...) {
			if err := s.authorize(ctx, access.Push, transponder.PushObject(name, url)); err != nil {
				return nil, err
			}
		}
	}
	info, err := s.parts.Pushes.Start(ctx, req)
	if err != nil {
		return nil, err
	}
	note(ctx, func(l *audit.Line) { l.Object, l.Target = info.ID, cmp.Or(l.Target, info.Target) })
	return newPushBody(info, s.nodeID), nil
}

func (s *Server) findPushes(ctx context.Context, f *fields) (any, error) {
	filter := transponder.Filter{
		ID:         f.text("mediaSessionId"),
		StreamName: f.text("streamName"),
		URL:        f.text("rtmpUrl"),
	}
	if f.err != nil {
		return nil, f.err
	}
	f.pushes = filter
	return s.pushList(ctx, filter)
}

func (s *Server) findAllPushes(ctx context.Context, _ *fields) (any, error) {
	return s.pushList(ctx, transponder.Filter{})
}

func (s *Server) pushList(ctx context.Context, filter transponder.Filter) (any, error) {
	found, err := s.parts.Pushes.Find(ctx, filter)
	if err != nil {
		return nil, err
	}
	list := s.pushBodies(ctx, found)
	if len(list) == 0 {
		return nil, errNoPush
	}
	return list, nil
}

// pushBodies returns those pushes that the sender of the request may know of.
func (s *Server) pushBodies(ctx context.Context, pushes []transponder.Info) []pushBody {
	v := s.viewer(ctx)
	list := make([]pushBody, 0, len(pushes))
	for _, p := range pushes {
		if b := v.push(p); b != nil {
			list = append(list, *b)
		}
	}
	return list
}

// changePush decides whether the sender of the request may change a push. A push that he may not know of is not found. It fails with errOrphan
// if he may, and no server runs the push.
func (s *Server) changePush(ctx context.Context, id string) error {
	found, err := s.parts.Pushes.Find(ctx, transponder.Filter{ID: id})
	if err != nil {
		return err
	}
	var p transponder.Info
	var missing error
	if len(found) > 0 {
		p = found[0]
	} else {
		orphan, err := s.orphan(ctx, id)
		switch {
		case err != nil:
			return err
		case orphan == nil:
			return errNoPush
		}
		p, missing = *orphan, errOrphan
	}
	note(ctx, func(l *audit.Line) { l.Object, l.Target = id, p.Target })
	err = s.authorize(ctx, access.Push, access.Object{Stream: p.SourceName, Owner: p.Owner})
	if err != nil && s.viewer(ctx).push(p) == nil {
		return errNoPush
	}
	return cmp.Or(err, missing)
}

func (s *Server) terminatePush(ctx context.Context, f *fields) (any, error) {
	id := f.required("mediaSessionId")
	if f.err != nil {
		return nil, f.err
	}
	err := s.changePush(ctx, id)
	switch {
	case errors.Is(err, errOrphan):
		return nil, s.parts.Orphans.Terminate(ctx, id)
	case err != nil:
		return nil, err
	}
	return nil, s.parts.Pushes.Terminate(ctx, id)
}

func (s *Server) mutePush(on bool) func(context.Context, *fields) (any, error) {
	return func(ctx context.Context, f *fields) (any, error) {
		id := f.required("mediaSessionId")
		if f.err != nil {
			return nil, f.err
		}
		if err := s.changePush(ctx, id); err != nil {
			return nil, err
		}
		return nil, s.parts.Pushes.Mute(ctx, id, on)
	}
}

func (s *Server) soundOn(ctx context.Context, f *fields) (any, error) {
	id, file, loop := f.required("mediaSessionId"), f.required("soundFile"), f.flag("loop", false)
	if f.err != nil {
		return nil, f.err
	}
	if err := s.changePush(ctx, id); err != nil {
		return nil, err
	}
	return nil, s.parts.Pushes.SoundOn(ctx, id, file, loop)
}

func (s *Server) soundOff(ctx context.Context, f *fields) (any, error) {
	id := f.required("mediaSessionId")
	if f.err != nil {
		return nil, f.err
	}
	if err := s.changePush(ctx, id); err != nil {
		return nil, err
	}
	return nil, s.parts.Pushes.SoundOff(ctx, id)
}

// useSource makes a push send one of its streams; the one that its options prefer, if the request names none.
func (s *Server) useSource(ctx context.Context, f *fields) (any, error) {
	id, name := f.required("mediaSessionId"), f.text("streamName")
	if f.err != nil {
		return nil, f.err
	}
	if err := s.changePush(ctx, id); err != nil {
		return nil, err
	}
	return nil, s.parts.Pushes.UseSource(ctx, id, name)
}
