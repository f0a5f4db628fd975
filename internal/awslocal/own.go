package awslocal

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// clock is a time that can be moved from outside.
type clock struct {
	base  func() time.Time
	mu    sync.Mutex
	ahead time.Duration
	moved chan struct{} // something comes after a move
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base().Add(c.ahead)
}

// move sets the time, or moves it on.
func (c *clock) move(to time.Time, by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
	if !to.IsZero() {
		c.ahead = to.Sub(c.base())
	}
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

// own answers what is no service of AWS: where the buckets' folders are, what was written
// into them, and the time.
func own(s3 *s3Server, clock *clock) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /_tidemill/info", func(w http.ResponseWriter, _ *http.Request) {
		buckets, err := s3.Buckets()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if buckets == nil {
			buckets = []string{}
		}
		answer(w, map[string]any{"version": 1, "s3": map[string]any{"root": s3.Root(), "buckets": buckets}, "time": clock.now().UTC()})
	})
	m.HandleFunc("POST /_tidemill/etags", func(w http.ResponseWriter, r *http.Request) {
		if err := s3.Tag(r.URL.Query().Get("bucket")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, map[string]any{})
	})
	m.HandleFunc("GET /_tidemill/clock", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"time": clock.now().UTC()})
	})
	m.HandleFunc("POST /_tidemill/clock", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		var to time.Time
		var by time.Duration
		var err error
		switch {
		case q.Has("time"):
			to, err = time.Parse(time.RFC3339, q.Get("time"))
		default:
			by, err = time.ParseDuration(q.Get("advance"))
		}
		if err != nil {
			http.Error(w, "say ?advance=90m or ?time=2026-01-31T08:00:00Z: "+err.Error(), http.StatusBadRequest)
			return
		}
		clock.move(to, by)
		answer(w, map[string]any{"time": clock.now().UTC()})
	})
	return m
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) //nolint:errcheck // the client has gone
}
