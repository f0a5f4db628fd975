// Package jsonata is an evaluator of JSONata, the query and transformation language for
// JSON: text and values in, values out. It does no I/O, reads no clock and holds no
// randomness of its own; what an expression may know of the world comes in by Env.
//
// Parse turns a text into an Expr, which is immutable and safe for concurrent use.
// Expr.Eval gives its value:
//
//	e, err := jsonata.Parse("$sum(order.lines.(price * quantity))")
//	in, err := jsonata.Decode(body)
//	v, err := e.Eval(in, jsonata.Env{})
//	out, err := jsonata.Encode(v)
//
// Values are nil (JSON's null), bool, float64, string, *Array, *Object, Undefined and
// functions (Function). Undefined is what an expression gives that selects nothing; it is
// not null. Decode and FromGo make values, Encode and ToGo take them apart. A value that
// was handed to Eval is never changed, and may be shared between evaluations.
//
// The language is that of the reference implementation, version 2.2, with these
// deliberate differences:
//
//   - Objects keep the order of insertion for every key; JavaScript moves keys that look
//     like integers to the front.
//   - Regular expressions are run in linear time and have neither look-around nor
//     back-references: Parse refuses them with S0303. A character beyond U+FFFF is one
//     character to them, and to $split, not two halves.
//   - Where JavaScript's NaN would be the result of $parseInteger it is undefined, and of
//     $toMillis the error D3110. $power may differ in the last digit.
//   - The items of an array and the values of an object are evaluated one after the other,
//     so that of several errors the first in the text is reported.
//   - A transform changes the objects of its copy alone; properties of other values, which
//     JavaScript refuses with an error of its own, are left out.
//   - Nesting, steps and sizes are bounded (D1011, D1012, D1014, S0299), and time and
//     randomness come by Env (D1015, D1016).
package jsonata
