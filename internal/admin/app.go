package admin

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"transponder/internal/access"
)

// appCommands are the commands of Web Call Server, with the same flags: "add app NAME KEY URL" is "transponder app add NAME KEY URL" here.
var appCommands = group{name: "app", summary: "applications and the backends that are asked for their clients", commands: []command{
	{name: "list", summary: "list the applications", prepare: listApps},
	{name: "add", usage: "NAME KEY URL", summary: "make an application", prepare: addApp},
	{name: "update", usage: "NAME [URL]", summary: "change an application", prepare: updateApp},
	{name: "remove", usage: "NAME", summary: "remove an application", prepare: removeApp},
	{name: "methods", usage: "[KEY]", summary: "list the hooks that an application sends, or all that there are", prepare: listMethods},
	{name: "add-method", usage: "KEY [METHOD]", summary: "have an application send a hook", prepare: changeMethods(true)},
	{name: "remove-method", usage: "KEY [METHOD]", summary: "have an application not send a hook", prepare: changeMethods(false)},
}}

// appFlags are the flags of Web Call Server, and ours.
type appFlags struct {
	f *flag.FlagSet

	key, mainClass, callbackClass, username, password, owner, url string
	auth, onError, grants, methods                                string
}

func (a *appFlags) define(f *flag.FlagSet) {
	a.f = f
	f.StringVar(&a.mainClass, "m", "", "`CLASS`; kept, and used by nothing here")
	f.StringVar(&a.callbackClass, "c", "", "`CLASS`; kept, and used by nothing here")
	f.StringVar(&a.username, "u", "", "`NAME` for the backend (HTTP Basic)")
	f.StringVar(&a.password, "p", "", "`PASSWORD` for the backend; - asks for it")
	f.StringVar(&a.owner, "o", "", "`NAME` of the owner; kept, and used by nothing here")
	f.StringVar(&a.auth, "auth", "", "`WHAT` clients need: open, token, hook or token+hook")
	f.StringVar(&a.grants, "grants", "", "`JSON` list of what a client may do whom the backend has admitted")
	f.StringVar(&a.methods, "methods", "", "`LIST` of the hooks that are sent, with commas")
}

// body returns the request with the flags that were given.
func (a *appFlags) body(s *session, name string) (map[string]any, error) {
	body := map[string]any{"name": name}
	members := map[string]struct {
		member string
		value  *string
	}{
		"k": {"key", &a.key}, "l": {"url", &a.url}, "m": {"mainClass", &a.mainClass}, "c": {"callbackClass", &a.callbackClass},
		"u": {"username", &a.username}, "p": {"password", &a.password}, "o": {"owner", &a.owner}, "auth": {"auth", &a.auth},
		"on-error": {"onError", &a.onError},
	}
	var fault error
	a.f.Visit(func(given *flag.Flag) {
		switch m, ok := members[given.Name]; {
		case given.Name == "methods":
			body["methods"] = slices.DeleteFunc(strings.Split(a.methods, ","), func(m string) bool { return m == "" })
		case given.Name == "grants":
			var grants []access.Grant
			if err := json.Unmarshal([]byte(a.grants), &grants); err != nil {
				fault = usageError(fmt.Sprintf("--grants: %v", err))
			}
			body["grants"] = grants
		case ok:
			body[m.member] = *m.value
		}
	})
	if a.password == "-" {
		password, err := s.password("Password for the backend: ")
		if err != nil {
			return nil, err
		}
		body["password"] = string(password)
	}
	return body, fault
}

func addApp(f *flag.FlagSet) runner {
	var a appFlags
	a.define(f)
	f.StringVar(&a.onError, "on-error", "FAIL", "what a refusal does if the backend has not said it: `WORD` FAIL, or LOG as with Web Call Server")
	return func(ctx context.Context, s *session, args []string) error {
		body, err := a.body(s, args[0])
		if err != nil {
			return err
		}
		body["key"], body["url"], body["onError"] = args[1], args[2], a.onError
		return s.post(ctx, "/app/create", body, nil)
	}
}

