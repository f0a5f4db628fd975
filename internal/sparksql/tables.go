package sparksql

import (
	"sort"
	"strings"
)

// Table is one mention of a table that the query reads and does not define itself.
type Table struct {
	Name string // its parts joined by dots, as written, without backticks
	Pos  Pos
	// Place is the template of identifier({{ … }}); Name is empty then.
	Place *Param
}

// Tables lists the tables that the query reads in the order of the text, every mention.
// The names that WITH defines are left out where they hold.
func (q *Query) Tables() []Table {
	w := &tableWalk{}
	w.query(q.root, nil)
	sort.SliceStable(w.found, func(i, j int) bool { return w.found[i].Pos.Offset < w.found[j].Pos.Offset })
	return w.found
}

// Columns tells which columns of the named table the query may read: their names as
// written, sorted, each once. All is true when the query reads every column or it
// cannot be told. A name may be in the list that is another table's column; a column
// that is not in the list is not read.
func (q *Query) Columns(table string) (names []string, all bool) {
	w := &tableWalk{wanted: strings.ToLower(table), cols: map[string]bool{}}
	w.query(q.root, nil)
	if w.all {
		return nil, true
	}
	return keys(w.cols), false
}

// cteScope is the names that WITH has defined so far, innermost first.
type cteScope struct {
	name string
	up   *cteScope
}

func (s *cteScope) has(n string) bool {
	for ; s != nil; s = s.up {
		if strings.EqualFold(s.name, n) {
			return true
		}
	}
	return false
}

// relScope is the relations of a SELECT and of those around it.
type relScope struct {
	aliases map[string]bool // alias in lower case → it is the wanted table
	holds   bool            // the wanted table is one of them
	up      *relScope
}

type tableWalk struct {
	found  []Table
	wanted string
	cols   map[string]bool
	all    bool
	rels   *relScope
}

func (w *tableWalk) query(q *query, ctes *cteScope) {
	for _, c := range q.with {
		w.query(c.query, ctes)
		ctes = &cteScope{name: c.name.text, up: ctes}
	}
	outer := w.rels
	w.body(q.body, ctes, q)
	w.rels = outer
}

func (w *tableWalk) body(b queryBody, ctes *cteScope, q *query) {
	outer := w.rels
	defer func() { w.rels = outer }()
	switch b := b.(type) {
	case *query:
		w.query(b, ctes)
		w.exprs(tailOf(q), ctes)
	case *setOp:
		w.body(b.l, ctes, nil)
		w.body(b.r, ctes, nil)
		w.exprs(tailOf(q), ctes)
	case *values:
		w.exprs(b.rows, ctes)
	case *tableBody:
		if w.table(b.name, ctes) {
			w.all = true
		}
	case *selectBody:
		w.rels = &relScope{aliases: map[string]bool{}, up: outer}
		for _, r := range b.from {
			w.relation(r, ctes)
		}
		w.exprs(selectExprs(b), ctes)
		w.exprs(tailOf(q), ctes)
	}
}

func tailOf(q *query) []expr {
	if q == nil {
		return nil
	}
	return tailExprs(q)
}

// table notes a mention and says whether it is the wanted table.
func (w *tableWalk) table(parts []name, ctes *cteScope) bool {
	if len(parts) == 1 && parts[0].place == nil && ctes.has(parts[0].text) {
		return false
	}
	t := Table{Pos: parts[0].Pos, Place: parts[0].place}
	if t.Place == nil {
		t.Name = joinName(parts)
	} else if w.wanted != "" {
		// The name is not known yet, so it may be the wanted table's.
		w.all = true
	}
	w.found = append(w.found, t)
	return strings.EqualFold(t.Name, w.wanted)
}

func joinName(parts []name) string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = p.text
	}
	return strings.Join(out, ".")
}

func (w *tableWalk) bind(alias string, wanted bool) {
	w.rels.aliases[strings.ToLower(alias)] = wanted
	w.rels.holds = w.rels.holds || wanted
}

