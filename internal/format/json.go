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
	return &JSONReader{w, newJSONRows(w)}, nil
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

// Flush yields the rows that make no full batch.
func (r *JSONReader) Flush(yield func(flow.Batch, error) bool) bool { return r.w.flush(yield) }

type jsonRows struct {
	w     *rowWriter
	dec   *jsontext.Decoder
	buf   bytes.Buffer
	root  jsonStruct
	texts map[array.Builder]appender
	line  int64
}

type jsonStruct struct {
	places map[string]int
	seen   []bool
	subs   []*jsonStruct // of fields that are structs, or arrays and maps of them
}

func newJSONRows(w *rowWriter) *jsonRows {
	j := &jsonRows{w: w, texts: map[array.Builder]appender{}}
	j.dec = jsontext.NewDecoder(&j.buf)
	fields := make([]Part, len(w.types))
	for i, t := range w.types {
		fields[i] = Part{w.rd.Schema[i].Name, t}
	}
	j.root = *newJSONStruct(fields)
	return j
}

func newJSONStruct(fields []Part) *jsonStruct {
	s := &jsonStruct{places: map[string]int{}, seen: make([]bool, len(fields)), subs: make([]*jsonStruct, len(fields))}
	for i, f := range fields {
		s.places[f.Name] = i
		t := f.Type
		for t.Kind == Array || t.Kind == Map {
			t = *t.Elem
		}
		if t.Kind == Struct {
			s.subs[i] = newJSONStruct(t.Fields)
		}
	}
	return s
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
	j.dec.Reset(&j.buf)
	if err := j.object(&j.root, "", func(i int) array.Builder { return j.w.b.Field(i) }, j.w.types); err != nil {
		return err
	}
	return j.w.end(rec.line, rec.raw)
}

// object reads one object's fields into their builders.
func (j *jsonRows) object(s *jsonStruct, path string, field func(int) array.Builder, types []Type) error {
	if _, err := j.dec.ReadToken(); err != nil {
		return err
	}
	clear(s.seen)
	seen := s.seen
	if s.subs != nil && path != "" { // the same shape may be entered again below itself
		seen = make([]bool, len(s.seen))
	}
	for j.dec.PeekKind() != '}' {
		tok, err := j.dec.ReadToken()
		if err != nil {
			return err
		}
		name := tok.String()
		i, ok := s.places[name]
		if !ok {
			if j.w.rd.Drift != "add" && j.w.rd.Drift != "discard" {
				return &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("line %d: field %s is new", j.line, path+name)}
			}
			if err := j.dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		seen[i] = true
		if err := j.value(s.subs[i], path+name, field(i), types[i]); err != nil {
			return err
		}
	}
	for i, ok := range seen {
		if !ok {
			field(i).AppendNull()
		}
	}
	_, err := j.dec.ReadToken()
	return err
}

func (j *jsonRows) skip(b array.Builder, path string, t Type) error {
	raw, err := j.dec.ReadValue()
	if err != nil {
		return err
	}
	b.AppendNull()
	j.w.misfit(path, misfit(raw, t))
	return nil
}

func (j *jsonRows) value(s *jsonStruct, path string, b array.Builder, t Type) error {
	kind := j.dec.PeekKind()
	if kind == 'n' {
		b.AppendNull()
		return j.dec.SkipValue()
	}
	switch t.Kind {
	case Struct:
		if kind != '{' {
			return j.skip(b, path, t)
		}
		sb := b.(*array.StructBuilder)
		sb.Append(true)
		types := make([]Type, len(t.Fields))
		for i, f := range t.Fields {
			types[i] = f.Type
		}
		return j.object(s, path+".", sb.FieldBuilder, types)
	case Array:
		if kind != '[' {
			return j.skip(b, path, t)
		}
		lb := b.(*array.ListBuilder)
		lb.Append(true)
		if _, err := j.dec.ReadToken(); err != nil {
			return err
		}
		for j.dec.PeekKind() != ']' {
			if err := j.value(s, path, lb.ValueBuilder(), *t.Elem); err != nil {
				return err
			}
		}
		_, err := j.dec.ReadToken()
		return err
	case Map:
		return j.mapping(s, path, b, t, kind)
	}
	return j.scalar(path, b, t, kind)
}

func (j *jsonRows) mapping(s *jsonStruct, path string, b array.Builder, t Type, kind jsontext.Kind) error {
	if kind != '{' {
		return j.skip(b, path, t)
	}
	mb := b.(*array.MapBuilder)
	mb.Append(true)
	if _, err := j.dec.ReadToken(); err != nil {
		return err
	}
	for j.dec.PeekKind() != '}' {
		if err := j.value(nil, path, mb.KeyBuilder(), *t.Key); err != nil {
			return err
		}
		if err := j.value(s, path, mb.ItemBuilder(), *t.Elem); err != nil {
			return err
		}
	}
	_, err := j.dec.ReadToken()
	return err
}

func (j *jsonRows) scalar(path string, b array.Builder, t Type, kind jsontext.Kind) error {
	put, ok := j.texts[b]
	if !ok {
		var err error
		if put, err = newAppender(t, b, texts{zone: j.w.rd.Zone}); err != nil {
			return err
		}
		j.texts[b] = put
	}
	raw, err := j.dec.ReadValue()
	if err != nil {
		return err
	}
	var text []byte
	fits := true
	switch kind {
	case '"':
		if text, err = jsontext.AppendUnquote(nil, raw); err != nil {
			return err
		}
		fits = t.Kind != Boolean && (t.Kind < TinyInt || t.Kind > BigInt)
	case '0':
		text = raw
		fits = t.Kind >= TinyInt && t.Kind <= String
		if fits && t.Kind <= BigInt {
			text = wholeNumber(raw)
		}
	case 't', 'f':
		text, fits = raw, t.Kind == Boolean || t.Kind == String
	default:
		text, fits = raw, t.Kind == String // an object as a string is its JSON
	}
	why := ""
	if !fits {
		why = misfit(raw, t)
	} else {
		why = put(text)
	}
	if why != "" {
		b.AppendNull()
		j.w.misfit(path, why)
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
	fields map[string]*jsonShape
	object bool
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
		for dec.PeekKind() != '}' {
			tok, err := dec.ReadToken()
			if err != nil {
				return err
			}
			name := tok.String()
			f := s.fields[name]
			if f == nil {
				if s.fields == nil {
					s.fields = map[string]*jsonShape{}
				}
				f = &jsonShape{class: anyClass}
				s.fields[name] = f
				s.names = append(s.names, name)
			}
			if err := f.add(dec); err != nil {
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
		raw, err := dec.ReadValue()
		if err != nil || kind == 'n' {
			return err
		}
		s.scalar = true
		s.class &= jsonClass(raw, kind)
		return nil
	}
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
		for _, n := range s.names {
			t.Fields = append(t.Fields, Part{n, s.fields[n].spark()})
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
	for _, n := range in.root.names {
		out = append(out, flow.Column{Name: n, Type: in.root.fields[n].spark().String(), Nullable: true})
	}
	return out
}
