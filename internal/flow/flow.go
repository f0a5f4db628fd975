// Package flow holds the words that the rest of Tidemill speaks: datasets and their
// manifests, loads, sources, sinks, buckets, tasks, kinds of error, secrets. It does no I/O.
package flow

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// Batch is a slice of rows in Arrow's columns. A batch belongs to its consumer, who
// releases it.
type Batch = arrow.RecordBatch

// Query says what a Source or Pages is to read.
type Query struct {
	Text   string          // SQL; {{1}} stands where the first of Values belongs: see Bind
	Values []any           // null, boolean, number or text each
	Args   json.RawMessage // the connector's further keys, as FetchJob has them
	Run    string          // the run's id, for the tags and comments that a system keeps of a query
	Log    io.Writer       // the attempt's log: query ids, waits; may be nil

	// A query may go on at its system when nobody waits for it. Begun, which may be nil, is told
	// how it is found again; Token is what it was told in an earlier attempt of the same run.
	Begun func(Token)
	Token Token

	Rows iter.Seq2[[]byte, error] // Pages: what the query is made for each of, JSON objects; nil for once
	From json.RawMessage          // Pages: the Next of the last page that was kept; nil for the beginning
}

// Bind returns Text with the places of the values written as the system wants them; n is a
// value's number, from 1.
func (q Query) Bind(mark func(n int) string) string {
	var b strings.Builder
	rest := q.Text
	for {
		before, after, ok := strings.Cut(rest, "{{")
		number, end, closed := strings.Cut(after, "}}")
		n, err := strconv.Atoi(number)
		b.WriteString(before)
		switch {
		case !ok:
			return b.String()
		case !closed || err != nil || n < 1 || n > len(q.Values):
			b.WriteString("{{")
			rest = after
		default:
			b.WriteString(mark(n))
			rest = end
		}
	}
}

// Source is an outside system that is read.
type Source interface {
	// Read returns one schema, known before the first batch, and the batches. Iteration
	// stops at the first error.
	Read(ctx context.Context, q Query) (*arrow.Schema, iter.Seq2[Batch, error], error)
	// Kind tells what an error that Read gave means for a retry.
	Kind(err error) Kind
	Close() error
}

// Pages is an outside system that answers in documents, whose columns are known when all of
// them are there: a web API. What it yields is kept, and a later reading goes on from the
// last page that was.
type Pages interface {
	// Pages yields the query's pages in order. Iteration stops at the first error; an error of
	// kind Conflict says that what was kept does not fit what would come after it.
	Pages(ctx context.Context, q Query) iter.Seq2[Page, error]
	// Kind tells what an error that Pages gave means for a retry.
	Kind(err error) Kind
	Close() error
}

// Page is one document of a Pages, or the failure of one of its Query's Rows.
type Page struct {
	Name    string          // for messages: page 7
	Format  string          // of Body: json (an array of records, or one), ndjson, csv
	Body    []byte          // the records as they came, unpacked; of a failed row, the row; the consumer's
	Records int64           // how many
	Failed  string          // why the row failed; the page then has no records
	Warning string          // what a person should know
	Next    json.RawMessage // where reading goes on after this page; nil after the last
}

// Tester is a Source, Pages or Sink that can say in a few words whom it reached, and as whom.
type Tester interface {
	Test(ctx context.Context) (string, error)
}

// Load names one write into an outside system; equal loads are the same write.
type Load struct {
	Pipeline string `json:"pipeline"`
	Step     string `json:"step"`
	Time     string `json:"time"`             // the logical time, as TimeName writes it
	Params   string `json:"params,omitempty"` // hash of the run's params, empty for the defaults
}

// Slot names the place of a step's dataset for one logical time: DIR = PIPELINE/STEP/TIME[-PARAMS].
type Slot Load

// TimeName writes a logical time as it stands in paths: 20171106T060000Z.
func TimeName(t time.Time) string { return t.UTC().Format("20060102T150405Z") }

// ParseTimeName reads what TimeName wrote.
func ParseTimeName(s string) (time.Time, error) { return time.Parse("20060102T150405Z", s) }

// Dir is the slot's folder below a store's data/.
func (s Slot) Dir() string {
	d := s.Pipeline + "/" + s.Step + "/" + s.Time
	if s.Params != "" {
		d += "-" + s.Params
	}
	return d
}

// Object is a file in a Bucket.
type Object struct {
	Name     string // the path below the bucket's root, with slashes
	Size     int64  // bytes
	ETag     string // opaque; changes when the content does; may be empty
	Modified time.Time
}

