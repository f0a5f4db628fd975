package format

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/flow"
)

// The most bytes that a search cluster takes for a document's id.
const maxDocumentID = 512

// DocumentID is the id of the document that stands for row i of a batch, the n-th of all rows:
// the values of the id's columns joined by |, or, where there are none, prefix-n.
func DocumentID(columns []arrow.Array, prefix string, i int, n int64) (string, error) {
	if len(columns) == 0 {
		return prefix + "-" + strconv.FormatInt(n, 10), nil
	}
	parts := make([]string, len(columns))
	for k, a := range columns {
		if a.IsNull(i) {
			return "", &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("row %d has no value in an id column", n), Hint: "Add the check not_null on the id's columns, or leave such rows out."}
		}
		parts[k] = text(a, i)
		if len(columns) > 1 {
			parts[k] = strings.ReplaceAll(strings.ReplaceAll(parts[k], `\`, `\\`), "|", `\|`)
		}
	}
	id := strings.Join(parts, "|")
	if len(id) > maxDocumentID || id == "" {
		return "", &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("row %d: an id has 1 to %d bytes, this has %d", n, maxDocumentID, len(id)), Hint: "Choose other columns for id."}
	}
	return id, nil
}

// DocumentVersion is a version as search clusters want it: a whole number that is not
// negative. An instant counts in microseconds, a date in days.
func DocumentVersion(column arrow.Array, i int) (int64, error) {
	fault := func(text string) error {
		return &flow.Error{Kind: flow.Invalid, Err: errors.New(text), Hint: "version is a column of whole numbers, dates or timestamps without NULL."}
	}
	if column.IsNull(i) {
		return 0, fault("a version is NULL")
	}
	v := int64(-1)
	switch a := column.(type) {
	case *array.Int64:
		v = a.Value(i)
	case *array.Int32:
		v = int64(a.Value(i))
	case *array.Date32:
		v = int64(a.Value(i))
	case *array.Timestamp:
		v = a.Value(i).ToTime(a.DataType().(*arrow.TimestampType).Unit).UnixMicro()
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		if f := a.Value(i).ToFloat64(scale); scale != 0 || f >= math.MaxInt64 {
			return 0, fault("a version of type " + column.DataType().String() + " is no whole number of 64 bits")
		}
		v = int64(a.Value(i).LowBits()) //nolint:gosec // it fits
	default:
		return 0, fault("a version of type " + column.DataType().String() + " cannot be compared")
	}
	if v < 0 {
		return 0, fault("a version is negative")
	}
	return v, nil
}
