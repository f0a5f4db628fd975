package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// secret reads what STORE:NAME refers to: secretsmanager:NAME, secretsmanager:NAME#KEY for a
// field of a secret that is a JSON object, ssm:NAME.
func (n *node) secret(ctx context.Context, ref string) (string, error) {
	store, name, _ := strings.Cut(ref, ":")
	cfg, err := n.aws(ctx)
	if err != nil {
		return "", err
	}
	op := "read ${" + ref + "}"
	var v string
	switch store {
	case "secretsmanager":
		name, key, field := strings.Cut(name, "#")
		out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
		if err != nil {
			return "", awsauth.Fault(op, "SecretsManager", err)
		}
		v = aws.ToString(out.SecretString)
		if field {
			var fields map[string]any
			if err := json.Unmarshal([]byte(v), &fields); err != nil || fields[key] == nil {
				return "", &flow.Error{Op: op, Kind: flow.NotFound, Err: fmt.Errorf("the secret is no JSON object with the key %s", key)}
			}
			v = fmt.Sprint(fields[key])
		}
	case "ssm":
		out, err := ssm.NewFromConfig(cfg).GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
		if err != nil {
			return "", awsauth.Fault(op, "Ssm", err)
		}
		v = aws.ToString(out.Parameter.Value)
	default:
		return "", &flow.Error{Op: op, Kind: flow.Invalid, Err: errors.New("a node has no such store"), Hint: "use ${secretsmanager:NAME} or ${ssm:NAME}"}
	}
	if v != "" {
		n.secrets = append(n.secrets, v)
	}
	return v, nil
}
