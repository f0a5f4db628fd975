// Package format reads and writes csv, json, ndjson and Parquet as Arrow batches, decides
// schemas, and keeps what did not fit.
package format

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/flow"
)

// Kind is the outermost word of a Type.
type Kind int

// The kinds of type, in Spark's order of widening within the numbers.
const (
	Void Kind = iota
	Boolean
	TinyInt
	SmallInt
	Int
	BigInt
	Decimal
	Float
	Double
	String
	Binary
	Date
	Timestamp
	TimestampNTZ
	Array
	Map
	Struct
)

// table is the one table between Spark's words, DuckDB's and Arrow's, for types without
// parts. The first word is the one that is written; the others are read too.
var table = []struct {
	kind  Kind
	spark []string
	duck  string
	arrow arrow.DataType
}{
	{Void, []string{"void", "null"}, `"NULL"`, arrow.Null},
	{Boolean, []string{"boolean", "bool"}, "BOOLEAN", arrow.FixedWidthTypes.Boolean},
	{TinyInt, []string{"tinyint", "byte"}, "TINYINT", arrow.PrimitiveTypes.Int8},
	{SmallInt, []string{"smallint", "short"}, "SMALLINT", arrow.PrimitiveTypes.Int16},
	{Int, []string{"int", "integer"}, "INTEGER", arrow.PrimitiveTypes.Int32},
	{BigInt, []string{"bigint", "long"}, "BIGINT", arrow.PrimitiveTypes.Int64},
	{Float, []string{"float", "real"}, "FLOAT", arrow.PrimitiveTypes.Float32},
	{Double, []string{"double"}, "DOUBLE", arrow.PrimitiveTypes.Float64},
	{String, []string{"string"}, "VARCHAR", arrow.BinaryTypes.String},
	{Binary, []string{"binary"}, "BLOB", arrow.BinaryTypes.Binary},
	{Date, []string{"date"}, "DATE", arrow.FixedWidthTypes.Date32},
	{Timestamp, []string{"timestamp", "timestamp_ltz"}, "TIMESTAMP WITH TIME ZONE", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
	{TimestampNTZ, []string{"timestamp_ntz"}, "TIMESTAMP", &arrow.TimestampType{Unit: arrow.Microsecond}},
}

// duckExtra are DuckDB's types that Spark has no word for, and what a dataset keeps them as.
var duckExtra = map[string]Type{
	"UTINYINT": {Kind: SmallInt}, "USMALLINT": {Kind: Int}, "UINTEGER": {Kind: BigInt},
	"UBIGINT": {Kind: Decimal, Precision: 20}, "HUGEINT": {Kind: BigInt}, "UHUGEINT": {Kind: BigInt}, "BIGNUM": {Kind: Decimal, Precision: 38},
	"TIMESTAMP_S": {Kind: TimestampNTZ}, "TIMESTAMP_MS": {Kind: TimestampNTZ}, "TIMESTAMP_NS": {Kind: TimestampNTZ},
	"UUID": {Kind: String}, "JSON": {Kind: String}, "BIT": {Kind: String},
	"TIME": {Kind: String}, "TIME WITH TIME ZONE": {Kind: String}, "INTERVAL": {Kind: String}, "NULL": {Kind: Void}, "INTEGER_LITERAL": {Kind: Int}, "STRING_LITERAL": {Kind: String},
}

// Type is a column's type.
type Type struct {
	Kind             Kind
	Precision, Scale int    // of a Decimal
	Elem             *Type  // of an Array, and a Map's values
	Key              *Type  // of a Map
	Fields           []Part // of a Struct
}

// Part is a field of a Struct.
type Part struct {
	Name string
	Type Type
}

// String is the type in Spark's words, as manifests and schema files have it.
func (t Type) String() string {
	switch t.Kind {
	case Decimal:
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case Array:
		return "array<" + t.Elem.String() + ">"
	case Map:
		return "map<" + t.Key.String() + "," + t.Elem.String() + ">"
	case Struct:
		parts := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			parts[i] = sparkName(f.Name) + ":" + f.Type.String()
		}
		return "struct<" + strings.Join(parts, ",") + ">"
	}
	for _, r := range table {
		if r.kind == t.Kind {
			return r.spark[0]
		}
	}
	return "void"
}

