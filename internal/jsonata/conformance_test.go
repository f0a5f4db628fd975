//go:build conformance

package jsonata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/conform/judge"
)

// suiteCase is one case of the language's own suite.
type suiteCase struct {
	Expr      *string         `json:"-"`
	ExprFile  string          `json:"expr-file"`
	Data      json.RawMessage `json:"data"`
	Dataset   *string         `json:"dataset"`
	Bindings  json.RawMessage `json:"bindings"`
	Depth     int             `json:"depth"`
	TimeLimit int             `json:"timelimit"`
	Result    json.RawMessage `json:"result"`
	Undefined bool            `json:"undefinedResult"`
	Unordered bool            `json:"unordered"`
	Code      string          `json:"code"`
	Token     string          `json:"token"`
	Error     *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// TestConformance plays the language's own suite, which lies in the folder jsonata of the
// folder that CASES names.
func TestConformance(t *testing.T) {
	t.Parallel()
	cases := os.Getenv("CASES") //nolint:forbidigo // names the folder of recorded cases
	if cases == "" {
		t.Fatal("CASES names no folder")
	}
	folder := filepath.Join(cases, "jsonata")
	files, err := filepath.Glob(filepath.Join(folder, "groups", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find cases in %s: %v", folder, err)
	}
	known, err := judge.ReadKnown(filepath.Join("testdata", "known.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tally := judge.NewTally("jsonata", "groups", known)
	for _, file := range files {
		list, err := readCases(file)
		if err != nil {
			t.Fatal(err)
		}
		id := strings.TrimSuffix(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), ".json")
		for i := range list {
			name := id
			if len(list) > 1 {
				name = fmt.Sprintf("%s-%d", id, i)
			}
			tally.Case(os.Stderr, name, list[i].play(folder, file))
		}
	}
	if err := tally.Close(os.Stdout); err != nil {
		t.Error(err)
	}
}

func readCases(file string) ([]suiteCase, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSpace(text)
	if text[0] != '[' {
		text = append(append([]byte{'['}, text...), ']')
	}
	var list []suiteCase
	// A raw message of null would be lost.
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var raw []map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	for i := range list {
		list[i].Result, list[i].Data = raw[i]["result"], raw[i]["data"]
		if raw[i]["expr"] == nil {
			continue
		}
		v, err := Decode(raw[i]["expr"])
		if err != nil {
			return nil, err
		}
		expr, _ := v.(string) // lone surrogates in it would be lost in encoding/json
		list[i].Expr = &expr
	}
	return list, nil
}

func (c *suiteCase) input(folder string) (any, error) {
	if c.Data != nil {
		return Decode(c.Data)
	}
	if c.Dataset == nil {
		return Undefined, nil
	}
	text, err := os.ReadFile(filepath.Join(folder, "datasets", *c.Dataset+".json"))
	if err != nil {
		return nil, err
	}
	return Decode(bytes.TrimPrefix(text, []byte("\ufeff")))
}

func (c *suiteCase) play(folder, file string) error {
	text := ""
	if c.Expr != nil {
		text = *c.Expr
	} else {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.ExprFile))
		if err != nil {
			return err
		}
		text = string(b)
	}
	in, err := c.input(folder)
	if err != nil {
		return err
	}
	env := Env{Now: time.Now(), Random: func() float64 { return 0.3 }, MaxDepth: c.Depth, Vars: map[string]any{}}
	if c.Bindings != nil {
		b, err := Decode(c.Bindings)
		if err != nil {
			return err
		}
		if o, ok := b.(*Object); ok {
			for i := range o.Len() {
				k, v := o.At(i)
				env.Vars[k] = v
			}
		}
	}
	if c.TimeLimit > 0 {
		env.MaxSteps = 1000 * c.TimeLimit
	}
	got, err := evalText(text, in, env)
	return c.compare(got, err)
}

func evalText(text string, in any, env Env) (any, error) {
	e, err := Parse(text)
	if err != nil {
		return nil, err
	}
	return e.Eval(in, env)
}

func (c *suiteCase) compare(got any, err error) error {
	code := c.Code
	if c.Error != nil {
		code = c.Error.Code
	}
	if code != "" {
		var e *Error
		if !errors.As(err, &e) {
			return fmt.Errorf("want %s, got %s, %v", code, show(got), err)
		}
		have := e.Code
		// U1001 is what the suite's own harness threw where evaluation took too long or
		// nested too deep, before the language had codes for both.
		if code == "U1001" && (have == "D1011" || have == "D1012") {
			have = code
		}
		if have != code || c.Token != "" && e.Token != c.Token || c.Error != nil && c.Error.Message != "" && e.Message != c.Error.Message {
			return fmt.Errorf("want %s %s, got %v (token %s)", code, c.Token, err, e.Token)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("want %s, got error %w", c.Result, err)
	}
	if c.Undefined {
		if got != Undefined {
			return fmt.Errorf("want undefined, got %s", show(got))
		}
		return nil
	}
	want, err := Decode(c.Result)
	if err != nil {
		return err
	}
	if got == Undefined {
		return fmt.Errorf("want %s, got undefined", c.Result)
	}
	// What JSON cannot hold is compared as JSON would hold it.
	if f, err := Encode(got); err == nil {
		if got, err = Decode(f); err != nil {
			return err
		}
	}
	if !Equal(want, got) && !(c.Unordered && sameSet(want, got)) {
		return fmt.Errorf("want %s, got %s", show(want), show(got))
	}
	return nil
}

func sameSet(a, b any) bool {
	x, ok := a.(*Array)
	y, ok2 := b.(*Array)
	if !ok || !ok2 || x.Len() != y.Len() {
		return false
	}
	left := append([]any(nil), y.Items...)
	for _, v := range x.Items {
		found := false
		for i, w := range left {
			if Equal(v, w) {
				left = append(left[:i], left[i+1:]...)
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}
