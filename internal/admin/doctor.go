package admin

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/pkg/client"
)

var doctorCommands = group{name: "doctor", summary: "say what is wrong with this machine, the settings or a destination", prepare: doctorMachine, commands: []command{
	{name: "access", summary: "say who may do what; exit code 1 if a stranger may push", prepare: func(f *flag.FlagSet) runner {
		offline := f.Bool("offline", false, "look at the settings only, and ask no server")
		return func(ctx context.Context, s *session, _ []string) error { return s.doctorAccess(ctx, *offline) }
	}},
	doctorPush,
}}

// doctorAccess prints who may do what: as the running server says, or as the settings say if no server runs.
func (s *session) doctorAccess(ctx context.Context, offline bool) error {
	var report auth.Report
	var from string
	if err := s.resolve(); err != nil {
		return err
	}
	if !offline {
		answer, err := s.ask(ctx, http.MethodGet, "/access/report", nil)
		var answered *client.Error
		switch {
		case err == nil:
			from = "the running server"
			if err := json.Unmarshal(answer, &report); err != nil {
				return fmt.Errorf("the report of the server cannot be read: %w", err)
			}
		case errors.As(err, &answered), s.server != "":
			return err
		}
	}
	if from == "" {
		cfg, err := s.config()
		if err != nil {
			return err
		}
		pages, err := cfg.REST.Origins()
		if err != nil {
			return err
		}
		report, from = auth.New(cfg.Access, auth.Parts{Pages: pages}, nil).Report(), "the settings; users, keys and applications are known to a running server only"
	}
	var err error
	if s.json {
		err = json.NewEncoder(s.out).Encode(report)
	} else {
		err = s.printReport(report, from)
	}
	if err != nil {
		return err
	}
	if report.StrangerMay(access.Push) {
		fmt.Fprintln(s.errs, "A stranger may push: everybody who reaches this server can send streams to any address in its name.")
		return ErrSilent
	}
	return nil
}

func (s *session) printReport(r auth.Report, from string) error {
	fmt.Fprintf(s.out, "access=%s, by %s\n\n", r.Mode, from)
	rows := make([][]string, len(r.Who))
	for i, w := range r.Who {
		may := "no"
		if w.Allowed {
			may = "yes"
		}
		rows[i] = []string{w.Who, string(w.Action), may, w.Words}
	}
	if err := s.table([]string{"WHO", "ACTION", "MAY", "HOW"}, rows); err != nil {
		return err
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(s.out, "\nWarning: %s.\n", w)
	}
	return nil
}
