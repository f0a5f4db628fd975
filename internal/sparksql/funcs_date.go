package sparksql

import (
	"fmt"
	"strings"
)

func dateEntries() []*entry {
	const ts = "timestamp'2019-08-12 13:14:15.123456'"
	part := func(names, letter, sql, proof string) *entry {
		return custom(names, "(date or timestamp) → int", sql, proof, func(t *translator, c *call, a []ex) ex {
			return fn(c.name, letter, "int", "CAST("+sql+" AS INTEGER)", "").build(t, c, a)
		})
	}
	es := []*entry{
		part("year", "D", "year({0})", "select year('2016-07-30'), year("+ts+")"),
		part("month", "D", "month({0})", "select month('2016-07-30')"),
		part("day dayofmonth", "D", "day({0})", "select day('2016-07-30'), dayofmonth(date'2020-02-29')"),
		part("quarter", "D", "quarter({0})", "select quarter('2016-08-31')"),
		part("dayofyear", "D", "dayofyear({0})", "select dayofyear('2016-04-09')"),
		part("dayofweek", "D", "dayofweek({0}) + 1", "select dayofweek('2009-07-30'), dayofweek('2009-08-02')"),
		part("weekday", "D", "isodow({0}) - 1", "select weekday('2009-07-30')"),
		part("weekofyear", "D", "week({0})", "select weekofyear('2008-02-20'), weekofyear('2021-01-01')"),
		timePart("hour"), timePart("minute"), timePart("second"),
		custom("date_add", "(date, int) → date", "+", "select date_add('2016-07-30', 1), date_add(date'2020-02-28', 2)", addDays("+")),
		custom("dateadd", "(date, int) → date", "+", "select dateadd('2016-07-30', 1)", addDays("+")),
		custom("date_sub", "(date, int) → date", "-", "select date_sub('2016-07-30', 1)", addDays("-")),
		fn("datediff date_diff", "DD", "int", "CAST(date_diff('day', {1}, {0}) AS INTEGER)", "select datediff('2009-07-31', '2009-07-30'), date_diff(date'2020-01-01', date'2020-03-01')"),
		fn("add_months", "Di", "date", "CAST(({0} + to_months({1})) AS DATE)", "select add_months('2016-08-31', 1), add_months(date'2020-02-29', 12), add_months('2016-02-29', 1)"),
		fn("months_between", "tt|b", "double", "spark_months_between(epoch_us(CAST({0} AS TIMESTAMP)), epoch_us(CAST({1} AS TIMESTAMP)), {2});;spark_months_between(epoch_us(CAST({0} AS TIMESTAMP)), epoch_us(CAST({1} AS TIMESTAMP)), true)", "select months_between('1997-02-28 10:30:00', '1996-10-30'), months_between('1997-02-28 10:30:00', '1996-10-30', false), months_between('2020-01-31', '2020-02-29')"),
		fn("last_day", "D", "date", "last_day({0})", "select last_day('2009-01-12'), last_day('x')"),
		fn("next_day", "Ds", "date", "spark_next_day({0}, {1})", "select next_day('2015-01-14', 'TU'), next_day('2015-01-14', 'wednesday'), next_day('2015-01-14', 'xx')"),
		custom("trunc", "(date, string constant) → date", "date_trunc", "select trunc('2019-08-04', 'week'), trunc('2009-02-12', 'MM'), trunc('2015-10-27', 'YEAR'), trunc('2019-08-04', 'quarter'), trunc('2019-08-04', 'x')", truncDate),
		custom("date_trunc", "(string constant, timestamp) → timestamp", "date_trunc", "select date_trunc('YEAR', '2015-03-05T09:32:05.359'), date_trunc('HOUR', "+ts+"), date_trunc('week', "+ts+"), date_trunc('MILLISECOND', "+ts+")", truncTime),
		special("extract date_part datepart", "(string constant, date or timestamp) → int or decimal", "date_part", "select extract(year from "+ts+"), extract(doy from date'2019-08-12'), date_part('seconds', "+ts+"), extract(dow from "+ts+"), extract(week from date'2019-08-12')", extract),
		fn("make_date", "iii", "date", "spark_make_date({0}, {1}, {2})", "select make_date(2013, 7, 15), make_date(2019, 2, 30), make_date(2019, null, 1)"),
		custom("to_date", "(string [, pattern constant]) → date", "spark_to_date, spark_parse_date", "select to_date('2009-07-30 04:17:52'), to_date('2016-12-31', 'yyyy-MM-dd'), to_date('31/12/2016', 'dd/MM/yyyy'), to_date('x')", toDate),
		custom("to_timestamp to_timestamp_ltz try_to_timestamp", "(string [, pattern constant]) → timestamp", "spark_to_timestamp, spark_parse_instant", "select to_timestamp('2016-12-31 00:12:00'), to_timestamp('2016-12-31', 'yyyy-MM-dd'), to_timestamp('31.12.2016 5:06', 'dd.MM.yyyy H:mm')", toTimestamp(Timestamp)),
		custom("to_timestamp_ntz", "(string [, pattern constant]) → timestamp_ntz", "spark_to_timestamp_ntz, spark_parse_local", "select to_timestamp_ntz('2016-12-31 00:12:00'), to_timestamp_ntz('2016-12-31', 'yyyy-MM-dd')", toTimestamp(TimestampNTZ)),
		custom("date_format", "(timestamp, pattern constant) → string", "strftime", "select date_format('2016-04-08', 'y'), date_format("+ts+", 'dd/MM/yyyy HH:mm:ss.SSS'), date_format(date'2020-03-01', 'E EEEE MMM MMMM d')", dateFormat),
		custom("unix_timestamp to_unix_timestamp", "(string or timestamp [, pattern constant]) → bigint", "epoch_us, spark_parse_instant", "select unix_timestamp("+ts+"), unix_timestamp('2016-04-08', 'yyyy-MM-dd'), to_unix_timestamp('2016-04-08 01:02:03')", unixTimestamp),
		custom("from_unixtime", "(bigint [, pattern constant]) → string", "strftime", "select from_unixtime(0), from_unixtime(86399, 'yyyy-MM-dd HH:mm:ss')", func(t *translator, c *call, a []ex) ex {
			if len(a) < 1 || len(a) > 2 {
				return t.bad(c.Pos, c.name, "from_unixtime takes one or two arguments")
			}
			n, ok := t.argument(a[0], 'l', c)
			if !ok {
				return n
			}
			p := ex{sql: "''", typ: simple(String), lit: &literal{kind: litString, text: "yyyy-MM-dd HH:mm:ss"}}
			if len(a) == 2 {
				p = a[1]
			}
			return dateFormat(t, c, []ex{{sql: "make_timestamptz(" + n.sql + " * 1000000)", typ: simple(Timestamp)}, p})
		}),
		custom("timestamp_seconds", "(number) → timestamp", "make_timestamptz", "select timestamp_seconds(1230219000), timestamp_seconds(1.5)", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.Kind == Decimal {
				return ex{sql: "make_timestamptz(CAST(" + a[0].sql + " * 1000000 AS BIGINT))", typ: simple(Timestamp)}
			}
			return fn(c.name, "l", "timestamp", "make_timestamptz({0} * 1000000)", "").build(t, c, a)
		}),
		fn("timestamp_millis", "l", "timestamp", "make_timestamptz({0} * 1000)", "select timestamp_millis(1230219000123)"),
		fn("timestamp_micros", "l", "timestamp", "make_timestamptz({0})", "select timestamp_micros(1230219000123123)"),
		fn("unix_seconds", "t", "bigint", "CAST(floor(epoch_us({0}) / 1000000) AS BIGINT)", "select unix_seconds(timestamp'1970-01-01 00:00:01.5Z'), unix_seconds(timestamp'1969-12-31 23:59:59.5Z')"),
		fn("unix_millis", "t", "bigint", "CAST(floor(epoch_us({0}) / 1000) AS BIGINT)", "select unix_millis(timestamp'1970-01-01 00:00:01Z')"),
		fn("unix_micros", "t", "bigint", "epoch_us({0})", "select unix_micros(timestamp'1970-01-01 00:00:01Z')"),
		fn("unix_date", "D", "int", "CAST(date_diff('day', DATE '1970-01-01', {0}) AS INTEGER)", "select unix_date(date'1970-01-02')"),
		fn("date_from_unix_date", "i", "date", "CAST((DATE '1970-01-01' + {0}) AS DATE)", "select date_from_unix_date(1)"),
		fn("from_utc_timestamp", "ts", "timestamp", "make_timestamptz(spark_from_utc(epoch_us({0}), {1}))", "select from_utc_timestamp('2016-08-31', 'Asia/Seoul')"),
		fn("to_utc_timestamp", "ts", "timestamp", "make_timestamptz(spark_to_utc(epoch_us({0}), {1}))", "select to_utc_timestamp('2016-08-31', 'Asia/Seoul')"),
		custom("timestampadd", "(unit, int, date or timestamp) → timestamp", "+", "select timestampadd(HOUR, 8, timestamp'2022-02-11 20:30:00'), timestampadd(MONTH, 1, timestamp'2022-01-31 00:00:00')", timestampAdd),
		custom("timestampdiff", "(unit, timestamp, timestamp) → bigint", "epoch_us", "select timestampdiff(HOUR, timestamp'2022-02-11 20:30:00', timestamp'2022-02-12 04:30:00'), timestampdiff(DAY, date'2021-01-01', date'2021-03-01')", timestampDiff),
		custom("make_timestamp make_timestamp_ltz", "(int, int, int, int, int, decimal [, string]) → timestamp", "spark_make_local", "select make_timestamp(2014, 12, 28, 6, 30, 45.887), make_timestamp(2019, 13, 1, 10, 11, 12)", makeTimestamp(Timestamp)),
		custom("make_timestamp_ntz", "(int, int, int, int, int, decimal) → timestamp_ntz", "spark_make_local", "select make_timestamp_ntz(2014, 12, 28, 6, 30, 45.887), make_timestamp_ntz(2019, 6, 30, 23, 59, 60)", makeTimestamp(TimestampNTZ)),
		custom("make_ym_interval", "([int [, int]]) → interval", "*, +", "select make_ym_interval(1, 2)", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 {
				a = append(a, ex{sql: "0", typ: simple(Int)})
			}
			e := fn(c.name, "ii", "int", "CAST({0} * 12 + {1} AS INTEGER)", "").build(t, c, a)
			if e.typ.known() {
				e.typ = Type{Kind: YearMonth}
			}
			return e
		}),
		custom("make_dt_interval", "([int [, int [, int [, decimal]]]]) → interval", "*, +", "select make_dt_interval(1, 12, 30, 1.001001)", func(t *translator, c *call, a []ex) ex {
			zero := ex{sql: "0", typ: simple(Int), lit: &literal{kind: litInt, text: "0"}}
			for len(a) < 4 {
				a = append(a, zero)
			}
			e := fn(c.name, "llln", "bigint", "({0} * 86400000000 + {1} * 3600000000 + {2} * 60000000 + CAST(CAST({3} AS DECIMAL(18,6)) * 1000000 AS BIGINT))", "").build(t, c, a)
			if e.typ.known() {
				e.typ = Type{Kind: DayTime}
			}
			return e
		}),
		fn("current_date curdate", "", "date", "CAST(now() AS DATE)", "select current_date() = current_date"),
		fn("current_timestamp now", "", "timestamp", "now()", "select now() = current_timestamp()"),
		fn("localtimestamp", "", "timestamp_ntz", "CAST(now() AS TIMESTAMP)", "select localtimestamp() = localtimestamp()"),
		custom("current_timezone", "() → string", "a constant", "select current_timezone()", func(t *translator, c *call, a []ex) ex {
			return ex{sql: duckString(t.opt.Timezone), typ: simple(String)}
		}),
	}
	return es
}

