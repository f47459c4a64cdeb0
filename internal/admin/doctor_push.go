package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"

	"transponder/internal/destination"
	"transponder/internal/rest"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
	"transponder/internal/transponder"
	"transponder/pkg/client"
)

// pushCheck is what to check, as the flags say.
type pushCheck struct {
	stream, full string
	backups      list
	publish      bool
}

var doctorPush = command{
	name: "push", usage: "URL", summary: "go to a destination step by step; exit code 1 if a step fails",
	prepare: func(f *flag.FlagSet) runner {
		var c pushCheck
		c.define(f)
		return func(ctx context.Context, s *session, args []string) error { return s.doctorPush(ctx, args[0], c) }
	},
}

// define defines the flags.
func (c *pushCheck) define(f *flag.FlagSet) {
	f.StringVar(&c.stream, "stream", "", "`NAME` of the stream to compare with the rules of the platform, as the running server has it")
	f.StringVar(&c.full, "full-url", "", "`true or false`: the address ends in the name or key; without it the settings decide")
	f.Var(&c.backups, "backup", "`URL` of a backup address of the push, to be checked too; may be repeated")
	f.BoolVar(&c.publish, "publish", false, "publish two seconds of a test card; that may begin a broadcast, or end one that another encoder sends")
}

// doctorPush checks a destination. A stream and a destination with a name are known to the running server only, so that server checks these.
// Any other address is checked from here.
func (s *session) doctorPush(ctx context.Context, arg string, c pushCheck) error {
	url, err := s.address(arg)
	if err != nil {
		return err
	}
	full, err := fullURL(c.full)
	if err != nil {
		return err
	}
	if err := s.resolve(); err != nil {
		return err
	}
	_, named := destination.Parse(url)
	if named || c.stream != "" || s.server != "" {
		err := s.askCheck(ctx, url, c)
		if err == nil || errors.Is(err, ErrSilent) || client.Status(err) != 0 || named || s.server != "" {
			return err
		}
	}
	cfg, err := s.config()
	if err != nil {
		return err
	}
	pushes := transponder.NewRegistry(cfg.Push, transponder.Parts{
		Hub: stream.NewHub(stream.DefaultConfig(), nil), Stills: picture.NewStills(cfg.MediaDir),
	}, slog.New(slog.DiscardHandler))
	var told error
	found, err := pushes.Check(ctx, transponder.CheckRequest{
		Request: transponder.Request{StreamName: c.stream, URL: url, FullURL: full, Options: transponder.Options{BackupURLs: c.backups}},
		Publish: c.publish,
		Heard: func(backup int, step transponder.Checking) {
			told = errors.Join(told, s.printStep(client.CheckedStep{
				Step: client.CheckStep(step.Step), Result: client.CheckResult(step.Result), Ms: step.Took.Milliseconds(), Address: step.Address,
				Info: step.Detail, Backup: int64(backup),
			}))
		},
	})
	if err := cmp.Or(err, told); err != nil {
		return err
	}
	answer, err := json.Marshal(rest.CheckJSON(found))
	if err != nil {
		return err
	}
	return s.printCheck(answer, "this machine, with the settings of the server")
}

// askCheck has the running server check a destination.
func (s *session) askCheck(ctx context.Context, url string, p pushCheck) error {
	full, err := fullURL(p.full)
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	ask := client.CheckPush{RTMPURL: url, StreamName: p.stream, RTMPTransponderFullURL: full, Publish: p.publish}
	if len(p.backups) > 0 {
		ask.Options = &client.StartPushOptions{BackupURLs: p.backups}
	}
	var told error
	_, err = c.CheckPushSteps(ctx, ask, func(step client.CheckedStep) { told = errors.Join(told, s.printStep(step)) })
	if err := cmp.Or(err, told); err != nil {
		return err
	}
	return s.printCheck(s.answer, "the running server")
}

// printStep prints a step of a check when it is known, unless JSON is wanted. Steps of several addresses come as they are done.
func (s *session) printStep(step client.CheckedStep) error {
	if s.json {
		return nil
	}
	where, info := string(step.Step), step.Info
	if step.Backup > 0 {
		where = fmt.Sprintf("backup %d: %s", step.Backup, where)
	}
	if step.Step == client.CheckStepAddress && step.Address != "" {
		info = step.Address + ": " + info
	}
	took := ""
	if step.Result != client.CheckResultSkipped {
		took = fmt.Sprintf("%d ms", step.Ms)
	}
	_, err := fmt.Fprintf(s.out, "%-8s %-10s %8s  %s\n", strings.ToUpper(string(step.Result)), where, took, printable(info))
	return err
}

// printCheck prints where a check has gone, after the steps; with --json the answer of /push/check. It fails if a step has failed.
func (s *session) printCheck(answer []byte, from string) error {
	var c client.Checked
	if err := json.Unmarshal(answer, &c); err != nil {
		return fmt.Errorf("the answer to the check cannot be read: %w", err)
	}
	if s.json {
		fmt.Fprintln(s.out, string(answer))
	} else {
		fmt.Fprintf(s.out, "\nChecked %s, from %s.\n", printable(c.Target), from)
		for i, b := range c.Backups {
			fmt.Fprintf(s.out, "Backup %d is %s.\n", i+1, printable(b.Target))
		}
	}
	if !c.OK {
		fmt.Fprintln(s.errs, "A push would not work as it should: see what failed.")
		return ErrSilent
	}
	return nil
}
