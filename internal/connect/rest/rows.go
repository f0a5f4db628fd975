package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/jsonata"
)

// rowPlace is where a for_each is: rows before it are done, and of it the pages before At.
type rowPlace struct {
	Row int64  `json:"row"`
	At  *place `json:"at,omitempty"`
}

// rowWork is one row that is asked for.
type rowWork struct {
	n    int64
	text []byte
	at   *place
	last bool
	out  chan rowResult // closed after the last
}

type rowResult struct {
	page flow.Page
	err  error
}

// eachRow makes the request for each row of the query, several at a time, and yields the
// pages in the order of the rows.
func (x *extraction) eachRow(ctx context.Context, q flow.Query, yield func(flow.Page, error) bool) {
	from := rowPlace{}
	if q.From != nil {
		if err := json.Unmarshal(q.From, &from); err != nil {
			yield(flow.Page{}, &flow.Error{Op: "go on from the last row", Kind: flow.Conflict, Err: err})
			return
		}
	}
	parent := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Rows are begun in order, so that the one that is waited for is always at work.
	begun := make(chan *rowWork, 4*x.api.settings.Concurrency)
	todo := make(chan *rowWork)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { x.begin(ctx, q, from, begun, todo) })
	for range x.api.settings.Concurrency {
		all.Go(func() {
			for w := range todo {
				x.row(ctx, w)
			}
		})
	}
	for w := range begun {
		for r := range w.out {
			if r.err != nil {
				yield(flow.Page{}, r.err)
				return
			}
			if !yield(r.page, nil) {
				return
			}
		}
		if parent.Err() != nil { // the row may have been cut short: none after it counts
			break
		}
	}
	if parent.Err() != nil {
		yield(flow.Page{}, &flow.Error{Op: "read row by row", Kind: flow.KindOf(parent.Err()), Err: context.Cause(parent)})
	}
}

// begin hands the rows out.
func (x *extraction) begin(ctx context.Context, q flow.Query, from rowPlace, begun, todo chan<- *rowWork) {
	defer close(begun)
	defer close(todo)
	n := int64(-1)
	hand := func(w *rowWork) bool {
		select {
		case begun <- w:
		case <-ctx.Done():
			return false
		}
		if w.text == nil { // an error, which stands in its out
			return true
		}
		select {
		case todo <- w:
			return true
		case <-ctx.Done():
			close(w.out)
			return false
		}
	}
	var held *rowWork // handed out when it is known whether it is the last
	for text, err := range q.Rows {
		if n++; err == nil && n < from.Row {
			continue
		}
		if held != nil && !hand(held) {
			return
		}
		held = &rowWork{n: n, out: make(chan rowResult, 4)}
		if err != nil {
			held.out <- rowResult{err: err}
			close(held.out)
			break
		}
		held.text = bytes.Clone(text)
		if n == from.Row {
			held.at = from.At
		}
	}
	if held != nil {
		held.last = true
		hand(held)
	}
}

// row makes the requests of one row.
func (x *extraction) row(ctx context.Context, w *rowWork) {
	defer close(w.out)
	put := func(r rowResult) bool {
		select {
		case w.out <- r:
			return true
		case <-ctx.Done():
			return false
		}
	}
	row, err := decodeRow(w.text)
	if err != nil {
		put(rowResult{err: &flow.Error{Op: fmt.Sprintf("read row %d", w.n+1), Kind: flow.Invalid, Err: err}})
		return
	}
	after := func(p *flow.Page, at *place) error {
		next := rowPlace{Row: w.n, At: at}
		if at == nil {
			next.Row++
		}
		p.Name = fmt.Sprintf("row %d, %s", w.n+1, p.Name)
		if at == nil && w.last {
			p.Next = nil
			return nil
		}
		var err error
		p.Next, err = json.Marshal(next)
		return err
	}
	for p, err := range x.pages(ctx, row, w.at) {
		if err != nil {
			p, err = x.failedRow(ctx, w, err)
		}
		if err != nil {
			put(rowResult{err: &flow.Error{Op: fmt.Sprintf("read row %d", w.n+1), Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err}})
			return
		}
		var at *place
		if p.Next != nil {
			at = new(place)
			if err := json.Unmarshal(p.Next, at); err != nil {
				put(rowResult{err: err})
				return
			}
		}
		if err := after(&p, at); err != nil || !put(rowResult{page: p, err: err}) {
			return
		}
	}
}

// failedRow is the page that stands for a row that failed, where that is borne.
func (x *extraction) failedRow(ctx context.Context, w *rowWork, err error) (flow.Page, error) {
	kind := flow.KindOf(err)
	switch {
	case ctx.Err() != nil || kind == flow.Canceled:
		return flow.Page{}, err
	case kind == flow.NotFound && x.args.On404 == "skip":
		x.log("row %d: %s; it is passed over", w.n+1, x.api.hide(err.Error()))
		return flow.Page{Name: "not found", Format: "json", Body: []byte("[]")}, nil
	case x.tolerate && (kind == flow.NotFound || kind == flow.Invalid || kind == flow.Transient || kind == flow.Throttled):
		return flow.Page{Name: "failed", Format: "json", Body: w.text, Failed: x.api.hide(err.Error())}, nil
	}
	return flow.Page{}, err
}

// decodeRow reads a row. A number with more digits than jsonata bears becomes a text of them.
func decodeRow(text []byte) (any, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	out := make([]byte, 0, len(text)+8)
	from := 0
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			break
		}
		if s := tok.String(); tok.Kind() == '0' && len(s) > 15 {
			end := int(dec.InputOffset())
			out = append(append(append(out, text[from:end-len(s)]...), '"'), s...)
			out = append(out, '"')
			from = end
		}
	}
	return jsonata.Decode(append(out, text[from:]...))
}
