package pipeline

import (
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sparksql"
)

// Verbs are the verbs of a step, in the order of the reference page.
var Verbs = []string{"copy", "exists", "extract", "sql", "spark", "load", "run", "state"}

// verbs are the verbs that a step has.
func (s *Step) verbs() []string {
	has := []bool{s.Copy != nil, s.Exists != nil, s.Extract != nil, s.SQL != nil, s.Spark != nil, s.Load != nil, s.Run != nil, s.State != nil}
	var out []string
	for i, h := range has {
		if h {
			out = append(out, Verbs[i])
		}
	}
	return out
}

// collectTemplates finds every template below v.
func collectTemplates(v reflect.Value, out *[]*Template) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return
		}
		if t, ok := v.Interface().(*Template); ok {
			*out = append(*out, t)
			return
		}
		collectTemplates(v.Elem(), out)
	case reflect.Struct:
		if t, ok := addr[Template](v); ok {
			*out = append(*out, t)
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				collectTemplates(v.Field(i), out)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			collectTemplates(v.Index(i), out)
		}
	}
}

func addr[T any](v reflect.Value) (*T, bool) {
	if v.Type() != reflect.TypeFor[T]() {
		return nil, false
	}
	if v.CanAddr() {
		return v.Addr().Interface().(*T), true
	}
	t := v.Interface().(T)
	return &t, true
}

func (pl *Pipeline) checkStep(d *decoder, p *Project, s *Step) {
	verbs := s.verbs()
	switch rest := slices.DeleteFunc(slices.Clone(verbs), func(v string) bool { return v == "load" }); {
	case len(verbs) == 0:
		d.fault(s.Pos, "one of "+strings.Join(Verbs, ", "), "step %q has no verb", s.Key)
	case len(rest) > 1 && !slices.Equal(rest, []string{"extract", "sql"}):
		d.fault(s.Pos, "make two steps of it; only extract and sql go together, and a load beside what makes its dataset", "step %q has the verbs %s", s.Key, strings.Join(verbs, " and "))
	case len(rest) == 1 && len(verbs) == 2 && !s.MakesDataset():
		d.fault(s.Load.Pos, "", "%s leaves no dataset that the load beside it could write", rest[0])
	}
	for _, a := range s.After {
		if _, ok := pl.Nodes[a.Value]; !ok {
			d.fault(a.Pos, didYouMean(a.Value, pl.Steps.Keys()), "unknown step %q", a.Value)
		} else if a.Value == s.Key {
			d.fault(a.Pos, "", "step %q cannot come after itself", s.Key)
		}
	}
	if s.Pool.Value != "" {
		if _, ok := p.Pools.Get(s.Pool.Value); !ok {
			d.fault(s.Pool.Pos, didYouMean(s.Pool.Value, p.Pools.Keys()), "unknown pool %q", s.Pool.Value)
		}
	}
	pl.checkSQL(d, s)
	pl.checkExtract(d, p, s)
	pl.checkLoad(d, p, s)
	pl.checkData(d, s)
	pl.checkTiming(d, s)
}

// allModes are the modes of all kinds of load.
var allModes = []string{"replace", "append", "swap", "upsert", "mirror"}

func (pl *Pipeline) checkSQL(d *decoder, s *Step) {
	names := pl.tableNames()
	for _, t := range s.Tables() {
		_, isStep := pl.TableStep(t.Name)
		switch {
		case t.Name == "":
		case t.Name == "source" && s.Extract == nil:
			d.faultIn(t.Pos, "source is the extract of the same step: name a step, or add extract", "step %q has no extract", s.Key)
		case t.Name == "source" || t.Name == "previous":
		case t.Name == s.Key:
			d.faultIn(t.Pos, "its dataset of the time before is the table previous", "step %q reads itself", s.Key)
		case !isStep:
			known := append(slices.Clone(names), "source", "previous")
			d.faultIn(t.Pos, didYouMean(t.Name, known), "unknown table %q: the tables of a query are steps", t.Name)
		}
	}
}

// faultIn reports a fault that may stand in another file than the one that is read.
func (d *decoder) faultIn(pos Pos, hint, format string, args ...any) {
	d.fault(pos, hint, format, args...)
	f := &d.faults[len(d.faults)-1]
	if pos.File != d.src.name {
		f.Excerpt = ""
		if t, ok := d.options.texts[pos.File]; ok {
			f.Excerpt = t.src.line(pos.Line)
		}
	}
}

