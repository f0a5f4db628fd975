package sparksql

import "strings"

func stringEntries() []*entry {
	return []*entry{
		fn("upper ucase", "s", "string", "spark_upper({0})", "select upper('aß'), ucase('x'), upper(null)"),
		fn("lower lcase", "s", "string", "spark_lower({0})", "select lower('AÉ'), lcase('X')"),
		custom("length char_length character_length len", "(string) → int", "length, octet_length", "select length('é '), len(X'0102'), length(12)", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.Kind == Binary {
				return ex{sql: "CAST(octet_length(" + a[0].sql + ") AS INTEGER)", typ: simple(Int)}
			}
			return fn("length", "s", "int", "CAST(length({0}) AS INTEGER)", "").build(t, c, a)
		}),
		custom("octet_length", "(string) → int", "strlen, octet_length", "select octet_length('é'), octet_length(X'010203')", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.Kind == Binary {
				return ex{sql: "CAST(octet_length(" + a[0].sql + ") AS INTEGER)", typ: simple(Int)}
			}
			return fn("octet_length", "s", "int", "CAST(strlen({0}) AS INTEGER)", "").build(t, c, a)
		}),
		custom("bit_length", "(string) → int", "8 * strlen", "select bit_length('é'), bit_length(X'01')", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.Kind == Binary {
				return ex{sql: "CAST(8 * octet_length(" + a[0].sql + ") AS INTEGER)", typ: simple(Int)}
			}
			return fn("bit_length", "s", "int", "CAST(8 * strlen({0}) AS INTEGER)", "").build(t, c, a)
		}),
		custom("concat", "(any…) → string, binary or array", "||", "select concat('a', 1, 2.50), concat('a', null), concat(array(1), array(2, null))", func(t *translator, c *call, a []ex) ex {
			return t.concat(a, c.Pos)
		}),
		custom("concat_ws", "(string, string or array…) → string", "concat_ws", "select concat_ws(',', 'a', null, 'b', array('c', null, 'd')), concat_ws(null, 'a'), concat_ws('/')", concatWs),
		custom("substring substr", "(string, int [, int]) → string", "spark_substring", "select substring('Spark', 0, 2), substr('Spark', -3), substring('abc', -5, 3), substring('abc', 2, -1)", substring),
		custom("left", "(string, int) → string", "spark_substring", "select left('Spark', 3), left('ab', -1), left('ab', 9)", func(t *translator, c *call, a []ex) ex {
			if len(a) != 2 {
				return t.bad(c.Pos, c.name, "left takes two arguments")
			}
			return substring(t, c, []ex{a[0], {sql: "1", typ: simple(Int)}, a[1]})
		}),
		fn("right", "si", "string", "(CASE WHEN {1} <= 0 THEN CASE WHEN {0} IS NULL THEN NULL ELSE '' END ELSE spark_substring({0}, -{1}, {1}) END)", "select right('Spark', 3), right('ab', 0), right('ab', 9)"),
		fn("btrim", "s|s", "string", "spark_trim({0}, {1});;trim({0}, ' ')", "select btrim('  a '), btrim('xax', 'x')"),
		fn("trim", "s|s", "string", "spark_trim({1}, {0});;trim({0}, ' ')", "select trim('  a\\t '), trim(both 'SL' from 'SSparkSQLS')"),
		fn("ltrim", "s|s", "string", "spark_ltrim({1}, {0});;ltrim({0}, ' ')", "select ltrim('  a '), trim(leading 'SL' from 'SSparkSQLS')"),
		fn("rtrim", "s|s", "string", "spark_rtrim({1}, {0});;rtrim({0}, ' ')", "select concat(rtrim('  a '), '|'), trim(trailing 'SL' from 'SSparkSQLS')"),
		custom("lpad", "(string, int [, string]) → string", "spark_lpad", "select lpad('hi', 5, '??'), lpad('hi', 1, '?'), lpad('hi', 4), lpad('hi', 4, ''), lpad('hi', -1, 'a')", pad("spark_lpad")),
		custom("rpad", "(string, int [, string]) → string", "spark_rpad", "select rpad('hi', 5, '??'), rpad('hi', 1, '?'), rpad('hi', 4, ''), rpad('hi', 0)", pad("spark_rpad")),
		fn("repeat", "si", "string", "repeat({0}, greatest({1}, 0))", "select repeat('ab', 2), repeat('ab', -1)"),
		fn("space", "i", "string", "repeat(' ', greatest({0}, 0))", "select length(space(3)), space(-1)"),
		custom("reverse", "(string or array) → the same", "reverse, list_reverse", "select reverse('abc'), reverse(array(1, null, 3))", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.Kind == Array {
				return ex{sql: "list_reverse(" + a[0].sql + ")", typ: a[0].typ}
			}
			return fn("reverse", "s", "string", "spark_reverse({0})", "").build(t, c, a)
		}),
		fn("replace", "ss|s", "string", "spark_replace({0}, {1}, {2});;spark_replace({0}, {1}, '')", "select replace('abcabc', 'b', 'x'), replace('abc', 'b'), replace('abc', '', 'x')"),
		fn("translate", "sss", "string", "translate({0}, {1}, {2})", "select translate('AaBbCc', 'abc', '12'), translate('aab', 'aa', 'xy')"),
		fn("initcap", "s", "string", "spark_initcap({0})", "select initcap('sPark sql-a b'), initcap('éa')"),
		fn("instr", "ss", "int", "CAST(instr({0}, {1}) AS INTEGER)", "select instr('SparkSQL', 'SQL'), instr('a', 'b'), instr('a', '')"),
		fn("locate position", "ss|i", "int", "spark_locate({0}, {1}, {2});;CAST(instr({1}, {0}) AS INTEGER)", "select locate('bar', 'foobarbar'), locate('bar', 'foobarbar', 5), locate('b', 'abc', 0), position('bar' in 'foobarbar')"),
		custom("contains", "(string, string) → boolean", "contains", "select contains('Spark SQL', 'Spark'), contains('a', ''), contains('a', null)", twoTexts("contains({0}, {1})", "contains(hex({0}), hex({1}))")),
		custom("startswith", "(string, string) → boolean", "starts_with", "select startswith('Spark', 'Sp'), startswith('a', 'ab')", twoTexts("starts_with({0}, {1})", "starts_with(hex({0}), hex({1}))")),
		custom("endswith", "(string, string) → boolean", "ends_with", "select endswith('Spark', 'rk'), endswith('a', 'ab')", twoTexts("ends_with({0}, {1})", "ends_with(hex({0}), hex({1}))")),
		fn("ascii", "s", "int", "spark_ascii({0})", "select ascii('abc'), ascii(''), ascii('é')"),
		fn("chr char", "l", "string", "spark_chr({0})", "select chr(65), chr(-1), chr(321)"),
		fn("split_part", "ssi", "string", "spark_split_part({0}, {1}, {2})", "select split_part('11.12.13', '.', 3), split_part('a', ',', 5), split_part('a,b', ',', -1), split_part('a', '', 1)"),
		fn("substring_index", "ssi", "string", "spark_substring_index({0}, {1}, {2})", "select substring_index('a.b.c', '.', 2), substring_index('a.b.c', '.', -1), substring_index('a.b', '.', 5), substring_index('a', '', 1), substring_index('a.b', '.', 0), substring_index('aaa', 'aa', -1)"),
		fn("find_in_set", "ss", "int", "spark_find_in_set({0}, {1})", "select find_in_set('ab', 'abc,b,ab,c,def'), find_in_set('a,b', 'a,b'), find_in_set('x', 'a')"),
		fn("levenshtein", "ss|i", "int", "spark_levenshtein_at_most({0}, {1}, {2});;spark_levenshtein({0}, {1})", "select levenshtein('kitten', 'sitting'), levenshtein('é', 'e'), levenshtein('kitten', 'sitting', 2)"),
		fn("soundex", "s", "string", "spark_soundex({0})", "select soundex('Miller'), soundex('Ashcraft'), soundex('1a'), soundex('')"),
		fn("overlay", "ssi|i", "string", "spark_overlay({0}, {1}, {2}, {3});;spark_overlay({0}, {1}, {2}, -1)", "select overlay('Spark SQL' placing '_' from 6), overlay('Spark SQL' placing 'CORE' from 7), overlay('Spark SQL' placing 'ANSI ' from 7 for 0)"),
		fn("mask", "s|ssss", "string", "spark_mask({0}, {1}, {2}, {3}, {4});;spark_mask({0}, {1}, {2}, {3}, NULL);;spark_mask({0}, {1}, {2}, 'n', NULL);;spark_mask({0}, {1}, 'x', 'n', NULL);;spark_mask({0}, 'X', 'x', 'n', NULL)", "select mask('AbCD123-@$#'), mask('AbCD123-@$#', 'Q'), mask('AbCD123-@$#', 'Q', 'q', 'd', 'o'), mask(null)"),
		custom("elt", "(int, string…) → string", "a list read by place", "select elt(1, 'a', 'b'), elt(3, 'a', 'b'), elt(2, 'a', 1)", elt),
		fn("base64", "B", "string", "base64({0})", "select base64(encode('Spark SQL', 'utf-8')), base64('a')"),
		fn("unbase64", "s", "binary", "from_base64({0})", "select unbase64('U3BhcmsgU1FM')"),
		custom("hex", "(bigint, string or binary) → string", "spark_hex, hex", "select hex(17), hex('Spark SQL'), hex(-1), hex(X'0aff')", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.Kind == Binary {
				return ex{sql: "hex(" + a[0].sql + ")", typ: simple(String)}
			}
			if len(a) == 1 && a[0].typ.numeric() {
				return fn("hex", "l", "string", "spark_hex({0})", "").build(t, c, a)
			}
			return fn("hex", "s", "string", "hex(encode({0}))", "").build(t, c, a)
		}),
		fn("unhex", "s", "binary", "spark_unhex({0})", "select hex(unhex('537061')), unhex('zz'), hex(unhex('F'))"),
		special("encode", "(string, charset constant) → binary", "encode", "select encode('aé', 'utf-8')", charset("encode({0})", "s", "binary")),
		special("decode", "(binary, charset constant) → string; (any, any, any…) → any", "decode; CASE", "select decode(X'61', 'utf-8'), decode(2, 1, 'a', 2, 'b', 'z'), decode(9, 1, 'a'), decode(null, null, 'n', 'x')", decode),
		fn("luhn_check", "s", "boolean", "spark_luhn({0})", "select luhn_check('79927398713'), luhn_check('79927398714'), luhn_check('x')"),
		fn("md5", "B", "string", "md5({0})", "select md5('Spark'), md5(X'01')"),
		fn("sha sha1", "B", "string", "sha1({0})", "select sha1('Spark'), sha(X'')"),
		fn("crc32", "B", "bigint", "spark_crc32({0})", "select crc32('Spark')"),
		fn("sha2", "Bi", "string", "spark_sha2({0}, {1})", "select sha2('Spark', 256), sha2('Spark', 0), sha2('Spark', 512), sha2('a', 1)"),
		fn("url_encode", "s", "string", "spark_url_encode({0})", "select url_encode('https://a.b/c d?é*')"),
		fn("url_decode", "s", "string", "spark_url_decode({0})", "select url_decode('https%3A%2F%2Fspark.apache.org+x')"),
		fn("parse_url", "ss|s", "string", "spark_parse_url({0}, {1}, {2});;spark_parse_url({0}, {1}, NULL)", "select parse_url('http://u@spark.apache.org:80/path?query=1&b=2#f', 'HOST'), parse_url('http://spark.apache.org/path?query=1', 'QUERY', 'query'), parse_url('http://a/b?c', 'PATH')"),
		custom("format_number", "(number, int) → string", "spark_format_number", "select format_number(12332.123456, 4), format_number(0.5, 0), format_number(-1234567, 2)", func(t *translator, c *call, a []ex) ex {
			if len(a) == 2 && a[1].typ.Kind == String {
				return t.refuse(c.Pos, "format_number with a pattern", "")
			}
			return fn("format_number", "ni", "string", "spark_format_number({0}, {1})", "").build(t, c, a)
		}),
		fn("conv", "sii", "string", "spark_conv({0}, {1}, {2})", "select conv('100', 2, 10), conv(-10, 16, -10), conv('ff', 16, 2), conv('x', 10, 2)"),
		fn("to_binary", "s|s", "binary", "spark_to_binary({0}, {1});;spark_unhex({0})", "select to_binary('abc', 'utf-8'), to_binary('616263'), to_binary('YWJj', 'base64')"),
	}
}

