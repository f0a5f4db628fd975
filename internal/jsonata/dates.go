package jsonata

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

func timeFuncs() map[string]definition {
	return map[string]definition{
		"now":        {"<s?s?:s>", 2, fnNow},
		"millis":     {"<:n>", 0, fnMillis},
		"fromMillis": {"<n-s?s?:s>", 3, pass(fnFromMillis)},
		"toMillis":   {"<s-s?:n>", 2, pass(fnToMillis)},
	}
}

func (c Call) now() (time.Time, error) {
	t, ok := c.Now()
	if !ok {
		return t, &Error{Code: "D1016", Value: Undefined, Message: "The time is not available to this expression"}
	}
	return t.UTC(), nil
}

func fnMillis(c Call, _ []any) (any, error) {
	t, err := c.now()
	return float64(t.UnixMilli()), err
}

func fnNow(c Call, args []any) (any, error) {
	t, err := c.now()
	if err != nil {
		return nil, err
	}
	return formatTime(float64(t.UnixMilli()), args[0], args[1])
}

func fnFromMillis(_ Call, args []any) (any, error) {
	return formatTime(args[0].(float64), args[1], args[2])
}

var (
	days   = []string{"", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	months = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
)

// datePart is a piece of a picture of a date: a literal, or a component such as [Y0001].
type datePart struct {
	literal   string
	component byte // 0 for a literal
	first     string
	second    byte
	minWidth  int // -1 where not given
	maxWidth  int
	named     bool
	letters   letterCase // of names
	integer   *intPicture
	n         int // digits of a year; -1 for all
}

// presentations are what the components have where the picture does not say.
var presentations = map[byte]string{
	'Y': "1", 'M': "1", 'D': "1", 'd': "1", 'F': "n", 'W': "1", 'w': "1", 'X': "1", 'x': "1", 'H': "1", 'h': "1",
	'P': "n", 'm': "01", 's': "01", 'f': "1", 'Z': "01:01", 'z': "01:01", 'C': "n", 'E': "n",
}

const isoPicture = "[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01].[f001][Z01:01t]"

// analyseDate takes a picture apart.
func analyseDate(picture string) ([]datePart, error) {
	var parts []datePart
	literal := func(s string) {
		if s != "" {
			parts = append(parts, datePart{literal: strings.ReplaceAll(s, "]]", "]")})
		}
	}
	for {
		before, rest, found := strings.Cut(picture, "[")
		literal(before)
		if !found {
			return parts, nil
		}
		if strings.HasPrefix(rest, "[") {
			parts = append(parts, datePart{literal: "["})
			picture = rest[1:]
			continue
		}
		marker, after, found := strings.Cut(rest, "]")
		if !found {
			return nil, fault("D3135")
		}
		picture = after
		p, err := analyseMarker(strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return -1
			}
			return r
		}, marker))
		if err != nil {
			return nil, err
		}
		// A number directly behind another needs a fixed width of that one.
		if p.integer != nil && p.component != 'Z' && p.component != 'z' && len(parts) > 0 {
			if prev := parts[len(parts)-1].integer; prev != nil {
				prev.width = prev.mandatory
			}
		}
		parts = append(parts, p)
	}
}

func analyseMarker(marker string) (datePart, error) {
	p := datePart{minWidth: -1, maxWidth: -1}
	if marker == "" {
		return p, faultValue("D3132", "")
	}
	p.component = marker[0]
	marker = marker[1:]
	if i := strings.LastIndexByte(marker, ','); i >= 0 {
		least, most, found := strings.Cut(marker[i+1:], "-")
		p.minWidth = width(least)
		if found {
			p.maxWidth = width(most)
		}
		marker = marker[:i]
	}
	p.first = marker
	if n := len(marker); n > 1 && strings.IndexByte("atco", marker[n-1]) >= 0 {
		p.first, p.second = marker[:n-1], marker[n-1]
	}
	if marker == "" {
		first, ok := presentations[p.component]
		if !ok {
			return p, faultValue("D3132", string(rune(p.component)))
		}
		p.first = first
	}
	var err error
	switch {
	case p.first[0] == 'n':
		p.named = true
	case p.first[0] == 'N':
		p.named, p.letters = true, caseUpper
		if strings.HasPrefix(p.first, "Nn") {
			p.letters = caseTitle
		}
	case strings.IndexByte("YMDdFWwXxHhmsf", p.component) >= 0:
		err = p.number()
	}
	if err == nil && (p.component == 'Z' || p.component == 'z') {
		p.integer, err = analyseInteger(p.first)
	}
	return p, err
}

