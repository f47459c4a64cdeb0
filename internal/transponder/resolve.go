package transponder

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"transponder/internal/access"
	"transponder/internal/destination"
)

// Destinations knows the addresses that have names, as destination.Store does.
type Destinations interface {
	// Resolve fails with destination.ErrNotFound.
	Resolve(ctx context.Context, name string) (destination.Destination, error)
}

// PushObject returns what access decides about a push of a stream to a URL: the name of the destination, or the normalized URL. It does so
// also for a URL that Start refuses.
func PushObject(streamName, rtmpURL string) access.Object {
	o := access.Object{Stream: streamName}
	if name, ok := destination.Parse(rtmpURL); ok {
		o.Destination = name // never "": Parse returns what follows destination://, and refuses an empty name
	} else if t, err := parseTarget(rtmpURL, "", naming{}); err == nil {
		o.URL = t.normal()
	} else {
		o.URL = "invalid://" // access takes an object without URL for a push that there is
	}
	return o
}

// DescribeTarget returns a URL without its secrets, or the *RequestError with which Start would refuse it. fullURL is that of a Request.
func (c Config) DescribeTarget(rtmpURL string, fullURL *bool) (string, error) {
	t, err := parseTarget(rtmpURL, "stream", c.naming(Request{FullURL: fullURL}))
	if err != nil {
		return "", err
	}
	return t.String(), nil
}

func (c Config) naming(req Request) naming {
	how := naming{Prefix: c.NamePrefix, Name: req.TargetName, FullURL: c.FullURL, Parameters: true}
	if req.FullURL != nil {
		how.FullURL, how.Parameters = *req.FullURL, false
	}
	return how
}

// resolve finds out where a request leads. With a destination it fills in what the request leaves to the destination. The first address is
// that of the request; the others are those of options.backupUrls, to which FullURL applies as well.
func (r *Registry) resolve(ctx context.Context, req Request) (Request, []*address, error) {
	asked := req
	rawURL, preset := req.URL, ""
	name, ok := destination.Parse(req.URL)
	if ok {
		d, err := r.find(ctx, name, req)
		if err != nil {
			return req, nil, err
		}
		preset = d.Preset
		rawURL = string(d.URL)
		if req.FullURL == nil {
			req.FullURL = d.FullURL
		}
		if req.FlashVersion == "" {
			req.FlashVersion = d.FlashVersion
		}
		if err := r.leaveOptions(&req, d); err != nil {
			return req, nil, err
		}
	}
	first, err := r.address(req, rawURL, name)
	if err != nil {
		return req, nil, err
	}
	first.target.Preset = preset
	all := []*address{first}
	for i, backup := range req.Options.BackupURLs {
		asked.URL = backup
		a, err := r.backup(ctx, asked)
		if err != nil {
			return req, nil, inField(i+1, err)
		}
		if slices.ContainsFunc(all, func(other *address) bool { return other.target.key() == a.target.key() }) {
			return req, nil, &RequestError{backupField(i + 1), "the stream goes to this address already"}
		}
		all = append(all, a)
	}
	return req, all, nil
}

// backup finds out where the URL of a request leads that is one of options.backupUrls. Only the address of a destination counts there.
func (r *Registry) backup(ctx context.Context, req Request) (*address, error) {
	rawURL, preset := req.URL, ""
	name, ok := destination.Parse(req.URL)
	if ok {
		d, err := r.find(ctx, name, req)
		if err != nil {
			return nil, err
		}
		rawURL, preset = string(d.URL), d.Preset
		if req.FullURL == nil {
			req.FullURL = d.FullURL
		}
	}
	a, err := r.address(req, rawURL, name)
	if err == nil {
		a.target.Preset = preset
	}
	return a, err
}

// address parses an address for a request. named is the destination that stands for the address, "" if the address stood in the request.
func (r *Registry) address(req Request, rawURL, named string) (*address, error) {
	target, err := parseTarget(rawURL, req.StreamName, r.cfg.naming(req))
	if err != nil {
		return nil, err
	}
	target.Destination, target.Policy = named, r.cfg.Targets
	if named == "" && !mayReachInside(req.By, access.Object{Stream: req.StreamName, URL: target.normal()}) {
		target.Policy = target.Policy.public(insideRule)
	}
	return &address{url: req.URL, target: target}, nil
}

// leaveOptions gives a request without options those of the destination.
func (r *Registry) leaveOptions(req *Request, d destination.Destination) (err error) {
	if len(d.Options) == 0 || r.parts.ParseOptions == nil || !reflect.ValueOf(req.Options).IsZero() {
		return nil
	}
	if req.Options, err = r.parts.ParseOptions(d.Options); err != nil {
		return err
	}
	return r.check(*req) // a file may be gone since the destination was stored
}

// find returns the destination of a request.
func (r *Registry) find(ctx context.Context, name string, req Request) (destination.Destination, error) {
	refuse := func(format string, args ...any) (destination.Destination, error) {
		return destination.Destination{}, &RequestError{"rtmpUrl", fmt.Sprintf(format, args...)}
	}
	if r.parts.Destinations == nil {
		return refuse("there is no destination %q", name)
	}
	d, err := r.parts.Destinations.Resolve(ctx, name)
	switch {
	case errors.Is(err, destination.ErrNotFound), err == nil && !d.MayBeUsedBy(req.By):
		return refuse("there is no destination %q", name)
	case err != nil:
		r.log.Error("destination cannot be used", "destination", name, "err", err)
		return refuse("the destination %q cannot be used at present: the log of this server says why", name)
	}
	for _, stream := range req.names() {
		// Only a check asks without a stream.
		if stream != "" && !slices.ContainsFunc(d.Streams, func(pattern string) bool { return access.Match(pattern, stream) }) {
			return refuse("the destination %q is not for the stream %q", name, stream)
		}
	}
	return d, nil
}

// mayReachInside reports whether somebody may push to a URL that leads to a private network or to this machine. Others could find out by
// pushes what is there.
func mayReachInside(by *access.Principal, o access.Object) bool {
	return by == nil || by.Kind == access.Local || by.IsAdmin() || access.NamesURL(by, o)
}
