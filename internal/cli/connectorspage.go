package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
)

// connectionsPage is the page of every type of connection and its keys, in Markdown.
func connectionsPage() string {
	var b bytes.Buffer
	b.WriteString("# Connections\n\nThis page is printed by `tidemill schema --connections` from the definitions that also read the files.\n" +
		"A connection stands in `tidemill.yaml` under `connections`, by name, with its `type`; a target may have others of the same names.\n" +
		"`tidemill conn test NAME` asks the system who we are. A *secret* is written as a reference: `${env:NAME}`, `${file:PATH}`.\n")
	uses := map[flow.Use]string{flow.UseSource: "read by `extract`", flow.UseSink: "written by `load`", flow.UseBucket: "behind `s3://` paths", flow.UseNotify: "told by `notify`", flow.UseAWS: "a target's `aws`"}
	for _, c := range connectors() {
		var what []string
		for _, u := range c.Uses {
			what = append(what, uses[u])
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s (%s", c.Name, c.Doc, strings.Join(what, ", "))
		if !c.Built {
			b.WriteString("; not built yet")
		}
		b.WriteString(")\n\n| key | form | meaning |\n|---|---|---|\n")
		keyRows(&b, "", c.Keys)
	}
	return b.String()
}

func keyRows(b *bytes.Buffer, prefix string, keys []flow.Key) {
	for _, k := range keys {
		form := map[string]string{"any": "text, list or mapping"}[k.Type]
		switch {
		case form != "":
		case k.Secret:
			form = "secret"
		case len(k.Enum) > 0:
			form = strings.Join(k.Enum, ", ")
		default:
			form = k.Type
		}
		meaning := k.Doc
		if k.Default != "" {
			meaning += " Default: " + k.Default + "."
		}
		if k.Required {
			meaning += " **Needed.**"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", prefix, k.Name, form, strings.ReplaceAll(meaning, "|", "\\|"))
		keyRows(b, prefix+k.Name+".", k.Keys)
	}
}
