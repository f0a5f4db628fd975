package jsonata

import (
	"errors"
	"strings"
	"testing"
)

func TestStates(t *testing.T) {
	t.Parallel()
	n := 0.0
	env := Env{Funcs: States(), Random: func() float64 { n += 0.01; return n - float64(int(n)) }}
	for expr, want := range map[string]string{
		`$partition([0..4], 2)`:          `[[0,1],[2,3],[4]]`,
		`$partition([7], 3)`:             `[[7]]`,
		`$partition([], 3)`:              `[]`,
		`$range(0, 9, 3)`:                `[0,3,6,9]`,
		`$range(1, 9, 9)`:                `1`,
		`$range(5, 1, -2)`:               `[5,3,1]`,
		`$hash("input data", "SHA-1")`:   `"aaff4a450a104cd177d28d18d74485e8cae074b7"`,
		`$length($hash("x", "SHA-512"))`: `128`,
		`$length($hash("x", "SHA-384"))`: `96`,
		`$length($hash("x", "SHA-256"))`: `64`,
		`$hash("", "MD5")`:               `"d41d8cd98f00b204e9800998ecf8427e"`,
		`$parse('{"b":[],"a":1}')`:       `{"b":[],"a":1}`,
		`$parse("1.1")`:                  `1.1`,
		`$random(7) = $random(7)`:        `true`,
		`$random(7) != $random(8)`:       `true`,
		`$random() < 1`:                  `true`,
		`$match($uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/).index`: `0`,
	} {
		got, err := evaluate(t, expr, Undefined, env)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", expr, got, err, want)
		}
	}
	for expr, want := range map[string]string{
		`$eval("1")`:           `T1006: Attempted to invoke a non-function`,
		`$randomSeeded("x")`:   `T1006: Attempted to invoke a non-function`,
		`$partition([1], 0)`:   `positive integer`,
		`$range(1, 5, 0)`:      `step not zero`,
		`$range(1, 100000, 1)`: `1000`,
		`$hash("x", "CRC")`:    `algorithm`,
		`$parse("{")`:          `must be JSON`,
		`$hash(1, "MD5")`:      `T0410: Argument 1 of function "hash" does not match function signature`,
	} {
		_, err := evaluate(t, expr, Undefined, env)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", expr, err, want)
		}
	}
}

// evaluate gives a result as JSON, "undefined" or "function".
func evaluate(t *testing.T, text string, in any, env Env) (string, error) {
	t.Helper()
	e, err := Parse(text)
	if err != nil {
		return "", err
	}
	v, err := e.Eval(in, env)
	switch {
	case err != nil:
		return "", err
	case v == Undefined:
		return "undefined", nil
	case IsFunction(v):
		return "function", nil
	}
	b, err := Encode(v)
	return string(b), err
}
