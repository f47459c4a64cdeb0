package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"transponder/pkg/client"
)

var pushCommands = group{name: "push", summary: "publish streams to RTMP servers", commands: []command{
	{name: "start", usage: "STREAM URL", summary: "publish a stream to an address, - for one on standard input, and print the id of the push", prepare: startPush},
	{name: "list", summary: "list the pushes", prepare: listPushes},
	{name: "show", usage: "ID", summary: "say how a push goes", prepare: showPush},
	{name: "stop", usage: "[ID]", summary: "end a push, or several", prepare: stopPush},
	{name: "retry", usage: "ID", summary: "start a push that is over again, with the same address and options, and print the id of the new push", prepare: retryPush},
	{name: "mute", usage: "ID", summary: "send silence instead of the sound", prepare: onPush((*client.Client).MutePush)},
	{name: "unmute", usage: "ID", summary: "send the sound again", prepare: onPush((*client.Client).UnmutePush)},
	{name: "sound", usage: "ID [FILE]", summary: "play a WAV file of media_dir instead of the sound; without a file, stop that", prepare: playSound},
	{name: "source", usage: "ID [STREAM]", summary: "send another stream of the push's options; without a name, the one that they prefer", prepare: chooseSource},
	{name: "watch", usage: "[ID]", summary: "print each step of all pushes, or of one until it ends", prepare: watchPushes},
	{name: "history", summary: "list pushes that are over, the newest first", prepare: pushHistory},
	{name: "check", usage: "URL", summary: "have the server go to a destination step by step; exit code 1 if a step fails", prepare: checkPush},
}}

