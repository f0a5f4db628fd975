package duckdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	duckdb "github.com/duckdb/duckdb-go/v2"
	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// csvTable is a source of CSV files as a table function of DuckDB: the files are read in Go,
// whose reader is the judge of them, while the query runs. Every scan of a query reads them
// anew; what the first one counts and rejects is the step's. (An Arrow stream would do with
// fewer words, but DuckDB hands it filters and projections that a stream cannot follow, and
// finds it empty when it scans it again.)
type csvTable struct {
	w   *work
	src *source
	use flow.Schema
	all []duckdb.ColumnInfo

	ctx    context.Context // of the session, for the callbacks of DuckDB
	cancel context.CancelFunc
	atWork sync.WaitGroup

	mu    sync.Mutex
	first *csvScan
	stats format.Stats // of the first
}

// sourceFunction is the table function's name.
const sourceFunction = "__source"

// bindCSV makes the table source of CSV files.
func (w *work) bindCSV(ctx context.Context, src *source) error {
	t := &csvTable{w: w, src: src}
	var names []string
	for _, c := range w.reader.Used(src.Source) {
		typ, err := format.ParseType(c.Type)
		if err != nil {
			return err
		}
		if typ.Kind == format.Void {
			names = append(names, "NULL AS "+format.QuoteDuckDB(c.Name))
			continue
		}
		info, err := driverType(typ)
		if err != nil {
			return &flow.Error{Op: "read column " + c.Name, Kind: flow.Invalid, Err: err}
		}
		t.use = append(t.use, c)
		t.all = append(t.all, duckdb.ColumnInfo{Name: c.Name, T: info})
		names = append(names, format.QuoteDuckDB(c.Name))
	}
	if len(t.use) == 0 { // the query reads rows and no values
		info, err := duckdb.NewTypeInfo(duckdb.TYPE_VARCHAR)
		if err != nil {
			return err
		}
		t.use = flow.Schema{{Name: src.Schema[0].Name, Type: "string", Nullable: true}}
		t.all = []duckdb.ColumnInfo{{Name: src.Schema[0].Name, T: info}}
		names = append(names, format.QuoteDuckDB(src.Schema[0].Name))
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	w.csv = t
	err := duckdb.RegisterTableUDF(w.conn, sourceFunction, duckdb.ParallelChunkTableFunction{
		BindArguments: func(map[string]any, ...any) (duckdb.ParallelChunkTableSource, error) { return &csvBinding{t: t}, nil }})
	if err != nil {
		return fault(ctx, err)
	}
	return w.exec(ctx, "CREATE TEMP VIEW source AS SELECT "+strings.Join(names, ", ")+" FROM "+sourceFunction+"()")
}

// driverType is a type as DuckDB's driver names it.
func driverType(t format.Type) (duckdb.TypeInfo, error) {
	if t.Kind == format.Decimal {
		return duckdb.NewDecimalInfo(uint8(t.Precision), uint8(t.Scale))
	}
	types := map[format.Kind]duckdb.Type{format.Boolean: duckdb.TYPE_BOOLEAN, format.TinyInt: duckdb.TYPE_TINYINT, format.SmallInt: duckdb.TYPE_SMALLINT, format.Int: duckdb.TYPE_INTEGER,
		format.BigInt: duckdb.TYPE_BIGINT, format.Float: duckdb.TYPE_FLOAT, format.Double: duckdb.TYPE_DOUBLE, format.String: duckdb.TYPE_VARCHAR, format.Binary: duckdb.TYPE_BLOB,
		format.Date: duckdb.TYPE_DATE, format.Timestamp: duckdb.TYPE_TIMESTAMP_TZ, format.TimestampNTZ: duckdb.TYPE_TIMESTAMP}
	d, ok := types[t.Kind]
	if !ok {
		return nil, fmt.Errorf("a text cannot become %s", t)
	}
	return duckdb.NewTypeInfo(d)
}

// close ends all scans.
func (t *csvTable) close() {
	t.cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.atWork.Wait()
}

// csvScan is one reading of the files.
type csvScan struct {
	batches chan flow.Batch
	err     error // set before batches is closed
}

// scan begins to read the files.
func (t *csvTable) scan() *csvScan {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &csvScan{batches: make(chan flow.Batch, 8)}
	reject, stats, tell := func(format.Reject) error { return nil }, new(format.Stats), func(flow.Progress) {}
	if t.first == nil {
		t.first, reject, stats, tell = s, t.w.rejects.Add, &t.stats, t.w.req.Progress
	}
	rd := *t.w.reader
	rd.Progress = tell
	t.atWork.Go(func() {
		defer close(s.batches)
		for b, err := range rd.Read(t.ctx, t.src.Source, t.use, reject, stats) {
			if s.err = err; err != nil {
				return
			}
			select {
			case s.batches <- b:
			case <-t.ctx.Done():
				b.Release()
				s.err = t.ctx.Err()
				return
			}
		}
	})
	return s
}

// reading runs a query over the table. The files are read to their end whatever the query
// took of them: each record is written or rejected.
func (t *csvTable) reading(ctx context.Context, run func(context.Context) error) error {
	err := run(ctx)
	if err != nil {
		t.cancel()
	}
	s := t.first
	if s == nil {
		s = t.scan()
	}
	for b := range s.batches {
		b.Release()
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.err != nil && (err == nil || !errors.Is(s.err, context.Canceled)):
		return s.err // in the reader's own words, not as DuckDB repeats them
	case err != nil:
		return err
	case t.stats.Read != t.stats.Written+t.stats.Rejected:
		return fmt.Errorf("read %d records, wrote %d and rejected %d", t.stats.Read, t.stats.Written, t.stats.Rejected)
	}
	return nil
}

// csvBinding is the table at one place of a query; it may be scanned there more than once.
type csvBinding struct {
	t    *csvTable
	mu   sync.Mutex
	scan *csvScan
}

var _ duckdb.ParallelChunkTableSource = (*csvBinding)(nil)

// ColumnInfos are the columns that the step reads.
func (b *csvBinding) ColumnInfos() []duckdb.ColumnInfo { return b.t.all }

// Cardinality guesses the rows from the size of the files.
func (b *csvBinding) Cardinality() *duckdb.CardinalityInfo {
	bytes := int64(0)
	for _, f := range b.t.src.Files {
		bytes += f.Size
	}
	return &duckdb.CardinalityInfo{Cardinality: uint(bytes / int64(8*len(b.t.src.Schema)))}
}

// Init begins a scan.
func (b *csvBinding) Init() duckdb.ParallelTableSourceInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.scan = b.t.scan()
	if b.t.w.s.ordered {
		return duckdb.ParallelTableSourceInfo{MaxThreads: 1}
	}
	return duckdb.ParallelTableSourceInfo{MaxThreads: runtime.GOMAXPROCS(0)}
}

