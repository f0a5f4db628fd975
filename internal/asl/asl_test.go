package asl_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/asl"
	"golang.org/x/tools/txtar"
)

// TestFaults parses machines that are wrong and wants the fault, at its place, among all.
func TestFaults(t *testing.T) {
	t.Parallel()
	state := func(s string) string { return `{"QueryLanguage":"JSONata","StartAt":"a","States":{"a":` + s + `}}` }
	for _, c := range []struct{ text, want string }{
		{`{`, "the text is no JSON"},
		{`[]`, "an object is wanted"},
		{`{"QueryLanguage":"JSONata","StartAt":"b","States":{"a":{"Type":"Succeed"}}}`, `/StartAt: there is no state "b"`},
		{`{"QueryLanguage":"SQL","StartAt":"a","States":{"a":{"Type":"Succeed"}}}`, `"SQL" is no query language`},
		{`{"StartAt":"a","States":{"a":{"Type":"Pass","End":true}}}`, "JSONPath is not run yet"},
		{state(`{"Type":"Pass"}`), "/States/a: a state has either Next or End: true"},
		{state(`{"Type":"Pass","Next":"z"}`), `it leads to "z", which is no state`},
		{state(`{"Type":"Psas","End":true}`), `/States/a/Type: "Psas" is no type of state`},
		{state(`{"Type":"Pass","End":true,"Nxt":1}`), "/States/a/Nxt: unknown field Nxt"},
		{state(`{"Type":"Pass","End":true,"InputPath":"$.x"}`), "belongs to the query language JSONPath"},
		{state(`{"Type":"Pass","End":true,"Output":"{% $x( %}"}`), "/States/a/Output: the expression cannot be read"},
		{state(`{"Type":"Pass","End":true,"Assign":{"states":1}}`), "the variable states is reserved"},
		{state(`{"Type":"Task","End":true}`), "field Resource is missing"},
		{state(`{"Type":"Task","Resource":"x","End":true}`), `"x" is no ARN`},
		{state(`{"Type":"Task","Resource":"arn:x","End":true,"Retry":[{"ErrorEquals":["States.ALL"]},{"ErrorEquals":["x"]}]}`), "States.ALL stands alone, and in the last place"},
		{state(`{"Type":"Task","Resource":"arn:x","End":true,"Retry":[{"ErrorEquals":["x"],"MaxAttempts":-1}]}`), "a number of at least 0 is wanted"},
		{state(`{"Type":"Task","Resource":"arn:x","End":true,"Catch":[{"ErrorEquals":["x"]}]}`), "/States/a/Catch/0: field Next is missing"},
		{state(`{"Type":"Choice","Choices":[]}`), "a list of at least one rule is wanted"},
		{state(`{"Type":"Wait","End":true}`), "a Wait has Seconds or Timestamp"},
		{state(`{"Type":"Parallel","Branches":[],"End":true}`), "a list of at least one branch is wanted"},
		{state(`{"Type":"Map","End":true}`), "field ItemProcessor is missing"},
		{state(`{"Type":"Map","End":true,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED"},"StartAt":"b","States":{"b":{"Type":"Succeed"}}}}`), "a distributed Map is not run yet"},
		{state(`{"Type":"Parallel","End":true,"Branches":[{"StartAt":"a","States":{"a":{"Type":"Succeed"}}}]}`), "the name is taken by"},
		{`{"QueryLanguage":"JSONata","StartAt":"a","States":{"a":{"Type":"Succeed"},"b":{"Type":"Succeed"}}}`, "/States/b: no state leads to it"},
	} {
		_, err := asl.Parse([]byte(c.text))
		var faults asl.Faults
		if !errors.As(err, &faults) {
			t.Errorf("%s is accepted", c.text)
			continue
		}
		all := ""
		for _, f := range faults {
			all += f.String() + "\n"
		}
		if !strings.Contains(all, c.want) {
			t.Errorf("%s:\n%swant %s", c.text, all, c.want)
		}
	}
}

// FuzzParse reads any text: it must not panic, and what is accepted has its first state.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../machine/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, x := range a.Files {
			if x.Name == "machine.json" {
				f.Add(x.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := asl.Parse(text)
		if err == nil && m.State(m.StartAt) == nil {
			t.Errorf("accepted without its first state: %s", text)
		}
	})
}
