package opensearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// The size of a bulk body, and how many are under way at once. Both products advise bodies
// of 5 to 15 MB; two writers fill a small node, and more are added while it keeps up.
const (
	bodyBytes   = 5 << 20
	bodyDocs    = 20_000
	fewWorkers  = 2
	mostWorkers = 8
)

// body is one bulk request: its documents' places in data, and what is known of each.
type body struct {
	data  []byte
	ends  []int   // of each document's lines in data
	first int64   // row of the first document, from 1
	rows  []int64 // of the documents, where they do not follow one another
}

func (b *body) lines(i int) []byte {
	from := 0
	if i > 0 {
		from = b.ends[i-1]
	}
	return b.data[from:b.ends[i]]
}

func (b *body) row(i int) int64 {
	if b.rows != nil {
		return b.rows[i]
	}
	return b.first + int64(i)
}

// bulk writes rows into a target through a bounded number of requests.
type bulk struct {
	c      *client
	w      flow.Write
	target string
	query  url.Values
	mark   string // mirror: what every document is marked with

	mu      sync.Mutex
	receipt flow.Receipt
	gate    *gate
}

// write encodes and sends all rows and counts what became of each.
func (b *bulk) write(ctx context.Context, rows flow.Rows) (flow.Receipt, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	bodies := make(chan *body, 1)
	b.gate = newGate(fewWorkers, mostWorkers)
	var senders sync.WaitGroup
	for range mostWorkers {
		senders.Go(func() {
			for body := range bodies {
				if err := b.deliver(ctx, body); err != nil {
					cancel(err)
				}
				spare.Put(body) //nolint:staticcheck // it is a pointer
			}
		})
	}
	err := b.encode(ctx, rows, bodies)
	if err != nil {
		cancel(err)
	}
	close(bodies)
	senders.Wait()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return b.receipt, err
}

var spare = sync.Pool{New: func() any { return &body{data: make([]byte, 0, bodyBytes+64<<10)} }}

func newBody(first int64) *body {
	b := spare.Get().(*body)
	b.data, b.ends, b.rows, b.first = b.data[:0], b.ends[:0], nil, first
	return b
}

// encode turns batches into bodies. It waits where the senders are behind, and so does who
// reads the rows.
func (b *bulk) encode(ctx context.Context, rows flow.Rows, out chan<- *body) error {
	row := int64(1)
	cur := newBody(row)
	send := func() bool {
		if len(cur.ends) == 0 {
			return true
		}
		select {
		case out <- cur:
			cur = newBody(row)
			return true
		case <-ctx.Done():
			return false
		}
	}
	for batch, err := range rows() {
		if err != nil {
			return err
		}
		e, err := b.encoder(batch)
		if err != nil {
			batch.Release()
			return err
		}
		for i := range int(batch.NumRows()) {
			if cur.data, err = e.append(cur.data, i, row); err != nil {
				batch.Release()
				return err
			}
			cur.ends = append(cur.ends, len(cur.data))
			row++
			if (len(cur.data) >= bodyBytes || len(cur.ends) >= bodyDocs) && !send() {
				batch.Release()
				return context.Cause(ctx)
			}
		}
		batch.Release()
	}
	b.mu.Lock()
	b.receipt.Read = row - 1
	b.mu.Unlock()
	if !send() {
		return context.Cause(ctx)
	}
	return nil
}

// encoder writes one batch's rows as the lines of bulk actions.
type encoder struct {
	objects *format.Objects
	ids     []arrow.Array
	version arrow.Array
	delete  *array.Boolean
	prefix  string // of ids that are made of a row's place
	mark    []byte
}

