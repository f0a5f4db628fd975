package duckdb

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

func TestValues(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("f.csv", "region,n,amount,day,at,ok\nwest,2,1.50,2017-11-07,2017-11-06 10:00:00,true\neast,10,2.00,2017-11-06,2017-11-06 09:00:00,false\n\"a\"\"b\",2,1.5,2017-11-07,,\n,9007199254740993,,,,\nwest,,,,,\n")
	out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: "f.csv", Columns: cols("region string", "n bigint", "amount decimal(12,2)", "day date", "at timestamp", "ok boolean")}})
	ask := func(column string, most int) (string, error) {
		text, err := Tasks(p.config())["values"](t.Context(), p.request(map[string]any{"engine": "duckdb", "manifest": out.Manifest, "column": column, "most": most}))
		return string(text), err
	}
	for column, want := range map[string]string{
		"region": `{"values":["a\"b","east","west"]}`,
		"REGION": `{"values":["a\"b","east","west"]}`,
		"n":      `{"values":[2,10,9007199254740993]}`,
		"amount": `{"values":[1.50,2.00]}`,
		"day":    `{"values":["2017-11-06","2017-11-07"]}`,
		"at":     `{"values":["2017-11-06T09:00:00.000000Z","2017-11-06T10:00:00.000000Z"]}`,
		"ok":     `{"values":[false,true]}`,
	} {
		if got, err := ask(column, 1000); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", column, got, err, want)
		}
	}
	if got, err := ask("region", 3); err != nil {
		t.Errorf("as many as may be: %s %v", got, err)
	}
	if _, err := ask("region", 2); flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "more than 2") || flow.HintOf(err) == "" {
		t.Errorf("too many: %v (%s)", err, flow.HintOf(err))
	}
	if _, err := ask("regoin", 2); flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "region, n, amount") {
		t.Errorf("no such column: %v", err)
	}
}
