package pipeline

// Pipeline is a file pipelines/NAME.yaml.
type Pipeline struct {
	Pos         Pos            `yaml:"-"`
	File        string         `yaml:"-"` // relative to the project's folder
	Name        Str            `yaml:"pipeline" doc:"The pipeline's name." def:"the file's name"`
	Description string         `yaml:"description" doc:"What it is for, in a sentence or two."`
	Schedule    *Schedule      `yaml:"schedule" doc:"When it is due. Without one it runs when asked to."`
	Params      Map[Param]     `yaml:"params" doc:"Named values of one run, each a default, or {type, default, enum}."`
	Publish     string         `yaml:"publish" enum:"each|together" def:"each" doc:"together stages and checks every load first, and then makes all visible, seconds apart."`
	Concurrency int            `yaml:"concurrency" def:"no limit" doc:"How many steps of a run may work at once."`
	Retention   *Retention     `yaml:"retention" doc:"How long the datasets of old runs are kept."`
	Notify      *Notify        `yaml:"notify" def:"nobody" doc:"Who hears of what: lists of connections."`
	Target      Str            `yaml:"target" def:"local" doc:"The target where it runs unless told otherwise."`
	Steps       Map[*Step]     `yaml:"steps" req:"1" doc:"The nodes of the graph, by name."`
	Nodes       map[string]int `yaml:"-"` // a step's name → its index in Steps
}

// Schedule is when a pipeline is due.
type Schedule struct {
	Pos       Pos      `yaml:"-"`
	Cron      Str      `yaml:"cron" req:"1" doc:"Five fields: minute hour day-of-month month day-of-week."`
	Timezone  Str      `yaml:"timezone" def:"UTC" doc:"An IANA zone, as in America/New_York."`
	Start     Date     `yaml:"start" doc:"The first ds."`
	End       Date     `yaml:"end" doc:"The last ds."`
	Catchup   bool     `yaml:"catchup" def:"false" doc:"Whether fires missed while nothing served are made up for."`
	Day       string   `yaml:"day" enum:"start|end" def:"end" doc:"Which day ds is: that of the fire (end), or that on which the data interval began (start)."`
	Overlap   string   `yaml:"overlap" enum:"queue|skip|cancel" def:"queue" doc:"What a fire does while the run before it is still at work."`
	LateAfter Duration `yaml:"late_after" doc:"A run that has not ended this long after its fire is late (see notify.on_late)."`
}

// Retention is how long datasets are kept.
type Retention struct {
	Days int `yaml:"days" doc:"Keep the datasets of this many days."`
	Runs int `yaml:"runs" doc:"Keep the datasets of this many runs."`
}

// Notify lists connections for each event.
type Notify struct {
	OnFailure Strs `yaml:"on_failure" doc:"A run failed."`
	OnRetry   Strs `yaml:"on_retry" doc:"An attempt failed and is tried again."`
	OnSuccess Strs `yaml:"on_success" doc:"A run succeeded."`
	OnLate    Strs `yaml:"on_late" doc:"A run is late."`
}

// Step is a node of the graph: one verb, or extract and sql; a load may stand beside them.
type Step struct {
	Pos Pos    `yaml:"-"`
	Key string `yaml:"-"` // its name
	Doc string `yaml:"description" doc:"What it is for."`

	Copy    *Copy     `yaml:"copy" doc:"Copies a file, folder or glob."`
	Exists  *Template `yaml:"exists" doc:"Fails where nothing is at the URI."`
	Extract *Extract  `yaml:"extract" names:"row,response,headers,page,records" doc:"Reads from files, a database, a web API or another pipeline's dataset."`
	SQL     *SQL      `yaml:"sql" doc:"A query in Spark SQL, or a file that ends in .sql, or {duckdb, spark} where the two must differ. Steps are tables; source is this step's extract; previous its dataset of the time before."`
	Spark   *Spark    `yaml:"spark" names:"output" doc:"Runs a PySpark script."`
	Load    *Load     `yaml:"load" doc:"Writes a dataset into files or a search index."`
	Run     *Run      `yaml:"run" doc:"Runs a program."`
	State   *Any      `yaml:"state" doc:"A raw state of States Language."`

	After   Strs      `yaml:"after" doc:"Steps that come first though no data is taken from them."`
	When    *Expr     `yaml:"when" doc:"A condition in JSONata, without braces. False skips the step and what needs its data."`
	Retry   *Retry    `yaml:"retry" def:"no retry" doc:"Tries again after a passing fault."`
	Timeout *Duration `yaml:"timeout" doc:"The longest an attempt may take."`
	Wait    *Wait     `yaml:"wait" doc:"Its input may be late."`
	Each    *Each     `yaml:"each" doc:"Runs the step once for each item, at most 1,000: a list, a param, or STEP.COLUMN for the distinct values of a dataset. The item is row in templates."`
	RunIf   string    `yaml:"run_if" enum:"success|always|failed" def:"success" doc:"Whether it runs after steps that succeeded, whatever became of them, or only after one failed."`
	Pool    Str       `yaml:"pool" doc:"A pool of the project, whose number limits how many work at once, over all runs of the host. The wait for a place counts to timeout."`
	Checks  []Check   `yaml:"checks" doc:"Rules that its dataset must meet."`
	Keep    *Keep     `yaml:"keep" doc:"Its table is the accumulated whole of all runs."`

	templates []*Template
}

