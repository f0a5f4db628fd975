// Command systems stands for the two systems that this example's pipeline reads beside S3:
//
//	systems warehouse    makes data/warehouse.duckdb of data/customers.csv and customer_orders.csv
//	systems catalog      serves the catalog's API at http://127.0.0.1:8360/v2 until it is ended
//
// It is run in the example's folder.
package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the driver
)

const (
	addr     = "127.0.0.1:8360"
	pageSize = 50
)

func main() {
	do := map[string]func() error{"warehouse": warehouse, "catalog": catalog}
	if len(os.Args) != 2 || do[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: systems warehouse | catalog") //nolint:errcheck // the last words
		os.Exit(2)
	}
	if err := do[os.Args[1]](); err != nil {
		fmt.Fprintln(os.Stderr, "systems:", err) //nolint:errcheck // the last words
		os.Exit(1)
	}
}

func warehouse() error {
	db, err := sql.Open("duckdb", "data/warehouse.duckdb")
	if err != nil {
		return err
	}
	for _, t := range []string{"customers", "customer_orders"} {
		columns := ""
		if t == "customer_orders" {
			columns = ", types = {'amount': 'DECIMAL(12,2)', 'ordered_on': 'DATE'}"
		}
		if _, err := db.Exec(fmt.Sprintf("CREATE OR REPLACE TABLE %s AS FROM read_csv('data/%s.csv', header = true%s)", t, t, columns)); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	return db.Close()
}

type product struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Category  string          `json:"category"`
	UpdatedAt time.Time       `json:"updated_at"`
	Variants  json.RawMessage `json:"variants"`
}

func catalog() error {
	text, err := os.ReadFile("data/products.json")
	if err != nil {
		return err
	}
	var all []product
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	http.HandleFunc("GET /v2/products", func(w http.ResponseWriter, r *http.Request) { products(w, r, all) })
	server := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// products answers a page of those that were changed since an instant.
func products(w http.ResponseWriter, r *http.Request, all []product) {
	q := r.URL.Query()
	since, err := time.Parse(time.RFC3339, q.Get("updated_since"))
	if err != nil && q.Has("updated_since") {
		http.Error(w, `{"error":"updated_since is no instant"}`, http.StatusBadRequest)
		return
	}
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil {
		page = 1
	}
	var found []product
	for _, p := range all {
		if !p.UpdatedAt.Before(since) {
			found = append(found, p)
		}
	}
	from := min((max(page, 1)-1)*pageSize, len(found))
	to := min(from+pageSize, len(found))
	links := map[string]string{}
	if to < len(found) {
		q.Set("page", strconv.Itoa(page+1))
		links["next"] = "http://" + r.Host + r.URL.Path + "?" + q.Encode()
	}
	w.Header().Set("Content-Type", "application/json")
	body := map[string]any{"items": append([]product{}, found[from:to]...), "links": links, "total": len(found)}
	if err := json.NewEncoder(w).Encode(body); err != nil {
		return // the client is gone
	}
}
