// Command wattbook keeps the book of record of sites that mine bitcoin and
// serve AI compute.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	_ "time/tzdata" // a machine without a zone table bills the same months

	"wattbook/domain"
)

// Exit codes.
const (
	exitOK      = 0 // done, and nothing to report
	exitFinding = 1 // a finding, or a failure
	exitUsage   = 2 // the command line or the configuration is wrong
)

// verb is one thing that the program does.
type verb struct {
	name    string
	args    string // shown after the name
	summary string
	help    string // what it does and when; one example
	run     func(ctx context.Context, p *program, args []string) error
}

func verbs() []verb {
	return []verb{
		demoVerb(), serveVerb(), checkVerb(), importVerb(), estimateVerb(), explainVerb(), contractVerb(), invoiceVerb(), journalVerb(), coinVerb(), poolVerb(), sqlVerb(), warehouseVerb(), replayVerb(), logVerb(),
		traceVerb(), evidenceVerb(), checkpointVerb(), verifyVerb(), proveVerb(),
		backupVerb(), restoreVerb(), versionVerb(),
	}
}

// program is what a verb works with.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        func() []string
	now            func() domain.Instant
	host           *host    // the service that the verb runs in, or nil
	dir            string   // from which relative file names count; empty: the working directory
	args           []string // the command line
	verb           verb
	flags          *flag.FlagSet
	common         common
}

// common are the flags that every verb has.
type common struct {
	config string
	data   string
	json   bool
	level  string
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == sqlWork {
		os.Exit(workSQL())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ, now: systemClock}))
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, p *program) int {
	if len(args) == 0 || args[0] == "help" && len(args) == 1 || args[0] == "-h" || args[0] == "--help" {
		p.usage()
		if len(args) == 0 {
			return exitUsage
		}
		return exitOK
	}
	if args[0] == "--version" || args[0] == "-version" {
		args = append([]string{"version"}, args[1:]...)
	}
	args, err := verbFirst(args)
	if err != nil {
		fmt.Fprintf(p.stderr, "wattbook: %v\n", err)
		return exitUsage
	}
	p.args = args
	name := args[0]
	if name == "help" && len(args) > 1 {
		name, args = args[1], []string{args[1], "--help"}
	}
	for _, v := range verbs() {
		if v.name != name {
			continue
		}
		p.verb = v
		p.flags = flag.NewFlagSet(v.name, flag.ContinueOnError)
		p.flags.SetOutput(io.Discard)
		p.flags.StringVar(&p.common.config, "config", "", "configuration `file` (YAML)")
		data := "data `folder` (default demo-data)"
		if v.name == "serve" || v.name == "check" {
			data = "data `folder` (default: that of the configuration)"
		}
		p.flags.StringVar(&p.common.data, "data", "", data)
		p.flags.StringVar(&p.common.level, "log-level", "", "`level` of messages: debug, info, warn or error (default warn)")
		p.flags.BoolVar(&p.common.json, "json", false, "report as JSON")
		return p.report(v.run(ctx, p, args[1:]))
	}
	fmt.Fprintf(p.stderr, "wattbook: there is no verb %q; did you mean %q?\n", name, nearest(name, verbNames()))
	return exitUsage
}

// verbFirst puts the verb before the flags that every verb has.
func verbFirst(args []string) ([]string, error) {
	n := 0
	for n < len(args) && strings.HasPrefix(args[n], "-") {
		name, _, valued := strings.Cut(strings.TrimLeft(args[n], "-"), "=")
		switch name {
		case "json":
			n++
		case "config", "data", "log-level":
			if n++; !valued {
				n++
			}
		default:
			return nil, fmt.Errorf("flag %s stands before the verb, where only --config, --data, --log-level and --json may; write wattbook VERB %s", args[n], args[n])
		}
	}
	if n >= len(args) {
		return nil, fmt.Errorf("there is no verb behind %s; wattbook help lists them", strings.Join(args, " "))
	}
	return slices.Concat(args[n:n+1], args[:n], args[n+1:]), nil
}

