package postgres

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/flow"
)

func TestNewHidesTheURL(t *testing.T) {
	t.Parallel()
	_, err := New(Settings{URL: flow.NewSecret("postgres://u:hunter2@[::1/x")})
	if flow.KindOf(err) != flow.Invalid || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{}`: `[[]]`, `{a}`: `[["a"]]`, `{a,b c}`: `[["a" "b c"]]`, `{NULL,"NULL",null}`: `[[(null) "NULL" "null"]]`, `{"","{}","a,b"}`: `[["" "{}" "a,b"]]`, `{"x\"y\\z"}`: `[["x\"y\\z"]]`,
		`{{1},{2}}`: "several dimensions", `[2:3]={1,2}`: "bounds of its own", ``: "bounds of its own",
	} {
		b := array.NewListBuilder(memory.DefaultAllocator, arrow.BinaryTypes.String)
		err := putList(b, scalar(25, -1), []byte(in))
		got := ""
		if err == nil {
			got = b.NewArray().String()
		} else {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
		b.Release()
	}
}
