package sqlite

import (
	"context"
	"fmt"
	"os"
	"time"
)

// rootContext is a context without end: the writer's, who serves many callers.
type rootContext struct{}

func (rootContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (rootContext) Done() <-chan struct{}       { return nil }
func (rootContext) Err() error                  { return nil }
func (rootContext) Value(any) any               { return nil }

// migrations bring a journal from version i to i+1. A migration that was released never
// changes: each release's golden file is opened in tests.
var migrations = []string{
	`create table texts (hash text primary key, text text not null) without rowid;
	 create table runs (
	   id text primary key, pipeline text not null, time integer not null, target text not null, params text not null, n integer not null,
	   machine text not null references texts (hash), input text not null, created integer not null,
	   status text not null default '', ended integer not null default 0, error text not null default '', cause text not null default '', output text not null default '',
	   owner text not null default '', fence integer not null default 0, until integer not null default 0, due integer not null default 0) without rowid;
	 create index runs_by_key on runs (pipeline, time, target, params);
	 create index runs_by_status on runs (status, created);
	 create table events (
	   run text not null, n integer not null, id integer not null, previous integer not null, at integer not null, type text not null,
	   frame text not null, next text not null, details text not null, primary key (run, n)) without rowid;
	 create table tokens (run text not null, key text not null, started integer not null, token text not null, at integer not null, primary key (run, key)) without rowid;`,
	`create table clusters (
	   key text primary key, run text not null, target text not null, name text not null, id text not null, shared integer not null,
	   intended integer not null, ended integer not null default 0) without rowid;
	 create index clusters_by_id on clusters (id);
	 create index clusters_by_run on clusters (run, ended);`,
}

// Version is the version of journals that this program writes.
var Version = len(migrations)

func (j *Journal) migrate(ctx context.Context) error {
	var v int
	if err := j.write.QueryRowContext(ctx, "pragma user_version").Scan(&v); err != nil {
		return fmt.Errorf("open journal %s: %w", j.file, err)
	}
	if v > Version {
		return fmt.Errorf("open journal %s: it has version %d, this program knows versions up to %d: use a newer tidemill", j.file, v, Version)
	}
	if v == Version {
		return nil
	}
	if v > 0 {
		copyName := fmt.Sprintf("%s.v%d", j.file, v)
		if err := os.Remove(copyName); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("copy journal before the migration: %w", err)
		}
		if _, err := j.write.ExecContext(ctx, "vacuum into ?", copyName); err != nil {
			return fmt.Errorf("copy journal to %s before the migration: %w", copyName, err)
		}
	}
	t, err := j.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("migrate journal %s: %w", j.file, err)
	}
	defer t.Rollback() //nolint:errcheck // after Commit it does nothing
	// Another process may have migrated while this one waited for the lock.
	if err := t.QueryRowContext(ctx, "pragma user_version").Scan(&v); err != nil {
		return fmt.Errorf("migrate journal %s: %w", j.file, err)
	}
	for ; v < Version; v++ {
		if _, err := t.ExecContext(ctx, migrations[v]); err != nil {
			return fmt.Errorf("migrate journal %s to version %d: %w", j.file, v+1, err)
		}
	}
	if _, err := t.ExecContext(ctx, fmt.Sprintf("pragma user_version = %d", Version)); err != nil {
		return fmt.Errorf("migrate journal %s: %w", j.file, err)
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("migrate journal %s: %w", j.file, err)
	}
	return nil
}
