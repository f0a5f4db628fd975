package sparksql

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Native is one of Spark's functions in Go, to be registered with DuckDB. Arguments and
// result are int32, int64, float32, float64, bool, string, []byte, []any, or nil for NULL.
type Native struct {
	Name   string
	Args   []Type
	Result Type
	// Nulls: Call is asked about NULL too; else NULL in gives NULL out.
	Nulls bool
	Call  func(args []any) (any, error)
}

// Natives lists the functions that translations call besides DuckDB's own and the
// macros. zone is the session's.
func Natives(zone *time.Location) []Native {
	out := append(textNatives(), timeNatives(zone)...)
	return append(append(out, numberNatives()...), jsonNatives()...)
}

func native(name, sig string, result Kind, call func(a []any) (any, error)) Native {
	n := Native{Name: name, Result: simple(result), Call: call}
	for i := range len(sig) {
		n.Args = append(n.Args, letterTypes[sig[i]])
	}
	return n
}

func text1(name string, f func(s string) string) Native {
	return native(name, "s", String, func(a []any) (any, error) { return f(a[0].(string)), nil })
}

// upperSpecial are the letters whose upper case has more than one character.
var upperSpecial = strings.NewReplacer("ß", "SS", "ŉ", "ʼN", "ǰ", "J̌", "ΐ", "Ϊ́", "ΰ", "Ϋ́", "և", "ԵՒ", "ẖ", "H̱", "ẗ", "T̈", "ẘ", "W̊", "ẙ", "Y̊", "ẚ", "Aʾ",
	"ﬀ", "FF", "ﬁ", "FI", "ﬂ", "FL", "ﬃ", "FFI", "ﬄ", "FFL", "ﬅ", "ST", "ﬆ", "ST")

func textNatives() []Native {
	ns := []Native{
		text1("spark_upper_any", func(s string) string { return strings.ToUpper(upperSpecial.Replace(s)) }),
		text1("spark_lower_any", lowerJava),
		text1("spark_initcap", initcap),
		text1("spark_soundex", soundex),
		text1("spark_json_quote", jsonQuote),
		text1("spark_url_encode", func(s string) string {
			// Java keeps * and writes ~ as %7E; Go does the reverse.
			return strings.NewReplacer("%2A", "*", "~", "%7E").Replace(url.QueryEscape(s))
		}),
		text1("spark_reverse", func(s string) string {
			rs := []rune(s)
			for i, j := 0, len(rs)-1; i < j; i, j = i+1, j-1 {
				rs[i], rs[j] = rs[j], rs[i]
			}
			return string(rs)
		}),
		native("spark_url_decode", "s", String, func(a []any) (any, error) {
			s, err := url.QueryUnescape(a[0].(string))
			if err != nil {
				return nil, fmt.Errorf("url_decode: %w", err)
			}
			return s, nil
		}),
		native("spark_parse_url", "sss", String, func(a []any) (any, error) { return parseURL(a) }),
		native("spark_levenshtein", "ss", Int, func(a []any) (any, error) { return int32(levenshtein(a[0].(string), a[1].(string))), nil }),
		native("spark_levenshtein_at_most", "ssi", Int, func(a []any) (any, error) {
			d := levenshtein(a[0].(string), a[1].(string))
			if d > int(a[2].(int32)) {
				return int32(-1), nil
			}
			return int32(d), nil
		}),
		native("spark_mask", "sssss", String, func(a []any) (any, error) { return mask(a) }),
		native("spark_unhex", "s", Binary, func(a []any) (any, error) {
			s := a[0].(string)
			if len(s)%2 == 1 {
				s = "0" + s
			}
			b, err := hex.DecodeString(s)
			if err != nil {
				return nil, nil //nolint:nilerr // Spark gives NULL
			}
			return b, nil
		}),
		native("spark_to_binary", "ss", Binary, toBinary),
		native("spark_luhn", "s", Boolean, func(a []any) (any, error) { return luhn(a[0].(string)), nil }),
		native("spark_crc32", "B", Long, func(a []any) (any, error) { return int64(crc32.ChecksumIEEE(a[0].([]byte))), nil }),
		native("spark_sha2", "Bi", String, func(a []any) (any, error) { return sha2(a[0].([]byte), a[1].(int32)), nil }),
		native("spark_find_in_set", "ss", Int, func(a []any) (any, error) {
			if strings.Contains(a[0].(string), ",") {
				return int32(0), nil
			}
			return int32(indexOf(strings.Split(a[1].(string), ","), a[0].(string)) + 1), nil
		}),
		native("spark_substring_index", "ssi", String, func(a []any) (any, error) {
			return substringIndex(a[0].(string), a[1].(string), int(a[2].(int32))), nil
		}),
		native("spark_like_pattern", "ss", String, func(a []any) (any, error) {
			if !validLike(a[0].(string), a[1].(string)) {
				return nil, fmt.Errorf("the pattern %q has an escape before a character that is neither %%, _ nor itself", a[0])
			}
			return a[0], nil
		}),
		native("spark_conv", "sii", String, conv),
	}
	for i := range ns {
		ns[i].Nulls = ns[i].Name == "spark_parse_url" || ns[i].Name == "spark_mask"
	}
	return ns
}

