package main

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
)

// serveProfiles serves Go's profiles on addr and returns what ends it. What they
// tell is the operator's alone: they have a listener of their own.
func serveProfiles(addr string, log *slog.Logger) (end func() error, err error) {
	l, err := listen("--pprof-addr", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	log.Info("serving profiles", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	// Whoever profiles wants to wait longer than others may: failures are theirs.
	return serveHTTP(l, mux, log, make(chan error, 1)), nil
}