func sparkName(n string) string {
	for i, r := range n {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' && i > 0 {
			continue
		}
		return "`" + strings.ReplaceAll(n, "`", "``") + "`"
	}
	if n == "" {
		return "``"
	}
	return n
}

// QuoteDuckDB writes a name so that DuckDB reads it as a name.
func QuoteDuckDB(n string) string { return `"` + strings.ReplaceAll(n, `"`, `""`) + `"` }

// DuckDB is the type in DuckDB's words.
func (t Type) DuckDB() string {
	switch t.Kind {
	case Decimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
	case Array:
		return t.Elem.DuckDB() + "[]"
	case Map:
		return "MAP(" + t.Key.DuckDB() + ", " + t.Elem.DuckDB() + ")"
	case Struct:
		parts := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			parts[i] = QuoteDuckDB(f.Name) + " " + f.Type.DuckDB()
		}
		return "STRUCT(" + strings.Join(parts, ", ") + ")"
	}
	for _, r := range table {
		if r.kind == t.Kind {
			return r.duck
		}
	}
	return "VARCHAR"
}

// Arrow is the type as an Arrow batch has it.
func (t Type) Arrow() arrow.DataType {
	switch t.Kind {
	case Decimal:
		return &arrow.Decimal128Type{Precision: int32(t.Precision), Scale: int32(t.Scale)}
	case Array:
		return arrow.ListOf(t.Elem.Arrow())
	case Map:
		return arrow.MapOf(t.Key.Arrow(), t.Elem.Arrow())
	case Struct:
		fields := make([]arrow.Field, len(t.Fields))
		for i, f := range t.Fields {
			fields[i] = arrow.Field{Name: f.Name, Type: f.Type.Arrow(), Nullable: true}
		}
		return arrow.StructOf(fields...)
	}
	for _, r := range table {
		if r.kind == t.Kind {
			return r.arrow
		}
	}
	return arrow.BinaryTypes.String
}

// FromArrow is the Type that keeps an Arrow type's values; what Spark has no type for is an error.
func FromArrow(d arrow.DataType) (Type, error) {
	switch d := d.(type) {
	case *arrow.Decimal128Type:
		return Type{Kind: Decimal, Precision: int(d.Precision), Scale: int(d.Scale)}, nil
	case *arrow.TimestampType:
		if d.TimeZone == "" {
			return Type{Kind: TimestampNTZ}, nil
		}
		return Type{Kind: Timestamp}, nil
	case *arrow.Date64Type:
		return Type{Kind: Date}, nil
	case *arrow.LargeStringType, *arrow.StringViewType:
		return Type{Kind: String}, nil
	case *arrow.LargeBinaryType, *arrow.FixedSizeBinaryType, *arrow.BinaryViewType:
		return Type{Kind: Binary}, nil
	case *arrow.Uint8Type:
		return Type{Kind: SmallInt}, nil
	case *arrow.Uint16Type:
		return Type{Kind: Int}, nil
	case *arrow.Uint32Type:
		return Type{Kind: BigInt}, nil
	case *arrow.Uint64Type:
		return Type{Kind: Decimal, Precision: 20}, nil
	case *arrow.DictionaryType:
		return FromArrow(d.ValueType)
	case *arrow.MapType:
		k, err := FromArrow(d.KeyType())
		if err != nil {
			return Type{}, err
		}
		v, err := FromArrow(d.ItemType())
		return Type{Kind: Map, Key: &k, Elem: &v}, err
	case arrow.ListLikeType:
		e, err := FromArrow(d.Elem())
		return Type{Kind: Array, Elem: &e}, err
	case *arrow.StructType:
		t := Type{Kind: Struct}
		for _, f := range d.Fields() {
			ft, err := FromArrow(f.Type)
			if err != nil {
				return Type{}, fmt.Errorf("field %s: %w", f.Name, err)
			}
			t.Fields = append(t.Fields, Part{f.Name, ft})
		}
		return t, nil
	}
	for _, r := range table {
		if arrow.TypeEqual(r.arrow, d) {
			return Type{Kind: r.kind}, nil
		}
	}
	return Type{}, fmt.Errorf("arrow type %s has no word in a schema", d)
}

