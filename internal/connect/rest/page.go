package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/jsonata"
)

// mostPages ends a paging that nothing else does; max_pages says another number.
const mostPages = 100_000

// place is where the paging is: what the next request needs beside the query.
type place struct {
	N     int             `json:"n"`               // pages read
	Seen  int64           `json:"seen"`            // records in them
	Most  int64           `json:"most,omitempty"`  // records of the fullest
	Link  string          `json:"link,omitempty"`  // the next page's address, without the key of api_key
	Value json.RawMessage `json:"value,omitempty"` // cursor, page or offset: the parameter's value
}

// extraction is one query, compiled.
type extraction struct {
	api      *API
	args     flow.RESTArgs
	log      func(format string, args ...any)
	q        flow.Query
	path     late
	params   []field
	headers  []field
	body     late
	records  late
	total    late
	next     late // next_link, or the cursor's value
	names    map[string]any
	paths    *trie
	size     int64 // of a page, where the query says it
	tolerate bool
}

// places of the spans that one pass finds.
const (
	spanRecords = iota
	spanTotal
	spanNext
	spans
)

func (a *API) extraction(args flow.RESTArgs, q flow.Query) (*extraction, error) {
	x := &extraction{api: a, args: args, q: q, names: args.Names, paths: &trie{}, tolerate: args.Tolerate}
	x.log = func(format string, args ...any) {
		if q.Log != nil {
			fmt.Fprintf(q.Log, format+"\n", args...) //nolint:errcheck // a log
		}
	}
	next := args.NextLink
	if args.Cursor != nil {
		next = args.Cursor.Value
	}
	for _, c := range []struct {
		to   *late
		from any
		key  string
	}{{&x.path, args.Path, "path"}, {&x.body, args.Body, "body"}, {&x.records, args.Records, "records"}, {&x.total, args.Total, "total"}, {&x.next, next, "paginate"}} {
		var err error
		if *c.to, err = compile(c.from, c.key); err != nil {
			return nil, err
		}
	}
	for _, c := range []struct {
		to   *[]field
		from map[string]any
	}{{&x.params, args.Params}, {&x.headers, args.Headers}} {
		for _, k := range sortedKeys(c.from) {
			f, err := compile(c.from[k], k)
			if err != nil {
				return nil, err
			}
			*c.to = append(*c.to, field{k, f})
		}
	}
	x.size = x.pageSize()
	if !x.records.there() {
		x.paths.add(nil, spanRecords)
	}
	for i, l := range []late{spanRecords: x.records, spanTotal: x.total, spanNext: x.next} {
		if p, ok := l.plain(); ok {
			x.paths.add(p, i)
		}
	}
	return x, nil
}

// sizeNames are parameters that ask for so many records a page, in the words of many APIs.
var sizeNames = []string{"limit", "per_page", "perpage", "page_size", "pagesize", "size", "_limit", "_size", "count", "maxresults", "max_results", "$top", "page[size]", "rows", "first"}

// pageSize is how many records a full page has, as far as the query tells.
func (x *extraction) pageSize() int64 {
	for _, c := range []*flow.RESTCount{x.args.Page, x.args.Offset} {
		if c != nil && c.Size > 0 {
			return int64(c.Size)
		}
	}
	for _, p := range x.params {
		if !p.value.isLate && slices.Contains(sizeNames, strings.ToLower(p.name)) {
			if n, err := strconv.ParseInt(textOf(p.value.constant), 10, 64); err == nil {
				return n
			}
		}
	}
	return 0
}

// pages yields the pages from a place on; nil is the beginning. row is what the request is
// made for, nil for none.
func (x *extraction) pages(ctx context.Context, row any, from *place) iter.Seq2[flow.Page, error] {
	return func(yield func(flow.Page, error) bool) {
		at := place{}
		if from != nil {
			at = *from
		}
		seen := map[uint64]bool{} // next pages that were named, to notice a circle
		last := uint64(0)         // hash of the last page's records
		resumed := from != nil
		for {
			p, next, sum, err := x.page(ctx, row, at)
			if err != nil {
				if resumed && (flow.KindOf(err) == flow.Invalid || flow.KindOf(err) == flow.NotFound) {
					err = &flow.Error{Kind: flow.Conflict, Err: fmt.Errorf("the API does not go on from the page before: %w", err), Hint: "run it again: it then reads from the beginning"}
				}
				yield(flow.Page{}, err)
				return
			}
			if next != nil {
				err = x.progresses(p.Name, at, *next, seen, sum, last)
			}
			if err != nil {
				yield(flow.Page{}, err)
				return
			}
			if next != nil {
				if p.Next, err = json.Marshal(next); err != nil {
					yield(flow.Page{}, err)
					return
				}
			}
			if !yield(p, nil) || next == nil {
				return
			}
			at, last, resumed = *next, sum, false
		}
	}
}