// extractKeys are the keys of extract that go with each kind of from.
var extractKeys = map[string][]string{
	"a file":                {"format", "dialect", "compression", "columns", "drift", "rejects", "on_duplicate", "cursor", "on_empty", "on"},
	"a SQL connection":      {"query", "unload", "columns", "drift", "rejects", "on_duplicate", "cursor", "on_empty", "on"},
	"a REST connection":     {"path", "method", "params", "headers", "body", "records", "paginate", "total", "for_each", "on_404", "tolerate", "columns", "drift", "rejects", "on_duplicate", "cursor", "on_empty", "on", "format", "dialect", "compression"},
	"another's dataset":     {"dataset", "at", "columns", "drift", "rejects", "on_empty"},
	"a search connection":   {"query"},
	"an unknown connection": nil,
}

func (pl *Pipeline) checkExtract(d *decoder, p *Project, s *Step) {
	x := s.Extract
	if x == nil {
		return
	}
	kind := "a file"
	switch from := x.From; {
	case x.Dataset.Value != "":
		kind = "another's dataset"
		if from.Raw != "" {
			d.fault(from.Pos, "", "an extract has from or dataset, not both")
		}
		if a, b, ok := strings.Cut(x.Dataset.Value, "."); !ok || a == "" || b == "" {
			d.fault(x.Dataset.Pos, "", "%q is no dataset: PIPELINE.STEP is wanted", x.Dataset.Value)
		}
	case from.Raw == "":
		d.fault(x.Pos, "a path, glob, URI, or a connection's name", `key "from" is missing`)
		return
	case IsConnection(from.Raw):
		kind = pl.connectionKind(d, p, Str{from.Raw, from.Pos}, flow.UseSource)
	}
	if allowed := extractKeys[kind]; allowed != nil {
		v, t := reflect.ValueOf(x).Elem(), reflect.TypeFor[Extract]()
		for i := range t.NumField() {
			key := t.Field(i).Tag.Get("yaml")
			if key == "" || key == "-" || key == "from" || v.Field(i).IsZero() || slices.Contains(allowed, key) {
				continue
			}
			d.fault(x.Pos, kind+" takes "+strings.Join(allowed, ", "), "key %q does not go with %s", key, kind)
		}
	}
	if x.Cursor.Value != "" && kind == "a file" {
		d.fault(x.Cursor.Pos, "name the files by date, or use on_duplicate", "a cursor goes with a connection, not with files")
	}
	if kind == "a SQL connection" && x.Query == nil {
		d.fault(x.Pos, "a query, or a file that ends in .sql", `key "query" is missing`)
	}
	if c, ok := p.Connections.Get(x.From.Raw); ok && x.Unload && c.Type != "snowflake" {
		d.fault(x.Pos, "take it away", "unload goes with connections of type snowflake, not %s", c.Type)
	}
	for _, c := range x.Columns {
		if err := checkType(c.Value.Value); err != nil {
			d.fault(c.Value.Pos, "", "column %q: %s", c.Key, err)
		}
	}
	if dl := x.Dialect; dl != nil {
		for _, c := range []string{dl.Delimiter, dl.Escape} {
			if len([]rune(c)) > 1 {
				d.fault(x.Pos, "", "%q is more than one character", c)
			}
		}
		if len([]rune(dl.Quote)) > 1 && dl.Quote != "none" {
			d.fault(x.Pos, "", "quote %q is more than one character", dl.Quote)
		}
	}
	if x.ForEach.Value != "" {
		if _, ok := pl.TableStep(x.ForEach.Value); !ok {
			d.fault(x.ForEach.Pos, didYouMean(x.ForEach.Value, pl.tableNames()), "unknown step %q", x.ForEach.Value)
		}
	}
	if pg := x.Paginate; pg != nil {
		n := 0
		for _, has := range []bool{pg.NextLink != nil, pg.LinkHeader, pg.Cursor != nil, pg.Page != nil, pg.Offset != nil} {
			if has {
				n++
			}
		}
		if n != 1 {
			d.fault(pg.Pos, "one of next_link, link_header, cursor, page, offset", "paginate has %d ways to find the next page", n)
		}
	}
}