// ParseType reads Spark's words for a type: bigint, decimal(12,2), array<struct<a:int>>.
func ParseType(text string) (Type, error) {
	p := typeParser{text: text}
	t, err := p.spark()
	if err == nil {
		p.space()
		if p.at < len(text) {
			err = fmt.Errorf("%q after the type", text[p.at:])
		}
	}
	if err != nil {
		return Type{}, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("read type %q: %w", text, err),
			Hint: "Types are Spark's: string, bigint, int, double, decimal(12,2), boolean, date, timestamp, timestamp_ntz, binary, array<…>, map<…,…>, struct<name:type,…>."}
	}
	return t, nil
}

// ParseDuckDB reads the words in which DuckDB describes a type. Types that Spark lacks
// become the type that keeps their values: a HUGEINT a bigint, an interval a string.
func ParseDuckDB(text string) (Type, error) {
	p := typeParser{text: text}
	t, err := p.duck()
	if err == nil {
		p.space()
		if p.at < len(text) {
			err = fmt.Errorf("%q after the type", text[p.at:])
		}
	}
	if err != nil {
		return Type{}, fmt.Errorf("read DuckDB type %q: %w", text, err)
	}
	return t, nil
}

type typeParser struct {
	text string
	at   int
}

func (p *typeParser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\n' || p.text[p.at] == '\t') {
		p.at++
	}
}

func (p *typeParser) take(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *typeParser) want(c byte) error {
	if !p.take(c) {
		return fmt.Errorf("want %q at character %d", string(c), p.at+1)
	}
	return nil
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// name reads a word, or a name between quotes.
func (p *typeParser) name(quote byte) (string, error) {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == quote {
		var b strings.Builder
		for p.at++; p.at < len(p.text); p.at++ {
			if p.text[p.at] == quote {
				p.at++
				if p.at >= len(p.text) || p.text[p.at] != quote {
					return b.String(), nil
				}
			}
			b.WriteByte(p.text[p.at])
		}
		return "", fmt.Errorf("a name is not closed")
	}
	from := p.at
	for p.at < len(p.text) && isWord(p.text[p.at]) {
		p.at++
	}
	if p.at == from {
		return "", fmt.Errorf("want a word at character %d", p.at+1)
	}
	return p.text[from:p.at], nil
}

// digits reads (12,2) behind decimal.
func (p *typeParser) digits(t *Type) error {
	t.Precision, t.Scale = 10, 0
	if !p.take('(') {
		return nil
	}
	for i, into := range []*int{&t.Precision, &t.Scale} {
		w, err := p.name(0)
		if err != nil {
			return err
		}
		if *into, err = strconv.Atoi(w); err != nil {
			return fmt.Errorf("%q is no number of digits", w)
		}
		if i == 0 && !p.take(',') {
			break
		}
	}
	if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision {
		return fmt.Errorf("a decimal has 1 to 38 digits and no more behind the point than in all")
	}
	return p.want(')')
}

func (p *typeParser) spark() (Type, error) {
	w, err := p.name(0)
	if err != nil {
		return Type{}, err
	}
	w = strings.ToLower(w)
	switch w {
	case "decimal", "dec", "numeric":
		t := Type{Kind: Decimal}
		return t, p.digits(&t)
	case "varchar", "char":
		if p.take('(') {
			if _, err := p.name(0); err != nil {
				return Type{}, err
			}
			return Type{Kind: String}, p.want(')')
		}
		return Type{Kind: String}, nil
	case "array":
		if err := p.want('<'); err != nil {
			return Type{}, err
		}
		e, err := p.spark()
		if err != nil {
			return Type{}, err
		}
		return Type{Kind: Array, Elem: &e}, p.want('>')
	case "map":
		if err := p.want('<'); err != nil {
			return Type{}, err
		}
		k, err := p.spark()
		if err != nil {
			return Type{}, err
		}
		if err := p.want(','); err != nil {
			return Type{}, err
		}
		v, err := p.spark()
		if err != nil {
			return Type{}, err
		}
		return Type{Kind: Map, Key: &k, Elem: &v}, p.want('>')
	case "struct":
		return p.sparkStruct()
	}
	for _, r := range table {
		for _, s := range r.spark {
			if s == w {
				return Type{Kind: r.kind}, nil
			}
		}
	}
	return Type{}, fmt.Errorf("no such type as %s", w)
}

func (p *typeParser) sparkStruct() (Type, error) {
	t := Type{Kind: Struct}
	if err := p.want('<'); err != nil {
		return Type{}, err
	}
	for !p.take('>') {
		if len(t.Fields) > 0 {
			if err := p.want(','); err != nil {
				return Type{}, err
			}
		}
		n, err := p.name('`')
		if err != nil {
			return Type{}, err
		}
		p.take(':')
		f, err := p.spark()
		if err != nil {
			return Type{}, err
		}
		t.Fields = append(t.Fields, Part{n, f})
	}
	return t, nil
}

func (p *typeParser) duck() (Type, error) {
	t, err := p.duckBase()
	if err != nil {
		return Type{}, err
	}
	for p.take('[') {
		for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
			p.at++
		}
		if err := p.want(']'); err != nil {
			return Type{}, err
		}
		e := t
		t = Type{Kind: Array, Elem: &e}
	}
	return t, nil
}

