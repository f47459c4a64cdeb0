package admin

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"transponder/pkg/client"
)

var streamCommands = group{name: "stream", summary: "the streams that the server has", commands: []command{
	{name: "list", summary: "list the streams", prepare: listStreams},
	{name: "show", usage: "NAME", summary: "say how a stream goes, and who plays it", prepare: showStream},
	{name: "end", usage: "NAME", summary: "end a stream, with its players", prepare: endStream},
}}

var connectionCommands = group{name: "connection", summary: "the browsers that are connected by the Web SDK", commands: []command{
	{name: "list", summary: "list the connections", prepare: listConnections},
	{name: "end", usage: "ID", summary: "end a connection, with its streams", prepare: onPush((*client.Client).TerminateConnection)},
}}

var callCommands = group{name: "call", summary: "SIP calls", commands: []command{
	{name: "list", summary: "list the calls", prepare: listCalls},
	{name: "end", usage: "ID", summary: "hang up", prepare: onPush((*client.Client).TerminateCall)},
}}

func listStreams(f *flag.FlagSet) runner {
	players := f.Bool("players", false, "list also those who play a stream")
	return func(ctx context.Context, s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		var filter client.StreamFilter
		if !*players {
			filter.Published = new(true)
		}
		all, err := c.FindStreams(ctx, filter, client.Page{})
		if err != nil {
			return err
		}
		return s.show(func() error { return s.printStreams(all) })
	}
}

func (s *session) printStreams(all []client.Stream) error {
	var rows [][]string
	for _, st := range all {
		size := ""
		if st.Width > 0 {
			size = fmt.Sprintf("%dx%d", st.Width, st.Height)
		}
		rows = append(rows, []string{
			st.Name, st.MediaSessionID, st.Status, st.MediaProvider, strings.Trim(st.VideoCodec+"+"+st.AudioCodec, "+"), size,
			strconv.FormatFloat(st.FPS, 'f', 0, 64), strconv.FormatInt(st.Bitrate+st.AudioBitrate, 10), ago(st.CreateDate),
		})
	}
	return s.table([]string{"NAME", "ID", "STATUS", "BY", "CODECS", "SIZE", "FPS", "KBIT/S", "SINCE"}, rows)
}

func showStream(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		found, err := c.FindStreams(ctx, client.StreamFilter{Name: args[0]}, client.Page{})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return &client.Error{Status: http.StatusNotFound, Message: "there is no stream " + printable(args[0])}
		}
		return s.show(func() error { return s.printStreams(found) })
	}
}

func endStream(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		return c.TerminateStreams(ctx, client.TerminateStreams{Name: args[0]})
	}
}

func listConnections(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		all, err := c.FindAllConnections(ctx, client.Page{})
		if err != nil {
			return err
		}
		return s.show(func() error {
			var rows [][]string
			for _, n := range all {
				rows = append(rows, []string{n.SessionID, n.AppKey, n.Status, n.ClientAddress, n.Origin, strconv.Itoa(n.Publishers), strconv.Itoa(n.Players), ago(n.CreateDate)})
			}
			return s.table([]string{"ID", "APP", "STATUS", "FROM", "PAGE", "PUBLISHES", "PLAYS", "SINCE"}, rows)
		})
	}
}

func listCalls(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		all, err := c.FindAllCalls(ctx, client.Page{})
		if err != nil {
			return err
		}
		return s.show(func() error {
			var rows [][]string
			for _, n := range all {
				stream := ""
				if n.StreamName != nil {
					stream = *n.StreamName
				}
				rows = append(rows, []string{n.CallID, n.Caller, n.Callee, string(n.Status), stream, ago(n.StartedAt), string(n.Reason)})
			}
			return s.table([]string{"ID", "CALLER", "CALLEE", "STATUS", "STREAM", "SINCE", "REASON"}, rows)
		})
	}
}
