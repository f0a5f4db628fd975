package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// watcher shows a run as it goes on: bars on a terminal, plain lines elsewhere, JSON lines
// when asked. Bars and lines go to standard error, JSON to standard output.
type watcher struct {
	a     *app
	bars  *mpb.Progress
	mu    sync.Mutex
	steps map[string]*stepView
}

type stepView struct {
	name    string
	bar     *mpb.Bar
	begun   time.Time
	last    atomic.Pointer[flow.Progress] // read by the bars' goroutine, which must not wait for mu
	attempt int
	printed time.Time
}

func (a *app) watch() *watcher {
	w := &watcher{a: a, steps: map[string]*stepView{}}
	if !a.json && isTerminal(a.stderr) {
		w.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(28), mpb.WithRefreshRate(100*time.Millisecond))
	}
	return w
}

// ours tells whether a state is the compiler's own, of which people hear nothing.
func ours(state string) bool {
	return strings.HasPrefix(state, "run.") || strings.HasPrefix(state, "cluster.") && !slices.Contains([]string{"cluster.create", "cluster.terminate", "cluster.end_one"}, state)
}

// Event hears of an event that was kept.
func (w *watcher) Event(run string, e machine.Event) {
	if w.a.json {
		w.jsonEvent(run, e)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	state := e.State
	switch e.Type {
	case "TaskScheduled", machine.FactRepeated:
		v := w.view(e.Frame, state)
		v.attempt++
		v.begun = e.At
		if !ours(state) && (w.bars == nil || v.attempt > 1) { // a bar says the same
			w.line("%s  %-24s started%s", e.At.Local().Format("15:04:05"), v.name, nth(v.attempt))
		}
	case "TaskSucceeded":
		v := w.view(e.Frame, state)
		w.finish(v, true)
		if !ours(state) {
			w.done(e.At, v, e.Details.Output)
		}
	case "TaskFailed", "TaskTimedOut":
		v := w.view(e.Frame, state)
		w.finish(v, false)
		cause := readable(e.Details.Cause)
		if e.Type == "TaskTimedOut" {
			cause = "the attempt took longer than its timeout"
		}
		w.line("%s  %-24s FAILED%s: %s\n          %s", e.At.Local().Format("15:04:05"), v.name, w.took(" after ", e.At, v), e.Details.Error, indent(cause))
	case "PassStateExited":
		if name, ok := strings.CutSuffix(e.Details.Name, ".skip"); ok {
			w.line("%s  %-24s skipped", e.At.Local().Format("15:04:05"), name)
		}
	case machine.FactRetry:
		w.line("%s  %-24s again in %s", e.At.Local().Format("15:04:05"), state, short(e.Details.Due.Sub(e.At)))
	}
}

// done says what a step left; of several that were done in one Spark session, what each left.
func (w *watcher) done(at time.Time, v *stepView, output string) {
	w.line("%s  %-24s done%s%s", at.Local().Format("15:04:05"), v.name, w.summary(output), w.took(" in ", at, v))
	var works map[string]json.RawMessage
	if err := json.Unmarshal([]byte(output), &works); err == nil {
		for _, name := range sortedKeys(works) {
			if said := strings.TrimSuffix(strings.TrimPrefix(w.summary(string(works[name])), ": "), ","); said != "" {
				w.line("          %-24s %s", name, said)
				w.warnings(name, string(works[name]))
			}
		}
	}
	w.warnings(v.name, output)
}

// took is how long an attempt worked; of one that another process began nothing is said.
func (w *watcher) took(word string, at time.Time, v *stepView) string {
	if v.begun.IsZero() {
		return ""
	}
	return word + short(at.Sub(v.begun))
}

func (w *watcher) view(frame, state string) *stepView {
	key := frame + "\x00" + state
	v, ok := w.steps[key]
	if !ok {
		v = &stepView{name: state}
		w.steps[key] = v
	}
	return v
}

func nth(attempt int) string {
	if attempt < 2 {
		return ""
	}
	return fmt.Sprintf(" (attempt %d)", attempt)
}

func indent(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n          ") }

// line prints a line above the bars.
func (w *watcher) line(format string, args ...any) {
	text := w.a.redact(fmt.Sprintf(format, args...)) + "\n"
	var out io.Writer = w.a.stderr
	if w.bars != nil {
		out = w.bars
	}
	io.WriteString(out, text) //nolint:errcheck // a message
}

// summary says in a few words what a step left.
func (w *watcher) summary(output string) string {
	var o struct {
		Rows     *int64 `json:"rows"`
		Bytes    int64  `json:"bytes"`
		Rejected int64  `json:"rejected"`
		Files    int    `json:"files"`
		Skipped  bool   `json:"skipped"`
	}
	if err := json.Unmarshal([]byte(output), &o); err != nil {
		return ""
	}
	var parts []string
	if o.Skipped {
		parts = append(parts, "nothing there, skipped")
	}
	if o.Rows != nil && !o.Skipped {
		parts = append(parts, count(*o.Rows, "row"))
	}
	if o.Rejected > 0 {
		parts = append(parts, fmt.Sprintf("%s rejected", number(o.Rejected)))
	}
	if o.Files > 0 {
		parts = append(parts, count(int64(o.Files), "file"))
	}
	if o.Bytes > 0 {
		parts = append(parts, size(o.Bytes))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ") + ","
}

func (w *watcher) warnings(name, output string) {
	var o struct {
		Warnings []string `json:"warnings"`
	}
	if err := json.Unmarshal([]byte(output), &o); err != nil {
		return
	}
	for _, x := range o.Warnings {
		w.line("          %-24s warning: %s", name, indent(x))
	}
}

// since is how long an attempt has worked; 0 for one that another process began.
func (v *stepView) since(now time.Time) time.Duration {
	if v.begun.IsZero() {
		return 0
	}
	return now.Sub(v.begun)
}

// Progress hears how far an attempt has come.
func (w *watcher) Progress(run string, c machine.Command, p flow.Progress) {
	if ours(c.State) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.view(c.Frame, c.State)
	v.last.Store(&p)
	now := w.a.now()
	if w.a.json {
		if now.Sub(v.printed) > time.Second {
			v.printed = now
			w.json(map[string]any{"run": run, "event": "progress", "step": c.State, "item": c.Item, "attempt": c.Attempt, "doing": p.Doing, "rows": p.Rows, "bytes": p.Bytes, "total_rows": p.TotalRows, "total_bytes": p.Total})
		}
		return
	}
	if w.bars == nil {
		if v.printed.IsZero() {
			v.printed = now
		}
		if now.Sub(v.printed) > 10*time.Second {
			v.printed = now
			w.line("%s  %-24s %s", now.Local().Format("15:04:05"), v.name, describe(p, v.since(now)))
		}
		return
	}
	if v.bar == nil {
		begun, now := stepView{begun: v.begun}, w.a.now
		v.bar = w.bars.AddBar(1000,
			mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(fmt.Sprintf("  %-24s", v.name))),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return describe(*v.last.Load(), begun.since(now())) })))
	}
	v.bar.SetCurrent(min(999, share(p)))
}

