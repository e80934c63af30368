package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// configError is a configuration that cannot be used.
type configError struct{ error }

func (e *configError) Unwrap() error { return e.error }

func configf(format string, args ...any) error { return &configError{fmt.Errorf(format, args...)} }

// settings are how the program runs, from flags, the environment, the file
// and defaults, in this order.
type settings struct {
	Data         string        // folder of the log, the evidence, the warehouse and the documents
	LogLevel     slog.Level    // of messages on standard error
	PublishEvery time.Duration // how often serve publishes the warehouse
	Settle       time.Duration // how long after a boundary serve polls for it
	Timeout      time.Duration // greatest time for one source's poll
	SignEvery    time.Duration // how often serve signs a checkpoint
	Origin       string        // name of a new log, in its checkpoints; empty: one of its own
}

// settingDefaults are the settings by the name that the file and the
// environment (WATTBOOK_LOG_LEVEL) have for them.
func settingDefaults() map[string]string {
	return map[string]string{
		"data":          "demo-data",
		"log_level":     "warn",
		"publish_every": "1m",
		"settle":        "2s",
		"timeout":       "20s",
		"sign_every":    "10m",
		"origin":        "",
	}
}

// otherVariables are environment variables with our prefix that are not
// settings: they are for the project's tests.
func otherVariables() []string {
	return []string{"WATTBOOK_FIELD_DATA", "WATTBOOK_EVENTSTOREDB", "WATTBOOK_PEERS"}
}

// settings reads the settings. A key that is not known is refused, with the
// nearest one that is.
func (p *program) settings() (settings, error) {
	v := viper.New()
	var known []string
	for name, value := range settingDefaults() {
		v.SetDefault(name, value)
		known = append(known, name)
		if err := v.BindEnv(name, "WATTBOOK_"+strings.ToUpper(name)); err != nil {
			return settings{}, err
		}
	}
	for _, kv := range p.environ() {
		name, _, _ := strings.Cut(kv, "=")
		key, ours := strings.CutPrefix(name, "WATTBOOK_")
		if ours && !slices.Contains(known, strings.ToLower(key)) && !slices.Contains(otherVariables(), name) {
			return settings{}, configf("environment variable %s is not a setting; did you mean WATTBOOK_%s?", name, strings.ToUpper(nearest(strings.ToLower(key), known)))
		}
	}
	if p.common.config != "" {
		v.SetConfigFile(p.common.config)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return settings{}, configf("configuration %s: %w", p.common.config, err)
		}
	}
	if p.common.data != "" {
		v.Set("data", p.common.data)
	}
	if p.common.level != "" {
		v.Set("log_level", p.common.level)
	}
	return readSettings(v)
}

func readSettings(v *viper.Viper) (settings, error) {
	s := settings{Data: v.GetString("data"), Origin: v.GetString("origin")}
	if s.Data == "" {
		return s, configf("setting data is empty; name a folder")
	}
	if err := s.LogLevel.UnmarshalText([]byte(v.GetString("log_level"))); err != nil {
		return s, configf("setting log_level is %q; want debug, info, warn or error", v.GetString("log_level"))
	}
	for name, d := range map[string]*time.Duration{"publish_every": &s.PublishEvery, "settle": &s.Settle, "timeout": &s.Timeout, "sign_every": &s.SignEvery} {
		value, err := time.ParseDuration(v.GetString(name))
		if err != nil || value < 0 {
			return s, configf("setting %s is %q; want a duration such as 30s or 1m", name, v.GetString(name))
		}
		*d = value
	}
	return s, nil
}

// readSite reads the site's description from a configuration file. Errors
// name the file, the line and, for a key that is not known, the nearest one
// that is.
func readSite(path string) (siteConfig, error) {
	var c siteConfig
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, configf("configuration: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return c, configf("configuration %s: %w", path, err)
	}
	if len(root.Content) == 0 {
		return c, configf("configuration %s is empty", path)
	}
	if err := checkKeys(path, root.Content[0], reflect.TypeOf(c)); err != nil {
		return c, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, configf("configuration %s: %w", path, err)
	}
	return c, c.validate(path)
}

// checkKeys refuses keys that the type does not have, and keys that are given
// twice.
func checkKeys(path string, n *yaml.Node, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, c := range n.Content {
			if err := checkKeys(path, c, t.Elem()); err != nil {
				return err
			}
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		fields := fieldsOf(t)
		known := make([]string, 0, len(fields))
		for name := range fields {
			known = append(known, name)
		}
		slices.Sort(known)
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			field, ok := fields[key.Value]
			switch {
			case !ok:
				return configf("configuration %s:%d: there is no key %q here; did you mean %q?", path, key.Line, key.Value, nearest(key.Value, known))
			case seen[key.Value]:
				return configf("configuration %s:%d: key %q is given twice", path, key.Line, key.Value)
			}
			seen[key.Value] = true
			if err := checkKeys(path, n.Content[i+1], field); err != nil {
				return err
			}
		}
	}
	return nil
}

// fieldsOf returns the types of a struct's fields by their YAML keys.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if strings.Contains(options, "inline") {
			for k, v := range fieldsOf(f.Type) {
				fields[k] = v
			}
			continue
		}
		if name != "" && name != "-" {
			fields[name] = f.Type
		}
	}
	return fields
}

// logger returns a logger on standard error.
func (p *program) logger(s settings) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: s.LogLevel}))
}

// printJSON writes a report as indented JSON.
func (p *program) printJSON(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
