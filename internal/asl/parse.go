package asl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/jsonata"
)

func message(err error) string {
	var e *jsonata.Error
	if errors.As(err, &e) {
		return e.Code + ": " + e.Message
	}
	return err.Error()
}

// Parse reads and checks a machine. Its error is a Faults.
func Parse(text []byte) (*Machine, error) {
	v, err := jsonata.Decode(text)
	if err != nil {
		return nil, Faults{{"", "the text is no JSON: " + message(err)}}
	}
	p := &parser{names: map[string]string{}}
	m := p.machine(v, "", true, false)
	if len(p.faults) > 0 {
		return nil, p.faults
	}
	return m, nil
}

type parser struct {
	faults Faults
	names  map[string]string // every state's name → its path: names are unique in the whole machine
	depth  int
}

func (p *parser) fault(path, format string, args ...any) {
	p.faults = append(p.faults, Fault{path, fmt.Sprintf(format, args...)})
}

// fields reads an object, and afterwards tells of fields that nobody asked for.
type fields struct {
	p    *parser
	o    *jsonata.Object
	path string
	seen map[string]bool
}

func (p *parser) fields(v any, path string) (*fields, bool) {
	o, ok := v.(*jsonata.Object)
	if !ok {
		p.fault(path, "an object is wanted")
		return nil, false
	}
	return &fields{p, o, path, map[string]bool{}}, true
}

func (f *fields) get(key string) (any, bool) {
	f.seen[key] = true
	return f.o.Get(key)
}

func (f *fields) text(key string) string {
	v, ok := f.get(key)
	if !ok {
		return ""
	}
	s, isText := v.(string)
	if !isText {
		f.p.fault(f.path+"/"+key, "a text is wanted")
	}
	return s
}

func (f *fields) need(key string) string {
	if _, ok := f.o.Get(key); !ok {
		f.p.fault(f.path, "field %s is missing", key)
	}
	return f.text(key)
}

func (f *fields) number(key string, def, least float64) float64 {
	v, ok := f.get(key)
	if !ok {
		return def
	}
	n, isNumber := v.(float64)
	if !isNumber || n < least {
		f.p.fault(f.path+"/"+key, "a number of at least %v is wanted", least)
		return def
	}
	return n
}

func (f *fields) value(key string) *Value {
	v, ok := f.get(key)
	if !ok {
		return nil
	}
	return f.p.value(v, f.path+"/"+key, key)
}

func (f *fields) rest() {
	for _, k := range f.o.Keys() {
		if f.seen[k] {
			continue
		}
		if slices.Contains(jsonPathFields, k) || strings.HasSuffix(k, "Path") {
			f.p.fault(f.path+"/"+k, "field %s belongs to the query language JSONPath: write JSONata", k)
			continue
		}
		f.p.fault(f.path+"/"+k, "unknown field %s", k)
	}
}

var jsonPathFields = []string{"InputPath", "Parameters", "ResultSelector", "ResultPath", "OutputPath", "ItemsPath", "Result", "Variable"}

func (p *parser) machine(v any, path string, top, jsonataAbove bool) *Machine {
	if p.depth++; p.depth > 50 {
		p.fault(path, "the machine is nested too deep")
		return nil
	}
	defer func() { p.depth-- }()
	f, ok := p.fields(v, path)
	if !ok {
		return nil
	}
	m := &Machine{Comment: f.text("Comment"), StartAt: f.need("StartAt"), byName: map[string]*State{}}
	isJSONata := jsonataAbove
	if top {
		m.Version = f.text("Version")
		m.TimeoutSeconds = int(f.number("TimeoutSeconds", 0, 1))
		isJSONata = p.language(f, f.text("QueryLanguage"), false)
	}
	f.get("ProcessorConfig")
	states, ok := f.get("States")
	so, isObject := states.(*jsonata.Object)
	if !ok || !isObject || so.Len() == 0 {
		p.fault(path+"/States", "an object of at least one state is wanted")
		return m
	}
	for i := range so.Len() {
		name, sv := so.At(i)
		s := p.state(name, sv, path+"/States/"+escape(name), isJSONata)
		if s != nil {
			m.States = append(m.States, s)
			m.byName[name] = s
		}
	}
	f.rest()
	p.links(m, path)
	return m
}

