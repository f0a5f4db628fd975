package jsonata

import "testing"

func benchmark(b *testing.B, text string, vars string) {
	b.Helper()
	e, err := Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	v, err := Decode([]byte(vars))
	if err != nil {
		b.Fatal(err)
	}
	env := Env{Vars: map[string]any{"run": v}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Eval(Undefined, env); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTemplate(b *testing.B) {
	benchmark(b, `$run.('s3://' & params.bucket & '/x')`, `{"ds":"2024-01-01","params":{"bucket":"lake"}}`)
}

func BenchmarkField(b *testing.B) {
	benchmark(b, `$run.params.bucket`, `{"ds":"2024-01-01","params":{"bucket":"lake"}}`)
}

func BenchmarkSum(b *testing.B) {
	benchmark(b, `$sum($run.lines[q > 1].(p * q))`, `{"lines":[{"p":1,"q":2},{"p":3,"q":1},{"p":5,"q":4},{"p":2,"q":2}]}`)
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(`$run.('s3://' & params.bucket & '/x')`); err != nil {
			b.Fatal(err)
		}
	}
}
