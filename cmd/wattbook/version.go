package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

func versionVerb() verb {
	return verb{
		name: "version", args: "[--json]",
		summary: "say which version this is, and what it was built from",
		help: `
Says the version of the program, the commit that it was built from and the time
of that, and the version of Go.

Example: wattbook version`,
		run: version,
	}
}

// versionReport is what the program was built from.
type versionReport struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // empty if it is not known
	Time     string `json:"time"`     // of the commit, RFC 3339
	Modified bool   `json:"modified"` // there were changes that no commit has
	Go       string `json:"go_version"`
	Platform string `json:"platform"`
}

func version(_ context.Context, p *program, args []string) error {
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	r := versionReport{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		r.Version = info.Main.Version
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				r.Commit = s.Value
			case "vcs.time":
				r.Time = s.Value
			case "vcs.modified":
				r.Modified = s.Value == "true"
			}
		}
	}
	if p.common.json {
		return p.printJSON(r)
	}
	fmt.Fprintf(p.stdout, "wattbook %s, %s, %s\n", r.Version, r.Go, r.Platform)
	if r.Commit != "" {
		changed := ""
		if r.Modified {
			changed = ", with changes that are in no commit"
		}
		fmt.Fprintf(p.stdout, "built from commit %s of %s%s\n", r.Commit, r.Time, changed)
	}
	return nil
}