// Copy copies files.
type Copy struct {
	From Template `yaml:"from" req:"1" doc:"A file, folder or glob: local, s3:// or https://."`
	To   Template `yaml:"to" req:"1" doc:"Where to: local or s3://."`
}

// Extract reads from outside. Which keys go together follows from what from names.
type Extract struct {
	Pos  Pos      `yaml:"-"`
	From Template `yaml:"from" doc:"A path, glob, URI, or a connection's name."`

	Format      string   `yaml:"format" enum:"csv|json|ndjson|parquet" def:"by the file's ending" doc:"Files: how they are written."`
	Dialect     *Dialect `yaml:"dialect" def:"decided from the data" doc:"CSV files: how they are written."`
	Compression string   `yaml:"compression" enum:"none|gzip|zstd" def:"by the file's ending" doc:"Files: how they are compressed."`

	Query  *Foreign `yaml:"query" doc:"Databases: the query in the database's own SQL, or a file that ends in .sql."`
	Unload bool     `yaml:"unload" def:"false" doc:"Snowflake: take large results through an unload to files."`

	Path     *Template     `yaml:"path" doc:"REST: the path below the connection's url."`
	Method   string        `yaml:"method" enum:"GET|POST" def:"GET" doc:"REST: the method."`
	Params   Map[Any]      `yaml:"params" doc:"REST: the query's parameters."`
	Headers  Map[Template] `yaml:"headers" doc:"REST: headers."`
	Body     *Any          `yaml:"body" doc:"REST: the request's body, sent as JSON."`
	Records  *Template     `yaml:"records" doc:"REST: where the records are in the response."`
	Paginate *Paginate     `yaml:"paginate" doc:"REST: how the next page is found."`
	Total    *Template     `yaml:"total" doc:"REST: how many records there are in all; a mismatch is an error."`
	ForEach  Str           `yaml:"for_each" doc:"REST: a step, for each of whose rows the request is made; row in templates."`
	On404    string        `yaml:"on_404" enum:"fail|skip" def:"fail" doc:"REST with for_each: what a row without an answer does."`
	Tolerate *Limit        `yaml:"tolerate" def:"fail" doc:"REST with for_each: how many rows may fail."`

	Dataset Str       `yaml:"dataset" doc:"The dataset of another pipeline: PIPELINE.STEP."`
	At      *Template `yaml:"at" def:"the same ds" doc:"Of which ds the other pipeline's dataset is."`

	Columns     Map[Str] `yaml:"columns" doc:"Declared types, in Spark's words. They win over what the data looks like."`
	Drift       string   `yaml:"drift" enum:"freeze|add|discard" def:"freeze" doc:"What a column does that the schema does not have."`
	Rejects     *Limit   `yaml:"rejects" def:"fail" doc:"Whether rows that do not fit fail the step, or are kept aside with their reasons."`
	OnDuplicate string   `yaml:"on_duplicate" enum:"reject|last" def:"reject" doc:"With keep: what a second row of the same key does."`
	Cursor      Str      `yaml:"cursor" doc:"A column whose greatest value is kept from run to run: {{ cursors.STEP }} is what earlier runs published, nothing before the first. It moves when the run has published, never back, and not by a back-fill."`
	OnEmpty     string   `yaml:"on_empty" enum:"fail|ok|skip" def:"fail" doc:"What an input without rows does."`
	On          string   `yaml:"on" enum:"here|cluster" def:"here" doc:"Where a task that needs no Spark works when the target has a cluster."`
}

// Dialect is how a CSV file is written.
type Dialect struct {
	Delimiter string   `yaml:"delimiter" doc:"The character between fields."`
	Quote     string   `yaml:"quote" doc:"The character around fields, or none."`
	Escape    string   `yaml:"escape" def:"the quote, doubled" doc:"The character before a quote inside a field."`
	Header    *bool    `yaml:"header" doc:"Whether the first line names the columns."`
	Encoding  string   `yaml:"encoding" enum:"utf-8|latin-1|windows-1252|utf-16" def:"utf-8" doc:"The characters' encoding."`
	Nulls     []string `yaml:"nulls" def:"the empty field" doc:"Texts that mean NULL."`
	Skip      int      `yaml:"skip" doc:"Lines before the header that are passed over."`
	Comment   string   `yaml:"comment" doc:"A line that begins with this is passed over."`
	Date      string   `yaml:"date_format" def:"yyyy-MM-dd" doc:"How dates are written, in Spark's pattern letters."`
	Timestamp string   `yaml:"timestamp_format" doc:"How timestamps are written, in Spark's pattern letters."`
}

