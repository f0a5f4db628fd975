package format

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/flow"
)

// A CSV text is read a stretch at a time: where its fields end is found by looking at 64
// bytes at once, and then each column takes its values in a loop of its own. A stretch that
// is not even (a record too short or too long, a stray quote) is read record by record by the
// splitter, which is the judge of everything. Both give the same rows and rejects.

// stretch is about how many bytes are looked at in one go: they and the places of their
// fields stay in a core's cache.
const stretch = 64 << 10

// csvRows makes rows of CSV texts: the state of one reader of them.
type csvRows struct {
	rd     *Reading
	schema *arrow.Schema
	csv    CSV
	width  int
	cols   []csvColumn
	fast   bool // stretches may be looked at; else every record is the splitter's
	strict bool // a stretch that is not in order is somebody else's: errDisorder

	stats   Stats
	rows    int      // of the batch under way, the dead among them
	dead    []int    // those of its rows that are rejects, ascending
	rejects []Reject // since they were last handed over

	full   []byte   // what ends points into
	quoted bool     // some field of the stretch is quoted
	utf8   bool     // all of the stretch is valid UTF-8
	ends   []uint32 // of the fields of a stretch of lines: where their delimiters stand
	masks  [2][stretch / 64]uint64
	odd    []int
	vals   []int64
	why    map[int]*Reject // by row of the stretch
	plain  []byte
}

var errDisorder = errors.New("the quotes of the text are not in order")

func newCSVRows(csv CSV, width int, places []int, rd *Reading) (*csvRows, error) {
	how, err := csv.texts(rd.Zone)
	if err != nil {
		return nil, err
	}
	b := &csvRows{rd: rd, csv: csv, width: width, why: map[int]*Reject{}}
	b.fast = csv.orderly() && (rd.Limit == 0 || rd.Limit > stretch) && !rd.slow
	if b.schema, err = ArrowSchema(rd.Schema); err != nil {
		return nil, err
	}
	for i, c := range rd.Schema {
		t, err := ParseType(c.Type)
		if err != nil {
			return nil, err
		}
		col, err := newCSVColumn(c.Name, places[i], t, csv, how)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		b.cols = append(b.cols, col)
	}
	return b, nil
}

// orderly tells whether quotes of the dialect can be found without reading a text from its
// beginning.
func (c *CSV) orderly() bool {
	return !c.CR && c.Comment == 0 && (c.Quote == 0 || c.Quote == c.Escape) && c.Delimiter != 0
}

func (b *csvRows) release() {
	for i := range b.cols {
		if b.cols[i].b != nil {
			b.cols[i].b.Release()
		}
	}
}

// enough tells whether the batch under way is large enough.
func (b *csvRows) enough() bool {
	most := b.rd.Rows
	if most == 0 {
		most = 8192
	}
	return b.rows >= most
}

// batches are the rows so far, without the dead ones.
func (b *csvRows) batches() []flow.Batch {
	if b.rows == 0 {
		return nil
	}
	arrays := make([]arrow.Array, len(b.cols))
	for i := range b.cols {
		arrays[i] = b.cols[i].array(b.rows)
	}
	batch := array.NewRecordBatch(b.schema, arrays, int64(b.rows))
	for _, a := range arrays {
		a.Release()
	}
	defer batch.Release()
	var out []flow.Batch
	from := 0
	for _, d := range append(b.dead, b.rows) {
		if d > from {
			out = append(out, batch.NewSlice(int64(from), int64(d)))
		}
		from = d + 1
	}
	b.dead, b.rows = b.dead[:0], 0
	return out
}

// take reads the splitter's text on, by a stretch or a record. io.EOF is its end.
func (b *csvRows) take(sp *splitter) error {
	if !b.fast {
		return b.record(sp)
	}
	for {
		x := sp.buf[sp.at:min(len(sp.buf), sp.at+stretch)]
		quote := -1
		if b.csv.Quote != 0 {
			quote = bytes.IndexByte(x, b.csv.Quote)
		}
		if quote >= 0 {
			ok, err := b.quotedLines(sp, len(x))
			if ok || err != nil {
				return err
			}
			x = x[:quote] // what stands before is in order
		}
		if end := bytes.LastIndexByte(x, '\n') + 1; end > 0 {
			return b.lines(sp, end)
		}
		if len(sp.buf)-sp.at < stretch && !sp.eof {
			if err := sp.fill(); err != nil {
				return err
			}
			continue
		}
		if quote >= 0 && b.strict {
			return errDisorder
		}
		return b.record(sp)
	}
}