// connectionKind checks a connection's name and says what it is, for messages.
func (pl *Pipeline) connectionKind(d *decoder, p *Project, name Str, use flow.Use) string {
	c, ok := p.Connections.Get(name.Value)
	if !ok {
		hint := didYouMean(name.Value, p.Connections.Keys())
		if hint == "" || !strings.HasPrefix(hint, "did") {
			hint = "a file is written with a slash, a dot or a colon: ./" + name.Value
		}
		d.fault(name.Pos, hint, "unknown connection %q", name.Value)
		return "an unknown connection"
	}
	def, ok := d.connector(c.Type)
	if !ok {
		return "an unknown connection"
	}
	if !def.Can(use) {
		d.fault(name.Pos, "", "connection %q is of type %s, which is no %s", name.Value, c.Type, use)
		return "an unknown connection"
	}
	switch c.Type {
	case "rest":
		return "a REST connection"
	case "opensearch", "elasticsearch", "search":
		return "a search connection"
	}
	return "a SQL connection"
}

var fileLoadKeys = []string{"layout", "partition_by", "format", "register"}
var searchLoadKeys = []string{"index", "id", "mapping", "version", "delete_when", "keep_old", "max_delete", "rejects"}

func (pl *Pipeline) checkLoad(d *decoder, p *Project, s *Step) {
	l := s.Load
	if l == nil {
		return
	}
	if from := l.From; from.Value != "" {
		if _, ok := pl.TableStep(from.Value); !ok {
			d.fault(from.Pos, didYouMean(from.Value, pl.tableNames()), "unknown step %q: from names a step that makes a dataset", from.Value)
		}
	} else if !s.MakesDataset() {
		if _, ok := pl.onlyDataset(); !ok {
			d.fault(l.Pos, "one of "+strings.Join(pl.tableNames(), ", "), `key "from" is missing: several steps make datasets, or none does`)
		}
	}
	if l.To.Raw == "" {
		return
	}
	kind := "files"
	if IsConnection(l.To.Raw) {
		kind = pl.connectionKind(d, p, Str{l.To.Raw, l.To.Pos}, flow.UseSink)
	}
	mode := orElse(l.Mode, "replace")
	wrong := searchLoadKeys
	modes := []string{"replace", "append"}
	if kind == "a search connection" {
		wrong, modes = fileLoadKeys, []string{"swap", "upsert", "mirror"}
		if l.Mode == "" {
			mode = "swap"
			d.fault(l.Pos, "one of swap, upsert, mirror", `a load into search wants a mode`)
		}
		if l.Index.Raw == "" {
			d.fault(l.Pos, "the alias that readers use", `key "index" is missing`)
		}
	}
	if kind == "files" || kind == "a search connection" {
		if !slices.Contains(modes, mode) && slices.Contains(allModes, mode) { // an unknown word has its own fault
			d.fault(l.Pos, "one of "+strings.Join(modes, ", "), "mode %q does not go with %s", mode, kind)
		}
		v, t := reflect.ValueOf(l).Elem(), reflect.TypeFor[Load]()
		for i := range t.NumField() {
			if key := t.Field(i).Tag.Get("yaml"); slices.Contains(wrong, key) && !v.Field(i).IsZero() {
				d.fault(l.Pos, "", "key %q does not go with %s", key, kind)
			}
		}
	}
	if kind == "files" {
		if last := path.Base(l.To.Raw); strings.HasSuffix(last, ".parquet") || strings.HasSuffix(last, ".csv") || strings.HasSuffix(last, ".ndjson") {
			d.fault(l.To.Pos, "drop the ending: several files may be written there", "to is a folder, and %q looks like a file", last)
		}
	}
	pl.checkScope(d, s, mode)
}

