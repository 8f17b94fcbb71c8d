package turn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// loggers gives pion what it says to those who run at debug level. Whatever a
// stranger can cause is counted, not logged.
type loggers struct{ log *slog.Logger }

func (f loggers) NewLogger(scope string) logging.LeveledLogger {
	return logger{f.log.With("pion", scope)}
}

type logger struct{ log *slog.Logger }

func (logger) Trace(string)          {}
func (logger) Tracef(string, ...any) {}
func (logger) Debug(string)          {} // a line for each packet
func (logger) Debugf(string, ...any) {}

func (l logger) Info(msg string)                { l.debug("%s", msg) }
func (l logger) Infof(format string, a ...any)  { l.debug(format, a...) }
func (l logger) Warn(msg string)                { l.debug("%s", msg) }
func (l logger) Warnf(format string, a ...any)  { l.debug(format, a...) }
func (l logger) Error(msg string)               { l.debug("%s", msg) }
func (l logger) Errorf(format string, a ...any) { l.debug(format, a...) }

func (l logger) debug(format string, a ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(format, a...))
	}
}