func (p *parser) language(f *fields, word string, above bool) bool {
	switch word {
	case "JSONata":
		return true
	case "JSONPath":
		if above {
			p.fault(f.path+"/QueryLanguage", "a state of a JSONata machine cannot have the query language JSONPath")
		}
		return false
	case "":
		return above
	}
	p.fault(f.path+"/QueryLanguage", "%q is no query language: JSONata or JSONPath is wanted", word)
	return above
}

func escape(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

// links checks that every state leads to one that is there and is led to.
func (p *parser) links(m *Machine, path string) {
	reached := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		s := m.byName[name]
		if s == nil || reached[name] {
			return
		}
		reached[name] = true
		for _, n := range s.Targets() {
			visit(n)
		}
	}
	if m.StartAt != "" && m.byName[m.StartAt] == nil {
		p.fault(path+"/StartAt", "there is no state %q", m.StartAt)
		return
	}
	visit(m.StartAt)
	for _, s := range m.States {
		at := path + "/States/" + escape(s.Name)
		for _, n := range s.Targets() {
			if m.byName[n] == nil {
				p.fault(at, "it leads to %q, which is no state of the same level", n)
			}
		}
		if !reached[s.Name] {
			p.fault(at, "no state leads to it")
		}
	}
}

// Targets are the states that a state can lead to.
func (s *State) Targets() []string {
	var out []string
	if s.Next != "" {
		out = append(out, s.Next)
	}
	for _, r := range s.Choices {
		out = append(out, r.Next)
	}
	if s.Default != "" {
		out = append(out, s.Default)
	}
	for _, c := range s.Catch {
		out = append(out, c.Next)
	}
	return out
}

func (p *parser) state(name string, v any, path string, above bool) *State {
	if first, ok := p.names[name]; ok {
		p.fault(path, "the name is taken by %s", first)
	}
	p.names[name] = path
	if n := len([]rune(name)); n == 0 || n > 80 {
		p.fault(path, "a state's name has 1 to 80 characters, this has %d", n)
	}
	f, ok := p.fields(v, path)
	if !ok {
		return nil
	}
	s := &State{Name: name, Type: Type(f.need("Type")), Comment: f.text("Comment")}
	if !p.language(f, f.text("QueryLanguage"), above) {
		p.fault(path, "the query language JSONPath is not run yet: say \"QueryLanguage\": \"JSONata\"")
		return s
	}
	if s.Type != Fail {
		s.Output = f.value("Output")
	}
	if s.Type != Succeed && s.Type != Fail {
		s.Assign = p.assign(f, "Assign")
	}
	switch s.Type {
	case Pass:
	case Task:
		p.task(s, f)
	case Choice:
		p.choice(s, f)
	case Wait:
		s.Seconds, s.Timestamp = f.value("Seconds"), f.value("Timestamp")
		if (s.Seconds == nil) == (s.Timestamp == nil) {
			p.fault(path, "a Wait has Seconds or Timestamp")
		}
	case Succeed:
	case Fail:
		s.Error, s.Cause = f.value("Error"), f.value("Cause")
	case Parallel:
		p.parallel(s, f)
	case Map:
		p.mapState(s, f)
	default:
		p.fault(path+"/Type", "%q is no type of state", s.Type)
		return s
	}
	if s.Type != Choice && s.Type != Succeed && s.Type != Fail {
		p.end(s, f)
	}
	f.rest()
	return s
}

func (p *parser) end(s *State, f *fields) {
	s.Next = f.text("Next")
	if v, ok := f.get("End"); ok {
		b, isBool := v.(bool)
		if !isBool {
			p.fault(f.path+"/End", "true or false is wanted")
		}
		s.End = b
	}
	if s.End == (s.Next != "") {
		p.fault(f.path, "a state has either Next or End: true")
	}
}