func startPush(f *flag.FlagSet) runner {
	var full string
	var r client.StartPush
	f.StringVar(&full, "full-url", "", "`true or false`: the address ends in the name or key; without it the settings of the server decide")
	f.Int64Var(&r.Width, "width", 0, "`PIXELS` of the picture that is sent; only with --height")
	f.Int64Var(&r.Height, "height", 0, "`PIXELS` of the picture that is sent; asks for transcoding")
	f.Float64Var(&r.FPS, "fps", 0, "`PICTURES` a second; asks for transcoding")
	f.Int64Var(&r.KeyFrameInterval, "key-interval", 0, "`PICTURES` from one key frame to the next; asks for transcoding")
	options := f.String("options", "", "the options of the push as `JSON`; docs/rest.md lists them")
	wait := waitFlag(f)
	return func(ctx context.Context, s *session, args []string) error {
		r.StreamName = args[0]
		var err error
		if r.RTMPURL, err = s.address(args[1]); err != nil {
			return err
		}
		if r.RTMPTransponderFullURL, err = fullURL(full); err != nil {
			return err
		}
		if *options != "" {
			r.Options = &client.StartPushOptions{}
			d := json.NewDecoder(strings.NewReader(*options))
			d.DisallowUnknownFields()
			if err := d.Decode(r.Options); err != nil {
				return usageError("--options: " + err.Error())
			}
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		made, err := c.StartPush(ctx, r)
		if err != nil {
			return err
		}
		return s.printStarted(ctx, c, made, *wait)
	}
}

func retryPush(f *flag.FlagSet) runner {
	wait := waitFlag(f)
	return func(ctx context.Context, s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		made, err := c.RetryPush(ctx, args[0])
		if err != nil {
			return err
		}
		return s.printStarted(ctx, c, made, *wait)
	}
}

func waitFlag(f *flag.FlagSet) *time.Duration {
	return f.Duration("wait", 0, "return when the push is live, or fail if it is not live after a `DURATION` such as 20s")
}

// printStarted prints the id of a new push, and waits until the push is live if wait is not 0.
func (s *session) printStarted(ctx context.Context, c *client.Client, made client.Push, wait time.Duration) error {
	if err := s.show(func() error { _, err := fmt.Fprintln(s.out, made.MediaSessionID); return err }); err != nil || wait <= 0 {
		return err
	}
	return awaitLive(ctx, c, made.MediaSessionID, wait)
}

// awaitLive returns when a push is live. It fails if the push ends before, or after a time.
func awaitLive(ctx context.Context, c *client.Client, id string, limit time.Duration) error {
	late := fmt.Errorf("the push is not live after %v; it goes on", limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	why := ""
	for e, err := range c.Events(ctx, client.EventFilter{After: "0", MediaSessionID: id}) {
		switch {
		case err != nil && why != "":
			return fmt.Errorf("%w: %s", err, why)
		case err != nil:
			return err
		case e.Push == nil:
			continue
		}
		switch e.Push.To {
		case client.PushStatusPublishing:
			return nil
		case client.PushStatusFailed, client.PushStatusEnded:
			return fmt.Errorf("the push has ended: %s", because(e.Push.Reason, e.Push.Info))
		}
		why = because(e.Push.Reason, e.Push.Info)
	}
	return nil
}

// because returns a reason with its words.
func because(reason client.PushReason, info string) string {
	return strings.TrimPrefix(strings.TrimSuffix(string(reason)+": "+info, ": "), ": ")
}

// address returns an address of the command line. An address with a stream key can be read from standard input: other users of the machine see the
// command line.
func (s *session) address(arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	line, err := s.line()
	if err == nil && line == "" {
		err = usageError("standard input has no address")
	}
	return string(line), err
}

// fullURL returns the value of the flag --full-url.
func fullURL(value string) (*bool, error) {
	switch value {
	case "":
		return nil, nil
	case "true", "false":
		return new(value == "true"), nil
	}
	return nil, usageError("--full-url must be true or false")
}

func listPushes(f *flag.FlagSet) runner {
	stream := f.String("stream", "", "only those of the stream with this `NAME`")
	status := f.String("status", "", "only those with this `STATUS`, such as PUBLISHING")
	return func(ctx context.Context, s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		all, err := c.FindPushes(ctx, client.PushFilter{StreamName: *stream}, client.Page{})
		if err != nil {
			return err
		}
		if *status == "" {
			return s.show(func() error { return s.printPushes(all) })
		}
		kept := []client.Push{}
		for _, p := range all {
			if strings.EqualFold(string(p.Status), *status) {
				kept = append(kept, p)
			}
		}
		if s.answer, err = json.Marshal(kept); err != nil {
			return err
		}
		return s.show(func() error { return s.printPushes(kept) })
	}
}

func (s *session) printPushes(all []client.Push) error {
	var rows [][]string
	for _, p := range all {
		since := p.Since
		if p.EndedAt != 0 {
			since = p.EndedAt
		}
		rows = append(rows, []string{p.MediaSessionID, p.SourceStreamName, p.Target, string(p.Status), ago(since), strconv.FormatInt(p.Bitrate, 10), string(p.Reason)})
	}
	return s.table([]string{"ID", "STREAM", "TARGET", "STATUS", "SINCE", "KBIT/S", "REASON"}, rows)
}

// ago returns for how long something has been so.
func ago(m client.Moment) string {
	if m == 0 {
		return "-"
	}
	return max(time.Since(m.Time()), 0).Round(time.Second).String()
}

func showPush(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		found, err := c.FindPushes(ctx, client.PushFilter{MediaSessionID: args[0]}, client.Page{})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return &client.Error{Status: http.StatusNotFound, Message: "there is no push " + args[0]}
		}
		return s.show(func() error { return s.printPush(found[0]) })
	}
}

// printPush prints what people want to know of a push.
func (s *session) printPush(p client.Push) error {
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("id", "%s", p.MediaSessionID)
	line("stream", "%s", p.SourceStreamName)
	if p.ActiveStreamName != "" {
		line("sends now", "%s", p.ActiveStreamName)
	}
	line("target", "%s", p.Target)
	if p.NodeID != "" {
		line("server", "%s", p.NodeID)
	}
	line("status", "%s for %s", p.Status, ago(p.Since))
	if p.Reason != "" {
		line("reason", "%s", because(p.Reason, p.Info))
	}
	line("attempts", "%d", p.Attempts)
	if p.NextRetryAt != 0 {
		line("next attempt", "in %v", max(time.Until(p.NextRetryAt.Time()), 0).Round(time.Second))
	}
	line("started", "%s", moment(int64(p.StartedAt)))
	line("sent", "%.1f MB, now %d kbit/s", float64(p.BytesSent)/1e6, p.Bitrate)
	line("queue", "%d bytes, %d ms", p.QueuedBytes, p.QueuedMs)
	line("dropped", "%d frames", p.DroppedFrames)
	if p.Muted {
		line("sound", "muted")
	}
	for i, a := range p.Addresses {
		line(fmt.Sprintf("address %d", i+1), "%s %s %s", a.Target, a.Status, because(a.Reason, a.Info))
	}
	for _, h := range p.Health {
		line("health", "%s", h.Info)
	}
	return w.Flush()
}