// csvCursor is where one thread of a scan is.
type csvCursor struct {
	scan  *csvScan
	batch flow.Batch
	at    int
}

// NewLocalState is one thread's.
func (b *csvBinding) NewLocalState() any {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &csvCursor{scan: b.scan}
}

// FillChunk gives up to a vector of rows.
func (b *csvBinding) FillChunk(state any, out duckdb.DataChunk) error {
	c, ok := state.(*csvCursor)
	if !ok {
		return fmt.Errorf("read source: a scan without a place: %T", state)
	}
	for c.batch == nil || c.at == int(c.batch.NumRows()) {
		if c.batch != nil {
			c.batch.Release()
			c.batch = nil
		}
		next, ok := <-c.scan.batches
		if !ok {
			if c.scan.err != nil {
				return c.scan.err
			}
			return out.SetSize(0)
		}
		c.batch, c.at = next, 0
	}
	n := min(duckdb.GetDataChunkCapacity(), int(c.batch.NumRows())-c.at)
	chunk, places, err := insideOf(out)
	if err != nil {
		return err
	}
	for i, p := range places {
		if p >= 0 {
			if err := fillVector(mapping.DataChunkGetVector(chunk, mapping.IdxT(p)), c.batch.Column(i), c.at, n); err != nil {
				return err
			}
		}
	}
	c.at += n
	return out.SetSize(n)
}

// insideOf is DuckDB's own handle of a chunk, and for each column of the table its place in
// the chunk or -1. The driver keeps both to itself; the way it offers costs a call a value.
func insideOf(c duckdb.DataChunk) (mapping.DataChunk, []int, error) {
	v := reflect.ValueOf(c)
	chunk, places := v.FieldByName("chunk"), v.FieldByName("projection")
	if chunk.Kind() != reflect.Struct || places.Kind() != reflect.Slice || chunk.FieldByName("Ptr").Kind() != reflect.UnsafePointer {
		return mapping.DataChunk{}, nil, errors.New("read source: this driver of DuckDB is of another make")
	}
	out := make([]int, places.Len())
	for i := range out {
		out[i] = int(places.Index(i).Int())
	}
	return mapping.DataChunk{Ptr: chunk.FieldByName("Ptr").UnsafePointer()}, out, nil
}