// record takes one record by the splitter.
func (b *csvRows) record(sp *splitter) error {
	rec, err := sp.next(b.width)
	if err != nil {
		return err
	}
	b.stats.Read++
	switch {
	case rec.fault != "":
		b.reject(Reject{Reason: rec.fault, Line: rec.line, Text: Raw(rec.raw)})
		return nil
	case len(rec.fields) != b.width:
		b.reject(Reject{Reason: misfitWidth(len(rec.fields), b.width), Line: rec.line, Text: Raw(rec.raw)})
		return nil
	}
	var r *Reject
	for i := range b.cols {
		c := &b.cols[i]
		if c.place < 0 || b.csv.null(rec.fields[c.place]) {
			c.null()
		} else if why := c.one(rec.fields[c.place]); why != "" {
			c.null()
			r = r.with(c.name, why)
		}
	}
	b.rows++
	if r == nil {
		b.stats.Written++
		return nil
	}
	b.dead = append(b.dead, b.rows-1)
	r.Line, r.Text = rec.line, Raw(rec.raw)
	b.reject(*r)
	return nil
}

// with adds a column's reason to those of a record.
func (r *Reject) with(column, why string) *Reject {
	if r == nil {
		return &Reject{Column: column, Reason: column + ": " + why}
	}
	r.Reason += "; " + column + ": " + why
	return r
}

func (b *csvRows) reject(r Reject) {
	b.stats.Rejected++
	r.File = b.rd.File
	b.rejects = append(b.rejects, r)
}

func misfitWidth(got, want int) string {
	return fmt.Sprintf("%d fields where %d are expected", got, want)
}

// lines takes the next n bytes: whole lines without a quote.
func (b *csvRows) lines(sp *splitter, n int) error {
	b.full, b.quoted = sp.buf[:cap(sp.buf)], false
	from, to := sp.at, sp.at+n
	rows := bytes.Count(b.full[from:to], []byte{'\n'})
	b.ends = fieldEnds(b.ends[:0], &b.masks[0], b.full, from, to, b.csv.Delimiter)
	return b.even(sp, n, rows, rows)
}

// even takes n bytes whose fields' ends are known, or, where they are not rows of the right
// width, record by record.
func (b *csvRows) even(sp *splitter, n, rows, lines int) error {
	w := b.width
	even := len(b.ends)-1 == rows*w
	for r := 1; even && r <= rows; r++ {
		even = b.full[b.ends[r*w]] == '\n'
	}
	if !even {
		end := sp.offset + int64(n)
		for sp.offset < end {
			if err := b.record(sp); err != nil {
				return err
			}
		}
		return nil
	}
	b.utf8 = utf8.Valid(b.full[sp.at : sp.at+n])
	for i := range b.cols {
		b.cols[i].take(b, rows)
	}
	b.stats.Read += int64(rows)
	if len(b.why) > 0 {
		b.bury(sp)
	}
	b.stats.Written += int64(rows)
	b.rows += rows
	sp.consumed(n, lines)
	return nil
}

// bury makes rejects of the stretch's rows with a misfit.
func (b *csvRows) bury(sp *splitter) {
	var rows []int
	for r := range b.why {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, cmp.Compare)
	line, at := sp.line, sp.at
	for _, r := range rows {
		from, to := int(b.ends[r*b.width]+1), int(b.ends[(r+1)*b.width])
		line, at = line+int64(bytes.Count(b.full[at:from], []byte{'\n'})), from
		x := b.why[r]
		x.Line, x.Text = line, Raw(trimEnd(b.full[from:to]))
		b.dead = append(b.dead, b.rows+r)
		b.reject(*x)
	}
	b.stats.Written -= int64(len(rows))
	clear(b.why)
}

// field is a field of the stretch without its quotes.
func (b *csvRows) field(r, place int) []byte {
	k := r*b.width + place
	from, to := b.ends[k]+1, b.ends[k+1]
	if place == b.width-1 && to > from && b.full[to-1] == '\r' {
		to--
	}
	if b.quoted && to > from && b.full[from] == b.csv.Quote {
		return b.unquote(b.full[from+1 : to-1])
	}
	return b.full[from:to]
}

// unquote makes one quote of two.
func (b *csvRows) unquote(x []byte) []byte {
	i := bytes.IndexByte(x, b.csv.Quote)
	if i < 0 {
		return x
	}
	b.plain = b.plain[:0]
	for i >= 0 {
		b.plain = append(b.plain, x[:i+1]...)
		x = x[i+2:]
		i = bytes.IndexByte(x, b.csv.Quote)
	}
	b.plain = append(b.plain, x...)
	return b.plain
}