func (pl *Pipeline) checkScope(d *decoder, s *Step, mode string) {
	l := s.Load
	files := []string{"run", "partitions", "all"}
	search := []string{"day", "month", "all"}
	switch {
	case mode == "replace":
		if l.Scope != "" && !slices.Contains(files, l.Scope) {
			d.fault(l.Pos, "one of "+strings.Join(files, ", "), "scope %q does not go with replace", l.Scope)
		}
		if l.Scope == "partitions" && len(l.PartitionBy) == 0 {
			d.fault(l.Pos, "add partition_by", "scope partitions wants partition_by")
		}
		if _, ok := pl.LoadScope(s); !ok {
			d.fault(l.Pos, "scope: run replaces what this logical time wrote before, partitions the partitions in its rows, all everything", "the pipeline has a schedule and neither the path nor a partition has a time: say what replace replaces")
		}
	case mode == "swap":
		if l.Scope != "" && !slices.Contains(search, l.Scope) {
			d.fault(l.Pos, "one of "+strings.Join(search, ", "), "scope %q does not go with swap", l.Scope)
		}
		if l.Scope == "" && pl.Schedule != nil {
			d.fault(l.Pos, "scope: day or month keeps an index for each behind one alias, all has one", "the pipeline has a schedule: say what swap replaces")
		}
		if l.Scope == "all" || l.Scope == "" && pl.Schedule == nil {
			if x := pl.oneDay(pl.LoadFrom(s), nil); x != nil {
				d.fault(l.Pos, "scope: day keeps an index for each day, keep: accumulates the rows", "the swap would replace everything by one day's rows: they come from an extract that mentions a time or a cursor (step %q)", x.Key)
			}
		}
	case l.Scope != "":
		d.fault(l.Pos, "", "scope goes with replace and swap")
	}
	if mode == "mirror" {
		if x := pl.oneDay(pl.LoadFrom(s), nil); x != nil {
			d.fault(l.Pos, "upsert deletes nothing, keep: accumulates the rows", "mirror would delete what one day's rows do not have: they come from an extract that mentions a time or a cursor (step %q)", x.Key)
		}
	}
	pl.checkSearchKeys(d, s, mode)
}

// checkSearchKeys are the rules of keys that go with one mode of a search load.
func (pl *Pipeline) checkSearchKeys(d *decoder, s *Step, mode string) {
	l := s.Load
	for _, k := range []struct {
		key   string
		given bool
		modes []string
	}{
		{"version", l.Version.Value != "", []string{"upsert"}}, {"delete_when", l.DeleteWhen != nil, []string{"upsert"}},
		{"keep_old", l.KeepOld != 0, []string{"swap"}}, {"max_delete", l.MaxDelete != nil, []string{"mirror"}},
	} {
		if k.given && slices.Contains([]string{"swap", "upsert", "mirror"}, mode) && !slices.Contains(k.modes, mode) {
			d.fault(l.Pos, "", "key %q goes with mode %s", k.key, k.modes[0])
		}
	}
	if (mode == "upsert" || mode == "mirror") && len(l.ID.Values()) == 0 {
		d.fault(l.Pos, "id: the columns that tell documents apart", "mode %s wants an id", mode)
	}
}

var timeColumn = regexp.MustCompile(`(?i)(^|_)(date|day|ds|month|year|hour|week|time)($|_)|_(at|on|ts)$`)

// LoadScope is what a load of mode replace replaces, the default worked out; false where the
// file must say it.
func (pl *Pipeline) LoadScope(s *Step) (string, bool) {
	l := s.Load
	if l.Scope != "" {
		return l.Scope, true
	}
	if pl.Schedule == nil {
		return "all", true
	}
	timed := l.To.Mentions(Times...)
	for _, c := range l.PartitionBy {
		timed = timed || timeColumn.MatchString(c.Value)
	}
	return "run", timed
}

// oneDay finds a step, upstream of the table without a keep between, whose extract gives
// only the rows of a time.
func (pl *Pipeline) oneDay(table string, seen map[string]bool) *Step {
	if seen == nil {
		seen = map[string]bool{}
	}
	name, ok := pl.TableStep(table)
	if !ok || seen[name] {
		return nil
	}
	seen[name] = true
	s := pl.Steps[pl.Nodes[name]].Value
	if s.Keep != nil {
		return nil
	}
	if x := s.Extract; x != nil {
		timed := x.Cursor.Value != ""
		var all []*Template
		collectTemplates(reflect.ValueOf(x), &all)
		for _, t := range all {
			timed = timed || t.Mentions(Times...)
		}
		if timed {
			return s
		}
	}
	for _, t := range s.Tables() {
		if found := pl.oneDay(t.Name, seen); found != nil {
			return found
		}
	}
	return nil
}

