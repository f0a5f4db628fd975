package flow

import "encoding/json"

// The arguments of our own tasks, as the compiler writes them into a machine and the
// tasks read them. The resource is Resource(verb).

// Resource is the States Language resource of one of our tasks: arn:aws:states:::tidemill:VERB.
func Resource(verb string) string { return "arn:aws:states:::tidemill:" + verb }

// SQLText is a query by content hash, with the values of its {{ … }} places in order. In the
// text of a database's own query those places are {{1}}, {{2}}, …: see Query.Bind.
type SQLText struct {
	Hash    string `json:"hash"`
	Values  []any  `json:"values,omitempty"`
	Dialect string `json:"dialect,omitempty"` // spark (default), or duckdb where the file gives both
}

// DatasetJob makes one dataset: `extract`, `sql`, both fused, with `checks` and `keep`.
// Verbs: extract, sql. Its output is an Output.
type DatasetJob struct {
	Engine   string              `json:"engine"` // duckdb, spark
	Slot     Slot                `json:"slot"`
	Extract  *Extract            `json:"extract,omitempty"`
	SQL      *SQLText            `json:"sql,omitempty"`
	Inputs   map[string]string   `json:"inputs,omitempty"`   // table name → manifest URI; an each's table → several, see Unions
	Unions   map[string][]string `json:"unions,omitempty"`   // table name → manifest URIs whose union it is
	Previous bool                `json:"previous,omitempty"` // the SQL names the table previous
	Checks   []Check             `json:"checks,omitempty"`
	Keep     *Keep               `json:"keep,omitempty"`
}

// Extract reads from outside. Where From is a list of files it is a path, folder, glob or URI.
type Extract struct {
	From        string            `json:"from"`
	Format      string            `json:"format,omitempty"`      // csv, json, ndjson, parquet; default by extension
	Dialect     *Dialect          `json:"dialect,omitempty"`     // csv; default: decided from the data
	Compression string            `json:"compression,omitempty"` // none, gzip, zstd; default by extension
	Columns     Schema            `json:"columns,omitempty"`     // declared types; they win
	Read        []string          `json:"read,omitempty"`        // the columns the SQL reads; empty: all
	Drift       string            `json:"drift,omitempty"`       // freeze (default), add, discard
	Rejects     Limit             `json:"rejects"`
	OnDuplicate string            `json:"on_duplicate,omitempty"` // reject (default), last
	OnEmpty     string            `json:"on_empty,omitempty"`     // fail (default), ok, skip
	Query       *SQLText          `json:"query,omitempty"`        // SQL connections
	Args        json.RawMessage   `json:"args,omitempty"`         // a connector's further keys
	Cursor      string            `json:"cursor,omitempty"`
	Connection  string            `json:"connection,omitempty"`
	Manifest    string            `json:"manifest,omitempty"` // what a FetchJob read already: the table source; From names the connection
	Dataset     map[string]string `json:"dataset,omitempty"`  // of another pipeline: pipeline, step, at
}

// FetchJob reads a connection into a dataset. Verb: fetch. Its output is an Output. Where the
// step does more with what was read (sql, checks, keep), the slot's step is STEP.extract and
// the step's own dataset is made from it.
type FetchJob struct {
	Slot     Slot    `json:"slot"`
	Extract  Extract `json:"extract"`            // Connection, Query, Args and what goes with all extracts
	ForEach  string  `json:"for_each,omitempty"` // manifest URI: the request is made for each of its rows
	Tolerate Limit   `json:"tolerate,omitzero"`  // how many of those rows may fail; empty: none
}

// ExtractSuffix marks the slot of what a step extracted and did not make its own dataset yet.
const ExtractSuffix = ".extract"

// Late is a value of a FetchJob's Args that is known only while it is done, of a row or a
// response: the pieces of a template, in JSON {"{{": […]}.
type Late struct {
	Pieces []Piece `json:"{{"`
}

// Piece is text, or a JSONata expression.
type Piece struct {
	Text string `json:"text,omitempty"`
	Expr string `json:"expr,omitempty"`
}

