package main

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"transponder/internal/admin"
)

// serverFlags are the flags of the server itself; cmd/transponder defines them.
var serverFlags = []struct{ name, value, text string }{
	{"config", "FILE", "settings, in the form of flashphoner.properties"},
	{"set", "key=value", "one setting; may be repeated, and overrides the file and the environment"},
	{"settings", "", "print every setting with its value, and exit"},
	{"version", "", "print the version, and exit"},
	{"help", "", "list the flags and the commands"},
}

// manual returns the man page.
func manual(version string, when time.Time) []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`.TH TRANSPONDER 1 "%s" "Transponder %s" "User Commands"`, when.Format("January 2006"), roff(version))
	p(".SH NAME")
	p(`transponder \- take live streams from WebRTC, WHIP, SIP and RTMP, and push them to RTMP servers`)
	p(".SH SYNOPSIS")
	p(".B transponder")
	p(`[\fB\-\-config\fR \fIFILE\fR] [\fB\-\-set\fR \fIkey=value\fR]...`)
	p(".br")
	p(".B transponder")
	p(`\fICOMMAND\fR [\fIflags\fR] [\fIarguments\fR]`)
	p(".SH DESCRIPTION")
	p("Without a command, transponder is the server. It runs until it gets SIGTERM or SIGINT. A second process with the same settings takes over")
	p("from the first, without a refused connection.")
	p(".PP")
	p("With a command, it talks to the server that runs on this machine, or to the one that")
	p(`\fB\-\-server\fR names.`)
	p(".SH OPTIONS")
	for _, f := range serverFlags {
		p(".TP")
		p(`\fB\-\-%s\fR \fI%s\fR`, roff(f.name), roff(f.value))
		p("%s", sentence(f.text))
	}
	p(".SH COMMANDS")
	for _, c := range admin.Commands() {
		p(".TP")
		p(`\fB%s\fR \fI%s\fR`, roff(c.Name), roff(c.Usage))
		p("%s", sentence(c.Summary))
		for _, f := range c.Flags {
			entry(p, f)
		}
	}
	p(".SS Flags of all commands")
	for _, f := range admin.CommonFlags() {
		value, text := flag.UnquoteUsage(f)
		p(".TP")
		p(`\fB%s\fR \fI%s\fR`, roff(dashed(f.Name)), roff(value))
		p("%s", sentence(text))
	}
	p(".SH EXIT STATUS")
	p("0: done. 1: the server has refused, or what was checked is not so. 2: the command line is wrong. 3: no server answers.")
	p("4: the credential is missing, or does not allow this. 5: there is nothing with this name or id.")
	p(".SH SIGNALS")
	for _, s := range [][2]string{
		{"SIGTERM, SIGINT", "Stop; a second one ends the wait for streams (drain_ms)."},
		{"SIGHUP", "Read the settings that can change, the certificate, and the files of users and applications again."},
		{"SIGUSR2", "Start the program at the path of this process, which takes over: an upgrade."},
	} {
		p(".TP\n.B %s\n%s", s[0], s[1])
	}
	p(".SH ENVIRONMENT")
	p("Each setting may come from the environment: TRANSPONDER_HTTP_PORT is http.port. The environment overrides the file.")
	p("Commands also read TRANSPONDER_URL, the address of the server, and TRANSPONDER_TOKEN_FILE or TRANSPONDER_TOKEN, a token or a stored key.")
	p(".SH FILES")
	for _, f := range [][2]string{
		{"/etc/transponder/flashphoner.properties", "The settings, each with an explanation. Without --config the program reads this file."},
		{"/var/lib/transponder", "The state: users, keys, destinations, pushes, certificates."},
		{"~/.config/transponder/servers", "The servers that commands may name, with their addresses and the files of credentials."},
		{"/var/lib/transponder/media", "WAV files for pushes, and pictures to show while a publisher is away."},
	} {
		p(".TP\n.I %s\n%s", f[0], roff(f[1]))
	}
	p(".SH SEE ALSO")
	p("The guides in /usr/share/doc/transponder, and the list of settings in /etc/transponder/flashphoner.properties.")
	return b.Bytes()
}

// dashed returns a flag as people write it.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// entry is one flag below its command.
func entry(p func(string, ...any), f *flag.Flag) {
	value, text := flag.UnquoteUsage(f)
	p(".RS\n.TP")
	p(`\fB\-\-%s\fR \fI%s\fR`, roff(f.Name), roff(value))
	p("%s\n.RE", sentence(text))
}

// roff escapes text for a man page.
func roff(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`).Replace(s)
}

// sentence is text as a sentence of a man page.
func sentence(s string) string {
	return roff(strings.ToUpper(s[:1])+s[1:]) + "."
}

// words returns the words that may follow each beginning of a command line: "" are the commands, "key" those of a group.
func words() (after map[string][]string, beginnings []string) {
	after = map[string][]string{}
	var common []string
	for _, f := range admin.CommonFlags() {
		common = append(common, dashed(f.Name))
	}
	for _, f := range serverFlags {
		after[""] = append(after[""], "--"+f.name)
	}
	for _, c := range admin.Commands() {
		group, name, both := strings.Cut(c.Name, " ")
		if !slices.Contains(after[""], group) {
			after[""] = append(after[""], group)
		}
		if both {
			after[group] = append(after[group], name)
		}
		for _, f := range c.Flags {
			after[c.Name] = append(after[c.Name], "--"+f.Name)
		}
		after[c.Name] = append(after[c.Name], common...)
	}
	for beginning, list := range after {
		slices.Sort(list)
		beginnings = append(beginnings, beginning)
	}
	slices.Sort(beginnings)
	return after, beginnings
}

// filePattern are the flags whose value is a file.
const filePattern = "--config|--*-file"

// bashCompletion returns the completion of bash.
func bashCompletion() []byte {
	var b bytes.Buffer
	b.WriteString(`# bash completion for transponder

_transponder()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words
	case $prev in
	` + filePattern + `)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	case $COMP_CWORD in
	1) words=${_transponder_words[none]} ;;
	2) words=${_transponder_words[${COMP_WORDS[1]}]} ;;
	*) words=${_transponder_words[${COMP_WORDS[1]} ${COMP_WORDS[2]}]:-${_transponder_words[${COMP_WORDS[1]}]}} ;;
	esac
	[[ ${COMP_WORDS[1]} == -* ]] && words=${_transponder_words[none]}
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

declare -gA _transponder_words=(
`)
	after, beginnings := words()
	for _, at := range beginnings {
		name := at
		if at == "" {
			name = "none"
		}
		fmt.Fprintf(&b, "\t[%s]=\"%s\"\n", name, strings.Join(after[at], " "))
	}
	b.WriteString(")\ncomplete -F _transponder transponder\n")
	return b.Bytes()
}

// zshCompletion returns the completion of zsh.
func zshCompletion() []byte {
	var b bytes.Buffer
	b.WriteString(`#compdef transponder

local -A next=(
`)
	after, beginnings := words()
	for _, at := range beginnings {
		name := at
		if at == "" {
			name = "none"
		}
		fmt.Fprintf(&b, "\t'%s' '%s'\n", name, strings.Join(after[at], " "))
	}
	b.WriteString(`)
case ${words[CURRENT-1]} in
(` + filePattern + `) _files; return ;;
esac
local found
if (( CURRENT == 2 )) || [[ $words[2] == -* ]]; then
	found=$next[none]
elif (( CURRENT == 3 )); then
	found=$next[$words[2]]
else
	found=${next[$words[2] $words[3]]:-$next[$words[2]]}
fi
compadd -- ${=found}
`)
	return b.Bytes()
}