func timePart(n string) *entry {
	proof := "select " + n + "('2018-02-14 12:58:59'), " + n + "(timestamp_ntz'2018-02-14 12:58:59.9')"
	return custom(n, "(timestamp) → int", n, proof, func(t *translator, c *call, a []ex) ex {
		if len(a) == 1 && a[0].typ.Kind == TimestampNTZ {
			return ex{sql: "CAST(" + n + "(" + a[0].sql + ") AS INTEGER)", typ: simple(Int)}
		}
		return fn(n, "t", "int", "CAST("+n+"(CAST({0} AS TIMESTAMP)) AS INTEGER)", "").build(t, c, a)
	})
}

func addDays(op string) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) != 2 {
			return t.bad(c.Pos, c.name, "%s takes a date and a number of days", c.name)
		}
		d, ok := t.argument(a[0], 'D', c)
		if !ok {
			return d
		}
		n := a[1]
		if n.typ.Kind == String {
			n = t.cast(n, simple(Int), c.Pos)
		}
		if n.typ.interval() {
			return t.addInterval(op, d, n, c.Pos)
		}
		if !n.typ.is(Byte, Short, Int, Void) {
			return t.bad(c.Pos, c.name, "%s takes an int of days, found %s", c.name, n.typ)
		}
		return ex{sql: "CAST((" + d.sql + " " + op + " " + t.cast(n, simple(Int), c.Pos).sql + ") AS DATE)", typ: simple(Date)}
	}
}

