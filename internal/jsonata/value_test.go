package jsonata

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestDecodeEncode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		` {"b":1, "a":[true,false,null] , "b":2}`: `{"b":2,"a":[true,false,null]}`,
		`"A\u00e9\ud83d\ude00\n\u0001"`:           `"Aé😀\n\u0001"`,
		`"\ud800x"`:                               `"\ud800x"`,
		`-0`:                                      `0`,
		`1e21`:                                    `1e+21`,
		`123456789012345680000`:                   `123456789012345680000`,
		`1.5e-7`:                                  `1.5e-7`,
		`0.000001`:                                `0.000001`,
		`5e-324`:                                  `5e-324`,
		`100`:                                     `100`,
		`{}`:                                      `{}`,
		`[]`:                                      `[]`,
		`"<&>\u2028"`:                             "\"<&>\u2028\"",
	} {
		v, err := Decode([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		got, err := Encode(v)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{``, `{`, `[1,]`, `{"a"}`, `{"a":1,}`, `01`, `1.`, `-`, `1e`, `"`, `"\x"`, `"\u12"`, "\"\n\"", `nul`, `1 2`, `1e999`, `'a'`,
		strings.Repeat("[", 20_000)} {
		if v, err := Decode([]byte(in)); err == nil {
			t.Errorf("%.20s: got %v, want an error", in, v)
		}
	}
	for _, v := range []any{Undefined, math.NaN(), math.Inf(1), library()["sum"], struct{}{}} {
		if b, err := Encode(v); err == nil {
			t.Errorf("encode %v: got %s, want an error", v, b)
		}
	}
}

func TestObject(t *testing.T) {
	t.Parallel()
	o := &Object{}
	for _, k := range strings.Split("a b c d e f g h i j k l", " ") {
		o.Set(k, k)
	}
	o.Set("c", 3.0)
	o.Delete("b")
	o.Delete("none")
	if got := strings.Join(o.Keys(), ""); got != "acdefghijkl" {
		t.Errorf("keys are %s", got)
	}
	if v, ok := o.Get("c"); !ok || v != 3.0 {
		t.Errorf("c is %v, %v", v, ok)
	}
	if v, ok := o.Get("b"); ok || v != Undefined {
		t.Errorf("b is %v, %v", v, ok)
	}
	w := o.With("z", nil)
	if o.Len() != 11 || w.Len() != 12 {
		t.Errorf("With gives %d keys and leaves %d", w.Len(), o.Len())
	}
	if b, err := json.Marshal(map[string]any{"o": NewObject("x", NewArray(1.0))}); err != nil || string(b) != `{"o":{"x":[1]}}` {
		t.Errorf("marshal gives %s, %v", b, err)
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	read := func(s string) any {
		v, err := Decode([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if !Equal(read(`{"a":[1,{"b":null}],"c":"x"}`), read(`{"c":"x","a":[1,{"b":null}]}`)) {
		t.Error("equal values are different")
	}
	for _, c := range [][2]string{{`1`, `"1"`}, {`[1]`, `[1,2]`}, {`{"a":1}`, `{"b":1}`}, {`null`, `false`}, {`{"a":1}`, `{"a":2}`}, {`[1]`, `1`}} {
		if Equal(read(c[0]), read(c[1])) {
			t.Errorf("%s equals %s", c[0], c[1])
		}
	}
	if Equal(Undefined, nil) || !Equal(Undefined, Undefined) {
		t.Error("undefined is taken for null")
	}
}

func TestFromGo(t *testing.T) {
	t.Parallel()
	v, err := FromGo(map[string]any{"b": []any{1, int64(2), json.Number("3")}, "a": []string{"x"}, "c": json.RawMessage(`{"z":1,"y":2}`), "d": map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := Encode(v); string(b) != `{"a":["x"],"b":[1,2,3],"c":{"z":1,"y":2},"d":{"k":"v"}}` {
		t.Errorf("got %s", b)
	}
	back, err := json.Marshal(ToGo(v))
	if err != nil || string(back) != `{"a":["x"],"b":[1,2,3],"c":{"y":2,"z":1},"d":{"k":"v"}}` {
		t.Errorf("back: got %s, %v", back, err)
	}
	if _, err := FromGo([]any{make(chan int)}); err == nil {
		t.Error("a channel is taken for a value")
	}
}
