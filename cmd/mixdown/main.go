// Command mixdown is a video mixing server: rooms whose members each send one
// stream and receive one picture and one sound.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"syscall"

	"github.com/alecthomas/kong"

	"mixdown/cmd/mixdown/load"
)

// commands is the command line.
type commands struct {
	Serve   Serve        `cmd:"" help:"Run the server until SIGINT or SIGTERM."`
	Load    load.Command `cmd:"" help:"Send bots into a room over real WebRTC and measure what they get."`
	Token   Token        `cmd:"" help:"Print a token for a room."`
	Version Version      `cmd:"" help:"Print what this binary was built from."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end, the second has the system's own
	// effect: the process is gone at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "mixdown: %v\n", err)
		os.Exit(1)
	}
}

// run parses args and runs the command they name.
func run(ctx context.Context, args []string, out io.Writer) error {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("mixdown"),
		kong.Description("A video mixing server: everyone sends one stream and receives one."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(out, (*io.Writer)(nil)),
	)
	if err != nil {
		return err
	}
	cmd, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return cmd.Run()
}

// flagKeys returns the flags that were given, those fields of a command with a
// key tag that are not nil, by the configuration's keys.
func flagKeys(command any) map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(command).Elem()
	for i := range v.NumField() {
		key, f := v.Type().Field(i).Tag.Get("key"), v.Field(i)
		if key == "" || f.IsNil() {
			continue
		}
		if f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		out[key] = f.Interface()
	}
	return out
}
