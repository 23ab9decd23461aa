// Command etcd is the unchanged etcd server, built from its published module: Debian 12's
// 3.4 lacks the progress requests that the API server's watch cache needs.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