// number analyses the picture of a component that is a number.
func (p *datePart) number() error {
	pattern := p.first
	if p.second != 0 {
		pattern += ";" + string(rune(p.second))
	}
	var err error
	if p.integer, err = analyseInteger(pattern); err != nil {
		return err
	}
	p.integer.mandatory = max(p.integer.mandatory, p.minWidth)
	if p.component == 'Y' {
		p.n = -1
		if p.maxWidth >= 0 {
			p.n = p.maxWidth
			p.integer.mandatory = p.n
		} else if w := p.integer.mandatory + p.integer.optional; w >= 2 {
			p.n = w
		}
	}
	return nil
}

func width(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1000 {
		return -1
	}
	return n
}

// timezone reads an offset as ±hhmm.
func timezone(v any) (hours, minutes int) {
	s, ok := v.(string)
	if !ok {
		return 0, 0
	}
	f := leadingNumber(s)
	if math.IsNaN(f) || math.Abs(f) > 1e6 {
		return 0, 0
	}
	return int(math.Floor(f / 100)), int(f) % 100
}

// maxMillis is the range of JavaScript's dates, either side of 1970.
const maxMillis = 8.64e15

func formatTime(millis float64, picture, zone any) (any, error) {
	text, ok := picture.(string)
	if !ok {
		text = isoPicture
	}
	parts, err := analyseDate(text)
	if err != nil {
		return nil, err
	}
	hours, minutes := timezone(zone)
	millis += float64(60*hours+minutes) * 60_000
	if math.IsNaN(millis) || math.Abs(millis) > maxMillis {
		return nil, faultValue("D1001", millis)
	}
	t := time.UnixMilli(int64(math.Trunc(millis))).UTC()
	var b strings.Builder
	for i := range parts {
		s, err := parts[i].format(t, hours, minutes)
		if err != nil {
			return nil, err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func (p *datePart) format(t time.Time, hours, minutes int) (string, error) {
	switch p.component {
	case 0:
		return p.literal, nil
	case 'Z', 'z':
		return p.formatZone(hours, minutes)
	case 'P':
		s := "am"
		if t.Hour() >= 12 {
			s = "pm"
		}
		if p.letters == caseUpper {
			s = strings.ToUpper(s)
		}
		return s, nil
	case 'C', 'E':
		return "ISO", nil
	}
	n, ok := component(t, p.component)
	if !ok {
		return "undefined", nil
	}
	if p.component == 'Y' && p.n >= 0 && !p.named {
		n = int(math.Mod(float64(n), math.Pow(10, float64(p.n))))
	}
	if !p.named {
		if p.integer == nil {
			return strconv.Itoa(n), nil
		}
		return p.integer.format(float64(n))
	}
	var s string
	switch p.component {
	case 'M', 'x':
		s = months[n-1]
	case 'F':
		s = days[n]
	default:
		return "", faultValue("D3133", string(rune(p.component)))
	}
	switch p.letters {
	case caseUpper:
		s = strings.ToUpper(s)
	case caseLower:
		s = strings.ToLower(s)
	}
	if p.maxWidth >= 0 && len(s) > p.maxWidth {
		s = s[:p.maxWidth]
	}
	return s, nil
}

func (p *datePart) formatZone(hours, minutes int) (string, error) {
	offset := hours*100 + minutes
	if p.integer == nil {
		return "", faultValue("D3132", string(rune(p.component)))
	}
	var s string
	var err error
	digits := p.integer.mandatory
	switch {
	case p.integer.regular > 0 || digits == 3 || digits == 4:
		s, err = p.integer.format(float64(offset))
	case digits == 1 || digits == 2:
		if s, err = p.integer.format(float64(hours)); minutes != 0 {
			s += ":" + twoDigits(minutes)
		}
	default:
		return "", faultValue("D3134", float64(digits))
	}
	if err != nil {
		return "", err
	}
	if offset >= 0 {
		s = "+" + s
	}
	if p.component == 'z' {
		s = "GMT" + s
	}
	if offset == 0 && p.second == 't' {
		s = "Z"
	}
	return s, nil
}

func twoDigits(n int) string {
	s := strconv.Itoa(n)
	if n >= 0 && n < 10 {
		s = "0" + s
	}
	return s
}

// component gives the value of a component of a time in UTC.
func component(t time.Time, c byte) (int, bool) {
	switch c {
	case 'Y':
		return t.Year(), true
	case 'M':
		return int(t.Month()), true
	case 'D':
		return t.Day(), true
	case 'd':
		return t.YearDay(), true
	case 'F':
		return (int(t.Weekday())+6)%7 + 1, true
	case 'W':
		_, w := t.ISOWeek()
		return w, true
	case 'w':
		_, w := monthWeek(t)
		return w, true
	case 'X':
		y, _ := t.ISOWeek()
		return y, true
	case 'x':
		m, _ := monthWeek(t)
		return m, true
	case 'H':
		return t.Hour(), true
	case 'h':
		return (t.Hour()+11)%12 + 1, true
	case 'm':
		return t.Minute(), true
	case 's':
		return t.Second(), true
	case 'f':
		return t.Nanosecond() / 1e6, true
	}
	return 0, false
}

// monthWeek gives the month that a week belongs to, which is that of its Thursday, and the
// week's number in it.
func monthWeek(t time.Time) (month, week int) {
	thursday := t.AddDate(0, 0, 3-(int(t.Weekday())+6)%7)
	return int(thursday.Month()), (thursday.Day()-1)/7 + 1
}

// iso8601 is the form of times without a picture.
var iso8601 = regexp.MustCompile(`^(\d{4})(?:-([01]\d))?(?:-([0-3]\d))?(?:T([0-2]\d):([0-5]\d):([0-5]\d))?(?:\.(\d+))?([+-][0-2]\d:?[0-5]\d|Z)?$`)

func fnToMillis(c Call, args []any) (any, error) {
	s := args[0].(string)
	if picture, ok := args[1].(string); ok {
		return parseTime(c, s, picture)
	}
	m := iso8601.FindStringSubmatch(s)
	if m == nil {
		return nil, faultValue("D3110", s)
	}
	at := func(i, none int) int {
		n, err := strconv.Atoi(m[i])
		if err != nil {
			return none
		}
		return n
	}
	t := time.Date(at(1, 0), time.Month(at(2, 1)), at(3, 1), at(4, 0), at(5, 0), at(6, 0), 0, time.UTC)
	if at(2, 1) < 1 || at(2, 1) > 12 || at(3, 1) < 1 || at(3, 1) > 31 || at(4, 0) > 24 {
		return nil, faultValue("D3110", s)
	}
	millis := float64(t.UnixMilli())
	if m[7] != "" {
		n, _ := strconv.Atoi((m[7] + "000")[:3])
		millis += float64(n)
	}
	if zone := strings.Replace(m[8], ":", "", 1); len(zone) == 5 {
		h, _ := strconv.Atoi(zone[1:3])
		n, _ := strconv.Atoi(zone[3:])
		offset := float64(h*60+n) * 60_000
		if zone[0] == '-' {
			offset = -offset
		}
		millis -= offset
	}
	return millis, nil
}
