package s3

import (
	"errors"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

// TestConflictOfLargeBodies: the server refuses before it has read the body.
func TestConflictOfLargeBodies(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{PartSize: 16 << 20})
	text := string(pattern(15 << 20))
	if _, err := write(t, b, "x", text, flow.Condition{}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		_, err := write(t, b, "x", text, flow.Condition{IfAbsent: true})
		var e *flow.Error
		if flow.KindOf(err) != flow.Conflict || !errors.As(err, &e) {
			t.Fatalf("got %v", err)
		}
	}
}
