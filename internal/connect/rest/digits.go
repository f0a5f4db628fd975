package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/jsonata"
)

// digits are the numbers of a response that have more digits than a double, which is what
// JSONata works with: each double's text as it came. Where several texts are the same double,
// nobody can tell which of them an expression gives.
type digits map[float64][]string

// exactDigits is how many significant digits every double keeps.
const exactDigits = 15

// longNumbers finds them.
func longNumbers(body []byte) (digits, error) {
	out := digits{}
	err := eachNumber(body, func(text string, f float64) {
		if len(text) > exactDigits && len(out[f]) == 0 && !equal(text, jsonata.FormatNumber(f)) {
			out[f] = []string{text}
		}
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return out, eachNumber(body, func(text string, f float64) {
		if known := out[f]; len(known) == 1 && !equal(text, known[0]) {
			out[f] = append(known, text)
		}
	})
}

func eachNumber(body []byte, do func(text string, f float64)) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
	for {
		tok, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return brokenJSON(err)
		}
		if tok.Kind() == '0' {
			text := tok.String()
			if f, err := strconv.ParseFloat(text, 64); err == nil && f != 0 { // beyond a double's range there is nothing to keep
				do(text, f)
			}
		}
	}
}

// equal tells whether two texts are the same number.
func equal(a, b string) bool {
	if a == b {
		return true
	}
	x, ok := new(big.Rat).SetString(a)
	y, fine := new(big.Rat).SetString(b)
	return ok && fine && x.Cmp(y) == 0
}

// text is a number as it came, or nothing for one that a double holds.
func (d digits) text(f float64) (string, error) {
	switch known := d[f]; len(known) {
	case 0:
		return "", nil
	case 1:
		return known[0], nil
	default:
		return "", &flow.Error{Op: "find the records", Kind: flow.Invalid, Err: fmt.Errorf("the numbers %s are one to an expression, which works with %d digits", strings.Join(known, " and "), exactDigits),
			Hint: "Name the records by a plain path, as in records: \"{{ response.items }}\", which keeps every digit, and do the rest in sql."}
	}
}
