// The program tidemill-node does one task on a node of a cluster. It is built without cgo.
package main

import (
	"os"

	"github.com/tidemill/tidemill/internal/node"
)

func main() { os.Exit(node.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) } //nolint:forbidigo // the root of a process
