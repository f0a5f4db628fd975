package sched

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// cron is a parsed line of five fields, each a set of bits.
type cron struct {
	minute, hour, dom, month, dow uint64
	anyDay                        bool // day-of-month or day-of-week begins with *: both must match, else one suffices
}

var fieldNames = [...]string{"minute", "hour", "day-of-month", "month", "day-of-week"}

// parseCron reads five fields: lists, ranges, steps; names of months and days; 7 is Sunday too.
// As in the cron of Unix, a day matches if day-of-month or day-of-week does, when neither begins with *.
func parseCron(line string) (cron, error) {
	f := strings.Fields(line)
	if len(f) != 5 || strings.HasPrefix(line, "@") {
		return cron{}, fmt.Errorf("cron %q has %d fields: five are wanted, minute hour day-of-month month day-of-week, as in \"0 6 * * *\"", line, len(f))
	}
	limits := [...][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}}
	names := [...][]string{3: {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}, 4: {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}
	var sets [5]uint64
	for i := range f {
		var err error
		if sets[i], err = parseField(f[i], limits[i][0], limits[i][1], names[i]); err != nil {
			return cron{}, fmt.Errorf("cron %q: %s: %w", line, fieldNames[i], err)
		}
	}
	c := cron{minute: sets[0], hour: sets[1], dom: sets[2], month: sets[3], dow: sets[4]}
	if c.dow&(1<<7) != 0 {
		c.dow |= 1
	}
	c.anyDay = f[2][0] == '*' || f[4][0] == '*'
	return c, nil
}

func parseField(s string, lo, hi int, names []string) (uint64, error) {
	var set uint64
	for part := range strings.SplitSeq(s, ",") {
		span, step, hasStep := strings.Cut(part, "/")
		n := 1
		if hasStep {
			var err error
			if n, err = strconv.Atoi(step); err != nil || n < 1 || n > hi {
				return 0, fmt.Errorf("step %q is not a number from 1 to %d", step, hi)
			}
		}
		from, to := lo, hi
		if span != "*" {
			a, b, isRange := strings.Cut(span, "-")
			var err error
			if from, err = parseValue(a, lo, hi, names); err != nil {
				return 0, err
			}
			if isRange {
				if to, err = parseValue(b, lo, hi, names); err != nil {
					return 0, err
				}
			} else if !hasStep {
				to = from
			}
			if to < from {
				return 0, fmt.Errorf("range %s runs backwards", span)
			}
		} else if hi == 7 {
			to = 6
		}
		for v := from; v <= to; v += n {
			set |= 1 << v
		}
	}
	return set, nil
}

func parseValue(s string, lo, hi int, names []string) (int, error) {
	for i, n := range names {
		if strings.EqualFold(s, n) {
			return i + lo, nil
		}
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < lo || v > hi {
		return 0, fmt.Errorf("%q is not a number from %d to %d", s, lo, hi)
	}
	return v, nil
}

func (c cron) day(t time.Time) bool {
	if c.month&(1<<t.Month()) == 0 {
		return false
	}
	dom, dow := c.dom&(1<<t.Day()) != 0, c.dow&(1<<t.Weekday()) != 0
	if c.anyDay {
		return dom && dow
	}
	return dom || dow
}

// horizon is how many days ahead or back a fire is looked for: two leap days can be eight
// years apart, and a leap day on one weekday forty.
const horizon = 41 * 366

// next is the first wall time after w that matches; false if there is none within the horizon.
func (c cron) next(w time.Time) (time.Time, bool) {
	w = w.Truncate(time.Minute).Add(time.Minute)
	for range horizon {
		if c.day(w) {
			h, m := w.Hour(), w.Minute()
			if c.hour&(1<<h) != 0 {
				if rest := c.minute >> m; rest != 0 {
					return w.Add(time.Duration(bits.TrailingZeros64(rest)) * time.Minute), true
				}
			}
			if rest := c.hour >> (h + 1); h < 23 && rest != 0 {
				h += 1 + bits.TrailingZeros64(rest)
				return time.Date(w.Year(), w.Month(), w.Day(), h, bits.TrailingZeros64(c.minute), 0, 0, time.UTC), true
			}
		}
		w = time.Date(w.Year(), w.Month(), w.Day()+1, 0, 0, 0, 0, time.UTC)
	}
	return time.Time{}, false
}

// prev is the last wall time before w that matches; false if there is none within the horizon.
func (c cron) prev(w time.Time) (time.Time, bool) {
	w = w.Add(-time.Nanosecond).Truncate(time.Minute)
	for range horizon {
		if c.day(w) {
			h, m := w.Hour(), w.Minute()
			if c.hour&(1<<h) != 0 {
				if rest := c.minute << (63 - m); rest != 0 {
					return w.Add(-time.Duration(bits.LeadingZeros64(rest)) * time.Minute), true
				}
			}
			if rest := c.hour & (1<<h - 1); rest != 0 {
				return time.Date(w.Year(), w.Month(), w.Day(), 63-bits.LeadingZeros64(rest), 63-bits.LeadingZeros64(c.minute), 0, 0, time.UTC), true
			}
		}
		w = time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, time.UTC).Add(-time.Minute)
	}
	return time.Time{}, false
}
