package node

import (
	"context"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// secret reads a secret with the node's role, and keeps it out of what is printed.
func (n *node) secret(ctx context.Context, ref flow.SecretRef) (string, error) {
	cfg, err := n.aws(ctx)
	if err != nil {
		return "", err
	}
	v, err := awsauth.Secret(ctx, cfg, ref)
	if v != "" {
		n.secrets = append(n.secrets, v)
	}
	return v, err
}
