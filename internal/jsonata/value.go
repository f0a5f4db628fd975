package jsonata

import (
	"encoding/json"
	"fmt"
	"sort"
)

type undefinedType struct{}

// String names the sentinel in messages.
func (undefinedType) String() string { return "undefined" }

// Undefined is the value of an expression that selects nothing. It differs from null,
// which is Go's nil. Compare with ==.
var Undefined any = undefinedType{}

// Function is a value that can be called: a lambda, a function of the library, a regular
// expression or a function of the caller's own.
type Function interface {
	// Arity is the number of parameters the function declares.
	Arity() int
	isFunction()
}

// IsFunction tells whether v is a function, which JSON cannot express.
func IsFunction(v any) bool {
	_, ok := v.(Function)
	return ok
}

// Array is a JSON array. The zero value is an empty array. Code outside this package
// reads and fills Items only before the array is handed to an evaluation.
type Array struct {
	Items []any

	seq   bool // a sequence: one item stands for itself, none for undefined
	keep  bool // a sequence of one item that stays an array
	cons  bool // made by a constructor in a path: is not flattened
	outer bool // wraps an input that is an array
	tuple bool // items are *tuple: a path with bound variables or parents
}

// NewArray makes an array of the items, which have to be values of this package.
func NewArray(items ...any) *Array { return &Array{Items: items} }

// Len is the number of items.
func (a *Array) Len() int { return len(a.Items) }

// MarshalJSON makes an array usable with encoding/json.
func (a *Array) MarshalJSON() ([]byte, error) { return Encode(a) }

func newSeq(items ...any) *Array { return &Array{Items: items, seq: true} }

// indexFrom is the number of keys from which an object keeps a map beside its list.
const indexFrom = 9

// Object is a JSON object that keeps the order in which its keys were set. The zero value
// is an empty object.
type Object struct {
	keys  []string
	vals  []any
	index map[string]int
}

// NewObject makes an object of alternating keys and values, as in
// NewObject("a", 1.0, "b", "x"). A key that is no string breaks an invariant.
func NewObject(pairs ...any) *Object {
	o := &Object{}
	for i := 0; i+1 < len(pairs); i += 2 {
		o.Set(pairs[i].(string), pairs[i+1])
	}
	return o
}

// Len is the number of keys.
func (o *Object) Len() int { return len(o.keys) }

// At gives the i-th key and value in order of insertion.
func (o *Object) At(i int) (string, any) { return o.keys[i], o.vals[i] }

// Keys gives the keys in order of insertion; the caller does not change the slice.
func (o *Object) Keys() []string { return o.keys }

// Get gives the value of a key, or Undefined and false.
func (o *Object) Get(key string) (any, bool) {
	if i := o.find(key); i >= 0 {
		return o.vals[i], true
	}
	return Undefined, false
}

func (o *Object) find(key string) int {
	if o.index != nil {
		if i, ok := o.index[key]; ok {
			return i
		}
		return -1
	}
	for i, k := range o.keys {
		if k == key {
			return i
		}
	}
	return -1
}

// Set sets a key, at its old place if it was set before. It is for objects under
// construction: an object that was handed to an evaluation is not changed any more.
func (o *Object) Set(key string, v any) {
	if i := o.find(key); i >= 0 {
		o.vals[i] = v
		return
	}
	o.keys = append(o.keys, key)
	o.vals = append(o.vals, v)
	switch {
	case o.index != nil:
		o.index[key] = len(o.keys) - 1
	case len(o.keys) >= indexFrom:
		o.reindex()
	}
}

// Delete removes a key, under the same rule as Set.
func (o *Object) Delete(key string) {
	i := o.find(key)
	if i < 0 {
		return
	}
	o.keys = append(o.keys[:i], o.keys[i+1:]...)
	o.vals = append(o.vals[:i], o.vals[i+1:]...)
	o.index = nil
	if len(o.keys) >= indexFrom {
		o.reindex()
	}
}

func (o *Object) reindex() {
	o.index = make(map[string]int, 2*len(o.keys))
	for i, k := range o.keys {
		o.index[k] = i
	}
}

// With gives a copy of the object in which key has the value v; o stays as it is.
func (o *Object) With(key string, v any) *Object {
	c := &Object{keys: append(make([]string, 0, len(o.keys)+1), o.keys...), vals: append(make([]any, 0, len(o.vals)+1), o.vals...)}
	if len(c.keys) >= indexFrom {
		c.reindex()
	}
	c.Set(key, v)
	return c
}

