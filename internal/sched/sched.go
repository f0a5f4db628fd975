// Package sched says when a pipeline is due: cron lines, time zones, data intervals, the
// days they belong to. It has no clock and does no I/O.
//
// A local time that does not exist is skipped and one that happens twice fires once, the
// first time: EventBridge Scheduler's rule, so that the same fires come here and on AWS.
package sched

import (
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// Day says which calendar day of the schedule's zone a fire's ds is.
type Day int

// The days.
const (
	DayEnd   Day = iota // the day of the fire
	DayStart            // the day on which the fire's data interval began
)

// Spec is a schedule as the pipeline file gives it.
type Spec struct {
	Cron       string // five fields: minute hour day-of-month month day-of-week
	Zone       string // IANA name; empty is UTC
	Start, End Date   // first and last ds, zero for none
	Day        Day
}

// Schedule is a checked Spec.
type Schedule struct {
	spec Spec
	zone *time.Location
	cron cron
}

// Fire is one due time of a pipeline.
type Fire struct {
	Time          time.Time // the run's logical time
	Start, End    time.Time // the data interval [Start, End); End is Time where there is a schedule
	Date          Date      // ds
	IntervalClock bool      // the interval comes from a schedule
}

// New checks a Spec.
func New(s Spec) (*Schedule, error) {
	c, err := parseCron(s.Cron)
	if err != nil {
		return nil, err
	}
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	zone, err := Zone(s.Zone)
	if err != nil {
		return nil, err
	}
	if !s.Start.IsZero() && !s.End.IsZero() && s.End.Before(s.Start) {
		return nil, fmt.Errorf("end %s is before start %s", s.End, s.Start)
	}
	if _, ok := c.next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
		return nil, fmt.Errorf("cron %q never fires", s.Cron)
	}
	return &Schedule{spec: s, zone: zone, cron: c}, nil
}

// Zone finds an IANA time zone. "Local" is refused: a run must mean the same on every host.
func Zone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New("timezone Local is not a zone: name one, as in America/New_York")
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("timezone %q is not known: IANA names are wanted, as in America/New_York", name)
	}
	return z, nil
}

// Location is the schedule's zone.
func (s *Schedule) Location() *time.Location { return s.zone }

// Spec is what the schedule was made from, with its zone named.
func (s *Schedule) Spec() Spec { return s.spec }

// SubDaily tells whether several fires can share a ds.
func (s *Schedule) SubDaily() bool {
	return bits.OnesCount64(s.cron.minute)*bits.OnesCount64(s.cron.hour) > 1
}

// Wall times are the digits of a clock on the zone's wall, carried in a UTC time.

// instant maps a wall time to the instant it names; false where the wall never shows it.
func (s *Schedule) instant(w time.Time) (time.Time, bool) {
	t := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), 0, 0, s.zone)
	if wall(t) != w {
		return time.Time{}, false
	}
	// time.Date promises neither of two instants with the same digits: take the first. No
	// zone has moved its clock by more than a day.
	for _, back := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 24 * time.Hour} {
		if e := t.Add(-back); wall(e) == w {
			return e.UTC(), true
		}
	}
	return t.UTC(), true
}

func wall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC)
}

// setBack is by how much the wall's clock was set back in the day before t: the times that
// it showed twice are those around t.
func (s *Schedule) setBack(t time.Time) time.Duration {
	_, before := t.Add(-25 * time.Hour).In(s.zone).Zone()
	_, now := t.In(s.zone).Zone()
	return max(0, time.Duration(before-now)*time.Second)
}

// next is the first fire after t, without regard to start and end.
func (s *Schedule) next(t time.Time) (time.Time, bool) {
	w := wall(t.In(s.zone)).Add(-s.setBack(t))
	for range 4000 {
		var ok bool
		if w, ok = s.cron.next(w); !ok {
			return time.Time{}, false
		}
		if f, ok := s.instant(w); ok && f.After(t) {
			return f, true
		}
	}
	return time.Time{}, false
}

// prev is the last fire before t, without regard to start and end.
func (s *Schedule) prev(t time.Time) (time.Time, bool) {
	w := wall(t.In(s.zone)).Add(s.setBack(t) + time.Minute)
	for range 4000 {
		var ok bool
		if w, ok = s.cron.prev(w); !ok {
			return time.Time{}, false
		}
		if f, ok := s.instant(w); ok && f.Before(t) {
			return f, true
		}
	}
	return time.Time{}, false
}

// Fire describes the fire at t; false if the schedule does not fire then, or its ds lies
// outside start and end.
func (s *Schedule) Fire(t time.Time) (Fire, bool) {
	t = t.UTC()
	n, ok := s.next(t.Add(-time.Minute))
	if !ok || !n.Equal(t) {
		return Fire{}, false
	}
	f := s.fire(t)
	return f, s.within(f.Date)
}

