package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

// newNetworkPoliciesCommand enforces NetworkPolicies on this node: it judges the first packet of
// each connection, which the rules of hack/cluster/policies.py hand to the queue. Upstream's own
// main takes only the configuration of a pod and listens on every address.
func newNetworkPoliciesCommand() *cobra.Command {
	var options enforcement
	command := &cobra.Command{
		Use:           "kube-network-policies",
		Short:         "Enforce NetworkPolicies on this node",
		SilenceUsage:  true,
		SilenceErrors: false,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), unix.SIGTERM, os.Interrupt, syscall.SIGHUP)
			defer stop()
			return options.run(ctx)
		},
	}
	command.SetContext(context.Background())
	flags := command.Flags()
	flags.StringVar(&options.kubeconfig, "kubeconfig", "", "how to reach the API server")
	flags.StringVar(&options.node, "hostname-override", "", "the node's name")
	flags.StringVar(&options.metrics, "metrics-bind-address", "127.0.0.1:9080", "where /metrics is served")
	flags.StringVar(&options.table, "gate-table", "", "the inet table that holds the gate's set")
	flags.StringVar(&options.set, "gate-set", "", "the set for addresses of known pods")
	flags.IntVar(&options.queue, "nfqueue-id", 100, "number of the netfilter queue")
	return command
}

type enforcement struct {
	kubeconfig, node, metrics, table, set string
	queue                                 int
}

func (e enforcement) run(ctx context.Context) error {
	klog.LogToStderr(false)
	// A message goes to the output of its severity and of each lower one: errors are told once.
	klog.SetOutput(io.Discard)
	klog.SetOutputBySeverity("ERROR", withoutNftQueue{os.Stderr})
	access, err := clientcmd.BuildConfigFromFlags("", e.kubeconfig)
	if err != nil {
		return err
	}
	access.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	controller, err := networkpolicy.NewController(
		client,
		factory.Networking().V1().NetworkPolicies(),
		factory.Core().V1().Namespaces(),
		factory.Core().V1().Pods(),
		nil, nil, nil, nil, // no AdminNetworkPolicies here
		// NRI stays on though no runtime offers it here: without it v0.8.0 has no plugin to ask.
		networkpolicy.Config{QueueID: e.queue, NodeName: e.node},
	)
	if err != nil {
		return err
	}
	known, err := newGate(e.table, e.set, e.node)
	if err != nil {
		return err
	}
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(known.handlers()); err != nil {
		return err
	}
	ended := make(chan error, 2)
	server := &http.Server{Addr: e.metrics, Handler: promhttp.Handler()}
	go func() { ended <- server.ListenAndServe() }()
	go func() { ended <- controller.Run(ctx) }()
	factory.Start(ctx.Done())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// withoutNftQueue leaves out what the library says several times a second where the kernel has
// no CONFIG_NFT_QUEUE: that its own rules cannot be written. Those that count are hack/cluster's.
type withoutNftQueue struct{ io.Writer }

func (w withoutNftQueue) Write(message []byte) (int, error) {
	if bytes.Contains(message, []byte("netlink receive: no such file or directory")) {
		return len(message), nil
	}
	return w.Writer.Write(message)
}