func (p *parser) task(s *State, f *fields) {
	s.Resource = f.need("Resource")
	if s.Resource != "" && !strings.HasPrefix(s.Resource, "arn:") {
		p.fault(f.path+"/Resource", "%q is no ARN", s.Resource)
	}
	s.Arguments = f.value("Arguments")
	s.TimeoutSeconds, s.HeartbeatSeconds = f.value("TimeoutSeconds"), f.value("HeartbeatSeconds")
	s.Credentials = f.value("Credentials")
	p.faultHandling(s, f)
}

func (p *parser) choice(s *State, f *fields) {
	list, ok := f.get("Choices")
	a, isList := list.(*jsonata.Array)
	if !ok || !isList || a.Len() == 0 {
		p.fault(f.path+"/Choices", "a list of at least one rule is wanted")
		return
	}
	for i, v := range a.Items {
		rf, ok := p.fields(v, fmt.Sprintf("%s/Choices/%d", f.path, i))
		if !ok {
			continue
		}
		rf.text("Comment")
		r := Rule{Condition: rf.value("Condition"), Next: rf.need("Next"), Assign: p.assign(rf, "Assign"), Output: rf.value("Output")}
		if r.Condition == nil {
			p.fault(rf.path, "field Condition is missing")
		}
		rf.rest()
		s.Choices = append(s.Choices, r)
	}
	s.Default = f.text("Default")
}

func (p *parser) parallel(s *State, f *fields) {
	list, ok := f.get("Branches")
	a, isList := list.(*jsonata.Array)
	if !ok || !isList || a.Len() == 0 {
		p.fault(f.path+"/Branches", "a list of at least one branch is wanted")
		return
	}
	for i, v := range a.Items {
		s.Branches = append(s.Branches, p.machine(v, fmt.Sprintf("%s/Branches/%d", f.path, i), false, true))
	}
	s.Arguments = f.value("Arguments")
	p.faultHandling(s, f)
}

func (p *parser) mapState(s *State, f *fields) {
	v, ok := f.get("ItemProcessor")
	if !ok {
		p.fault(f.path, "field ItemProcessor is missing")
		return
	}
	if o, isObject := v.(*jsonata.Object); isObject {
		if config, ok := o.Get("ProcessorConfig"); ok {
			if cf, ok := p.fields(config, f.path+"/ItemProcessor/ProcessorConfig"); ok {
				s.Distributed = cf.text("Mode") == "DISTRIBUTED"
				cf.text("ExecutionType")
				cf.rest()
			}
		}
	}
	if s.Distributed {
		p.fault(f.path, "a distributed Map is not run yet")
	}
	s.ItemProcessor = p.machine(v, f.path+"/ItemProcessor", false, true)
	s.Items, s.ItemSelector = f.value("Items"), f.value("ItemSelector")
	s.MaxConcurrency = f.value("MaxConcurrency")
	s.ToleratedCount, s.ToleratedPercentage = f.value("ToleratedFailureCount"), f.value("ToleratedFailurePercentage")
	f.text("Label")
	p.faultHandling(s, f)
}

func (p *parser) faultHandling(s *State, f *fields) {
	for i, v := range f.list("Retry") {
		rf, ok := p.fields(v, fmt.Sprintf("%s/Retry/%d", f.path, i))
		if !ok {
			continue
		}
		rf.text("Comment")
		r := Retrier{ErrorEquals: rf.errors(i, f.listLen("Retry")), IntervalSeconds: rf.number("IntervalSeconds", 1, 0), MaxAttempts: int(rf.number("MaxAttempts", 3, 0)),
			BackoffRate: rf.number("BackoffRate", 2, 1), MaxDelaySeconds: rf.number("MaxDelaySeconds", 0, 1), FullJitter: rf.text("JitterStrategy") == "FULL"}
		rf.rest()
		s.Retry = append(s.Retry, r)
	}
	for i, v := range f.list("Catch") {
		cf, ok := p.fields(v, fmt.Sprintf("%s/Catch/%d", f.path, i))
		if !ok {
			continue
		}
		cf.text("Comment")
		c := Catcher{ErrorEquals: cf.errors(i, f.listLen("Catch")), Next: cf.need("Next"), Assign: p.assign(cf, "Assign"), Output: cf.value("Output")}
		cf.rest()
		s.Catch = append(s.Catch, c)
	}
}

