package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// column is the type that a dataset keeps a column as, and how its text becomes a value.
type column struct {
	typ arrow.DataType
	put func(b array.Builder, text []byte) error
}

var microsUTC = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// elements are the arrays' types that are kept as lists; others are texts.
var elements = map[uint32]uint32{
	pgtype.BoolArrayOID: pgtype.BoolOID, pgtype.Int2ArrayOID: pgtype.Int2OID, pgtype.Int4ArrayOID: pgtype.Int4OID, pgtype.Int8ArrayOID: pgtype.Int8OID,
	pgtype.Float4ArrayOID: pgtype.Float4OID, pgtype.Float8ArrayOID: pgtype.Float8OID, pgtype.TextArrayOID: pgtype.TextOID, pgtype.VarcharArrayOID: pgtype.VarcharOID,
	pgtype.DateArrayOID: pgtype.DateOID, pgtype.TimestampArrayOID: pgtype.TimestampOID, pgtype.TimestamptzArrayOID: pgtype.TimestamptzOID, pgtype.UUIDArrayOID: pgtype.UUIDOID,
}

// columnOf decides a column's type. A numeric without precision keeps every digit as a text:
// no decimal has room for all that it may hold. Types that a dataset has no word for are
// texts, as PostgreSQL writes them.
func (r *reading) columnOf(_ context.Context, f pgconn.FieldDescription) (column, error) {
	if e, ok := elements[f.DataTypeOID]; ok {
		elem := scalar(e, -1)
		return column{arrow.ListOf(elem.typ), func(b array.Builder, x []byte) error { return putList(b.(*array.ListBuilder), elem, x) }}, nil
	}
	return scalar(f.DataTypeOID, f.TypeModifier), nil
}

func scalar(oid uint32, mod int32) column {
	switch oid {
	case pgtype.BoolOID:
		return column{arrow.FixedWidthTypes.Boolean, func(b array.Builder, x []byte) error {
			b.(*array.BooleanBuilder).Append(len(x) > 0 && x[0] == 't')
			return nil
		}}
	case pgtype.Int2OID:
		return column{arrow.PrimitiveTypes.Int16, whole(16, func(b array.Builder, n int64) { b.(*array.Int16Builder).Append(int16(n)) })}
	case pgtype.Int4OID:
		return column{arrow.PrimitiveTypes.Int32, whole(32, func(b array.Builder, n int64) { b.(*array.Int32Builder).Append(int32(n)) })}
	case pgtype.Int8OID, pgtype.OIDOID:
		return column{arrow.PrimitiveTypes.Int64, whole(64, func(b array.Builder, n int64) { b.(*array.Int64Builder).Append(n) })}
	case pgtype.Float4OID:
		return column{arrow.PrimitiveTypes.Float32, real(32, func(b array.Builder, v float64) { b.(*array.Float32Builder).Append(float32(v)) })}
	case pgtype.Float8OID:
		return column{arrow.PrimitiveTypes.Float64, real(64, func(b array.Builder, v float64) { b.(*array.Float64Builder).Append(v) })}
	case pgtype.NumericOID:
		if p, s := int32(mod-4)>>16, int32(mod-4)&0x7ff; mod >= 4 && p <= 38 && s <= p {
			return column{&arrow.Decimal128Type{Precision: p, Scale: s}, func(b array.Builder, x []byte) error {
				n, err := decimal128.FromString(string(x), p, s)
				if err != nil {
					return fmt.Errorf("%s is no decimal(%d,%d)", x, p, s)
				}
				b.(*array.Decimal128Builder).Append(n)
				return nil
			}}
		}
	case pgtype.ByteaOID:
		return column{arrow.BinaryTypes.Binary, func(b array.Builder, x []byte) error {
			raw, err := hex.DecodeString(strings.TrimPrefix(string(x), `\x`))
			b.(*array.BinaryBuilder).Append(raw)
			return err
		}}
	case pgtype.DateOID:
		return column{arrow.FixedWidthTypes.Date32, func(b array.Builder, x []byte) error {
			t, err := instant(string(x), time.DateOnly)
			b.(*array.Date32Builder).Append(arrow.Date32FromTime(t))
			return err
		}}
	case pgtype.TimestampOID:
		return column{&arrow.TimestampType{Unit: arrow.Microsecond}, timestamp("2006-01-02 15:04:05.999999")}
	case pgtype.TimestamptzOID:
		return column{microsUTC, timestamp("2006-01-02 15:04:05.999999Z07")}
	}
	return column{arrow.BinaryTypes.String, func(b array.Builder, x []byte) error {
		b.(*array.StringBuilder).BinaryBuilder.Append(x)
		return nil
	}}
}

func whole(bits int, put func(array.Builder, int64)) func(array.Builder, []byte) error {
	return func(b array.Builder, x []byte) error {
		n, err := strconv.ParseInt(string(x), 10, bits)
		put(b, n)
		return err
	}
}

func real(bits int, put func(array.Builder, float64)) func(array.Builder, []byte) error {
	return func(b array.Builder, x []byte) error {
		v, err := strconv.ParseFloat(string(x), bits)
		put(b, v)
		return err
	}
}

func timestamp(layout string) func(array.Builder, []byte) error {
	return func(b array.Builder, x []byte) error {
		t, err := instant(string(x), layout)
		b.(*array.TimestampBuilder).Append(arrow.Timestamp(t.UnixMicro()))
		return err
	}
}

// instant reads a time as DateStyle ISO writes it. Infinity and the years before Christ have
// no place in a dataset.
func instant(x, layout string) (time.Time, error) {
	t, err := time.Parse(layout, x)
	if err != nil {
		return t, fmt.Errorf("%s is no time that a dataset can keep", x)
	}
	return t, nil
}

// putList reads an array as PostgreSQL writes it: {1,2,NULL,"a \" b"}. One of several
// dimensions or with bounds of its own is refused: a list has neither.
func putList(b *array.ListBuilder, elem column, x []byte) error {
	if len(x) < 2 || x[0] != '{' {
		return fmt.Errorf("%s is an array with bounds of its own", x)
	}
	b.Append(true)
	values := b.ValueBuilder()
	for i := 1; i < len(x) && x[i] != '}'; {
		if x[i] == '{' {
			return fmt.Errorf("%s is an array of several dimensions", x)
		}
		item, quoted := []byte{}, false
		for ; i < len(x) && (quoted || x[i] != ',' && x[i] != '}'); i++ {
			switch {
			case x[i] == '"':
				quoted = !quoted
			case x[i] == '\\' && i+1 < len(x):
				i++
				item = append(item, x[i])
			default:
				item = append(item, x[i])
			}
		}
		wasQuoted := i > 0 && x[i-1] == '"'
		if string(item) == "NULL" && !wasQuoted {
			values.AppendNull()
		} else if err := elem.put(values, item); err != nil {
			return err
		}
		if i < len(x) && x[i] == ',' {
			i++
		}
	}
	return nil
}
