package machine

import (
	"strconv"

	"github.com/tidemill/tidemill/internal/jsonata"
)

// functions are what States Language adds to JSONata, and takes from it.
var functions = jsonata.States()

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