func twoTexts(text, binaryText string) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) == 2 && a[0].typ.Kind == Binary && a[1].typ.Kind == Binary {
			if c.name == "contains" {
				return t.refuse(c.Pos, c.name+" over binary", "")
			}
			return ex{sql: fill(binaryText, []string{a[0].sql, a[1].sql}), typ: simple(Boolean)}
		}
		return fn(c.name, "ss", "boolean", text, "").build(t, c, a)
	}
}

func concatWs(t *translator, c *call, a []ex) ex {
	if len(a) == 0 {
		return t.bad(c.Pos, c.name, "concat_ws wants a separator")
	}
	sep := t.implicitString(a[0], c.Pos, c.name)
	parts := []string{}
	for _, x := range a[1:] {
		if x.typ.Kind == Array {
			y := t.cast(x, arrayOf(simple(String)), c.Pos)
			parts = append(parts, "list_filter(coalesce("+y.sql+", []), lambda spark_w: spark_w IS NOT NULL)")
			continue
		}
		parts = append(parts, "list_filter(["+t.typed(t.implicitString(x, c.Pos, c.name))+"], lambda spark_w: spark_w IS NOT NULL)")
	}
	if len(parts) == 0 {
		return ex{sql: "(CASE WHEN " + sep.sql + " IS NULL THEN NULL ELSE '' END)", typ: simple(String)}
	}
	simpleOnly := true
	for _, x := range a[1:] {
		simpleOnly = simpleOnly && x.typ.Kind != Array
	}
	if simpleOnly {
		var ss []string
		for _, x := range a[1:] {
			ss = append(ss, t.typed(t.implicitString(x, c.Pos, c.name)))
		}
		return ex{sql: "concat_ws(" + t.typed(sep) + ", " + strings.Join(ss, ", ") + ")", typ: simple(String)}
	}
	return ex{sql: "spark_join(" + strings.Join(parts, " || ") + ", " + t.typed(sep) + ")", typ: simple(String)}
}

