// Command soulbox-runner is PID 1 in every sandbox pod.
//
//	soulbox-runner serve …      supervise executions and answer the operator
//	soulbox-runner install DIR  copy this binary to DIR/soulbox-runner
//	soulbox-runner version      print the version
//
// `launch` is the runner's own child; see package launch.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/soulbox-dev/soulbox/runner/internal/launch"
	"github.com/soulbox-dev/soulbox/runner/internal/signals"
)

// version is set with -ldflags "-X main.version=…".
var version = "unknown"

const usage = `usage: soulbox-runner serve [flags]     (soulbox-runner serve -h lists them)
       soulbox-runner install DIR
       soulbox-runner version
`

func main() {
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	if command == "serve" {
		stops, err := signals.Register() // first of all; see there
		exitOn(err)
		exitOn(serve(os.Args[2:], stops))
		return
	}
	switch command {
	case "launch":
		os.Exit(launch.LauncherMain(os.Args[2:]))
	case "version":
		fmt.Println(version)
	case "install":
		exitOn(install(os.Args[2:]))
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
}

// usageError is a fault of who started the runner: exit code 2.
type usageError struct{ error }

func exitOn(err error) {
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "soulbox-runner:", err)
	var wrong usageError
	if errors.As(err, &wrong) {
		os.Exit(2)
	}
	os.Exit(1)
}

// install copies the running binary into a volume that the sandbox container
// mounts read-only. The copy appears whole or not at all.
func install(args []string) (err error) {
	if len(args) != 1 {
		return usageError{errors.New("install needs one directory")}
	}
	source, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer source.Close()
	target := filepath.Join(args[0], "soulbox-runner")
	copied, err := os.CreateTemp(args[0], ".soulbox-runner-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(copied.Name())
		}
	}()
	if _, err = io.Copy(copied, source); err != nil {
		return err
	}
	if err = copied.Chmod(0o555); err != nil {
		return err
	}
	if err = copied.Close(); err != nil {
		return err
	}
	return os.Rename(copied.Name(), target)
}
