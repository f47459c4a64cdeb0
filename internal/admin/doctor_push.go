package admin

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"transponder/internal/destination"
	"transponder/internal/rest"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
	"transponder/internal/transponder"
)

// pushCheck is what to check, as the flags say.
type pushCheck struct {
	stream, full string
	publish      bool
}

var doctorPush = command{
	name: "push", usage: "URL", summary: "go to a destination step by step; exit code 1 if a step fails",
	prepare: func(f *flag.FlagSet) runner {
		var c pushCheck
		f.StringVar(&c.stream, "stream", "", "`NAME` of the stream to compare with the rules of the platform, as the running server has it")
		f.StringVar(&c.full, "full-url", "", "`true or false`: the address ends in the name or key; without it the settings decide")
		f.BoolVar(&c.publish, "publish", false, "publish two seconds of a test card; that may begin a broadcast, or end one that another encoder sends")
		return func(ctx context.Context, s *session, args []string) error { return s.doctorPush(ctx, args[0], c) }
	},
}

// doctorPush checks a destination. A stream and a destination with a name are known to the running server only, so that server checks these.
// Any other address is checked from here.
func (s *session) doctorPush(ctx context.Context, url string, c pushCheck) error {
	if url == "-" { // an argument can be seen by other users of the machine
		line, err := s.line()
		if err != nil {
			return err
		}
		url = string(line)
	}
	var full *bool
	switch c.full {
	case "":
	case "true", "false":
		is := c.full == "true"
		full = &is
	default:
		return usageError("--full-url must be true or false")
	}
	_, named := destination.Parse(url)
	if named || c.stream != "" || s.server != "" {
		body := map[string]any{"rtmpUrl": url, "publish": c.publish}
		if c.stream != "" {
			body["streamName"] = c.stream
		}
		if full != nil {
			body["rtmpTransponderFullUrl"] = *full
		}
		answer, err := s.ask(ctx, http.MethodPost, "/push/check", body)
		var answered *AnswerError
		switch {
		case err == nil:
			return s.printCheck(answer, "the running server")
		case errors.As(err, &answered), named, s.server != "":
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
	found, err := pushes.Check(ctx, transponder.CheckRequest{
		Request: transponder.Request{StreamName: c.stream, URL: url, FullURL: full}, Publish: c.publish,
	})
	if err != nil {
		return err
	}
	answer, err := json.Marshal(rest.CheckJSON(found))
	if err != nil {
		return err
	}
	return s.printCheck(answer, "this machine, with the settings of the server")
}

// printCheck prints an answer of /push/check in words. It fails if a step has failed.
func (s *session) printCheck(answer []byte, from string) error {
	var c struct {
		OK       bool   `json:"ok"`
		Target   string `json:"target"`
		Platform string `json:"platform"`
		Steps    []struct {
			Step, Result, Address, Info string
			Ms                          int64
		} `json:"steps"`
	}
	if err := json.Unmarshal(answer, &c); err != nil {
		return fmt.Errorf("the answer to the check cannot be read: %w", err)
	}
	if s.json {
		fmt.Fprintln(s.out, string(answer))
	} else {
		fmt.Fprintf(s.out, "%s, from %s\n\n", printable(c.Target), from)
		rows := make([][]string, len(c.Steps))
		for i, step := range c.Steps {
			where := step.Step
			if step.Step == string(transponder.StepAddress) && step.Address != "" {
				where += " " + step.Address
			}
			took := ""
			if step.Result != string(transponder.CheckSkipped) {
				took = fmt.Sprintf("%d ms", step.Ms)
			}
			rows[i] = []string{strings.ToUpper(step.Result), where, took, step.Info}
		}
		if err := s.table([]string{"RESULT", "STEP", "TOOK", "WHAT"}, rows); err != nil {
			return err
		}
	}
	if !c.OK {
		fmt.Fprintln(s.errs, "A push would not work as it should: see what failed.")
		return ErrSilent
	}
	return nil
}