// share is how far it is, in thousandths.
func share(p flow.Progress) int64 {
	switch {
	case p.Total > 0:
		return p.Bytes * 1000 / p.Total
	case p.TotalRows > 0:
		return p.Rows * 1000 / p.TotalRows
	}
	return int64(p.Fraction * 1000)
}

func describe(p flow.Progress, took time.Duration) string {
	var parts []string
	if p.Rows > 0 {
		parts = append(parts, count(p.Rows, "row"))
	}
	if p.Bytes > 0 {
		parts = append(parts, size(p.Bytes))
		if s := took.Seconds(); s > 0.5 {
			parts = append(parts, size(int64(float64(p.Bytes)/s))+"/s")
		}
	}
	if took > 0 {
		parts = append(parts, short(took))
	}
	s := strings.Join(parts, ", ")
	if p.Doing != "" {
		s = strings.TrimRight(p.Doing+"  "+s, " ")
	}
	return s
}

func (w *watcher) finish(v *stepView, ok bool) {
	if v.bar == nil {
		return
	}
	if ok {
		v.bar.SetCurrent(1000)
	} else {
		v.bar.Abort(true)
	}
	v.bar = nil
}

// close ends the bars.
func (w *watcher) close() {
	if w.bars == nil {
		return
	}
	w.mu.Lock()
	for _, v := range w.steps {
		w.finish(v, false)
	}
	w.mu.Unlock()
	w.bars.Wait()
}

func (w *watcher) json(v map[string]any) {
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	fmt.Fprintln(w.a.stdout, w.a.redact(string(b))) //nolint:errcheck // a closed pipe ends the command
}

// jsonEvent prints the events that people hear of too.
func (w *watcher) jsonEvent(run string, e machine.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	state := e.State
	out := map[string]any{"run": run, "at": e.At.UTC().Format(time.RFC3339Nano)}
	switch e.Type {
	case "TaskScheduled", machine.FactRepeated:
		v := w.view(e.Frame, state)
		v.attempt++
		out["event"], out["attempt"] = "started", v.attempt
	case "TaskSucceeded":
		out["event"], out["output"] = "succeeded", json.RawMessage(e.Details.Output)
	case "TaskFailed", "TaskTimedOut":
		out["event"], out["error"], out["cause"] = "failed", e.Details.Error, e.Details.Cause
	case machine.FactRetry:
		out["event"], out["due"] = "retry", e.Details.Due.UTC().Format(time.RFC3339Nano)
	case "PassStateExited":
		name, ok := strings.CutSuffix(e.Details.Name, ".skip")
		if !ok {
			return
		}
		state, out["event"] = name, "skipped"
	default:
		return
	}
	if ours(state) {
		return
	}
	out["step"] = state
	w.json(out)
}

func count(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + one + "s"
}

// number writes 1,234,567.
func number(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func size(n int64) string {
	f := float64(n)
	for _, u := range []string{"B", "kB", "MB", "GB"} {
		if f < 1000 {
			if u == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%.1f %s", f, u)
		}
		f /= 1000
	}
	return fmt.Sprintf("%.1f TB", f)
}

func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
