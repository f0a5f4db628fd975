package jsonata

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// reader reads one piece of a date: the regular expression of its text, and its value.
type reader struct {
	component byte
	pattern   string
	parse     func(text string) (float64, bool, error)
}

func (p *datePart) reader() (reader, error) {
	r := reader{component: p.component}
	var err error
	switch {
	case p.component == 0:
		r.pattern = regexp.QuoteMeta(p.literal)
	case p.component == 'Z' || p.component == 'z':
		p.zoneReader(&r)
	case p.component == 'f':
		r.pattern = "[0-9]+"
		r.parse = func(text string) (float64, bool, error) {
			f, err := strconv.ParseFloat("0."+text[:min(3, len(text))], 64)
			return math.Round(f * 1000), err == nil, nil
		}
	case p.integer != nil:
		if r.pattern, err = p.integer.pattern(); err != nil {
			return r, err
		}
		r.parse = func(text string) (float64, bool, error) {
			f, err := p.integer.parse(text)
			return f, !math.IsNaN(f), err
		}
	default:
		names, err := p.names()
		if err != nil {
			return r, err
		}
		r.pattern = "[a-zA-Z]+"
		r.parse = func(text string) (float64, bool, error) {
			f, ok := names[text]
			return f, ok, nil
		}
	}
	return r, nil
}

func (p *datePart) names() (map[string]float64, error) {
	out := map[string]float64{}
	add := func(list []string, first int) {
		for i, n := range list[first:] {
			if p.maxWidth > 0 && p.maxWidth < len(n) {
				n = n[:p.maxWidth]
			}
			out[n] = float64(i + 1)
		}
	}
	switch p.component {
	case 'M', 'x':
		add(months, 0)
	case 'F':
		add(days, 1)
	case 'P':
		return map[string]float64{"am": 0, "AM": 0, "pm": 1, "PM": 1}, nil
	default:
		return nil, faultValue("D3133", string(rune(p.component)))
	}
	return out, nil
}

func (p *datePart) zoneReader(r *reader) {
	sep := ""
	if p.integer != nil && p.integer.regular > 0 {
		sep = p.integer.seps[0].char
	}
	prefix := ""
	if p.component == 'z' {
		prefix = "GMT"
	}
	r.pattern = prefix + "[-+][0-9]+"
	if sep != "" {
		r.pattern += regexp.QuoteMeta(sep) + "[0-9]+"
	}
	r.parse = func(text string) (float64, bool, error) {
		text = text[len(prefix):]
		hours, minutes := text, "0"
		switch {
		case sep != "":
			hours, minutes, _ = strings.Cut(text, sep)
		case len(text) > 3:
			hours, minutes = text[:3], text[3:]
		}
		h, m := leadingNumber(hours), leadingNumber(minutes)
		if strings.HasPrefix(hours, "-") {
			m = -m
		}
		return h*60 + m, true, nil
	}
}

// parseTime reads a time that a picture describes; undefined if it does not fit.
func parseTime(c Call, text, picture string) (any, error) {
	parts, err := analyseDate(picture)
	if err != nil {
		return nil, err
	}
	readers := make([]reader, len(parts))
	var pattern strings.Builder
	pattern.WriteString(`(?i)\A`)
	for i := range parts {
		if readers[i], err = parts[i].reader(); err != nil {
			return nil, err
		}
		pattern.WriteString("(" + readers[i].pattern + ")")
	}
	pattern.WriteString(`\z`)
	re, err := regexp.Compile(pattern.String())
	if err != nil {
		return nil, fault("D3136")
	}
	m := re.FindStringSubmatch(text)
	if m == nil {
		return Undefined, nil
	}
	have := dateValues{}
	for i, r := range readers {
		if r.parse == nil {
			continue
		}
		f, ok, err := r.parse(m[i+1])
		if err != nil {
			return nil, err
		}
		if ok {
			have[r.component] = f
		}
	}
	if len(have) == 0 {
		return Undefined, nil
	}
	return have.millis(c)
}

// dateValues are the components that a text gave.
type dateValues map[byte]float64

// uses tells whether a set of components describes what is there: something of it, and
// nothing besides. Components that are zero count as not there, as in the reference.
func (d dateValues) uses(all, set string) bool {
	some := false
	for i := range len(all) {
		if d[all[i]] == 0 {
			continue
		}
		if strings.IndexByte(set, all[i]) < 0 {
			return false
		}
		some = true
	}
	return some
}

func (d dateValues) millis(c Call) (any, error) {
	dates, times := "YMD", "Hmsf"
	const allDates, allTimes = "YXMxWwdD", "PHhmsf"
	byDay := !d.uses(allDates, "YMD") && d.uses(allDates, "Yd")
	switch {
	case byDay:
		dates = "YD"
	case d.uses(allDates, "XxwF"), d.uses(allDates, "XWF"):
		// Weeks cannot be made dates.
		return nil, fault("D3136")
	}
	half := !d.uses(allTimes, "Hmsf") && d.uses(allTimes, "Phmsf")
	if half {
		times = "Phmsf"
	}
	if err := d.fill(c, dates+times); err != nil {
		return nil, err
	}
	month, day := max(1, d['M']), d['D']
	if byDay {
		month, day = 1, d['d']
	}
	hour := d['H']
	if half {
		hour = math.Mod(d['h'], 12) + 12*d['P']
	}
	for _, f := range []float64{d['Y'], month, day, hour, d['m'], d['s'], d['f']} {
		if math.IsNaN(f) || math.Abs(f) > 1e9 {
			return nil, fault("D3136")
		}
	}
	t := time.Date(int(d['Y']), time.Month(int(month)), int(day), int(hour), int(d['m']), int(d['s']), 0, time.UTC)
	millis := float64(t.UnixMilli()) + d['f']
	if z, ok := d['Z']; ok && z != 0 {
		return millis - z*60_000, nil
	}
	return millis - d['z']*60_000, nil
}

// fill completes what is not there: larger units are those of now, smaller ones the least.
// A gap between units that are there is an error.
func (d dateValues) fill(c Call, order string) error {
	started, ended := false, false
	for i := range len(order) {
		u := order[i]
		if _, ok := d[u]; ok {
			if ended {
				return fault("D3136")
			}
			started = true
			continue
		}
		if started {
			ended = true
			d[u] = 0
			if u == 'M' || u == 'D' || u == 'd' {
				d[u] = 1
			}
			continue
		}
		now, err := c.now()
		if err != nil {
			return err
		}
		n, _ := component(now, u)
		d[u] = float64(n)
	}
	return nil
}