func updateApp(f *flag.FlagSet) runner {
	var a appFlags
	a.define(f)
	f.StringVar(&a.key, "k", "", "`KEY` that clients send as appKey")
	f.StringVar(&a.url, "l", "", "`URL` of the backend; empty: none")
	f.StringVar(&a.onError, "on-error", "", "what a refusal does if the backend has not said it: `WORD` FAIL or LOG; empty: as rest_on_error says")
	return func(ctx context.Context, s *session, args []string) error {
		// Pages of Web Call Server have the two in both orders.
		if len(args) == 2 && strings.Contains(args[0], "://") {
			args[0], args[1] = args[1], args[0]
		}
		body, err := a.body(s, args[0])
		if err != nil {
			return err
		}
		if len(args) == 2 {
			body["url"] = args[1]
		}
		return s.post(ctx, "/app/update", body, nil)
	}
}

func removeApp(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, args []string) error {
		return s.post(ctx, "/app/remove", map[string]string{"name": args[0]}, nil)
	}
}

// app is an application as REST shows it.
type app struct {
	Name, Key, URL, Username, Auth, OnError, Owner, Source string

	Methods []string
	Grants  []access.Grant
}

func listApps(f *flag.FlagSet) runner {
	details := f.Bool("d", false, "show the hooks and the grants, too")
	return func(ctx context.Context, s *session, _ []string) error {
		var apps []app
		if err := s.post(ctx, "/app/find_all", struct{}{}, &apps); err != nil || s.json {
			return err
		}
		header := []string{"NAME", "KEY", "URL", "NEEDS", "REFUSALS", "FROM"}
		if *details {
			header = append(header, "USER", "OWNER", "MAY", "METHODS")
		}
		var rows [][]string
		for _, a := range apps {
			row := []string{a.Name, a.Key, a.URL, a.Auth, a.OnError, a.Source}
			if *details {
				row = append(row, a.Username, a.Owner, summary(a.Grants), strings.Join(a.Methods, ","))
			}
			rows = append(rows, row)
		}
		return s.table(header, rows)
	}
}

// findApp returns the application that has a key.
func findApp(ctx context.Context, s *session, key string) (app, error) {
	quiet := *s
	quiet.json = false
	var found []app
	if err := quiet.post(ctx, "/app/find", map[string]string{"key": key}, &found); err != nil {
		return app{}, err
	}
	if len(found) != 1 {
		return app{}, fmt.Errorf("there are %d applications with the key %s", len(found), strconv.Quote(key))
	}
	return found[0], nil
}

func listMethods(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, args []string) error {
		var methods []string
		if len(args) == 0 {
			var all struct{ Methods []string }
			if err := s.post(ctx, "/app/methods", struct{}{}, &all); err != nil || s.json {
				return err
			}
			methods = all.Methods
		} else {
			a, err := findApp(ctx, s, args[0])
			if err != nil {
				return err
			}
			methods = a.Methods
		}
		_, err := fmt.Fprintln(s.out, strings.Join(methods, "\n"))
		return err
	}
}

// changeMethods adds hooks to an application, or removes them.
func changeMethods(add bool) func(f *flag.FlagSet) runner {
	return func(f *flag.FlagSet) runner {
		all := f.Bool("a", false, "all hooks")
		return func(ctx context.Context, s *session, args []string) error {
			if *all == (len(args) == 2) {
				return usageError("name one METHOD, or give -a for all")
			}
			a, err := findApp(ctx, s, args[0])
			if err != nil {
				return err
			}
			methods := a.Methods
			switch {
			case *all && add:
				var every struct{ Methods []string }
				if err := s.post(ctx, "/app/methods", struct{}{}, &every); err != nil {
					return err
				}
				methods = every.Methods
			case *all:
				methods = []string{}
			case add && !slices.Contains(methods, args[1]):
				methods = append(methods, args[1])
			case !add:
				before := len(methods)
				if methods = slices.DeleteFunc(methods, func(m string) bool { return m == args[1] }); len(methods) == before {
					return fmt.Errorf("the application does not send %s", args[1])
				}
			}
			return s.post(ctx, "/app/update", map[string]any{"name": a.Name, "methods": methods}, nil)
		}
	}
}
