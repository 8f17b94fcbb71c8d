// Attention measures what it brings a low tier to draw silent people's tiles
// less often than the speaker's: nine people in a gallery, coded at rates of
// weak links with the server's own codecs, compositor and policy, decoded again
// and compared with what the cameras saw. It writes docs/attention.md, docs/rates.md
// (what a client at each rate gets), and small pictures beside them.
//
//	go run ./cmd/attention -docs docs
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"mixdown/codec/catalog"
)

func main() {
	only := flag.Bool("rates", false, "write rates.md alone, which is quick")
	docs := flag.String("docs", "docs", "folder to write attention.md and its pictures to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := write(ctx, *docs, *only); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "attention:", err)
		os.Exit(1)
	}
}

// write measures all and writes the report.
func write(ctx context.Context, docs string, ratesOnly bool) error {
	p := newParty(people, fps*seconds, settled)
	defer p.close()
	if err := p.writeRates(catalog.Default().Find("VP8"), docs); err != nil || ratesOnly {
		return err
	}
	var r report
	for _, j := range plan(catalog.Default()) {
		o, err := p.play(ctx, j)
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "attention:", o)
		if err := r.add(o, docs); err != nil {
			return err
		}
	}
	path := filepath.Join(docs, "attention.md")
	if err := os.WriteFile(path, []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "attention: wrote", path)
	return nil
}
