package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// valuesJob asks for the distinct values of a dataset's column, over which `each` runs. The
// engine that made the dataset does not matter: its files are Parquet.
type valuesJob struct {
	Engine   string `json:"engine"`
	Manifest string `json:"manifest"`
	Column   string `json:"column"`
	Most     int    `json:"most"`
}

// values gives a column's distinct values without NULL, in order, as JSON.
func (c TaskConfig) values(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var j valuesJob
	if err := arguments(r, &j); err != nil {
		return nil, err
	}
	w, err := c.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	w.dirs = append(w.dirs, w.temp)
	found, err := w.distinct(ctx, j)
	if e := w.end(); err == nil && e != nil {
		err = fmt.Errorf("clean up: %w", e)
	}
	return output(struct {
		Values []json.RawMessage `json:"values"`
	}{found}, err)
}

func (w *work) distinct(ctx context.Context, j valuesJob) ([]json.RawMessage, error) {
	op := "list the values of column " + j.Column
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	if err := w.bindTable(ctx, "source", []string{j.Manifest}); err != nil {
		return nil, err
	}
	if err := w.seal(ctx); err != nil {
		return nil, err
	}
	schema := w.tables["source"]
	i := format.Index(schema, j.Column)
	if i < 0 {
		return nil, &flow.Error{Op: op, Kind: flow.Invalid, Err: fmt.Errorf("the dataset has no such column, but %s", strings.Join(format.Names(schema), ", "))}
	}
	t, err := format.ParseType(schema[i].Type)
	if err != nil {
		return nil, err
	}
	col, shown := format.QuoteDuckDB(schema[i].Name), "to_json(v)"
	switch {
	case t.Kind >= format.Array || t.Kind == format.Binary || t.Kind == format.Void:
		return nil, &flow.Error{Op: op, Kind: flow.Invalid, Err: fmt.Errorf("values of type %s cannot be items", schema[i].Type), Hint: "Take a column of texts, numbers, truth values, days or times."}
	case t.Kind == format.Timestamp:
		shown = "to_json(strftime(timezone('UTC', v), '%Y-%m-%dT%H:%M:%S.%fZ'))"
	case t.Kind == format.TimestampNTZ:
		shown = "to_json(strftime(v, '%Y-%m-%dT%H:%M:%S.%f'))"
	case t.Kind == format.Decimal:
		shown = "v" // its text is its number, with all digits
	}
	most := ""
	if j.Most > 0 {
		most = " LIMIT " + strconv.Itoa(j.Most+1)
	}
	rows, err := w.conn.QueryContext(ctx, "SELECT CAST("+shown+" AS VARCHAR) FROM (SELECT DISTINCT "+col+" AS v FROM source WHERE "+col+" IS NOT NULL) ORDER BY v"+most)
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	found := []json.RawMessage{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if !json.Valid([]byte(text)) {
			return nil, &flow.Error{Op: op, Kind: flow.Invalid, Err: fmt.Errorf("%s has no JSON", text)}
		}
		found = append(found, json.RawMessage(text))
	}
	if err := rows.Err(); err != nil {
		return nil, fault(ctx, err)
	}
	if j.Most > 0 && len(found) > j.Most {
		return nil, &flow.Error{Op: op, Kind: flow.Invalid, Err: errors.New("there are more than " + strconv.Itoa(j.Most)),
			Hint: "Run each over fewer, coarser values, or let one SQL step group by the column."}
	}
	return found, nil
}
