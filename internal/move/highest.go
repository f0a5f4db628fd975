package move

import (
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// highest remembers the greatest value of a cursor's column. A nil one remembers nothing.
type highest struct {
	column int
	any    bool
	whole  int64
	real   float64
	string string
	dec    decimal128.Num
	typ    arrow.DataType
}

func newHighest(schema flow.Schema, column string) (*highest, error) {
	if column == "" {
		return nil, nil
	}
	i := format.Index(schema, column)
	if i < 0 {
		return nil, invalid("read the cursor", "the extract has no column "+column, "")
	}
	t, err := format.ParseType(schema[i].Type)
	if err != nil {
		return nil, err
	}
	if t.Kind >= format.Array || t.Kind == format.Boolean || t.Kind == format.Binary || t.Kind == format.Void {
		return nil, invalid("read the cursor", fmt.Sprintf("column %s is a %s, which has no greatest value", column, schema[i].Type), "")
	}
	return &highest{column: i, typ: t.Arrow()}, nil
}

func (h *highest) look(b flow.Batch) {
	if h == nil {
		return
	}
	a := b.Column(h.column)
	for i := range a.Len() {
		if !a.IsNull(i) {
			h.value(a, i)
		}
	}
}

func (h *highest) value(a arrow.Array, i int) {
	whole := func(n int64) {
		if !h.any || n > h.whole {
			h.whole = n
		}
	}
	switch a := a.(type) {
	case *array.Int8:
		whole(int64(a.Value(i)))
	case *array.Int16:
		whole(int64(a.Value(i)))
	case *array.Int32:
		whole(int64(a.Value(i)))
	case *array.Int64:
		whole(a.Value(i))
	case *array.Date32:
		whole(int64(a.Value(i)))
	case *array.Timestamp:
		whole(int64(a.Value(i)))
	case *array.Float32:
		if v := float64(a.Value(i)); !h.any || v > h.real {
			h.real = v
		}
	case *array.Float64:
		if v := a.Value(i); !h.any || v > h.real {
			h.real = v
		}
	case *array.Decimal128:
		if v := a.Value(i); !h.any || v.Cmp(h.dec) > 0 {
			h.dec = v
		}
	case *array.String:
		if v := a.Value(i); !h.any || v > h.string {
			h.string = strings.Clone(v)
		}
	default:
		return
	}
	h.any = true
}

// text is the value as a mark keeps it: times in ISO 8601, in UTC.
func (h *highest) text() string {
	if h == nil || !h.any {
		return ""
	}
	switch t := h.typ.(type) {
	case *arrow.Date32Type:
		return arrow.Date32(h.whole).ToTime().UTC().Format(time.DateOnly)
	case *arrow.TimestampType:
		at := time.UnixMicro(h.whole).UTC()
		if t.TimeZone == "" {
			return at.Format("2006-01-02 15:04:05.999999")
		}
		return at.Format("2006-01-02T15:04:05.000000Z")
	case *arrow.Decimal128Type:
		return h.dec.ToString(t.Scale)
	case *arrow.Float32Type, *arrow.Float64Type:
		return fmt.Sprint(h.real)
	case *arrow.StringType:
		return h.string
	}
	return fmt.Sprint(h.whole)
}
