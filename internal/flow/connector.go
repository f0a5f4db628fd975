package flow

import (
	"fmt"
	"reflect"
	"strings"
)

// Connector describes a type of connection: what it is for and which keys it has. The one
// description gives parsing, faults, the JSON Schema and the manual page.
type Connector struct {
	Name  string // the connection's type
	Doc   string
	Keys  []Key
	Uses  []Use
	Built bool // it works in this program; else it is known and refused by name
	Here  bool // it is a file of this machine, which no cluster reaches
}

// Use is what a connection can stand for in a pipeline.
type Use string

// The uses.
const (
	UseSource Use = "source" // extract.from
	UseSink   Use = "sink"   // load.to
	UseBucket Use = "bucket" // behind s3:// URIs
	UseNotify Use = "notify" // in notify
	UseAWS    Use = "aws"    // a target's aws
)

// Can tells whether the connector has the use.
func (c Connector) Can(u Use) bool {
	for _, x := range c.Uses {
		if x == u {
			return true
		}
	}
	return false
}

// OfThisMachine is the connector as one of files of this machine.
func (c Connector) OfThisMachine() Connector {
	c.Here = true
	return c
}

// Key is one key of a connection.
type Key struct {
	Name, Doc, Default string
	Type               string // text, number, boolean, mapping, any
	Secret, Required   bool
	Enum               []string
	Keys               []Key // of a mapping
}

// Define describes a connector by the struct C that its keys are read into. The tags of a field:
//
//	key:"name" doc:"…" def:"…" enum:"a|b" req:"1"
//
// A field of type Secret is a secret; a pointer to a struct is a mapping. With enum a mapping
// may be one of the words instead, which is put into the struct's field tagged word:"1".
func Define[C any](name, doc string, uses ...Use) Connector {
	return Connector{Name: name, Doc: doc, Keys: keysOf(reflect.TypeFor[C]()), Uses: uses, Built: true}
}

func keysOf(t reflect.Type) []Key {
	var keys []Key
	for i := range t.NumField() {
		f := t.Field(i)
		k := Key{Name: f.Tag.Get("key"), Doc: f.Tag.Get("doc"), Default: f.Tag.Get("def"), Required: f.Tag.Get("req") != ""}
		if k.Name == "" {
			continue
		}
		if e := f.Tag.Get("enum"); e != "" {
			k.Enum = strings.Split(e, "|")
		}
		ft := f.Type
		if ft.Kind() == reflect.Pointer && ft.Elem().Kind() == reflect.Struct {
			ft = ft.Elem()
		}
		switch {
		case ft == reflect.TypeFor[Secret]():
			k.Type, k.Secret = "text", true
		case ft.Kind() == reflect.Struct:
			k.Type, k.Keys = "mapping", keysOf(ft)
		case ft.Kind() == reflect.String:
			k.Type = "text"
		case ft.Kind() == reflect.Bool:
			k.Type = "boolean"
		case ft.Kind() == reflect.Int || ft.Kind() == reflect.Float64:
			k.Type = "number"
		default:
			k.Type = "any"
		}
		keys = append(keys, k)
	}
	return keys
}

// Settings are a connection's resolved keys: string, bool, int64, float64, map[string]any, []any.
type Settings map[string]any

// Into reads the settings into the struct that the connector was defined by. What it cannot
// read was found when the project was checked; an error here is of a value from the environment.
func (s Settings) Into(c any) error {
	return into(s, reflect.ValueOf(c).Elem(), "")
}

func into(s map[string]any, v reflect.Value, prefix string) error {
	t := v.Type()
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("key")
		x, ok := s[name]
		if name == "" || !ok || x == nil {
			continue
		}
		f := v.Field(i)
		if f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct {
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		if err := set(f, x, prefix+name); err != nil {
			return err
		}
	}
	return nil
}

func set(f reflect.Value, x any, name string) error {
	if f.Type() == reflect.TypeFor[Secret]() {
		f.Set(reflect.ValueOf(NewSecret(fmt.Sprint(x))))
		return nil
	}
	wrong := fmt.Errorf("key %s: a %s is wanted", name, f.Kind())
	switch f.Kind() {
	case reflect.Struct:
		if word, ok := x.(string); ok {
			for i := range f.NumField() {
				if f.Type().Field(i).Tag.Get("word") != "" {
					f.Field(i).SetString(word)
					return nil
				}
			}
		}
		m, ok := x.(map[string]any)
		if !ok {
			return wrong
		}
		return into(m, f, name+".")
	case reflect.String:
		f.SetString(fmt.Sprint(x))
	case reflect.Bool:
		b, ok := x.(bool)
		if !ok {
			return wrong
		}
		f.SetBool(b)
	case reflect.Int:
		n, ok := x.(int64)
		if !ok {
			return wrong
		}
		f.SetInt(n)
	case reflect.Float64:
		switch n := x.(type) {
		case int64:
			f.SetFloat(float64(n))
		case float64:
			f.SetFloat(n)
		default:
			return wrong
		}
	default:
		f.Set(reflect.ValueOf(x))
	}
	return nil
}
