// Package duckdb runs Spark SQL and reads and writes files with DuckDB, in this
// process.
package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/sparksql"
)

// Config says how a session is opened. Its zero value works.
type Config struct {
	Memory  string // DuckDB's memory_limit, as "4GB"; empty: DuckDB's default
	Threads int    // 0: DuckDB's default
	TempDir string // where DuckDB spills; empty: it does not
	// Timezone is the session's zone, in which timestamps are read, cut and printed;
	// empty is UTC.
	Timezone string
	// PreserveOrder keeps the order of rows that a query does not order itself. It
	// costs memory.
	PreserveOrder bool
	// Settings are further settings of DuckDB, set at the end in the order of their names.
	Settings map[string]string
}

// Session is a DuckDB of its own, in memory, that knows Spark's functions. Its
// connections share tables and functions. It is safe for concurrent use; one
// connection is not.
type Session struct {
	db   *sql.DB
	conn *duckdb.Connector
	zone *time.Location

	ordered bool // rows keep their order
}

// Open makes a session. Extensions are neither installed nor loaded; what files it may
// touch is the caller's to say, in Settings or by statements afterwards.
func Open(ctx context.Context, c Config) (*Session, error) {
	if c.Timezone == "" {
		c.Timezone = "UTC"
	}
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return nil, fmt.Errorf("open duckdb: time zone %q: %w", c.Timezone, err)
	}
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, fmt.Errorf("open duckdb: %w", err)
	}
	s := &Session{db: sql.OpenDB(connector), conn: connector, zone: zone, ordered: c.PreserveOrder}
	if err := s.setUp(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("open duckdb: %w", err), s.Close())
	}
	return s, nil
}

// setUp makes every setting global, so that connections opened later have it too, even
// after the configuration is locked.
func (s *Session) setUp(ctx context.Context, c Config) error {
	statements := []string{
		"SET GLOBAL TimeZone = " + quote(c.Timezone),
		"SET GLOBAL Calendar = 'gregorian'",
		"SET GLOBAL default_null_order = 'nulls_first'",
		"SET GLOBAL integer_division = false",
		"SET GLOBAL ieee_floating_point_ops = true",
		"SET GLOBAL autoinstall_known_extensions = false",
		"SET GLOBAL autoload_known_extensions = false",
		"SET GLOBAL preserve_insertion_order = " + strconv.FormatBool(c.PreserveOrder),
		"SET GLOBAL temp_directory = " + quote(c.TempDir),
	}
	if c.Memory != "" {
		statements = append(statements, "SET GLOBAL memory_limit = "+quote(c.Memory))
	}
	if c.Threads > 0 {
		statements = append(statements, "SET GLOBAL threads = "+strconv.Itoa(c.Threads))
	}
	names := make([]string, 0, len(c.Settings))
	for k := range c.Settings {
		names = append(names, k)
	}
	sort.Strings(names)
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	for _, st := range statements {
		if _, err := conn.ExecContext(ctx, st); err != nil {
			return fmt.Errorf("%s: %w", st, err)
		}
	}
	if err := registerNatives(conn, s.zone); err != nil {
		return err
	}
	for _, m := range sparksql.Macros() {
		if _, err := conn.ExecContext(ctx, m); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
	}
	for _, k := range names {
		if strings.ContainsAny(k, " ;'\"") {
			return fmt.Errorf("setting %q: invalid name", k)
		}
		if _, err := conn.ExecContext(ctx, "SET GLOBAL "+k+" = "+quote(c.Settings[k])); err != nil {
			return fmt.Errorf("setting %s: %w", k, err)
		}
	}
	return nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// DB gives the pool of the session's connections.
func (s *Session) DB() *sql.DB { return s.db }

// Conn takes one connection, which the caller closes.
func (s *Session) Conn(ctx context.Context) (*sql.Conn, error) { return s.db.Conn(ctx) }

// Zone is the session's time zone.
func (s *Session) Zone() *time.Location { return s.zone }

// Arrow lends the Arrow interface of a connection to f. The connection is busy until f
// returns; what f makes of it must not outlive f.
func (s *Session) Arrow(ctx context.Context, c *sql.Conn, f func(*duckdb.Arrow) error) error {
	return c.Raw(func(dc any) error {
		conn, ok := dc.(driver.Conn)
		if !ok {
			return fmt.Errorf("arrow: unexpected connection %T", dc)
		}
		a, err := duckdb.NewArrowFromConn(conn)
		if err != nil {
			return fmt.Errorf("arrow: %w", err)
		}
		return f(a)
	})
}

// Close ends the session and frees its memory.
func (s *Session) Close() error {
	return errors.Join(s.db.Close(), s.conn.Close())
}
