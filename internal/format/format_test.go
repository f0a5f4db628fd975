package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/flow"
)

func columns(pairs ...string) flow.Schema {
	var s flow.Schema
	for _, p := range pairs {
		n, t, _ := strings.Cut(p, " ")
		s = append(s, flow.Column{Name: n, Type: t, Nullable: true})
	}
	return s
}

// readCSVText gives the rows as NDJSON lines, the rejects, and what ended the reading.
func readCSVText(t *testing.T, text string, schema flow.Schema, csv CSV) (rows, rejects []string, st Stats, err error) {
	t.Helper()
	rd := Reading{File: "f.csv", Schema: schema, Limit: 1 << 16, Rows: 3, Stats: &st, Reject: func(r Reject) error {
		rejects = append(rejects, r.String()+" | "+r.Text)
		return nil
	}}
	places := make([]int, len(schema))
	for i := range places {
		places[i] = i
	}
	var out bytes.Buffer
	for b, e := range ReadCSV(t.Context(), iotest{strings.NewReader(text)}, csv, len(schema), places, rd) {
		if e != nil {
			err = e
			break
		}
		if e := WriteNDJSON(&out, b); e != nil {
			t.Fatal(e)
		}
		b.Release()
	}
	return lines(out.String()), rejects, st, err
}

// iotest hands out seven bytes at a time, so that every boundary is met.
type iotest struct{ r io.Reader }

func (i iotest) Read(p []byte) (int, error) { return i.r.Read(p[:min(len(p), 7)]) }

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

