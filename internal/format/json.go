package format

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tidemill/tidemill/internal/flow"
)

// jsonRecords yields the records of a JSON text: the elements of one array, or values one
// after another; of NDJSON: the lines. A broken line is a record with a fault; a broken
// array ends the reading, since nobody knows where the next element begins.
func jsonRecords(r io.Reader, lines bool, limit int) iter.Seq2[*record, error] {
	if limit <= 0 {
		limit = MaxRecord
	}
	if lines {
		return jsonLines(r, limit)
	}
	return func(yield func(*record, error) bool) {
		in := &lineReader{r: r, line: 1}
		dec := jsontext.NewDecoder(in)
		kind := dec.PeekKind()
		if kind == '[' {
			if _, err := dec.ReadToken(); err != nil {
				yield(nil, jsonFault(in, err))
				return
			}
		}
		for {
			k := dec.PeekKind()
			if k == ']' && kind == '[' {
				if _, err := dec.ReadToken(); err != nil {
					yield(nil, jsonFault(in, err))
				} else if dec.PeekKind() != 0 {
					yield(nil, jsonFault(in, errors.New("text after the end of the array")))
				}
				return
			}
			in.limit = in.read + int64(limit) + 1<<20
			raw, err := dec.ReadValue()
			if errors.Is(err, io.EOF) && kind != '[' {
				return
			}
			if err != nil {
				yield(nil, jsonFault(in, err))
				return
			}
			end := dec.InputOffset()
			rec := &record{line: in.lineAt(end - int64(len(raw))), offset: end, raw: raw}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func jsonFault(in *lineReader, err error) error {
	var syn *jsontext.SyntacticError
	line := in.lineAt(in.read)
	if errors.As(err, &syn) {
		err = errors.New(strings.TrimPrefix(syn.Error(), "jsontext: "))
	}
	return &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("near line %d: %w", line, err)}
}

// lineReader remembers where lines end in what passes through it.
type lineReader struct {
	r     io.Reader
	read  int64
	limit int64 // a record that makes it read beyond is too long
	line  int64
	ends  []int64
}

func (l *lineReader) Read(p []byte) (int, error) {
	if l.limit > 0 && l.read > l.limit {
		return 0, errors.New("a record is longer than the reader bears")
	}
	n, err := l.r.Read(p)
	for i, at := 0, 0; ; i += at + 1 {
		if at = bytes.IndexByte(p[i:n], '\n'); at < 0 {
			break
		}
		l.ends = append(l.ends, l.read+int64(i+at))
	}
	l.read += int64(n)
	return n, err
}

func (l *lineReader) lineAt(offset int64) int64 {
	i := 0
	for i < len(l.ends) && l.ends[i] < offset {
		i++
	}
	l.line += int64(i)
	l.ends = l.ends[i:]
	return l.line
}

func jsonLines(r io.Reader, limit int) iter.Seq2[*record, error] {
	// A dialect that knows neither delimiter nor quote cuts lines.
	s := newSplitter(r, CSV{}, limit)
	return func(yield func(*record, error) bool) {
		for {
			rec, err := s.next(0)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if rec.fault == "" && len(bytes.TrimSpace(rec.raw)) == 0 {
				continue
			}
			if rec.fault == "" && !jsontext.Value(rec.raw).IsValid() {
				rec.fault = "not valid JSON"
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// ReadJSON reads a decoded JSON text (lines: NDJSON) as batches.
func ReadJSON(ctx context.Context, r io.Reader, lines bool, rd Reading) iter.Seq2[flow.Batch, error] {
	return func(yield func(flow.Batch, error) bool) {
		j, err := NewJSONReader(rd)
		if err != nil {
			yield(nil, err)
			return
		}
		defer j.Release()
		if j.Read(ctx, rd.File, r, lines, yield) {
			j.Flush(yield)
		}
	}
}

// JSONReader reads one JSON text after another into batches of one schema.
type JSONReader struct {
	w *rowWriter
	j *jsonRows
}

// NewJSONReader makes one, which is released in the end.
func NewJSONReader(rd Reading) (*JSONReader, error) {
	w, err := newRowWriter(&rd)
	if err != nil {
		return nil, err
	}
	j, err := newJSONRows(w)
	if err != nil {
		w.b.Release()
		return nil, err
	}
	return &JSONReader{w, j}, nil
}

// Release gives the memory of what was not flushed back.
func (r *JSONReader) Release() { r.w.b.Release() }

// Read reads a text (lines: NDJSON) that messages call file, and yields the batches that
// become full; false: the reading is over, by an error that was yielded or because yield said so.
func (r *JSONReader) Read(ctx context.Context, file string, in io.Reader, lines bool, yield func(flow.Batch, error) bool) bool {
	rd := r.w.rd
	rd.File = file
	before := rd.Stats.Bytes
	for rec, err := range jsonRecords(in, lines, rd.Limit) {
		if err == nil {
			rec.offset += before
			err = r.j.row(rec)
		}
		if err == nil && r.w.rows >= r.w.most {
			if err = ctx.Err(); err == nil && !r.w.flush(yield) {
				return false
			}
		}
		if err != nil {
			yield(nil, &flow.Error{Op: "read " + file, Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err})
			return false
		}
	}
	return true
}

// ReadBytes is Read of a text that is held in memory, whose records are decoded where they lie.
func (r *JSONReader) ReadBytes(ctx context.Context, file string, text []byte, lines bool, yield func(flow.Batch, error) bool) bool {
	if lines {
		return r.Read(ctx, file, bytes.NewReader(text), true, yield)
	}
	r.w.rd.File = file
	fault := func(err error) bool {
		yield(nil, &flow.Error{Op: "read " + file, Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err})
		return false
	}
	in := jsonText{text: text, line: 1}
	r.j.dec.Reset(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	for raw, err := range in.records(r.j.dec, r.j.record) {
		if err == nil {
			r.j.line = in.line
			err = r.w.end(in.line, raw)
		}
		if err != nil {
			return fault(err)
		}
		if r.w.rows >= r.w.most {
			if err := ctx.Err(); err != nil {
				return fault(err)
			}
			if !r.w.flush(yield) {
				return false
			}
		}
	}
	r.w.rd.Stats.Bytes += int64(len(text))
	return true
}

// jsonText is a text in memory: the elements of one array, or values one after another.
type jsonText struct {
	text []byte
	line int64 // of the record that is read
	at   int   // where line was counted
}

// records has every record read by do, which is told its line and what its first byte is, and
// yields its text.
func (t *jsonText) records(dec *jsontext.Decoder, do func(line int64, kind jsontext.Kind) error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		array := dec.PeekKind() == '['
		if array {
			if _, err := dec.ReadToken(); err != nil {
				yield(nil, t.fault(err))
				return
			}
		}
		for {
			kind := dec.PeekKind()
			switch {
			case kind == ']' && array:
				if _, err := dec.ReadToken(); err != nil {
					yield(nil, t.fault(err))
				} else if dec.PeekKind() != 0 {
					yield(nil, t.fault(errors.New("text after the end of the array")))
				}
				return
			case kind == 0 && !array && len(bytes.TrimSpace(t.text[dec.InputOffset():])) == 0:
				return
			}
			from := int(dec.InputOffset())
			for from < len(t.text) && (t.text[from] <= ' ' || t.text[from] == ',') {
				from++
			}
			t.line += int64(bytes.Count(t.text[t.at:from], []byte{'\n'}))
			t.at = from
			if err := do(t.line, kind); err != nil {
				yield(nil, t.fault(err))
				return
			}
			if !yield(t.text[from:dec.InputOffset()], nil) {
				return
			}
		}
	}
}

// fault says where the text is broken; what is wrong with its content knows its own place.
func (t *jsonText) fault(err error) error {
	if flow.KindOf(err) != flow.Unknown {
		return err
	}
	return jsonFault(&lineReader{line: t.line}, err)
}

// record reads the next record of the decoder.
func (j *jsonRows) record(line int64, kind jsontext.Kind) error {
	j.line = line
	if kind == '{' {
		return j.object(j.root)
	}
	if err := j.dec.SkipValue(); err != nil {
		return err
	}
	for _, f := range j.root.fields {
		f.b.AppendNull()
	}
	j.w.misfit("", "the record is no JSON object")
	return nil
}

// Flush yields the rows that make no full batch.
func (r *JSONReader) Flush(yield func(flow.Batch, error) bool) bool { return r.w.flush(yield) }

type jsonRows struct {
	w    *rowWriter
	dec  *jsontext.Decoder
	buf  bytes.Buffer
	root *jsonObject
	line int64
	text []byte // of the value that is read, unquoted
}

// jsonNode is one place of the schema and where its values go.
type jsonNode struct {
	typ       Type
	path      string
	b         array.Builder
	put       appender    // of a scalar
	elem, key *jsonNode   // of an array, a map
	object    *jsonObject // of a struct
}

// jsonObject are the fields of an object.
type jsonObject struct {
	fields []*jsonNode
	quoted [][]byte // their names as they stand in most texts
	places map[string]int
	seen   []int64 // the number of the object in which a field was last
	number int64
}

func newJSONRows(w *rowWriter) (*jsonRows, error) {
	j := &jsonRows{w: w}
	j.dec = jsontext.NewDecoder(&j.buf)
	fields := make([]Part, len(w.types))
	for i, t := range w.types {
		fields[i] = Part{w.rd.Schema[i].Name, t}
	}
	var err error
	j.root, err = j.newObject("", fields, w.b.Field)
	return j, err
}

func (j *jsonRows) newObject(path string, fields []Part, builder func(int) array.Builder) (*jsonObject, error) {
	o := &jsonObject{places: map[string]int{}, seen: make([]int64, len(fields))}
	for i, f := range fields {
		n, err := j.newNode(path+f.Name, f.Type, builder(i))
		if err != nil {
			return nil, err
		}
		o.fields = append(o.fields, n)
		o.quoted = append(o.quoted, appendString(nil, f.Name))
		o.places[f.Name] = i
	}
	return o, nil
}

func (j *jsonRows) newNode(path string, t Type, b array.Builder) (*jsonNode, error) {
	n := &jsonNode{typ: t, path: path, b: b}
	var err error
	switch t.Kind {
	case Struct:
		n.object, err = j.newObject(path+".", t.Fields, b.(*array.StructBuilder).FieldBuilder)
	case Array:
		n.elem, err = j.newNode(path, *t.Elem, b.(*array.ListBuilder).ValueBuilder())
	case Map:
		m := b.(*array.MapBuilder)
		if n.key, err = j.newNode(path, *t.Key, m.KeyBuilder()); err == nil {
			n.elem, err = j.newNode(path, *t.Elem, m.ItemBuilder())
		}
	default:
		n.put, err = newAppender(t, b, texts{zone: j.w.rd.Zone})
	}
	return n, err
}

func (j *jsonRows) row(rec *record) error {
	j.line = rec.line
	if j.w.rd.Stats.Bytes < rec.offset {
		j.w.rd.Stats.Bytes = rec.offset
	}
	if rec.fault == "" && bytes.TrimSpace(rec.raw)[0] != '{' {
		rec.fault = "the record is no JSON object"
	}
	if rec.fault != "" {
		j.w.rd.Stats.Read++
		return j.w.rd.reject(rec.line, "", rec.fault, rec.raw)
	}
	j.buf.Reset()
	j.buf.Write(rec.raw)
	j.dec.Reset(&j.buf, jsontext.AllowDuplicateNames(true)) // whoever cut the record has looked
	if err := j.object(j.root); err != nil {
		return err
	}
	return j.w.end(rec.line, rec.raw)
}

// place is that of the field of a name, as it stands in the text, or -1. Fields mostly come in
// the order of the schema.
func (o *jsonObject) place(quoted []byte, guess int) int {
	if guess < len(o.quoted) && bytes.Equal(quoted, o.quoted[guess]) {
		return guess
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		if i, ok := o.places[string(quoted[1:len(quoted)-1])]; ok {
			return i
		}
		return -1
	}
	name, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return -1
	}
	if i, ok := o.places[string(name)]; ok {
		return i
	}
	return -1
}

// object reads one object's fields into their builders.
func (j *jsonRows) object(o *jsonObject) error {
	if _, err := j.dec.ReadToken(); err != nil {
		return err
	}
	o.number++
	guess := 0
	for j.dec.PeekKind() != '}' {
		name, err := j.dec.ReadValue()
		if err != nil {
			return err
		}
		i := o.place(name, guess)
		switch {
		case i < 0:
			if j.w.rd.Drift != "add" && j.w.rd.Drift != "discard" {
				return &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("line %d: field %s is new", j.line, o.pathOf(name))}
			}
			if err := j.dec.SkipValue(); err != nil {
				return err
			}
			continue
		case o.seen[i] == o.number:
			j.w.misfit(o.fields[i].path, "it stands in the record twice")
			if err := j.dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		guess, o.seen[i] = i+1, o.number
		if err := j.value(o.fields[i]); err != nil {
			return err
		}
	}
	for i, n := range o.seen {
		if n != o.number {
			o.fields[i].b.AppendNull()
		}
	}
	_, err := j.dec.ReadToken()
	return err
}

// pathOf is the path of a field that the object does not have.
func (o *jsonObject) pathOf(quoted []byte) string {
	name, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		name = quoted
	}
	prefix := ""
	if len(o.fields) > 0 {
		if i := strings.LastIndexByte(o.fields[0].path, '.'); i >= 0 {
			prefix = o.fields[0].path[:i+1]
		}
	}
	return prefix + string(name)
}

func (j *jsonRows) skip(n *jsonNode) error {
	raw, err := j.dec.ReadValue()
	if err != nil {
		return err
	}
	n.b.AppendNull()
	j.w.misfit(n.path, misfit(raw, n.typ))
	return nil
}

func (j *jsonRows) value(n *jsonNode) error {
	kind := j.dec.PeekKind()
	if kind == 'n' {
		n.b.AppendNull()
		return j.dec.SkipValue()
	}
	switch n.typ.Kind {
	case Struct:
		if kind != '{' {
			return j.skip(n)
		}
		n.b.(*array.StructBuilder).Append(true)
		return j.object(n.object)
	case Array:
		if kind != '[' {
			return j.skip(n)
		}
		n.b.(*array.ListBuilder).Append(true)
		if _, err := j.dec.ReadToken(); err != nil {
			return err
		}
		for j.dec.PeekKind() != ']' {
			if err := j.value(n.elem); err != nil {
				return err
			}
		}
		_, err := j.dec.ReadToken()
		return err
	case Map:
		if kind != '{' {
			return j.skip(n)
		}
		return j.mapping(n)
	}
	return j.scalar(n, kind)
}

func (j *jsonRows) mapping(n *jsonNode) error {
	n.b.(*array.MapBuilder).Append(true)
	if _, err := j.dec.ReadToken(); err != nil {
		return err
	}
	for j.dec.PeekKind() != '}' {
		if err := j.value(n.key); err != nil {
			return err
		}
		if err := j.value(n.elem); err != nil {
			return err
		}
	}
	_, err := j.dec.ReadToken()
	return err
}

func (j *jsonRows) scalar(n *jsonNode, kind jsontext.Kind) error {
	raw, err := j.dec.ReadValue()
	if err != nil {
		return err
	}
	text, t := []byte(raw), n.typ
	fits := true
	switch kind {
	case '"':
		if bytes.IndexByte(raw, '\\') < 0 {
			text = raw[1 : len(raw)-1]
		} else {
			if j.text, err = jsontext.AppendUnquote(j.text[:0], raw); err != nil {
				return err
			}
			text = j.text
		}
		fits = t.Kind != Boolean && (t.Kind < TinyInt || t.Kind > BigInt)
	case '0':
		fits = t.Kind >= TinyInt && t.Kind <= String
		if fits && t.Kind <= BigInt {
			text = wholeNumber(raw)
		}
	case 't', 'f':
		fits = t.Kind == Boolean || t.Kind == String
	default:
		fits = t.Kind == String // an object as a string is its JSON
	}
	why := ""
	if !fits {
		why = misfit(raw, t)
	} else {
		why = n.put(text)
	}
	if why != "" {
		n.b.AppendNull()
		j.w.misfit(n.path, why)
	}
	return nil
}

// wholeNumber drops a fraction of nothing but zeros: JSON writers give 1.0 for 1.
func wholeNumber(raw []byte) []byte {
	if i := bytes.IndexByte(raw, '.'); i > 0 && len(bytes.Trim(raw[i+1:], "0")) == 0 {
		return raw[:i]
	}
	return raw
}

// JSONInference gathers the shape of JSON records.
type JSONInference struct{ root jsonShape }

type jsonShape struct {
	class  class // of scalars
	scalar bool
	elem   *jsonShape
	names  []string
	shapes []*jsonShape // by name
	quoted [][]byte     // the names as they stand in most texts
	places map[string]int
	object bool
}

// AddBytes is Add of a text that is held in memory.
func (in *JSONInference) AddBytes(text []byte, lines bool) error {
	if lines {
		return in.Add(bytes.NewReader(text), true)
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	t := jsonText{text: text, line: 1}
	for _, err := range t.records(dec, func(_ int64, kind jsontext.Kind) error {
		if kind != '{' {
			return dec.SkipValue()
		}
		return in.root.add(dec)
	}) {
		if err != nil {
			return nil //nolint:nilerr // a broken text is left to the reading
		}
	}
	return nil
}

// Add looks at the records of a decoded text; a broken one is left to the reading.
func (in *JSONInference) Add(r io.Reader, lines bool) error {
	for rec, err := range jsonRecords(r, lines, 0) {
		if err != nil {
			if flow.KindOf(err) == flow.Invalid {
				return nil
			}
			return err
		}
		raw := bytes.TrimSpace(rec.raw)
		if rec.fault != "" || len(raw) == 0 || raw[0] != '{' {
			continue
		}
		if err := in.root.add(jsontext.NewDecoder(bytes.NewBuffer(raw))); err != nil {
			continue
		}
	}
	return nil
}

func (s *jsonShape) add(dec *jsontext.Decoder) error {
	switch kind := dec.PeekKind(); kind {
	case '{':
		s.object = true
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		guess := 0
		for dec.PeekKind() != '}' {
			name, err := dec.ReadValue()
			if err != nil {
				return err
			}
			i, err := s.place(name, guess)
			if err != nil {
				return err
			}
			guess = i + 1
			if err := s.shapes[i].add(dec); err != nil {
				return err
			}
		}
		_, err := dec.ReadToken()
		return err
	case '[':
		if s.elem == nil {
			s.elem = &jsonShape{class: anyClass}
		}
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		for dec.PeekKind() != ']' {
			if err := s.elem.add(dec); err != nil {
				return err
			}
		}
		_, err := dec.ReadToken()
		return err
	default:
		if s.scalar && s.class == anyText || kind == 'n' {
			return dec.SkipValue()
		}
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		s.scalar = true
		s.class &= jsonClass(raw, kind)
		return nil
	}
}

// place is that of the field of a name, as it stands in the text; a new one is added.
func (s *jsonShape) place(quoted []byte, guess int) (int, error) {
	if guess < len(s.quoted) && bytes.Equal(quoted, s.quoted[guess]) {
		return guess, nil
	}
	name, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return 0, err
	}
	i, ok := s.places[string(name)]
	if ok {
		return i, nil
	}
	if s.places == nil {
		s.places = map[string]int{}
	}
	i = len(s.names)
	s.places[string(name)] = i
	s.names = append(s.names, string(name))
	s.shapes = append(s.shapes, &jsonShape{class: anyClass})
	s.quoted = append(s.quoted, appendString(nil, string(name)))
	return i, nil
}

func jsonClass(raw []byte, kind jsontext.Kind) class {
	switch kind {
	case 't', 'f':
		return asBoolean | anyText
	case '0':
		return numberClass(raw) | asDouble | anyText
	}
	c := anyText
	if len(raw) > 2 && isDateLike(raw[1:len(raw)-1]) {
		c |= timeClass(raw[1:len(raw)-1], texts{})
	}
	return c
}

func (s *jsonShape) spark() Type {
	shapes := 0
	for _, is := range []bool{s.scalar, s.elem != nil, s.object} {
		if is {
			shapes++
		}
	}
	switch {
	case shapes != 1:
		return Type{Kind: String}
	case s.elem != nil:
		e := s.elem.spark()
		return Type{Kind: Array, Elem: &e}
	case s.object && len(s.names) > 0:
		t := Type{Kind: Struct}
		for i, n := range s.names {
			t.Fields = append(t.Fields, Part{n, s.shapes[i].spark()})
		}
		return t
	case s.object:
		return Type{Kind: String}
	}
	return s.class.spark(true)
}

// Schema is what was inferred.
func (in *JSONInference) Schema() flow.Schema {
	out := make(flow.Schema, 0, len(in.root.names))
	for i, n := range in.root.names {
		out = append(out, flow.Column{Name: n, Type: in.root.shapes[i].spark().String(), Nullable: true})
	}
	return out
}