var truncWords = map[string]string{"YEAR": "year", "YYYY": "year", "YY": "year", "QUARTER": "quarter", "MONTH": "month", "MM": "month", "MON": "month", "WEEK": "week"}

func truncDate(t *translator, c *call, a []ex) ex {
	if len(a) != 2 || a[1].lit == nil || a[1].lit.kind != litString {
		return t.refuse(c.Pos, "trunc with a unit that is no constant", "")
	}
	d, ok := t.argument(a[0], 'D', c)
	if !ok {
		return d
	}
	w := truncWords[strings.ToUpper(a[1].lit.text)]
	if w == "" {
		return ex{sql: "CAST(NULL AS DATE)", typ: simple(Date)}
	}
	return ex{sql: "CAST(date_trunc('" + w + "', " + d.sql + ") AS DATE)", typ: simple(Date)}
}

func truncTime(t *translator, c *call, a []ex) ex {
	if len(a) != 2 || a[0].lit == nil || a[0].lit.kind != litString {
		return t.refuse(c.Pos, "date_trunc with a unit that is no constant", "")
	}
	x := a[1]
	if x.typ.Kind != TimestampNTZ {
		var ok bool
		if x, ok = t.argument(x, 't', c); !ok {
			return x
		}
	}
	u := strings.ToUpper(a[0].lit.text)
	w := truncWords[u]
	switch u {
	case "DAY", "DD":
		w = "day"
	case "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND":
		w = strings.ToLower(u)
	}
	if w == "" {
		return ex{sql: "CAST(NULL AS " + x.typ.DuckDB() + ")", typ: x.typ}
	}
	f := func(s string) string { return "date_trunc('" + w + "', " + s + ")" }
	if x.typ.Kind == TimestampNTZ || t.opt.Timezone == "UTC" || w == "second" || w == "millisecond" || w == "microsecond" {
		return ex{sql: f(x.sql), typ: x.typ}
	}
	if w == "hour" || w == "minute" {
		// The instant goes back by what the clock shows beyond the unit: an hour that
		// comes twice stays itself.
		local := "CAST(" + x.sql + " AS TIMESTAMP)"
		return ex{sql: "(" + x.sql + " - to_microseconds(epoch_us(" + local + ") - epoch_us(" + f(local) + ")))", typ: x.typ}
	}
	return t.inZone(x, func(s string) string { return "CAST(" + f(s) + " AS TIMESTAMP)" }, c.Pos)
}