// Paginate is one of five ways to find the next page.
type Paginate struct {
	Pos        Pos       `yaml:"-"`
	NextLink   *Template `yaml:"next_link" doc:"The next page's URL, in the response."`
	LinkHeader bool      `yaml:"link_header" doc:"The header Link, rel=next."`
	Cursor     *Cursor   `yaml:"cursor" doc:"A value in the response that goes into a parameter of the next request."`
	Page       *Counted  `yaml:"page" doc:"A page number."`
	Offset     *Counted  `yaml:"offset" doc:"A count of records passed over."`
	MaxPages   int       `yaml:"max_pages" doc:"Stop with an error after so many."`
}

// Cursor pages by a value of the response.
type Cursor struct {
	Param string   `yaml:"param" req:"1" doc:"The parameter."`
	Value Template `yaml:"value" req:"1" doc:"Where the value is in the response; nothing there ends the paging."`
}

// Counted pages by a number.
type Counted struct {
	Param     string `yaml:"param" req:"1" doc:"The parameter."`
	Start     *int   `yaml:"start" def:"1 of a page, 0 of an offset" doc:"The first value."`
	Size      int    `yaml:"size" doc:"Records a page."`
	SizeParam string `yaml:"size_param" doc:"The parameter that asks for a page's size."`
}

// Spark is a PySpark script.
type Spark struct {
	Pos      Pos           `yaml:"-"`
	Script   Template      `yaml:"script" req:"1" doc:"The script: a file of the project or a URI."`
	Args     []Template    `yaml:"args" doc:"Its arguments."`
	Conf     Map[Template] `yaml:"conf" doc:"Spark's settings."`
	PyFiles  []Template    `yaml:"py_files" doc:"Further Python files."`
	Jars     []Template    `yaml:"jars" doc:"Jars."`
	Packages []Str         `yaml:"packages" doc:"Maven coordinates."`
	Output   Strs          `yaml:"output" doc:"Names of datasets that the script writes to {{ output.NAME }}. One is the step's table, several are STEP_NAME."`
	Secrets  Map[Str]      `yaml:"secrets" doc:"Environment variables of the driver: CONNECTION.FIELD."`
}

// Load writes a dataset outside.
type Load struct {
	Pos         Pos        `yaml:"-"`
	From        Str        `yaml:"from" def:"the step's own, or the only dataset" doc:"The step whose dataset is written."`
	To          Template   `yaml:"to" req:"1" doc:"A folder, an s3:// prefix, or a search connection."`
	Mode        string     `yaml:"mode" enum:"replace|append|swap|upsert|mirror" def:"replace" doc:"Files: replace, append. Search: swap, upsert, mirror."`
	Scope       string     `yaml:"scope" enum:"run|partitions|all|day|month" doc:"What replace or swap replaces." def:"run with a schedule and a time in the path or the partitions, all without a schedule"`
	Layout      string     `yaml:"layout" enum:"prefix|run" def:"prefix" doc:"Files: where list-readers look, or under run=ID/ with a pointer _current.json."`
	PartitionBy Strs       `yaml:"partition_by" doc:"Files: columns that become folders."`
	Format      string     `yaml:"format" enum:"parquet|csv|ndjson" def:"parquet" doc:"Files: how they are written."`
	Register    *Register  `yaml:"register" doc:"Files: a catalog's table that is moved to them."`
	Index       Template   `yaml:"index" doc:"Search: the alias readers use."`
	ID          Strs       `yaml:"id" doc:"Search: the columns that make a document's id."`
	Mapping     *Any       `yaml:"mapping" doc:"Search: overrides of the mapping."`
	Version     Str        `yaml:"version" doc:"Search, upsert: the column by which an older document never overwrites a newer."`
	DeleteWhen  *Predicate `yaml:"delete_when" doc:"Search, upsert: a predicate of rows whose documents are deleted."`
	KeepOld     int        `yaml:"keep_old" doc:"Search, swap: how many earlier indexes stay."`
	MaxDelete   *Limit     `yaml:"max_delete" doc:"Search, mirror: refuse to delete more."`
	Rejects     *Limit     `yaml:"rejects" def:"fail" doc:"Search: whether documents that the cluster refuses fail the load, or are kept aside with their reasons."`
	On          string     `yaml:"on" enum:"here|cluster" def:"here" doc:"Where a task that needs no Spark works when the target has a cluster."`
}

