package sched

import (
	"fmt"
	"strings"
	"time"
)

// Date is a day of the calendar.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf is the day that t's clock shows.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// ParseDate reads 2017-11-06 or 20171106.
func ParseDate(s string) (Date, error) {
	layout := "2006-01-02"
	if !strings.Contains(s, "-") {
		layout = "20060102"
	}
	t, err := time.Parse(layout, s)
	if err != nil {
		return Date{}, fmt.Errorf("date %q is not a day: YYYY-MM-DD is wanted, as in 2017-11-06", s)
	}
	return DateOf(t), nil
}

// String is the date as 2017-11-06.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day) }

// NoDash is the date as 20171106.
func (d Date) NoDash() string { return fmt.Sprintf("%04d%02d%02d", d.Year, int(d.Month), d.Day) }

// IsZero tells whether there is no date.
func (d Date) IsZero() bool { return d == Date{} }

// Before orders days.
func (d Date) Before(e Date) bool {
	if d.Year != e.Year {
		return d.Year < e.Year
	}
	if d.Month != e.Month {
		return d.Month < e.Month
	}
	return d.Day < e.Day
}

// AddDays is the day n days later.
func (d Date) AddDays(n int) Date {
	return DateOf(time.Date(d.Year, d.Month, d.Day+n, 0, 0, 0, 0, time.UTC))
}

// In is the day's first instant in a zone.
func (d Date) In(z *time.Location) time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, z) }
