package rest

import (
	"context"

	"transponder/internal/access"
	"transponder/internal/transponder"
)

// viewer is the sender of a request, who sees what he may see.
type viewer struct {
	principal *access.Principal
	admin     bool // sees stream keys
	stranger  bool // does not learn what is in the private networks of this server
	nodeID    string
	reads     func(stream string) bool
}

func (s *Server) viewer(ctx context.Context) viewer {
	p := principalOf(ctx)
	return viewer{p, p.IsAdmin(), isStranger(ctx), s.nodeID, s.mayRead(ctx)}
}

// owns says whether the viewer has begun what belongs to owner, the identity of a principal.
func (v viewer) owns(owner string) bool { return owner != "" && owner == v.principal.Identity() }

// seesAll says whether the viewer may read about all streams, also those that do not exist yet.
func (v viewer) seesAll() bool {
	return access.Decide(v.principal, access.Read, access.Object{}) == nil
}

// push returns a push as the viewer may see it: nil if he may not know of it.
func (v viewer) push(p transponder.Info) *pushBody {
	own := v.owns(p.Owner)
	if !own && !v.reads(p.SourceName) {
		return nil
	}
	if v.stranger {
		p = p.ForStrangers()
	}
	b := newPushBody(p, v.nodeID)
	if b.StartedBy != nil && !own && access.Decide(v.principal, access.Control, access.Object{Stream: p.SourceName}) != nil {
		b.StartedBy.Name = ""
	}
	if !v.seesAddress(p) {
		if p.Destination == "" {
			b.RTMPURL = p.Target
		}
		b.Options.BackupURLs = nil
		for _, a := range p.Addresses[min(1, len(p.Addresses)):] {
			url := a.URL
			if a.Destination == "" {
				url = a.Target
			}
			b.Options.BackupURLs = append(b.Options.BackupURLs, url)
		}
		if p.SecretName {
			b.StreamName = masked
		}
	}
	return &b
}

// seesAddress says whether the viewer may see the stream keys of a push.
func (v viewer) seesAddress(p transponder.Info) bool {
	return v.owns(p.Owner) || access.Decide(v.principal, access.Admin, access.Object{Stream: p.SourceName}) == nil
}

// masked stands for a secret in an answer.
const masked = "***"

// event returns an event as the viewer may see it. ok is false if he may not know of the push.
func (v viewer) event(e transponder.Event) (_ transponder.Event, ok bool) {
	if v.stranger {
		e = e.ForStrangers()
	}
	return e, v.owns(e.Owner) || v.reads(e.SourceName)
}

// connection says whether the viewer may know of a session of the Web SDK: if he may read about everything, or if the session belongs to
// his application.
func (v viewer) connection(c Connection) bool {
	return v.seesAll() || v.principal.App != "" && v.principal.App == c.AppKey
}
