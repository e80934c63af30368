package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"wattbook/queries/warehouse"
)

// sqlServer answers SQL over HTTP while the site is served.
type sqlServer struct {
	http  *http.Server
	ended chan struct{}
}

// startSQL begins to answer at the address of the settings. It returns nil if
// they name none.
func startSQL(f folder, s settings, logger *slog.Logger) (*sqlServer, error) {
	if s.SQLListen == "" {
		return nil, nil
	}
	if wrong := noAddress(s.SQLListen); wrong != "" {
		return nil, configf("setting sql_listen %s", wrong)
	}
	host, _, _ := net.SplitHostPort(s.SQLListen) // it is one
	if ip := net.ParseIP(host); s.SQLToken == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, configf("setting sql_listen is %q, which other machines reach: set sql_token (WATTBOOK_SQL_TOKEN) too, or listen on 127.0.0.1", s.SQLListen)
	}
	listener, err := net.Listen("tcp", s.SQLListen)
	if err != nil {
		return nil, fmt.Errorf("answer SQL at %s: %w", s.SQLListen, err)
	}
	v := &sqlServer{ended: make(chan struct{}), http: &http.Server{
		Handler:     warehouse.Handler(warehouse.HandlerConfig{Dir: f.warehouse(), Token: s.SQLToken, Command: sqlCommand, Limits: warehouse.Limits{Logger: logger}}),
		ReadTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}}
	go func() {
		defer close(v.ended)
		if err := v.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("SQL is no longer answered", "err", err)
		}
	}()
	return v, nil
}

// noAddress says why a text is no address to listen at, or nothing.
func noAddress(text string) string {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Sprintf("is %q; want an address such as 127.0.0.1:8480", text)
	}
	return ""
}

// close ends it; queries that run have a moment to finish.
func (v *sqlServer) close() {
	if v == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if v.http.Shutdown(ctx) != nil {
		_ = v.http.Close()
	}
	<-v.ended
}
