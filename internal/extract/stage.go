package extract

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// stage makes every file a plain one of this machine: fetched, unpacked, in UTF-8.
func (rd *Reader) stage(ctx context.Context, src *Source, files []found) error {
	e := rd.Extract
	enc := ""
	if e.Dialect != nil {
		enc = e.Dialect.Encoding
	}
	for _, f := range files {
		p, err := rd.Fetch(ctx, f.bucket, f.object.Name)
		if err != nil {
			return err
		}
		head, err := headOf(p, 4)
		if err != nil {
			return err
		}
		packed := format.Compression(f.object.Name, e.Compression)
		coded := enc
		if src.Kind == "csv" && packed == "none" {
			coded = format.EncodingOf(head, enc)
		}
		if src.Kind != "parquet" && (packed != "none" || coded != "" && !strings.EqualFold(coded, "utf-8")) {
			if p, err = rd.decode(ctx, p, f.Show, packed, coded); err != nil {
				return err
			}
		}
		info, err := os.Stat(p)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Show, err)
		}
		src.Files = append(src.Files, File{Show: f.Show, Path: p, Size: info.Size()})
	}
	return nil
}

func headOf(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	head, err := io.ReadAll(io.LimitReader(f, int64(n)))
	return head, err
}

// decode unpacks a file beside, so that DuckDB's threads can share it and our scanner sees
// the same bytes.
func (rd *Reader) decode(ctx context.Context, path, show, packed, enc string) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close() //nolint:errcheck // only read
	r, err := format.Decode(bufio.NewReaderSize(&ctxReader{ctx, in}, 1<<20), packed, enc)
	if err != nil {
		return "", &flow.Error{Op: "read " + show, Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err}
	}
	to := filepath.Join(rd.Temp, rd.scratchName(path)) + ".plain"
	out, err := os.Create(to)
	if err != nil {
		return "", err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, r, make([]byte, 1<<20))
	if e := r.Close(); err == nil {
		err = e
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it is cut short: its compressed data ends too early")
		}
		return "", &flow.Error{Op: "read " + show, Kind: flow.Invalid, Err: err, Hint: "Fetch the file anew, or say what it is with compression and dialect: { encoding: … }."}
	}
	return to, nil
}

// ctxReader ends a long read with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// noDoubles refuses two files of the same content: a day's file delivered under two names
// counts every row twice.
func noDoubles(ctx context.Context, files []File) error {
	bySize := map[int64][]File{}
	for _, f := range files {
		if f.Size > 0 {
			bySize[f.Size] = append(bySize[f.Size], f)
		}
	}
	for _, same := range bySize {
		if len(same) < 2 {
			continue
		}
		seen := map[[32]byte]string{}
		for _, f := range same {
			in, err := os.Open(f.Path)
			if err != nil {
				return err
			}
			h := sha256.New()
			_, err = io.Copy(h, &ctxReader{ctx, in})
			if err = errors.Join(err, in.Close()); err != nil {
				return fmt.Errorf("read %s: %w", f.Show, err)
			}
			sum := [32]byte(h.Sum(nil))
			if other, ok := seen[sum]; ok {
				return &flow.Error{Op: "read " + f.Show, Kind: flow.Invalid, Err: fmt.Errorf("it has the same content as %s", other), Hint: "Remove one of the two, or name the files more narrowly."}
			}
			seen[sum] = f.Show
		}
	}
	return nil
}