// substringIndex gives what stands before the nth delimiter, or behind it from the end.
func substringIndex(s, d string, n int) string {
	if d == "" || n == 0 {
		return ""
	}
	if n > 0 {
		i := 0
		for ; n > 0; n-- {
			k := strings.Index(s[i:], d)
			if k < 0 {
				return s
			}
			if n == 1 {
				return s[:i+k]
			}
			// The next search begins one character on, as Spark's does.
			i += k + 1
		}
	}
	end := len(s)
	for ; n < 0; n++ {
		k := strings.LastIndex(s[:end], d)
		if k < 0 {
			return s
		}
		if n == -1 {
			return s[k+len(d):]
		}
		end = min(k-1+len(d), len(s))
	}
	return s
}

func lowerJava(s string) string {
	s = strings.ReplaceAll(s, "İ", "i̇")
	if !strings.Contains(s, "Σ") {
		return strings.ToLower(s)
	}
	rs := []rune(s)
	for i, r := range rs {
		if r != 'Σ' {
			continue
		}
		// A sigma at the end of a word has a form of its own.
		before := i > 0 && unicode.IsLetter(rs[i-1])
		after := i+1 < len(rs) && unicode.IsLetter(rs[i+1])
		if before && !after {
			rs[i] = 'ς'
		}
	}
	return strings.ToLower(string(rs))
}

func initcap(s string) string {
	rs := []rune(lowerJava(s))
	start := true
	for i, r := range rs {
		if start {
			rs[i] = unicode.ToTitle(r)
		}
		start = r == ' '
	}
	return string(rs)
}

func soundex(s string) string {
	if s == "" {
		return s
	}
	b := s[0]
	if b >= 'a' && b <= 'z' {
		b -= 32
	}
	if b < 'A' || b > 'Z' {
		return s
	}
	const codes = "01230127022455012623017202" // 7: H and W are passed over
	out := []byte{b, '0', '0', '0'}
	n, last := 1, codes[b-'A']
	for i := 1; i < len(s) && n < 4; i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 32
		}
		if c < 'A' || c > 'Z' {
			last = '0'
			continue
		}
		code := codes[c-'A']
		if code == '7' {
			continue
		}
		if code != '0' && code != last {
			out[n] = code
			n++
		}
		last = code
	}
	return string(out)
}

func parseURL(a []any) (any, error) {
	if a[0] == nil || a[1] == nil {
		return nil, nil
	}
	raw, part := a[0].(string), a[1].(string)
	if strings.ContainsAny(raw, " <>\"{}|\\^`") {
		return nil, errors.New("parse_url: the URL is invalid")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("parse_url: %w", err)
	}
	some := func(s string, ok bool) (any, error) {
		if !ok {
			return nil, nil
		}
		return s, nil
	}
	if a[2] != nil {
		if part != "QUERY" {
			return nil, nil
		}
		for _, kv := range strings.Split(u.RawQuery, "&") {
			if k, v, ok := strings.Cut(kv, "="); ok && k == a[2].(string) {
				return v, nil
			}
		}
		return nil, nil
	}
	switch part {
	case "HOST":
		return some(u.Hostname(), u.Host != "")
	case "PATH":
		return u.EscapedPath(), nil
	case "QUERY":
		return some(u.RawQuery, strings.Contains(raw, "?"))
	case "REF":
		return some(u.EscapedFragment(), strings.Contains(raw, "#"))
	case "PROTOCOL":
		return some(u.Scheme, u.Scheme != "")
	case "FILE":
		if u.RawQuery != "" {
			return u.EscapedPath() + "?" + u.RawQuery, nil
		}
		return u.EscapedPath(), nil
	case "AUTHORITY":
		if u.User != nil {
			return u.User.String() + "@" + u.Host, nil
		}
		return some(u.Host, u.Host != "")
	case "USERINFO":
		if u.User == nil {
			return nil, nil
		}
		return u.User.String(), nil
	}
	return nil, nil
}

