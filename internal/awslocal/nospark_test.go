//go:build !real

package awslocal

import (
	"context"
	"errors"

	"github.com/tidemill/tidemill/internal/awslocal/emr"
)

// findSpark finds none: tests without real parts run other programs.
func findSpark(context.Context, string) (*emr.Spark, error) { return nil, errors.New("no Spark") }