func (s *Schedule) fire(t time.Time) Fire {
	f := Fire{Time: t, End: t, IntervalClock: true}
	var ok bool
	if f.Start, ok = s.prev(t); !ok {
		f.Start = t
	}
	day := t
	if s.spec.Day == DayStart {
		day = f.Start
	}
	f.Date = DateOf(day.In(s.zone))
	return f
}

func (s *Schedule) within(d Date) bool {
	return (s.spec.Start.IsZero() || !d.Before(s.spec.Start)) && (s.spec.End.IsZero() || !s.spec.End.Before(d))
}

// Next is the first fire after t whose ds lies within start and end.
func (s *Schedule) Next(t time.Time) (Fire, bool) {
	if !s.spec.Start.IsZero() {
		// No fire of an earlier day counts: do not walk through years of them.
		if e := s.spec.Start.In(s.zone).Add(-48 * time.Hour); t.Before(e) {
			t = e
		}
	}
	for {
		n, ok := s.next(t)
		if !ok {
			return Fire{}, false
		}
		f := s.fire(n)
		if s.within(f.Date) {
			return f, true
		}
		if !s.spec.End.IsZero() && s.spec.End.Before(f.Date) {
			return Fire{}, false
		}
		t = n
	}
}

// Latest is the last fire at or before t whose ds lies within start and end.
func (s *Schedule) Latest(t time.Time) (Fire, bool) {
	t = t.Add(time.Nanosecond)
	if !s.spec.End.IsZero() {
		if e := s.spec.End.In(s.zone).Add(40 * 24 * time.Hour); s.spec.Day == DayEnd && t.After(e) {
			t = e
		}
	}
	for {
		p, ok := s.prev(t)
		if !ok {
			return Fire{}, false
		}
		f := s.fire(p)
		if s.within(f.Date) {
			return f, true
		}
		if !s.spec.Start.IsZero() && f.Date.Before(s.spec.Start) {
			return Fire{}, false
		}
		t = p
	}
}

// On returns the fires whose ds is d, in order.
func (s *Schedule) On(d Date) []Fire {
	if !s.within(d) {
		return nil
	}
	var fires []Fire
	from := d.In(s.zone).Add(-time.Minute)
	if s.spec.Day == DayStart {
		// The fire comes at the end of an interval that began on d: look from the first
		// fire at or after d's midnight for those whose interval began on d.
		start, ok := s.next(from)
		for ok && DateOf(start.In(s.zone)) == d {
			var n time.Time
			if n, ok = s.next(start); ok {
				fires = append(fires, s.fire(n))
				start = n
			}
		}
		return fires
	}
	t, ok := s.next(from)
	for ok && DateOf(t.In(s.zone)) == d {
		fires = append(fires, s.fire(t))
		t, ok = s.next(t)
	}
	return fires
}

// Nearest returns the ds before d and the ds after it that have a fire; zero where there is none.
func (s *Schedule) Nearest(d Date) (before, after Date) {
	mid := d.In(s.zone)
	if f, ok := s.Latest(mid); ok {
		before = f.Date
		for before == d || d.Before(before) {
			if f, ok = s.Latest(f.Time.Add(-time.Second)); !ok {
				before = Date{}
				break
			}
			before = f.Date
		}
	}
	f, ok := s.Next(mid.Add(-time.Second))
	for ok && !d.Before(f.Date) {
		f, ok = s.Next(f.Time)
	}
	if ok {
		after = f.Date
	}
	return before, after
}

// OnDate describes the run of a day of a pipeline that has no schedule: UTC, midnight to midnight.
func OnDate(d Date) Fire {
	t := d.In(time.UTC)
	return Fire{Time: t, Start: t, End: t.AddDate(0, 0, 1), Date: d}
}

// Trouble is a fire of a schedule that a change of clocks moves.
type Trouble struct {
	Date  Date
	Clock string // the wall time, HH:MM
	Twice bool   // it happens twice; else it does not exist
}

func (t Trouble) String() string {
	if t.Twice {
		return fmt.Sprintf("on %s the clocks show %s twice: the pipeline runs once, the first time", t.Date, t.Clock)
	}
	return fmt.Sprintf("on %s there is no %s: that run is skipped", t.Date, t.Clock)
}

// Troubles returns the first of each kind in the two years after t, for a warning.
func (s *Schedule) Troubles(t time.Time) []Trouble {
	var out []Trouble
	seen := map[bool]bool{}
	year, month, day := t.In(s.zone).Date()
	for i := range 2 * 366 {
		d := Date{year, month, day}.AddDays(i)
		_, before := d.In(s.zone).Zone()
		_, after := d.AddDays(1).In(s.zone).Zone()
		if before == after {
			continue
		}
		w := time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Add(-time.Minute)
		for {
			var ok bool
			if w, ok = s.cron.next(w); !ok || DateOf(w) != d {
				break
			}
			inst, ok := s.instant(w)
			twice := ok && wall(inst.Add(time.Duration(before-after)*time.Second).In(s.zone)) == w && before > after
			if (!ok || twice) && !seen[twice] {
				seen[twice] = true
				out = append(out, Trouble{d, w.Format("15:04"), twice})
			}
		}
	}
	return out
}
