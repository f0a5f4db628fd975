package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// restRows are served in 200 pages.
const restRows = 200_000

const restTable = `import sqlite3, sys, random
random.seed(1)
c = sqlite3.connect(sys.argv[1])
c.execute("create table orders(id integer primary key, customer text, product text, region text, quantity integer, price real, discount real, ordered_at text, shipped integer, note text, tags text, code text)")
c.executemany("insert into orders values(?,?,?,?,?,?,?,?,?,?,?,?)", ((i, 'customer %d' % (i % 5000), 'product %d' % (i % 700), ['West', 'East', 'South', 'Central'][i % 4], i % 9 + 1, round(random.random() * 500, 2),
  round(random.random() * .3, 2), '2017-%02d-%02dT%02d:00:00Z' % (i % 12 + 1, i % 28 + 1, i % 24), i % 2, 'note of order %d, delivered with care' % i, 'a,b,c', 'C%07d' % i) for i in range(1, int(sys.argv[2]) + 1)))
c.commit()
`

const restDLT = `import sys, dlt
from dlt.sources.rest_api import rest_api_source
source = rest_api_source({"client": {"base_url": sys.argv[1], "paginator": {"type": "json_link", "next_url_path": "next_url"}},
  "resources": [{"name": "orders", "endpoint": {"path": "d/orders.json", "params": {"_size": 1000, "_shape": "objects"}, "data_selector": "rows"}}]})
dlt.pipeline(pipeline_name="bench", pipelines_dir=sys.argv[2] + "/pipelines", destination=dlt.destinations.filesystem(bucket_url="file://" + sys.argv[2] + "/out"), dataset_name="d").run(source, loader_file_format="parquet")
`

const restPipeline = `steps:
  orders:
    extract: { from: api, path: /d/orders.json, params: { _size: 1000, _shape: objects }, records: "{{ response.rows }}", total: "{{ response.filtered_table_rows_count }}", paginate: { next_link: "{{ response.next_url }}" } }
`

// rest: 200,000 rows of a web API in 200 pages become typed Parquet. Rivals: a bare loop in
// Go that reads and counts the same pages, and dlt.
func rest(ctx context.Context, s settings) error {
	url, stop, err := datasette(ctx, s)
	if err != nil {
		return err
	}
	defer stop()
	project := filepath.Join(s.dir, "rest")
	if err := os.RemoveAll(project); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(project, "pipelines"), 0o700); err != nil {
		return err
	}
	for name, text := range map[string]string{"tidemill.yaml": "connections: { api: { type: rest, url: \"" + url + "\" } }\n", "pipelines/orders.yaml": restPipeline, "rival.py": restDLT} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	var ours, loop, dlt []cost
	for range s.rounds {
		for _, p := range []struct {
			to   *[]cost
			argv []string
		}{{&loop, []string{self, "child", "pages", url + "/d/orders.json?_size=1000&_shape=objects"}}, {&ours, []string{binary, "run", "orders"}},
			{&dlt, []string{filepath.Join(s.cache, "dlt-1.31.0/bin/python"), "rival.py", url, project}}} {
			for _, old := range []string{".tidemill", "schemas", "out", "pipelines/bench", "pipelines/.dlt"} {
				if err := os.RemoveAll(filepath.Join(project, old)); err != nil {
					return err
				}
			}
			c, err := spend(ctx, project, p.argv...)
			if err != nil {
				return err
			}
			*p.to = append(*p.to, c)
		}
	}
	seconds := func(c cost) float64 { return c.seconds }
	cpu := func(c cost) float64 { return c.cpu }
	figure("rest", medianOf(ours, seconds), "s", "go-loop", medianOf(loop, seconds))
	figure("rest_cpu", medianOf(ours, cpu), "s", "dlt", medianOf(dlt, cpu))
	return os.RemoveAll(project)
}

func medianOf(all []cost, of func(cost) float64) float64 {
	values := make([]float64, len(all))
	for i, c := range all {
		values[i] = of(c)
	}
	return median(values)
}

// datasette serves the rows on a port of its own.
func datasette(ctx context.Context, s settings) (url string, stop func(), err error) {
	venv := filepath.Join(s.cache, "datasette-0.65.5/bin")
	db := filepath.Join(s.dir, "d.db")
	if _, err := os.Stat(db); err != nil {
		if _, err := spend(ctx, s.dir, filepath.Join(venv, "python"), "-c", restTable, db+".new", strconv.Itoa(restRows)); err != nil {
			return "", nil, err
		}
		if err := os.Rename(db+".new", db); err != nil {
			return "", nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr := l.Addr().String()
	_, port, err := net.SplitHostPort(addr)
	if err = errors.Join(err, l.Close()); err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := exec.CommandContext(ctx, filepath.Join(venv, "datasette"), "serve", db, "-p", port, "--setting", "max_returned_rows", "1000")
	if err := c.Start(); err != nil {
		cancel()
		return "", nil, err
	}
	stop = func() {
		cancel()
		_ = c.Wait() //nolint:errcheck // it was killed
	}
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return "http://" + addr, stop, conn.Close()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	stop()
	return "", nil, errors.New("datasette does not come up")
}

// pagesChild is the bare loop: every page is read and parsed as far as the next link and the
// count of its rows need it.
func pagesChild(ctx context.Context, args []string) error {
	rows := 0
	for next := args[1]; next != ""; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, next, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		var page struct {
			Rows []json.RawMessage `json:"rows"`
			Next string            `json:"next_url"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return err
		}
		rows += len(page.Rows)
		next = page.Next
	}
	if rows != restRows {
		return fmt.Errorf("%d rows", rows)
	}
	return nil
}