var extractParts = map[string]string{"YEAR": "year({0})", "Y": "year({0})", "YEARS": "year({0})", "YR": "year({0})", "YRS": "year({0})", "QUARTER": "quarter({0})", "QTR": "quarter({0})",
	"MONTH": "month({0})", "MON": "month({0})", "MONS": "month({0})", "MONTHS": "month({0})", "WEEK": "week({0})", "W": "week({0})", "WEEKS": "week({0})", "DAY": "day({0})", "D": "day({0})", "DAYS": "day({0})",
	"DAYOFWEEK": "dayofweek({0}) + 1", "DOW": "dayofweek({0}) + 1", "DAYOFWEEK_ISO": "isodow({0})", "DOW_ISO": "isodow({0})", "DOY": "dayofyear({0})", "YEAROFWEEK": "isoyear({0})",
	"HOUR": "hour({0})", "H": "hour({0})", "HOURS": "hour({0})", "HR": "hour({0})", "HRS": "hour({0})", "MINUTE": "minute({0})", "M": "minute({0})", "MIN": "minute({0})", "MINS": "minute({0})", "MINUTES": "minute({0})"}

func extract(t *translator, c *call, sc *scope) ex {
	a, ok := t.args(c, sc)
	if !ok {
		return ex{sql: "NULL"}
	}
	if len(a) != 2 || a[0].lit == nil || a[0].lit.kind != litString {
		return t.refuse(c.Pos, c.name+" of a part that is no constant", "")
	}
	p := strings.ToUpper(a[0].lit.text)
	x := a[1]
	if x.typ.Kind == DayTime || x.typ.Kind == YearMonth {
		return t.extractInterval(c, p, x)
	}
	if x.typ.Kind != Date && x.typ.Kind != TimestampNTZ {
		if x, ok = t.argument(x, 't', c); !ok {
			return x
		}
		x = ex{sql: "CAST(" + x.sql + " AS TIMESTAMP)", typ: simple(TimestampNTZ)}
	}
	switch p {
	case "SECOND", "S", "SEC", "SECONDS", "SECS":
		return ex{sql: "CAST((epoch_us(CAST(" + x.sql + " AS TIMESTAMP)) % 60000000 + 60000000) % 60000000 * 0.000001 AS DECIMAL(8,6))", typ: decimalOf(8, 6)}
	}
	s := extractParts[p]
	if s == "" {
		return t.bad(c.Pos, c.name, "there is no part %s of a date", p)
	}
	return ex{sql: "CAST(" + fill(s, []string{x.sql}) + " AS INTEGER)", typ: simple(Int)}
}

