package sched

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func mustNew(t *testing.T, s Spec) *Schedule {
	t.Helper()
	sch, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return sch
}

func date(t *testing.T, s string) Date {
	t.Helper()
	d, err := ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	i, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestIntervalsTile(t *testing.T) {
	t.Parallel()
	for _, cron := range []string{"0 8 * * *", "30 2 * * *", "30 1 * * *", "0 * * * *", "*/20 * * * *", "0 0 1 * *", "15 6 * * 1-5"} {
		for _, zone := range []string{"UTC", "America/New_York", "Australia/Lord_Howe", "Europe/Berlin", "Asia/Kolkata"} {
			s := mustNew(t, Spec{Cron: cron, Zone: zone})
			at := instant(t, "2025-03-01T00:00:00Z")
			var last Fire
			for i := range 24 * 400 {
				f, ok := s.Next(at)
				if !ok {
					t.Fatalf("%s %s: no fire after %s", cron, zone, at)
				}
				if i > 0 && !f.Start.Equal(last.Time) {
					t.Fatalf("%s %s: interval of %s begins at %s, the fire before is %s", cron, zone, f.Time, f.Start, last.Time)
				}
				if g, ok := s.Fire(f.Time); !ok || g != f {
					t.Fatalf("%s %s: Fire(%s) = %v %v, want %v", cron, zone, f.Time, g, ok, f)
				}
				if g, ok := s.Latest(f.Time); !ok || g != f {
					t.Fatalf("%s %s: Latest(%s) = %v, want %v", cron, zone, f.Time, g, f)
				}
				last, at = f, f.Time
				if at.After(instant(t, "2026-02-01T00:00:00Z")) {
					break
				}
			}
		}
	}
}

func TestClockChanges(t *testing.T) {
	t.Parallel()
	s := mustNew(t, Spec{Cron: "30 2 * * *", Zone: "America/New_York"})
	// On 9 March 2025 there is no 02:30.
	f, _ := s.Next(instant(t, "2025-03-08T12:00:00Z"))
	if want := instant(t, "2025-03-10T06:30:00Z"); !f.Time.Equal(want) {
		t.Errorf("spring: next = %s, want %s", f.Time, want)
	}
	if n := len(s.On(date(t, "2025-03-09"))); n != 0 {
		t.Errorf("spring: %d fires on the day without 02:30", n)
	}
	// On 2 November 2025 the clocks show 01:30 twice: the first counts.
	s = mustNew(t, Spec{Cron: "30 1 * * *", Zone: "America/New_York"})
	fires := s.On(date(t, "2025-11-02"))
	if len(fires) != 1 || !fires[0].Time.Equal(instant(t, "2025-11-02T05:30:00Z")) {
		t.Errorf("fall: fires = %v", fires)
	}
	// Hourly: 23 fires in spring, and in fall too 24 (the repeated hour runs once).
	s = mustNew(t, Spec{Cron: "0 * * * *", Zone: "America/New_York"})
	if n := len(s.On(date(t, "2025-03-09"))); n != 23 {
		t.Errorf("spring: %d hourly fires, want 23", n)
	}
	if n := len(s.On(date(t, "2025-11-02"))); n != 24 {
		t.Errorf("fall: %d hourly fires, want 24", n)
	}
}

func TestTroubles(t *testing.T) {
	t.Parallel()
	from := instant(t, "2025-01-01T00:00:00Z")
	for _, c := range []struct {
		cron, zone string
		want       []string
	}{
		{"30 2 * * *", "America/New_York", []string{"on 2025-03-09 there is no 02:30: that run is skipped"}},
		{"30 1 * * *", "America/New_York", []string{"on 2025-11-02 the clocks show 01:30 twice: the pipeline runs once, the first time"}},
		{"0 8 * * *", "America/New_York", nil},
		{"30 2 * * *", "UTC", nil},
	} {
		got := mustNew(t, Spec{Cron: c.cron, Zone: c.zone}).Troubles(from)
		if len(got) != len(c.want) {
			t.Errorf("%s %s: troubles = %v, want %v", c.cron, c.zone, got, c.want)
			continue
		}
		for i := range got {
			if got[i].String() != c.want[i] {
				t.Errorf("%s %s: %s, want %s", c.cron, c.zone, got[i], c.want[i])
			}
		}
	}
}

func TestDay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		spec Spec
		ds   string
		want string // the fire's instant, or several
	}{
		{"the day of the fire", Spec{Cron: "0 6 * * *"}, "2017-11-06", "2017-11-06T06:00:00Z"},
		{"the day the interval began", Spec{Cron: "0 6 * * *", Day: DayStart}, "2017-11-06", "2017-11-07T06:00:00Z"},
		{"over a weekend", Spec{Cron: "0 6 * * 1-5", Day: DayStart}, "2017-11-03", "2017-11-06T06:00:00Z"},
		{"eastern", Spec{Cron: "0 8 * * *", Zone: "America/New_York", Day: DayStart}, "2025-03-08", "2025-03-09T12:00:00Z"},
	} {
		fires := mustNew(t, c.spec).On(date(t, c.ds))
		if len(fires) != 1 || !fires[0].Time.Equal(instant(t, c.want)) || fires[0].Date.String() != c.ds {
			t.Errorf("%s: fires of %s = %v, want %s", c.name, c.ds, fires, c.want)
		}
	}
	if n := len(mustNew(t, Spec{Cron: "0 * * * *", Day: DayStart}).On(date(t, "2017-11-06"))); n != 24 {
		t.Errorf("hourly: %d fires of a day, want 24", n)
	}
}

