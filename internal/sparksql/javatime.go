package sparksql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sparkTime is a text read as Spark reads a timestamp.
type sparkTime struct {
	days   int64 // since 1970
	micros int64 // of the day
	zone   string
}

func (s sparkTime) local() int64 { return s.days*86400e6 + s.micros }

// instant gives the microseconds since 1970 in UTC; zone is the session's.
func (s sparkTime) instant(zone string) (int64, error) {
	z := s.zone
	if z == "" {
		z = zone
	}
	loc, err := loadZone(z)
	if err != nil {
		return 0, err
	}
	return localInstant(s.local(), loc), nil
}

// loadZone reads a zone as Java does: an offset, a name, or a name with an offset.
func loadZone(z string) (*time.Location, error) {
	z = strings.TrimSpace(z)
	if long, ok := shortZones[z]; ok {
		z = long
	}
	switch z {
	case "Z", "UTC", "GMT", "UT":
		return time.UTC, nil
	}
	s := z
	for _, p := range []string{"UTC", "GMT", "UT"} {
		if rest, ok := strings.CutPrefix(z, p); ok && rest != "" && (rest[0] == '+' || rest[0] == '-') {
			s = rest
			break
		}
	}
	if s != "" && (s[0] == '+' || s[0] == '-') {
		if off, ok := parseOffset(s); ok {
			return time.FixedZone(z, off), nil
		}
		return nil, fmt.Errorf("%q is no time zone", z)
	}
	if z == "" || z == "Local" || strings.ContainsAny(z, `\.`) {
		return nil, fmt.Errorf("%q is no time zone", z)
	}
	loc, err := time.LoadLocation(z)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone", z)
	}
	return loc, nil
}

// shortZones are the three-letter zones that Java takes (ZoneId.SHORT_IDS).
var shortZones = map[string]string{"ACT": "Australia/Darwin", "AET": "Australia/Sydney", "AGT": "America/Argentina/Buenos_Aires", "ART": "Africa/Cairo", "AST": "America/Anchorage",
	"BET": "America/Sao_Paulo", "BST": "Asia/Dhaka", "CAT": "Africa/Harare", "CNT": "America/St_Johns", "CST": "America/Chicago", "CTT": "Asia/Shanghai", "EAT": "Africa/Addis_Ababa",
	"ECT": "Europe/Paris", "IET": "America/Indiana/Indianapolis", "IST": "Asia/Kolkata", "JST": "Asia/Tokyo", "MIT": "Pacific/Apia", "NET": "Asia/Yerevan", "NST": "Pacific/Auckland",
	"PLT": "Asia/Karachi", "PNT": "America/Phoenix", "PRT": "America/Puerto_Rico", "PST": "America/Los_Angeles", "SST": "Pacific/Guadalcanal", "VST": "Asia/Ho_Chi_Minh",
	"EST": "-05:00", "MST": "-07:00", "HST": "-10:00"}

// parseOffset reads +h, +hh, +hh:mm, +h:m, +hhmm, with seconds too.
func parseOffset(s string) (int, bool) {
	sign := 1
	if s[0] == '-' {
		sign = -1
	}
	parts := strings.Split(s[1:], ":")
	if len(parts) == 1 && (len(parts[0]) == 4 || len(parts[0]) == 6) {
		p := parts[0]
		parts = nil
		for ; len(p) > 0; p = p[2:] {
			parts = append(parts, p[:2])
		}
	}
	if len(parts) > 3 {
		return 0, false
	}
	off := 0
	for i, p := range parts {
		if p == "" || len(p) > 2 || strings.Trim(p, "0123456789") != "" {
			return 0, false
		}
		n, _ := strconv.Atoi(p)
		if i == 0 && n > 18 || i > 0 && n > 59 {
			return 0, false
		}
		off += n * []int{3600, 60, 1}[i]
	}
	return sign * off, off <= 18*3600
}

// localInstant finds the instant of a local time as java.time does: in a gap later by
// the gap, in an overlap the earlier one.
func localInstant(local int64, loc *time.Location) int64 {
	if loc == time.UTC {
		return local
	}
	sec := floorDiv(local, 1e6)
	offset := func(s int64) int64 {
		_, o := time.Unix(s, 0).In(loc).Zone()
		return int64(o)
	}
	before, after := offset(sec-86400), offset(sec+86400)
	out := sec - before
	if before != after && offset(sec-before) != before {
		if offset(sec-after) == after {
			out = sec - after
		}
	} else if before == after && offset(sec-before) != before {
		// Two changes within two days: search the offsets around.
		for _, o := range []int64{offset(sec - before - 3600), offset(sec - before + 3600)} {
			if offset(sec-o) == o {
				out = sec - o
				break
			}
		}
	}
	return out*1e6 + (local - sec*1e6)
}

