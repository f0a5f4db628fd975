package rest

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pacer spaces requests, and holds them back while the server says that it has had enough.
type pacer struct {
	every time.Duration // between requests; 0: no limit of ours

	mu   sync.Mutex
	next time.Time // when the next request may begin
}

// take gives the pause before a request that wants to begin now.
func (p *pacer) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now
	if p.next.After(at) {
		at = p.next
	}
	if p.every > 0 {
		p.next = at.Add(p.every)
	}
	return at.Sub(now)
}

// hold lets no request begin before an instant.
func (p *pacer) hold(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.next) {
		p.next = until
	}
}

var rateForm = regexp.MustCompile(`^(\d+) ?/ ?(\d*)(s|m|h|d)$`)

// parseRate reads 10/s, 100/m, 5000/h as the time between two requests.
func parseRate(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	m := rateForm.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, fmt.Errorf("rate %s cannot be read", text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n < 1 {
		return 0, fmt.Errorf("rate %s cannot be read", text)
	}
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[3]]
	if m[2] != "" {
		k, err := strconv.Atoi(m[2])
		if err != nil || k < 1 {
			return 0, fmt.Errorf("rate %s cannot be read", text)
		}
		per *= time.Duration(k)
	}
	return per / time.Duration(n), nil
}

// retryAfter reads the header Retry-After: seconds, or a date (RFC 9110, 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseFloat(v, 64); err == nil && n > 0 && n < 1e7 {
		return time.Duration(n * float64(time.Second))
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

var limitItem = regexp.MustCompile(`(?:^|[;,\s])(remaining|reset|r|t)\s*=\s*"?(\d+)`)

// exhausted tells how long until the server's limit is reset, where the headers say that
// nothing remains of it: RateLimit of the IETF's drafts in both forms, and the X- headers
// that came before.
func exhausted(h http.Header, now time.Time) time.Duration {
	remaining, reset := -1.0, ""
	for _, prefix := range []string{"RateLimit-", "X-RateLimit-", "X-Rate-Limit-"} {
		if v := h.Get(prefix + "Remaining"); v != "" {
			first, _, _ := strings.Cut(v, ",")
			if n, err := strconv.ParseFloat(strings.TrimSpace(first), 64); err == nil {
				remaining, reset = n, h.Get(prefix+"Reset")
				break
			}
		}
	}
	if remaining < 0 {
		for _, m := range limitItem.FindAllStringSubmatch(h.Get("RateLimit"), -1) {
			switch m[1] {
			case "remaining", "r":
				if n, err := strconv.ParseFloat(m[2], 64); err == nil {
					remaining = n
				}
			default:
				reset = m[2]
			}
		}
	}
	if remaining != 0 {
		return 0
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(reset), 64)
	switch {
	case err != nil || n <= 0:
		return 0
	case n > 1e12: // the epoch's milliseconds
		return max(0, time.UnixMilli(int64(n)).Sub(now))
	case n > 1e9: // the epoch's seconds
		return max(0, time.Unix(int64(n), 0).Sub(now))
	}
	return time.Duration(n * float64(time.Second))
}
