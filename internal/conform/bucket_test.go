package conform_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/flow"
)

func TestFile(t *testing.T) {
	t.Parallel()
	conform.Bucket(t, func() flow.Bucket { return file.New(t.TempDir()) })
}
