package format

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/tidemill/tidemill/internal/flow"
)

// chunkBytes is about how much of a text one worker takes at a time: it stays in a core's
// cache, and a batch of it is worth being handed over.
const chunkBytes = 1 << 20

// chunksAhead is how many chunks a worker may be ahead of who takes them: without some slack
// the workers and the query wait for each other, a sixth of the time.
const chunksAhead = 4

// sideBySide reads one text by several workers. Each takes the next chunk that ends with a
// record, as far as its quotes tell; whether they are in order shows when it is read. A chunk
// where they are not, and all that follows, is left to one reader.
type sideBySide struct {
	in     io.ReaderAt
	csv    CSV
	width  int
	places []int
	rd     *Reading
	at     int64 // where what was not handed over begins
	line   int64 // there, from 1

	mu    sync.Mutex
	next  int64 // where the next chunk begins
	ended bool
	order chan chan chunk
}

// chunk is what a worker made of its part of the text.
type chunk struct {
	batches []flow.Batch
	rejects []Reject // their lines count from the chunk's first
	stats   Stats
	bytes   int64
	lines   int64
	err     error // errDisorder: not read
}

// read hands the text over in order. done is false where one reader has to go on from p.at.
func (p *sideBySide) read(ctx context.Context, b *csvRows, yield func(flow.Batch, error) bool) (done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	p.next, p.order = p.at, make(chan chan chunk, chunksAhead*p.rd.Workers)
	var workers sync.WaitGroup
	for range p.rd.Workers {
		workers.Go(func() { p.work(ctx) })
	}
	go func() {
		workers.Wait()
		close(p.order)
	}()
	defer func() {
		cancel()
		for c := range p.order {
			release((<-c).batches)
		}
	}()
	for {
		var c chunk
		select {
		case o, ok := <-p.order:
			if !ok {
				return true, ctx.Err()
			}
			c = <-o
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if c.err != nil {
			if errors.Is(c.err, errDisorder) {
				return false, nil
			}
			return false, c.err
		}
		for i := range c.rejects {
			c.rejects[i].Line += p.line - 1
		}
		p.at, p.line = p.at+c.bytes, p.line+c.lines
		b.rejects = c.rejects
		b.stats.Read, b.stats.Written, b.stats.Rejected = b.stats.Read+c.stats.Read, b.stats.Written+c.stats.Written, b.stats.Rejected+c.stats.Rejected
		b.stats.Bytes = p.at
		if err := b.handOver(yield, c.batches); err != nil {
			return false, err
		}
	}
}

// work reads chunks until there are no more.
func (p *sideBySide) work(ctx context.Context) {
	b, err := newCSVRows(p.csv, p.width, p.places, p.rd)
	if err == nil {
		defer b.release()
		b.strict = true
	}
	var buf []byte
	for {
		var n int
		var last bool
		out := make(chan chunk, 1)
		p.mu.Lock()
		if p.ended || ctx.Err() != nil {
			p.mu.Unlock()
			return
		}
		select {
		case p.order <- out:
		case <-ctx.Done():
			p.mu.Unlock()
			return
		}
		if err == nil {
			buf, n, last, err = p.cut(buf)
		}
		p.next += int64(n)
		p.ended = last || err != nil
		p.mu.Unlock()
		if err != nil {
			out <- chunk{err: err}
			return
		}
		out <- b.chunk(ctx, buf[:n])
	}
}

// cut reads the next chunk into buf and finds its end. The worker holds the lock.
func (p *sideBySide) cut(buf []byte) (_ []byte, n int, last bool, err error) {
	limit := p.rd.Limit
	if limit <= 0 {
		limit = MaxRecord
	}
	want := chunkBytes
	if p.rd.chunk > 0 {
		want = p.rd.chunk
	}
	for ; ; want *= 2 {
		if cap(buf) < want+64 {
			buf = make([]byte, 0, want+64)
		}
		got, err := p.in.ReadAt(buf[:want], p.next)
		if errors.Is(err, io.EOF) {
			return buf, got, true, nil
		}
		if err != nil {
			return buf, 0, false, err
		}
		if n := p.recordsEnd(buf[:got]); n > 0 {
			return buf, n, false, nil
		}
		if want > limit {
			return buf, 0, false, errDisorder // the one reader says what is wrong
		}
	}
}

// recordsEnd is the end of the last whole record of a text that begins with one, if its
// quotes are in order.
func (p *sideBySide) recordsEnd(x []byte) int {
	end := bytes.LastIndexByte(x, '\n') + 1
	if p.csv.Quote == 0 {
		return end
	}
	quote := []byte{p.csv.Quote}
	before := bytes.Count(x[:end], quote)
	for end > 0 && before%2 != 0 {
		was := end
		end = bytes.LastIndexByte(x[:end-1], '\n') + 1
		before -= bytes.Count(x[end:was], quote)
	}
	return end
}

// chunk reads whole records.
func (b *csvRows) chunk(ctx context.Context, x []byte) chunk {
	sp := &splitter{csv: b.csv, max: b.rd.Limit, buf: x, eof: true, line: 1, began: true}
	if sp.max <= 0 {
		sp.max = MaxRecord
	}
	var out chunk
	for out.err == nil {
		if out.err = b.take(sp); out.err == nil && b.rows >= 1<<16 {
			out.batches = append(out.batches, b.batches()...)
		}
		if out.err == nil {
			out.err = ctx.Err()
		}
	}
	out.batches = append(out.batches, b.batches()...)
	out.rejects, out.stats, out.bytes, out.lines = b.rejects, b.stats, sp.offset, sp.line-1
	b.rejects, b.stats = nil, Stats{}
	switch {
	case errors.Is(out.err, io.EOF):
		out.err = nil
	default:
		release(out.batches)
		out.batches = nil
		if ctx.Err() == nil {
			out.err = errDisorder // with an error that names its line in the whole text
		}
	}
	return out
}
