package admin

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"transponder/internal/access"
)

var destinationCommands = group{name: "destination", summary: "addresses with names, whose stream keys only the server knows", commands: []command{
	{name: "create", usage: "NAME", summary: "store an address; its stream key is asked for", prepare: writeDestination("create")},
	{name: "update", usage: "NAME", summary: "change what the flags name", prepare: writeDestination("update")},
	{name: "list", summary: "list the destinations", prepare: listDestinations},
	{name: "remove", usage: "NAME", summary: "forget a destination; pushes that go there go on", prepare: removeDestination},
	{name: "presets", summary: "list the platforms that create knows", prepare: listPresets},
}}

// writeDestination makes the commands create and update. A stream key never stands on the command line, where other users see it.
func writeDestination(method string) func(*flag.FlagSet) runner {
	return func(f *flag.FlagSet) runner {
		var streams words
		preset := f.String("preset", "", "`ID` of the platform; \"transponder destination presets\" lists them")
		server := f.String("server-url", "", "`URL` of the platform without the stream key, such as rtmps://live.example.com/app")
		keyFile := f.String("key-file", "", "`FILE` with the stream key, - for standard input")
		url := f.String("url", "", "`URL` that has no stream key, such as rtmp://10.0.0.5/live")
		f.Var(&streams, "streams", "`PATTERNS` of the streams that may be pushed there, with commas between them; all if it is not given")
		app := f.String("app", "", "`NAME` of the application whose members may push there")
		label := f.String("label", "", "`TEXT` for people")
		return func(ctx context.Context, s *session, args []string) error {
			body := map[string]any{"name": args[0]}
			for name, value := range map[string]string{"preset": *preset, "server": *server, "rtmpUrl": *url, "app": *app, "label": *label} {
				if value != "" {
					body[name] = value
				}
			}
			if len(streams) > 0 {
				body["streams"] = streams
			}
			if *url == "" && (method == "create" || *server != "" || *keyFile != "") {
				key, err := s.streamKey(*keyFile)
				if err != nil {
					return err
				}
				body["key"] = string(key)
			}
			var made struct{ Name, Target string }
			if err := s.post(ctx, "/destination/"+method, body, &made); err != nil || s.json {
				return err
			}
			_, err := fmt.Fprintf(s.out, "destination://%s is %s\n", printable(made.Name), printable(made.Target))
			return err
		}
	}
}

// streamKey reads a stream key from a file, or asks for it.
func (s *session) streamKey(file string) (key access.Secret, err error) {
	if file != "" {
		key, err = s.secretFile("--key-file", file)
	} else {
		key, err = s.password("stream key: ")
	}
	if err == nil && strings.TrimSpace(string(key)) == "" {
		err = usageError("the stream key is empty")
	}
	return access.Secret(strings.TrimSpace(string(key))), err
}

func listDestinations(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		var list []struct {
			Name, Target, App, Label string
			Streams                  []string
			UsedBy                   int
		}
		if err := s.post(ctx, "/destination/find_all", map[string]bool{"empty": true}, &list); err != nil || s.json {
			return err
		}
		var rows [][]string
		for _, d := range list {
			rows = append(rows, []string{d.Name, d.Target, strings.Join(d.Streams, ","), d.App, strconv.Itoa(d.UsedBy), d.Label})
		}
		return s.table([]string{"NAME", "TARGET", "STREAMS", "APP", "PUSHES", "LABEL"}, rows)
	}
}

func removeDestination(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, args []string) error {
		return s.post(ctx, "/destination/remove", map[string]string{"name": args[0]}, nil)
	}
}

func listPresets(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		var list []struct{ ID, Name, Server, KeyURL string }
		if err := s.get(ctx, "/destination/presets", &list); err != nil || s.json {
			return err
		}
		var rows [][]string
		for _, p := range list {
			rows = append(rows, []string{p.ID, p.Name, p.Server, p.KeyURL})
		}
		return s.table([]string{"ID", "NAME", "SERVER", "WHERE THE KEY IS"}, rows)
	}
}