func substring(t *translator, c *call, a []ex) ex {
	if len(a) < 2 || len(a) > 3 {
		return t.bad(c.Pos, c.name, "%s takes two or three arguments", c.name)
	}
	if a[0].typ.Kind == Binary {
		return t.refuse(c.Pos, c.name+" over binary", "")
	}
	return fn(c.name, "si|i", "string", "spark_substring({0}, {1}, {2});;spark_substring({0}, {1}, 2147483647)", "").build(t, c, a)
}

func pad(macro string) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) > 0 && a[0].typ.Kind == Binary {
			return t.refuse(c.Pos, c.name+" over binary", "")
		}
		return fn(c.name, "si|s", "string", macro+"({0}, {1}, {2});;"+macro+"({0}, {1}, ' ')", "").build(t, c, a)
	}
}

func elt(t *translator, c *call, a []ex) ex {
	if len(a) < 2 {
		return t.bad(c.Pos, c.name, "elt takes a number and values")
	}
	var vs []string
	for _, x := range a[1:] {
		vs = append(vs, t.typed(t.implicitString(x, c.Pos, c.name)))
	}
	n, ok := t.argument(a[0], 'i', c)
	if !ok {
		return n
	}
	return ex{sql: "spark_get([" + strings.Join(vs, ", ") + "], CAST(" + n.sql + " AS BIGINT) - 1)", typ: simple(String)}
}

