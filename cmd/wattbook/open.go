package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"wattbook/domain"
)

// withBook opens the data folder for a verb that reads it, or adds a
// conclusion to it. A folder that holds no book is an error: a mistyped name
// must not make a new one.
func (p *program) withBook(ctx context.Context, do func(b *book) error) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	if err := holdsBook(s.Data); err != nil {
		return err
	}
	b, err := openBook(ctx, s.Data, systemClock, p.logger(s))
	if err != nil {
		return err
	}
	return errors.Join(do(b), b.close())
}

func holdsBook(dir string) error {
	if _, err := os.Stat(folder(dir).log()); err != nil {
		return fmt.Errorf("%s holds no book; make one with wattbook demo or wattbook serve, or name another folder with --data", dir)
	}
	return nil
}

func systemClock() domain.Instant { return domain.At(time.Now()) }

// siteNamed returns the site of a name, or the only one.
func (b *book) siteNamed(name string) (domain.SiteRegistered, error) {
	sites := b.facts.Sites()
	var known []string
	for _, s := range sites {
		if string(s.Site) == name {
			return s, nil
		}
		known = append(known, string(s.Site))
	}
	switch {
	case len(sites) == 0:
		return domain.SiteRegistered{}, fmt.Errorf("%s: no site is registered", b.folder)
	case name != "":
		return domain.SiteRegistered{}, fmt.Errorf("%s: site %s is not registered; registered are %q", b.folder, name, known)
	case len(sites) > 1:
		return domain.SiteRegistered{}, usagef("the log holds several sites: name one with --site, of %q", known)
	}
	return sites[0], nil
}
