package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest/pebblelog"
)

func checkVerb() verb {
	return verb{
		name: "check", args: "--config FILE [--data DIR]",
		summary: "say what is wrong with a configuration, and what it would poll",
		help: `
Reads the configuration of a site as "wattbook serve" would, and says everything
that is wrong with it, each with its line, its key and what to write. It asks no
device and records nothing. If a data folder is named, by --data or by the
configuration, and holds a book, what contradicts the book is told as well, and
where a meter's registers are not what its last reply was understood by.

A sound configuration gives what would be polled, and how often. The exit code
is 2 if the configuration is wrong, and 1 if it contradicts the book.

Example: wattbook check --config site.yaml --data /var/lib/wattbook`,
		run: check,
	}
}

// checked is what check reports.
type checked struct {
	Site     domain.SiteID `json:"site,omitempty"`
	Problems []problem     `json:"problems"`
	Polls    []polls       `json:"polls"`
	Unpolled []string      `json:"unpolled_devices,omitempty"`
}

// polls is what a source would be asked for.
type polls struct {
	Source domain.SourceID `json:"source"`
	Type   string          `json:"type"`
	Every  domain.Duration `json:"every"`
	From   string          `json:"from"`
}

func check(ctx context.Context, p *program, args []string) error {
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	if p.common.config == "" {
		return usagef("--config is missing: name the file that describes the site")
	}
	in := inspectSite(p.path(p.common.config), p.common.config)
	if len(in.problems) == 0 {
		in.makeSources(p)
	}
	if len(in.problems) == 0 {
		s, err := p.settings()
		if err != nil {
			return err
		}
		there, err := pebblelog.Exists(folder(s.Data).log())
		if err != nil {
			return err
		}
		if there && s.Chosen || p.host != nil {
			if err := p.withBook(ctx, func(b *book) error {
				if err := in.against(b.facts, s.Data, false); err != nil {
					return err
				}
				return in.registersAgainst(ctx, p, b)
			}); err != nil {
				return err
			}
		}
	}
	return p.reportChecked(in)
}

// makeSources makes the sources as a service would, and forgets them.
func (in *inspection) makeSources(p *program) {
	_, _ = builder{
		config: in.config, now: systemClock, logger: slog.New(slog.DiscardHandler), client: httpClient(), getenv: p.getenv,
		gpus: func(library, host string) (nvml.Interface, error) {
			if err := knownLibrary(library); err != nil {
				return nil, err
			}
			return fake.NVML(host, func(int) fake.GPUState { return fake.GPUState{} }), nil // whether the library loads is for the host to say
		},
	}.sources(in)
}

func (p *program) reportChecked(in *inspection) error {
	c := checked{Site: in.config.Site.ID, Problems: in.problems, Polls: []polls{}}
	if len(in.problems) == 0 {
		c.Problems = []problem{}
		c.Polls, c.Unpolled = in.polls()
	}
	switch {
	case p.common.json:
		if err := p.printJSON(c); err != nil {
			return err
		}
	case len(in.problems) > 0:
		for _, wrong := range in.problems {
			fmt.Fprintln(p.stdout, wrong)
		}
	default:
		if err := c.print(p, in); err != nil {
			return err
		}
	}
	switch {
	case len(in.problems) == 0:
		return nil
	case slices.ContainsFunc(in.problems, func(p problem) bool { return !p.Book }):
		return errWrong
	}
	return errFinding
}

// intervalFiles returns the sources whose files say of which meters they are.
func (in *inspection) intervalFiles() (names []string) {
	for _, s := range in.config.Sources {
		if s.Type == "interval-file" {
			names = append(names, string(s.Name))
		}
	}
	return names
}

func (c checked) print(p *program, in *inspection) error {
	fmt.Fprintf(p.stdout, "%s is sound: site %s, %d devices, %d contracts\n", in.file, c.Site, len(in.config.Devices), len(in.config.Contracts))
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SOURCE\tTYPE\tEVERY\tFROM")
	for _, s := range c.Polls {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Source, s.Type, s.Every, s.From)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(c.Unpolled) > 0 {
		from := "have to be imported"
		if files := in.intervalFiles(); len(files) > 0 {
			from = fmt.Sprintf("come in the files of %s, or have to be imported", strings.Join(files, ", "))
		}
		fmt.Fprintf(p.stdout, "no source asks %s itself: the readings %s\n", strings.Join(c.Unpolled, ", "), from)
	}
	return nil
}

// polls says what every source would be asked for, and which devices no source
// names.
func (in *inspection) polls() (all []polls, unpolled []string) {
	asked := map[domain.DeviceID]bool{}
	all = []polls{}
	for _, s := range in.config.Sources {
		var from []string
		for _, m := range s.Meters {
			asked[m.Device] = true
			from = append(from, fmt.Sprintf("%s at %s", m.Device, m.Address))
		}
		for _, m := range s.Miners {
			asked[m.Device] = true
			from = append(from, fmt.Sprintf("%s at %s", m.Device, m.Address))
		}
		for _, g := range s.GPUs {
			asked[g.Device] = true
			from = append(from, string(g.Device))
		}
		if len(from) > 3 {
			from = append(from[:2], fmt.Sprintf("and %d more", len(from)-2))
		}
		switch {
		case s.URL != "":
			from = append(from, hostOf(s.URL))
		case s.File != "":
			from = append(from, s.File)
		case len(s.Command) > 0:
			from = append(from, s.Command[0])
		}
		all = append(all, polls{s.Name, s.Type, s.Every, strings.Join(from, ", ")})
	}
	for _, d := range in.config.Devices {
		if !asked[d.ID] {
			unpolled = append(unpolled, string(d.ID))
		}
	}
	return all, unpolled
}

// hostOf returns where an address leads, without what may be a key in it.
func hostOf(address string) string {
	u, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(address))
	if err != nil {
		return "an address"
	}
	return u.Scheme + "://" + u.Host
}
