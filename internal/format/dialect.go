package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/tidemill/tidemill/internal/flow"
)

// Compression is the declared one, or what a name's extension says: none, gzip, zstd.
func Compression(name, declared string) string {
	switch {
	case declared != "":
		return declared
	case strings.HasSuffix(name, ".gz"):
		return "gzip"
	case strings.HasSuffix(name, ".zst"):
		return "zstd"
	}
	return "none"
}

// Of is the declared format, or what a name's extension says.
func Of(name, declared string) (string, error) {
	if declared != "" {
		return declared, nil
	}
	base := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(name), ".gz"), ".zst")
	switch {
	case strings.HasSuffix(base, ".csv"), strings.HasSuffix(base, ".tsv"), strings.HasSuffix(base, ".txt"):
		return "csv", nil
	case strings.HasSuffix(base, ".ndjson"), strings.HasSuffix(base, ".jsonl"):
		return "ndjson", nil
	case strings.HasSuffix(base, ".json"):
		return "json", nil
	case strings.HasSuffix(base, ".parquet"):
		return "parquet", nil
	}
	return "", &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: errors.New("its name tells no format"), Hint: "Set format: csv, json, ndjson or parquet."}
}

// Decode unpacks and turns text into UTF-8. Closing the result does not close r.
func Decode(r io.Reader, compression, enc string) (io.ReadCloser, error) {
	out := io.NopCloser(r)
	switch compression {
	case "", "none":
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("unpack gzip: %w", err)}
		}
		out = z
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("unpack zstd: %w", err)}
		}
		out = z.IOReadCloser()
	default:
		return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("compression %q is not known", compression), Hint: "Known are none, gzip and zstd."}
	}
	e, err := encodingOf(enc)
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	if e == nil {
		return out, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{e.NewDecoder().Reader(out), out}, nil
}

func encodingOf(name string) (encoding.Encoding, error) {
	switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
	case "", "utf-8", "utf8":
		return nil, nil
	case "latin-1", "latin1", "iso-8859-1":
		return charmap.ISO8859_1, nil
	case "windows-1252", "cp1252":
		return charmap.Windows1252, nil
	case "utf-16", "utf16", "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), nil
	case "utf-16be":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM), nil
	}
	return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("encoding %q is not known", name), Hint: "Known are utf-8, latin-1, windows-1252 and utf-16."}
}

// EncodingOf is the declared encoding, or utf-16 where the text's first bytes say so.
func EncodingOf(head []byte, declared string) string {
	if declared != "" {
		return declared
	}
	if bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}) {
		return "utf-16"
	}
	return ""
}

func oneByte(what, text string, none byte) (byte, error) {
	switch {
	case text == "none":
		return 0, nil
	case text == `\t` || text == "tab":
		return '\t', nil
	case len(text) == 1 && text[0] < 0x80:
		return text[0], nil
	case text == "":
		return none, nil
	}
	return 0, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("dialect: %s %q is not one ASCII character", what, text)}
}

// DecideCSV decides the dialect and the header of a CSV file from its beginning, already
// decoded. What is given wins; known are the column names that a header is likely to have.
// Without a header the names are known's, if they are as many, or Spark's _c0, _c1, ….
func DecideCSV(sample []byte, given *flow.Dialect, known []string) (CSV, []string, error) {
	if given == nil {
		given = &flow.Dialect{}
	}
	csv := CSV{Skip: given.Skip, Nulls: given.Nulls, Encoding: given.Encoding, Date: given.Date, Timestamp: given.Timestamp}
	var errs [4]error
	csv.Delimiter, errs[0] = oneByte("delimiter", given.Delimiter, 0)
	csv.Quote, errs[1] = oneByte("quote", given.Quote, '"')
	csv.Escape, errs[2] = oneByte("escape", given.Escape, csv.Quote)
	csv.Comment, errs[3] = oneByte("comment", given.Comment, 0)
	if err := errors.Join(errs[:]...); err != nil {
		return CSV{}, nil, err
	}
	csv.CR = bytes.IndexByte(sample, '\n') < 0 && bytes.IndexByte(sample, '\r') >= 0
	if given.Delimiter == "" {
		csv.Delimiter = sniffDelimiter(sample, csv)
	}
	if given.Escape == "" && csv.Quote != 0 && bytes.Contains(sample, []byte{'\\', csv.Quote}) {
		slashed := csv
		slashed.Escape = '\\'
		if _, bad := widths(sample, slashed, 1000); bad == 0 {
			if _, bad := widths(sample, csv, 1000); bad > 0 {
				csv = slashed
			}
		}
	}
	rows := headRows(sample, csv, 20)
	if len(rows) == 0 {
		csv.Header = given.Header == nil || *given.Header
		return csv, nil, nil
	}
	if given.Header != nil {
		csv.Header = *given.Header
	} else {
		csv.Header = looksLikeHeader(rows, known)
	}
	if csv.Header {
		names, err := headerNames(rows[0])
		return csv, names, err
	}
	if len(known) == len(rows[0]) {
		return csv, known, nil
	}
	names := make([]string, len(rows[0]))
	for i := range names {
		names[i] = "_c" + strconv.Itoa(i)
	}
	return csv, names, nil
}

