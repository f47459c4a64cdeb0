package admin

import (
	"flag"
	"strings"
)

// Command is what a manual says of one command.
type Command struct {
	Name, Usage, Summary string // "key create", "NAME", "make a stored key"
	Flags                []*flag.Flag
}

// CommonFlags are the flags that all commands have.
func CommonFlags() []*flag.Flag {
	f := flag.NewFlagSet("", flag.ContinueOnError)
	(&session{}).define(f)
	return flags(f)
}

// Commands returns all commands in the order of the help. The flags are those that not all commands have.
func Commands() []Command {
	var all []Command
	add := func(name, usage, summary string, prepare func(*flag.FlagSet) runner) {
		f := flag.NewFlagSet(name, flag.ContinueOnError)
		prepare(f)
		all = append(all, Command{name, usage, summary, flags(f)})
	}
	for _, g := range groups {
		if len(g.commands) == 0 {
			add(g.name, g.usage, g.summary, g.prepare)
		}
		for _, c := range g.commands {
			add(strings.TrimSpace(g.name+" "+c.name), c.usage, c.summary, c.prepare)
		}
	}
	return all
}

func flags(f *flag.FlagSet) []*flag.Flag {
	var all []*flag.Flag
	f.VisitAll(func(one *flag.Flag) { all = append(all, one) })
	return all
}