func (f *fields) list(key string) []any {
	v, ok := f.get(key)
	if !ok {
		return nil
	}
	a, isList := v.(*jsonata.Array)
	if !isList {
		f.p.fault(f.path+"/"+key, "a list is wanted")
		return nil
	}
	return a.Items
}

func (f *fields) listLen(key string) int { return len(f.list(key)) }

// errors reads ErrorEquals; States.ALL stands alone and in the last place.
func (f *fields) errors(i, n int) []string {
	var out []string
	for _, v := range f.list("ErrorEquals") {
		s, ok := v.(string)
		if !ok {
			f.p.fault(f.path+"/ErrorEquals", "texts are wanted")
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		f.p.fault(f.path, "field ErrorEquals is missing or empty")
	}
	if slices.Contains(out, "States.ALL") && (len(out) > 1 || i < n-1) {
		f.p.fault(f.path+"/ErrorEquals", "States.ALL stands alone, and in the last place")
	}
	return out
}

func (p *parser) assign(f *fields, key string) *Value {
	v, ok := f.get(key)
	if !ok {
		return nil
	}
	o, isObject := v.(*jsonata.Object)
	if !isObject {
		p.fault(f.path+"/"+key, "an object is wanted")
		return nil
	}
	for _, k := range o.Keys() {
		if k == "states" {
			p.fault(f.path+"/"+key, "the variable states is reserved")
		}
	}
	x := p.value(v, f.path+"/"+key, key)
	if x.kind == constantValue {
		// Assign is taken apart by name: keep it an object of values.
		x = &Value{kind: objectValue, keys: o.Keys(), field: key}
		for _, k := range o.Keys() {
			c, _ := o.Get(k)
			x.items = append(x.items, &Value{constant: c})
		}
	}
	return x
}

// value compiles the expressions of a value.
func (p *parser) value(v any, path, field string) *Value {
	switch x := v.(type) {
	case string:
		src, ok := Expression(x)
		if !ok {
			return &Value{constant: v, field: field}
		}
		e, err := jsonata.Parse(src)
		if err != nil {
			p.fault(path, "the expression cannot be read: %s", message(err))
			return &Value{constant: nil}
		}
		return &Value{kind: exprValue, expr: e, src: strings.TrimSpace(src), field: field}
	case *jsonata.Object:
		out := &Value{kind: objectValue, field: field}
		constant := true
		for i := range x.Len() {
			k, item := x.At(i)
			iv := p.value(item, path+"/"+escape(k), field+"/"+k)
			constant = constant && iv.kind == constantValue
			out.keys, out.items = append(out.keys, k), append(out.items, iv)
		}
		if constant {
			return &Value{constant: v, field: field}
		}
		return out
	case *jsonata.Array:
		out := &Value{kind: listValue, field: field}
		constant := true
		for i, item := range x.Items {
			iv := p.value(item, fmt.Sprintf("%s/%d", path, i), fmt.Sprintf("%s[%d]", field, i))
			constant = constant && iv.kind == constantValue
			out.items = append(out.items, iv)
		}
		if constant {
			return &Value{constant: v, field: field}
		}
		return out
	}
	return &Value{constant: v, field: field}
}

// Expression returns the JSONata of a text of the form {% … %}.
func Expression(s string) (string, bool) {
	if !strings.HasPrefix(s, "{%") || !strings.HasSuffix(s, "%}") || len(s) < 4 {
		return "", false
	}
	return s[2 : len(s)-2], true
}

// Names are an object value's keys; empty for others.
func (v *Value) Names() []string { return v.keys }

// Member is an object value's i-th value.
func (v *Value) Member(i int) *Value { return v.items[i] }
