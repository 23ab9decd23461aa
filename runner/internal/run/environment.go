package run

import (
	"runtime"
	"strconv"
	"strings"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// defaultPath is used where the image sets no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// userName is what the operator's /etc/passwd in the pod calls the pod's user.
const userName = "sandbox"

// What names a run's input and its result: the runner's alone.
const (
	inputVariable  = "SOULBOX_INPUT"
	resultVariable = "SOULBOX_RESULT"
)

// threadVariables are asked by libraries that start as many threads as the
// machine has CPUs, whatever the sandbox's CPU limit: on a large node they run
// into max.pids while they are imported. OpenBLAS, MKL, BLIS and NumExpr read
// OMP_NUM_THREADS where their own is not set, so who sets that one is not
// overruled by ours; nproc(1) reads it too.
var threadVariables = []string{
	"OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS",
	"PYTHON_CPU_COUNT", // Python 3.13
	"GOMAXPROCS",       // before Go 1.25, which reads the cgroup
}

// environment is what a program finds, the later winning: defaults, the
// image's ENV, which is in the runner's own environment, what is true of each
// run, what the request gives, and what names the runner's files.
func (m *Manager) environment(own []string, tmp string, given []wire.EnvVar, files ...wire.EnvVar) []string {
	values := map[string]string{}
	var order []string
	set := func(name, value string) {
		if _, there := values[name]; !there {
			order = append(order, name)
		}
		values[name] = value
	}
	set("PATH", defaultPath)
	set("LANG", "C.UTF-8")
	set("TERM", "dumb")
	// Python takes byte code for current by the source's size and whole-second
	// time: what one run left would be run by the next instead of a file
	// written within the same second.
	set("PYTHONDONTWRITEBYTECODE", "1")
	if threads := threadsFor(m.config.CPULimitMillicores, runtime.NumCPU()); threads > 0 {
		for _, name := range threadVariables {
			set(name, strconv.Itoa(threads))
		}
	}
	for _, variable := range imageVariables(own) {
		set(variable.Name, variable.Value)
	}
	set("HOME", m.config.Workspace)
	set("USER", userName)
	set("LOGNAME", userName)
	set("TMPDIR", tmp)
	for _, variable := range given {
		if variable.Name != inputVariable && variable.Name != resultVariable {
			set(variable.Name, variable.Value)
		}
	}
	for _, variable := range files {
		set(variable.Name, variable.Value)
	}
	env := make([]string, 0, len(order))
	for _, name := range order {
		env = append(env, name+"="+values[name])
	}
	return env
}

// imageVariables are those of the runner's own environment that are not the
// runner's, the cluster's or of this very process: what is left comes from the
// image (and from whoever adds to the pods of the cluster, such as a device
// plugin).
func imageVariables(environ []string) (found []wire.EnvVar) {
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		switch {
		case !ok || name == "":
		case strings.HasPrefix(name, "SOULBOX_"), strings.HasPrefix(name, "KUBERNETES_"):
		case name == "HOSTNAME", name == "PWD", name == "OLDPWD", name == "SHLVL", name == "_":
		case name == "PATH" && value == "":
		default:
			found = append(found, wire.EnvVar{Name: name, Value: value})
		}
	}
	return found
}

// threadsFor is the CPU limit in whole CPUs; 0 where the machine's own number
// is not above it.
func threadsFor(limitMillicores int64, machine int) int {
	threads := int((limitMillicores + 999) / 1000)
	if threads >= machine {
		return 0
	}
	return threads
}
