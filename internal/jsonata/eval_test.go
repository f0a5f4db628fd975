package jsonata

import "testing"

func TestEval(t *testing.T) {
	t.Parallel()
	in := `{"params":{"bucket":"b"},"lines":[{"p":2,"q":3},{"p":5,"q":1}],"one":[{"a":1}]}`
	for expr, want := range map[string]string{
		`'s3://' & params.bucket & '/x'`:         `"s3://b/x"`,
		`$sum(lines.(p * q))`:                    `11`,
		`lines[p > 2].q`:                         `1`,
		`lines[p > 2].q[]`:                       `[1]`,
		`lines[-1].p`:                            `5`,
		`one[0].a`:                               `1`,
		`missing ?? "none"`:                      `"none"`,
		`"" ?: "none"`:                           `"none"`,
		`lines.%.params.bucket`:                  `["b","b"]`,
		`lines#$i.{"i": $i, "p": p}`:             `[{"i":0,"p":2},{"i":1,"p":5}]`,
		`lines{$string(p): q}`:                   `{"2":3,"5":1}`,
		`lines^(>p).p`:                           `[5,2]`,
		`$map([1..3], function($x) { $x * $x })`: `[1,4,9]`,
		`lines ~> |$[p=2]|{"q": 9}, "p"|`:        `[{"q":9},{"p":5,"q":1}]`,
		`$replace("abab", /b(?:a)?/, "-")`:       `"a--"`,
		`$uppercase ~> $length`:                  `undefined`,
		`("x" ~> $uppercase) & 1`:                `"X1"`,
		`/* nothing */ 1 + 2`:                    `3`,
		`[{"a":1}][0].a`:                         `undefined`,
		"`params`.`bucket`":                      `"b"`,
		`$join(lines.$string(p), ",")`:           `"2,5"`,
		`($f := function($n) { $n = 0 ? "done" : $f($n - 1) }; $f(20000))`: `"done"`,
	} {
		v, err := Decode([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		e, err := Parse(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		got, err := e.Eval(v, Env{})
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		text := "undefined"
		if got != Undefined && !IsFunction(got) {
			b, err := Encode(got)
			if err != nil {
				t.Errorf("%s: %v", expr, err)
			}
			text = string(b)
		}
		if text != want {
			t.Errorf("%s: got %s, want %s", expr, text, want)
		}
	}
}