// quotedLines takes the whole lines among the next n bytes, in which there are quotes. ok is
// false where there is no whole line or a quote is not where it belongs; in that case nothing
// was taken.
func (b *csvRows) quotedLines(sp *splitter, n int) (ok bool, err error) {
	from, to := sp.at, sp.at+n
	b.full, b.quoted = sp.buf[:cap(sp.buf)], true
	b.ends = append(b.ends[:0], uint32(from-1))
	rows, whole, wholeRows := 0, 1, 0 // whole: of ends, up to the last line feed
	var inside, after, closed uint64  // of the block before: within quotes; its last byte ends a field or quotes; closes quotes
	after = 1
	var pad [64]byte
	for at := from; at < to; at += 64 {
		block := b.full[at:min(at+64, to)]
		if len(block) < 64 {
			pad = [64]byte{}
			copy(pad[:], block)
			block = pad[:]
		}
		var dl, ql [1]uint64
		delimMasks(&dl[0], &block[0], 1, b.csv.Delimiter)
		delimMasks(&ql[0], &block[0], 1, b.csv.Quote)
		lf := dl[0] & ql[0]
		quotes := ql[0] &^ lf
		in := prefixXOR(quotes) ^ inside
		inside = uint64(int64(in) >> 63)
		end, opens, closes := dl[0]&^in, quotes&in, quotes&^in
		// A quote opens at a field's first byte, or makes one of two with that before it.
		if opens&^((end|closes)<<1|after) != 0 {
			return false, nil
		}
		after = (end | closes) >> 63
		// What closes is followed by a field's end, or by a second one.
		for late := (closes<<1 | closed) &^ (end | opens); late != 0; late &= late - 1 {
			i := at + bits.TrailingZeros64(late)
			if i+1 < to && (b.full[i] != '\r' || b.full[i+1] != '\n') {
				return false, nil
			}
		}
		closed = closes >> 63
		for mask := end; mask != 0; mask &= mask - 1 {
			i := bits.TrailingZeros64(mask)
			b.ends = append(b.ends, uint32(at+i))
			if lf>>i&1 != 0 {
				rows++
				whole, wholeRows = len(b.ends), rows
			}
		}
	}
	if wholeRows == 0 {
		return false, nil
	}
	b.ends = b.ends[:whole]
	taken := int(b.ends[whole-1]) + 1 - from
	return true, b.even(sp, taken, wholeRows, bytes.Count(b.full[from:from+taken], []byte{'\n'}))
}

// prefixXOR has in each bit the parity of the bits up to it.
func prefixXOR(x uint64) uint64 {
	for k := 1; k < 64; k <<= 1 {
		x ^= x << k
	}
	return x
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	lows  = highs - ones // 0x7f in every byte
)

// fieldEnds appends the places of delimiters and line feeds in full[from:to], and before
// them the place before from, so that a field lies between two neighbours.
func fieldEnds(ends []uint32, masks *[stretch / 64]uint64, full []byte, from, to int, delim byte) []uint32 {
	ends = append(ends, uint32(from-1))
	for to-from >= 64 {
		blocks := min((to-from)/64, len(masks))
		delimMasks(&masks[0], &full[from], blocks, delim)
		for _, mask := range masks[:blocks] {
			at, n := len(ends), bits.OnesCount64(mask)
			ends = slices.Grow(ends, 64)
			out := ends[at : at+64]
			// Eight at once, needed or not: how many there are is hard to foresee, and a
			// branch that is taken wrongly costs more than all of them.
			for k := 0; ; k += 8 {
				for i := range 8 {
					out[k+i] = uint32(from + bits.TrailingZeros64(mask))
					mask &= mask - 1
				}
				if mask == 0 {
					break
				}
			}
			ends = ends[:at+n]
			from += 64
		}
	}
	for ; from < to; from++ {
		if full[from] == delim || full[from] == '\n' {
			ends = append(ends, uint32(from))
		}
	}
	return ends
}

// portableMasks is delimMasks, eight bytes at once.
func portableMasks(masks []uint64, b []byte, delim byte) {
	d, l := ones*uint64(delim), ones*uint64('\n')
	for i := range masks {
		block := b[i*64 : i*64+64 : i*64+64]
		var mask uint64
		for j := 0; j < 64; j += 8 {
			x := binary.LittleEndian.Uint64(block[j:])
			xd, xl := x^d, x^l
			hit := ^((xd&lows + lows | xd) & (xl&lows + lows | xl)) & highs
			mask |= hit >> 7 * 0x0102040810204080 >> 56 << j
		}
		masks[i] = mask
	}
}

// rest reads what is left of a text, a batch at a time.
func (b *csvRows) rest(ctx context.Context, sp *splitter, yield func(flow.Batch, error) bool) error {
	for {
		err := b.take(sp)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		ended := err != nil
		if !ended && !b.enough() && len(b.rejects) < 1024 && sp.offset-b.stats.Bytes < 4<<20 {
			continue
		}
		b.stats.Bytes = sp.offset
		if err := b.handOver(yield, b.batches()); err != nil || ended {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// handOver tells of rejects and gives batches away.
func (b *csvRows) handOver(yield func(flow.Batch, error) bool, batches []flow.Batch) error {
	*b.rd.Stats = b.stats
	for _, r := range b.rejects {
		if b.rd.Reject == nil {
			break
		}
		if err := b.rd.Reject(r); err != nil {
			release(batches)
			return err
		}
	}
	b.rejects = b.rejects[:0]
	for i, x := range batches {
		if !yield(x, nil) {
			release(batches[i+1:])
			return errStopped
		}
	}
	return nil
}

func release(batches []flow.Batch) {
	for _, x := range batches {
		x.Release()
	}
}

// numericNulls tells whether a text that stands for NULL could be a number or a time.
func (c *CSV) numericNulls() bool {
	return slices.ContainsFunc(c.Nulls, func(n string) bool { return strings.Trim(n, "0123456789+-.: TZ") == "" })
}