// instantLocal gives the local time of an instant.
func instantLocal(us int64, loc *time.Location) int64 {
	_, o := time.Unix(floorDiv(us, 1e6), 0).In(loc).Zone()
	return us + int64(o)*1e6
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// daysOf counts the days from 1970 to a date of the calendar that Spark uses, or says
// that there is no such date.
func daysOf(y, m, d int) (int64, bool) {
	if m < 1 || m > 12 || d < 1 || d > 31 {
		return 0, false
	}
	t := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	if int(t.Month()) != m || t.Day() != d {
		return 0, false
	}
	return floorDiv(t.Unix(), 86400), true
}

func formatDate(days int64) string {
	t := time.Unix(days*86400, 0).UTC()
	return fmt.Sprintf("%04d-%02d-%02d", t.Year(), t.Month(), t.Day())
}

type scanner struct {
	s string
	i int
}

func (s *scanner) digits(lo, hi int) (int, bool) {
	start := s.i
	for s.i < len(s.s) && s.i-start < hi && isDigit(s.s[s.i]) {
		s.i++
	}
	if s.i-start < lo || s.i < len(s.s) && isDigit(s.s[s.i]) {
		return 0, false
	}
	n, err := strconv.Atoi(s.s[start:s.i])
	return n, err == nil
}

func (s *scanner) take(c byte) bool {
	if s.i < len(s.s) && s.s[s.i] == c {
		s.i++
		return true
	}
	return false
}

// trimSpark cuts what UTF8String.trimAll cuts: white space and control characters.
func trimSpark(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// parseYMD reads yyyy[-m[m][-d[d]]].
func (s *scanner) parseYMD() (int64, bool) {
	neg := s.take('-')
	if !neg {
		s.take('+')
	}
	y, ok := s.digits(4, 7)
	m, d := 1, 1
	if ok && s.take('-') {
		m, ok = s.digits(1, 2)
		if ok && s.take('-') {
			d, ok = s.digits(1, 2)
		}
	}
	if !ok || neg || y > 9999 {
		return 0, false
	}
	return daysOf(y, m, d)
}

// parseSparkDate reads a text as CAST(… AS DATE) does: days since 1970.
func parseSparkDate(text string) (int64, bool) {
	s := &scanner{s: trimSpark(text)}
	d, ok := s.parseYMD()
	if !ok {
		return 0, false
	}
	if s.i < len(s.s) {
		c := s.s[s.i]
		// Only a whole date may be followed by a time.
		if c != ' ' && c != 'T' || strings.Count(s.s[:s.i], "-") != 2 {
			return 0, false
		}
	}
	return d, true
}

// parseSparkTimestamp reads a text as CAST(… AS TIMESTAMP) does.
func parseSparkTimestamp(text string) (sparkTime, bool) {
	s := &scanner{s: trimSpark(text)}
	var out sparkTime
	d, ok := s.parseYMD()
	if !ok {
		return out, false
	}
	out.days = d
	if s.i == len(s.s) {
		return out, true
	}
	if strings.Count(s.s[:s.i], "-") != 2 || !s.take(' ') && !s.take('T') {
		return out, false
	}
	if s.i == len(s.s) {
		return out, false
	}
	h, ok1 := s.digits(1, 2)
	if !ok1 {
		return out, false
	}
	mi, sec, us := 0, 0, 0
	if s.take(':') {
		if mi, ok = s.digits(1, 2); !ok {
			return out, false
		}
		if s.take(':') {
			if sec, ok = s.digits(1, 2); !ok {
				return out, false
			}
			if s.take('.') {
				start := s.i
				for s.i < len(s.s) && isDigit(s.s[s.i]) {
					s.i++
				}
				frac := (s.s[start:s.i] + "000000")[:6]
				us, _ = strconv.Atoi(frac)
			}
		}
	}
	if h > 23 || mi > 59 || sec > 59 {
		return out, false
	}
	out.micros = (int64(h)*3600+int64(mi)*60+int64(sec))*1e6 + int64(us)
	if s.i < len(s.s) {
		out.zone = strings.TrimSpace(s.s[s.i:])
		if _, err := loadZone(out.zone); err != nil {
			return out, false
		}
	}
	return out, true
}

// pattern is one of Java's date patterns.
type patternPiece struct {
	letter byte // 0: a literal
	n      int
	text   string
}

type datePattern []patternPiece

// parsePattern cuts a pattern into pieces; letters that are not translated are errors.
func parsePattern(p string) (datePattern, error) {
	var out datePattern
	lit := func(s string) { out = append(out, patternPiece{text: s}) }
	for i := 0; i < len(p); {
		c := p[i]
		switch {
		case c == '\'':
			j := i + 1
			var b strings.Builder
			for {
				if j >= len(p) {
					return nil, errors.New("a quote is not closed")
				}
				if p[j] == '\'' {
					if j+1 < len(p) && p[j+1] == '\'' {
						b.WriteByte('\'')
						j += 2
						continue
					}
					break
				}
				b.WriteByte(p[j])
				j++
			}
			if j == i+1 {
				lit("'")
			} else {
				lit(b.String())
			}
			i = j + 1
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			j := i
			for j < len(p) && p[j] == c {
				j++
			}
			if strings.IndexByte("yMdHhmsSaED", c) < 0 {
				return nil, fmt.Errorf("the letter %c is not translated", c)
			}
			out = append(out, patternPiece{letter: c, n: j - i})
			i = j
		case strings.IndexByte("[]#{}", c) >= 0:
			return nil, fmt.Errorf("%c is not translated", c)
		default:
			lit(string(c))
			i++
		}
	}
	if len(out) == 0 {
		return nil, errors.New("it is empty")
	}
	return out, nil
}

// canParse says whether texts are read by the pattern as Java reads them.
func (ps datePattern) canParse() error {
	for i, p := range ps {
		switch {
		case p.letter == 'y' && p.n != 4, p.letter != 0 && strings.IndexByte("MdHms", p.letter) >= 0 && p.n > 2, p.letter != 0 && strings.IndexByte("EDha", p.letter) >= 0:
			return fmt.Errorf("%s is not read, only written", strings.Repeat(string(p.letter), p.n))
		case p.letter != 0 && i+1 < len(ps) && ps[i+1].letter != 0 && p.n == 1:
			return errors.New("fields of no fixed width must be parted by something")
		}
	}
	return nil
}

var strftimeWords = map[string]string{"y": "%-Y", "yy": "%y", "yyy": "%Y", "yyyy": "%Y", "M": "%-m", "MM": "%m", "MMM": "%b", "MMMM": "%B", "d": "%-d", "dd": "%d", "H": "%-H", "HH": "%H", "h": "%-I", "hh": "%I",
	"m": "%-M", "mm": "%M", "s": "%-S", "ss": "%S", "SSS": "%g", "SSSSSS": "%f", "a": "%p", "E": "%a", "EE": "%a", "EEE": "%a", "EEEE": "%A", "D": "%-j", "DDD": "%j"}

func (ps datePattern) strftime() (string, error) {
	var b strings.Builder
	for _, p := range ps {
		if p.letter == 0 {
			b.WriteString(strings.ReplaceAll(p.text, "%", "%%"))
			continue
		}
		w, ok := strftimeWords[strings.Repeat(string(p.letter), p.n)]
		if !ok {
			return "", fmt.Errorf("%s is not translated", strings.Repeat(string(p.letter), p.n))
		}
		if w == "%-Y" {
			w = "%Y"
		}
		b.WriteString(w)
	}
	return b.String(), nil
}

// errUpgrade is Spark's own answer to texts that its old parser read and the new one does not.
var errUpgrade = errors.New("the text does not fit the date pattern, though Spark 2 would have read it: Spark 3 stops here too (SparkUpgradeException)")

// parse reads a text: local microseconds since 1970; false when it does not fit.
func (ps datePattern) parse(text string) (int64, bool, error) {
	us, ok := ps.read(text, false)
	if ok {
		return us, true, nil
	}
	if _, old := ps.read(text, true); old {
		return 0, false, errUpgrade
	}
	return 0, false, nil
}

// read reads strictly, or as the old parser did: any width, any value, any tail.
func (ps datePattern) read(text string, lenient bool) (int64, bool) {
	v := map[byte]int{'y': 1970, 'M': 1, 'd': 1}
	i := 0
	frac := 0
	for k, p := range ps {
		if p.letter == 0 {
			if !strings.HasPrefix(text[i:], p.text) {
				return 0, false
			}
			i += len(p.text)
			continue
		}
		adjacent := k+1 < len(ps) && ps[k+1].letter != 0
		limit := p.n
		if p.n == 1 {
			limit = 2
			if p.letter == 'y' {
				limit = 4
			}
		}
		if lenient {
			for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
				i++
			}
			if !adjacent {
				limit = 18
			}
		}
		start := i
		if lenient && i < len(text) && text[i] == '-' && !adjacent {
			i++
		}
		first := i
		for i < len(text) && i-first < limit && isDigit(text[i]) {
			i++
		}
		n := i - first
		if n == 0 || !lenient && (p.n > 1 && n != p.n) {
			return 0, false
		}
		x, err := strconv.Atoi(text[start:i])
		if err != nil {
			return 0, false
		}
		if p.letter == 'S' {
			frac, _ = strconv.Atoi((text[first:i] + "000000000")[:6])
			continue
		}
		v[p.letter] = x
	}
	if lenient {
		return 0, true
	}
	if i != len(text) {
		return 0, false
	}
	d, ok := daysOf(v['y'], v['M'], v['d'])
	if !ok || v['H'] > 23 || v['m'] > 59 || v['s'] > 59 || v['y'] == 0 {
		return 0, false
	}
	return d*86400e6 + int64(v['H']*3600+v['m']*60+v['s'])*1e6 + int64(frac), true
}