// MarshalJSON makes an object usable with encoding/json.
func (o *Object) MarshalJSON() ([]byte, error) { return Encode(o) }

// maxValueDepth is how deep values may be nested; deeper ones are refused where they
// enter or leave, and compared as different.
const maxValueDepth = 10_000

// Equal tells whether two values are the same: numbers by value, arrays item by item,
// objects by keys and values in any order. A function equals only itself.
func Equal(a, b any) bool { return equal(a, b, 0) }

func equal(a, b any, depth int) bool {
	if depth > maxValueDepth {
		return false
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case float64:
		y, ok := b.(float64)
		return ok && x == y
	case string:
		y, ok := b.(string)
		return ok && x == y
	case undefinedType:
		return b == Undefined
	case *Array:
		y, ok := b.(*Array)
		if !ok || len(x.Items) != len(y.Items) {
			return false
		}
		if x == y {
			return true
		}
		for i := range x.Items {
			if !equal(x.Items[i], y.Items[i], depth+1) {
				return false
			}
		}
		return true
	case *Object:
		y, ok := b.(*Object)
		if !ok || len(x.keys) != len(y.keys) {
			return false
		}
		if x == y {
			return true
		}
		for i, k := range x.keys {
			v, ok := y.Get(k)
			if !ok || !equal(x.vals[i], v, depth+1) {
				return false
			}
		}
		return true
	case Function:
		y, ok := b.(Function)
		return ok && x == y
	}
	return false
}

// FromGo makes a value of ordinary Go data: nil, booleans, numbers, strings, []any,
// []string, map[string]any (keys sorted), map[string]string, json.Number, json.RawMessage,
// and values of this package, which stay as they are.
func FromGo(v any) (any, error) { return fromGo(v, 0) }

func fromGo(v any, depth int) (any, error) {
	if depth > maxValueDepth {
		return nil, fmt.Errorf("convert value: nested more than %d deep", maxValueDepth)
	}
	switch x := v.(type) {
	case nil, bool, float64, string, *Array, *Object, undefinedType, Function:
		return v, nil
	case int:
		return float64(x), nil
	case int8:
		return float64(x), nil
	case int16:
		return float64(x), nil
	case int32:
		return float64(x), nil
	case int64:
		return float64(x), nil
	case uint:
		return float64(x), nil
	case uint8:
		return float64(x), nil
	case uint16:
		return float64(x), nil
	case uint32:
		return float64(x), nil
	case uint64:
		return float64(x), nil
	case float32:
		return float64(x), nil
	case json.Number:
		f, err := x.Float64()
		if err != nil {
			return nil, fmt.Errorf("convert number %s: %w", x, err)
		}
		return f, nil
	case json.RawMessage:
		return Decode(x)
	case []any:
		a := &Array{Items: make([]any, len(x))}
		for i := range x {
			c, err := fromGo(x[i], depth+1)
			if err != nil {
				return nil, err
			}
			a.Items[i] = c
		}
		return a, nil
	case []string:
		a := &Array{Items: make([]any, len(x))}
		for i, s := range x {
			a.Items[i] = s
		}
		return a, nil
	case map[string]any:
		o := &Object{}
		for _, k := range sortedKeys(x) {
			c, err := fromGo(x[k], depth+1)
			if err != nil {
				return nil, err
			}
			o.Set(k, c)
		}
		return o, nil
	case map[string]string:
		o := &Object{}
		for _, k := range sortedKeys(x) {
			o.Set(k, x[k])
		}
		return o, nil
	}
	return nil, fmt.Errorf("convert value: a %T is no JSON value", v)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// ToGo takes a value apart into what encoding/json would give: []any, map[string]any
// (which lose the order of keys) and scalars. Undefined and functions become nil.
func ToGo(v any) any {
	switch x := v.(type) {
	case *Array:
		out := make([]any, len(x.Items))
		for i := range x.Items {
			out[i] = ToGo(x.Items[i])
		}
		return out
	case *Object:
		out := make(map[string]any, len(x.keys))
		for i, k := range x.keys {
			out[k] = ToGo(x.vals[i])
		}
		return out
	case undefinedType, Function:
		return nil
	}
	return v
}

// TypeOf names the type of a value as $type does: null, number, string, boolean, array,
// object, function; undefined for Undefined.
func TypeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case *Array:
		return "array"
	case *Object:
		return "object"
	case Function:
		return "function"
	}
	return "undefined"
}
