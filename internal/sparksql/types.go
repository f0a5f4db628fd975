package sparksql

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is the family of a Spark type.
type Kind int

// The families. Unknown is the type of what cannot be told without a catalog; Void is
// the type of a bare NULL.
const (
	Unknown Kind = iota
	Void
	Boolean
	Byte
	Short
	Int
	Long
	Float
	Double
	Decimal
	String
	Binary
	Date
	Timestamp
	TimestampNTZ
	YearMonth // an interval of months
	DayTime   // an interval of microseconds
	Calendar  // an interval of months, days and microseconds
	Array
	Map
	Struct
)

// Type is one of Spark's types. Its zero value is Unknown.
type Type struct {
	Kind             Kind
	Precision, Scale int    // Decimal
	From, To         string // YearMonth, DayTime: the range of units, in lower case
	Elem, Key        *Type  // Array, Map (Elem is the value)
	Fields           []Field
}

// Field is one field of a struct.
type Field struct {
	Name string
	Type Type
}

var kindNames = map[Kind]string{
	Unknown: "unknown", Void: "void", Boolean: "boolean", Byte: "tinyint", Short: "smallint", Int: "int", Long: "bigint", Float: "float",
	Double: "double", String: "string", Binary: "binary", Date: "date", Timestamp: "timestamp", TimestampNTZ: "timestamp_ntz", Calendar: "interval",
}

// String gives the type in Spark's words, as DDL.
func (t Type) String() string {
	switch t.Kind {
	case Decimal:
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case YearMonth, DayTime:
		from, to := t.unitRange()
		if from == to {
			return "interval " + from
		}
		return "interval " + from + " to " + to
	case Array:
		return "array<" + t.Elem.String() + ">"
	case Map:
		return "map<" + t.Key.String() + "," + t.Elem.String() + ">"
	case Struct:
		var b strings.Builder
		b.WriteString("struct<")
		for i, f := range t.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quoteName(f.Name) + ":" + f.Type.String())
		}
		return b.String() + ">"
	}
	return kindNames[t.Kind]
}

func (t Type) unitRange() (from, to string) {
	from, to = t.From, t.To
	if from == "" {
		if t.Kind == YearMonth {
			return "year", "month"
		}
		return "day", "second"
	}
	if to == "" {
		to = from
	}
	return from, to
}

// Equal says whether two types are the same, names of fields without regard to case.
func (t Type) Equal(u Type) bool {
	if t.Kind != u.Kind || t.Precision != u.Precision || t.Scale != u.Scale || len(t.Fields) != len(u.Fields) {
		return false
	}
	switch t.Kind {
	case Array:
		return t.Elem.Equal(*u.Elem)
	case Map:
		return t.Key.Equal(*u.Key) && t.Elem.Equal(*u.Elem)
	case Struct:
		for i := range t.Fields {
			if !strings.EqualFold(t.Fields[i].Name, u.Fields[i].Name) || !t.Fields[i].Type.Equal(u.Fields[i].Type) {
				return false
			}
		}
	case YearMonth, DayTime:
		a, b := t.unitRange()
		c, d := u.unitRange()
		return a == c && b == d
	}
	return true
}

func simple(k Kind) Type          { return Type{Kind: k} }
func decimalOf(p, s int) Type     { return Type{Kind: Decimal, Precision: p, Scale: s} }
func arrayOf(t Type) Type         { return Type{Kind: Array, Elem: &t} }
func mapOf(k, v Type) Type        { return Type{Kind: Map, Key: &k, Elem: &v} }
func structOf(f ...Field) Type    { return Type{Kind: Struct, Fields: f} }
func (t Type) integral() bool     { return t.Kind >= Byte && t.Kind <= Long }
func (t Type) fractional() bool   { return t.Kind == Float || t.Kind == Double }
func (t Type) numeric() bool      { return t.Kind >= Byte && t.Kind <= Decimal }
func (t Type) datetime() bool     { return t.Kind == Date || t.Kind == Timestamp || t.Kind == TimestampNTZ }
func (t Type) interval() bool     { return t.Kind == YearMonth || t.Kind == DayTime || t.Kind == Calendar }
func (t Type) nested() bool       { return t.Kind == Array || t.Kind == Map || t.Kind == Struct }
func (t Type) known() bool        { return t.Kind != Unknown }
func (t Type) is(ks ...Kind) bool { return contains(ks, t.Kind) }

func contains[T comparable](list []T, x T) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}

// complete says whether no part of the type is unknown.
func (t Type) complete() bool {
	switch t.Kind {
	case Unknown:
		return false
	case Array:
		return t.Elem.complete()
	case Map:
		return t.Key.complete() && t.Elem.complete()
	case Struct:
		for _, f := range t.Fields {
			if !f.Type.complete() {
				return false
			}
		}
	}
	return true
}

// DuckDB gives the DuckDB type that carries the values of the Spark type: an interval of
// months is an INTEGER, one of days to seconds a BIGINT of microseconds.
func (t Type) DuckDB() string {
	switch t.Kind {
	case Boolean:
		return "BOOLEAN"
	case Byte:
		return "TINYINT"
	case Short:
		return "SMALLINT"
	case Int, Void, Unknown:
		return "INTEGER"
	case Long:
		return "BIGINT"
	case Float:
		return "FLOAT"
	case Double:
		return "DOUBLE"
	case Decimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
	case String:
		return "VARCHAR"
	case Binary:
		return "BLOB"
	case Date:
		return "DATE"
	case Timestamp:
		return "TIMESTAMP WITH TIME ZONE"
	case TimestampNTZ:
		return "TIMESTAMP"
	case YearMonth:
		return "INTEGER"
	case DayTime:
		return "BIGINT"
	case Calendar:
		return "INTERVAL"
	case Array:
		return t.Elem.DuckDB() + "[]"
	case Map:
		return "MAP(" + t.Key.DuckDB() + ", " + t.Elem.DuckDB() + ")"
	}
	parts := make([]string, len(t.Fields))
	for i, f := range t.Fields {
		parts[i] = duckName(f.Name) + " " + f.Type.DuckDB()
	}
	return "STRUCT(" + strings.Join(parts, ", ") + ")"
}