func headerNames(row []string) ([]string, error) {
	seen := map[string]int{}
	for i, n := range row {
		n = strings.TrimSpace(n)
		if n == "" {
			n = "_c" + strconv.Itoa(i)
		}
		row[i] = n
		if j, ok := seen[strings.ToLower(n)]; ok {
			return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("the header names column %q twice, as column %d and %d", n, j+1, i+1),
				Hint: "Name the columns apart, or skip the header with dialect: { skip: 1, header: false } and columns."}
		}
		seen[strings.ToLower(n)] = i
	}
	return row, nil
}

// headRows reads the first rows; an unfinished last one is left out unless it is the only one.
func headRows(sample []byte, csv CSV, most int) [][]string {
	s := newSplitter(bytes.NewReader(sample), csv, len(sample)+1)
	var rows [][]string
	for len(rows) < most {
		rec, err := s.next(0)
		if err != nil {
			break
		}
		row := make([]string, len(rec.fields))
		for i, f := range rec.fields {
			row[i] = string(f)
		}
		rows = append(rows, row)
	}
	return rows
}

// widths counts the rows that are as wide as the first, and those that are not or cannot be read.
func widths(sample []byte, csv CSV, most int) (width, bad int) {
	s := newSplitter(bytes.NewReader(sample), csv, len(sample)+1)
	for range most {
		rec, err := s.next(0)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return width, bad + 1
		}
		if width == 0 {
			width = len(rec.fields)
		}
		if rec.fault != "" || len(rec.fields) != width && s.at < len(s.buf) {
			bad++
		}
	}
	return width, bad
}

func sniffDelimiter(sample []byte, csv CSV) byte {
	best, bestScore := byte(','), 0
	for _, d := range []byte{',', ';', '\t', '|'} {
		csv.Delimiter = d
		w, bad := widths(sample, csv, 200)
		if w < 2 {
			continue
		}
		score := min(w, 50) + 1000/(1+bad)
		if score > bestScore {
			best, bestScore = d, score
		}
	}
	return best
}

// looksLikeHeader: names that are known, or texts above a row that holds something else.
func looksLikeHeader(rows [][]string, known []string) bool {
	hits := 0
	for _, n := range rows[0] {
		if slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, strings.TrimSpace(n)) }) {
			hits++
		}
	}
	if hits > 0 {
		return true
	}
	for _, n := range rows[0] {
		if n = strings.TrimSpace(n); n == "" && len(rows[0]) == 1 || classOf([]byte(n), texts{})&^anyText != 0 && n != "" {
			return false
		}
	}
	return true
}

// Flow is the dialect in the words of the file format, complete.
func (c CSV) Flow() *flow.Dialect {
	one := func(b byte, none string) string {
		switch b {
		case 0:
			return none
		case '\t':
			return `\t`
		}
		return string(rune(b))
	}
	header := c.Header
	d := &flow.Dialect{Delimiter: one(c.Delimiter, ""), Quote: one(c.Quote, "none"), Header: &header, Encoding: c.Encoding,
		Nulls: c.Nulls, Skip: c.Skip, Comment: one(c.Comment, ""), Date: c.Date, Timestamp: c.Timestamp}
	if c.Escape != c.Quote {
		d.Escape = one(c.Escape, "none")
	}
	return d
}

// MatchGlob tells whether a name fits a pattern of *, ?, [a-z] within one folder and ** for
// any number of folders.
func MatchGlob(pattern, name string) (bool, error) {
	return matchParts(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

func matchParts(pattern, name []string) (bool, error) {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(name) + 1 {
				if ok, err := matchParts(pattern[1:], name[i:]); ok || err != nil {
					return ok, err
				}
			}
			return false, nil
		}
		if len(name) == 0 {
			return false, nil
		}
		if ok, err := path.Match(pattern[0], name[0]); !ok || err != nil {
			return false, err
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0, nil
}
