package jsonata

// Mention is one place where an expression names something from outside it. Offsets are
// bytes of the text; the token includes its dollar sign or backquotes.
type Mention struct {
	Name       string
	Start, End int

	// Second is the field that is selected from it right away, as in params.bucket or
	// $states.input; empty where there is none, so that the whole may be used.
	Second                 string
	SecondStart, SecondEnd int

	// Library tells of a variable that the language has a function of that name.
	Library bool
}

// Mentions is what an expression refers to, in order of the text.
type Mentions struct {
	// Variables are those the expression does not define itself, without the dollar sign;
	// functions that it calls are among them. The input as a whole, $$, has the name "$".
	Variables []Mention
	// Fields are those of the input: the first steps of paths that begin at it. Fields that
	// are selected from other values are not among them.
	Fields []Mention
	// Whole tells that the input is also used otherwise than by naming a field, as with $,
	// a wildcard or $eval, so that any field of it may matter.
	Whole bool
}

// Mentions tells what the expression refers to.
func (e *Expr) Mentions() Mentions {
	w := walker{}
	w.node(e.root, true, &names{})
	sortMentions(w.out.Variables)
	sortMentions(w.out.Fields)
	return w.out
}

// MentionsField tells whether the expression names a field of its input, or may use it
// without naming it.
func (e *Expr) MentionsField(name string) bool {
	m := e.Mentions()
	if m.Whole {
		return true
	}
	for _, f := range m.Fields {
		if f.Name == name {
			return true
		}
	}
	return false
}

func sortMentions(m []Mention) {
	for i := 1; i < len(m); i++ {
		for j := i; j > 0 && m[j].Start < m[j-1].Start; j-- {
			m[j], m[j-1] = m[j-1], m[j]
		}
	}
}

// names are the variables that a scope of an expression defines.
type names struct {
	parent *names
	own    map[string]bool
}

func (s *names) add(name string) {
	if s.own == nil {
		s.own = map[string]bool{}
	}
	s.own[name] = true
}

func (s *names) has(name string) bool {
	for ; s != nil; s = s.parent {
		if s.own[name] {
			return true
		}
	}
	return false
}

type walker struct{ out Mentions }

func mention(n, next *node) Mention {
	m := Mention{Name: n.text, Start: n.start, End: n.end}
	if next != nil && next.kind == kName {
		m.Second, m.SecondStart, m.SecondEnd = next.text, next.start, next.end
	}
	return m
}

// node walks a node whose context is, or is not, the input.
func (w *walker) node(n *node, root bool, s *names) {
	if n == nil {
		return
	}
	switch n.kind {
	case kPath:
		w.path(n, root, s)
	case kVariable:
		w.variable(n, nil, nil, root, s)
	case kWildcard, kDescendant:
		w.out.Whole = w.out.Whole || root
	case kBlock:
		inner := &names{parent: s}
		w.list(n.list, root, inner)
	case kBind:
		// A function may call itself, so that its name is known in what it is bound to.
		if n.rhs.kind == kLambda {
			s.add(n.lhs.text)
		}
		w.node(n.rhs, root, s)
		s.add(n.lhs.text)
	case kLambda:
		inner := &names{parent: s}
		for _, p := range n.params {
			inner.add(p.text)
		}
		w.node(n.rhs, root, inner)
	case kFunction, kPartial:
		w.call(n, root, s)
	case kTransform:
		w.node(n.lhs, false, s)
		w.node(n.rhs, false, s)
		w.node(n.third, false, s)
	case kObject:
		w.pairs(n, root, s)
	default:
		w.node(n.lhs, root, s)
		w.node(n.rhs, root, s)
		w.node(n.third, root, s)
		w.list(n.list, root, s)
	}
	w.stages(n.predicates, s)
	if n.group != nil && n.kind != kPath {
		w.pairs(n.group, false, s)
	}
}

func (w *walker) list(list []*node, root bool, s *names) {
	for _, n := range list {
		w.node(n, root, s)
	}
}

func (w *walker) pairs(n *node, root bool, s *names) {
	for _, p := range n.pairs {
		w.node(p[0], root, s)
		w.node(p[1], root, s)
	}
}

func (w *walker) stages(stages []stage, s *names) {
	for _, st := range stages {
		w.node(st.expr, false, s)
		if st.index != "" {
			s.add(st.index)
		}
	}
}

func (w *walker) path(n *node, root bool, s *names) {
	inner := &names{parent: s}
	steps := n.list
	for i, step := range steps {
		var next *node
		if i+1 < len(steps) {
			next = steps[i+1]
		}
		first := i == 0
		// Steps that bind their focus leave the context as it is.
		for j := 0; root && j < i; j++ {
			first = steps[j].focus != ""
			if !first {
				break
			}
		}
		switch {
		case step.kind == kName:
			if root && first {
				w.out.Fields = append(w.out.Fields, mention(step, next))
			}
		case step.kind == kVariable:
			var after *node
			if i+2 < len(steps) {
				after = steps[i+2]
			}
			w.variable(step, next, after, root && first, inner)
		case step.kind == kSort:
			for _, t := range step.terms {
				w.node(t.expr, false, inner)
			}
		default:
			w.node(step, root && first, inner)
		}
		if step.kind == kName || step.kind == kVariable {
			w.stages(step.predicates, inner)
		}
		if step.focus != "" {
			inner.add(step.focus)
		}
		if step.index != "" {
			inner.add(step.index)
		}
		w.stages(step.stages, inner)
	}
	if n.group != nil {
		// The group sees what the path binds.
		w.pairs(n.group, false, inner)
	}
}

// variable notes a variable; $ and $$ stand for the input, of which next may be a
// field and after a field of that.
func (w *walker) variable(n, next, after *node, root bool, s *names) {
	m := mention(n, next)
	switch {
	case n.text == "":
		if !root {
			return
		}
	case n.text == "$":
		w.out.Variables = append(w.out.Variables, m)
	case s.has(n.text):
		return
	default:
		m.Library = library()[n.text] != nil
		w.out.Variables = append(w.out.Variables, m)
		return
	}
	if m.Second == "" || len(n.stages) > 0 || len(n.predicates) > 0 {
		w.out.Whole = true
		return
	}
	w.out.Fields = append(w.out.Fields, mention(next, after))
}

// call notes besides its parts whether a call takes its context for an argument.
func (w *walker) call(n *node, root bool, s *names) {
	w.node(n.lhs, root, s)
	w.list(n.list, root, s)
	f := n.lhs
	if !root || f.kind != kVariable || s.has(f.text) {
		return
	}
	lib := library()[f.text]
	if lib == nil {
		return
	}
	need, context := 0, false
	for _, p := range lib.sig.params {
		context = context || p.context
		if p.context || !p.optional {
			need++
		}
	}
	if f.text == "eval" || context && len(n.list) < need {
		w.out.Whole = true
	}
}
