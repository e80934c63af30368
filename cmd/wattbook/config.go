package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// configError is a configuration that cannot be used.
type configError struct{ error }

func (e *configError) Unwrap() error { return e.error }

func configf(format string, args ...any) error { return &configError{fmt.Errorf(format, args...)} }

// settings are how the program runs, from flags, the environment, the file
// and defaults, in this order.
type settings struct {
	Data         string        // folder of the log, the evidence, the warehouse and the documents
	Chosen       bool          // whether anybody said so
	LogLevel     slog.Level    // of messages on standard error
	PublishEvery time.Duration // how often serve publishes the warehouse
	Settle       time.Duration // how long after a boundary serve polls for it
	Timeout      time.Duration // greatest time for one source's poll
	SignEvery    time.Duration // how often serve signs a checkpoint
	Wait         time.Duration // how long a verb waits for a folder that another process has open
	SQLListen    string        // address at which serve answers SQL over HTTP; empty: nowhere
	SQLToken     string        // that must come with it
	Origin       string        // name of a new log, in its checkpoints; empty: one of its own
	Cluster      clusterSettings

	reading func(done, total int64) // told how far the log is read; may be nil
}

// settingDefaults are the settings by the name that the file and the
// environment (WATTBOOK_LOG_LEVEL) have for them.
func settingDefaults() map[string]string {
	return map[string]string{
		"data":          "demo-data",
		"log_level":     "warn",
		"publish_every": "5s",
		"sql_listen":    "",
		"sql_token":     "",
		"settle":        "2s",
		"timeout":       "20s",
		"sign_every":    "10m",
		"wait":          "10s",
		"origin":        "",

		"cluster":           "",
		"cluster_user":      "",
		"cluster_password":  "",
		"cluster_stream":    "",
		"cluster_leader":    "false",
		"cluster_plaintext": "false",
	}
}

// otherVariables are environment variables with our prefix that are not
// settings: they are for the project's tests.
func otherVariables() []string {
	return []string{"WATTBOOK_FIELD_DATA", "WATTBOOK_EVENTSTOREDB", "WATTBOOK_PEERS", "WATTBOOK_BENCH_DAYS"}
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
	chosen := false
	if p.common.config != "" {
		in := readDocument(p.path(p.common.config), p.common.config)
		if in.root.node != nil {
			in.checkSettings()
		}
		if err := in.err(); err != nil {
			return settings{}, err
		}
		v.SetConfigFile(p.path(p.common.config))
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return settings{}, configf("%s: %w", p.common.config, err)
		}
		if chosen = in.config.Data != ""; chosen && p.getenv("WATTBOOK_DATA") == "" {
			v.Set("data", in.resolve(in.config.Data))
		}
	}
	if p.common.data != "" {
		v.Set("data", p.path(p.common.data))
	}
	if p.common.level != "" {
		v.Set("log_level", p.common.level)
	}
	s, err := readSettings(v)
	s.Chosen = chosen || p.common.data != "" || p.getenv("WATTBOOK_DATA") != ""
	s.reading = p.patient()
	return s, err
}

func readSettings(v *viper.Viper) (settings, error) {
	s := settings{Data: v.GetString("data"), Origin: v.GetString("origin"), SQLListen: v.GetString("sql_listen"), SQLToken: v.GetString("sql_token")}
	if s.Data == "" {
		return s, configf("setting data is empty; name a folder")
	}
	if err := s.Cluster.read(v); err != nil {
		return s, err
	}
	for _, name := range []string{"log_level", "publish_every", "settle", "timeout", "sign_every", "wait"} {
		if wrong := s.set(name, v.GetString(name)); wrong != "" {
			return s, configf("setting %s: %s", name, wrong)
		}
	}
	return s, nil
}

// set reads a setting. It returns what is wrong with the text, if anything.
func (s *settings) set(name, text string) string {
	if name == "log_level" {
		if err := s.LogLevel.UnmarshalText([]byte(text)); err != nil {
			return fmt.Sprintf("%q is no level; want debug, info, warn or error", text)
		}
		return ""
	}
	field := map[string]*time.Duration{"publish_every": &s.PublishEvery, "settle": &s.Settle, "timeout": &s.Timeout, "sign_every": &s.SignEvery, "wait": &s.Wait}[name]
	bounds := map[string][2]time.Duration{
		"publish_every": {time.Second, 24 * time.Hour},
		"settle":        {0, 10 * time.Minute},
		"timeout":       {time.Millisecond, time.Hour},
		"sign_every":    {time.Second, 30 * 24 * time.Hour},
		"wait":          {0, time.Hour},
	}[name]
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is no time; want a duration such as 30s or 1m", text)
	case d < bounds[0] || d > bounds[1]:
		return fmt.Sprintf("%s is not from %s to %s; want a duration such as %s", text, bounds[0], bounds[1], settingDefaults()[name])
	}
	*field = d
	return ""
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