func (t *translator) extractInterval(c *call, p string, x ex) ex {
	switch p {
	case "YEAR", "YEARS", "Y", "YR", "YRS":
		if x.typ.Kind == YearMonth {
			return ex{sql: "CAST(" + x.sql + " // 12 AS INTEGER)", typ: simple(Int)}
		}
	case "MONTH", "MONTHS", "MON", "MONS":
		if x.typ.Kind == YearMonth {
			return ex{sql: "CAST(" + x.sql + " % 12 AS TINYINT)", typ: simple(Byte)}
		}
	case "DAY", "DAYS", "D":
		if x.typ.Kind == DayTime {
			return ex{sql: "CAST(" + x.sql + " // 86400000000 AS INTEGER)", typ: simple(Int)}
		}
	case "HOUR", "HOURS", "H", "HR", "HRS":
		if x.typ.Kind == DayTime {
			return ex{sql: "CAST((" + x.sql + " // 3600000000) % 24 AS TINYINT)", typ: simple(Byte)}
		}
	case "MINUTE", "MINUTES", "M", "MIN", "MINS":
		if x.typ.Kind == DayTime {
			return ex{sql: "CAST((" + x.sql + " // 60000000) % 60 AS TINYINT)", typ: simple(Byte)}
		}
	case "SECOND", "SECONDS", "S", "SEC", "SECS":
		if x.typ.Kind == DayTime {
			return ex{sql: "CAST((" + x.sql + " % 60000000) * 0.000001 AS DECIMAL(8,6))", typ: decimalOf(8, 6)}
		}
	}
	return t.refuse(c.Pos, c.name+" of "+p+" from "+x.typ.String(), "")
}

