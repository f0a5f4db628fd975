package duckdb

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/sparksql"
)

// native carries one of Spark's functions, written in Go, into DuckDB.
type native struct {
	f      sparksql.Native
	config duckdb.ScalarFuncConfig
}

func (n *native) Config() duckdb.ScalarFuncConfig { return n.config }

func (n *native) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: n.call}
}

// call never lets a panic reach C, where it would end the process.
func (n *native) call(values []driver.Value) (out any, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("%s: %v", n.f.Name, r)
		}
	}()
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return n.f.Call(args)
}

func registerNatives(c *sql.Conn, zone *time.Location) error {
	for _, f := range sparksql.Natives(zone) {
		cfg := duckdb.ScalarFuncConfig{SpecialNullHandling: f.Nulls}
		for _, a := range f.Args {
			info, err := typeInfo(a)
			if err != nil {
				return fmt.Errorf("register %s: %w", f.Name, err)
			}
			cfg.InputTypeInfos = append(cfg.InputTypeInfos, info)
		}
		info, err := typeInfo(f.Result)
		if err != nil {
			return fmt.Errorf("register %s: %w", f.Name, err)
		}
		cfg.ResultTypeInfo = info
		if err := duckdb.RegisterScalarUDF(c, f.Name, &native{f: f, config: cfg}); err != nil {
			return fmt.Errorf("register %s: %w", f.Name, err)
		}
	}
	return nil
}

var primitives = map[sparksql.Kind]duckdb.Type{
	sparksql.Boolean: duckdb.TYPE_BOOLEAN, sparksql.Int: duckdb.TYPE_INTEGER, sparksql.Long: duckdb.TYPE_BIGINT, sparksql.Float: duckdb.TYPE_FLOAT,
	sparksql.Double: duckdb.TYPE_DOUBLE, sparksql.String: duckdb.TYPE_VARCHAR, sparksql.Binary: duckdb.TYPE_BLOB,
}

// typeInfo gives DuckDB's type for the few Spark types that natives take and give.
func typeInfo(t sparksql.Type) (duckdb.TypeInfo, error) {
	switch t.Kind {
	case sparksql.Array:
		e, err := typeInfo(*t.Elem)
		if err != nil {
			return nil, err
		}
		return duckdb.NewListInfo(e)
	case sparksql.Map:
		k, err := typeInfo(*t.Key)
		if err != nil {
			return nil, err
		}
		v, err := typeInfo(*t.Elem)
		if err != nil {
			return nil, err
		}
		return duckdb.NewMapInfo(k, v)
	}
	p, ok := primitives[t.Kind]
	if !ok {
		return nil, fmt.Errorf("no native takes %s", t)
	}
	return duckdb.NewTypeInfo(p)
}