// RESTArgs are the Args of a connection of type rest. An any is a constant, a Late, or a
// list or mapping of them.
type RESTArgs struct {
	Path        any            `json:"path,omitempty"`
	Method      string         `json:"method,omitempty"` // GET (default), POST
	Params      map[string]any `json:"params,omitempty"`
	Headers     map[string]any `json:"headers,omitempty"`
	Body        any            `json:"body,omitempty"`
	Records     any            `json:"records,omitempty"` // default: the whole response
	Total       any            `json:"total,omitempty"`
	NextLink    any            `json:"next_link,omitempty"`
	LinkHeader  bool           `json:"link_header,omitempty"`
	Cursor      *RESTCursor    `json:"cursor,omitempty"`
	Page        *RESTCount     `json:"page,omitempty"`
	Offset      *RESTCount     `json:"offset,omitempty"`
	MaxPages    int            `json:"max_pages,omitempty"`
	On404       string         `json:"on_404,omitempty"`   // fail (default), skip
	Tolerate    bool           `json:"tolerate,omitempty"` // a row that fails is told of as a Page
	Format      string         `json:"format,omitempty"`   // json, ndjson, csv; default by Content-Type
	Compression string         `json:"compression,omitempty"`
	Names       map[string]any `json:"names,omitempty"` // what late expressions may name beside row, response, headers, page, records
}

// RESTCursor pages by a value of the response that goes into a parameter.
type RESTCursor struct {
	Param string `json:"param"`
	Value any    `json:"value"`
}

// RESTCount pages by a number in a parameter.
type RESTCount struct {
	Param     string `json:"param"`
	Start     int    `json:"start,omitempty"`
	Size      int    `json:"size,omitempty"`
	SizeParam string `json:"size_param,omitempty"`
}

// SQLArgs are the Args of a connection that is asked in SQL.
type SQLArgs struct {
	Unload bool `json:"unload,omitempty"`
}

// Limit says how many rejects a step bears: Mode fail (none), keep (any), or up to Max rows or Percent of the rows read.
type Limit struct {
	Mode    string  `json:"mode"` // fail, keep, max
	Max     int64   `json:"max,omitempty"`
	Percent float64 `json:"percent,omitempty"`
}

// Exceeded tells whether n of a number of rows are more than the limit bears.
func (l Limit) Exceeded(n, of int64) bool {
	switch {
	case n == 0 || l.Mode == "keep":
		return false
	case l.Mode != "max" || l.Max == 0 && l.Percent == 0:
		return true
	}
	return l.Max > 0 && n > l.Max || l.Percent > 0 && float64(n)*100 > l.Percent*float64(of)
}

// Dialect is how a CSV file is written.
type Dialect struct {
	Delimiter string   `json:"delimiter,omitempty"` // one character
	Quote     string   `json:"quote,omitempty"`     // one character, or none
	Escape    string   `json:"escape,omitempty"`    // one character; default: the quote doubled
	Header    *bool    `json:"header,omitempty"`
	Encoding  string   `json:"encoding,omitempty"` // utf-8 (default), latin-1, windows-1252, utf-16
	Nulls     []string `json:"nulls,omitempty"`    // texts that mean NULL; default: the empty field
	Skip      int      `json:"skip,omitempty"`     // lines before the header
	Comment   string   `json:"comment,omitempty"`
	Date      string   `json:"date_format,omitempty"` // Spark's pattern
	Timestamp string   `json:"timestamp_format,omitempty"`
}

// Check is one rule that a dataset must meet.
type Check struct {
	Kind       string    `json:"kind"` // unique, not_null, accepted_values, range, matches, relationship, freshness, rows, sql
	Columns    []string  `json:"columns,omitempty"`
	Values     []any     `json:"values,omitempty"`
	Min        any       `json:"min,omitempty"`
	Max        any       `json:"max,omitempty"`
	Regex      string    `json:"regex,omitempty"`
	To         string    `json:"to,omitempty"`          // step.column
	Within     string    `json:"within,omitempty"`      // a duration: 2d
	VsPrevious []float64 `json:"vs_previous,omitempty"` // least and most ratio to the previous dataset's rows
	SQL        *SQLText  `json:"sql,omitempty"`         // a predicate of a good row
	Text       string    `json:"text,omitempty"`        // the check as the user wrote it, for messages
	Severity   string    `json:"severity,omitempty"`    // fail (default), warn, reject
	At         string    `json:"at,omitempty"`          // the logical time, for freshness; RFC 3339
}

// Keep makes a step's table the accumulated whole of its runs.
type Keep struct {
	Mode       string   `json:"mode"` // merge, append
	Key        []string `json:"key,omitempty"`
	OrderBy    string   `json:"order_by,omitempty"`
	DeleteWhen *SQLText `json:"delete_when,omitempty"`
}

