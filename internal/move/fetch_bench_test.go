package move

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

// BenchmarkFetch reads 200 pages of 1,000 orders from a server of its own.
func BenchmarkFetch(b *testing.B) {
	pages := make([][]byte, 200)
	for p := range pages {
		var items []string
		for i := range 1000 {
			id := p*1000 + i
			items = append(items, fmt.Sprintf(`{"id": %d, "customer": "customer %d", "product": "product %d", "region": "West", "quantity": %d, "price": %d.%02d, "discount": 0.25, "ordered_at": "2017-02-02T01:00:00Z", "shipped": 1, "note": "note of order %d, delivered with care", "tags": "a,b,c", "code": "C%07d"}`, id, id%5000, id%700, id%9+1, id%500, id%100, id, id))
		}
		next := "null"
		if p < len(pages)-1 {
			next = fmt.Sprintf(`"/?p=%d"`, p+1)
		}
		pages[p] = []byte(fmt.Sprintf(`{"rows": [%s], "truncated": false, "total": 200000, "next_url": %s}`, strings.Join(items, ", "), next))
	}
	api := webAPI(b, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("p"))
		w.Write(pages[n]) //nolint:errcheck // the client would notice
	})
	b.ResetTimer()
	for b.Loop() {
		d := newDesk(b, api)
		o, err := d.fetch(flow.Extract{Args: []byte(`{"records":{"{{":[{"expr":"response.rows"}]},"next_link":{"{{":[{"expr":"response.next_url"}]},"total":{"{{":[{"expr":"response.total"}]}}`)}, nil)
		if err != nil || o.Rows != 200_000 {
			b.Fatal(o, err)
		}
	}
}

// BenchmarkFetchForEach asks for each of 50,000 rows.
func BenchmarkFetchForEach(b *testing.B) {
	const n = 50_000
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, ",{\"id\":%d}", i)
	}
	d := newDesk(b, webAPI(b, func(w http.ResponseWriter, _ *http.Request) { say(w, "[%s]", all.String()[1:]) }))
	list, err := d.fetch(flow.Extract{Args: []byte(`{}`)}, func(j *flow.FetchJob) { j.Slot.Step = "ids" })
	if err != nil {
		b.Fatal(err)
	}
	d.source = webAPI(b, func(w http.ResponseWriter, r *http.Request) {
		say(w, `{"id":%s,"price":1.25,"stock":{"here":3,"there":[1,2]}}`, strings.TrimPrefix(r.URL.Path, "/"))
	})
	for b.Loop() {
		o, err := d.fetch(flow.Extract{Args: []byte(`{"path":{"{{":[{"text":"/"},{"expr":"row.id"}]}}`)}, func(j *flow.FetchJob) {
			j.ForEach = list.Manifest
			j.Slot.Time = fmt.Sprintf("202601%02dT000000Z", d.attempt)
		})
		if err != nil || o.Rows != n {
			b.Fatal(o, err)
		}
	}
}