func charset(tmpl, sig, result string) func(t *translator, c *call, sc *scope) ex {
	return func(t *translator, c *call, sc *scope) ex {
		a, ok := t.args(c, sc)
		if !ok || len(a) != 2 {
			return ex{sql: "NULL"}
		}
		if a[1].lit == nil || !contains([]string{"utf-8", "utf8"}, strings.ToLower(a[1].lit.text)) {
			return t.refuse(c.Pos, c.name+" with a charset other than 'utf-8'", "")
		}
		return fn(c.name, sig, result, tmpl, "").build(t, c, a[:1])
	}
}

func decode(t *translator, c *call, sc *scope) ex {
	if len(c.args) == 2 {
		return charset("decode({0})", "B", "string")(t, c, sc)
	}
	if len(c.args) < 3 {
		return t.bad(c.Pos, c.name, "decode takes at least two arguments")
	}
	x := &caseExpr{Pos: c.Pos}
	i := 1
	for ; i+1 < len(c.args); i += 2 {
		x.whens = append(x.whens, when{cond: &binary{Pos: c.Pos, op: "<=>", l: c.args[0].x, r: c.args[i].x}, then: c.args[i+1].x})
	}
	if i < len(c.args) {
		x.elseX = c.args[i].x
	}
	return t.expr(x, sc)
}