// Register names a catalog's table.
type Register struct {
	Glue Str `yaml:"glue" req:"1" doc:"DATABASE.TABLE of the Glue catalog."`
}

// Run is a program.
type Run struct {
	Argv []Template    `yaml:"argv" req:"1" doc:"The program and its arguments; no shell."`
	Env  Map[Template] `yaml:"env" doc:"Further environment variables."`
	Cwd  Template      `yaml:"cwd" def:"the project's folder" doc:"The working folder."`
}

// Retry tries again.
type Retry struct {
	Pos      Pos      `yaml:"-"`
	Attempts int      `yaml:"attempts" def:"3" doc:"Tries in all."`
	Delay    Duration `yaml:"delay" def:"10s" doc:"The pause before the second try."`
	Backoff  float64  `yaml:"backoff" def:"2" doc:"By what each pause is longer than the one before."`
	MaxDelay Duration `yaml:"max_delay" doc:"The longest pause."`
	On       Strs     `yaml:"on" def:"Tidemill.Transient, Tidemill.Throttled, Tidemill.Panic" doc:"Names of errors; States.ALL is every one."`
}

// Wait lets an input be late.
type Wait struct {
	Pos   Pos      `yaml:"-"`
	For   Duration `yaml:"for" req:"1" doc:"How long to wait for it."`
	Every Duration `yaml:"every" def:"1m" doc:"How often to look."`
}

// Keep accumulates.
type Keep struct {
	Pos        Pos        `yaml:"-"`
	Mode       string     `yaml:"mode" enum:"merge|append" req:"1" doc:"merge: a new row replaces that of the same key. append: rows are added."`
	Key        Strs       `yaml:"key" doc:"merge: the columns that tell rows apart."`
	OrderBy    Str        `yaml:"order_by" doc:"merge: the column whose greater value wins."`
	DeleteWhen *Predicate `yaml:"delete_when" doc:"merge: a predicate of rows that delete theirs."`
}

// Check is one rule; exactly one of its kinds is there.
type Check struct {
	Pos            Pos           `yaml:"-"`
	Unique         Strs          `yaml:"unique" doc:"No two rows have the same values in these columns."`
	NotNull        Strs          `yaml:"not_null" doc:"The columns have a value in every row."`
	AcceptedValues *Accepted     `yaml:"accepted_values" doc:"The column has only these values."`
	Range          *Range        `yaml:"range" doc:"The column lies between min and max."`
	Matches        *Matches      `yaml:"matches" doc:"The column's text matches a regular expression."`
	Relationship   *Relationship `yaml:"relationship" doc:"Each value of the column stands in a column of another step."`
	Freshness      *Freshness    `yaml:"freshness" doc:"The greatest value of the column is not older than within, seen from the run's logical time."`
	Rows           *Rows         `yaml:"rows" doc:"How many rows there are."`
	SQL            *Predicate    `yaml:"sql" doc:"A predicate of a good row."`
	Severity       string        `yaml:"severity" enum:"fail|warn|reject" def:"fail" doc:"What a check that does not hold does; reject, on checks of rows, moves the row to the rejects with its reason."`
}

// Accepted is a check of values.
type Accepted struct {
	Column Str   `yaml:"column" req:"1" doc:"The column."`
	Values []Any `yaml:"values" req:"1" doc:"The values it may have."`
}

// Range is a check of size.
type Range struct {
	Column Str  `yaml:"column" req:"1" doc:"The column."`
	Min    *Any `yaml:"min" doc:"The least value."`
	Max    *Any `yaml:"max" doc:"The greatest value."`
}

// Matches is a check of text.
type Matches struct {
	Column Str `yaml:"column" req:"1" doc:"The column."`
	Regex  Str `yaml:"regex" req:"1" doc:"The regular expression; it matches anywhere in the text unless it has ^ and $."`
}

// Relationship is a check against another step.
type Relationship struct {
	Column Str `yaml:"column" req:"1" doc:"The column."`
	To     Str `yaml:"to" req:"1" doc:"STEP.COLUMN."`
}

// Freshness is a check of age.
type Freshness struct {
	Column Str      `yaml:"column" req:"1" doc:"A date or timestamp column."`
	Within Duration `yaml:"within" req:"1" doc:"The greatest age."`
}

// Rows is a check of number.
type Rows struct {
	Min        *int64    `yaml:"min" doc:"The least number."`
	Max        *int64    `yaml:"max" doc:"The greatest number."`
	VsPrevious []float64 `yaml:"vs_previous" doc:"The least and greatest ratio to the dataset of the time before."`
}
