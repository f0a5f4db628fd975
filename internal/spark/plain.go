package spark

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/extract"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// What Spark's csv reader and ours read alike is decided on the safe side: whatever is not
// plain is read in Go. The suite of hostile files holds the two against each other.

// strange says what about a dialect or a schema Spark would read in another way.
func strange(src *extract.Source, use flow.Schema) string {
	c := src.CSV
	switch {
	case src.InGo || c.CR:
		return "lines end with a carriage return"
	case c.Comment != 0:
		return "comments"
	case c.Skip > 0:
		return "lines before the header"
	case c.Quote == 0 || c.Escape != c.Quote:
		return "quotes that are not doubled"
	case c.Delimiter == ' ' || c.Delimiter >= utf8.RuneSelf || c.Quote >= utf8.RuneSelf:
		return "an unusual delimiter"
	}
	for _, col := range use {
		t, err := format.ParseType(col.Type)
		switch {
		case err != nil || t.Kind >= format.Array || t.Kind == format.Binary || t.Kind == format.Void:
			return "a column of type " + col.Type
		case t.Kind == format.Date && c.Date != "", t.Kind >= format.Timestamp && t.Kind <= format.TimestampNTZ && c.Timestamp != "":
			return "a pattern of dates"
		}
	}
	return ""
}

// plainLines counts the records of a csv in which a line is a record, or says why it is not
// one: the header is not counted.
func plainLines(ctx context.Context, path string, csv format.CSV) (records int64, why string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close() //nolint:errcheck // only read
	r := bufio.NewReaderSize(f, 1<<20)
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return 0, "", context.Cause(ctx)
		}
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return 0, "a line is longer than a MiB", nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, "", err
		}
		if len(line) > 0 {
			if why := plainLine(line, csv, n == 0); why != "" {
				return 0, fmt.Sprintf("line %d %s", n+1, why), nil
			}
			records++
		}
		if err != nil {
			break
		}
	}
	if csv.Header && records > 0 {
		records--
	}
	return records, "", nil
}

// plainLine says what about a line Spark would read in another way; empty: nothing.
func plainLine(line []byte, csv format.CSV, first bool) string {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
	if first {
		if rest, ok := bytes.CutPrefix(line, []byte("\ufeff")); ok {
			if !csv.Header {
				return "begins with a byte order mark"
			}
			line = rest
		}
	}
	switch {
	case len(line) == 0:
		return "is blank"
	case bytes.IndexByte(line, '\r') >= 0:
		return "has a carriage return inside"
	case bytes.IndexByte(line, 0) >= 0:
		return "has a NUL byte"
	case !utf8.Valid(line):
		return "is not valid UTF-8"
	}
	for i := bytes.IndexByte(line, csv.Quote); i >= 0 && i < len(line); {
		// At a quote: it opens a field, or Spark and we may differ.
		if i > 0 && line[i-1] != csv.Delimiter {
			return "has a quote inside a field"
		}
		for i++; ; i += 2 {
			k := bytes.IndexByte(line[i:], csv.Quote)
			if k < 0 {
				return "ends within quotes"
			}
			if i += k; i+1 >= len(line) || line[i+1] != csv.Quote {
				break
			}
		}
		if i++; i < len(line) && line[i] != csv.Delimiter {
			return "has text behind a quote"
		}
		k := bytes.IndexByte(line[i:], csv.Quote)
		if k < 0 {
			break
		}
		i += k
	}
	return ""
}
