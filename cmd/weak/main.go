// Weak measures what a client behind a bad link gets: a real Chromium in a
// network namespace behind an emulated link, in a room with bots and one more
// Chromium that have none, all in the real join page or over real WebRTC.
//
//	weak run --rows 100k,50k --runs 5     measure rows, keep each run's outcome
//	weak report                           write docs/weak.md and its plots from what was kept
//	weak link --paths 2                   only the link, told what to do by lines
//
// # The link by itself
//
// `weak link` opens a link (package link) for tests of other things, and obeys
// one line of its standard input after the other. Each is answered by one line
// of JSON, {"ok": true, …} or {"error": "…"}; the first line says
//
//	{"ok": true, "namespace": "mdw4711x1c", "server": ["198.18.7.1", "fd6d:…"], "client": ["198.18.7.10", …]}
//
// server are the addresses by which the namespace reaches this machine, where a
// browser is started by `ip netns exec NAMESPACE chromium …`. The lines are
//
//	up|down|both WORDS   change a direction, by words such as rate=150k delay=50ms
//	                     loss=2% burst=5 queue=300ms block=udp block=tcp:443 clean
//	outage 20s           nothing passes; answered when the link is back
//	cut, restore         the same in two steps
//	move                 the client loses its address and gets the next (--paths 2 and more)
//	sleep 5s             for scripts
//	stats                counters of both directions; waits are since the last stats
//
// --script "both rate=1M; sleep 20s; outage 20s" says such lines beforehand. It
// ends, and takes all down, when its input ends or on SIGINT and SIGTERM.
// api/web/e2e/lib/link.js is this for Node's tests.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Run    runCommand    `cmd:"" default:"withargs" help:"Measure rows of the table, then write the report."`
	Report reportCommand `cmd:"" help:"Write the report from the outcomes that were kept."`
	Link   linkCommand   `cmd:"" help:"Open an emulated link and obey lines of the standard input; go doc mixdown/cmd/weak says which."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	k := kong.Parse(&c, kong.Name("weak"), kong.Description("What a client behind a bad link gets."),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err := k.Run(); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "weak:", err)
		os.Exit(1)
	}
}
