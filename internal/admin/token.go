package admin

import (
	"context"
	"flag"
	"fmt"
	"time"

	"transponder/internal/access"
)

var tokenCommands = group{name: "token", summary: "tokens for pages and programs", commands: []command{
	{name: "create", summary: "make a token, and print it", prepare: createToken},
	{name: "revoke", summary: "make tokens invalid, and end their sessions", prepare: revokeToken},
	{name: "revocations", summary: "list the revocations that are in force", prepare: listRevocations},
}}

// tokenRequest is the body of /token/create.
type tokenRequest struct {
	Grants    []access.Grant `json:"grants"`
	Subject   string         `json:"subject,omitempty"`
	ExpiresIn int64          `json:"expiresIn,omitempty"`
	Until     int64          `json:"until,omitempty"`
	Once      bool           `json:"once,omitempty"`
	Limits    access.Limits  `json:"limits"`
	App       string         `json:"app,omitempty"`
}

func createToken(f *flag.FlagSet) runner {
	var g grantFlags
	g.define(f)
	subject := f.String("subject", "", "`NAME` of the holder, by which all tokens of one holder can be revoked")
	lifetime := f.String("for", "1h", "how long sessions can begin: a `DURATION` such as 10m or 1d")
	until := f.String("until", "", "when the sessions end: a `TIME` such as 8h or 2027-01-31T18:00:00Z; never if it is not given")
	once := f.Bool("once", false, "the token begins one session only")
	return func(ctx context.Context, s *session, _ []string) error {
		grants, err := g.grants()
		if err != nil {
			return err
		}
		lives, err := duration(*lifetime)
		if err != nil || lives < time.Second {
			return usageError(fmt.Sprintf("--for must be a duration such as 10m or 1d, not %q", *lifetime))
		}
		r := tokenRequest{Grants: grants, Subject: *subject, ExpiresIn: int64(lives / time.Second), Once: *once, Limits: g.limits, App: g.app}
		if r.Until, err = when("--until", *until, time.Now()); err != nil {
			return err
		}
		var made struct {
			Token     string `json:"token"`
			JTI       string `json:"jti"`
			ExpiresAt int64  `json:"expiresAt"`
		}
		if err := s.post(ctx, "/token/create", r, &made); err != nil || s.json {
			return err
		}
		fmt.Fprintf(s.errs, "It begins sessions until %s. To take it back: transponder token revoke --jti %s\n", moment(made.ExpiresAt), made.JTI)
		_, err = fmt.Fprintln(s.out, made.Token)
		return err
	}
}

func revokeToken(f *flag.FlagSet) runner {
	jti := f.String("jti", "", "`ID` of one token")
	sub := f.String("sub", "", "`NAME` of a holder: all his tokens")
	kid := f.String("kid", "", "`ID` of a key: all tokens that it has signed")
	before := f.String("before", "", "a `TIME` such as 2027-01-31T18:00:00Z: tokens that were issued later stay valid; now if it is not given")
	return func(ctx context.Context, s *session, _ []string) error {
		r := map[string]any{}
		for name, value := range map[string]string{"jti": *jti, "sub": *sub, "kid": *kid} {
			if value != "" {
				r[name] = value
			}
		}
		if len(r) != 1 {
			return usageError("one of --jti, --sub and --kid is needed")
		}
		if *before != "" {
			t, err := time.Parse(time.RFC3339, *before)
			if err != nil {
				return usageError(fmt.Sprintf("--before must be a time such as 2027-01-31T18:00:00Z, not %q", *before))
			}
			r["before"] = t.UnixMilli()
		}
		return s.post(ctx, "/token/revoke", r, nil)
	}
}

func listRevocations(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		var list []struct {
			JTI, Sub, KID, By string
			Before, At        int64
		}
		if err := s.get(ctx, "/token/revocations", &list); err != nil || s.json {
			return err
		}
		var rows [][]string
		for _, r := range list {
			what, name := "token", r.JTI
			switch {
			case r.Sub != "":
				what, name = "holder", r.Sub
			case r.KID != "":
				what, name = "key", r.KID
			}
			rows = append(rows, []string{what, name, moment(r.Before), moment(r.At), r.By})
		}
		return s.table([]string{"WHAT", "NAME", "ISSUED BEFORE", "REVOKED", "BY"}, rows)
	}
}