func levenshtein(x, y string) int {
	a, b := []rune(x), []rune(y)
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range a {
		diag := prev[0]
		prev[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, prev[j+1] = prev[j+1], min(diag+cost, prev[j]+1, prev[j+1]+1)
		}
	}
	return prev[len(b)]
}

func mask(a []any) (any, error) {
	if a[0] == nil {
		return nil, nil
	}
	var with [4]string
	for i := range 4 {
		if a[i+1] != nil {
			with[i] = a[i+1].(string)
			if len([]rune(with[i])) != 1 {
				return nil, errors.New("mask: a replacement is one character")
			}
		}
	}
	var b strings.Builder
	for _, r := range a[0].(string) {
		k := 3
		switch {
		case unicode.IsUpper(r):
			k = 0
		case unicode.IsLower(r):
			k = 1
		case unicode.IsDigit(r):
			k = 2
		}
		if with[k] == "" {
			b.WriteRune(r)
		} else {
			b.WriteString(with[k])
		}
	}
	return b.String(), nil
}

func toBinary(a []any) (any, error) {
	s := a[0].(string)
	switch strings.ToLower(a[1].(string)) {
	case "utf-8", "utf8":
		return []byte(s), nil
	case "hex":
		if len(s)%2 == 1 {
			s = "0" + s
		}
		return hex.DecodeString(s)
	case "base64":
		return base64.StdEncoding.DecodeString(s)
	}
	return nil, fmt.Errorf("to_binary: there is no format %q", a[1])
}