// LoadJob writes a dataset into files outside. Verb: load. Phase stage writes aside and
// checks, flip makes it visible, all does both; flip is given stage's output as Staged.
type LoadJob struct {
	Engine      string          `json:"engine"`
	Load        Load            `json:"load"`
	From        string          `json:"from"` // manifest URI
	To          string          `json:"to"`   // folder or s3:// prefix
	Connection  string          `json:"connection,omitempty"`
	Mode        string          `json:"mode"`             // replace, append
	Scope       string          `json:"scope,omitempty"`  // run, partitions, all
	Layout      string          `json:"layout,omitempty"` // prefix (default), run
	PartitionBy []string        `json:"partition_by,omitempty"`
	Format      string          `json:"format,omitempty"` // parquet (default), csv, ndjson
	Phase       string          `json:"phase,omitempty"`  // all (default), stage, flip
	Staged      json.RawMessage `json:"staged,omitempty"`
	Register    string          `json:"register,omitempty"` // DATABASE.TABLE of the target's catalog
	Args        json.RawMessage `json:"args,omitempty"`     // a connector's further keys
}

// SparkJob is one spark-submit: a user's script, or work of our own done in one session.
// Verb: spark. The output of work is an object of each one's Output or LoadOutput by its
// name; a script's is ScriptOutput.
type SparkJob struct {
	Script   string                 `json:"script,omitempty"`      // a file of the project or a URI
	Args     []string               `json:"args,omitempty"`        // OutputURI in them stands for where an output goes
	Conf     map[string]string      `json:"conf,omitempty"`        // the step's own
	Target   map[string]string      `json:"target_conf,omitempty"` // the target's, which the step's win over
	PyFiles  []string               `json:"py_files,omitempty"`
	Jars     []string               `json:"jars,omitempty"`
	Packages []string               `json:"packages,omitempty"` // Maven coordinates
	Secrets  map[string]string      `json:"secrets,omitempty"`  // variable of the driver's environment → CONNECTION.FIELD
	Outputs  map[string]SparkOutput `json:"outputs,omitempty"`  // what the script writes to {{ output.NAME }}
	Work     []SparkWork            `json:"work,omitempty"`     // in order, in one session
}

// SparkOutput is a dataset that a script writes as Parquet.
type SparkOutput struct {
	Slot Slot `json:"slot"`
}

// SparkWork is one piece of a session's work: exactly one of its jobs is there. A table of a
// dataset job, or the rows of a load, that an earlier piece of the same session makes is
// named by WorkURI.
type SparkWork struct {
	Name    string      `json:"name"` // of the node in the graph: STEP, STEP.load
	Dataset *DatasetJob `json:"dataset,omitempty"`
	Load    *LoadJob    `json:"load,omitempty"`
}

// OutputURI stands in a script's arguments and settings for the folder of an output, which
// carries run and attempt: the task that starts the attempt puts it in.
func OutputURI(name string) string { return "tidemill-output://" + name + "/" }

// WorkURI stands for the manifest of a dataset that an earlier piece of the same session makes.
func WorkURI(name string) string { return "tidemill-work://" + name }

// ScriptOutput is what a script leaves in the machine's data. With one output that output's
// fields stand beside, so that a step with one output is a step with a dataset.
type ScriptOutput struct {
	Exit    int               `json:"exit"`
	Outputs map[string]Output `json:"outputs,omitempty"` // by the output's name
}

// LoadOutput is what a load leaves in the machine's data.
type LoadOutput struct {
	To     string `json:"to"`
	Rows   int64  `json:"rows"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Staged string `json:"staged,omitempty"` // phase stage: where the staging record lies
}

// CopyJob copies a file, folder or glob. Verb: copy. Output: {files, bytes}.
type CopyJob struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// StageJob lays files of the project into the store for a cluster. Verb: stage. Output: {files}.
type StageJob struct {
	Files []StagedFile `json:"files"`
}

// StagedFile is a file that is laid under its content's hash.
type StagedFile struct {
	File string `json:"file"` // of the project
	Hash string `json:"hash"` // 32 characters of its SHA-256
	To   string `json:"to"`   // URI
}

// ExistsJob fails with NotFound where nothing is at URI. Verb: exists. Output: {uri, bytes, etag}.
type ExistsJob struct {
	URI string `json:"uri"`
}

// RunJob runs a program of this machine. Verb: run. Output: the last line of its standard
// output if that is JSON, else {exit: 0}.
type RunJob struct {
	Argv []string          `json:"argv"`
	Env  map[string]string `json:"env,omitempty"`
	Cwd  string            `json:"cwd,omitempty"`
}

// PublishJob makes a run's datasets the current ones of their slots and moves its cursors,
// under the slots' leases. Verb: publish. It is the last state of a run that made datasets.
type PublishJob struct {
	Datasets []string          `json:"datasets"`          // manifest URIs; each lies in its slot
	Cursors  map[string]string `json:"cursors,omitempty"` // step → value
}