// progresses makes sure that the paging comes to an end.
func (x *extraction) progresses(name string, at, next place, seen map[uint64]bool, sum, last uint64) error {
	fault := func(text, hint string) error {
		return &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: errors.New(text), Hint: hint}
	}
	most := x.args.MaxPages
	if most == 0 {
		most = mostPages
	}
	if next.N >= most {
		return fault(fmt.Sprintf("there are more than %d pages", most), "raise paginate: { max_pages }, or ask for larger pages")
	}
	if x.args.Page != nil || x.args.Offset != nil {
		if at.N > 0 && sum == last {
			return fault("it has the same records as the page before", "the API does not follow the parameter: check its name, and start")
		}
		return nil
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s", next.Link, next.Value) //nolint:errcheck // a hash takes all
	if seen[h.Sum64()] || at.N > 0 && at.Link == next.Link && bytes.Equal(at.Value, next.Value) {
		return fault("it names a next page that was read already", "look at what paginate takes from the response")
	}
	seen[h.Sum64()] = true
	return nil
}

// page reads one page and says where the next is; nil after the last.
func (x *extraction) page(ctx context.Context, row any, at place) (p flow.Page, next *place, sum uint64, err error) {
	s := &scope{names: x.names, row: row, page: &at}
	r, err := x.request(s, at)
	if err != nil {
		return p, nil, 0, err
	}
	ans, err := x.api.send(ctx, r, x.q.Log)
	if err != nil {
		return p, nil, 0, err
	}
	v := &view{x: x, ans: ans, scope: s}
	fault := func(err error) error {
		return &flow.Error{Op: "read " + r.what + " of " + show(r.url), Kind: orInvalid(flow.KindOf(err)), Hint: flow.HintOf(err), Err: err}
	}
	p = flow.Page{Name: r.what, Format: ans.format}
	if p.Body, p.Records, err = v.readRecords(); err != nil {
		return p, nil, 0, fault(err)
	}
	h := fnv.New64a()
	h.Write(p.Body) //nolint:errcheck // a hash takes all
	at.N++
	at.Seen += p.Records
	total, known, err := v.total()
	if err != nil {
		return p, nil, 0, fault(err)
	}
	if next, err = v.next(r, at, p.Records, total, known); err != nil {
		return p, nil, 0, fault(err)
	}
	if next == nil {
		if known && at.Seen != total {
			return p, nil, 0, &flow.Error{Op: "read " + show(r.url), Kind: flow.Conflict, Err: fmt.Errorf("the pages have %d records, their total says %d", at.Seen, total),
				Hint: "the data may have changed while it was read: run it again; else look at paginate, records and total"}
		}
		if !known {
			p.Warning = v.incomplete(at, p.Records)
		}
		return p, nil, h.Sum64(), nil
	}
	next.Most = max(at.Most, p.Records)
	return p, next, h.Sum64(), nil
}

func orInvalid(k flow.Kind) flow.Kind {
	if k == flow.Unknown {
		return flow.Invalid
	}
	return k
}

