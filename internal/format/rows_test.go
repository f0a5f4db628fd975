package format

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/flow"
)

// pieces are what hostile texts are made of.
var pieces = []string{"1", "-17", "+2", "1.7", "1_0", "0x1", " 5 ", "12345678", "-123456789", "123456789012345678", "123456789012345678901", "0.5", "-0.05", "12.345", "1234567890.12", "12345678901.1", "-0", "00012", "1234567.1", ".12", "12.",
	"2017-11-06", "2017-2-5", "2017-02-29", "2016-02-29", "1900-02-29", "0000-01-01", "0001-12-31", "9999-12-31", "2017-11-06x", "2017-11-06 10:00:00", "2017-11-06T24:00:00Z", "2017-11-06T23:59:59Z",
	"2017-11-06 10:00:00.123456789", "2017-11-06 10:00:00.5", "true", "FALSE", "yes", "epoch", "1e3", ".5", "1.", ".", "-", "NaN", "x", "", "NA", "\"3\"", "\"a,b\"", "\"a\nb\"", "\"a\"\"b\"", "\"\"", "\"\"\"\"", "\"12.50\"", "a\"b", "\"x\"y", " \"x\"", "\"x\" ", "é", "\"é,ü\"", "\xff", "a text of more than sixteen bytes", strings.Repeat("9", 70)}

type seenRows struct {
	Rows    []string
	Rejects []Reject
	Stats   Stats
	Err     string
}

func readAll(t *testing.T, text string, csv CSV, schema flow.Schema, rd Reading) seenRows {
	t.Helper()
	var out seenRows
	places := make([]int, len(schema))
	for i := range places {
		places[i] = i
	}
	rd.File, rd.Schema, rd.Stats = "f", schema, &out.Stats
	rd.Reject = func(r Reject) error { out.Rejects = append(out.Rejects, r); return nil }
	for batch, err := range ReadCSV(t.Context(), strings.NewReader(text), csv, len(schema), places, rd) {
		if err != nil {
			out.Err = err.Error()
			break
		}
		for r := range int(batch.NumRows()) {
			var b strings.Builder
			for _, c := range batch.Columns() {
				b.WriteString(c.ValueStr(r) + "|")
			}
			out.Rows = append(out.Rows, b.String())
		}
		if v, ok := batch.Column(3).(*array.String); ok {
			if err := v.ValidateFull(); err != nil {
				t.Error(err)
			}
		}
		batch.Release()
	}
	out.Stats.Bytes = 0 // how far is told now and then
	if out.Err != "" {  // what was read before an error depends on how much is read at once
		out.Rows, out.Rejects, out.Stats = nil, nil, Stats{}
	}
	return out
}

