package jsonata

import (
	"strings"
	"testing"
)

func describe(list []Mention, text string) string {
	var out []string
	for _, m := range list {
		s := text[m.Start:m.End]
		if m.Second != "" {
			s += ">" + text[m.SecondStart:m.SecondEnd]
		}
		if m.Library {
			s += "!"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestMentions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, fields, variables string
		whole                   bool
	}{
		{text: `ds`, fields: "ds"},
		{text: `'s3://' & params.bucket & ds`, fields: "params>bucket ds"},
		{text: "params.`my key`", fields: "params>`my key`"},
		{text: `params."x"`, fields: `params>"x"`},
		{text: `steps.load.output[row > 1].x`, fields: "steps>load"},
		{text: `$map(row, function($r) { $r.id & params.a })`, fields: "row params>a", variables: "$map!"},
		{text: `$.ds & $$.params.b`, fields: "ds params>b", variables: "$$>params"},
		{text: `$states.input.x`, variables: "$states>input"},
		{text: `($x := ds; $x & $y)`, fields: "ds", variables: "$y"},
		{text: `($f := function($n) { $n = 0 ? 0 : $f($n - 1) }; $f(2))`},
		{text: `($x := 1); $x`, variables: "parse error"},
		{text: `a.b@$v#$i.c[$i = $v]`, fields: "a>b"},
		{text: `a{b: c}`, fields: "a"},
		{text: `{"k": a, "l": [b, -c]}`, fields: "a b c"},
		{text: `a ? b : c ?? d`, fields: "a b c d"},
		{text: `a^(b)`, fields: "a"},
		{text: `a ~> |b|{"c": d}|`, fields: "a"},
		{text: `(a; b).c`, fields: "a b"},
		{text: `*`, whole: true},
		{text: `**.x`, whole: true},
		{text: `$keys()`, variables: "$keys!", whole: true},
		{text: `$keys(a)`, fields: "a", variables: "$keys!"},
		{text: `$substring("abc", 1)`, variables: "$substring!"},
		{text: `$string($)`, variables: "$string!", whole: true},
		{text: `$eval("steps")`, variables: "$eval!", whole: true},
		{text: `a.$string()`, fields: "a", variables: "$string!"},
		{text: `a[$ > 1].$`, fields: "a"},
		{text: `$trim(?)`, variables: "$trim!"},
	} {
		e, err := Parse(c.text)
		if err != nil {
			if c.variables != "parse error" {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		m := e.Mentions()
		if got := describe(m.Fields, c.text); got != c.fields {
			t.Errorf("%s: fields %q, want %q", c.text, got, c.fields)
		}
		if got := describe(m.Variables, c.text); got != c.variables {
			t.Errorf("%s: variables %q, want %q", c.text, got, c.variables)
		}
		if m.Whole != c.whole {
			t.Errorf("%s: whole %v, want %v", c.text, m.Whole, c.whole)
		}
	}
	e, err := Parse(`steps.a & row`)
	if err != nil {
		t.Fatal(err)
	}
	if !e.MentionsField("steps") || !e.MentionsField("row") || e.MentionsField("response") {
		t.Error("MentionsField does not agree with steps.a & row")
	}
}
