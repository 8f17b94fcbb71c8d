// Testreport runs one test command, shows what a reader needs of its output and
// counts. It appends one line "passed failed skipped" to a tally file, so that
// `make test` can end with one sum over all kinds of tests.
//
//	testreport -tally FILE go   go test -json ./...
//	testreport -tally FILE node npm test
//
// With -again FILE, tests that failed where chance may have a part are not counted
// but written there, a line each with the command that runs it by itself.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Count is how many tests ended in which way.
type Count struct {
	Passed, Failed, Skipped int
}

// reader shows a test command's output on w, counts its tests and tells which units
// failed.
type reader func(r io.Reader, w io.Writer) (Count, []Unit, error)

var readers = map[string]reader{"go": readGo, "node": readNode}

func main() {
	tally := flag.String("tally", "", "file to append the counts to")
	again := flag.String("again", "", "file to append failed tests to that deserve a second look")
	flag.Parse()
	if flag.NArg() < 2 || readers[flag.Arg(0)] == nil {
		fmt.Fprintln(os.Stderr, "usage: testreport [-tally FILE] [-again FILE] go|node COMMAND...")
		os.Exit(2)
	}
	kind, command := flag.Arg(0), flag.Args()[1:]
	count, units, err := run(readers[kind], command)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if *again != "" && deferred(count, units) {
		if err := writeAgain(*again, kind, command, units); err != nil {
			fmt.Fprintln(os.Stderr, "testreport:", err)
			os.Exit(1)
		}
		count.Failed = 0
	}
	if *tally != "" {
		if err := write(*tally, count); err != nil {
			fmt.Fprintln(os.Stderr, "testreport:", err)
			os.Exit(1)
		}
	}
	if count.Failed > 0 {
		os.Exit(1)
	}
}

// run counts a command's tests. A command that fails without a failed test, or
// passes without having run one, is itself one failure.
func run(read reader, command []string) (Count, []Unit, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Count{Failed: 1}, nil, err
	}
	if err := cmd.Start(); err != nil {
		return Count{Failed: 1}, nil, err
	}
	show := bufio.NewWriter(os.Stdout)
	defer show.Flush()
	count, units, err := read(out, show)
	if err != nil {
		// Let the command finish, whatever it still has to say.
		_, _ = io.Copy(io.Discard, out)
	}
	if waited := cmd.Wait(); err == nil {
		err = waited
	}
	switch {
	case err != nil && count.Failed == 0:
		count.Failed = 1
		return count, nil, fmt.Errorf("%v: %w", command, err)
	case count == Count{}:
		count.Failed = 1
		return count, nil, fmt.Errorf("%v: ran no test", command)
	}
	return count, units, nil
}

func write(tally string, c Count) error {
	f, err := os.OpenFile(tally, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(f, c.Passed, c.Failed, c.Skipped); err != nil {
		return err
	}
	return f.Close()
}