// ParseType reads a type in Spark's DDL words: decimal(12,2), array<struct<a:int>>.
func ParseType(text string) (Type, error) {
	p, err := newParser(text)
	if err != nil {
		return Type{}, err
	}
	var t Type
	err = p.run(func() {
		t = p.typ()
		p.end()
	})
	return t, err
}

// ParseSchema reads a list of columns in Spark's DDL words: "a INT, b DOUBLE".
func ParseSchema(text string) ([]Field, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	var fs []Field
	err = p.run(func() {
		for {
			fs = append(fs, p.schemaField())
			if !p.op(",") {
				break
			}
		}
		p.end()
	})
	return fs, err
}

func (p *parser) schemaField() Field {
	n := p.ident("a column name")
	p.op(":")
	f := Field{Name: n.text, Type: p.typ()}
	if p.words("NOT", "NULL") {
		return f
	}
	if p.word("COMMENT") {
		p.stringToken("a comment")
	}
	return f
}

var typeWords = map[string]Type{
	"BOOLEAN": simple(Boolean), "TINYINT": simple(Byte), "BYTE": simple(Byte), "SMALLINT": simple(Short), "SHORT": simple(Short),
	"INT": simple(Int), "INTEGER": simple(Int), "BIGINT": simple(Long), "LONG": simple(Long), "FLOAT": simple(Float), "REAL": simple(Float),
	"DOUBLE": simple(Double), "STRING": simple(String), "BINARY": simple(Binary), "DATE": simple(Date), "TIMESTAMP": simple(Timestamp),
	"TIMESTAMP_LTZ": simple(Timestamp), "TIMESTAMP_NTZ": simple(TimestampNTZ), "VOID": simple(Void),
}

// typ reads one type.
func (p *parser) typ() Type {
	defer p.nest()()
	t := p.peek()
	if t.kind != tokWord && t.kind != tokQuoted {
		p.expected("a type")
	}
	p.take()
	switch t.upper {
	case "DECIMAL", "DEC", "NUMERIC":
		d := decimalOf(10, 0)
		if p.op("(") {
			d.Precision, d.Scale = p.small("a precision"), 0
			if p.op(",") {
				d.Scale = p.small("a scale")
			}
			p.mustOp(")")
		}
		if d.Precision < 1 || d.Precision > 38 || d.Scale > d.Precision {
			p.fail(t.Pos, fmt.Sprintf("decimal(%d,%d) is no Spark type", d.Precision, d.Scale), "the precision is 1 to 38, the scale at most the precision")
		}
		return d
	case "VARCHAR", "CHAR", "CHARACTER":
		if p.op("(") {
			p.small("a length")
			p.mustOp(")")
		}
		return simple(String)
	case "ARRAY":
		p.mustOp("<")
		e := p.typ()
		p.closeAngle()
		return arrayOf(e)
	case "MAP":
		p.mustOp("<")
		k := p.typ()
		p.mustOp(",")
		v := p.typ()
		p.closeAngle()
		return mapOf(k, v)
	case "STRUCT":
		s := structOf()
		if p.op("<>") {
			return s
		}
		p.mustOp("<")
		for !p.isOp(">") && !p.isOp(">>") && !p.isOp(">>>") {
			s.Fields = append(s.Fields, p.schemaField())
			if !p.op(",") {
				break
			}
		}
		p.closeAngle()
		return s
	case "INTERVAL":
		return p.intervalType()
	}
	if x, ok := typeWords[t.upper]; ok {
		return x
	}
	hint := nearest(t.upper, keys(typeWords))
	if hint != "" {
		hint = "did you mean " + strings.ToLower(hint) + "?"
	}
	p.fail(t.Pos, t.describe()+" is no Spark type", hint)
	return Type{}
}

func (p *parser) intervalType() Type {
	from := strings.ToLower(p.peek().text)
	switch from {
	case "year", "month", "day", "hour", "minute", "second":
	default:
		return simple(Calendar)
	}
	p.take()
	to := from
	if p.word("TO") {
		to = strings.ToLower(p.ident("a unit").text)
	}
	return intervalRange(from, to)
}

func intervalRange(from, to string) Type {
	k := DayTime
	if from == "year" || from == "month" {
		k = YearMonth
	}
	return Type{Kind: k, From: from, To: to}
}

// closeAngle takes one > of a type, which the lexer may have read together with others.
func (p *parser) closeAngle() {
	t := p.peek()
	if t.kind == tokOp && (t.text == ">>" || t.text == ">>>") {
		p.toks[p.i].text = t.text[1:]
		p.toks[p.i].Offset++
		p.toks[p.i].Column++
		return
	}
	p.mustOp(">")
}

func (p *parser) small(what string) int {
	t := p.peek()
	n, err := strconv.Atoi(t.text)
	if t.kind != tokNumber || t.upper != "" || err != nil {
		p.expected(what)
	}
	p.take()
	return n
}
