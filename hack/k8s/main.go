// Command k8s is every Kubernetes program the local cluster runs, in one binary, so that the
// code they share is compiled, linked and kept on disk once. It acts as the program it is
// called as: through a symbolic link (kubelet -> k8s) or by its first argument (k8s kubelet …).
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // CronJob time zones on a machine without tzdata

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl's credential plugins
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// daemons maps a program's name to the constructor Kubernetes' own main function calls.
var daemons = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kube-network-policies":   newNetworkPoliciesCommand,
	"cluster-dns":             newClusterDNSCommand,
}

func main() {
	name := filepath.Base(os.Args[0])
	if _, known := daemons[name]; !known && name != "kubectl" {
		if len(os.Args) < 2 {
			usage()
		}
		os.Args = os.Args[1:]
		name = os.Args[0]
	}
	if name == "kubectl" {
		runKubectl()
		return
	}
	newCommand, known := daemons[name]
	if !known {
		usage()
	}
	os.Exit(cli.Run(newCommand()))
}

// runKubectl does what Kubernetes' cmd/kubectl does: verbosity is set before the command
// tree is built, because building it already logs.
func runKubectl() {
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: k8s PROGRAM [ARGUMENT...]; PROGRAM is kubectl or one of:")
	for name := range daemons {
		fmt.Fprintln(os.Stderr, "  "+name)
	}
	os.Exit(2)
}