func (b *bulk) encoder(batch flow.Batch) (*encoder, error) {
	column := func(name string) arrow.Array {
		for i := range int(batch.NumCols()) {
			if batch.ColumnName(i) == name {
				return batch.Column(i)
			}
		}
		return nil
	}
	e := &encoder{objects: format.NewObjects(batch, false, nonEmpty(b.w.Delete)...), prefix: b.w.Step + "-" + b.w.Time}
	for _, id := range b.w.ID {
		e.ids = append(e.ids, column(id))
	}
	if b.w.Version != "" {
		e.version = column(b.w.Version)
	}
	if b.w.Delete != "" {
		d, ok := column(b.w.Delete).(*array.Boolean)
		if !ok {
			return nil, &flow.Error{Op: "load into " + b.w.Index, Kind: flow.Invalid, Err: fmt.Errorf("column %s is no boolean", b.w.Delete)}
		}
		e.delete = d
	}
	if b.mark != "" {
		e.mark = append(format.AppendString([]byte(`"`+markField+`":`), b.mark), '}')
	}
	return e, nil
}

func (e *encoder) append(b []byte, i int, row int64) ([]byte, error) {
	gone := e.delete != nil && !e.delete.IsNull(i) && e.delete.Value(i)
	if gone {
		b = append(b, `{"delete":{"_id":`...)
	} else {
		b = append(b, `{"index":{"_id":`...)
	}
	id, err := format.DocumentID(e.ids, e.prefix, i, row)
	if err != nil {
		return b, err
	}
	b = format.AppendString(b, id)
	if e.version != nil {
		v, err := format.DocumentVersion(e.version, i)
		if err != nil {
			return b, fmt.Errorf("row %d: %w", row, err)
		}
		b = strconv.AppendInt(append(b, `,"version":`...), v, 10)
		b = append(b, `,"version_type":"external_gte"`...)
	}
	b = append(b, "}}\n"...)
	if gone {
		return b, nil
	}
	b = e.objects.Append(b, i)
	if e.mark != nil {
		b = b[:len(b)-1]
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(b, e.mark...)
	}
	return append(b, '\n'), nil
}

// deliver sends a body and those of its documents that are to be sent again, until each is
// written or refused.
func (b *bulk) deliver(ctx context.Context, body *body) error {
	pause := 100 * time.Millisecond
	last := time.Now() // of progress
	for {
		if err := b.gate.enter(ctx); err != nil {
			return err
		}
		begun := time.Now()
		left, err := b.send(ctx, body)
		full := left != nil || flow.KindOf(err) == flow.Throttled || flow.KindOf(err) == flow.Timeout
		b.gate.leave(full, time.Since(begun))
		switch k := flow.KindOf(err); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && k != flow.Transient && k != flow.Throttled && k != flow.Timeout:
			return err
		case err == nil && left == nil:
			return nil
		case err == nil && len(left.ends) < len(body.ends):
			last, body = time.Now(), left
		case time.Since(last) > patience:
			if err == nil {
				err = &flow.Error{Op: "write into " + b.target, Kind: flow.Throttled, Err: fmt.Errorf("the cluster has refused %d documents for %s", len(left.ends), patience), Hint: "It has more to do than it can: look at its queues."}
			}
			return err
		}
		if flow.Pause(ctx, max(pause, retryAfter(err))) != nil {
			return context.Cause(ctx)
		}
		pause = min(2*pause, 10*time.Second)
	}
}

func retryAfter(err error) time.Duration {
	var e *flow.Error
	if errors.As(err, &e) {
		return min(e.RetryAfter, 30*time.Second)
	}
	return 0
}

// send makes one bulk request. It returns the documents that are to be sent again.
func (b *bulk) send(ctx context.Context, body *body) (*body, error) {
	a, err := b.c.send(ctx, http.MethodPost, b.target+"/_bulk", b.query, body.data)
	if err != nil {
		return nil, err
	}
	left, err := b.results(a.body, body)
	return left, errors.Join(err, a.body.Close())
}

// head is as much of an answer as tells whether any document failed.
const head = 64

