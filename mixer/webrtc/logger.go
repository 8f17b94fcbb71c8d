package webrtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
	"github.com/prometheus/client_golang/prometheus"
)

// logger takes what pion logs: packets that it refused are counted, which it
// tells of nowhere else, and the rest is for whoever runs at debug level.
type logger struct {
	log               *slog.Logger
	info, warn, trace prometheus.Counter // what a line of that level counts as; may be nil
}

// loggers is pion's factory of loggers.
type loggers struct {
	log   *slog.Logger
	meter *meter
}

func (f loggers) NewLogger(scope string) logging.LeveledLogger {
	l := logger{log: f.log.With("pion", scope)}
	if scope == "srtp" {
		l.info = f.meter.badSRTP // "failed to verify auth tag" and the like, one line a packet
	}
	return l
}

// forMux is the logger of a UDP mux, which sees the packets of strangers.
func (f loggers) forMux() logging.LeveledLogger {
	return logger{log: f.log.With("pion", "mux"), trace: f.meter.badStranger, warn: f.meter.badSTUN}
}

func count(c prometheus.Counter) {
	if c != nil {
		c.Inc()
	}
}

func (l logger) Trace(string)          { count(l.trace) }
func (l logger) Tracef(string, ...any) { count(l.trace) }
func (l logger) Debug(string)          {}
func (l logger) Debugf(string, ...any) {}
func (l logger) Info(string)           { count(l.info) }
func (l logger) Infof(string, ...any)  { count(l.info) }

func (l logger) Warn(msg string)                { l.Warnf("%s", msg) }
func (l logger) Warnf(format string, a ...any)  { count(l.warn); l.debug(format, a...) }
func (l logger) Error(msg string)               { l.debug("%s", msg) }
func (l logger) Errorf(format string, a ...any) { l.debug(format, a...) }

func (l logger) debug(format string, a ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(format, a...))
	}
}
