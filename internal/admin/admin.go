// Package admin has the commands of the operator, such as "transponder key create". Most of them ask the running server over REST, by default the
// one on this machine that the settings describe. A few work on files, whether a server runs or not.
//
// A group of commands stands in a file of its own, and in the list groups. Nothing here runs by itself.
package admin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"transponder/pkg/client"
)

// groups are all commands.
var groups = []group{
	pushCommands,
	streamCommands,
	connectionCommands,
	callCommands,
	nodeCommands,
	tokenCommands,
	keyCommands,
	destinationCommands,
	userCommands,
	auditCommand,
	resetCommand,
	appCommands,
	doctorCommands,
	supportCommand,
}

// group is the commands about one thing, such as "transponder key". With prepare it is a command itself, and may have others below it.
type group struct {
	name, usage, summary string

	commands []command
	prepare  func(*flag.FlagSet) runner
}

// command is one command of a group.
type command struct {
	name    string
	usage   string // what follows the name, besides flags: "ID"; what may be left out stands in brackets, at the end
	summary string
	prepare func(*flag.FlagSet) runner // defines the flags; the runner uses their values
}

// runner does the work of a command. args are what is no flag.
type runner func(ctx context.Context, s *session, args []string) error

// ErrSilent is the error of a command that has said on its output what is wrong.
var ErrSilent = errors.New("")

// usageError is the error of a command that was called in a wrong way.
type usageError string

func (e usageError) Error() string { return string(e) }

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs a command. args begin with its name; environ is as in os.Environ. The error is for the operator.
func Run(ctx context.Context, args, environ []string, std Streams) error {
	g, c, rest, err := find(args)
	if err != nil {
		return err
	}
	if c.prepare == nil {
		g.print(std.Out)
		return nil
	}
	title := strings.TrimSpace("transponder " + g.name + " " + c.name)
	f := flag.NewFlagSet(title, flag.ContinueOnError)
	f.SetOutput(io.Discard) // the error comes back
	s := &session{in: std.In, out: std.Out, errs: std.Err, environ: environ}
	run := c.prepare(f)
	s.define(f)
	f.Usage = func() {}
	plain, err := parse(f, rest)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(std.Out, "%s.\n\nUsage: %s [flags] %s\n\n", strings.ToUpper(c.summary[:1])+c.summary[1:], title, c.usage)
		f.SetOutput(std.Out)
		f.PrintDefaults()
		return nil
	case err != nil:
		return fmt.Errorf("%w; see %s --help", usageError(err.Error()), title)
	}
	most := len(strings.Fields(c.usage))
	if least := most - strings.Count(c.usage, "["); len(plain) > most || len(plain) < least {
		want := strconv.Itoa(most)
		if least < most {
			want = fmt.Sprintf("%d to %d", least, most)
		}
		return usageError(fmt.Sprintf("%d arguments, want %s; usage: %s [flags] %s", len(plain), want, title, c.usage))
	}
	if err = s.finish(); err == nil {
		err = run(ctx, s, plain)
	}
	var bad usageError
	if errors.As(err, &bad) {
		return fmt.Errorf("%w; see %s --help", err, title)
	}
	return explain(err)
}

// explain adds to an error what the operator can do.
func explain(err error) error {
	var away *client.UnreachableError
	switch {
	case client.Status(err) == http.StatusUnauthorized:
		return fmt.Errorf("%w (use --login NAME, or --token-file FILE)", err)
	case errors.As(err, &away):
		return fmt.Errorf("%w (start it, or name it by --config FILE or --server URL)", err)
	}
	return err
}

// The exit codes of commands, for scripts.
const (
	ExitFailed   = 1 // the server refuses, or what was checked is wrong
	ExitUsage    = 2 // the command line is wrong
	ExitNoServer = 3 // there is no answer
	ExitDenied   = 4 // the credential is missing, or does not allow this
	ExitNotFound = 5 // there is nothing with this name or id
)

// ExitCode returns the exit code for an error of Run.
func ExitCode(err error) int {
	var bad usageError
	var away *client.UnreachableError
	switch status := client.Status(err); {
	case err == nil:
		return 0
	case errors.As(err, &bad):
		return ExitUsage
	case errors.As(err, &away):
		return ExitNoServer
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ExitDenied
	case status == http.StatusNotFound:
		return ExitNotFound
	}
	return ExitFailed
}

// find returns the command that the arguments name, and the arguments after its name. Without the name of a command, the group is to be
// explained: then the command has no prepare.
func find(args []string) (group, command, []string, error) {
	if len(args) == 0 {
		return group{}, command{}, nil, usageError("no command")
	}
	i := slices.IndexFunc(groups, func(g group) bool { return g.name == args[0] })
	if i < 0 {
		names := make([]string, len(groups))
		for i, g := range groups {
			names[i] = g.name
		}
		return group{}, command{}, nil, usageError(fmt.Sprintf("unknown command %q: there are %s; see --help", args[0], strings.Join(names, ", ")))
	}
	g, rest := groups[i], args[1:]
	switch {
	case len(g.commands) == 0, g.prepare != nil && (len(rest) == 0 || strings.HasPrefix(rest[0], "-") && !isHelp(rest[0])):
		return g, command{usage: g.usage, summary: g.summary, prepare: g.prepare}, rest, nil
	case len(rest) == 0, isHelp(rest[0]):
		return g, command{}, nil, nil
	}
	i = slices.IndexFunc(g.commands, func(c command) bool { return c.name == rest[0] })
	if i < 0 {
		names := make([]string, len(g.commands))
		for i, c := range g.commands {
			names[i] = c.name
		}
		return g, command{}, nil, usageError(fmt.Sprintf("unknown command %q: transponder %s has %s", rest[0], g.name, strings.Join(names, ", ")))
	}
	return g, g.commands[i], rest[1:], nil
}

func isHelp(arg string) bool { return slices.Contains([]string{"-h", "-help", "--help", "help"}, arg) }

// parse parses flags that may stand before, between and after other arguments, and returns the others.
func parse(f *flag.FlagSet, args []string) (plain []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		rest := f.Args()
		if len(rest) == 0 {
			return plain, nil
		}
		if len(rest) < len(args) && args[len(args)-len(rest)-1] == "--" { // all that follows is plain
			return append(plain, rest...), nil
		}
		plain, args = append(plain, rest[0]), rest[1:]
	}
}

func (g group) print(w io.Writer) {
	fmt.Fprintf(w, "transponder %s: %s\n\n", g.name, g.summary)
	if g.prepare != nil {
		fmt.Fprintf(w, "  %-24s %s\n", "(alone)", g.summary)
	}
	for _, c := range g.commands {
		fmt.Fprintf(w, "  %-24s %s\n", strings.TrimSpace(c.name+" "+c.usage), c.summary)
	}
	fmt.Fprintf(w, "\nFlags: transponder %s COMMAND --help\n", g.name)
}

// Print lists all commands.
func Print(w io.Writer) {
	for _, g := range groups {
		fmt.Fprintf(w, "  %-12s %s\n", g.name, g.summary)
	}
}

// words is a flag that may be given several times, each time with one or more words between commas.
type words []string

func (w *words) String() string { return strings.Join(*w, ",") }

// Set adds the words of a value.
func (w *words) Set(value string) error {
	for word := range strings.SplitSeq(value, ",") {
		if word = strings.TrimSpace(word); word != "" {
			*w = append(*w, word)
		}
	}
	return nil
}