func TestCSV(t *testing.T) {
	t.Parallel()
	abc := columns("a bigint", "b string", "c double")
	std := CSV{Delimiter: ',', Quote: '"', Escape: '"', Header: true}
	for _, c := range []struct {
		name, text    string
		csv           CSV
		rows, rejects []string
		err           string
	}{
		{"plain", "a,b,c\n1,x,1.5\n2,,\n", std, []string{`{"a":1,"b":"x","c":1.5}`, `{"a":2,"b":null,"c":null}`}, nil, ""},
		{"empty", "", std, nil, nil, ""},
		{"header only", "a,b,c", std, nil, nil, ""},
		{"BOM, CRLF, no last newline", "\xef\xbb\xbfa,b,c\r\n1,x,1.5\r\n2,\"y\r\nz\",2", std, []string{`{"a":1,"b":"x","c":1.5}`, `{"a":2,"b":"y\r\nz","c":2.0}`}, nil, ""},
		{"quotes", "a,b,c\n1,\"x\"\"y,\",1\n2, \"k\" ,2\n3,m\"m,3\n", std, []string{`{"a":1,"b":"x\"y,","c":1.0}`, `{"a":2,"b":"k","c":2.0}`, `{"a":3,"b":"m\"m","c":3.0}`}, nil, ""},
		{"misfits after an embedded newline", "a,b,c\n1,\"x\ny\",1\nz,\"k\nl\",q\n3,q,zz\n", std, []string{`{"a":1,"b":"x\ny","c":1.0}`},
			[]string{`f.csv:4, column a: "z" is no bigint; c: "q" is no double | z,"k` + "\n" + `l",q`, `f.csv:6, column c: "zz" is no double | 3,q,zz`}, ""},
		{"ragged and blank", "a,b,c\n1,x\n2,y,2,9\n\n3,q,3\n", std, []string{`{"a":3,"b":"q","c":3.0}`},
			[]string{"f.csv:2: 2 fields where 3 are expected | 1,x", "f.csv:3: 4 fields where 3 are expected | 2,y,2,9"}, ""},
		{"text after a quote", "a,b,c\n1,\"x\"y,1\n2,y,2\n", std, []string{`{"a":2,"b":"y","c":2.0}`}, []string{`f.csv:2: text after a closing quote | 1,"x"y,1`}, ""},
		{"unclosed quote", "a,b,c\n1,x,1\n2,\"y,2\n3,q,3\n", std, []string{}, nil, "line 3: a quote is opened and not closed before the end of the file"},
		{"long record", "a,b,c\n1," + strings.Repeat("x", 1<<17) + ",1\n2,y,2\n", std, []string{`{"a":2,"b":"y","c":2.0}`}, nil, ""},
		{"not UTF-8", "a,b,c\n1,caf\xe9,1\n", std, nil, []string{"f.csv:2, column b: not valid UTF-8 | 1,caf\uFFFD,1"}, ""},
		{"nulls, comment, skip", "junk \"\n#c\na,b,c\nNA,#x,NULL\n#1,2,3\n", CSV{Delimiter: ',', Quote: '"', Escape: '"', Header: true, Skip: 1, Comment: '#', Nulls: []string{"NA", "NULL"}}, []string{`{"a":null,"b":"#x","c":null}`}, nil, ""},
		{"backslash", "1;'x\\'y;';1\n", CSV{Delimiter: ';', Quote: '\'', Escape: '\\'}, []string{`{"a":1,"b":"x'y;","c":1.0}`}, nil, ""},
		{"bare CR", "a,b,c\r1,x,1\r2,y,2\r", CSV{Delimiter: ',', Quote: '"', Escape: '"', Header: true, CR: true}, []string{`{"a":1,"b":"x","c":1.0}`, `{"a":2,"b":"y","c":2.0}`}, nil, ""},
		{"integers are whole", "a,b,c\n1.7,x,1\n1_0,x,1\n0x1,x,1\n 7 ,x,1\n+8,x,1e1\n9223372036854775808,x,1\n", std, []string{`{"a":7,"b":"x","c":1.0}`, `{"a":8,"b":"x","c":10.0}`}, []string{
			`f.csv:2, column a: "1.7" is no bigint | 1.7,x,1`, `f.csv:3, column a: "1_0" is no bigint | 1_0,x,1`, `f.csv:4, column a: "0x1" is no bigint | 0x1,x,1`,
			`f.csv:7, column a: "9223372036854775808" is no bigint | 9223372036854775808,x,1`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rows, rejects, st, err := readCSVText(t, c.text, abc, c.csv)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.name == "long record" {
				if len(rejects) != 1 || !strings.HasPrefix(rejects[0], "f.csv:2: record of 131077 bytes is longer than 65536") {
					t.Errorf("rejects %.100s", rejects)
				}
				rejects = nil
			}
			if d := cmp.Diff(c.rows, rows); d != "" {
				t.Errorf("rows (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.rejects, rejects); d != "" {
				t.Errorf("rejects (-want +got):\n%s", d)
			}
			if st.Read != st.Written+st.Rejected || st.Written != int64(len(rows)) {
				t.Errorf("read %d, written %d, rejected %d", st.Read, st.Written, st.Rejected)
			}
		})
	}
}

func TestConversions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, text, want string }{
		{"decimal(12,2)", "1.555", "1.56"}, {"decimal(12,2)", "-1.555", "-1.56"}, {"decimal(12,2)", "1e2", "100.00"}, {"decimal(12,2)", "99999999999", ""}, {"decimal(12,2)", ".5", "0.50"},
		{"decimal(38,0)", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"}, {"decimal(12,2)", "1,5", ""}, {"decimal(12,2)", "-", ""}, {"decimal(5,2)", "999.995", ""},
		{"date", "2017-11-06", `"2017-11-06"`}, {"date", "2017-1-5", `"2017-01-05"`}, {"date", "2017-02-29", ""}, {"date", "2017-11-06 10:00:00", `"2017-11-06"`}, {"date", "20171106", ""},
		{"timestamp", "2017-11-06 10:00:00", `"2017-11-06T15:00:00Z"`}, {"timestamp", "2017-11-06T10:00:00+02:00", `"2017-11-06T08:00:00Z"`}, {"timestamp", "2017-11-06T10:00:00.123456789Z", `"2017-11-06T10:00:00.123456Z"`},
		{"timestamp_ntz", "2017-11-06 10:00", `"2017-11-06T10:00:00"`}, {"timestamp", "2017-11-06 25:00:00", ""}, {"boolean", "TRUE", "true"}, {"boolean", "yes", ""}, {"boolean", "1", ""},
		{"tinyint", "127", "127"}, {"tinyint", "128", ""}, {"double", "NaN", `"NaN"`}, {"double", "0x1p3", ""}, {"string", " x ", `" x "`}, {"float", "1.5", "1.5"},
	} {
		ny, err := time.LoadLocation("America/New_York")
		if err != nil {
			t.Fatal(err)
		}
		var st Stats
		got := ""
		rd := Reading{Schema: columns("a " + c.typ), Zone: ny, Stats: &st}
		for b, err := range ReadCSV(t.Context(), strings.NewReader(c.text), CSV{Delimiter: 1}, 1, []int{0}, rd) {
			if err != nil {
				t.Fatal(err)
			}
			got = string(AppendJSON(nil, b.Column(0), 0))
			b.Release()
		}
		if got != c.want {
			t.Errorf("%s %q: got %s, want %s", c.typ, c.text, got, c.want)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	no := false
	for _, c := range []struct {
		name, text string
		given      *flow.Dialect
		known      []string
		want       string
	}{
		{"plain", "id,amount,day,at,ok,zip,note\n1,1.5,2017-11-06,2017-11-06T10:00:00Z,true,01234,x\n2,2,2017-11-07,2017-11-06 10:00:00,FALSE,99999,\n", nil, nil,
			"id bigint|amount double|day date|at timestamp|ok boolean|zip string|note string"},
		{"semicolon without header", "1;a;2017-11-06\n2;b;2017-11-07\n", nil, nil, "_c0 bigint|_c1 string|_c2 date"},
		{"tab, quoted", "\"a b\"\tc\n\"1\"\t\"x\ty\"\n", nil, nil, "a b bigint|c string"},
		{"known names", "1,2\n3,4\n", &flow.Dialect{Header: &no}, []string{"x", "y"}, "x bigint|y bigint"},
		{"long integers", "a,b\n123456789012345678901,1\n1,+49\n", nil, nil, "a decimal(38,0)|b string"},
		{"all empty", "a,b\n,\n,\n", nil, nil, "a string|b string"},
		{"all texts", "name,city\nann,york\n", nil, nil, "name string|city string"},
	} {
		csv, names, err := DecideCSV([]byte(c.text), c.given, c.known)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		in, err := NewInference(csv, names, nil)
		if err == nil {
			err = in.Add(strings.NewReader(c.text), true)
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := show(in.Schema()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if _, _, err := DecideCSV([]byte("a,b,A\n1,2,3\n"), nil, nil); err == nil || !strings.Contains(err.Error(), `names column "A" twice`) {
		t.Errorf("double name: %v", err)
	}
}

func show(s flow.Schema) string {
	var out []string
	for _, c := range s {
		out = append(out, c.Name+" "+c.Type)
	}
	return strings.Join(out, "|")
}

func TestJSON(t *testing.T) {
	t.Parallel()
	const records = `{"id":1,"amount":1.50,"tags":["a",null],"who":{"name":"x","age":7},"day":"2017-11-06","mix":{"k":[1]}}
{"id":2,"who":null,"tags":[],"mix":"s","big":123456789012345678901234}
`
	for _, lines := range []bool{true, false} {
		text := records
		if !lines {
			text = "[" + strings.Replace(records, "}\n{", "},\n{", 1) + "]"
		}
		var in JSONInference
		if err := in.Add(strings.NewReader(text), lines); err != nil {
			t.Fatal(err)
		}
		if got, want := show(in.Schema()), "id bigint|amount double|tags array<string>|who struct<name:string,age:bigint>|day date|mix string|big decimal(38,0)"; got != want {
			t.Errorf("schema %s, want %s", got, want)
		}
		rows, _, st, err := readJSONText(t, text, lines, in.Schema(), "")
		if err != nil {
			t.Fatal(err)
		}
		want := []string{`{"id":1,"amount":1.5,"tags":["a",null],"who":{"name":"x","age":7},"day":"2017-11-06","mix":"{\"k\":[1]}","big":null}`,
			`{"id":2,"amount":null,"tags":[],"who":null,"day":null,"mix":"s","big":123456789012345678901234}`}
		if d := cmp.Diff(want, rows); d != "" || st.Read != 2 {
			t.Errorf("rows (-want +got):\n%s", d)
		}
	}
}

func readJSONText(t *testing.T, text string, asLines bool, schema flow.Schema, drift string) (rows, rejects []string, st Stats, err error) {
	t.Helper()
	rd := Reading{File: "f.json", Schema: schema, Stats: &st, Drift: drift, Reject: func(r Reject) error {
		rejects = append(rejects, r.String()+" | "+r.Text)
		return nil
	}}
	var out bytes.Buffer
	for b, e := range ReadJSON(t.Context(), iotest{strings.NewReader(text)}, asLines, rd) {
		if e != nil {
			return lines(out.String()), rejects, st, e
		}
		if e := WriteNDJSON(&out, b); e != nil {
			t.Fatal(e)
		}
		b.Release()
	}
	return lines(out.String()), rejects, st, nil
}

func TestHostileJSON(t *testing.T) {
	t.Parallel()
	schema := columns("a bigint", "m map<string,double>", "s struct<x:int>")
	rows, rejects, st, err := readJSONText(t, "{\"a\":1.0,\"m\":{\"k\":1}}\n\nnot json\n{\"a\":1.5,\"s\":{\"x\":\"y\"}}\n[1]\n{\"a\":\"1\"}\n{\"a\":1,\"a\":2}\n{\"s\":{}}\n", true, schema, "")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{`{"a":1,"m":{"k":1.0},"s":null}`, `{"a":null,"m":null,"s":{"x":null}}`}, rows); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	want := []string{`f.json:3: not valid JSON | not json`, `f.json:4, column a: "1.5" is no bigint; s.x: "\"y\"" is no int | {"a":1.5,"s":{"x":"y"}}`,
		`f.json:5: the record is no JSON object | [1]`, `f.json:6, column a: "\"1\"" is no bigint | {"a":"1"}`, `f.json:7: not valid JSON | {"a":1,"a":2}`}
	if d := cmp.Diff(want, rejects); d != "" {
		t.Errorf("rejects (-want +got):\n%s", d)
	}
	if st.Read != 7 || st.Read != st.Written+st.Rejected {
		t.Errorf("counts %+v", st)
	}
	if _, _, _, err := readJSONText(t, "[{\"a\":1},\n{\"a\":2},\n{\"a\" 3}]", false, schema, ""); err == nil || !strings.Contains(err.Error(), "near line 3") {
		t.Errorf("broken array: %v", err)
	}
	if _, _, _, err := readJSONText(t, "{\"a\":1}\n{\"s\":{\"y\":1}}", true, schema, ""); err == nil || !strings.Contains(err.Error(), "line 2: field s.y is new") {
		t.Errorf("new field under freeze: %v", err)
	}
	if rows, _, _, err := readJSONText(t, "{\"z\":[1,{\"k\":2}],\"a\":1}", true, schema, "discard"); err != nil || len(rows) != 1 {
		t.Errorf("new field under discard: %v %v", rows, err)
	}
}

// A text in memory is decoded where it lies, to the same rows as one that is read.
func TestJSONBytes(t *testing.T) {
	t.Parallel()
	schema := columns("a bigint", "m map<string,double>", "s struct<x:int,y:array<struct<z:string>>>")
	for _, text := range []string{
		`[]`, ``, ` [ {"a":1} , {"a":2} ] `, `{"a":1}`, "{\"a\":1}\n{\"a\":2}", `[{"a":1},7,"x",null,[1],{"a":2}]`, "[{\"a\":1},\n{\"a\":\"x\"},\n\n{\"a\":1.0}]",
		`[{"s":{"y":[{"z":"1"},{"z":null},{},null]},"a":1},{"s":{"x":"bad","y":[{"z":"\u00e9\n\\\""}]}},{"s":null},{"m":{"k":1,"l":null}},{"m":[]}]`,
		`[{"a":1}`, `[{"a":1}]]`, `[{"a" 1}]`, `[{"a":1},]`, `nonsense`, `[{"b":1}]`, `[{"s":{"y":[{"b":1}]}}]`, `[{"\u0061":5}]`,
	} {
		rows, rejects, st, err := readJSONText(t, text, false, schema, "")
		var got []string
		var mine Stats
		var out bytes.Buffer
		r, rerr := NewJSONReader(Reading{Schema: schema, Stats: &mine, Reject: func(r Reject) error { got = append(got, r.String()+" | "+r.Text); return nil }})
		if rerr != nil {
			t.Fatal(rerr)
		}
		var fault error
		keep := func(b flow.Batch, err error) bool {
			if fault = err; err != nil {
				return false
			}
			defer b.Release()
			fault = WriteNDJSON(&out, b)
			return fault == nil
		}
		if r.ReadBytes(t.Context(), "f.json", []byte(text), false, keep) {
			r.Flush(keep)
		}
		r.Release()
		if (err == nil) != (fault == nil) || err != nil && fault.Error() != err.Error() {
			t.Errorf("%s: %v, want %v", text, fault, err)
		}
		if err != nil {
			continue
		}
		if d := cmp.Diff(rows, lines(out.String())); d != "" {
			t.Errorf("%s: (-read +in memory)\n%s", text, d)
		}
		if d := cmp.Diff(rejects, got); d != "" || mine.Read != st.Read || mine.Written != st.Written {
			t.Errorf("%s: %+v, want %+v (-read +in memory)\n%s", text, mine, st, d)
		}
		var a, b JSONInference
		if err := errors.Join(a.Add(strings.NewReader(text), false), b.AddBytes([]byte(text), false)); err != nil || show(a.Schema()) != show(b.Schema()) {
			t.Errorf("%s: schema %s, in memory %s, %v", text, show(a.Schema()), show(b.Schema()), err)
		}
	}
	// A field that stands there twice makes a reject of the record, not two values of one row.
	var st Stats
	r, err := NewJSONReader(Reading{Schema: schema, Stats: &st})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.ReadBytes(t.Context(), "f", []byte(`[{"a":1,"a":2},{"a":3}]`), false, nil) || st.Read != 2 || st.Rejected != 1 {
		t.Errorf("%+v", st)
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	for spark, duck := range map[string]string{
		"bigint": "BIGINT", "decimal(12,2)": "DECIMAL(12,2)", "timestamp": "TIMESTAMP WITH TIME ZONE", "timestamp_ntz": "TIMESTAMP", "array<struct<a:int,`b c`:array<string>>>": `STRUCT("a" INTEGER, "b c" VARCHAR[])[]`,
		"map<string,map<int,double>>": "MAP(VARCHAR, MAP(INTEGER, DOUBLE))", "binary": "BLOB", "date": "DATE",
	} {
		a, err := ParseType(spark)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseDuckDB(duck)
		if err != nil {
			t.Fatal(err)
		}
		if a.String() != spark || a.DuckDB() != duck || b.String() != spark {
			t.Errorf("%s ↔ %s: got %s, %s, %s", spark, duck, a, a.DuckDB(), b)
		}
		c, err := FromArrow(a.Arrow())
		if err != nil || c.String() != spark {
			t.Errorf("%s through Arrow: %s %v", spark, c, err)
		}
	}
	for _, bad := range []string{"", "strng", "decimal(39,2)", "array<int", "decimal(2,3)", "int int"} {
		if got, err := ParseType(bad); flow.KindOf(err) != flow.Invalid {
			t.Errorf("%q: %v %v", bad, got, err)
		}
	}
}

func TestSchemaFile(t *testing.T) {
	t.Parallel()
	yes := true
	f := SchemaFile{Columns: columns("id bigint", "on string", "who struct<a:int>"), Dialect: &flow.Dialect{Delimiter: ";", Quote: "\"", Header: &yes}}
	b := file.New(t.TempDir())
	name := SchemaPath("orders", "raw")
	if _, ok, err := LoadSchema(t.Context(), b, name); ok || err != nil {
		t.Fatalf("no file: %v %v", ok, err)
	}
	if ok, err := StoreSchema(t.Context(), b, name, f); !ok || err != nil {
		t.Fatal(err)
	}
	if ok, err := StoreSchema(t.Context(), b, name, SchemaFile{Columns: columns("x int")}); ok || err != nil {
		t.Fatalf("second writer: %v %v", ok, err)
	}
	got, ok, err := LoadSchema(t.Context(), b, name)
	if err != nil || !ok {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got); d != "" {
		t.Error(d)
	}
	if _, err := ParseSchemaFile("s.yaml", []byte("columns: { a: strng }")); err == nil || !strings.Contains(err.Error(), "column a") {
		t.Errorf("bad type: %v", err)
	}
}

func TestBind(t *testing.T) {
	t.Parallel()
	s := columns("id bigint", "amount double")
	if p, _, err := Bind(s, []string{"AMOUNT", "Id"}, ""); err != nil || fmt.Sprint(p) != "[1 0]" {
		t.Errorf("reordered: %v %v", p, err)
	}
	if _, _, err := Bind(s, []string{"id", "amont", "x"}, "freeze"); err == nil || err.Error() != "column amount is missing (is it amont?), column amont is new, column x is new" {
		t.Errorf("freeze: %v", err)
	}
	if p, added, err := Bind(s, []string{"id", "x"}, "add"); err != nil || fmt.Sprint(p, added) != "[0 -1] [x]" {
		t.Errorf("add: %v %v %v", p, added, err)
	}
	if _, _, err := Bind(s, []string{"1", "12.5"}, "discard"); err == nil {
		t.Error("no column at all passed")
	}
}

func TestParquetAndRejects(t *testing.T) {
	t.Parallel()
	b := file.New(t.TempDir())
	w, err := b.Create(t.Context(), "r.parquet", flow.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := WriteRejects(w, func(yield func(Reject) bool) {
		for i := range 5000 {
			if !yield(Reject{Reason: "bad", File: "f", Line: int64(i), Text: "x"}) {
				return
			}
		}
	})
	if err != nil || n != 5000 {
		t.Fatalf("wrote %d: %v", n, err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	schema, batches, err := ReadParquet(t.Context(), b, "r.parquet")
	if err != nil {
		t.Fatal(err)
	}
	if !schema.Equal(rejectSchema) && schema.NumFields() != 5 {
		t.Errorf("schema %s", schema)
	}
	rows := int64(0)
	for batch, err := range batches {
		if err != nil {
			t.Fatal(err)
		}
		rows += batch.NumRows()
		if batch.Column(0).DataType().ID() != arrow.STRING {
			t.Error("the reason is no string")
		}
		batch.Release()
	}
	if rows != 5000 {
		t.Errorf("rows %d", rows)
	}
	if _, _, err := ReadParquet(t.Context(), b, "none.parquet"); flow.KindOf(err) != flow.NotFound {
		t.Errorf("missing: %v", err)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for enc, text := range map[string]string{"latin-1": "caf\xe9", "utf-16": "\xff\xfec\x00a\x00f\x00\xe9\x00", "windows-1252": "caf\xe9", "": "café"} {
		r, err := Decode(strings.NewReader(text), "", EncodingOf([]byte(text), enc))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "café" {
			t.Errorf("%s: %q %v", enc, got, err)
		}
	}
	if _, err := Decode(strings.NewReader("plain"), "gzip", ""); flow.KindOf(err) != flow.Invalid {
		t.Errorf("no gzip: %v", err)
	}
}

func TestWriteCSV(t *testing.T) {
	t.Parallel()
	schema := columns("a bigint", "b string")
	var out bytes.Buffer
	text := "1,\"x,\"\"y\"\n,z\n"
	var st Stats
	for b, err := range ReadCSV(t.Context(), strings.NewReader(text), CSV{Delimiter: ',', Quote: '"', Escape: '"'}, 2, []int{0, 1}, Reading{Schema: schema, Stats: &st}) {
		if err = errors.Join(err, WriteCSV(&out, b, true)); err != nil {
			t.Fatal(err)
		}
		b.Release()
	}
	if got := out.String(); got != "a,b\n"+text {
		t.Errorf("got %q", got)
	}
}