// fillVector copies n values from a place on into an empty vector of the same type.
func fillVector(vec mapping.Vector, from arrow.Array, at, n int) error {
	data := mapping.VectorGetData(vec)
	switch a := from.(type) {
	case *array.Int8:
		copy(unsafe.Slice((*int8)(data), n), a.Int8Values()[at:])
	case *array.Int16:
		copy(unsafe.Slice((*int16)(data), n), a.Int16Values()[at:])
	case *array.Int32:
		copy(unsafe.Slice((*int32)(data), n), a.Int32Values()[at:])
	case *array.Int64:
		copy(unsafe.Slice((*int64)(data), n), a.Int64Values()[at:])
	case *array.Float32:
		copy(unsafe.Slice((*float32)(data), n), a.Float32Values()[at:])
	case *array.Float64:
		copy(unsafe.Slice((*float64)(data), n), a.Float64Values()[at:])
	case *array.Date32:
		copy(unsafe.Slice((*arrow.Date32)(data), n), a.Date32Values()[at:])
	case *array.Timestamp:
		copy(unsafe.Slice((*arrow.Timestamp)(data), n), a.TimestampValues()[at:])
	case *array.Boolean:
		out := unsafe.Slice((*bool)(data), n)
		for i := range out {
			out[i] = a.Value(at + i)
		}
	case *array.Decimal128:
		fillDecimals(data, a, at, n)
	case *array.String:
		fillTexts(vec, data, a.ValueOffsets()[at:], a.ValueBytes()[a.ValueOffset(at)-a.ValueOffset(0):], n)
	case *array.Binary:
		fillTexts(vec, data, a.ValueOffsets()[at:], a.ValueBytes()[a.ValueOffset64(at)-a.ValueOffset64(0):], n)
	default:
		return fmt.Errorf("read source: a column of %s", from.DataType())
	}
	if from.NullN() > 0 {
		mapping.VectorEnsureValidityWritable(vec)
		valid := unsafe.Slice((*uint64)(mapping.VectorGetValidity(vec)), (n+63)/64)
		for i := range n {
			if from.IsNull(at + i) {
				valid[i/64] &^= 1 << (i % 64)
			}
		}
	}
	return nil
}

// fillDecimals: DuckDB keeps a decimal in the least of 16, 32, 64 and 128 bits that holds its precision.
func fillDecimals(data unsafe.Pointer, a *array.Decimal128, at, n int) {
	vals := a.Values()[at : at+n]
	precision := 38
	if t, ok := a.DataType().(*arrow.Decimal128Type); ok {
		precision = int(t.Precision)
	}
	switch {
	case precision <= 4:
		for i, v := range vals {
			unsafe.Slice((*int16)(data), n)[i] = int16(v.LowBits())
		}
	case precision <= 9:
		for i, v := range vals {
			unsafe.Slice((*int32)(data), n)[i] = int32(v.LowBits())
		}
	case precision <= 18:
		out := unsafe.Slice((*int64)(data), n)
		for i, v := range vals {
			out[i] = int64(v.LowBits())
		}
	default:
		copy(unsafe.Slice((*decimal128.Num)(data), n), vals)
	}
}

// text is DuckDB's string_t as two words of a little-endian machine: its size and its first
// four bytes; then the eight that follow, or, of more than twelve, where it lies.
type text [2]uint64

const inText = 12

// fillTexts writes strings. The long ones of a vector are handed to its heap as one.
func fillTexts(vec mapping.Vector, data unsafe.Pointer, offsets []int32, bytes []byte, n int) {
	out := unsafe.Slice((*text)(data), n)
	base := offsets[0]
	long := false
	for i := range n {
		long = long || offsets[i+1]-offsets[i] > inText
	}
	heap := uint64(0)
	if long {
		// The first is assigned them all, and says where they lie.
		mapping.VectorAssignStringElementLen(vec, 0, bytes[:offsets[n]-base])
		heap = out[0][1]
	}
	for i := range n {
		from, to := int(offsets[i]-base), int(offsets[i+1]-base)
		size := uint64(to - from)
		var x, y uint64
		if from+16 <= len(bytes) {
			x, y = binary.LittleEndian.Uint64(bytes[from:]), binary.LittleEndian.Uint64(bytes[from+8:])
		} else {
			var b [16]byte
			copy(b[:], bytes[from:])
			x, y = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
		}
		switch {
		case size > inText:
			out[i] = text{size | x<<32, heap + uint64(from)}
		case size > 4:
			out[i] = text{size | x<<32, (x>>32 | y<<32) & (^uint64(0) >> (8 * (inText - size)))}
		default: // what is behind a string of less is zero
			out[i] = text{size | x&(1<<(8*size)-1)<<32, 0}
		}
	}
}