// pattern checks a constant date pattern; what it cannot promise is refused.
func (t *translator) pattern(c *call, e ex, parse bool) (string, bool) {
	if e.lit == nil || e.lit.kind != litString {
		t.refuse(c.Pos, c.name+" with a pattern that is no constant", "")
		return "", false
	}
	ps, err := parsePattern(e.lit.text)
	if err == nil && parse {
		err = ps.canParse()
	}
	if err != nil {
		t.refuse(c.Pos, fmt.Sprintf("the date pattern %q", e.lit.text), err.Error())
		return "", false
	}
	return e.lit.text, true
}

func toDate(t *translator, c *call, a []ex) ex {
	if len(a) < 1 || len(a) > 2 {
		return t.bad(c.Pos, c.name, "to_date takes a value and at most a pattern")
	}
	if len(a) == 1 || a[0].typ.datetime() {
		if !a[0].typ.is(String, Date, Timestamp, TimestampNTZ, Void) {
			return t.bad(c.Pos, c.name, "to_date takes a string, found %s", a[0].typ)
		}
		e := t.cast(a[0], simple(Date), c.Pos)
		e.lit = nil
		return e
	}
	p, ok := t.pattern(c, a[1], true)
	if !ok {
		return ex{sql: "NULL"}
	}
	x := t.implicitString(a[0], c.Pos, c.name)
	return ex{sql: "CAST(make_timestamp(spark_parse_local(" + t.typed(x) + ", " + duckString(p) + ")) AS DATE)", typ: simple(Date)}
}

func toTimestamp(k Kind) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) < 1 || len(a) > 2 {
			return t.bad(c.Pos, c.name, "%s takes a value and at most a pattern", c.name)
		}
		if len(a) == 1 || a[0].typ.datetime() {
			if !a[0].typ.is(String, Date, Timestamp, TimestampNTZ, Void) {
				return t.refuse(c.Pos, c.name+" of "+a[0].typ.String(), "")
			}
			e := t.cast(a[0], simple(k), c.Pos)
			e.lit = nil
			return e
		}
		p, ok := t.pattern(c, a[1], true)
		if !ok {
			return ex{sql: "NULL"}
		}
		x := t.implicitString(a[0], c.Pos, c.name)
		if c.name == "try_to_timestamp" {
			return ex{sql: "make_timestamptz(spark_local_instant(TRY(spark_parse_local(" + t.typed(x) + ", " + duckString(p) + "))))", typ: simple(k)}
		}
		if k == TimestampNTZ {
			return ex{sql: "make_timestamp(spark_parse_local(" + t.typed(x) + ", " + duckString(p) + "))", typ: simple(k)}
		}
		return ex{sql: "make_timestamptz(spark_local_instant(spark_parse_local(" + t.typed(x) + ", " + duckString(p) + ")))", typ: simple(k)}
	}
}

func dateFormat(t *translator, c *call, a []ex) ex {
	if len(a) != 2 {
		return t.bad(c.Pos, c.name, "date_format takes a time and a pattern")
	}
	p, ok := t.pattern(c, a[1], false)
	if !ok {
		return ex{sql: "NULL"}
	}
	x := a[0]
	if x.typ.Kind != TimestampNTZ && x.typ.Kind != Date {
		if x, ok = t.argument(x, 't', c); !ok {
			return x
		}
	}
	ps, _ := parsePattern(p)
	f, err := ps.strftime()
	if err != nil {
		return t.refuse(c.Pos, fmt.Sprintf("the date pattern %q", p), err.Error())
	}
	return ex{sql: "spark_strftime(CAST(" + t.typed(x) + " AS TIMESTAMP), " + duckString(f) + ")", typ: simple(String)}
}

