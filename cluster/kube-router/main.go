// kube-router's enforcer of network policies and nothing else of it: its own program brings a BGP server and a proxy for services, and
// looks for kernel modules of both.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cloudnativelabs/kube-router/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/pkg/options"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how the API server is reached")
	node := flag.String("node", "", "the node whose pods are held to policies")
	pods := flag.String("pods", "", "the network of pods")
	machine := flag.String("machine", "", "the device from which packets pass as the node's own do")
	services := flag.String("services", "", "the network of services")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	check(err)
	// Each pod that begins or ends means one round; none shall wait for its turn.
	config.QPS, config.Burst = 50, 100
	client, err := kubernetes.NewForConfig(config)
	check(err)
	check(unknownPods(*pods, *machine))

	stop := make(chan struct{})
	factory := informers.NewSharedInformerFactory(client, 0)
	namespaces := factory.Core().V1().Namespaces().Informer()
	podsOf := factory.Core().V1().Pods().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	settings := options.NewKubeRouterConfig()
	settings.HostnameOverride = *node
	settings.ClusterIPCIDR = *services
	settings.IPTablesSyncPeriod = time.Minute
	var sets sync.Mutex
	factory.Start(stop)
	if !cache.WaitForCacheSync(stop, namespaces.HasSynced, podsOf.HasSynced, policies.HasSynced) {
		log.Fatal("the API server does not answer")
	}
	for {
		if found, err := client.CoreV1().Nodes().Get(context.Background(), *node, meta.GetOptions{}); err == nil && len(found.Status.Addresses) > 0 {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	enforcer, err := netpol.NewNetworkPolicyController(client, settings, podsOf, policies, namespaces, &sets)
	check(err)
	podsOf.AddEventHandler(enforcer.PodEventHandler)
	namespaces.AddEventHandler(enforcer.NamespaceEventHandler)
	policies.AddEventHandler(enforcer.NetworkPolicyEventHandler)

	// Says of each round that it is done; nobody asks.
	heartbeats := make(chan *healthcheck.ControllerHeartbeat)
	go func() {
		for range heartbeats {
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	go enforcer.Run(heartbeats, stop, &running)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
	close(stop)
	running.Wait()
}

// A pod whose address the enforcer does not know yet sends nothing: Kubernetes promises that policies hold from a pod's first packet,
// and kube-router, which learns of pods from the API server, is up to two seconds late. Dropped, not rejected: the packet is sent again.
// What comes from the machine passes everywhere, as kube-router lets the node's own packets pass: kubelet and tests ask pods from there.
func unknownPods(pods, machine string) error {
	for _, rule := range []string{
		"filter FORWARD -s " + pods + " -m conntrack --ctstate NEW -j DROP",
		"filter INPUT -s " + pods + " -m conntrack --ctstate NEW -j DROP",
		"mangle PREROUTING -i " + machine + " -j MARK --set-mark 0x10000/0x10000",
	} {
		words := strings.Fields(rule)
		table, rest := words[:1], words[1:]
		run := func(how string) ([]byte, error) {
			return exec.Command("iptables", append([]string{"-w", "-t", table[0], how}, rest...)...).CombinedOutput()
		}
		if _, err := run("-C"); err == nil {
			continue
		}
		if said, err := run("-A"); err != nil {
			log.Printf("iptables %s: %s", rule, said)
			return err
		}
	}
	return nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
