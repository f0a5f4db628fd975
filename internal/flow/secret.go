package flow

import (
	"errors"
	"fmt"
	"log/slog"
)

// Secret is a text that is never shown: it prints as (secret) and refuses to be marshalled.
type Secret struct{ text string }

// NewSecret keeps text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text, for the one call that needs it.
func (s Secret) Reveal() string { return s.text }

// IsZero tells whether there is no text.
func (s Secret) IsZero() bool { return s.text == "" }

// String prints (secret).
func (s Secret) String() string { return "(secret)" }

// GoString prints (secret).
func (s Secret) GoString() string { return "(secret)" }

// Format prints (secret) whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(secret)") } //nolint:errcheck // fmt reports its own

// LogValue logs (secret).
func (s Secret) LogValue() slog.Value { return slog.StringValue("(secret)") }

var errSecret = errors.New("marshal secret: refused")

// MarshalJSON refuses.
func (s Secret) MarshalJSON() ([]byte, error) { return nil, errSecret }

// MarshalText refuses.
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecret }
