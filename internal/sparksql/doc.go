// Package sparksql reads Spark's query language without an engine. It gives the tree of
// a text with positions, the tables and columns a text names, the places of its
// {{ … }} values, and the same query in DuckDB's words.
//
// The translation accepts a text only if every function, operator, cast and clause of
// it stands in one table, which [Constructs] yields for the manual. Everything else is
// a [Fault] that names the construct, its position and the way out. The rule above all
// others: a query that is accepted gives the rows that Spark gives, or an error while
// it runs; it never silently gives others.
//
// The package uses nothing but the standard library and does no I/O.
package sparksql

import "fmt"

// Pos is a place in a text. Line and Column count from one, Column in characters;
// Offset is in bytes from zero.
type Pos struct {
	Offset, Line, Column int
}

// String gives line:column.
func (p Pos) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// Error is a fault in the text itself: it is no Spark SQL query.
type Error struct {
	Pos     Pos
	Message string
	Hint    string // one sentence with something to do, or empty
}

// Error gives position and message.
func (e *Error) Error() string {
	if e.Hint != "" {
		return fmt.Sprintf("%s: %s (%s)", e.Pos, e.Message, e.Hint)
	}
	return fmt.Sprintf("%s: %s", e.Pos, e.Message)
}
