package sparksql

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

var unitMicros = map[string]int64{"week": 7 * 86400e6, "day": 86400e6, "hour": 3600e6, "minute": 60e6, "second": 1e6, "millisecond": 1000, "microsecond": 1}

// interval translates an interval constant. One of months only, or of days and smaller
// units only, has its own type; a mixed one is Spark's old calendar interval.
func (t *translator) interval(x *interval, sc *scope) ex {
	if x.whole {
		return t.intervalText(x)
	}
	if x.to != "" {
		return t.intervalRange(x)
	}
	var months, micros int64
	units := []string{}
	for _, p := range x.parts {
		l, ok := p.value.(*literal)
		if !ok {
			return t.intervalOf(x, sc)
		}
		text := strings.TrimSpace(l.text)
		units = append(units, p.unit)
		if p.unit == "year" || p.unit == "month" {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				return t.bad(l.Pos, "INTERVAL", "%q is no whole number of %ss", text, p.unit)
			}
			if p.unit == "year" {
				n *= 12
			}
			months += n
			continue
		}
		us, ok := scaledMicros(text, p.unit)
		if !ok {
			return t.bad(l.Pos, "INTERVAL", "%q is no number of %ss", text, p.unit)
		}
		micros += us
	}
	return t.intervalValue(x.Pos, months, micros, units)
}

func scaledMicros(text, unit string) (int64, bool) {
	r, ok := new(big.Rat).SetString(text)
	if !ok || unit != "second" && !r.IsInt() || strings.ContainsAny(text, "/eE") {
		return 0, false
	}
	r.Mul(r, new(big.Rat).SetInt64(unitMicros[unit]))
	n := new(big.Int).Quo(r.Num(), r.Denom())
	return n.Int64(), n.IsInt64()
}

func (t *translator) intervalValue(at Pos, months, micros int64, units []string) ex {
	var ym, dt bool
	typ := Type{}
	for _, u := range units {
		isYM := u == "year" || u == "month"
		ym, dt = ym || isYM, dt || !isYM
		switch u {
		case "week":
			u = "day"
		case "millisecond", "microsecond":
			u = "second"
		}
		one := intervalRange(u, u)
		if typ.known() && typ.Kind == one.Kind {
			typ = widerInterval(typ, one)
		} else if !typ.known() {
			typ = one
		}
	}
	switch {
	case ym && dt:
		return t.refuse(at, "an interval that mixes months and days", "add two intervals one after the other")
	case ym:
		return ex{sql: fmt.Sprintf("CAST(%d AS INTEGER)", months), typ: typ}
	}
	return ex{sql: fmt.Sprintf("CAST(%d AS BIGINT)", micros), typ: typ}
}

var intervalPiece = regexp.MustCompile(`^\s*([+-]?\s*\d+(?:\.\d+)?)\s+([A-Za-z]+)\s*`)

func (t *translator) intervalText(x *interval) ex {
	s := strings.TrimSpace(x.text)
	if len(s) > 8 && strings.EqualFold(s[:8], "interval") {
		s = s[8:]
	}
	y := &interval{Pos: x.Pos}
	for strings.TrimSpace(s) != "" {
		m := intervalPiece.FindStringSubmatch(s)
		if m == nil || intervalUnits[strings.ToUpper(m[2])] == "" {
			return t.bad(x.Pos, "INTERVAL", "%q is no interval", x.text)
		}
		y.parts = append(y.parts, intervalPart{value: &literal{Pos: x.Pos, kind: litString, text: strings.ReplaceAll(m[1], " ", "")}, unit: intervalUnits[strings.ToUpper(m[2])]})
		s = s[len(m[0]):]
	}
	if len(y.parts) == 0 {
		return t.bad(x.Pos, "INTERVAL", "%q is no interval", x.text)
	}
	return t.interval(y, &scope{})
}

var (
	rangeYM = regexp.MustCompile(`^([+-]?)(\d+)-(\d+)$`)
	rangeDT = regexp.MustCompile(`^([+-]?)(?:(\d+) )?(\d+)(?::(\d+))?(?::(\d+)(?:\.(\d{1,9}))?)?$`)
)

// intervalRange reads INTERVAL '1-2' YEAR TO MONTH and INTERVAL '1 02:03:04' DAY TO SECOND.
func (t *translator) intervalRange(x *interval) ex {
	text := strings.TrimSpace(x.parts[0].value.(*literal).text)
	typ := intervalRange(x.from, x.to)
	num := func(s string) int64 { n, _ := strconv.ParseInt(s, 10, 32); return n }
	if typ.Kind == YearMonth {
		m := rangeYM.FindStringSubmatch(text)
		if m == nil || x.to != "month" {
			return t.bad(x.Pos, "INTERVAL", "%q is not of the form 1-2", text)
		}
		n := num(m[2])*12 + num(m[3])
		if m[1] == "-" {
			n = -n
		}
		return ex{sql: fmt.Sprintf("CAST(%d AS INTEGER)", n), typ: typ}
	}
	units := []string{"day", "hour", "minute", "second"}
	from, to := indexOf(units, x.from), indexOf(units, x.to)
	neg := strings.HasPrefix(text, "-")
	body := strings.TrimLeft(text, "+-")
	pieces := regexp.MustCompile(`[ :]+`).Split(body, -1)
	if from < 0 || to <= from || len(pieces) != to-from+1 || !rangeDT.MatchString(text) && from == 0 {
		return t.bad(x.Pos, "INTERVAL", "%q does not go from %s to %s", text, x.from, x.to)
	}
	var us int64
	for i, p := range pieces {
		u := units[from+i]
		if u != "second" && strings.Contains(p, ".") {
			return t.bad(x.Pos, "INTERVAL", "%q is no interval", text)
		}
		v, ok := scaledMicros(p, u)
		if !ok {
			return t.bad(x.Pos, "INTERVAL", "%q is no interval", text)
		}
		us += v
	}
	if neg {
		us = -us
	}
	return ex{sql: fmt.Sprintf("CAST(%d AS BIGINT)", us), typ: typ}
}

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}

// intervalOf is INTERVAL with values that are no constants: INTERVAL n DAYS.
func (t *translator) intervalOf(x *interval, sc *scope) ex {
	if len(x.parts) != 1 {
		return t.refuse(x.Pos, "an interval of several computed parts", "add several intervals")
	}
	p := x.parts[0]
	e := t.expr(p.value, sc)
	if !e.typ.known() {
		return e
	}
	if !e.typ.integral() {
		return t.refuse(x.Pos, "an interval computed from "+e.typ.String(), "cast the number to int")
	}
	return t.refuse(x.Pos, "INTERVAL with a computed number", "use date_add, add_months, timestampadd or make_dt_interval")
}