func luhn(s string) bool {
	sum := 0
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[len(s)-1-i]
		if !isDigit(c) {
			return false
		}
		d := int(c - '0')
		if i%2 == 1 {
			d *= 2
			if d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func sha2(b []byte, bits int32) any {
	switch bits {
	case 224:
		h := sha256.Sum224(b)
		return hex.EncodeToString(h[:])
	case 0, 256:
		h := sha256.Sum256(b)
		return hex.EncodeToString(h[:])
	case 384:
		h := sha512.Sum384(b)
		return hex.EncodeToString(h[:])
	case 512:
		h := sha512.Sum512(b)
		return hex.EncodeToString(h[:])
	}
	return nil
}

// conv changes the base of a number: unsigned 64 bits, saturating, as Hive has it.
func conv(a []any) (any, error) {
	s, from, to := strings.Trim(a[0].(string), " "), int64(a[1].(int32)), int64(a[2].(int32))
	absTo := to
	if to < 0 {
		absTo = -to
	}
	if from < 2 || from > 36 || absTo < 2 || absTo > 36 || s == "" {
		return nil, nil
	}
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	n := new(big.Int)
	for _, c := range strings.ToLower(s) {
		d := strings.IndexRune("0123456789abcdefghijklmnopqrstuvwxyz", c)
		if d < 0 || int64(d) >= from {
			break
		}
		n.Mul(n, big.NewInt(from)).Add(n, big.NewInt(int64(d)))
	}
	limit := new(big.Int).Lsh(big.NewInt(1), 64)
	if n.Cmp(limit) >= 0 {
		n.Sub(limit, big.NewInt(1))
	}
	if neg && to > 0 {
		if n.BitLen() > 63 {
			n.Sub(limit, big.NewInt(1))
		} else if n.Sign() > 0 {
			n.Sub(limit, n)
		}
	}
	sign := ""
	if to < 0 {
		if n.BitLen() > 63 {
			n.Sub(limit, n)
			neg = true
		}
		if neg && n.Sign() != 0 {
			sign = "-"
		}
	}
	return sign + strings.ToUpper(n.Text(int(absTo))), nil
}

// jsonQuote writes a JSON string as Jackson does.
func jsonQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func timeNatives(zone *time.Location) []Native {
	if zone == nil {
		zone = time.UTC
	}
	return []Native{
		native("spark_parse_timestamp", "s", Long, func(a []any) (any, error) {
			v, ok := parseSparkTimestamp(a[0].(string))
			if !ok {
				return nil, nil
			}
			loc := zone
			if v.zone != "" {
				l, err := loadZone(v.zone)
				if err != nil {
					return nil, nil //nolint:nilerr // Spark gives NULL
				}
				loc = l
			}
			return localInstant(v.local(), loc), nil
		}),
		native("spark_parse_timestamp_ntz", "s", Long, func(a []any) (any, error) {
			v, ok := parseSparkTimestamp(a[0].(string))
			if !ok {
				return nil, nil
			}
			return v.local(), nil
		}),
		native("spark_parse_day", "s", Int, func(a []any) (any, error) {
			s := a[0].(string)
			d, ok := parseSparkDate(s)
			if !ok {
				return nil, nil
			}
			if strings.HasPrefix(trimSpark(s), "0000") {
				return nil, errors.New("a date of the year 0")
			}
			return int32(d), nil
		}),
		native("spark_local_instant", "l", Long, func(a []any) (any, error) { return localInstant(a[0].(int64), zone), nil }),
		native("spark_parse_local", "ss", Long, patternReader()),
		native("spark_from_utc", "ls", Long, func(a []any) (any, error) {
			loc, err := loadZone(a[1].(string))
			if err != nil {
				return nil, err
			}
			return instantLocal(a[0].(int64), loc), nil
		}),
		native("spark_to_utc", "ls", Long, func(a []any) (any, error) {
			loc, err := loadZone(a[1].(string))
			if err != nil {
				return nil, err
			}
			return localInstant(a[0].(int64), loc), nil
		}),
		native("spark_make_local", "iiiiil", Long, func(a []any) (any, error) {
			n := func(i int) int { return int(a[i].(int32)) }
			d, ok := daysOf(n(0), n(1), n(2))
			us := a[5].(int64)
			if !ok || n(3) < 0 || n(3) > 23 || n(4) < 0 || n(4) > 59 || us < 0 || us > 60e6 || n(0) < 1 || n(0) > 9999 {
				return nil, nil
			}
			return d*86400e6 + int64(n(3)*3600+n(4)*60)*1e6 + us, nil
		}),
		native("spark_make_day", "iii", Int, func(a []any) (any, error) {
			if a[0].(int32) < 1 || a[0].(int32) > 9999 {
				return nil, nil
			}
			d, ok := daysOf(int(a[0].(int32)), int(a[1].(int32)), int(a[2].(int32)))
			if !ok {
				return nil, nil
			}
			return int32(d), nil
		}),
		native("spark_months_between", "llb", Double, func(a []any) (any, error) { return monthsBetween(a[0].(int64), a[1].(int64), a[2].(bool)), nil }),
	}
}

func patternReader() func(a []any) (any, error) {
	return func(a []any) (any, error) {
		p, err := parsePattern(a[1].(string))
		if err != nil {
			return nil, err
		}
		us, ok, err := p.parse(a[0].(string))
		if err != nil || !ok {
			return nil, err
		}
		return us, nil
	}
}

func monthsBetween(x, y int64, roundOff bool) float64 {
	split := func(us int64) (months, day, last int, rest float64) {
		t := time.UnixMicro(us).UTC()
		last = time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		sec := floorDiv(us-floorDiv(us, 86400e6)*86400e6, 1e6)
		return t.Year()*12 + int(t.Month()), t.Day(), last, float64(sec)
	}
	m1, d1, l1, s1 := split(x)
	m2, d2, l2, s2 := split(y)
	if d1 == d2 || d1 == l1 && d2 == l2 {
		return float64(m1 - m2)
	}
	diff := float64(m1-m2) + (float64(d1-d2)*86400+s1-s2)/(31*86400)
	if roundOff {
		return roundHalfUp(diff, 8)
	}
	return diff
}

func numberNatives() []Native {
	d1 := func(name string, f func(float64) float64) Native {
		return native(name, "d", Double, func(a []any) (any, error) { return f(a[0].(float64)), nil })
	}
	ns := []Native{
		native("spark_double_string", "d", String, func(a []any) (any, error) { return javaDouble(a[0].(float64), 64), nil }),
		{Name: "spark_float_string", Args: []Type{simple(Float)}, Result: simple(String), Call: func(a []any) (any, error) { return javaDouble(float64(a[0].(float32)), 32), nil }},
		native("spark_decimal_string", "s", String, func(a []any) (any, error) { return javaDecimal(a[0].(string)), nil }),
		native("spark_round", "di", Double, func(a []any) (any, error) { return roundHalfUp(a[0].(float64), int(a[1].(int32))), nil }),
		native("spark_bround", "di", Double, func(a []any) (any, error) { return roundHalfEven(a[0].(float64), int(a[1].(int32))), nil }),
		native("spark_bround_text", "si", String, func(a []any) (any, error) {
			r, ok := new(big.Rat).SetString(a[0].(string))
			if !ok {
				return nil, fmt.Errorf("bround: %q", a[0])
			}
			return roundRat(r, int(a[1].(int32)), true).FloatString(min(max(0, int(a[1].(int32))), 400)), nil
		}),
		native("spark_pow", "dd", Double, func(a []any) (any, error) { return javaPow(a[0].(float64), a[1].(float64)), nil }),
		native("spark_hypot", "dd", Double, func(a []any) (any, error) { return math.Hypot(a[0].(float64), a[1].(float64)), nil }),
		native("spark_shift", "lisi", Long, shiftBits),
		native("spark_format_double", "di", String, func(a []any) (any, error) {
			return formatNumber(strconv.FormatFloat(a[0].(float64), 'f', -1, 64), a[0].(float64), int(a[1].(int32))), nil
		}),
		native("spark_format_text", "si", String, func(a []any) (any, error) { return formatNumber(a[0].(string), 0, int(a[1].(int32))), nil }),
		native("spark_murmur_int", "il", Long, func(a []any) (any, error) {
			return int64(murmurInt(uint32(a[0].(int32)), uint32(a[1].(int64)))), nil
		}),
		native("spark_murmur_long", "ll", Long, func(a []any) (any, error) {
			return int64(murmurLong(uint64(a[0].(int64)), uint32(a[1].(int64)))), nil
		}),
		native("spark_murmur_double", "dl", Long, func(a []any) (any, error) {
			return int64(murmurLong(doubleBits(a[0].(float64)), uint32(a[1].(int64)))), nil
		}),
		native("spark_murmur_text", "sl", Long, func(a []any) (any, error) { return int64(murmurBytes(a[0].(string), uint32(a[1].(int64)))), nil }),
		native("spark_xxhash_int", "il", Long, func(a []any) (any, error) {
			return int64(xxInt(uint32(a[0].(int32)), uint64(a[1].(int64)))), nil
		}),
		native("spark_xxhash_long", "ll", Long, func(a []any) (any, error) {
			return int64(xxLong(uint64(a[0].(int64)), uint64(a[1].(int64)))), nil
		}),
		native("spark_xxhash_double", "dl", Long, func(a []any) (any, error) {
			return int64(xxLong(doubleBits(a[0].(float64)), uint64(a[1].(int64)))), nil
		}),
		native("spark_xxhash_text", "sl", Long, func(a []any) (any, error) { return int64(xxBytes(a[0].(string), uint64(a[1].(int64)))), nil }),
		d1("spark_expm1", math.Expm1), d1("spark_log1p", math.Log1p), d1("spark_sin", math.Sin), d1("spark_cos", math.Cos), d1("spark_tan", math.Tan),
		d1("spark_asin", math.Asin), d1("spark_acos", math.Acos), d1("spark_atan", math.Atan), d1("spark_sinh", math.Sinh), d1("spark_cosh", math.Cosh),
		d1("spark_tanh", math.Tanh), d1("spark_asinh", math.Asinh), d1("spark_acosh", math.Acosh), d1("spark_atanh", math.Atanh),
	}
	return ns
}

func doubleBits(f float64) uint64 {
	if f == 0 {
		f = 0
	}
	return math.Float64bits(f)
}

func javaPow(x, y float64) float64 {
	if (x == 1 || x == -1) && (math.IsNaN(y) || math.IsInf(y, 0)) {
		return math.NaN()
	}
	return math.Pow(x, y)
}

func shiftBits(a []any) (any, error) {
	v, n, op, bits := a[0].(int64), uint(a[1].(int32)), a[2].(string), a[3].(int32)
	if bits == 32 {
		n &= 31
		switch op {
		case "shiftleft":
			return int64(int32(v) << n), nil
		case "shiftright":
			return int64(int32(v) >> n), nil
		}
		return int64(int32(uint32(v) >> n)), nil
	}
	n &= 63
	switch op {
	case "shiftleft":
		return v << n, nil
	case "shiftright":
		return v >> n, nil
	}
	return int64(uint64(v) >> n), nil
}

// javaDouble prints as Double.toString does: the shortest digits, an exponent below
// 1e-3 and from 1e7 on.
func javaDouble(f float64, bits int) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0:
		if math.Signbit(f) {
			return "-0.0"
		}
		return "0.0"
	}
	if a := math.Abs(f); a >= 1e-3 && a < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, bits)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	s := strconv.FormatFloat(f, 'E', -1, bits)
	m, e, _ := strings.Cut(s, "E")
	if !strings.Contains(m, ".") {
		m += ".0"
	}
	n, _ := strconv.Atoi(e)
	return m + "E" + strconv.Itoa(n)
}

