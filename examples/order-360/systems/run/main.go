// Command run starts the systems that this example's pipeline reads beside S3. It is run in
// the example's folder:
//
//	go run ./systems/run warehouse    makes data/warehouse.duckdb
//	go run ./systems/run catalog      serves the catalog's API at http://127.0.0.1:8360/v2 until it is ended
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/tidemill/tidemill/examples/order-360/systems"
)

const addr = "127.0.0.1:8360"

func main() {
	do := map[string]func() error{
		"warehouse": func() error { return systems.Warehouse(context.Background(), ".") }, //nolint:forbidigo // a program's root
		"catalog":   catalog,
	}
	if len(os.Args) != 2 || do[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: run warehouse | catalog") //nolint:errcheck // the last words
		os.Exit(2)
	}
	if err := do[os.Args[1]](); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err) //nolint:errcheck // the last words
		os.Exit(1)
	}
}

func catalog() error {
	h, err := systems.Catalog(".")
	if err != nil {
		return err
	}
	server := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}
