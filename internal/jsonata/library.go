package jsonata

import "sync"

// transformSignature is that of the value of |…|…|.
var transformSignature = sync.OnceValue(func() *signature { return must("<(oa):o>") })

// must parses a signature of this package.
func must(text string) *signature {
	s, err := parseSignature(text)
	if err != nil {
		panic(err)
	}
	return s
}

type definition struct {
	signature string
	arity     int
	call      func(c Call, args []any) (any, error)
}

var (
	libraryOnce sync.Once
	libraryMap  map[string]*Func
)

// library gives the functions of the language by name. It is made on first use and not as
// a variable of the package, for its functions refer to the evaluator, and that to it.
func library() map[string]*Func {
	libraryOnce.Do(func() {
		libraryMap = map[string]*Func{}
		for _, part := range []map[string]definition{stringFuncs(), regexFuncs(), numberFuncs(), arrayFuncs(), objectFuncs(), timeFuncs()} {
			for name, d := range part {
				libraryMap[name] = &Func{name: name, sig: must(d.signature), arity: d.arity, call: d.call}
			}
		}
	})
	return libraryMap
}

// Functions gives the names of the language's own functions, without the dollar sign.
func Functions() []string { return sortedKeys(library()) }

// pass gives Undefined for an undefined first argument, as nearly all functions do.
func pass(f func(c Call, args []any) (any, error)) func(c Call, args []any) (any, error) {
	return func(c Call, args []any) (any, error) {
		if args[0] == Undefined {
			return Undefined, nil
		}
		return f(c, args)
	}
}

// invoke calls a function given to one of the library, with as many of the arguments as it
// declares, but at least the first.
func (c Call) invoke(f any, args ...any) (any, error) {
	n := 1
	if fn, ok := f.(Function); ok {
		n = min(max(1, fn.Arity()), len(args))
	}
	return c.run.apply(f, args[:n], nil, c.env)
}
