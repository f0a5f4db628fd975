package format

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/tidemill/tidemill/internal/flow"
)

// ParquetWriter writes batches into one Parquet file with bounded memory: a row group is
// written when it has 64 Ki rows.
type ParquetWriter struct {
	w    *pqarrow.FileWriter
	rows int64
}

// NewParquetWriter begins a Parquet file. It does not close w.
func NewParquetWriter(w io.Writer, schema *arrow.Schema) (*ParquetWriter, error) {
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(1), parquet.WithMaxRowGroupLength(64<<10),
		parquet.WithCreatedBy("tidemill"))
	pw, err := pqarrow.NewFileWriter(schema, struct{ io.Writer }{w}, props, pqarrow.NewArrowWriterProperties(pqarrow.WithAllocator(memory.DefaultAllocator)))
	if err != nil {
		return nil, fmt.Errorf("write parquet: %w", err)
	}
	return &ParquetWriter{w: pw}, nil
}

// Write appends a batch, which stays its owner's.
func (p *ParquetWriter) Write(b flow.Batch) error {
	p.rows += b.NumRows()
	if err := p.w.WriteBuffered(b); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// Rows is how many rows were written.
func (p *ParquetWriter) Rows() int64 { return p.rows }

// Close writes the footer; without it there is no file.
func (p *ParquetWriter) Close() error {
	if err := p.w.Close(); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// bucketFile reads an object at any place, the way Parquet's reader wants it.
type bucketFile struct {
	ctx  context.Context
	b    flow.Bucket
	name string
	size int64
	at   int64
}

func (f *bucketFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), f.size-off)
	r, err := f.b.Open(f.ctx, f.name, off, want)
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r, p[:want])
	if err = errors.Join(err, r.Close()); err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (f *bucketFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.at)
	f.at += int64(n)
	return n, err
}

func (f *bucketFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	f.at = offset
	return offset, nil
}

// ReadParquet reads a Parquet object as batches, a row group at a time.
func ReadParquet(ctx context.Context, b flow.Bucket, name string) (*arrow.Schema, iter.Seq2[flow.Batch, error], error) {
	o, err := b.Stat(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	fault := func(err error) error {
		if flow.KindOf(err) != flow.Unknown {
			return err
		}
		return &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: err}
	}
	pf, err := file.NewParquetReader(&bucketFile{ctx: ctx, b: b, name: name, size: o.Size})
	if err != nil {
		return nil, nil, fault(err)
	}
	fr, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 8192}, memory.DefaultAllocator)
	if err != nil {
		return nil, nil, fault(errors.Join(err, pf.Close()))
	}
	schema, err := fr.Schema()
	if err != nil {
		return nil, nil, fault(errors.Join(err, pf.Close()))
	}
	return schema, func(yield func(flow.Batch, error) bool) {
		defer pf.Close() //nolint:errcheck // only read
		rr, err := fr.GetRecordReader(ctx, nil, nil)
		if err != nil {
			yield(nil, fault(err))
			return
		}
		defer rr.Release()
		for rr.Next() {
			batch := rr.RecordBatch()
			batch.Retain()
			if !yield(batch, nil) {
				return
			}
		}
		if err := rr.Err(); err != nil && !errors.Is(err, io.EOF) {
			yield(nil, fault(err))
		}
	}, nil
}

// ParquetFooter is what the footer of an open Parquet file tells.
func ParquetFooter(r parquet.ReaderAtSeeker) (rows int64, schema flow.Schema, err error) {
	pf, err := file.NewParquetReader(r)
	if err != nil {
		return 0, nil, err
	}
	defer pf.Close() //nolint:errcheck // only read
	as, err := pqarrow.FromParquet(pf.MetaData().Schema, nil, nil)
	if err != nil {
		return 0, nil, err
	}
	schema, err = SchemaOf(as)
	return pf.NumRows(), schema, err
}

// ParquetStat is what the footer of a Parquet object tells.
func ParquetStat(ctx context.Context, b flow.Bucket, o flow.Object) (rows int64, schema flow.Schema, err error) {
	return ParquetFooter(&bucketFile{ctx: ctx, b: b, name: o.Name, size: o.Size})
}
