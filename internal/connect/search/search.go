// Package search is a search index in a file of this machine: SQLite's full text index
// behind the same loads as a search cluster's. It needs nothing running beside.
//
// Each index is a set of documents under a name; an alias is a list of them. A swap writes
// a new index and moves the alias in one transaction.
package search

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/tidemill/tidemill/internal/flow"
)

// Settings are the keys of a connection.
type Settings struct {
	Path string `key:"path" def:".tidemill/search" doc:"The folder of the index's file."`
}

// Connector describes connections of type search.
var Connector = flow.Define[Settings]("search", "A search index in a file of this machine, for trying a pipeline without a cluster.", flow.UseSink).OfThisMachine()

// Sink is one file. It is safe for concurrent use, by several processes too.
type Sink struct {
	db   *sql.DB
	file string
	now  func() time.Time
}

// schema is the file's. A document stands under its index and id; words holds the texts of
// its fields for the full text index, whose rowid is the document's.
const schema = `
CREATE TABLE IF NOT EXISTS index_of (
	name TEXT PRIMARY KEY, pipeline TEXT NOT NULL, step TEXT NOT NULL, params TEXT NOT NULL, period TEXT NOT NULL,
	time TEXT NOT NULL, run TEXT NOT NULL, attempt INT NOT NULL, created INT NOT NULL, retired INT, mirrored TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alias (alias TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (alias, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (
	row INTEGER PRIMARY KEY, name TEXT NOT NULL, id TEXT NOT NULL, version INT, mark TEXT, body TEXT NOT NULL, UNIQUE (name, id));
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, content='', contentless_delete=1);
PRAGMA user_version = 1;`

// New opens the file below the folder path, which is made where it is missing.
func New(path string) (*Sink, error) {
	fault := func(err error) error {
		return &flow.Error{Op: "open the search index in " + path, Kind: flow.Invalid, Err: err}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fault(err)
	}
	file := filepath.Join(path, "search.db")
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: file}).EscapedPath()+"?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=60000&_txlock=immediate")
	if err != nil {
		return nil, fault(err)
	}
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return nil, fault(errors.Join(err, db.Close()))
	}
	switch {
	case version > 1:
		return nil, fault(errors.Join(fmt.Errorf("it has version %d and this program reads version 1", version), db.Close()))
	case version == 0:
		if _, err := db.Exec(schema); err != nil {
			return nil, fault(errors.Join(err, db.Close()))
		}
	}
	return &Sink{db: db, file: file, now: time.Now}, nil
}

// Close closes the file.
func (s *Sink) Close() error { return s.db.Close() }

// Test tells how many documents there are.
func (s *Sink) Test(ctx context.Context) (string, error) {
	var docs, aliases int64
	err := s.db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM document), (SELECT count(DISTINCT alias) FROM alias)").Scan(&docs, &aliases)
	return fmt.Sprintf("%s, indexes %d, documents %d", s.file, aliases, docs), s.fault(ctx, err)
}

// fault sorts what SQLite said.
func (s *Sink) fault(ctx context.Context, err error) error {
	if err == nil || flow.KindOf(err) != flow.Unknown {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := &flow.Error{Op: "use " + s.file, Kind: flow.Transient, Err: err}
	var c sqlite3.Error
	if errors.As(err, &c) {
		switch c.Code {
		case sqlite3.ErrFull:
			e.Hint = "Make room on its disk."
		case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
			e.Kind, e.Hint = flow.Invalid, "The file is damaged: remove it and run the loads again."
		}
	}
	return e
}

// Find returns documents by a query of FTS5: words, "phrases", prefixes*, AND, OR, NOT.
func (s *Sink) Find(ctx context.Context, index, query string, most int) (flow.Hits, error) {
	var h flow.Hits
	const of = " FROM document d WHERE d.name IN (SELECT name FROM alias WHERE alias = ?1)"
	var known int
	if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM alias WHERE alias = ?", index).Scan(&known); err != nil {
		return h, s.fault(ctx, err)
	}
	if known == 0 {
		return h, &flow.Error{Op: "search " + index, Kind: flow.NotFound, Err: errors.New("there is no such index"), Hint: "No load has published it yet, or its name is another."}
	}
	count, list := "SELECT count(*)"+of, "SELECT d.id, d.body"+of+" ORDER BY d.row LIMIT ?2"
	args := []any{index, most}
	if query != "" {
		const match = " FROM words w JOIN document d ON d.row = w.rowid WHERE words MATCH ?3 AND d.name IN (SELECT name FROM alias WHERE alias = ?1)"
		count, list = "SELECT count(*)"+match, "SELECT d.id, d.body"+match+" ORDER BY bm25(words) LIMIT ?2"
		args = append(args, query)
	}
	if err := s.db.QueryRowContext(ctx, count, args...).Scan(&h.Total); err != nil {
		return h, s.badQuery(ctx, query, err)
	}
	rows, err := s.db.QueryContext(ctx, list, args...)
	if err != nil {
		return h, s.badQuery(ctx, query, err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {
		var id, body string
		if err := rows.Scan(&id, &body); err != nil {
			return h, s.fault(ctx, err)
		}
		h.IDs, h.Docs = append(h.IDs, id), append(h.Docs, json.RawMessage(body))
	}
	return h, s.fault(ctx, rows.Err())
}

func (s *Sink) badQuery(ctx context.Context, query string, err error) error {
	var c sqlite3.Error
	if errors.As(err, &c) && c.Code == sqlite3.ErrError {
		return &flow.Error{Op: "search for " + query, Kind: flow.Invalid, Err: errors.New(strings.TrimPrefix(err.Error(), "fts5: ")), Hint: `Write words, "a phrase", pre*, AND, OR, NOT; put other signs into quotes.`}
	}
	return s.fault(ctx, err)
}
