package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/viper"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/pebblelog"
)

// keptLog is a log that keeps its Merkle tree and finds events by their ids:
// the one in a data folder, or one on a cluster.
type keptLog interface {
	eventlog.Log
	grownLog
	Find(ctx context.Context, id domain.EventID) (eventlog.Record, bool, error)
}

// clusterSettings name the log on an EventStoreDB or KurrentDB server, and who
// asks for it.
type clusterSettings struct {
	URL       string // connection string; empty: the log is in the data folder
	User      string // instead of the one in URL
	Password  string
	Stream    string // that holds the log; empty: kurrentlog.DefaultStream
	Leader    bool   // refuse nodes that do not lead
	Plaintext bool   // name and password may travel unencrypted
}

const noCluster = "is no connection string; write one such as esdb://host:2113?tls=true or esdb+discover://host:2113"

// read reads the settings that begin with cluster.
func (c *clusterSettings) read(v *viper.Viper) error {
	c.URL, c.User, c.Password, c.Stream = v.GetString("cluster"), v.GetString("cluster_user"), v.GetString("cluster_password"), v.GetString("cluster_stream")
	if c.URL != "" && !isCluster(c.URL) {
		return configf("setting cluster %s", noCluster)
	}
	if (c.User == "") != (c.Password == "") {
		return configf("of the settings cluster_user and cluster_password one is empty; give both or none")
	}
	for name, b := range map[string]*bool{"cluster_leader": &c.Leader, "cluster_plaintext": &c.Plaintext} {
		value, err := strconv.ParseBool(v.GetString(name))
		if err != nil {
			return configf("setting %s is %q; want true or false", name, v.GetString(name))
		}
		*b = value
	}
	return nil
}

// isCluster reports whether a log is named by a connection string, and not by
// its data folder.
func isCluster(name string) bool {
	return strings.HasPrefix(name, "esdb://") || strings.HasPrefix(name, "esdb+discover://")
}

// at returns the settings for the log at a connection string: a name and a
// password in it count more than those of the settings.
func (c clusterSettings) at(url string) clusterSettings {
	c.URL = url
	if authority, _, _ := strings.Cut(url, "?"); strings.Contains(authority, "@") {
		c.User, c.Password = "", ""
	}
	return c
}

// shown is the URL without what nobody should see.
func (c clusterSettings) shown() string {
	scheme, rest, _ := strings.Cut(c.URL, "://")
	rest, _, _ = strings.Cut(rest[strings.LastIndexByte(rest, '@')+1:], "?")
	name := scheme + "://" + rest
	if c.Stream != "" && c.Stream != kurrentlog.DefaultStream {
		name += " stream " + c.Stream
	}
	return name
}

// open opens the log. What is known of it is kept in dir, or if that is empty
// in memory.
func (c clusterSettings) open(ctx context.Context, dir string, logger *slog.Logger) (*kurrentlog.Log, error) {
	log, err := kurrentlog.Open(ctx, kurrentlog.Config{
		URL: c.URL, User: c.User, Password: c.Password, Stream: c.Stream, Dir: dir, Logger: logger,
		RequiresLeader: c.Leader, Plaintext: c.Plaintext,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.shown(), err)
	}
	return log, nil
}

// cluster is where what is known of a log on a cluster is kept.
func (f folder) cluster() string { return filepath.Join(string(f), "cluster") }

// openLog opens the log of a data folder, wherever it is.
func (s settings) openLog(ctx context.Context, now func() domain.Instant, logger *slog.Logger) (keptLog, error) {
	f := folder(s.Data)
	if s.Cluster.URL != "" {
		return s.Cluster.open(ctx, f.cluster(), logger)
	}
	return pebblelog.Open(pebblelog.Config{Dir: f.log(), Now: now, Logger: logger})
}

// embedded returns the log if it is in the data folder.
func (l *logFolder) embedded() (*pebblelog.Log, error) {
	if log, ok := l.log.(*pebblelog.Log); ok {
		return log, nil
	}
	return nil, fmt.Errorf("the log of %s is on a cluster: back it up there, or bring it into a folder with wattbook log copy", l.folder)
}
