// Attention measures what it brings a low tier to draw silent people's tiles
// less often than the speaker's: nine people in a gallery, coded at rates of
// weak links with the server's own codecs, compositor and policy, decoded again
// and compared with what the cameras saw. It writes docs/attention.md, and small
// pictures beside it.
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
	docs := flag.String("docs", "docs", "folder to write attention.md and its pictures to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := write(ctx, *docs); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "attention:", err)
		os.Exit(1)
	}
}

// write measures all and writes the report.
func write(ctx context.Context, docs string) error {
	p := newParty(people, fps*seconds)
	defer p.close()
	var r report
	for _, c := range coded {
		row := catalog.Default().Find(c)
		for _, s := range sizes {
			for _, bps := range rates {
				for _, layers := range layersOf(c) {
					for _, attentive := range []bool{false, true} {
						o, err := p.play(ctx, job{codec: row, width: s.w, height: s.h, bitrate: bps, layers: layers, attentive: attentive})
						if err != nil {
							return err
						}
						fmt.Fprintln(os.Stderr, "attention:", o)
						if err := r.add(o, docs); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	path := filepath.Join(docs, "attention.md")
	if err := os.WriteFile(path, []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "attention: wrote", path)
	return nil
}