// javaDecimal prints as BigDecimal.toString does, which takes an exponent for small values.
func javaDecimal(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, frac, _ := strings.Cut(s, ".")
	digits := strings.TrimLeft(whole+frac, "0")
	if digits == "" {
		digits, sign = "0", ""
	}
	exp := len(digits) - 1 - len(frac)
	if exp >= -6 {
		return sign + s
	}
	out := sign + digits[:1]
	if len(digits) > 1 {
		out += "." + digits[1:]
	}
	return out + "E" + strconv.Itoa(exp)
}

func roundRat(r *big.Rat, n int, even bool) *big.Rat {
	// Beyond the range of a double's digits nothing is rounded, or all of it.
	n = min(max(n, -400), 400)
	p := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(n, -n))), nil))
	x := new(big.Rat).Set(r)
	if n >= 0 {
		x.Mul(x, p)
	} else {
		x.Quo(x, p)
	}
	q, m := new(big.Int).QuoRem(x.Num(), x.Denom(), new(big.Int))
	twice := new(big.Int).Abs(new(big.Int).Lsh(m, 1))
	if c := twice.Cmp(x.Denom()); c > 0 || c == 0 && (!even || q.Bit(0) == 1) {
		q.Add(q, big.NewInt(int64(x.Sign())))
	}
	out := new(big.Rat).SetInt(q)
	if n >= 0 {
		return out.Quo(out, p)
	}
	return out.Mul(out, p)
}

func roundFloat(f float64, n int, even bool) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return f
	}
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	if !ok {
		return f
	}
	out, _ := roundRat(r, n, even).Float64()
	return out
}

// roundHalfUp rounds the shortest decimal text of a double, as Spark does.
func roundHalfUp(f float64, n int) float64 { return roundFloat(f, n, false) }

func roundHalfEven(f float64, n int) float64 { return roundFloat(f, n, true) }

// formatNumber writes #,###.00 with rounding to even, as java.text.DecimalFormat.
func formatNumber(s string, f float64, places int) any {
	if places < 0 || places > 400 {
		return nil
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil
	}
	out := roundRat(r, places, true).FloatString(places)
	sign := ""
	if strings.HasPrefix(out, "-") {
		sign, out = "-", out[1:]
	} else if r.Sign() < 0 {
		sign = "-"
	}
	whole, frac, has := strings.Cut(out, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if has {
		whole += "." + frac
	}
	return sign + whole
}
