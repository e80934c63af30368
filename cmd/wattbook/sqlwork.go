package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"wattbook/queries/warehouse"
)

// sqlWork is the argument of a process that answers queries of another one,
// and does nothing else.
const sqlWork = "answer-queries"

// sqlCommand starts this program as such a process: as it is running, even if
// its file was replaced.
func sqlCommand() *exec.Cmd {
	const running = "/proc/self/exe" // on Linux
	path := running
	if _, err := os.Stat(running); err != nil {
		if path, err = os.Executable(); err != nil {
			path = os.Args[0]
		}
	}
	return exec.Command(path, sqlWork)
}

// workSQL answers queries until the process that asks has no more, and returns
// the exit code. A signal to both is for that one to heed.
func workSQL() int {
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	if err := warehouse.Work(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "wattbook: %v\n", err)
		return exitFinding
	}
	return exitOK
}
