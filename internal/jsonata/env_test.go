package jsonata

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestEnv(t *testing.T) {
	t.Parallel()
	double, err := NewFunc("double", "<n-:n>", func(_ Call, args []any) (any, error) { return args[0].(float64) * 2, nil })
	if err != nil {
		t.Fatal(err)
	}
	call, err := NewFunc("call", "<f>", func(c Call, args []any) (any, error) { return c.Invoke(args[0].(Function), 5.0) })
	if err != nil {
		t.Fatal(err)
	}
	fail, err := NewFunc("fail", "<:x>", func(Call, []any) (any, error) { return nil, fmt.Errorf("read x: %w", io.ErrUnexpectedEOF) })
	if err != nil {
		t.Fatal(err)
	}
	env := Env{
		Vars:   map[string]any{"v": 3, "list": []any{1, 2}},
		Funcs:  map[string]*Func{"double": double, "call": call, "fail": fail, "uppercase": nil},
		Now:    time.Date(2024, 2, 29, 12, 30, 5, 7e6, time.UTC),
		Random: func() float64 { return 0.25 },
	}
	for expr, want := range map[string]string{
		`$double($v)`:                     `6`,
		`$list.$double()`:                 `[2,4]`,
		`$call(function($x) { $x + $v })`: `8`,
		`$now()`:                          `"2024-02-29T12:30:05.007Z"`,
		`$now("[Y]/[M]", "+1200")`:        `"2024/3"`,
		`$millis()`:                       `1709209805007`,
		`$random()`:                       `0.25`,
		`$shuffle([1..4])`:                `[3,4,2,1]`,
		`$toMillis("10:00", "[H]:[m]") = $toMillis("2024-02-29T10:00:00Z")`: `true`,
		`($double := 1; $double)`: `1`,
	} {
		got, err := evaluate(t, expr, Undefined, env)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", expr, got, err, want)
		}
	}
	_, err = evaluate(t, `1 + $fail()`, Undefined, env)
	var e *Error
	if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &e) || e.Start != 9 || e.Token != "fail" {
		t.Errorf("got %v at %+v, want what the function failed of, and where", err, e)
	}
	if _, err := evaluate(t, `$uppercase("x")`, Undefined, env); err == nil {
		t.Error("a hidden function is called")
	}
	for _, expr := range []string{`$now()`, `$millis()`, `$random()`, `$shuffle([1,2])`} {
		if v, err := evaluate(t, expr, Undefined, Env{}); err == nil {
			t.Errorf("%s gives %s in an empty world", expr, v)
		}
	}
	if _, err := NewFunc("bad", "<s<n>:x>", nil); err == nil {
		t.Error("a signature with a parameterized string is taken")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`($f := function($n) { 1 + $f($n) }; $f(1))`:                                                "D1011",
		`($f := function($n) { $f($n) }; $f(1))`:                                                    "D1012",
		`($f := function($s) { $f($s & $s) }; $f("xxxxxxxx"))`:                                      "D10",
		`($f := function($a) { $f($append($a, $a)) }; $f([1..100]))`:                                "D10",
		`($f := function($a) { $f([[$a]]) }; $f(1))`:                                                "D1012",
		`($f := function($g, $n) { $n = 0 ? $g : $f($g ~> $trim, $n - 1) }; $f($trim, 50000)("x"))`: "D1011",
		`$string($reduce([1..20000], function($a, $b) { [[$a]] }, 1))`:                              "D1014",
		`$reduce([1..20000], function($a, $b) { [[$a]] }, 1)`:                                       "D1014",
		`$pad("", 1e9)`: "D1014",
		`[1..1e8]`:      "D2014",
	} {
		_, err := evaluate(t, expr, Undefined, Env{MaxSteps: 1_000_000})
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(e.Code, want) {
			t.Errorf("%s: got %v, want %s", expr, err, want)
		}
	}
	for _, text := range []string{strings.Repeat("(", 1_000_000), strings.Repeat("[", 1_000_000), strings.Repeat("-", 1_000_000), strings.Repeat("a.", 100_000) + "a",
		strings.Repeat("1+", 100_000) + "1", strings.Repeat("function(){", 100_000)} {
		_, err := Parse(text)
		var e *Error
		if !errors.As(err, &e) || e.Code != "S0299" {
			t.Errorf("%.10s…: got %v, want S0299", text, err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	e, err := Parse(`$replace(a.b[].c ~> $join(","), /x+/, "y") & $string($count($$.a.b)) & $string(a ~> |b|{"z": $v[]}|)`)
	if err != nil {
		t.Fatal(err)
	}
	in, err := Decode([]byte(`{"a":{"b":[{"c":"xx"},{"c":"axxa"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	one, err := Parse(`[1][]`)
	if err != nil {
		t.Fatal(err)
	}
	v, err := one.Eval(nil, Env{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				got, err := e.Eval(in, Env{Vars: map[string]any{"v": v}})
				if want := `y,aya2{"b":[{"c":"xx","z":[1]},{"c":"axxa","z":[1]}]}`; err != nil || got != want {
					t.Errorf("got %v, %v, want %s", got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}