func (pl *Pipeline) checkData(d *decoder, s *Step) {
	if len(s.Checks) > 0 && !s.MakesDataset() {
		d.fault(s.Pos, "put them on the step that makes the dataset", "step %q makes no dataset that its checks could look at", s.Key)
	}
	if k := s.Keep; k != nil {
		switch {
		case !s.MakesDataset():
			d.fault(k.Pos, "", "step %q makes no dataset that keep could accumulate", s.Key)
		case k.Mode == "merge" && len(k.Key) == 0:
			d.fault(k.Pos, "the columns that tell rows apart", "keep with mode merge wants a key")
		case k.Mode == "append" && (len(k.Key) > 0 || k.OrderBy.Value != "" || k.DeleteWhen != nil):
			d.fault(k.Pos, "", "key, order_by and delete_when go with mode merge")
		}
	}
	for _, c := range s.Checks {
		kinds := c.kinds()
		if len(kinds) != 1 {
			d.fault(c.Pos, "one of "+strings.Join(checkKinds, ", "), "a check has one kind, and this has %d", len(kinds))
			continue
		}
		if c.Severity == "reject" && slices.Contains([]string{"rows", "freshness"}, kinds[0]) {
			d.fault(c.Pos, "", "severity reject goes with checks of rows; %s looks at the whole", kinds[0])
		}
		if m := c.Matches; m != nil {
			if _, err := regexp.Compile(m.Regex.Value); err != nil {
				d.fault(m.Regex.Pos, "", "the regular expression cannot be read: %s", err)
			}
		}
		if r := c.Relationship; r != nil {
			step, _, ok := strings.Cut(r.To.Value, ".")
			if _, known := pl.TableStep(step); !ok || !known {
				d.fault(r.To.Pos, didYouMean(step, pl.tableNames()), "%q is no column of a step: STEP.COLUMN is wanted", r.To.Value)
			}
		}
		if r := c.Range; r != nil && r.Min == nil && r.Max == nil {
			d.fault(c.Pos, "", "a range wants min, max or both")
		}
		if r := c.Rows; r != nil && len(r.VsPrevious) != 0 && (len(r.VsPrevious) != 2 || r.VsPrevious[0] > r.VsPrevious[1]) {
			d.fault(c.Pos, "", "vs_previous is two ratios, the least and the greatest, as in [0.5, 2.0]")
		}
	}
}

var checkKinds = []string{"unique", "not_null", "accepted_values", "range", "matches", "relationship", "freshness", "rows", "sql"}

func (c *Check) kinds() []string {
	has := []bool{c.Unique != nil, c.NotNull != nil, c.AcceptedValues != nil, c.Range != nil, c.Matches != nil, c.Relationship != nil, c.Freshness != nil, c.Rows != nil, c.SQL != nil}
	var out []string
	for i, h := range has {
		if h {
			out = append(out, checkKinds[i])
		}
	}
	return out
}

// Kind is the check's kind: the key it is written with.
func (c *Check) Kind() string { return c.kinds()[0] }

func (pl *Pipeline) checkTiming(d *decoder, s *Step) {
	if r := s.Retry; r != nil {
		if r.Attempts < 0 || r.Attempts > 100 {
			d.fault(r.Pos, "", "attempts are tries in all: 1 to 100")
		}
		if r.Backoff != 0 && r.Backoff < 1 {
			d.fault(r.Pos, "", "a backoff below 1 would shorten each pause")
		}
	}
	if w := s.Wait; w != nil && w.Every.Duration > w.For.Duration {
		d.fault(w.Pos, "", "it looks every %s for %s: that is never", w.Every.Duration, w.For.Duration)
	}
	if s.Each != nil && s.Each.Step != "" {
		if _, ok := pl.TableStep(s.Each.Step); !ok {
			d.fault(s.Each.Pos, didYouMean(s.Each.Step, pl.tableNames()), "unknown step %q", s.Each.Step)
		}
	}
	if (s.RunIf == "always" || s.RunIf == "failed") && len(pl.edgesOf(s)) == 0 {
		d.fault(s.Pos, "add after", "run_if %s wants steps that come before", s.RunIf)
	}
}

// checkType tells whether t is a type in Spark's words.
func checkType(t string) error {
	_, err := sparksql.ParseType(t)
	return err
}
