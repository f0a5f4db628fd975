package sparksql

import (
	"fmt"
	"strings"
)

// columnName is the name that Spark gives a column that has none: the expression's
// text, near enough for people to read. Texts whose columns are used further name them.
func columnName(x expr) string {
	switch x := x.(type) {
	case *column:
		return x.parts[len(x.parts)-1].text
	case *field:
		return x.name.text
	case *literal:
		switch x.kind {
		case litNull:
			return "NULL"
		case litDate:
			return "DATE '" + x.text + "'"
		case litTimestamp:
			return "TIMESTAMP '" + x.text + "'"
		case litTimestampNTZ:
			return "TIMESTAMP_NTZ '" + x.text + "'"
		case litBinary:
			return "X'" + x.text + "'"
		}
		return x.text
	case *place:
		return strings.TrimSpace(x.param.Raw)
	case *binary:
		op := x.op
		if op == "||" {
			return "concat(" + columnName(x.l) + ", " + columnName(x.r) + ")"
		}
		if op == "DIV" {
			op = "div"
		}
		return "(" + columnName(x.l) + " " + op + " " + columnName(x.r) + ")"
	case *unary:
		if x.op == "NOT" {
			return "(NOT " + columnName(x.x) + ")"
		}
		return "(" + x.op + " " + columnName(x.x) + ")"
	case *cast:
		word := "CAST("
		if x.try {
			word = "TRY_CAST("
		}
		return word + columnName(x.x) + " AS " + strings.ToUpper(x.typ.String()) + ")"
	case *subscript:
		return columnName(x.x) + "[" + columnName(x.index) + "]"
	case *call:
		parts := make([]string, len(x.args))
		for i, a := range x.args {
			parts[i] = columnName(a.x)
			if s, ok := a.x.(*star); ok && len(s.qualifier) == 0 && x.name == "count" {
				parts[i] = "1"
			}
		}
		d := ""
		if x.distinct {
			d = "DISTINCT "
		}
		return x.name + "(" + d + strings.Join(parts, ", ") + ")"
	case *is:
		if x.what == "NULL" && x.not {
			return "(" + columnName(x.x) + " IS NOT NULL)"
		}
		return fmt.Sprintf("(%s IS %s)", columnName(x.x), x.what)
	case *subquery:
		return "scalarsubquery()"
	}
	w := &printer{}
	w.expr(x, 0)
	return w.b.String()
}