// request is the request of the page at a place.
func (x *extraction) request(s *scope, at place) (request, error) {
	r := request{method: orElse(x.args.Method, http.MethodGet), header: http.Header{}, what: fmt.Sprintf("page %d", at.N+1), format: x.args.Format, packed: x.args.Compression}
	for _, f := range x.headers {
		v, err := f.value.text(s)
		if err != nil {
			return r, err
		}
		r.header.Set(f.name, v)
	}
	if at.Link != "" {
		var err error
		if r.url, err = url.Parse(at.Link); err != nil {
			return r, err
		}
		return r, x.fill(&r, s, nil, nil)
	}
	u, q, err := x.address(s)
	if err != nil {
		return r, err
	}
	extra := map[string]any{} // parameters of the paging
	for _, c := range []*flow.RESTCount{x.args.Page, x.args.Offset} {
		if c == nil {
			continue
		}
		if c.SizeParam != "" && c.Size > 0 {
			extra[c.SizeParam] = c.Size
		}
		extra[c.Param] = c.Start
		if at.Value != nil {
			extra[c.Param] = at.Value
		}
	}
	if x.args.Cursor != nil && at.Value != nil {
		extra[x.args.Cursor.Param] = at.Value
	}
	if err := x.fill(&r, s, q, extra); err != nil {
		return r, err
	}
	u.RawQuery = q.Encode()
	r.url = u
	return r, nil
}

// address is the query's address without the paging's parameters.
func (x *extraction) address(s *scope) (*url.URL, url.Values, error) {
	path, err := x.pathText(s)
	if err != nil {
		return nil, nil, err
	}
	u := *x.api.base
	rest, query, _ := strings.Cut(path, "?")
	if rest != "" {
		joined := strings.TrimSuffix(u.EscapedPath(), "/") + "/" + strings.TrimPrefix(rest, "/")
		ref, err := url.Parse(joined)
		if err != nil {
			return nil, nil, &flow.Error{Op: "make the address", Kind: flow.Invalid, Err: fmt.Errorf("path %q cannot stand in one", rest)}
		}
		u.Path, u.RawPath = ref.Path, ref.RawPath
	}
	q := u.Query()
	more, err := url.ParseQuery(query)
	if err != nil {
		return nil, nil, &flow.Error{Op: "make the address", Kind: flow.Invalid, Err: errors.New("the path's query cannot be read")}
	}
	for k, v := range more {
		q[k] = append(q[k], v...)
	}
	for _, f := range x.params {
		v, err := f.value.value(s)
		if err != nil {
			return nil, nil, err
		}
		switch v := v.(type) {
		case nil: // not asked for
		case []any:
			for _, e := range v {
				q.Add(f.name, textOf(e))
			}
		default:
			q.Set(f.name, textOf(v))
		}
	}
	return &u, q, nil
}

// pathText is the path; what a template puts into it is escaped, what the file says is not.
func (x *extraction) pathText(s *scope) (string, error) {
	if x.path.pieces == nil {
		return x.path.text(s)
	}
	var b strings.Builder
	for _, p := range x.path.pieces {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := late{pieces: []piece{p}}.text(s)
		if err != nil {
			return "", err
		}
		b.WriteString(url.PathEscape(v))
	}
	return b.String(), nil
}

