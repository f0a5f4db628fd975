// Package systems stands for the two systems that this example's pipeline reads beside S3: a
// warehouse and the API of a catalog.
package systems

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the driver
)

const pageSize = 50

// Warehouse makes data/warehouse.duckdb of the example's customers and their orders.
func Warehouse(ctx context.Context, example string) error {
	db, err := sql.Open("duckdb", filepath.Join(example, "data", "warehouse.duckdb"))
	if err != nil {
		return err
	}
	for _, t := range []string{"customers", "customer_orders"} {
		columns := ""
		if t == "customer_orders" {
			columns = ", types = {'amount': 'DECIMAL(12,2)', 'ordered_on': 'DATE'}"
		}
		if _, err := db.ExecContext(ctx, fmt.Sprintf("CREATE OR REPLACE TABLE %s AS FROM read_csv('%s', header = true%s)", t, filepath.Join(example, "data", t+".csv"), columns)); err != nil {
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

// Catalog serves the catalog's API, GET /v2/products, with the example's products.
func Catalog(example string) (http.Handler, error) {
	text, err := os.ReadFile(filepath.Join(example, "data", "products.json"))
	if err != nil {
		return nil, err
	}
	var all []product
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/products", func(w http.ResponseWriter, r *http.Request) { products(w, r, all) })
	return mux, nil
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