// report prints an error and returns the exit code that it stands for.
func (p *program) report(err error) int {
	var usage *usageError
	var elsewhere *elsewhereError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		p.help()
		return exitOK
	case errors.As(err, &elsewhere):
		return elsewhere.exit
	case errors.Is(err, errFinding):
		return exitFinding // the verb has said what it found
	case errors.Is(err, errWrong):
		return exitUsage // likewise
	case errors.As(err, &usage):
		fmt.Fprintf(p.stderr, "wattbook %s: %v\nusage: wattbook %s %s\n", p.verb.name, err, p.verb.name, p.verb.args)
		return exitUsage
	}
	fmt.Fprintf(p.stderr, "wattbook %s: %v\n", p.verb.name, err)
	var invalid *configError
	if errors.As(err, &invalid) {
		return exitUsage
	}
	return exitFinding
}

// errFinding is returned by a verb that found something wrong and said so.
var errFinding = errors.New("finding")

// errWrong is returned by a verb that found a configuration wrong and said so.
var errWrong = errors.New("wrong configuration")

// usageError is a command line that cannot be understood.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// parse reads the verb's flags, which may stand before or after its other
// arguments, and returns those.
func (p *program) parse(args []string, least, most int) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		flags, after := args, []string(nil)
		if i := slices.IndexFunc(args, isComment); i >= 0 {
			flags, after = args[:i], args[i:]
		}
		if err := p.flags.Parse(flags); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, p.flagError(err, args)
		}
		if args = slices.Concat(p.flags.Args(), after); len(args) > 0 {
			rest, args = append(rest, args[0]), args[1:]
		}
	}
	if len(rest) < least || len(rest) > most {
		switch {
		case least == most:
			return nil, usagef("got %d arguments, want %d", len(rest), least)
		default:
			return nil, usagef("got %d arguments, want %d to %d", len(rest), least, most)
		}
	}
	return rest, nil
}

// isComment reports whether an argument is an SQL text that begins with a
// comment, and no flag.
func isComment(arg string) bool { return strings.HasPrefix(arg, "-- ") }

// flagError says which flag was meant.
func (p *program) flagError(err error, args []string) error {
	message := err.Error()
	if unknown, ok := strings.CutPrefix(message, "flag provided but not defined: -"); ok {
		var known []string
		p.flags.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
		return usagef("there is no flag --%s; did you mean --%s?", unknown, nearest(unknown, known))
	}
	return usagef("%s", message)
}

func verbNames() []string {
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return names
}

func (p *program) usage() {
	fmt.Fprint(p.stdout, `Wattbook is the book of record of sites that mine bitcoin and serve AI compute.

Usage: wattbook VERB [flags] [arguments]

The verbs are:
`)
	for _, v := range verbs() {
		fmt.Fprintf(p.stdout, "  %-10s %s\n", v.name, v.summary)
	}
	fmt.Fprint(p.stdout, `
wattbook help VERB says more. --config, --data, --log-level and --json may stand
before the verb too. Settings are taken from flags, then from the
environment (WATTBOOK_DATA, WATTBOOK_LOG_LEVEL, …), then from the file given by
--config, then from defaults. Exit codes: 0 done, 1 a finding or a failure,
2 a command line or a configuration that is wrong.
`)
}

func (p *program) help() {
	fmt.Fprintf(p.stdout, "Usage: wattbook %s %s\n\n%s\n\nFlags:\n", p.verb.name, p.verb.args, strings.TrimSpace(p.verb.help))
	p.flags.VisitAll(func(f *flag.Flag) {
		kind, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			text += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		fmt.Fprintf(p.stdout, "  %-24s %s\n", strings.TrimSpace("--"+f.Name+" "+strings.ToUpper(kind)), text)
	})
}

// nearest returns the known word that is closest to a mistyped one.
func nearest(word string, known []string) string {
	best, least := "", 1<<30
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// sortedKeys returns the keys of a map in their order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
