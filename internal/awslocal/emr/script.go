package emr

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/tidemill/tidemill/internal/flow"
)

// ReadFaults reads a fault script: a list of faults, each with a kind, what it happens to, and
// how often.
//
//   - fault: throttle
//     operation: [DescribeStep, DescribeCluster]
//     nth: 3
//     count: 5
//   - fault: spot_loss
//     cluster: "orders-*"
//     after: 30s
//
// All faults of the file are told at once, with their lines and columns.
func ReadFaults(file string) (*Faults, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &flow.Error{Op: "read the fault script", Kind: flow.Invalid, Err: err}
	}
	return ParseFaults(file, text)
}

// ParseFaults reads the text of a fault script; file is its name in messages.
func ParseFaults(file string, text []byte) (*Faults, error) {
	r := &scriptReader{file: file}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			p := at.GetToken().Position
			return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("%s:%d:%d: %s", file, p.Line, p.Column, at.GetMessage())}
		}
		return nil, &flow.Error{Op: "read " + file, Kind: flow.Invalid, Err: err}
	}
	out := &Faults{}
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		list, ok := doc.Body.(*ast.SequenceNode)
		if !ok {
			r.fault(doc.Body, "a fault script is a list: each fault begins with \"- fault:\"")
			continue
		}
		for _, n := range list.Values {
			if f := r.read(n); f != nil {
				out.list = append(out.list, f)
			}
		}
	}
	if len(r.faults) > 0 {
		return nil, &flow.Error{Kind: flow.Invalid, Err: errors.New(strings.Join(r.faults, "\n"))}
	}
	return out, nil
}

type scriptReader struct {
	file   string
	faults []string
}

func (r *scriptReader) fault(n ast.Node, format string, a ...any) {
	if list := pairs(n); len(list) > 0 {
		n = list[0].Key // a mapping's own place is that of its first colon
	}
	p := n.GetToken().Position
	r.faults = append(r.faults, fmt.Sprintf("%s:%d:%d: ", r.file, p.Line, p.Column)+fmt.Sprintf(format, a...))
}

func pairs(n ast.Node) []*ast.MappingValueNode {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}
	}
	return nil
}

func (r *scriptReader) read(n ast.Node) *Fault {
	list := pairs(n)
	f := &Fault{Nth: 1, Count: 1}
	for _, p := range list {
		if p.Key.String() == "fault" {
			f.Kind = r.word(p.Value)
			if _, ok := kinds[f.Kind]; !ok {
				r.fault(p.Value, "there is no fault %s%s", f.Kind, oneOf(slices.Sorted(maps.Keys(kinds)), f.Kind))
				return nil
			}
		}
	}
	if f.Kind == "" {
		r.fault(n, "the key fault is missing: it says what goes wrong, %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
		return nil
	}
	known := append([]string{"fault", "cluster", "nth", "count"}, kinds[f.Kind].keys...)
	for _, p := range list {
		key := p.Key.String()
		if !slices.Contains(known, key) {
			r.fault(p.Key, "a fault %s has no key %s%s", f.Kind, key, oneOf(known, key))
			continue
		}
		r.set(f, key, p.Value)
	}
	r.whole(n, f)
	return f
}

func (r *scriptReader) set(f *Fault, key string, v ast.Node) {
	switch key {
	case "cluster":
		f.Cluster = r.pattern(v)
	case "step":
		f.Step = r.pattern(v)
	case "operation":
		f.Operations = r.operations(v)
	case "nth":
		f.Nth = r.number(v, 1)
	case "count":
		if v.GetToken().Value == "all" {
			f.Count = 0
			return
		}
		f.Count = r.number(v, 1)
	case "exit":
		f.Exit = r.number(v, 1)
	case "every":
		f.Every = r.duration(v)
	case "after":
		f.After = r.duration(v)
	case "by":
		f.By = r.duration(v)
	case "message":
		f.Message = r.word(v)
	case "state":
		f.State = types.ClusterState(r.word(v))
		allowed := []string{"STARTING", "BOOTSTRAPPING"}
		if f.Kind == "slow" {
			allowed = append(allowed, "RUNNING", "TERMINATING")
		}
		if !slices.Contains(allowed, string(f.State)) {
			r.fault(v, "a cluster is not %s in %s%s", f.Kind, f.State, oneOf(allowed, string(f.State)))
		}
	}
}

// whole checks what a fault must say, and fills in what it need not.
func (r *scriptReader) whole(n ast.Node, f *Fault) {
	orElse := func(text string) {
		if f.Message == "" {
			f.Message = text
		}
	}
	switch f.Kind {
	case "stuck":
		if f.State == "" {
			f.State = types.ClusterStateBootstrapping
		}
	case "slow", "latency":
		if !slices.ContainsFunc(pairs(n), func(p *ast.MappingValueNode) bool { return p.Key.String() == "by" }) {
			r.fault(n, "a fault %s says by how much: by: 30s", f.Kind)
		}
	case "bootstrap":
		orElse("On the master instance, bootstrap action 1 returned a non-zero return code")
	case "spot_loss":
		orElse("The master node was terminated")
	case "step_fails":
		orElse("the fault script let it fail")
		if f.Exit == 0 {
			f.Exit = 1
		}
	case "error":
		orElse("An internal error occurred.")
	}
}

func (r *scriptReader) word(v ast.Node) string {
	if s, ok := v.(ast.ScalarNode); ok {
		return fmt.Sprint(s.GetValue())
	}
	r.fault(v, "one word is wanted here")
	return ""
}

func (r *scriptReader) pattern(v ast.Node) string {
	p := r.word(v)
	if _, err := path.Match(p, ""); err != nil {
		r.fault(v, "%s is no pattern: write * for any characters", p)
	}
	return p
}

func (r *scriptReader) number(v ast.Node, least int) int {
	n, err := strconv.Atoi(r.word(v))
	if err != nil || n < least {
		r.fault(v, "a number of at least %d is wanted, not %s", least, v.String())
	}
	return n
}

func (r *scriptReader) duration(v ast.Node) time.Duration {
	d, err := time.ParseDuration(r.word(v))
	if err != nil || d < 0 {
		r.fault(v, "a duration such as 30s or 5m is wanted, not %s", v.String())
	}
	return d
}

func (r *scriptReader) operations(v ast.Node) (out []string) {
	list := []ast.Node{v}
	if s, ok := v.(*ast.SequenceNode); ok {
		list = s.Values
	}
	all := Operations()
	for _, n := range list {
		name := r.word(n)
		if !slices.Contains(all, name) {
			r.fault(n, "EMR has no operation %s%s", name, oneOf(all, name))
		}
		out = append(out, name)
	}
	return out
}

// oneOf names the nearest word, or all if there are few and none is near.
func oneOf(words []string, word string) string {
	best, at := "", max(len(word)/3, 1)
	for _, w := range words {
		if d := distance(strings.ToLower(w), strings.ToLower(word)); d <= at && (best == "" || d < at) {
			best, at = w, d
		}
	}
	switch {
	case best != "":
		return ": did you mean " + best + "?"
	case len(words) <= 12:
		return ": there are " + strings.Join(words, ", ")
	}
	return ""
}

// distance is how many letters have to be changed, added or taken away.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
