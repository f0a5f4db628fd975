package jsonata

import (
	"errors"
	"testing"
	"time"
)

var fuzzSeeds = []string{
	`Account.Order[0].Product{$string(ProductID): Price}`, `a.b@$x#$i[$x=1]^(<c, >d)`, `%.a.%.%`, `function($x)<n-n:n>{$x}(1)`,
	`$map([1..3], $string ~> $length)`, `|a|{"b":1},["c"]|`, `$substring(?, 0, 2)`, "`a b`.**.*[-1]", `/(a)(?:b)[^c\]]+/im`, `a ?: b ?? c`,
	`$formatNumber(12.3, "#,##0.00;(#)")`, `$fromMillis(0, "[Y0001]-[M01,*-3][D1o] [FNn]")`, `$toMillis("12 May 2020", "[D1] [MNn] [Y]")`,
	`$formatInteger(12, "Ww;o")`, `($f := function($n){$f($n+1)}; $f(0))`, `$eval("$eval('1')")`, `$sort([3,1], function($a,$b){$a>$b})`,
	`$reduce([1..9], function($a,$b){[$a,[$b]]})`, `$replace("aXb", /x/i, "$1$0$$")`, `$split("a,b", ",", 1)`, `$pad("x", -20, "ab")`,
	`$spread($).$each(function($v,$k){$k})`, `$parse("{}") ~> |$|{"a": $}|`, `[[1,2],[3]][[0..1]]`, `$zip([1],[2]) in [3]`, `{"a": %}`,
}

func FuzzParse(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			var fault *Error
			if !errors.As(err, &fault) || fault.Message == "" || fault.Start < 0 || fault.Start > len(text) {
				t.Errorf("parse %q: %v is no proper error", text, err)
			}
			return
		}
		m := e.Mentions()
		for _, n := range append(m.Fields, m.Variables...) {
			if n.Start < 0 || n.End > len(text) || n.Start >= n.End {
				t.Errorf("%q mentions %q at %d to %d", text, n.Name, n.Start, n.End)
			}
		}
	})
}

func FuzzEval(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s, `{"Account":{"Order":[{"Product":[{"ProductID":1,"Price":2}]}]},"a":[{"b":[1,2],"c":3}]}`)
	}
	f.Add(`$`, `[[1,[2]]]`)
	f.Fuzz(func(t *testing.T, text, input string) {
		in, err := Decode([]byte(input))
		if err != nil {
			in = Undefined
		}
		before, err := Encode(in)
		if in != Undefined && err != nil {
			t.Fatal(err)
		}
		e, err := Parse(text)
		if err != nil {
			return
		}
		env := Env{Now: time.UnixMilli(1e12), Random: func() float64 { return 0.5 }, MaxSteps: 5000, MaxDepth: 200, Funcs: map[string]*Func{}}
		for k, fn := range States() {
			if fn != nil {
				env.Funcs[k] = fn
			}
		}
		v, err := e.Eval(in, env)
		if err != nil {
			var fault *Error
			if !errors.As(err, &fault) || fault.Message == "" {
				t.Errorf("evaluate %q: %v is no proper error", text, err)
			}
		} else if _, err := Encode(v); err == nil {
			if again, err := e.Eval(in, env); err != nil || !Equal(v, again) {
				t.Errorf("evaluate %q: %s, then %s, %v", text, show(v), show(again), err)
			}
		}
		if after, _ := Encode(in); string(before) != string(after) {
			t.Errorf("evaluate %q changed its input from %s to %s", text, before, after)
		}
	})
}