func TestStartAndEnd(t *testing.T) {
	t.Parallel()
	s := mustNew(t, Spec{Cron: "0 6 * * *", Start: date(t, "2017-11-01"), End: date(t, "2017-11-30"), Day: DayStart})
	f, ok := s.Next(instant(t, "1990-01-01T00:00:00Z"))
	if !ok || f.Date.String() != "2017-11-01" || !f.Start.Equal(instant(t, "2017-11-01T06:00:00Z")) {
		t.Errorf("first = %v", f)
	}
	f, ok = s.Latest(instant(t, "2017-12-24T00:00:00Z"))
	if !ok || f.Date.String() != "2017-11-30" || !f.Time.Equal(instant(t, "2017-12-01T06:00:00Z")) {
		t.Errorf("last = %v", f)
	}
	if _, ok := s.Next(f.Time); ok {
		t.Error("a fire after the end")
	}
	if fires := s.On(date(t, "2017-12-01")); fires != nil {
		t.Errorf("fires after the end: %v", fires)
	}
	before, after := s.Nearest(date(t, "2018-05-05"))
	if before.String() != "2017-11-30" || !after.IsZero() {
		t.Errorf("nearest = %v %v", before, after)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	s := mustNew(t, Spec{Cron: "0 6 * * 1-5"})
	before, after := s.Nearest(date(t, "2017-11-04"))
	if before.String() != "2017-11-03" || after.String() != "2017-11-06" {
		t.Errorf("nearest = %v %v", before, after)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []Spec{
		{Cron: ""}, {Cron: "@daily"}, {Cron: "0 6 * *"}, {Cron: "0 6 * * * *"}, {Cron: "61 6 * * *"}, {Cron: "0 6 31 2 *"}, {Cron: "0 6 ? * *"},
		{Cron: "0 6 * * *", Zone: "Eastern"}, {Cron: "0 6 * * *", Zone: "Local"},
		{Cron: "0 6 * * *", Start: Date{2018, 1, 1}, End: Date{2017, 1, 1}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func FuzzCron(f *testing.F) {
	for _, s := range []string{"0 8 * * *", "*/5 1-3,7 * 2 mon", "0 0 29 2 *", "0 0 31 4 *", "0 6 * * 7"} {
		f.Add(s)
	}
	at := time.Date(2025, 3, 8, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, cron string) {
		s, err := New(Spec{Cron: cron, Zone: "America/New_York"})
		if err != nil {
			return
		}
		n, ok := s.Next(at)
		if !ok {
			return
		}
		if !n.Time.After(at) {
			t.Fatalf("%q: next of %s is %s", cron, at, n.Time)
		}
		if l, ok := s.Latest(n.Time); !ok || !l.Time.Equal(n.Time) {
			t.Fatalf("%q: latest at %s is %s", cron, n.Time, l.Time)
		}
	})
}
