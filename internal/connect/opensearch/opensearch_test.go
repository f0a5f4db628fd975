package opensearch

import (
	"fmt"
	"io"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/flow"
)

var testSchema = flow.Schema{{Name: "id", Type: "bigint"}, {Name: "name", Type: "string"}}

func testWrite(mode, index string, n int) flow.Write {
	return flow.Write{Load: flow.Load{Pipeline: "shop", Step: "search", Time: "20171106T060000Z"}, Run: "r1", Attempt: 1, Mode: mode, Period: "all", Index: index,
		Schema: testSchema, Count: int64(n), ID: []string{"id"}, Log: io.Discard, Progress: func(flow.Progress) {}, Dead: func(flow.DeadLetter) error { return nil }}
}

func testRows(n int) flow.Rows {
	return namedRows(n, func(i int) string { return fmt.Sprint("row ", i) })
}

func namedRows(n int, name func(int) string) flow.Rows {
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "name", Type: arrow.BinaryTypes.String}}, nil)
	return func() iter.Seq2[flow.Batch, error] {
		return func(yield func(flow.Batch, error) bool) {
			for from := 0; from < n; from += 1000 {
				b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
				for i := from; i < min(n, from+1000); i++ {
					b.Field(0).(*array.Int64Builder).Append(int64(i))
					b.Field(1).(*array.StringBuilder).Append(name(i))
				}
				batch := b.NewRecordBatch()
				b.Release()
				if !yield(batch, nil) {
					return
				}
			}
		}
	}
}
