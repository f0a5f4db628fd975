package jsonata

import (
	"errors"
	"testing"
	"time"
)

// TestLibrary has the functions of the language by topic, with results of the reference.
func TestLibrary(t *testing.T) {
	t.Parallel()
	for topic, cases := range map[string]map[string]string{
		"strings": {
			`$substring("héllo😀x", -3, 2)`:        `"o😀"`,
			`$substring("abc", 5)`:                `""`,
			`$length("a😀")`:                       `2`,
			`$pad("x", -4, "ab")`:                 `"abax"`,
			`$trim("  a \n b ")`:                  `"a b"`,
			`$string([1.10, 22/7, "x", $sum])`:    `"[1.1,3.14285714285714,\"x\",\"\"]"`,
			`$string({"a": [1]}, true)`:           `"{\n  \"a\": [\n    1\n  ]\n}"`,
			`$substringAfter("a-b-c", "-")`:       `"b-c"`,
			`$encodeUrl("a b/é?x=1")`:             `"a%20b/%C3%A9?x=1"`,
			`$encodeUrlComponent("a/b")`:          `"a%2Fb"`,
			`$decodeUrl("a%2Fb%20")`:              `"a%2Fb "`,
			`$decodeUrlComponent("a%2Fb%C3%A9")`:  `"a/bé"`,
			`$base64encode("myuser:mypass")`:      `"bXl1c2VyOm15cGFzcw=="`,
			`$base64decode("bXl1c2VyOm15cGFzcw")`: `"myuser:mypass"`,
			`"b" > "a" and "B" < "a"`:             `true`,
			`"\uFFFF" > "😀"`:                      `true`,
		},
		"regular expressions": {
			`$match("ababbabbcc", /a(b+)/, 2)`:                               `[{"match":"ab","index":0,"groups":["b"]},{"match":"abb","index":2,"groups":["bb"]}]`,
			`$match("é😀x", /x/).index`:                                       `3`,
			`$replace("Smith, John", /(\w+),\s(\w+)/, "$2 $1")`:              `"John Smith"`,
			`$replace("aaa", /^a/, "b")`:                                     `"baa"`,
			`$replace("a b", /\b\w/, function($m) { $uppercase($m.match) })`: `"A B"`,
			`$replace("abcabc", /(?:b)(c)?/i, "[$1]", 1)`:                    `"a[c]abc"`,
			`$split("a1b22c", /\d+/)`:                                        `["a","b","c"]`,
			`$split("a, b", /,\s*/, 1)`:                                      `["a"]`,
			`$contains("x-y", /[\w-]{3}/)`:                                   `true`,
			`$contains("a/b", /a\/b/)`:                                       `true`,
			"$contains(\"a\nb\", /^b/m)":                                     `true`,
			"$contains(\"a\nb\", /a.b/)":                                     `false`,
			`/b/("abc").start`:                                               `1`,
			`/b/("abcb").next().start`:                                       `3`,
			`$contains("a\u00a0b", /a\sb/)`:                                  `true`,
			`$contains("{x}", /{x}/)`:                                        `true`,
		},
		"numbers": {
			`[$round(2.5), $round(3.5), $round(-2.5), $round(1.005, 2), $round(125, -1)]`: `[2,4,-2,1,120]`,
			`[$number("0x1F"), $number("-1.5e2"), $number(true)]`:                         `[31,-150,1]`,
			`$formatNumber(-1234.5, "#,##0.00;(0.0)")`:                                    `"(1234.5)"`,
			`$formatNumber(0.1234, "0.0%")`:                                               `"12.3%"`,
			`$formatBase(255, 16)`:                                                        `"ff"`,
			`[$formatInteger(1999, "I"), $formatInteger(28, "a"), $formatInteger(21, "w;o"), $formatInteger(1234567, "#,##0")]`: `["MCMXCIX","ab","twenty-first","1,234,567"]`,
			`[$parseInteger("MCMXCIX", "I"), $parseInteger("twelve thousand and five", "w"), $parseInteger("1,234", "#,##0")]`:  `[1999,12005,1234]`,
			`1/3`:             `0.3333333333333333`,
			`-5 % 3`:          `-2`,
			`1e21 & ""`:       `"1e+21"`,
			`0.1 + 0.2`:       `0.30000000000000004`,
			`$max([])`:        `undefined`,
			`$average([1,2])`: `1.5`,
		},
		"arrays": {
			`$append(1, [2,3])`:                    `[1,2,3]`,
			`$distinct([1,"1",1,{"a":1},{"a":1}])`: `[1,"1",{"a":1}]`,
			`$zip([1,2,3],["a","b"])`:              `[[1,"a"],[2,"b"]]`,
			`$sort([3,1,2])`:                       `[1,2,3]`,
			`$sort([{"a":2},{"a":1}], function($l, $r) { $l.a > $r.a })`: `[{"a":1},{"a":2}]`,
			`$reduce([1..4], function($a, $v, $i) { $a + $v * $i })`:     `21`,
			`$filter([1..5], function($v) { $v % 2 = 0 })`:               `[2,4]`,
			`$single([1,2], function($v) { $v = 2 })`:                    `2`,
			`$map([1], function($v) { $v })`:                             `1`,
			`$reverse([1,2])`:                                            `[2,1]`,
			`[1..3][[0,2]]`:                                              `[1,3]`,
			`[[1,2],[3]].$`:                                              `[1,2,3]`,
			`$count([[1,2]])`:                                            `1`,
			`(1; 2)[]`:                                                   `2`,
			`2 in [1,2]`:                                                 `true`,
		},
		"objects": {
			`$keys([{"a":1},{"b":2,"a":3}])`:                     `["a","b"]`,
			`$merge([{"a":1},{"b":2},{"a":3}])`:                  `{"a":3,"b":2}`,
			`$spread({"a":1,"b":2})`:                             `[{"a":1},{"b":2}]`,
			`$each({"a":1,"b":2}, function($v, $k) { $k & $v })`: `["a1","b2"]`,
			`$sift({"a":1,"b":2}, function($v) { $v > 1 })`:      `{"b":2}`,
			`$lookup([{"a":1},{"a":2}], "a")`:                    `[1,2]`,
			`$type(null) & $type([]) & $type({}) & $type($sum)`:  `"nullarrayobjectfunction"`,
			`{"a": {"b": 1}} ~> |a|{"c": b}, "b"|`:               `{"a":{"c":1}}`,
			`{"a":1}.{"x": a, "y": missing}`:                     `{"x":1}`,
			`$eval("[1, $sum([2,3])]")`:                          `[1,5]`,
		},
		"times": {
			`$fromMillis(1510067557121)`:                                                `"2017-11-07T15:12:37.121Z"`,
			`$fromMillis(1510067557121, "[M01]/[D01]/[Y0001] [h#1]:[m01][P]")`:          `"11/07/2017 3:12pm"`,
			`$fromMillis(1510067557121, "[FNn], [D1o] [MNn] [YI]", "-0500")`:            `"Tuesday, 7th November MMXVII"`,
			`$fromMillis(1483228800000, "[X]-W[W01]-[F0] [d001] [w] of [xNn]")`:         `"2016-W52-7 001 5 of December"`,
			`$fromMillis(0, "[[[Y]]] [Z] [z]", "+0530")`:                                `"[1970] +05:30 GMT+05:30"`,
			`$toMillis("2017-11-07T15:12:37.121Z")`:                                     `1510067557121`,
			`$toMillis("2017-11-07T15:12:37+0100") - $toMillis("2017-11-07T14:12:37Z")`: `0`,
			`$toMillis("7th November 2017", "[D1o] [MNn] [Y]")`:                         `1510012800000`,
			`$toMillis("2018-32", "[Y]-[d]")`:                                           `1517443200000`,
			`$toMillis("3:12 pm 7/11/2017", "[h]:[m] [P] [D]/[M]/[Y]")`:                 `1510067520000`,
			`$toMillis("x", "[Y]")`:                                                     `undefined`,
		},
		"functions": {
			`($add := function($a, $b)<nn:n> { $a + $b }; $inc := $add(?, 1); $inc(5))`:  `6`,
			`$map(["a","b"], $substring(?, 0, 1) ~> $uppercase)`:                         `["A","B"]`,
			`(function($x)<s-:s> { $x & "!" })("hi")`:                                    `"hi!"`,
			`"hi" ~> $uppercase() ~> $length`:                                            `2`,
			`($fib := function($n) { $n < 2 ? $n : $fib($n-1) + $fib($n-2) }; $fib(15))`: `610`,
			`λ($x){$x}(1)`: `1`,
		},
	} {
		for expr, want := range cases {
			got, err := evaluate(t, expr, Undefined, Env{Now: time.UnixMilli(0)})
			if err != nil || got != want {
				t.Errorf("%s: %s: got %s, %v, want %s", topic, expr, got, err, want)
			}
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]Error{
		`"a" + 1`:                   {Code: "T2001", Position: 5, Start: 4, Token: "+", Message: `The left side of the "+" operator must evaluate to a number`},
		`"é" + 1`:                   {Code: "T2001", Position: 5, Start: 5, Token: "+", Message: `The left side of the "+" operator must evaluate to a number`},
		`$uppercase(1)`:             {Code: "T0410", Position: 11, Start: 10, Token: "uppercase", Message: `Argument 1 of function "uppercase" does not match function signature`},
		`1 + $f()`:                  {Code: "T1006", Position: 7, Start: 6, Token: "f", Message: `Attempted to invoke a non-function`},
		`sum([1])`:                  {Code: "T1005", Position: 4, Start: 3, Token: "sum", Message: `Attempted to invoke a non-function. Did you mean $sum?`},
		`(1`:                        {Code: "S0203", Position: 2, Start: 2, Token: "(end)", Message: `Expected ")" before end of expression`},
		`[1 2]`:                     {Code: "S0202", Position: 4, Start: 3, Token: "2", Message: `Expected "]", got 2`},
		`a b`:                       {Code: "S0201", Position: 3, Start: 2, Token: "b", Message: `Syntax error: "b"`},
		``:                          {Code: "S0207", Token: "(end)", Message: `Unexpected end of expression`},
		`%`:                         {Code: "S0217", Position: 1, Token: "parent", Message: `The object representing the 'parent' cannot be derived from this expression`},
		`"abc`:                      {Code: "S0101", Position: 4, Start: 4, Message: `String literal must be terminated by a matching quote`},
		`/a(?=b)/`:                  {Code: "S0303", Position: 8, Start: 1, Message: `The regular expression is not supported: "/a(?=b)/: look-ahead is not supported"`},
		`/(a)\1/`:                   {Code: "S0303", Position: 7, Start: 1, Message: `The regular expression is not supported: "/(a)\\1/: back-references are not supported"`},
		`/(?<!a)b/`:                 {Code: "S0303", Position: 9, Start: 1, Message: `The regular expression is not supported: "/(?<!a)b/: look-behind is not supported"`},
		`{1: 2}`:                    {Code: "T1003", Position: 1, Message: `Key in object structure must evaluate to a string; got: 1`},
		`[1] < 2`:                   {Code: "T2010", Position: 5, Start: 4, Token: "<", Message: `The expressions either side of operator "<" must evaluate to numeric or string values`},
		`1 < "2"`:                   {Code: "T2009", Position: 3, Start: 2, Token: "<", Message: `The values 1 and "2" either side of operator "<" must be of the same data type`},
		`$number("x")`:              {Code: "D3030", Position: 8, Start: 7, Token: "number", Message: `Unable to cast value to a number: "x"`},
		`$error("no")`:              {Code: "D3137", Position: 7, Start: 6, Token: "error", Message: `no`},
		`$eval("1 +")`:              {Code: "D3120", Position: 6, Start: 5, Token: "eval", Message: `Syntax error in expression passed to function eval: "Unexpected end of expression"`},
		`$decodeUrl("%E0%A4%A")`:    {Code: "D3140", Position: 11, Start: 10, Token: "decodeUrl", Message: `Malformed URL passed to $decodeUrl(): "%E0%A4%A"`},
		`$sqrt(-1)`:                 {Code: "D3060", Position: 6, Start: 5, Token: "sqrt", Message: `The sqrt function cannot be applied to a negative number: -1`},
		`1/0 + 1`:                   {Code: "D1001", Position: 5, Start: 4, Token: "+", Message: `Number out of range: Infinity`},
		`$replace("a", /x*/, "b")`:  {Code: "D1004", Position: 18, Start: 14, Token: "replace", Message: `Regular expression matches zero length string`},
		`$replace("ab", /x*/, "b")`: {Code: "D1004", Position: 19, Start: 15, Token: "replace", Message: `Regular expression matches zero length string`},
	} {
		_, err := evaluate(t, expr, Undefined, Env{})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %v, want %s", expr, err, want.Code)
			continue
		}
		if e.Code != want.Code || e.Position != want.Position || e.Start != want.Start || e.Token != want.Token || e.Message != want.Message {
			t.Errorf("%s: got %s at %d (%d), token %q: %s; want %s at %d (%d), token %q: %s", expr, e.Code, e.Position, e.Start, e.Token, e.Message,
				want.Code, want.Position, want.Start, want.Token, want.Message)
		}
	}
}
