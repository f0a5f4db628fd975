package pipeline

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/flow"
)

// OnCluster gives a connection's keys as a node of a cluster is told them: its secrets are
// references that the node can read with its role. What a node cannot have is a fault.
func (c Connection) OnCluster(name string, types []flow.Connector) (map[string]any, Faults) {
	var keys []flow.Key
	for _, t := range types {
		if t.Name != c.Type {
			continue
		}
		if t.Here {
			return nil, Faults{{Pos: c.Pos, Message: fmt.Sprintf("connection %s is a file of this machine, which a cluster does not reach", name), Hint: "on: here works"}}
		}
		keys = t.Keys
	}
	return onCluster(name, "", c.Keys, keys)
}

func onCluster(name, prefix string, m Map[Any], known []flow.Key) (map[string]any, Faults) {
	out := map[string]any{}
	var faults Faults
	for _, e := range m {
		var key flow.Key
		for _, k := range known {
			if k.Name == e.Key {
				key = k
			}
		}
		if sub, ok := e.Value.Value.(Map[Any]); ok {
			v, more := onCluster(name, prefix+e.Key+".", sub, key.Keys)
			out[e.Key], faults = v, append(faults, more...)
			continue
		}
		v, ok := e.Value.Constant()
		text := fmt.Sprint(v)
		refs, _ := flow.SecretRefs(text)
		fine := ok && (!key.Secret || len(refs) > 0 || text == "")
		for _, r := range refs {
			fine = fine && r.OnCluster()
		}
		if !fine {
			faults = append(faults, Fault{Pos: e.Value.Pos, Message: fmt.Sprintf("%s.%s%s is not to be had on a cluster: only ${secretsmanager:…} and ${ssm:…} are", name, prefix, e.Key),
				Hint: "put it into Secrets Manager and write ${secretsmanager:NAME}, or leave on: cluster out"})
		}
		out[e.Key] = v
	}
	return out, faults
}
