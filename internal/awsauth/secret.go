package awsauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/tidemill/tidemill/internal/flow"
)

// Secret reads what a reference to one of AWS's stores refers to: secretsmanager:NAME,
// secretsmanager:NAME#KEY for a field of a secret that is a JSON object, ssm:NAME.
func Secret(ctx context.Context, cfg Config, ref flow.SecretRef) (string, error) {
	op := "read " + ref.String()
	var v string
	switch ref.Store {
	case "secretsmanager":
		name, key, field := strings.Cut(ref.Name, "#")
		out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
		if err != nil {
			return "", Fault(op, "SecretsManager", err)
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
		out, err := ssm.NewFromConfig(cfg).GetParameter(ctx, &ssm.GetParameterInput{Name: &ref.Name, WithDecryption: aws.Bool(true)})
		if err != nil {
			return "", Fault(op, "Ssm", err)
		}
		v = aws.ToString(out.Parameter.Value)
	default:
		return "", &flow.Error{Op: op, Kind: flow.Invalid, Err: errors.New("AWS has no such store"), Hint: "use ${secretsmanager:NAME} or ${ssm:NAME}"}
	}
	return v, nil
}