// Condition restricts Create. The zero value overwrites.
type Condition struct {
	IfAbsent bool   // only if no object has the name
	IfMatch  string // only if the object's ETag is this
}

// Writer receives the bytes of one object, which appears under its name, whole, at Commit.
// Commit fails with Conflict when the Condition does not hold. Abort after Commit does nothing.
type Writer interface {
	io.Writer
	Commit() (Object, error)
	Abort() error
}

// Bucket holds files: a folder, an S3 bucket. A missing object is an Error of kind NotFound.
type Bucket interface {
	Stat(ctx context.Context, name string) (Object, error)
	// Open reads length bytes from offset; a negative length reads to the end.
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	Create(ctx context.Context, name string, c Condition) (Writer, error)
	// List yields the objects whose names begin with prefix, in name order.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
}

// Remover is a Bucket that can delete. Removing what is not there is no error.
type Remover interface {
	Remove(ctx context.Context, names ...string) error
}

// Copier is a Bucket that can copy one of its objects without the bytes passing through here.
type Copier interface {
	Copy(ctx context.Context, from, to string) (Object, error)
}

// Tidier is a Bucket whose large objects are written in parts: what a writer that died left
// of one is kept, unseen and paid for, until it is removed.
type Tidier interface {
	// Tidy removes what was begun and not finished of objects whose names begin with prefix and
	// that are doomed.
	Tidy(ctx context.Context, prefix string, doomed func(name string, begun time.Time) bool) error
}

// Locator is a Bucket whose objects are files of this machine.
type Locator interface {
	Path(name string) string
}

// Request is one attempt at one state of a run. It names connections, never their contents.
type Request struct {
	Key       string          // RUN/STATE[ITEM]/ATTEMPT; equal keys are the same attempt
	Run       string          // the run's id
	State     string          // the state's name
	Item      string          // the item of an each, empty outside one
	Attempt   int             // from 1; a repeat after a crash is a new number
	Resource  string          // arn:aws:states:::SERVICE:API[.sync]
	Arguments json.RawMessage // the state's arguments, evaluated
	Log       io.Writer       // the attempt's log; never nil
	Progress  func(Progress)  // may be called often and from any goroutine; never nil

	// Since is set where a process that is gone may have begun a Task's work: from then on.
	Since time.Time
}

// Progress is how far an attempt has come. Zero totals are unknown.
type Progress struct {
	Doing            string // a few words: "read orders_20171106.csv"
	Rows, Bytes      int64
	TotalRows, Total int64   // of Rows, of Bytes
	Fraction         float64 // 0…1 where neither total is known but the share is
}

// Token finds a piece of work again after the process that began it is gone.
type Token string

// Task is work that outlives the call that began it.
type Task interface {
	// Start begins the work. The same Request.Key again gives the same token and begins nothing new.
	Start(ctx context.Context, r Request) (Token, error)
	// Wait returns the work's output; the process that waits need not be the one that started.
	// The request is the one that began the work.
	Wait(ctx context.Context, r Request, t Token) (json.RawMessage, error)
	// Stop ends the work, and returns when it has ended. Ending what has ended is no error.
	Stop(ctx context.Context, t Token) error
}

// Submitter is a Task whose history says that it was submitted, as that of States Language's
// .sync integrations does.
type Submitter interface {
	// Submitted is what the call that began the work answered.
	Submitted(t Token) json.RawMessage
}

// Finder is a Task that finds work again of which nothing is known but the request: the
// process ended between the call that began it and the note of its token.
type Finder interface {
	// Find returns the token of the work that the request began, if it began any. It looks
	// for as long as the call may still take effect.
	Find(ctx context.Context, r Request) (Token, bool, error)
}

// TaskFunc is work that dies with the process and is run again after a crash.
type TaskFunc func(ctx context.Context, r Request) (json.RawMessage, error)

// Lookup resolves names at use. It is made by the command line and handed to tasks.
type Lookup interface {
	// Bucket returns the bucket that holds uri (a path of the project, an absolute path,
	// file://, s3://BUCKET/KEY) and the object's name in it.
	Bucket(ctx context.Context, uri string) (Bucket, string, error)
	// Text returns the text (SQL, mostly) that has the content hash.
	Text(ctx context.Context, hash string) (string, error)
}

// Calendar is a Lookup that knows when the project's pipelines fire.
type Calendar interface {
	// SlotAt is the time, as slots have it, of a pipeline's run that is named by its ds
	// (2017-11-06) or its instant (2017-11-06T06:00:00Z). It fails with Invalid where there is
	// no such run, or a day has several.
	SlotAt(pipeline, at string) (string, error)
}
