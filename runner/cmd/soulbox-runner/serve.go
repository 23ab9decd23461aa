package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/enforce"
	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/reap"
	"github.com/soulbox-dev/soulbox/runner/internal/run"
	"github.com/soulbox-dev/soulbox/runner/internal/server"
	"github.com/soulbox-dev/soulbox/runner/internal/sign"
	"github.com/soulbox-dev/soulbox/runner/internal/signals"
	"github.com/soulbox-dev/soulbox/runner/internal/stats"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// The variables the runner takes from its environment. The last may be missing.
const (
	envKeys   = "SOULBOX_PUBLIC_KEYS"
	envPodUID = "SOULBOX_POD_UID"
	envCPU    = "SOULBOX_CPU_MILLICORES"
)

// threadsAhead is more than the runner was ever seen to need at once.
const threadsAhead = 10

type settings struct {
	run        run.Config
	listen     string
	cgroupRoot string
	logOutput  bool
	enforced   bool
	keys       sign.Keys
	podUID     string
}

func parse(args []string) (*settings, error) {
	s := &settings{}
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.StringVar(&s.listen, "listen", ":8478", "address and port of the API; on a loopback address local callers are answered, else only others")
	f.StringVar(&s.run.Workspace, "workspace", "/workspace", "working directory of programs")
	f.StringVar(&s.run.StateDir, "state-dir", "/run/soulbox", "journal; best a small tmpfs of its own")
	f.StringVar(&s.run.OutputDir, "output-dir", "/var/lib/soulbox", "stored output and captured files")
	f.StringVar(&s.run.TmpDir, "tmp-dir", "/tmp", "where each run gets a private TMPDIR")
	f.IntVar(&s.run.MaxConcurrent, "max-concurrent", 1, "executions that may run at once")
	f.IntVar(&s.run.MaxUnreleased, "max-unreleased", 64, "executions that may be known and not released")
	f.Int64Var(&s.run.DiskLimitBytes, "disk-limit-bytes", 0, "bytes of workspace and tmp-dir together; 0: no limit")
	f.Int64Var(&s.run.MemoryLimitBytes, "memory-limit-bytes", 0, "memory of the pod; 0: as the cgroup says")
	f.BoolVar(&s.run.OneShot, "one-shot", false, "serve one execution and exit once it is released")
	f.DurationVar(&s.run.OneShotLinger, "one-shot-linger", 600*time.Second, "with --one-shot: exit this long after the run's end even if it is not released")
	f.DurationVar(&s.run.DrainTimeout, "drain-timeout", 4500*time.Millisecond, "exit this long after a shutdown began even if results are not released")
	f.BoolVar(&s.run.Landlock, "landlock", true, "use Landlock where the kernel has it")
	f.BoolVar(&s.run.Seccomp, "seccomp", true, "put the runner's seccomp filter on programs")
	f.BoolVar(&s.logOutput, "log-output", false, "copy the output of programs to the container's log")
	f.BoolVar(&s.enforced, "require-enforcement", false, "start no code until the pod's network policy was seen in force")
	f.StringVar(&s.cgroupRoot, "cgroup-root", "/sys/fs/cgroup", "where the cgroup file system is")
	if err := f.Parse(args); err != nil {
		return nil, usageError{err}
	}
	if f.NArg() > 0 {
		return nil, usageError{fmt.Errorf("serve: unexpected argument %q", f.Arg(0))}
	}
	if s.run.MaxConcurrent < 1 || s.run.MaxUnreleased < s.run.MaxConcurrent {
		return nil, usageError{errors.New("serve: --max-concurrent must be at least 1 and --max-unreleased not below it")}
	}
	for _, dir := range []*string{&s.run.Workspace, &s.run.StateDir, &s.run.OutputDir, &s.run.TmpDir} {
		absolute, err := filepath.Abs(*dir)
		if err != nil {
			return nil, err
		}
		*dir = absolute
	}
	var err error
	if s.keys, err = sign.ParseKeys(os.Getenv(envKeys)); err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", envKeys, err)}
	}
	if s.podUID = os.Getenv(envPodUID); s.podUID == "" {
		return nil, usageError{fmt.Errorf("%s is not set: the pod's uid, from the downward API", envPodUID)}
	}
	if text := os.Getenv(envCPU); text != "" {
		if s.run.CPULimitMillicores, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", envCPU, err)}
		}
	}
	return s, nil
}

func serve(args []string, stops *signals.Stops) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	// Small on purpose: what the runner takes is missing in the sandbox.
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), 4))
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(16 << 20)
	proc.ThreadsAhead(threadsAhead)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_DUMPABLE", err)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))

	// The port is ours before any program runs: none can pose as the runner.
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	var isOwn func(net.IP) bool
	if address, ok := listener.Addr().(*net.TCPAddr); ok && !address.IP.IsLoopback() {
		isOwn = server.OwnAddresses()
	}
	namespace := reap.DetectNamespace()
	reaper, err := reap.New(namespace)
	if err != nil {
		return err
	}
	self, _ := os.ReadFile("/proc/self/cgroup")
	cgroup := stats.OpenCgroup(s.cgroupRoot, string(self))
	var outputLog *output.Log
	if s.logOutput {
		outputLog = output.NewLog(os.Stdout)
		s.run.Tee = outputLog.Tee
	}
	var policy *enforce.Watch
	if s.enforced {
		policy = &enforce.Watch{}
		s.run.Barred = func() bool { return !policy.Seen() }
	}
	manager, err := run.New(s.run, reaper, cgroup, log)
	if err != nil {
		return err
	}
	defer manager.Close()
	api := server.New(server.Options{
		Manager: manager, Verifier: sign.NewVerifier(s.keys, s.podUID, time.Now), Log: log,
		Stats:   func() wire.Stats { return stats.Gather(cgroup, manager.Disk(), time.Now()) },
		Policy:  policy,
		Version: version, PodUID: s.podUID, Now: time.Now, IsOwn: isOwn,
	})

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failed := make(chan error, 4)
	// Not with ctx: the last children are collected while the rest has ended.
	go func() { failed <- reaper.Start(context.Background()) }()
	manager.Prepare()
	go func() { failed <- stops.Start(namespace != nil, log, manager.Drain) }()
	if outputLog != nil {
		go func() {
			// A log that cannot be written any more ends nothing.
			if err := outputLog.Start(ctx); !errors.Is(err, context.Canceled) {
				log.Warn("output is not copied to the log any more", "error", err)
			}
		}()
	}
	served := make(chan error, 1)
	go func() { served <- api.Start(ctx, server.Bounded(listener, isOwn)) }()
	log.Info("listening", "address", listener.Addr().String(), "version", version, "pid1", namespace != nil,
		"cgroupVersion", cgroup.Version)
	select {
	case err = <-failed:
		return err
	case err = <-served:
		return err
	case <-manager.Exited():
	}
	cancel()
	<-served // the reply to the release that ended us is out
	log.Info("exiting")
	return nil
}
