package format

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

// surveyPieces are what hostile texts are made of.
var surveyPieces = []string{"1", "-17", "+2", "1.7", "1_0", "0x1", " 5 ", "123456789012345678901", "2017-11-06", "2017-2-5", "2017-02-30", "2017-11-06x", "2017-11-06 10:00:00", "2017-11-06T24:00:00Z",
	"2017-11-06 10:00:00.123456789", "true", "FALSE", "yes", "epoch", "1e3", ".5", "1.", ".", "-", "NaN", "x", "", "\"3\"", "\"a,b\"", "\"a\nb\"", "\"a\"\"b\"", "a\"b", "\"x\"y", "é", "\xff", strings.Repeat("9", 70)}

// The survey must count what the reader counts, and mark what the reader rejects, whatever
// the text is.
func TestSurveyAgreesWithReader(t *testing.T) {
	t.Parallel()
	schema := flow.Schema{{Name: "i", Type: "bigint"}, {Name: "d", Type: "date"}, {Name: "n", Type: "decimal(12,2)"}, {Name: "s", Type: "string"}, {Name: "f", Type: "double"}, {Name: "b", Type: "boolean"}, {Name: "t", Type: "timestamp"}}
	usual := []string{"12345", "2017-11-06", "19.99", "text", "2.5", "true", "2017-11-06 10:00:00"}
	places := []int{0, 1, 2, 3, 4, 5, 6}
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	odd := 0
	for round := range 3000 {
		var b strings.Builder
		rows := 1 + rnd.IntN(30)
		if round%500 == 0 {
			rows = 5000 // more than a stretch
		}
		b.WriteString("i,d,n,s,f,b,t\n")
		for range rows {
			for k, u := range usual {
				if k > 0 {
					b.WriteByte(',')
				}
				if rnd.IntN(rows*7) == 0 {
					u = surveyPieces[rnd.IntN(len(surveyPieces))]
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
		s, err := NewSurvey(csv, len(schema), schema, places, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Read(t.Context(), strings.NewReader(text), func(int64, int64) {})
		if o := new(OddError); errors.As(err, &o) {
			odd++
			continue
		}
		var stats Stats
		var lines []int64
		var readErr error
		rd := Reading{File: "f", Schema: schema, Stats: &stats, Reject: func(r Reject) error {
			// What no reader takes for valid UTF-8 or a day of the calendar is not the survey's to mark.
			if r.Reason != "s: not valid UTF-8" && r.Reason != `d: "2017-02-30" is no date` {
				lines = append(lines, r.Line)
			}
			return nil
		}}
		for batch, err := range ReadCSV(t.Context(), strings.NewReader(text), csv, len(schema), places, rd) {
			if readErr = err; err != nil {
				break
			}
			batch.Release()
		}
		if (err == nil) != (readErr == nil) {
			t.Fatalf("round %d: survey %v, reader %v\n%q", round, err, readErr, text)
		}
		if err != nil {
			continue
		}
		var marked []int64
		for _, at := range s.Rejects {
			marked = append(marked, 1+int64(strings.Count(text[:at], "\n")))
		}
		if s.Records != stats.Read || fmt.Sprint(marked) != fmt.Sprint(lines) {
			t.Fatalf("round %d: survey %d records, rejects in lines %v; reader %d, %v\n%q", round, s.Records, marked, stats.Read, lines, text)
		}
	}
	if odd == 0 || odd > 2000 {
		t.Errorf("%d of 3000 texts are odd: the test does not test", odd)
	}
}

func BenchmarkSurvey(b *testing.B) {
	var text bytes.Buffer
	text.WriteString("order_line_id,customer_id,order_date,region,product,quantity,amount,status\n")
	for i := range 1_000_000 {
		fmt.Fprintf(&text, "%d,C%d,2017-11-%02d,north,P%d,%d,%d.%02d,shipped\n", i, i*7919%250000, 1+i%28, i%5000, i%9+1, i*31%1000, i%100)
	}
	schema := flow.Schema{{Name: "order_line_id", Type: "bigint"}, {Name: "order_date", Type: "date"}, {Name: "quantity", Type: "bigint"}, {Name: "amount", Type: "decimal(12,2)"}}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		s, err := NewSurvey(CSV{Delimiter: ',', Quote: '"', Escape: '"', Header: true}, 8, schema, []int{0, 2, 5, 6}, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Read(b.Context(), bytes.NewReader(text.Bytes()), func(int64, int64) {}); err != nil || s.Records != 1_000_000 {
			b.Fatal(err, s.Records)
		}
	}
}