func unixTimestamp(t *translator, c *call, a []ex) ex {
	if len(a) < 1 || len(a) > 2 {
		return t.refuse(c.Pos, c.name+" of now", "")
	}
	if a[0].typ.is(Date, Timestamp, TimestampNTZ) {
		x := t.cast(a[0], simple(Timestamp), c.Pos)
		return ex{sql: "CAST(floor(epoch_us(" + x.sql + ") / 1000000) AS BIGINT)", typ: simple(Long)}
	}
	p := ex{lit: &literal{kind: litString, text: "yyyy-MM-dd HH:mm:ss"}}
	if len(a) == 2 {
		p = a[1]
	}
	text, ok := t.pattern(c, p, true)
	if !ok {
		return ex{sql: "NULL"}
	}
	x := t.implicitString(a[0], c.Pos, c.name)
	return ex{sql: "CAST(floor(spark_local_instant(spark_parse_local(" + t.typed(x) + ", " + duckString(text) + ")) / 1000000) AS BIGINT)", typ: simple(Long)}
}

func timestampAdd(t *translator, c *call, a []ex) ex {
	if len(a) != 3 || a[0].lit == nil {
		return t.bad(c.Pos, c.name, "timestampadd takes a unit, a number and a time")
	}
	n, ok := t.argument(a[1], 'l', c)
	if !ok {
		return n
	}
	x := a[2]
	if x.typ.Kind != TimestampNTZ {
		if x, ok = t.argument(x, 't', c); !ok {
			return x
		}
	}
	months := map[string]int{"MONTH": 1, "QUARTER": 3, "YEAR": 12}
	days := map[string]int{"DAY": 1, "DAYOFYEAR": 1, "WEEK": 7}
	u := a[0].lit.text
	switch {
	case months[u] > 0:
		return t.addInterval("+", x, ex{sql: fmt.Sprintf("CAST(%s * %d AS INTEGER)", n.sql, months[u]), typ: intervalRange("year", "month")}, c.Pos)
	case days[u] > 0:
		return t.addInterval("+", x, ex{sql: fmt.Sprintf("(%s * %d)", n.sql, int64(days[u])*86400000000), typ: intervalRange("day", "day")}, c.Pos)
	}
	us := unitMicros[strings.ToLower(u)]
	return ex{sql: fmt.Sprintf("(%s + to_microseconds(%s * %d))", x.sql, n.sql, us), typ: x.typ}
}

func timestampDiff(t *translator, c *call, a []ex) ex {
	if len(a) != 3 || a[0].lit == nil {
		return t.bad(c.Pos, c.name, "timestampdiff takes a unit and two times")
	}
	u := strings.ToLower(a[0].lit.text)
	us := unitMicros[u]
	if us == 0 {
		return t.refuse(c.Pos, "timestampdiff in "+u+"s", "use months_between")
	}
	x, ok := t.argument(a[1], 't', c)
	y, ok2 := t.argument(a[2], 't', c)
	if !ok || !ok2 {
		return ex{sql: "NULL"}
	}
	if t.opt.Timezone != "UTC" {
		// Spark counts by the clock on the wall, hours too.
		x, y = ex{sql: "CAST(" + x.sql + " AS TIMESTAMP)"}, ex{sql: "CAST(" + y.sql + " AS TIMESTAMP)"}
	}
	return ex{sql: fmt.Sprintf("((epoch_us(%s) - epoch_us(%s)) // %d)", y.sql, x.sql, us), typ: simple(Long)}
}

func makeTimestamp(k Kind) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) < 6 || len(a) > 7 {
			return t.refuse(c.Pos, c.name+" of other than six numbers", "")
		}
		zone := ex{}
		if len(a) == 7 {
			zone = t.implicitString(a[6], c.Pos, c.name)
			a = a[:6]
		}
		e := fn(c.name, "iiiiin", "bigint", "spark_make_local({0}, {1}, {2}, {3}, {4}, CAST(CAST({5} AS DECIMAL(16,6)) * 1000000 AS BIGINT))", "").build(t, c, a)
		switch {
		case !e.typ.known():
			return e
		case k == TimestampNTZ:
			return ex{sql: "make_timestamp(" + e.sql + ")", typ: simple(k)}
		case zone.sql != "":
			return ex{sql: "make_timestamptz(spark_to_utc(" + e.sql + ", " + zone.sql + "))", typ: simple(k)}
		}
		return ex{sql: "make_timestamptz(spark_local_instant(" + e.sql + "))", typ: simple(k)}
	}
}
