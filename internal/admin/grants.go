package admin

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"time"

	"transponder/internal/access"
)

// grantFlags are the flags that say what the holder of a token or a key may do.
type grantFlags struct {
	publish, play, push, read, control words
	streams                            words
	replace, admin                     bool
	json                               string

	limits access.Limits
	app    string
}

func (g *grantFlags) define(f *flag.FlagSet) {
	f.Var(&g.publish, "publish", "`PATTERN` of the streams that the holder may publish; may be repeated")
	f.BoolVar(&g.replace, "replace", false, "the holder may take over the name of a stream from a live publisher that has shown the same credential")
	f.Var(&g.play, "play", "`PATTERN` of the streams that the holder may play")
	f.Var(&g.push, "push", "`DESTINATION` by its name, or pattern of addresses such as rtmps://host/app/*, to which the holder may push; may be repeated")
	f.Var(&g.streams, "streams", "`PATTERN` of the streams that the holder may push, if they are others than those of --publish")
	f.Var(&g.read, "read", "`PATTERN` of the streams about which the holder may read in lists, events and metrics")
	f.Var(&g.control, "control", "`PATTERN` of the streams that the holder may end and change")
	f.BoolVar(&g.admin, "admin", false, "the holder may do everything")
	f.StringVar(&g.json, "grants", "", "all grants as `JSON`, instead of the flags above")
	f.IntVar(&g.limits.Publishers, "publishers", 0, "the most `N` streams that the holder may publish at a time; 0 is no limit")
	f.IntVar(&g.limits.Players, "players", 0, "the most `N` streams that the holder may play at a time")
	f.IntVar(&g.limits.Pushes, "pushes", 0, "the most `N` pushes that the holder may have at a time")
	f.IntVar(&g.limits.BitrateKbps, "bitrate", 0, "the most `KBPS` of one stream of the holder")
	f.StringVar(&g.app, "app", "", "`NAME` of the application that the holder belongs to")
}

// grants returns the grants that the flags describe.
func (g *grantFlags) grants() ([]access.Grant, error) {
	if g.json != "" {
		var grants []access.Grant
		if err := json.Unmarshal([]byte(g.json), &grants); err != nil {
			return nil, usageError(fmt.Sprintf("--grants: %v", err))
		}
		return grants, nil
	}
	var grants []access.Grant
	for _, one := range []struct {
		action  access.Action
		streams words
	}{{access.Publish, g.publish}, {access.Play, g.play}, {access.Read, g.read}, {access.Control, g.control}} {
		if len(one.streams) > 0 {
			grants = append(grants, access.Grant{Actions: []access.Action{one.action}, Streams: one.streams, Replace: g.replace && one.action == access.Publish})
		}
	}
	if len(g.push) > 0 {
		push, err := g.pushGrant()
		if err != nil {
			return nil, err
		}
		grants = append(grants, push)
	}
	if g.admin {
		grants = append(grants, access.Grant{Actions: []access.Action{access.Admin}, Streams: []string{"*"}})
	}
	if len(grants) == 0 {
		return nil, usageError("what may the holder do? Say it by --publish, --play, --push, --read, --control or --admin")
	}
	return grants, nil
}

func (g *grantFlags) pushGrant() (access.Grant, error) {
	push := access.Grant{Actions: []access.Action{access.Push}, Streams: g.streams}
	if len(push.Streams) == 0 {
		push.Streams = g.publish
	}
	if len(push.Streams) == 0 {
		return push, usageError("--push needs --streams, or --publish: which streams may the holder push?")
	}
	for _, to := range g.push {
		switch name, isDestination := strings.CutPrefix(to, "destination://"); {
		case isDestination, !strings.Contains(to, "://"):
			push.Destinations = append(push.Destinations, name)
		default:
			push.URLs = append(push.URLs, to)
		}
	}
	return push, nil
}

// when returns the moment that a flag names: after a duration such as 90m or 7d, or at a time such as 2027-01-31T18:00:00Z. It returns 0 for "".
func when(name, value string, now time.Time) (ms int64, err error) {
	if value == "" {
		return 0, nil
	}
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return t.UnixMilli(), nil
	}
	d, err := duration(value)
	if err != nil {
		return 0, usageError(fmt.Sprintf("%s must be a duration such as 90m or 7d, or a time such as 2027-01-31T18:00:00Z, not %q", name, value))
	}
	return now.Add(d).UnixMilli(), nil
}

// duration reads a duration of Go, or a number of days.
func duration(value string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(value, "d"); ok {
		hours, err := time.ParseDuration(days + "h")
		return 24 * hours, err
	}
	return time.ParseDuration(value)
}