func (p *typeParser) duckBase() (Type, error) {
	w, err := p.name('"')
	if err != nil {
		return Type{}, err
	}
	w = strings.ToUpper(w)
	switch w {
	case "DECIMAL", "NUMERIC":
		t := Type{Kind: Decimal}
		if err := p.digits(&t); err != nil {
			return Type{}, err
		}
		return t, nil
	case "ENUM":
		for p.at < len(p.text) && p.text[p.at] != ')' {
			p.at++
		}
		return Type{Kind: String}, p.want(')')
	case "MAP", "STRUCT":
		return p.duckParts(w)
	case "TIMESTAMP", "TIME":
		if strings.HasPrefix(strings.ToUpper(p.text[p.at:]), " WITH TIME ZONE") {
			p.at += len(" WITH TIME ZONE")
			w += " WITH TIME ZONE"
		}
	case "TIMESTAMPTZ":
		w = "TIMESTAMP WITH TIME ZONE"
	}
	for _, r := range table {
		if r.duck == w {
			return Type{Kind: r.kind}, nil
		}
	}
	if t, ok := duckExtra[w]; ok {
		return t, nil
	}
	return Type{}, fmt.Errorf("%s has no word in a schema", w)
}

func (p *typeParser) duckParts(w string) (Type, error) {
	if err := p.want('('); err != nil {
		return Type{}, err
	}
	if w == "MAP" {
		k, err := p.duck()
		if err != nil {
			return Type{}, err
		}
		if err := p.want(','); err != nil {
			return Type{}, err
		}
		v, err := p.duck()
		if err != nil {
			return Type{}, err
		}
		return Type{Kind: Map, Key: &k, Elem: &v}, p.want(')')
	}
	t := Type{Kind: Struct}
	for !p.take(')') {
		if len(t.Fields) > 0 {
			if err := p.want(','); err != nil {
				return Type{}, err
			}
		}
		n, err := p.name('"')
		if err != nil {
			return Type{}, err
		}
		f, err := p.duck()
		if err != nil {
			return Type{}, err
		}
		t.Fields = append(t.Fields, Part{n, f})
	}
	return t, nil
}

// ArrowSchema is a dataset's schema as Arrow's.
func ArrowSchema(s flow.Schema) (*arrow.Schema, error) {
	fields := make([]arrow.Field, len(s))
	for i, c := range s {
		t, err := ParseType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		fields[i] = arrow.Field{Name: c.Name, Type: t.Arrow(), Nullable: true}
	}
	return arrow.NewSchema(fields, nil), nil
}

// SchemaOf is an Arrow schema in Spark's words.
func SchemaOf(s *arrow.Schema) (flow.Schema, error) {
	out := make(flow.Schema, s.NumFields())
	for i, f := range s.Fields() {
		t, err := FromArrow(f.Type)
		if err != nil {
			return nil, &flow.Error{Op: "read column " + f.Name, Kind: flow.Invalid, Err: err}
		}
		out[i] = flow.Column{Name: f.Name, Type: t.String(), Nullable: f.Nullable}
	}
	return out, nil
}
