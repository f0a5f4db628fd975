package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/connect/glue"
	"github.com/tidemill/tidemill/internal/connect/opensearch"
	"github.com/tidemill/tidemill/internal/connect/search"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
)

// sink opens the system that a connection loads into, or gives the open one.
func (l *lookup) sink(ctx context.Context, name string) (flow.Sink, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.sinks[name]; ok {
		return s, nil
	}
	c, ok := l.connection(name)
	if !ok {
		return nil, usage("unknown connection %q", name)
	}
	settings, err := l.settings(ctx, name, c)
	if err != nil {
		return nil, err
	}
	s, err := l.openSink(ctx, name, c.Type, settings)
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", name, err)
	}
	l.sinks[name] = s
	return s, nil
}

func (l *lookup) openSink(ctx context.Context, name, kind string, settings flow.Settings) (flow.Sink, error) {
	switch kind {
	case "search":
		var s search.Settings
		if err := settings.Into(&s); err != nil {
			return nil, usage("connection %s: %s", name, err)
		}
		path := orElse(s.Path, ".tidemill/search")
		if !filepath.IsAbs(path) {
			path = filepath.Join(l.a.project.Dir, path)
		}
		return search.New(path)
	case "opensearch", "elasticsearch":
		var s opensearch.Settings
		if err := settings.Into(&s); err != nil {
			return nil, usage("connection %s: %s", name, err)
		}
		if s.CA != "" && !filepath.IsAbs(s.CA) {
			s.CA = filepath.Join(l.a.project.Dir, s.CA)
		}
		var cfg *aws.Config
		if s.NeedsAWS() {
			c, err := l.aws(ctx, l.t.AWS.Value)
			if err != nil {
				return nil, err
			}
			cfg = &c
		}
		return opensearch.New(s, cfg)
	}
	return nil, usage("connection %s: a %s is no search connection", name, kind)
}

// catalog is the Glue catalog of the target's AWS account.
func (l *lookup) catalog(ctx context.Context) (flow.Catalog, error) {
	cfg, err := l.aws(ctx, l.t.AWS.Value)
	if err != nil {
		return nil, err
	}
	return glue.New(cfg), nil
}

// closeSinks closes what sink opened.
func (l *lookup) closeSinks() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for name, s := range l.sinks {
		errs = append(errs, s.Close())
		delete(l.sinks, name)
	}
	return errors.Join(errs...)
}

func (a *app) searchCommand() *cobra.Command {
	var target, connection string
	var most int
	c := &cobra.Command{
		Use:   "search INDEX [QUERY]",
		Short: "Ask a search index that pipelines load",
		Long: "Finds documents in an index that a load of the project writes, the best first. The query is in\n" +
			"the words of the system: of a cluster its query strings, of the embedded index words, \"phrases\",\n" +
			"prefixes*, AND, OR and NOT.",
		Example: "  tidemill search order_360 chair\n  tidemill search order_360 'category:Furniture AND revenue:>100' --target emr --json",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			query := ""
			if len(args) > 1 {
				query = args[1]
			}
			return a.search(c.Context(), args[0], query, connection, target, most)
		},
	}
	c.Flags().StringVarP(&target, "target", "t", "", "with the connections of this target")
	c.Flags().StringVarP(&connection, "connection", "c", "", "the search connection; default: the one whose load names the index")
	c.Flags().IntVarP(&most, "limit", "n", 10, "the most documents")
	return c
}

func (a *app) search(ctx context.Context, index, query, connection, target string, most int) (err error) {
	if _, err := a.load(); err != nil {
		return err
	}
	_, t, err := a.target(target, nil)
	if err != nil {
		return err
	}
	if connection == "" {
		if connection, err = a.loaderOf(index); err != nil {
			return err
		}
	}
	l := a.lookup(t, nil)
	s, err := l.sink(ctx, connection)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.closeSinks()) }()
	hits, err := s.Find(ctx, index, query, most)
	if err != nil {
		return err
	}
	if a.json {
		for i, d := range hits.Docs {
			a.printJSON(map[string]any{"id": hits.IDs[i], "document": d})
		}
		return nil
	}
	return a.printHits(hits)
}

// loaderOf is the connection of the load whose index has the name.
func (a *app) loaderOf(index string) (string, error) {
	var known, connections []string
	for _, pl := range a.project.Pipelines {
		for _, e := range pl.Steps {
			l := e.Value.Load
			if l == nil || l.Index.Raw == "" || !pipeline.IsConnection(l.To.Raw) {
				continue
			}
			known = append(known, l.Index.Raw)
			if l.Index.Raw == index {
				return l.To.Raw, nil
			}
			if !slices.Contains(connections, l.To.Raw) {
				connections = append(connections, l.To.Raw)
			}
		}
	}
	if len(connections) == 1 { // an index whose name is a template
		return connections[0], nil
	}
	hint := "no pipeline loads into a search connection"
	if len(known) > 0 {
		hint = "name the connection with --connection; the loads' indexes are: " + strings.Join(known, ", ")
	}
	return "", &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("no load writes the index %q", index), Hint: hint}}
}

// printHits prints documents as a table of their fields, in the order of the first.
func (a *app) printHits(hits flow.Hits) error {
	t := table{head: []string{"id"}}
	for i, text := range hits.Docs {
		names, values, err := fields(text)
		if err != nil {
			return err
		}
		for _, n := range names {
			if !slices.Contains(t.head, n) {
				t.head = append(t.head, n)
			}
		}
		row := []string{hits.IDs[i]}
		for _, n := range t.head[1:] {
			row = append(row, values[n])
		}
		t.rows = append(t.rows, row)
	}
	for i := range t.rows { // a later document may have had more fields
		for len(t.rows[i]) < len(t.head) {
			t.rows[i] = append(t.rows[i], "")
		}
	}
	if len(t.rows) > 0 {
		t.write(a.stdout)
	}
	a.say("%d of %d documents", len(hits.Docs), hits.Total)
	return nil
}

// fields are a document's fields in their order, as texts.
func fields(doc []byte) (names []string, values map[string]string, err error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	values = map[string]string{}
	if _, err := d.Token(); err != nil {
		return nil, nil, fmt.Errorf("read a document: %w", err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("read a document: %w", err)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, nil, fmt.Errorf("read a document: %w", err)
		}
		text := string(v)
		var s string
		if json.Unmarshal(v, &s) == nil {
			text = s
		}
		names = append(names, fmt.Sprint(name))
		values[fmt.Sprint(name)] = text
	}
	return names, values, nil
}