func (w *tableWalk) relation(r relation, ctes *cteScope) {
	switch r := r.(type) {
	case *tableRel:
		wanted := w.table(r.name, ctes)
		alias := r.name[len(r.name)-1].text
		if r.alias.name != nil {
			alias = r.alias.name.text
		}
		if wanted && len(r.alias.columns) > 0 {
			w.all = true
		}
		w.bind(alias, wanted)
	case *queryRel:
		if r.lateral {
			w.query(r.query, ctes)
		} else {
			inner := w.rels
			w.rels = w.rels.up
			w.query(r.query, ctes)
			w.rels = inner
		}
		w.bindAlias(r.alias)
	case *functionRel:
		w.expr(r.call, ctes)
		w.bindAlias(r.alias)
	case *valuesRel:
		w.exprs(r.values.rows, ctes)
		w.bindAlias(r.alias)
	case *groupRel:
		w.relation(r.rel, ctes)
		if r.alias.name != nil {
			w.bind(r.alias.name.text, w.rels.holds)
		}
	case *join:
		w.relation(r.l, ctes)
		w.relation(r.r, ctes)
		if r.on != nil {
			w.expr(r.on, ctes)
		}
		for _, n := range r.using {
			w.column([]name{n})
		}
		w.all = w.all || r.natural && w.rels.holds && w.wanted != ""
	case *pivot:
		w.relation(r.rel, ctes)
		for _, a := range r.aggs {
			w.expr(a.x, ctes)
		}
		w.all = w.all || w.rels.holds && w.wanted != ""
		w.bindAlias(r.alias)
	case *unpivot:
		w.relation(r.rel, ctes)
		w.all = w.all || w.rels.holds && w.wanted != ""
		w.bindAlias(r.alias)
	}
}

func (w *tableWalk) bindAlias(a relAlias) {
	if a.name != nil {
		w.bind(a.name.text, false)
	}
}

func (w *tableWalk) exprs(xs []expr, ctes *cteScope) {
	for _, x := range xs {
		w.expr(x, ctes)
	}
}

func (w *tableWalk) expr(x expr, ctes *cteScope) {
	switch x := x.(type) {
	case *column:
		w.column(x.parts)
		return
	case *star:
		w.star(x)
		return
	case *call:
		if x.name == "count" && len(x.args) == 1 && !x.distinct {
			if s, ok := x.args[0].x.(*star); ok && len(s.qualifier) == 0 {
				rest := *x
				rest.args = nil
				x2, _ := exprChildren(&rest)
				w.exprs(x2, ctes)
				return
			}
		}
	}
	xs, qs := exprChildren(x)
	w.exprs(xs, ctes)
	for _, q := range qs {
		w.query(q, ctes)
	}
}

func (w *tableWalk) column(parts []name) {
	if w.wanted == "" {
		return
	}
	if parts[0].place != nil {
		w.all = true
		return
	}
	if len(parts) > 1 {
		first := strings.ToLower(parts[0].text)
		for s := w.rels; s != nil; s = s.up {
			if wanted, ok := s.aliases[first]; ok {
				if wanted {
					w.cols[parts[1].text] = true
				}
				// An alias may also be a column's name; the column is then read too.
				break
			}
		}
	}
	for s := w.rels; s != nil; s = s.up {
		if s.holds {
			w.cols[parts[0].text] = true
			return
		}
	}
}

func (w *tableWalk) star(x *star) {
	if w.wanted == "" || w.rels == nil {
		return
	}
	if len(x.qualifier) == 0 {
		w.all = w.all || w.rels.holds
		return
	}
	last := strings.ToLower(x.qualifier[len(x.qualifier)-1].text)
	for s := w.rels; s != nil; s = s.up {
		if wanted, ok := s.aliases[last]; ok {
			w.all = w.all || wanted
			return
		}
	}
	w.column(x.qualifier)
}
