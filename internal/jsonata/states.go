package jsonata

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
)

var statesOnce = sync.OnceValue(func() map[string]*Func {
	set := map[string]*Func{"eval": nil}
	for name, d := range map[string]definition{
		"partition": {"<an:a>", 2, pass(statesPartition)},
		"range":     {"<nnn:a<n>>", 3, pass(statesRange)},
		"hash":      {"<ss:s>", 2, pass(statesHash)},
		"random":    {"<n?:n>", 1, statesRandom},
		"uuid":      {"<:s>", 0, statesUUID},
		"parse":     {"<s:x>", 1, pass(statesParse)},
	} {
		set[name] = &Func{name: name, sig: must(d.signature), arity: d.arity, call: d.call}
	}
	return set
})

// States gives the functions that the States Language adds to JSONata: $partition(array,
// size), $range(first, last, step), $hash(text, algorithm), $random([seed]), $uuid() and
// $parse(text). $eval, which it does not allow, is hidden. The map is the caller's own.
func States() map[string]*Func { return maps.Clone(statesOnce()) }

func misuse(format string, args ...any) error {
	return &Error{Code: "D3137", Value: Undefined, Message: fmt.Sprintf(format, args...)}
}

func isWhole(v any) (int, bool) {
	f, ok := v.(float64)
	return int(f), ok && f == math.Trunc(f) && math.Abs(f) <= 1<<53
}

func statesPartition(_ Call, args []any) (any, error) {
	size, ok := isWhole(args[1])
	if !ok || size <= 0 {
		return nil, misuse("The second argument of $partition must be a positive integer")
	}
	items := args[0].(*Array).Items
	out := &Array{}
	for len(items) > 0 {
		n := min(size, len(items))
		out.Items = append(out.Items, NewArray(items[:n:n]...))
		items = items[n:]
	}
	return out, nil
}

// statesMost is how many items $range may give, as of the intrinsic function.
const statesMost = 1000

// statesRange gives a sequence: Step Functions answers a range of one item as that item.
func statesRange(_ Call, args []any) (any, error) {
	first, ok1 := isWhole(args[0])
	last, ok2 := isWhole(args[1])
	step, ok3 := isWhole(args[2])
	if !ok1 || !ok2 || !ok3 || step == 0 {
		return nil, misuse("The arguments of $range must be integers, and the step not zero")
	}
	out := newSeq()
	for i := first; step > 0 && i <= last || step < 0 && i >= last; i += step {
		if len(out.Items) == statesMost {
			return nil, misuse("$range must not give more than %d items", statesMost)
		}
		out.Items = append(out.Items, float64(i))
	}
	return out, nil
}

func statesHash(_ Call, args []any) (any, error) {
	text := []byte(args[0].(string))
	var sum []byte
	switch args[1] {
	case "MD5":
		s := md5.Sum(text)
		sum = s[:]
	case "SHA-1":
		s := sha1.Sum(text)
		sum = s[:]
	case "SHA-256":
		s := sha256.Sum256(text)
		sum = s[:]
	case "SHA-384":
		s := sha512.Sum384(text)
		sum = s[:]
	case "SHA-512":
		s := sha512.Sum512(text)
		sum = s[:]
	default:
		return nil, misuse("The algorithm of $hash must be MD5, SHA-1, SHA-256, SHA-384 or SHA-512")
	}
	return hex.EncodeToString(sum), nil
}

func statesRandom(c Call, args []any) (any, error) {
	seed, ok := args[0].(float64)
	if !ok {
		return c.Random()
	}
	return rand.New(rand.NewPCG(math.Float64bits(seed), 0)).Float64(), nil
}

func statesUUID(c Call, _ []any) (any, error) {
	var b [16]byte
	for i := range b {
		f, err := c.Random()
		if err != nil {
			return nil, err
		}
		b[i] = byte(f * 256)
	}
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

func statesParse(c Call, args []any) (any, error) {
	text := args[0].(string)
	if err := c.Charge(len(text) / 16); err != nil {
		return nil, err
	}
	v, err := Decode([]byte(text))
	if err != nil {
		return nil, misuse("The argument of $parse must be JSON: %v", err)
	}
	return v, nil
}
