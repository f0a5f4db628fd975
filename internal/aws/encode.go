package aws

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"time"
)

// Form is how times are written.
type Form int

// The forms: calls of AWS's SDK answer with ISO 8601, the optimized integrations with
// milliseconds since 1970.
const (
	ISO Form = iota
	Millis
)

// Encode writes an SDK's answer as Step Functions does: AWS's own names, and nothing for
// what is not set.
func Encode(v any, f Form) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := encode(&b, reflect.ValueOf(v), f); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func encode(b *bytes.Buffer, v reflect.Value, f Form) error {
	switch x := v.Interface().(type) {
	case time.Time:
		if f == Millis {
			b.WriteString(strconv.FormatInt(x.UnixMilli(), 10))
			return nil
		}
		return text(b, x.UTC().Format(time.RFC3339Nano))
	case body:
		return text(b, x.text)
	case json.RawMessage:
		b.Write(x)
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return encode(b, v.Elem(), f)
	case reflect.Struct:
		return fields(b, v, f)
	case reflect.Slice:
		return items(b, v, f)
	case reflect.Map:
		return entries(b, v, f)
	case reflect.String:
		return text(b, v.String())
	}
	j, err := json.Marshal(v.Interface())
	b.Write(j)
	return err
}

// fields writes a struct's fields that are set.
func fields(b *bytes.Buffer, v reflect.Value, f Form) error {
	b.WriteByte('{')
	first := true
	for i := range v.NumField() {
		t, x := v.Type().Field(i), v.Field(i)
		if !t.IsExported() || t.Name == "ResultMetadata" || x.IsZero() {
			continue
		}
		if _, ok := x.Interface().(io.Reader); ok {
			if _, read := x.Interface().(body); !read {
				continue
			}
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		if err := text(b, t.Name); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := encode(b, x, f); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func items(b *bytes.Buffer, v reflect.Value, f Form) error {
	b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := encode(b, v.Index(i), f); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

// entries writes a map; encoding/json sorts its keys.
func entries(b *bytes.Buffer, v reflect.Value, f Form) error {
	m := map[string]json.RawMessage{}
	for k, x := range v.Seq2() {
		raw, err := Encode(x.Interface(), f)
		if err != nil {
			return err
		}
		m[k.String()] = raw
	}
	j, err := json.Marshal(m)
	b.Write(j)
	return err
}

func text(b *bytes.Buffer, s string) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	b.Truncate(b.Len() - 1) // Encode ends with a line break
	return err
}
