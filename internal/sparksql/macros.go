package sparksql

import (
	"fmt"
	"strings"
)

// Macros gives the statements that make the macros which translations call. They need
// the natives.
func Macros() []string {
	ms := []string{
		// Texts.
		"spark_upper(x) := CASE WHEN strlen(x) = length(x) THEN upper(x) ELSE spark_upper_any(x) END",
		"spark_lower(x) := CASE WHEN strlen(x) = length(x) THEN lower(x) ELSE spark_lower_any(x) END",
		`spark_substring(x, p, n) := CASE WHEN x IS NULL OR p IS NULL OR n IS NULL THEN NULL WHEN n <= 0 THEN '' ELSE substring(x,
			greatest(CASE WHEN p > 0 THEN p::BIGINT - 1 WHEN p < 0 THEN length(x) + p::BIGINT ELSE 0 END, 0) + 1,
			greatest(CASE WHEN p > 0 THEN p::BIGINT - 1 WHEN p < 0 THEN length(x) + p::BIGINT ELSE 0 END + n::BIGINT
				- greatest(CASE WHEN p > 0 THEN p::BIGINT - 1 WHEN p < 0 THEN length(x) + p::BIGINT ELSE 0 END, 0), 0)) END`,
		"spark_trim(x, c) := CASE WHEN c = '' THEN x ELSE trim(x, c) END",
		"spark_ltrim(x, c) := CASE WHEN c = '' THEN x ELSE ltrim(x, c) END",
		"spark_rtrim(x, c) := CASE WHEN c = '' THEN x ELSE rtrim(x, c) END",
		"spark_lpad(x, n, p) := CASE WHEN n <= 0 THEN CASE WHEN x IS NULL OR p IS NULL THEN NULL ELSE '' END WHEN p = '' OR length(x) >= n THEN left(x, n) ELSE lpad(x, n, p) END",
		"spark_rpad(x, n, p) := CASE WHEN n <= 0 THEN CASE WHEN x IS NULL OR p IS NULL THEN NULL ELSE '' END WHEN p = '' OR length(x) >= n THEN left(x, n) ELSE rpad(x, n, p) END",
		"spark_replace(x, f, r) := CASE WHEN f = '' THEN x ELSE replace(x, f, r) END",
		`spark_locate(f, x, p) := CASE WHEN p IS NULL THEN 0 WHEN f IS NULL OR x IS NULL THEN NULL WHEN p < 1 THEN 0 WHEN p - 1 > length(x) THEN 0
			WHEN instr(substring(x, p), f) = 0 THEN 0 ELSE CAST(instr(substring(x, p), f) + p - 1 AS INTEGER) END`,
		"spark_ascii(x) := CASE WHEN x = '' THEN 0 ELSE CAST(unicode(x) AS INTEGER) END",
		"spark_chr(n) := CASE WHEN n < 0 THEN '' ELSE chr(CAST(n % 256 AS INTEGER)) END",
		`spark_split_part(x, d, n) := CASE WHEN n = 0 THEN error('split_part counts from 1') WHEN x IS NULL OR d IS NULL OR n IS NULL THEN NULL
			WHEN d = '' THEN CASE WHEN n IN (1, -1) THEN x ELSE '' END ELSE coalesce(list_extract(string_split(x, d), n), '') END`,
		`spark_overlay(x, r, p, n) := CASE WHEN x IS NULL OR r IS NULL OR p IS NULL OR n IS NULL THEN NULL ELSE
			spark_substring(x, 1, p - 1) || r || spark_substring(x, p + CASE WHEN n >= 0 THEN n ELSE length(r) END, 2147483647) END`,
		"spark_hex(n) := upper(to_hex(n))",
		"spark_bin(n) := to_binary(n)",
		"spark_join(l, d) := CASE WHEN l IS NULL OR d IS NULL THEN NULL ELSE coalesce(array_to_string(l, d), '') END",
		"spark_one_line_end(x) := CASE WHEN right(x, 1) IN (chr(10), chr(13), chr(133), chr(8232), chr(8233)) THEN error('a text that ends in a line break meets a pattern with $: the engines differ') ELSE x END",
		"spark_format_number(x, n) := CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN spark_format_double(CAST(x AS DOUBLE), n) ELSE spark_format_text(CAST(x AS VARCHAR), n) END",
		// Casts.
		`spark_space(x) := regexp_replace(x, '^[\x00-\x20\x7f]+|[\x00-\x20\x7f]+$', '', 'g')`,
		"spark_to_boolean(x) := CASE WHEN lower(spark_space(x)) IN ('t', 'true', 'y', 'yes', '1') THEN true WHEN lower(spark_space(x)) IN ('f', 'false', 'n', 'no', '0') THEN false END",
		`spark_whole_part(x) := CASE WHEN regexp_full_match(spark_space(x), '[+-]?[0-9]+(\.[0-9]*)?') THEN string_split(spark_space(x), '.')[1] WHEN regexp_full_match(spark_space(x), '[+-]?\.[0-9]*') THEN '0' END`,
		`spark_to_double(x) := CASE WHEN regexp_full_match(spark_space(x), '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?') THEN TRY_CAST(rtrim(spark_space(x), 'dDfF') AS DOUBLE)
			WHEN lower(spark_space(x)) IN ('inf', '+inf', 'infinity', '+infinity') THEN 'inf'::DOUBLE WHEN lower(spark_space(x)) IN ('-inf', '-infinity') THEN '-inf'::DOUBLE WHEN lower(spark_space(x)) = 'nan' THEN 'nan'::DOUBLE END`,
		`spark_to_float(x) := CASE WHEN regexp_full_match(spark_space(x), '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?') THEN TRY_CAST(rtrim(spark_space(x), 'dDfF') AS FLOAT) ELSE CAST(spark_to_double(x) AS FLOAT) END`,
		`spark_number_text(x) := CASE WHEN regexp_full_match(spark_space(x), '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?') THEN spark_space(x) END`,
		"spark_double_to_long(x) := CASE WHEN isnan(x) THEN 0 WHEN x >= 9223372036854775807::DOUBLE THEN 9223372036854775807 WHEN x <= (-9223372036854775808)::DOUBLE THEN -9223372036854775808 ELSE CAST(trunc(x) AS BIGINT) END",
		"spark_double_to_int(x) := CASE WHEN isnan(x) THEN 0 WHEN x >= 2147483647 THEN 2147483647 WHEN x <= -2147483648 THEN -2147483648 ELSE CAST(trunc(x) AS INTEGER) END",
		`spark_to_date(x) := CASE WHEN regexp_full_match(x, '[0-9]{4}-[0-9]{2}-[0-9]{2}') AND x >= '0001' THEN TRY_CAST(x AS DATE) ELSE CAST(DATE '1970-01-01' + spark_parse_day(x) AS DATE) END`,
		"spark_to_timestamp(x) := make_timestamptz(spark_parse_timestamp(x))",
		"spark_to_timestamp_ntz(x) := make_timestamp(spark_parse_timestamp_ntz(x))",
		"spark_local_to_timestamp(x) := make_timestamptz(spark_local_instant(epoch_us(x)))",
		"spark_date_string(x) := CASE WHEN year(x) BETWEEN 0 AND 9999 THEN CAST(x AS VARCHAR) WHEN x IS NOT NULL THEN error('a year outside 0 to 9999') END",
		`spark_timestamp_string(x) := CASE WHEN year(x) BETWEEN 0 AND 9999 THEN CASE WHEN microsecond(x) % 1000000 = 0 THEN strftime(x, '%Y-%m-%d %H:%M:%S') ELSE rtrim(strftime(x, '%Y-%m-%d %H:%M:%S.%f'), '0') END
			WHEN x IS NOT NULL THEN error('a year outside 0 to 9999') END`,
		"spark_strftime(x, f) := CASE WHEN year(x) BETWEEN 1000 AND 9999 THEN strftime(x, f) WHEN x IS NOT NULL THEN error('a year outside 1000 to 9999') END",
		// Numbers.
		"spark_divide_up(n, d, q) := q + CASE WHEN abs(n - q * d) >= abs(d) - abs(n - q * d) THEN CASE WHEN (n < 0) = (d < 0) THEN 1 ELSE -1 END ELSE 0 END",
		"spark_divide(n, d) := CASE WHEN d = 0 THEN NULL ELSE spark_divide_up(n, d, n // d) END",
		"spark_point(n, s) := CASE WHEN n < 0 THEN '-' ELSE '' END || CAST(abs(n) // CAST('1' || repeat('0', s) AS HUGEINT) AS VARCHAR) || '.' || lpad(CAST(abs(n) % CAST('1' || repeat('0', s) AS HUGEINT) AS VARCHAR), s, '0')",
		"spark_factorial(n) := CASE WHEN n BETWEEN 0 AND 20 THEN CAST(factorial(n) AS BIGINT) END",
		`spark_width_bucket(v, lo, hi, n) := CASE WHEN n <= 0 OR n = 9223372036854775807 OR lo = hi OR isnan(v) OR NOT isfinite(lo) OR NOT isfinite(hi) OR v IS NULL OR lo IS NULL OR hi IS NULL THEN NULL
			WHEN lo < hi THEN CASE WHEN v < lo THEN 0 WHEN v >= hi THEN n + 1 ELSE CAST(trunc(n * (v - lo) / (hi - lo)) AS BIGINT) + 1 END
			ELSE CASE WHEN v > lo THEN 0 WHEN v <= hi THEN n + 1 ELSE CAST(trunc(n * (lo - v) / (lo - hi)) AS BIGINT) + 1 END END`,
		"spark_ceil_to(x, p) := CAST(ceil(x / p) AS DECIMAL(38,0)) * p",
		"spark_floor_to(x, p) := CAST(floor(x / p) AS DECIMAL(38,0)) * p",
		// Lists.
		"spark_get(l, i) := CASE WHEN i < 0 OR i IS NULL THEN NULL ELSE list_extract(l, i + 1) END",
		"spark_element_at(l, i) := CASE WHEN i = 0 THEN error('element_at counts from 1') ELSE list_extract(l, i) END",
		"spark_array_contains(l, x) := CASE WHEN l IS NULL OR x IS NULL THEN NULL WHEN list_contains(l, x) THEN true WHEN len(list_filter(l, lambda y: y IS NULL)) > 0 THEN NULL ELSE false END",
		"spark_array_position(l, x) := CASE WHEN l IS NULL OR x IS NULL THEN NULL ELSE coalesce(CAST(list_position(l, x) AS BIGINT), 0) END",
		"spark_array_remove(l, x) := CASE WHEN l IS NULL OR x IS NULL THEN NULL ELSE list_filter(l, lambda y: y IS NULL OR y <> x) END",
		"spark_array_append(l, x) := CASE WHEN l IS NULL THEN NULL ELSE list_append(l, x) END",
		"spark_array_prepend(l, x) := CASE WHEN l IS NULL THEN NULL ELSE list_prepend(x, l) END",
		"spark_array_distinct(l) := list_filter(l, lambda x, i: len(list_filter(l[1:i - 1], lambda y: y IS NOT DISTINCT FROM x)) = 0)",
		"spark_array_intersect(a, b) := spark_array_distinct(list_filter(a, lambda z: len(list_filter(b, lambda w: w IS NOT DISTINCT FROM z)) > 0))",
		"spark_array_except(a, b) := spark_array_distinct(list_filter(a, lambda z: len(list_filter(b, lambda w: w IS NOT DISTINCT FROM z)) = 0))",
		`spark_arrays_overlap(a, b) := CASE WHEN len(list_filter(a, lambda z: z IS NOT NULL AND coalesce(list_contains(b, z), false))) > 0 THEN true
			WHEN len(a) > 0 AND len(b) > 0 AND (len(list_filter(a, lambda z: z IS NULL)) > 0 OR len(list_filter(b, lambda z: z IS NULL)) > 0) THEN NULL ELSE false END`,
		"spark_array_insert(l, p, x) := CASE WHEN l IS NULL THEN NULL WHEN p <= len(l) THEN l[1:p - 1] || [x] || l[p:] ELSE l || list_transform(range(p - 1 - len(l)), lambda i: NULL) || [x] END",
		// In Spark 3.5 place -1 is before the last element counted from the end as one more.
		"spark_array_insert_back(l, p, x) := CASE WHEN l IS NULL THEN NULL WHEN -p <= len(l) + 1 THEN l[1:len(l) + 1 + p] || [x] || l[len(l) + 2 + p:] ELSE error('array_insert before the first element') END",
		"spark_flatten(l) := CASE WHEN l IS NULL OR len(list_filter(l, lambda y: y IS NULL)) > 0 THEN NULL ELSE flatten(l) END",
		`spark_slice(l, p, n) := CASE WHEN l IS NULL OR p IS NULL OR n IS NULL THEN NULL WHEN p = 0 THEN error('slice counts from 1') WHEN n < 0 THEN error('slice takes no negative length')
			WHEN n = 0 THEN l[1:0] WHEN p > 0 THEN l[p:p::BIGINT + n - 1] WHEN -p > len(l) THEN l[1:0] ELSE l[len(l) + p + 1:len(l) + p + n] END`,
		"spark_any(l) := CASE WHEN l IS NULL THEN NULL WHEN list_contains(l, true) THEN true WHEN len(list_filter(l, lambda y: y IS NULL)) > 0 THEN NULL ELSE false END",
		"spark_all(l) := CASE WHEN l IS NULL THEN NULL WHEN list_contains(l, false) THEN false WHEN len(list_filter(l, lambda y: y IS NULL)) > 0 THEN NULL ELSE true END",
		"spark_step(a, b, s) := CASE WHEN s > 0 AND a <= b OR s < 0 AND a >= b OR s = 0 AND a = b THEN CASE WHEN s = 0 THEN 1 ELSE s END ELSE error('sequence never reaches its end') END",
		`spark_month_sequence(a, b, m) := CASE WHEN m > 0 AND a <= b OR m < 0 AND a >= b THEN list_filter(list_transform(range(0, abs(date_diff('month', a, b)) // abs(m) + 2), lambda i: CAST(a + to_months(CAST(i * m AS INTEGER)) AS DATE)),
			lambda d: CASE WHEN m > 0 THEN d <= b ELSE d >= b END) WHEN a IS NOT NULL AND b IS NOT NULL THEN error('sequence never reaches its end') END`,
		`spark_str_to_map(x, p, k) := CASE WHEN x IS NULL THEN NULL ELSE map_from_entries(list_transform(string_split(x, p), lambda e: struct_pack(k := string_split(e, k)[1],
			v := CASE WHEN contains(e, k) THEN substring(e, instr(e, k) + length(k)) END))) END`,
		// Dates.
		"spark_make_date(y, m, d) := CAST(DATE '1970-01-01' + spark_make_day(y, m, d) AS DATE)",
		"spark_add_day_time(t, us) := make_timestamptz(spark_local_instant(epoch_us(CAST(t AS TIMESTAMP)) + (us // 86400000000) * 86400000000) + us % 86400000000)",
		`spark_weekday(n) := CASE WHEN upper(n) IN ('MO', 'MON', 'MONDAY') THEN 1 WHEN upper(n) IN ('TU', 'TUE', 'TUESDAY') THEN 2 WHEN upper(n) IN ('WE', 'WED', 'WEDNESDAY') THEN 3
			WHEN upper(n) IN ('TH', 'THU', 'THURSDAY') THEN 4 WHEN upper(n) IN ('FR', 'FRI', 'FRIDAY') THEN 5 WHEN upper(n) IN ('SA', 'SAT', 'SATURDAY') THEN 6 WHEN upper(n) IN ('SU', 'SUN', 'SUNDAY') THEN 7 END`,
		"spark_next_day(d, n) := CAST(d + CAST((spark_weekday(n) - isodow(d) + 6) % 7 + 1 AS INTEGER) AS DATE)",
	}
	for s := 1; s <= 18; s++ {
		p := pow10(s)
		ms = append(ms, fmt.Sprintf("spark_point%d(n) := CAST(n // %s::HUGEINT AS DECIMAL(38,%d)) + CAST(CAST(n %% %s::HUGEINT AS DECIMAL(%d,0)) * CAST('0.%s1' AS DECIMAL(%d,%d)) AS DECIMAL(38,%d))",
			s, p, s, p, s, strings.Repeat("0", s-1), s, s, s))
	}
	out := make([]string, len(ms))
	for i, m := range ms {
		head, body, _ := strings.Cut(m, " := ")
		out[i] = "CREATE OR REPLACE MACRO " + head + " AS (" + body + ")"
	}
	return out
}