// fill puts the paging's parameters where the API looks for them: a POST's into its body.
func (x *extraction) fill(r *request, s *scope, q url.Values, extra map[string]any) error {
	text := func(v any) string {
		if raw, ok := v.(json.RawMessage); ok {
			var t string
			if json.Unmarshal(raw, &t) == nil {
				return t
			}
			return string(raw)
		}
		return fmt.Sprint(v)
	}
	if r.method == http.MethodGet || !x.body.there() {
		for k, v := range extra {
			q.Set(k, text(v))
		}
		extra = nil
	}
	if !x.body.there() {
		return nil
	}
	v, err := x.body.value(s)
	if err != nil {
		return err
	}
	if m, ok := v.(map[string]any); ok {
		for k, e := range extra {
			m[k] = e
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return &flow.Error{Op: "make the body", Kind: flow.Invalid, Err: err}
	}
	r.body = bytes.TrimSpace(b.Bytes())
	return nil
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// view is a response as the query looks at it.
type view struct {
	x       *extraction
	ans     *answer
	scope   *scope
	found   [spans]span
	whole   any // the response as a value, once it is needed
	decoded bool
}

func (v *view) response() (any, error) {
	if !v.decoded && v.ans.format == "json" && len(bytes.TrimSpace(v.ans.body)) > 0 {
		w, err := jsonata.Decode(v.ans.body)
		if err != nil {
			return nil, brokenJSON(err)
		}
		v.whole, v.decoded = w, true
	}
	if !v.decoded {
		return jsonata.Undefined, nil
	}
	return v.whole, nil
}

// readRecords finds the records of the response: their text as it came, and how many.
func (v *view) readRecords() ([]byte, int64, error) {
	v.scope.response, v.scope.header = v.response, v.ans.header
	if v.ans.format != "json" {
		return v.ans.body, countLines(v.ans.body, v.ans.format == "csv"), nil
	}
	if len(bytes.TrimSpace(v.ans.body)) == 0 {
		if v.ans.status == http.StatusNoContent {
			return []byte("[]"), 0, nil
		}
		return nil, 0, &flow.Error{Kind: flow.Transient, Err: errors.New("the response is empty")}
	}
	if err := scan(v.ans.body, v.x.paths, v.found[:]); err != nil {
		return nil, 0, err
	}
	_, plain := v.x.records.plain()
	text, kind, items := []byte(nil), jsontext.Kind(0), int64(0)
	if s := v.found[spanRecords]; (plain || !v.x.records.there()) && !s.odd {
		text, kind, items = v.ans.body[s.from:s.to], s.kind, s.items
	} else {
		var err error
		if text, kind, items, err = v.computed(); err != nil {
			return nil, 0, err
		}
	}
	v.scope.records = func() (any, error) {
		if text == nil {
			return jsonata.Undefined, nil
		}
		return jsonata.Decode(text)
	}
	switch kind {
	case '[':
		return text, items, nil
	case '{':
		return text, 1, nil
	case 'n':
		return []byte("[]"), 0, nil
	case 0:
		return nil, 0, &flow.Error{Kind: flow.Invalid, Err: errors.New("the response has nothing where records says"),
			Hint: "correct records; where no records may leave the field out, write {{ $exists(response.items) ? response.items : [] }}"}
	}
	return nil, 0, &flow.Error{Kind: flow.Invalid, Err: errors.New("records is neither a list nor an object"), Hint: "say where they are, as in records: \"{{ response.items }}\""}
}

// computed are records that more than a path gives.
func (v *view) computed() ([]byte, jsontext.Kind, int64, error) {
	if len(v.x.records.pieces) != 1 || v.x.records.pieces[0].expr == nil {
		return nil, 0, 0, &flow.Error{Kind: flow.Invalid, Err: errors.New("records is no expression"), Hint: "write records: \"{{ response.items }}\""}
	}
	got, err := v.scope.eval(v.x.records.pieces[0].expr)
	if err != nil || got == jsonata.Undefined {
		return nil, 0, 0, err
	}
	long, err := longNumbers(v.ans.body)
	if err != nil {
		return nil, 0, 0, err
	}
	b, err := jsonata.EncodeNumbers(got, long.text)
	if err != nil {
		return nil, 0, 0, err
	}
	n := int64(0)
	if a, ok := got.(*jsonata.Array); ok {
		n = int64(a.Len())
	}
	return b, jsontext.Value(b).Kind(), n, nil
}

// lookup is a value of the response: by its path, with all its digits, or worked out.
func (v *view) lookup(l late, i int) (json.RawMessage, error) {
	if _, plain := l.plain(); plain && !v.found[i].odd && v.ans.format == "json" {
		s := v.found[i]
		if s.kind == 0 {
			return nil, nil
		}
		return json.RawMessage(v.ans.body[s.from:s.to]), nil
	}
	got, err := l.value(v.scope)
	if err != nil || got == nil {
		return nil, err
	}
	return json.Marshal(got)
}

// total is how many records there are in all, where the response says so.
func (v *view) total() (int64, bool, error) {
	if !v.x.total.there() {
		return 0, false, nil
	}
	raw, err := v.lookup(v.x.total, spanTotal)
	if err != nil {
		return 0, false, err
	}
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	if err != nil {
		return 0, false, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("total is %s, no number", orElse(string(raw), "nothing"))}
	}
	return n, true, nil
}

// next says where the page after is.
func (v *view) next(r request, at place, records, total int64, known bool) (*place, error) {
	n := place{N: at.N, Seen: at.Seen, Most: at.Most}
	a := v.x.args
	switch {
	case a.NextLink != nil, a.LinkHeader:
		link := nextOf(v.ans.header)
		if a.NextLink != nil {
			raw, err := v.lookup(v.x.next, spanNext)
			if err != nil || none(raw) {
				return nil, err
			}
			if err := json.Unmarshal(raw, &link); err != nil {
				return nil, &flow.Error{Kind: flow.Invalid, Err: errors.New("next_link gives no text")}
			}
		}
		if link == "" {
			return nil, nil
		}
		var err error
		n.Link, err = v.x.api.follow(r.url, link)
		return &n, err
	case a.Cursor != nil:
		raw, err := v.lookup(v.x.next, spanNext)
		if err != nil || none(raw) {
			return nil, err
		}
		n.Value = bytes.Clone(raw)
		return &n, nil
	case a.Page != nil, a.Offset != nil:
		if records == 0 || known && at.Seen >= total || !known && v.x.size > 0 && records < v.x.size {
			return nil, nil
		}
		value := int64(at.N)
		if a.Offset != nil {
			value = int64(a.Offset.Start) + at.Seen
		} else {
			value += int64(a.Page.Start)
		}
		n.Value = json.RawMessage(strconv.FormatInt(value, 10))
		return &n, nil
	}
	return nil, nil
}

// none tells whether a value means that there is no next page.
func none(raw json.RawMessage) bool {
	s := string(raw)
	return s == "" || s == "null" || s == `""` || s == "false"
}

// incomplete is a warning where the last page looks as if there were more.
func (v *view) incomplete(at place, records int64) string {
	a := v.x.args
	if a.Page != nil || a.Offset != nil || records == 0 {
		return ""
	}
	if a.NextLink == nil && !a.LinkHeader && a.Cursor == nil {
		switch {
		case nextOf(v.ans.header) != "":
			return "the response names a next page in its Link header, and the extract has no paginate: is that all?"
		case v.x.size > 0 && records >= v.x.size:
			return fmt.Sprintf("the response has as many records as were asked for (%d), and the extract has no paginate: is that all?", records)
		}
		return ""
	}
	if v.x.size > 0 && records >= v.x.size || v.x.size == 0 && at.N > 1 && at.Most > 0 && records >= at.Most {
		return fmt.Sprintf("page %d is full (%d records) and names no next page: is that all?", at.N, records)
	}
	return ""
}

// follow makes the address of a next link, as it is kept: of the same host, and without the
// key that api_key puts into the query.
func (a *API) follow(from *url.URL, link string) (string, error) {
	ref, err := url.Parse(link)
	if err != nil {
		return "", &flow.Error{Kind: flow.Invalid, Err: errors.New("the next page's address cannot be read")}
	}
	u := from.ResolveReference(ref)
	if u.Host != from.Host {
		if u.Hostname() != from.Hostname() || u.Port() != "" && from.Port() != "" {
			return "", &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("the next page is at %s, another host", u.Host), Hint: "credentials are not sent elsewhere: set the connection's url to that host"}
		}
	}
	// Behind a proxy, an API often believes that it is asked over http.
	u.Scheme, u.Host, u.User, u.Fragment = from.Scheme, from.Host, nil, ""
	if s := a.settings.Auth; s != nil && s.APIKey != nil && s.APIKey.Query != "" {
		q := u.Query()
		q.Del(s.APIKey.Query)
		u.RawQuery = q.Encode()
	}
	return u.String(), nil
}

// nextOf is the target of the header Link with rel=next (RFC 8288).
func nextOf(h http.Header) string {
	for _, v := range h.Values("Link") {
		for v != "" {
			_, after, ok := strings.Cut(v, "<")
			target, rest, closed := strings.Cut(after, ">")
			if !ok || !closed {
				break
			}
			params := rest
			if i := strings.Index(rest, ",<"); i >= 0 {
				params, v = rest[:i], rest[i:]
			} else if i := strings.Index(rest, ", <"); i >= 0 {
				params, v = rest[:i], rest[i:]
			} else {
				v = ""
			}
			for _, p := range strings.Split(params, ";") {
				k, x, _ := strings.Cut(strings.TrimSpace(p), "=")
				if strings.EqualFold(strings.TrimSpace(k), "rel") && slices.Contains(strings.Fields(strings.ToLower(strings.Trim(strings.TrimSpace(x), `"`))), "next") {
					return target
				}
			}
		}
	}
	return ""
}