// results reads what became of each document.
func (b *bulk) results(r io.Reader, sent *body) (*body, error) {
	start := make([]byte, head)
	n, err := io.ReadFull(r, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, &flow.Error{Op: "read the answer of " + b.target, Kind: flow.Transient, Err: err}
	}
	if bytes.Contains(start[:n], []byte(`"errors":false`)) {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return nil, &flow.Error{Op: "read the answer of " + b.target, Kind: flow.Transient, Err: err}
		}
		b.count(int64(len(sent.ends)), int64(len(sent.data)), 0)
		return nil, nil
	}
	var out struct {
		Items []map[string]struct {
			ID     string `json:"_id"`
			Status int    `json:"status"`
			Error  *fault `json:"error"`
		} `json:"items"`
	}
	if err := json.NewDecoder(io.MultiReader(bytes.NewReader(start[:n]), r)).Decode(&out); err != nil {
		return nil, &flow.Error{Op: "read the answer of " + b.target, Kind: flow.Transient, Err: err}
	}
	if len(out.Items) != len(sent.ends) {
		return nil, &flow.Error{Op: "write into " + b.target, Kind: flow.Transient, Err: fmt.Errorf("%d documents were sent and %d answered", len(sent.ends), len(out.Items))}
	}
	var again *body
	var written, older, size int64
	for i, item := range out.Items {
		for verb, x := range item {
			switch kind, _ := itemKind(x.Status, x.Error); {
			case x.Status < 300, verb == "delete" && x.Status == http.StatusNotFound && x.Error == nil:
				written++
				size += int64(len(sent.lines(i)))
			case x.Status == http.StatusConflict && b.w.Version != "":
				older++
			case kind == flow.Transient || kind == flow.Throttled:
				if again == nil {
					again = &body{}
				}
				again.data = append(again.data, sent.lines(i)...)
				again.ends = append(again.ends, len(again.data))
				again.rows = append(again.rows, sent.row(i))
			case kind == flow.NotFound || kind == flow.Denied:
				return nil, &flow.Error{Op: "write into " + b.target, Kind: kind, Err: errors.New(x.Error.String())}
			default:
				if err := b.dead(sent, i, x.ID, x.Error); err != nil {
					return nil, err
				}
			}
		}
	}
	b.count(written, size, older)
	return again, nil
}

// itemKind tells what one document's failure means.
func itemKind(status int, f *fault) (flow.Kind, string) {
	if f == nil {
		f = &fault{}
	}
	return sortStatus(status, f.Type, f.Reason)
}

func (b *bulk) dead(sent *body, i int, id string, f *fault) error {
	_, doc, _ := bytes.Cut(sent.lines(i), []byte{'\n'})
	reason := "refused without a reason"
	if f != nil {
		reason = f.String()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.receipt.Rejected++
	return b.w.Dead(flow.DeadLetter{Row: sent.row(i), ID: id, Reason: reason, Document: bytes.TrimSpace(doc)})
}

func (b *bulk) count(written, size, older int64) {
	b.mu.Lock()
	b.receipt.Written += written
	b.receipt.Bytes += size
	b.receipt.Older += older
	p := flow.Progress{Doing: "write into " + b.w.Index, Rows: b.receipt.Written + b.receipt.Older + b.receipt.Rejected, TotalRows: b.w.Count, Bytes: b.receipt.Bytes}
	b.mu.Unlock()
	b.w.Progress(p)
}

// gate bounds how many requests are under way: one more after a round without complaint,
// half as many after the cluster was too busy.
type gate struct {
	mu            sync.Mutex
	free          *sync.Cond
	inside, limit int
	most, good    int
}

func newGate(few, most int) *gate {
	g := &gate{limit: few, most: most}
	g.free = sync.NewCond(&g.mu)
	return g
}

func (g *gate) enter(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.free.Broadcast()
	})
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inside >= g.limit && ctx.Err() == nil {
		g.free.Wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	g.inside++
	return nil
}

// brisk is how long a body may take while more are still added.
const brisk = 500 * time.Millisecond

func (g *gate) leave(full bool, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	switch {
	case full:
		g.limit, g.good = max(1, g.limit/2), 0
	case took < brisk:
		if g.good++; g.good >= 2*g.limit && g.limit < g.most {
			g.limit, g.good = g.limit+1, 0
		}
	default:
		g.good = 0
	}
	g.free.Broadcast()
}
