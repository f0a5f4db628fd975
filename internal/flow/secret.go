package flow

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
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

// SecretRef is a reference to a secret: ${env:NAME}, ${file:PATH}, ${secretsmanager:ID}, ${ssm:NAME}.
type SecretRef struct{ Store, Name string }

// String is the reference as it stands in a file.
func (r SecretRef) String() string { return "${" + r.Store + ":" + r.Name + "}" }

// OnCluster tells whether a node of a cluster can read the secret, with its instance's role.
func (r SecretRef) OnCluster() bool { return r.Store == "secretsmanager" || r.Store == "ssm" }

var secretRef = regexp.MustCompile(`\$\{(env|file|secretsmanager|ssm):([^}]+)\}`)

// SecretRefs finds the references in a text; whole tells whether the text is nothing but one.
func SecretRefs(s string) (refs []SecretRef, whole bool) {
	for _, m := range secretRef.FindAllStringSubmatch(s, -1) {
		refs = append(refs, SecretRef{m[1], m[2]})
	}
	return refs, len(refs) == 1 && secretRef.FindString(s) == s
}
