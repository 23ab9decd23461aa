package main

import (
	"context"
	"net"
	"os"
	"os/signal"
	"strings"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	clusterZone = "cluster.local."
	serviceZone = "svc." + clusterZone
	recordTTL   = 5 // seconds; as CoreDNS' plugin
)

// newClusterDNSCommand answers for the cluster's names (the Kubernetes DNS specification 1.1.0,
// IPv4), in a pod of its own. CoreDNS would do; its releases for this Kubernetes want newer
// versions of what both use, and with it nothing here were the release that Kubernetes tests.
func newClusterDNSCommand() *cobra.Command {
	var listen string
	command := &cobra.Command{
		Use:          "cluster-dns",
		Short:        "Answer for the cluster's names",
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), unix.SIGTERM, os.Interrupt)
			defer stop()
			return serveDNS(ctx, listen)
		},
	}
	command.SetContext(context.Background())
	command.Flags().StringVar(&listen, "listen", ":53", "address and port, UDP and TCP")
	return command
}

// serveDNS answers once it knows every service.
func serveDNS(ctx context.Context, listen string) error {
	access, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	services, slices := factory.Core().V1().Services(), factory.Discovery().V1().EndpointSlices()
	records := &clusterRecords{services: services.Lister(), slices: slices.Lister()}
	// A lister makes no informer run; asking for it does.
	synced := []cache.InformerSynced{services.Informer().HasSynced, slices.Informer().HasSynced}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return ctx.Err()
	}
	ended := make(chan error, 2)
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: listen, Net: network, Handler: records}
		go func() { ended <- server.ListenAndServe() }()
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// clusterRecords are the services and their endpoints, as names.
type clusterRecords struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// ServeDNS answers one question. Other zones are refused: nothing here could forward to them.
func (c *clusterRecords) ServeDNS(writer dns.ResponseWriter, request *dns.Msg) {
	reply := new(dns.Msg).SetReply(request)
	if len(request.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		_ = writer.WriteMsg(reply)
		return
	}
	question := request.Question[0]
	name := strings.ToLower(question.Name)
	var found []dns.RR
	exists := true
	switch {
	case dns.IsSubDomain(serviceZone, name):
		reply.Authoritative = true
		found, exists = c.ofService(question.Name, strings.TrimSuffix(strings.TrimSuffix(name, serviceZone), "."))
	case name == clusterZone:
		reply.Authoritative = true
	case dns.IsSubDomain(clusterZone, name):
		reply.Authoritative, exists = true, false
	default:
		if found = c.ofAddress(question.Name, name); found == nil {
			reply.Rcode = dns.RcodeRefused
		}
	}
	for _, record := range found {
		kind := record.Header().Rrtype
		if kind == question.Qtype || kind == dns.TypeCNAME || question.Qtype == dns.TypeANY {
			reply.Answer = append(reply.Answer, record)
		}
	}
	if !exists {
		reply.Rcode = dns.RcodeNameError
	}
	if len(reply.Answer) == 0 && reply.Rcode != dns.RcodeRefused {
		reply.Ns = []dns.RR{&dns.SOA{
			Hdr: header(clusterZone, dns.TypeSOA), Ns: "ns.dns." + clusterZone,
			Mbox: "hostmaster." + clusterZone, Serial: 1, Refresh: 7200, Retry: 1800,
			Expire: 86400, Minttl: recordTTL,
		}}
	}
	size := dns.MinMsgSize
	if extended := request.IsEdns0(); extended != nil {
		reply.SetEdns0(extended.UDPSize(), false)
		size = int(extended.UDPSize())
	}
	if writer.RemoteAddr().Network() == "udp" {
		reply.Truncate(size)
	}
	if err := writer.WriteMsg(reply); err != nil {
		klog.V(2).InfoS("An answer was not sent", "err", err)
	}
}

// ofService gives every record of a name below svc.cluster.local, and whether there is such a name.
func (c *clusterRecords) ofService(owner, below string) ([]dns.RR, bool) {
	parts := strings.Split(below, ".")
	if len(parts) < 2 { // the zone itself, or a namespace
		return nil, true
	}
	namespace, name, rest := parts[len(parts)-1], parts[len(parts)-2], parts[:len(parts)-2]
	service, err := c.services.Services(namespace).Get(name)
	if err != nil {
		return nil, false
	}
	full := name + "." + namespace + "." + serviceZone
	switch {
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		if len(rest) > 0 {
			return nil, false
		}
		return []dns.RR{&dns.CNAME{Hdr: header(owner, dns.TypeCNAME), Target: dns.Fqdn(service.Spec.ExternalName)}}, true
	case len(rest) == 0:
		var found []dns.RR
		for _, address := range c.addresses(service) {
			found = append(found, address.record(owner))
		}
		return found, true
	case len(rest) == 2 && strings.HasPrefix(rest[0], "_") && strings.HasPrefix(rest[1], "_"):
		return c.ofPort(owner, full, service, rest[0][1:], rest[1][1:])
	case len(rest) == 1 && service.Spec.ClusterIP == corev1.ClusterIPNone:
		for _, address := range c.addresses(service) {
			if address.host == rest[0] {
				return []dns.RR{address.record(owner)}, true
			}
		}
	}
	return nil, false
}

func (c *clusterRecords) ofPort(
	owner, full string, service *corev1.Service, port, protocol string,
) ([]dns.RR, bool) {
	for _, one := range service.Spec.Ports {
		if one.Name != port || !strings.EqualFold(string(one.Protocol), protocol) {
			continue
		}
		var found []dns.RR
		for _, address := range c.addresses(service) {
			target, number := full, one.Port
			if service.Spec.ClusterIP == corev1.ClusterIPNone {
				target = address.host + "." + full
				if one.TargetPort.IntVal != 0 {
					number = one.TargetPort.IntVal
				}
			}
			found = append(found, &dns.SRV{
				Hdr: header(owner, dns.TypeSRV), Weight: 1, Port: uint16(number), Target: target,
			})
		}
		return found, true
	}
	return nil, false
}

// ofAddress names the service that has an address; nil where none has.
func (c *clusterRecords) ofAddress(owner, name string) []dns.RR {
	reversed, isAddress := strings.CutSuffix(name, ".in-addr.arpa.")
	parts := strings.Split(reversed, ".")
	if !isAddress || len(parts) != 4 {
		return nil
	}
	address := parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0]
	services, _ := c.services.List(labels.Everything())
	for _, service := range services {
		if service.Spec.ClusterIP == address {
			target := service.Name + "." + service.Namespace + "." + serviceZone
			return []dns.RR{&dns.PTR{Hdr: header(owner, dns.TypePTR), Ptr: target}}
		}
	}
	return nil
}

type address struct{ ip, host string }

func (a address) record(owner string) dns.RR {
	return &dns.A{Hdr: header(owner, dns.TypeA), A: net.ParseIP(a.ip)}
}

// addresses are the service's own, or without one those of its ready endpoints.
func (c *clusterRecords) addresses(service *corev1.Service) []address {
	if service.Spec.ClusterIP != corev1.ClusterIPNone {
		return []address{{ip: service.Spec.ClusterIP}}
	}
	of := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name})
	slices, _ := c.slices.EndpointSlices(service.Namespace).List(of)
	var found []address
	for _, slice := range slices {
		if slice.AddressType != discoveryv1.AddressTypeIPv4 {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			if !ready && !service.Spec.PublishNotReadyAddresses {
				continue
			}
			for _, ip := range endpoint.Addresses {
				host := strings.ReplaceAll(ip, ".", "-")
				if endpoint.Hostname != nil {
					host = *endpoint.Hostname
				}
				found = append(found, address{ip: ip, host: host})
			}
		}
	}
	return found
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: recordTTL}
}
