package admin

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"transponder/internal/access"
)

var keyCommands = group{name: "key", summary: "stored keys for encoders and programs", commands: []command{
	{name: "create", summary: "make a stored key, and print it", prepare: createKey},
	{name: "list", summary: "list the stored keys, with their last use", prepare: listKeys},
	{name: "remove", usage: "ID", summary: "remove a stored key, and end its sessions", prepare: removeKey},
}}

// keyRequest is the body of /key/create.
type keyRequest struct {
	Label     string         `json:"label,omitempty"`
	Grants    []access.Grant `json:"grants"`
	Stream    string         `json:"stream,omitempty"`
	ExpiresAt int64          `json:"expiresAt,omitempty"`
	Limits    access.Limits  `json:"limits"`
	App       string         `json:"app,omitempty"`
}

func createKey(f *flag.FlagSet) runner {
	var g grantFlags
	g.define(f)
	label := f.String("label", "", "`TEXT` by which people know the key")
	stream := f.String("stream", "", "`NAME` of the stream that the holder publishes, whatever name he gives")
	expires := f.String("expires", "", "when the key and its sessions end: a `TIME` such as 90d or 2027-01-31T18:00:00Z; never if it is not given")
	return func(ctx context.Context, s *session, _ []string) error {
		if *stream != "" && len(g.publish) == 0 && g.json == "" {
			g.publish = words{*stream}
		}
		grants, err := g.grants()
		if err != nil {
			return err
		}
		r := keyRequest{Label: *label, Grants: grants, Stream: *stream, Limits: g.limits, App: g.app}
		if r.ExpiresAt, err = when("--expires", *expires, time.Now()); err != nil {
			return err
		}
		var made struct{ ID, Key string }
		if err := s.post(ctx, "/key/create", r, &made); err != nil || s.json {
			return err
		}
		fmt.Fprintf(s.errs, "It is shown this once. To take it back: transponder key remove %s\n", made.ID)
		_, err = fmt.Fprintln(s.out, made.Key)
		return err
	}
}

func listKeys(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		var list []struct {
			ID, Label, Owner, Stream, LastUsedFrom string
			Grants                                 []access.Grant
			ExpiresAt, LastUsedAt                  int64
		}
		if err := s.post(ctx, "/key/find_all", struct{}{}, &list); err != nil || s.json {
			return err
		}
		var rows [][]string
		for _, k := range list {
			rows = append(rows, []string{k.ID, k.Label, k.Owner, summary(k.Grants), k.Stream, moment(k.ExpiresAt), moment(k.LastUsedAt), k.LastUsedFrom})
		}
		return s.table([]string{"ID", "LABEL", "OWNER", "MAY", "STREAM", "EXPIRES", "LAST USED", "FROM"}, rows)
	}
}

// summary says in short what grants allow.
func summary(grants []access.Grant) string {
	var parts []string
	for _, g := range grants {
		var actions []string
		for _, a := range g.Actions {
			actions = append(actions, string(a))
		}
		parts = append(parts, strings.Join(actions, "+")+" "+strings.Join(g.Streams, ","))
	}
	return strings.Join(parts, "; ")
}

func removeKey(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, args []string) error {
		return s.post(ctx, "/key/remove", map[string]string{"id": args[0]}, nil)
	}
}