// Reading by stretches, alone or side by side, must give what reading record by record gives,
// whatever the text is.
func TestStretchesAgreeWithRecords(t *testing.T) {
	t.Parallel()
	schema := flow.Schema{{Name: "i", Type: "bigint"}, {Name: "d", Type: "date"}, {Name: "n", Type: "decimal(12,2)"}, {Name: "s", Type: "string"}, {Name: "f", Type: "double"}, {Name: "b", Type: "boolean"}, {Name: "t", Type: "timestamp"}, {Name: "k", Type: "smallint"}, {Name: "g", Type: "float"}, {Name: "e", Type: "string"}}
	usual := []string{"12345", "2017-11-06", "19.99", "text", "2.5", "true", "2017-11-06 10:00:00", "-7", "0.25", "the end"}
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	for round := range 3000 {
		var b strings.Builder
		rows := 1 + rnd.IntN(30)
		if round%500 == 0 {
			rows = 5000 // more than a stretch
		}
		quoted := rnd.IntN(3) == 0
		b.WriteString("i,d,n,s,f,b,t,k,g,e\n")
		for range rows {
			for k, u := range usual {
				if k > 0 {
					b.WriteByte(',')
				}
				if rnd.IntN(rows*4) == 0 {
					u = pieces[rnd.IntN(len(pieces))]
				} else if quoted && rnd.IntN(2) == 0 {
					u = `"` + u + `"`
				}
				b.WriteString(u)
			}
			if rnd.IntN(rows*4) == 0 {
				b.WriteString([]string{",", "\n", "\r"}[rnd.IntN(3)])
			}
			b.WriteByte('\n')
		}
		text := b.String()
		if rnd.IntN(3) == 0 {
			text = strings.TrimSuffix(text, "\n")
		}
		if rnd.IntN(4) == 0 {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		csv := CSV{Delimiter: ',', Quote: '"', Escape: '"', Header: true}
		if rnd.IntN(5) == 0 {
			csv.Nulls = []string{"NA", "text"}
		}
		if rnd.IntN(20) == 0 {
			csv.Nulls = []string{"2.5", "12345"}
		}
		want := readAll(t, text, csv, schema, Reading{slow: true})
		for _, rd := range []Reading{{}, {Workers: 3, chunk: 100 + rnd.IntN(2000)}} {
			if d := cmp.Diff(want, readAll(t, text, csv, schema, rd)); d != "" {
				t.Fatalf("round %d, %d workers: records (-), stretches (+)\n%s\n%q", round, rd.Workers, d, text)
			}
		}
	}
}

func FuzzStretches(f *testing.F) {
	schema := flow.Schema{{Name: "n", Type: "decimal(6,2)"}, {Name: "d", Type: "date"}, {Name: "i", Type: "int"}, {Name: "s", Type: "string"}}
	for _, p := range pieces {
		f.Add(p + ",2017-11-06,5,x\n\"" + p + "\"," + p + "," + p + "," + p + "\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		csv := CSV{Delimiter: ',', Quote: '"', Escape: '"'}
		want := readAll(t, text, csv, schema, Reading{slow: true})
		for _, rd := range []Reading{{}, {Workers: 2, chunk: 40}} {
			if d := cmp.Diff(want, readAll(t, text, csv, schema, rd)); d != "" {
				t.Fatalf("%d workers: records (-), stretches (+)\n%s", rd.Workers, d)
			}
		}
	})
}
func TestFieldEnds(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 3))
	for n := range 300 {
		b := make([]byte, n+8)
		for i := range b {
			b[i] = ",\n+-\x2d\x8a\xac\x00ab"[rnd.IntN(10)]
		}
		from := rnd.IntN(n + 1)
		want := []uint32{uint32(from - 1)}
		for i := from; i < n; i++ {
			if b[i] == ',' || b[i] == '\n' {
				want = append(want, uint32(i))
			}
		}
		if got := fieldEnds(nil, new([stretch / 64]uint64), b, from, n, ','); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q from %d: %v, want %v", b[:n], from, got, want)
		}
	}
}

func TestMasksAreAlike(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(4, 4))
	b := make([]byte, 64*100)
	for i := range b {
		b[i] = byte(rnd.IntN(256))
		if rnd.IntN(4) == 0 {
			b[i] = ";\n"[rnd.IntN(2)]
		}
	}
	var want, got [100]uint64
	portableMasks(want[:], b, ';')
	delimMasks(&got[0], &b[0], 100, ';')
	if want != got {
		t.Errorf("%x, want %x", got, want)
	}
}

func BenchmarkReadCSV(b *testing.B) {
	var text bytes.Buffer
	text.WriteString("order_line_id,customer_id,order_date,region,product,quantity,amount,status\n")
	for i := range 1_000_000 {
		fmt.Fprintf(&text, "%d,C%d,2017-11-%02d,north,P%d,%d,%d.%02d,shipped\n", i, i*7919%250000, 1+i%28, i%5000, i%9+1, i*31%1000, i%100)
	}
	schema := flow.Schema{{Name: "order_line_id", Type: "bigint"}, {Name: "customer_id", Type: "string"}, {Name: "order_date", Type: "date"}, {Name: "region", Type: "string"},
		{Name: "product", Type: "string"}, {Name: "quantity", Type: "bigint"}, {Name: "amount", Type: "decimal(12,2)"}, {Name: "status", Type: "string"}}
	for name, rd := range map[string]Reading{"records": {slow: true}, "stretches": {}, "side by side": {Workers: 2}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				var st Stats
				rd.Schema, rd.Stats = schema, &st
				for x, err := range ReadCSV(b.Context(), bytes.NewReader(text.Bytes()), CSV{Delimiter: ',', Quote: '"', Escape: '"', Header: true}, 8, []int{0, 1, 2, 3, 4, 5, 6, 7}, rd) {
					if err != nil {
						b.Fatal(err)
					}
					x.Release()
				}
				if st.Written != 1_000_000 {
					b.Fatal(st)
				}
			}
		})
	}
}
