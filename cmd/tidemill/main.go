// Command tidemill runs a team's data pipelines from a folder of text files.
package main

import (
	"os"

	"github.com/tidemill/tidemill/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