func stopPush(f *flag.FlagSet) runner {
	stream := f.String("stream", "", "end all pushes of the stream with this `NAME`, instead of the one with an id")
	all := f.Bool("all", false, "end all pushes")
	return func(ctx context.Context, s *session, args []string) error {
		given := len(args)
		for _, is := range []bool{*stream != "", *all} {
			if is {
				given++
			}
		}
		if given != 1 {
			return usageError("say which push ends by one of ID, --stream and --all")
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		if len(args) == 1 {
			return c.TerminatePush(ctx, args[0])
		}
		found, err := c.FindPushes(ctx, client.PushFilter{StreamName: *stream}, client.Page{})
		if err != nil {
			return err
		}
		var errs []error
		for _, p := range found {
			if p.EndedAt != 0 {
				continue
			}
			if err := c.TerminatePush(ctx, p.MediaSessionID); client.Status(err) != http.StatusNotFound { // it may have ended by itself
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
}

// onPush makes a command that does one thing to a push.
func onPush(do func(*client.Client, context.Context, string) error) func(*flag.FlagSet) runner {
	return func(*flag.FlagSet) runner {
		return func(ctx context.Context, s *session, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			return do(c, ctx, args[0])
		}
	}
}

func playSound(f *flag.FlagSet) runner {
	loop := f.Bool("loop", false, "play the file again and again")
	return func(ctx context.Context, s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		if len(args) == 1 {
			return c.StopSound(ctx, args[0])
		}
		return c.StartSound(ctx, client.StartSound{MediaSessionID: args[0], SoundFile: args[1], Loop: *loop})
	}
}

func chooseSource(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		r := client.UsePushSource{MediaSessionID: args[0]}
		if len(args) == 2 {
			r.StreamName = args[1]
		}
		return c.UsePushSource(ctx, r)
	}
}

func watchPushes(f *flag.FlagSet) runner {
	after := f.String("after", "", "begin after the event with this `ID`; 0 begins with the oldest that the server keeps")
	return func(ctx context.Context, s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		filter := client.EventFilter{After: *after}
		if len(args) == 1 {
			filter.MediaSessionID = args[0]
			filter.After = cmp.Or(*after, "0") // otherwise the end may be over already
		}
		for e, err := range c.Events(ctx, filter) {
			switch {
			case errors.Is(err, context.Canceled): // somebody has ended the command
				return nil
			case err != nil:
				return err
			}
			if err := s.printEvent(e); err != nil {
				return err
			}
			if e.Push == nil || filter.MediaSessionID == "" {
				continue
			}
			switch e.Push.To {
			case client.PushStatusEnded:
				return nil
			case client.PushStatusFailed:
				return ErrSilent
			}
		}
		return nil
	}
}

// printEvent prints one event as a line.
func (s *session) printEvent(e client.Event) error {
	if s.json {
		var one any = e.Push
		if e.Push == nil {
			one = e.Missed
		}
		return json.NewEncoder(s.out).Encode(one)
	}
	if e.Push == nil {
		_, err := fmt.Fprintf(s.out, "%d events are lost: this command was away for too long\n", e.Missed.Missed)
		return err
	}
	p := e.Push
	_, err := fmt.Fprintf(s.out, "%s %s %s\n", p.At.Local().Format("15:04:05"),
		printable(fmt.Sprintf("%s %s %s > %s", p.ID, p.SourceStreamName, p.Target, p.To)), printable(because(p.Reason, p.Info)))
	return err
}

func pushHistory(f *flag.FlagSet) runner {
	limit := f.Int("limit", 0, "how many at most; the `NUMBER` is 100 if it is not given")
	return func(ctx context.Context, s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		past, err := c.PushHistory(ctx, client.PushHistoryQuery{Limit: *limit})
		if err != nil {
			return err
		}
		return s.show(func() error { return s.printPushes(past) })
	}
}

// checkPush is doctor push, but it never goes to the destination from this machine.
func checkPush(f *flag.FlagSet) runner {
	var p pushCheck
	p.define(f)
	return func(ctx context.Context, s *session, args []string) error {
		url, err := s.address(args[0])
		if err != nil {
			return err
		}
		return s.askCheck(ctx, url, p)
	}
}
